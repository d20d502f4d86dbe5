-- Prints p95 in seconds, for `stall` of the driver's examples.
done = function(summary, latency, requests)
  print(string.format("p95 %.6f", latency:percentile(95) / 1e6))
end
