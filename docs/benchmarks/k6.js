// One request after the other; `throughput` of the driver's examples starts it.
import http from "k6/http";

export default function () {
  http.get(__ENV.URL);
}
