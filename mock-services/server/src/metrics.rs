//! What a pod tells Prometheus: `GET /metrics` in `OpenMetrics` text.
//!
//! Source: `OpenMetrics` 1.0.0 (counters end in `_total`, buckets are cumulative and end with `+Inf`, a text ends with
//! `# EOF`). Buckets have an edge at every limit that the platform's objectives name, for a rule can only be exact
//! there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use units::{Bytes, Nanos};

use crate::Writes;

/// Upper edges of the buckets, in milliseconds.
pub const EDGES_MS: [u64; 12] = [100, 200, 300, 400, 500, 600, 800, 1_000, 1_500, 2_500, 3_000, 10_000];
/// The media type of what [`Metrics::text`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Requests of one pod, counted by route and status.
#[derive(Debug)]
pub struct Metrics {
    /// Upper edges of the buckets, in order.
    edges: Arc<[Nanos]>,
    series: Mutex<BTreeMap<(String, u16), Series>>,
}

/// What [`Metrics::text`] tells beside requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Requests in the pod.
    pub in_flight: u32,
    /// Those of them that wait for a thread.
    pub waiting: u32,
    /// Cumulative CPU time.
    pub cpu: Nanos,
    /// Working set.
    pub memory: Bytes,
    /// Of a real database.
    pub writes: Option<Writes>,
    /// CPU time that was accounted and could not be burnt, where it is burnt at all.
    pub unburnt: Option<Nanos>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// One more than there are edges: the last is beyond all of them.
    buckets: Vec<u64>,
    sum: Nanos,
}

/// With the edges of [`EDGES_MS`].
impl Default for Metrics {
    fn default() -> Self {
        Self::new(EDGES_MS.into_iter().map(Nanos::from_millis).collect())
    }
}

impl Metrics {
    /// With these upper edges, in order.
    pub fn new(edges: Arc<[Nanos]>) -> Self {
        Self { edges, series: Mutex::default() }
    }

    /// Calls `tell` with route, status, counts by bucket and summed time.
    pub fn each(&self, mut tell: impl FnMut(&str, u16, &[u64], Nanos)) {
        for ((route, status), series) in &*self.series.lock().unwrap_or_else(PoisonError::into_inner) {
            tell(route, *status, &series.buckets, series.sum);
        }
    }

    /// A request of `route` (such as `POST /token`) was answered with `status` after `took`.
    pub fn observe(&self, route: &str, status: u16, took: Nanos) {
        let bucket = self.edges.partition_point(|edge| *edge < took);
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry((route.to_owned(), status)).or_default();
        series.buckets.resize(self.edges.len() + 1, 0);
        series.buckets[bucket] += 1;
        series.sum += took;
    }

    /// Requests that were answered so far.
    pub fn answered(&self) -> u64 {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().flat_map(|series| &series.buckets).sum()
    }

    /// Everything of a pod.
    pub fn text(&self, service: &str, now: &Gauges) -> String {
        let Gauges { in_flight, waiting, cpu, memory, writes, unburnt } = now;
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").unwrap_or_default();
        let labels = |(route, status): &(String, u16)| {
            let (method, path) = route.split_once(' ').unwrap_or(("", route));
            format!(
                "service=\"{}\",method=\"{}\",path=\"{}\",status=\"{status}\"",
                escape(service),
                escape(method),
                escape(path)
            )
        };
        line(format_args!("# TYPE http_requests counter"));
        for (key, series) in &all {
            line(format_args!("http_requests_total{{{}}} {}", labels(key), series.buckets.iter().sum::<u64>()));
        }
        line(format_args!("# TYPE http_request_duration_seconds histogram"));
        line(format_args!("# UNIT http_request_duration_seconds seconds"));
        for (key, series) in &all {
            let (labels, mut so_far) = (labels(key), 0);
            for (index, count) in series.buckets.iter().enumerate() {
                so_far += count;
                let edge = self.edges.get(index).map_or("+Inf".to_owned(), |edge| format!("{:?}", edge.as_secs_f64()));
                line(format_args!("http_request_duration_seconds_bucket{{{labels},le=\"{edge}\"}} {so_far}"));
            }
            line(format_args!("http_request_duration_seconds_count{{{labels}}} {so_far}"));
            line(format_args!("http_request_duration_seconds_sum{{{labels}}} {}", series.sum.as_secs_f64()));
        }
        line(format_args!("# TYPE http_requests_in_flight gauge"));
        line(format_args!("http_requests_in_flight{{service=\"{}\"}} {in_flight}", escape(service)));
        line(format_args!("# TYPE http_requests_waiting gauge"));
        line(format_args!("http_requests_waiting{{service=\"{}\"}} {waiting}", escape(service)));
        line(format_args!("# TYPE process_cpu_seconds counter"));
        line(format_args!("# UNIT process_cpu_seconds seconds"));
        line(format_args!("process_cpu_seconds_total {}", cpu.as_secs_f64()));
        line(format_args!("# TYPE process_resident_memory_bytes gauge"));
        line(format_args!("# UNIT process_resident_memory_bytes bytes"));
        line(format_args!("process_resident_memory_bytes {}", memory.get()));
        if let Some(unburnt) = unburnt {
            line(format_args!("# TYPE process_cpu_unburnt_seconds counter"));
            line(format_args!("# UNIT process_cpu_unburnt_seconds seconds"));
            line(format_args!("process_cpu_unburnt_seconds_total {}", unburnt.as_secs_f64()));
        }
        if let Some(writes) = writes {
            line(format_args!("# TYPE database_writes counter"));
            line(format_args!("database_writes_total{{outcome=\"acknowledged\"}} {}", writes.acknowledged));
            line(format_args!("database_writes_total{{outcome=\"in doubt\"}} {}", writes.in_doubt));
        }
        line(format_args!("# EOF"));
        text
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_at_an_edge_is_within_it_and_buckets_are_cumulative() {
        let metrics = Metrics::default();
        for (status, ms) in [(200, 40), (200, 100), (200, 101), (200, 800), (200, 20_000), (500, 7)] {
            metrics.observe("POST /token", status, Nanos::from_millis(ms));
        }
        let writes = Some(Writes { acknowledged: 9, in_doubt: 1 });
        let (cpu, memory) = (Nanos::from_millis(1_500), Bytes::from_mebi(1));
        let text =
            metrics.text("auth-service", &Gauges { in_flight: 3, waiting: 1, cpu, memory, writes, unburnt: Some(cpu) });
        let labels = "service=\"auth-service\",method=\"POST\",path=\"/token\",status=\"200\"";
        for want in [
            format!("http_requests_total{{{labels}}} 5"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.1\"}} 2"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.2\"}} 3"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.8\"}} 4"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"10.0\"}} 4"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 5"),
            format!("http_request_duration_seconds_sum{{{labels}}} 21.041"),
            "http_requests_total{service=\"auth-service\",method=\"POST\",path=\"/token\",status=\"500\"} 1".to_owned(),
            "http_requests_in_flight{service=\"auth-service\"} 3".to_owned(),
            "http_requests_waiting{service=\"auth-service\"} 1".to_owned(),
            "process_cpu_seconds_total 1.5".to_owned(),
            "process_cpu_unburnt_seconds_total 1.5".to_owned(),
            "process_resident_memory_bytes 1048576".to_owned(),
            "database_writes_total{outcome=\"acknowledged\"} 9".to_owned(),
            "database_writes_total{outcome=\"in doubt\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|line| line == want), "`{want}` is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn labels_are_escaped() {
        let metrics = Metrics::default();
        metrics.observe("GET /a\"b\\c\nd", 200, Nanos::ZERO);
        assert!(metrics.text("x", &Gauges::default()).contains(r#"path="/a\"b\\c\nd""#));
    }
}
