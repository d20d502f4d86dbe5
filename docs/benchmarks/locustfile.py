"""One request after the other, by Locust's faster client; `throughput` of the driver's examples starts it."""

from locust import FastHttpUser, task


class Hello(FastHttpUser):
    @task
    def hello(self):
        self.client.get("/")
