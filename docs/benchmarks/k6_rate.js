// Open load at a rate for the stall proof: prints p95 of the response times, in seconds, and what k6 did not send.
import http from "k6/http";

export const options = {
  scenarios: {
    open: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE),
      duration: __ENV.LENGTH,
      preAllocatedVUs: Number(__ENV.USERS),
      maxVUs: Number(__ENV.USERS),
    },
  },
};

export default function () {
  http.get(__ENV.URL);
}

export function handleSummary(data) {
  const dropped = data.metrics.dropped_iterations;
  console.error(`dropped ${dropped ? dropped.values.count : 0}`);
  return { stdout: `p95 ${data.metrics.http_req_duration.values["p(95)"] / 1000}\n` };
}
