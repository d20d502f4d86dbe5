//! What a target shows: the metrics of each exporter, with their labels.

use std::collections::BTreeSet;
use std::sync::Arc;

use units::Nanos;

use super::{PodSight, Scraper, Sight, Target};
use crate::labels::NAME;
use crate::monitoring::image_name;
use crate::promql::number;

/// What a target shows beside `up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Service,
    Gateway,
    Database,
    Cache,
    Node,
    Ingress,
    Nothing,
}

pub(super) const INGRESS_EDGES_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Nodes that are scraped for the first time within this time were there before the run, milliseconds.
const STAND_UP: i64 = 60_000;
/// How long before the run nodes are taken to have been idle, milliseconds: the longest range of usual rules on nodes.
const BEFORE: i64 = 300_000;
/// How long nodes have been up when a run begins, milliseconds.
const UPTIME: i64 = 3_600_000;

impl Scraper {
    pub(super) fn show(
        &mut self,
        target: &Target,
        live: &mut BTreeSet<usize>,
        now: i64,
        name: &str,
        more: &[(&str, &str)],
        value: f64,
    ) {
        let mut labels = target.labels.clone();
        labels.set(NAME, name);
        let honor = self.monitoring.jobs[target.job].honor_labels;
        for (label, value) in more {
            // A label of the target's own gives way to that of its discovery, unless the job honours it.
            if honor || labels.get(label).is_empty() {
                labels.set(*label, *value);
            } else {
                labels.set(format!("exported_{label}"), *value);
            }
        }
        let index = self.collected.store.index(&labels);
        self.collected.store.at(index).push(now, value);
        live.insert(index);
    }

    pub(super) fn show_service(
        &mut self,
        target: &Target,
        pod: &PodSight<'_>,
        sight: &impl Sight,
        now: i64,
        live: &mut BTreeSet<usize>,
    ) {
        self.show(target, live, now, "process_cpu_seconds_total", &[], pod.cpu.as_secs_f64());
        self.show(target, live, now, "process_resident_memory_bytes", &[], pod.memory.get() as f64);
        let next = self.bases.len();
        let base = *self.bases.entry(target.labels.clone()).or_insert(next);
        let edges = Arc::clone(&self.edges[usize::from(pod.workload.0)].edges);
        let mut told: Vec<(String, u16, Vec<u64>, Nanos)> = Vec::new();
        sight.requests(pod.id, &mut |route, status, buckets, sum| {
            told.push((route.into(), status, buckets.into(), sum));
        });
        for (route, status, buckets, sum) in told {
            let mut values = Vec::with_capacity(buckets.len() + 3);
            let mut so_far = 0;
            for count in &buckets {
                so_far += count;
                values.push(so_far as f64);
            }
            values.extend([so_far as f64, sum.as_secs_f64(), so_far as f64]);
            let key = (base, route, status);
            if !self.known.contains_key(&key) {
                let series = self.series_of(target, &key.1, status, &edges);
                self.known.insert(key.clone(), series);
            }
            for (series, value) in self.known[&key].iter().zip(values) {
                self.collected.store.at(*series).push(now, value);
                live.insert(*series);
            }
        }
    }

    /// The buckets, count and sum of a route and status, and its counter.
    fn series_of(&mut self, target: &Target, route: &str, status: u16, edges: &[Nanos]) -> Vec<usize> {
        let (method, path) = route.split_once(' ').unwrap_or(("", route));
        let mut labels = target.labels.clone();
        labels.set("method", method);
        labels.set("handler", path);
        labels.set("status", status.to_string());
        let mut index = |name: &str, le: Option<String>| {
            let mut labels = labels.clone();
            labels.set(NAME, name);
            labels.set("le", le.unwrap_or_default());
            self.collected.store.index(&labels)
        };
        let les = edges.iter().map(|edge| le(edge.as_secs_f64())).chain(["+Inf".to_owned()]);
        let mut all: Vec<usize> = les.map(|le| index("http_request_duration_seconds_bucket", Some(le))).collect();
        all.push(index("http_request_duration_seconds_count", None));
        all.push(index("http_request_duration_seconds_sum", None));
        all.push(index("http_requests_total", None));
        all
    }

    pub(super) fn show_node(&mut self, target: &Target, pod: &PodSight<'_>, now: i64, live: &mut BTreeSet<usize>) {
        let Some((index, node)) = pod.node.and_then(|index| Some((index, self.nodes.get(index)?))) else { return };
        let (cores, memory) = (node.cpu.get() as f64 / 1_000.0, node.memory.get() as f64);
        let available = (memory - self.memory[index] as f64).max(0.0);
        let used = self.used[index] + self.noise[index];
        // Nodes were there before the run, and idle: without it every rate over minutes would begin with a lie.
        if target.live.is_empty() && now < self.begun.unwrap_or(now) + STAND_UP {
            let interval = self.monitoring.jobs[target.job].interval.max(1_000);
            for nth in (1..=BEFORE / interval).rev() {
                self.show_cores(target, live, now - nth * interval, cores, 0.0);
            }
        }
        self.show(target, live, now, "node_memory_MemTotal_bytes", &[], memory);
        self.show(target, live, now, "node_memory_MemAvailable_bytes", &[], available);
        self.show_cores(target, live, now, cores, used);
    }

    /// Idle and busy seconds of each core, all cores alike.
    fn show_cores(&mut self, target: &Target, live: &mut BTreeSet<usize>, now: i64, cores: f64, used: f64) {
        let all = cores * (now + UPTIME) as f64 / 1_000.0;
        let used = used.min(all);
        for core in 0..(cores.ceil() as usize).max(1) {
            let cpu = core.to_string();
            for (mode, seconds) in [("idle", all - used), ("user", used)] {
                let more = [("cpu", cpu.as_str()), ("mode", mode)];
                self.show(target, live, now, "node_cpu_seconds_total", &more, seconds / cores);
            }
        }
    }

    pub(super) fn show_ingress(&mut self, target: &Target, now: i64, live: &mut BTreeSet<usize>) {
        for (status, counts) in self.answers.clone() {
            let status = status.to_string();
            let own = self.ingress.clone();
            let mut tell = |name: &str, le: &str, value: f64| {
                let more: Vec<(&str, &str)> = own.iter().chain([("status", status.as_str()), ("le", le)]).collect();
                self.show(target, live, now, name, &more, value);
            };
            let mut so_far = 0;
            for (nth, count) in counts.buckets.iter().enumerate() {
                so_far += count;
                let edge = INGRESS_EDGES_MS.get(nth).map_or("+Inf".to_owned(), |ms| le(*ms as f64 / 1_000.0));
                tell("nginx_ingress_controller_request_duration_seconds_bucket", &edge, so_far as f64);
            }
            tell("nginx_ingress_controller_request_duration_seconds_count", "", so_far as f64);
            tell("nginx_ingress_controller_request_duration_seconds_sum", "", counts.sum.as_secs_f64());
            tell("nginx_ingress_controller_requests", "", so_far as f64);
        }
    }
}

/// An edge as a label: always with a point, as Python's and Prometheus 3's are.
fn le(seconds: f64) -> String {
    let text = number(seconds);
    if text.contains(['.', 'e']) { text } else { text + ".0" }
}

/// What a container shows, by its image; the first one of a pod is the service itself.
pub(super) fn shows(image: &str, nth: usize) -> Shows {
    match image_name(image).replace('_', "-").as_str() {
        name if name.contains("postgres-exporter") => Shows::Database,
        name if name.contains("redis-exporter") => Shows::Cache,
        name if name.contains("nginx-prometheus-exporter") => Shows::Gateway,
        name if name.contains("node-exporter") => Shows::Node,
        _ if nth == 0 => Shows::Service,
        _ => Shows::Nothing,
    }
}
