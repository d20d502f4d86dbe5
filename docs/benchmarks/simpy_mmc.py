"""The event kernel's benchmark in SimPy: 30 independent M/M/c stations, c = 1 to 16, 70 % busy.

Counted as in harness/simulation/benches/kernel.rs: an event is an arrival or a departure. Exponential times come from
a table drawn beforehand, as there. Run with: pip install simpy==4.1.2 && python simpy_mmc.py

Two forms: "process" is SimPy as its documentation teaches it (a process a customer, a Resource a station), "callbacks"
schedules bare events and does the queueing by hand, which is what the kernel's benchmark does.
"""

import random
import time

import simpy

STATIONS, BUSY, EVENTS = 30, 0.7, 1_000_000
random.seed(1)
TABLE = [random.expovariate(1.0) for _ in range(4_096)]


class Times:
    at = 0

    def next(self, per):
        self.at = (self.at + 2_897) % len(TABLE)
        return TABLE[self.at] * per


class Done(Exception):
    pass


class Count:
    def __init__(self):
        self.events = 0

    def one(self):
        self.events += 1
        if self.events >= EVENTS:
            raise Done


def process(env, times, count):
    def customer(resource):
        with resource.request() as turn:
            yield turn
            yield env.timeout(times.next(1.0))
        count.one()

    def arrivals(servers):
        resource = simpy.Resource(env, capacity=servers)
        while True:
            yield env.timeout(times.next(1.0 / (BUSY * servers)))
            count.one()
            env.process(customer(resource))

    for index in range(STATIONS):
        env.process(arrivals(index % 16 + 1))


def callbacks(env, times, count):
    class Station:
        def __init__(self, servers):
            self.servers, self.present = servers, 0
            self.between = 1.0 / (BUSY * servers)
            self.after(self.between, self.arrive)

        def after(self, per, then):
            env.timeout(times.next(per)).callbacks.append(then)

        def arrive(self, _):
            count.one()
            self.after(self.between, self.arrive)
            self.present += 1
            if self.present <= self.servers:
                self.after(1.0, self.depart)

        def depart(self, _):
            count.one()
            self.present -= 1
            if self.present >= self.servers:
                self.after(1.0, self.depart)

    for index in range(STATIONS):
        Station(index % 16 + 1)


for form in (process, callbacks):
    env, count = simpy.Environment(), Count()
    form(env, Times(), count)
    before = time.perf_counter()
    try:
        env.run()
    except Done:
        pass
    print(f"{form.__name__}: {EVENTS / (time.perf_counter() - before) / 1e6:.2f} M events/s")
