//! What the platform's Prometheus would have scraped: fed once a second with what there is, by whoever plays the run.
//!
//! Every target has a phase of its own, a hash of its labels as in a real server, in whole seconds. A target that
//! cannot be reached is `up` 0 and its series end; one that is gone ends at its next scrape.

mod edges;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use platform::{Node, Platform, WorkloadId};
use record::{Cause, Observation};
use units::{Bytes, Nanos};

use crate::evaluation::{Evaluation, Outcome};
use crate::labels::{Labels, NAME};
use crate::monitoring::Monitoring;
use crate::rules;
use crate::store::{STALE, Store};
use crate::verdict::within;

pub use edges::Edges;
use show::{INGRESS_EDGES_MS, Shows, shows};

/// A pod whose containers have started.
#[derive(Clone, Copy, Debug)]
pub struct PodSight<'a> {
    /// Counted from 0 in order of creation.
    pub id: u32,
    /// Its name.
    pub name: &'a str,
    /// Its workload.
    pub workload: WorkloadId,
    /// Index of its node.
    pub node: Option<usize>,
    /// Whether a connection to it is answered.
    pub answers: bool,
    /// CPU time of its process so far.
    pub cpu: Nanos,
    /// Its working set.
    pub memory: Bytes,
}

/// Takes route, status, counts by bucket (one more than there are edges) and summed time.
pub type Tell<'a> = dyn FnMut(&str, u16, &[u64], Nanos) + 'a;

/// What can be seen of the platform at an instant.
pub trait Sight {
    /// All pods whose containers have started and that are not gone, in order of creation.
    fn pods(&self) -> Vec<PodSight<'_>>;
    /// Tells the requests that a pod's process has answered.
    fn requests(&self, pod: u32, tell: &mut Tell<'_>);
    /// CPU that something else than pods takes on a node, as a share of a core.
    fn noise(&self, node: usize) -> f64;
}

/// Requests of one process by status, in buckets.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counts {
    buckets: Vec<u64>,
    sum: Nanos,
}

struct Target {
    job: usize,
    labels: Labels,
    phase: i64,
    shows: Shows,
    /// Its series at the last scrape, by place in the store.
    live: BTreeSet<usize>,
    up: usize,
    last: Option<i64>,
}

/// The collected series and when nobody collected.
#[derive(Debug, Default)]
pub struct Collected {
    /// All series.
    pub store: Store,
    /// From when to when the server did not run, milliseconds.
    pub down: Vec<(i64, i64)>,
    /// Scrapes, and how many of them failed.
    pub scrapes: u64,
    /// Failed ones.
    pub failed: u64,
    /// Statuses with which limits of the gateway refuse.
    pub limit_statuses: BTreeSet<u16>,
    /// What stands in for something that the manifests do not have.
    pub assumed: Vec<String>,
    /// What became of each rule over the load, group by group.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// The server's scraping side.
pub struct Scraper {
    monitoring: Arc<Monitoring>,
    platform: Arc<Platform>,
    nodes: Vec<Node>,
    edges: Vec<Edges>,
    targets: BTreeMap<u32, Vec<Target>>,
    fixed: Vec<Target>,
    leaving: Vec<Target>,
    used: Vec<f64>,
    noise: Vec<f64>,
    cpu: BTreeMap<u32, Nanos>,
    memory: Vec<u64>,
    gateway: BTreeMap<u32, u64>,
    answers: BTreeMap<u16, Counts>,
    ingress: Labels,
    before: Option<i64>,
    /// The first second that it was told of.
    begun: Option<i64>,
    collected: Collected,
    /// The rules over the load, once there is some.
    evaluation: Option<Evaluation>,
    /// When rules are evaluated next, and what no rule will look at is forgotten; milliseconds.
    settles: i64,
    /// Series of a service's request, by target's labels, route and status: formatting labels costs more than all else.
    known: BTreeMap<(usize, String, u16), Vec<usize>>,
    bases: BTreeMap<Labels, usize>,
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper").field("targets", &self.targets.len()).finish_non_exhaustive()
    }
}

/// Samples are kept for so long, or for as long as rules look back, milliseconds: a day of them would fill the memory.
pub const KEPT: i64 = 3_600_000;
/// How often rules are evaluated and old samples are forgotten, milliseconds.
const SETTLE: i64 = 600_000;
impl Scraper {
    /// One that has scraped nothing yet.
    pub fn new(monitoring: Arc<Monitoring>, platform: Arc<Platform>, nodes: Vec<Node>) -> Self {
        let edges = platform.workloads.iter().map(|workload| Edges::of(&platform, workload)).collect();
        let mut scraper = Self {
            used: vec![0.0; nodes.len()],
            noise: vec![0.0; nodes.len()],
            memory: vec![0; nodes.len()],
            monitoring,
            platform,
            nodes,
            edges,
            targets: BTreeMap::new(),
            fixed: Vec::new(),
            leaving: Vec::new(),
            cpu: BTreeMap::new(),
            gateway: BTreeMap::new(),
            answers: BTreeMap::new(),
            ingress: Labels::default(),
            before: None,
            begun: None,
            collected: Collected::default(),
            evaluation: None,
            settles: 0,
            known: BTreeMap::new(),
            bases: BTreeMap::new(),
        };
        scraper.find_fixed();
        scraper
    }

    /// The edges of a workload's latency buckets.
    pub fn edges(&self, workload: WorkloadId) -> &Edges {
        &self.edges[usize::from(workload.0)]
    }

    /// Targets that are no pods of the platform: the server itself, and the ingress controller in front.
    fn find_fixed(&mut self) {
        let monitoring = Arc::clone(&self.monitoring);
        for (index, job) in monitoring.jobs.iter().enumerate() {
            for address in &job.fixed {
                let port = address.rsplit(':').next().unwrap_or_default();
                if address.starts_with("localhost:") || address.starts_with("127.0.0.1:") || port == "9090" {
                    let discovered = [("__address__", address.as_str())].into_iter().collect();
                    self.add_fixed(index, discovered, Shows::Nothing);
                } else {
                    self.collected
                        .assumed
                        .push(format!("the fixed target {address} of job {} is not played", job.name));
                }
            }
        }
        let Some(gateway) = &self.platform.gateway else { return };
        let locations = gateway.config.servers.iter().flat_map(|server| &server.locations);
        self.collected.limit_statuses = locations.filter(|l| !l.limits.is_empty()).map(|l| l.limit_status).collect();
        // The controller comes from outside of the manifests. It counts every answer that a client gets.
        let service = &self.platform.service(gateway.service).name;
        let behind = self.platform.ingresses.iter().find(|i| i.rules.iter().any(|rule| rule.service == *service));
        let Some(ingress) = behind else { return };
        let host = ingress.rules.first().map_or("", |rule| rule.host.as_str());
        self.ingress = [
            ("ingress", ingress.name.as_str()),
            ("namespace", ingress.namespace.as_str()),
            ("service", service.as_str()),
            ("host", host),
        ]
        .into_iter()
        .collect();
        let discovered: Labels = [
            ("__address__", "ingress-nginx-controller-0:10254"),
            ("__meta_kubernetes_namespace", "ingress-nginx"),
            ("__meta_kubernetes_pod_name", "ingress-nginx-controller-0"),
            ("__meta_kubernetes_pod_container_name", "controller"),
            ("__meta_kubernetes_pod_container_port_number", "10254"),
            ("__meta_kubernetes_pod_container_port_name", "metrics"),
            ("__meta_kubernetes_pod_label_app_kubernetes_io_name", "ingress-nginx"),
            ("__meta_kubernetes_pod_label_app_kubernetes_io_component", "controller"),
            ("__meta_kubernetes_pod_annotation_prometheus_io_scrape", "true"),
            ("__meta_kubernetes_pod_annotation_prometheus_io_port", "10254"),
        ]
        .into_iter()
        .collect();
        for index in (0..monitoring.jobs.len()).filter(|index| monitoring.jobs[*index].pods) {
            if self.add_fixed(index, discovered.clone(), Shows::Ingress) {
                let what = "one pod of ingress-nginx, always there, counts every answer that clients get";
                self.collected.assumed.push(what.into());
            }
        }
    }

    fn add_fixed(&mut self, job: usize, discovered: Labels, shows: Shows) -> bool {
        let Some(labels) = self.monitoring.jobs[job].target(discovered) else { return false };
        let target = self.target(job, labels, shows);
        self.fixed.push(target);
        true
    }

    fn target(&mut self, job: usize, labels: Labels, shows: Shows) -> Target {
        let interval = (self.monitoring.jobs[job].interval / 1_000).max(1);
        let phase = (units::fnv1a(labels.to_string().bytes()) % interval as u64) as i64;
        let mut up = labels.clone();
        up.set(NAME, "up");
        let up = self.collected.store.index(&up);
        Target { job, labels, phase, shows, live: BTreeSet::new(), up, last: None }
    }

    /// Load begins now or soon: from then on rules are evaluated.
    pub fn load_begins(&mut self, at: Nanos) {
        let at = at.as_millis() as i64;
        let monitoring = &self.monitoring;
        self.evaluation = Some(Evaluation::new(&monitoring.groups, at, monitoring.evaluation, monitoring.release));
        self.settles = at + SETTLE;
    }

    /// A client's request has ended: the controller in front counts it.
    pub fn answered(&mut self, observation: &Observation) {
        let status = match (observation.status, observation.cause) {
            (0, Cause::NotSent) => return,
            (0, Cause::Timeout) => 499,
            (0, _) => 502,
            (status, _) => status,
        };
        if observation.gateway_pod > 0 {
            *self.gateway.entry(u32::from(observation.gateway_pod) - 1).or_default() += 1;
        }
        let counts = self.answers.entry(status).or_default();
        counts.buckets.resize(INGRESS_EDGES_MS.len() + 1, 0);
        let took = observation.service();
        counts.buckets[INGRESS_EDGES_MS.partition_point(|edge| Nanos::from_millis(*edge) < took)] += 1;
        counts.sum += took;
    }

    /// A whole second of the run's clock.
    pub fn second(&mut self, now: Nanos, sight: &impl Sight) {
        let now = now.as_millis() as i64;
        let pods = sight.pods();
        self.account(&pods, sight, now);
        self.discover(&pods);
        if !self.serves(&pods, now) {
            return;
        }
        let at = now / 1_000;
        let mut fixed = std::mem::take(&mut self.fixed);
        for target in &mut fixed {
            self.scrape(target, None, true, sight, (now, at));
        }
        self.fixed = fixed;
        let mut targets = std::mem::take(&mut self.targets);
        for pod in &pods {
            for target in targets.get_mut(&pod.id).into_iter().flatten() {
                self.scrape(target, Some(pod), pod.answers, sight, (now, at));
            }
        }
        self.targets = targets;
        // Last, since a pod of the same name may have been scraped in its place: then its series go on.
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.retain(|target| {
            let due = target.last.is_some_and(|last| now >= last + self.monitoring.jobs[target.job].interval);
            if due {
                target.live.iter().chain([&target.up]).for_each(|series| self.end(*series, now));
            }
            !due && target.last.is_some()
        });
        self.leaving = leaving;
        if now >= self.settles && self.evaluation.is_some() {
            self.settles = now + SETTLE;
            self.evaluate(now);
            if let Some(reach) = rules::reach(&self.monitoring.groups) {
                self.collected.store.forget(now - reach.max(KEPT));
            }
        }
    }

    /// Evaluates the rules up to an instant up to which everything was scraped.
    fn evaluate(&mut self, until: i64) {
        let Collected { store, down, .. } = &mut self.collected;
        if let Some(evaluation) = &mut self.evaluation {
            evaluation.advance(store, &self.monitoring.groups, until, |at| !within(down, at));
        }
    }

    /// What the run collected, and its rules' outcomes up to the end of load, milliseconds.
    pub fn finish(mut self, load_end: i64) -> Collected {
        self.evaluate(load_end);
        let outcomes = self.evaluation.map(Evaluation::outcomes).unwrap_or_default();
        Collected { outcomes, ..self.collected }
    }

    /// CPU and memory of the nodes, from those of their pods.
    fn account(&mut self, pods: &[PodSight<'_>], sight: &impl Sight, now: i64) {
        let passed = self.before.map_or(0, |before| now - before) as f64 / 1_000.0;
        self.before = Some(now);
        self.begun.get_or_insert(now);
        self.memory.fill(0);
        for pod in pods {
            let before = self.cpu.insert(pod.id, pod.cpu).unwrap_or(Nanos::ZERO);
            let Some(node) = pod.node.filter(|node| *node < self.used.len()) else { continue };
            let spent = if pod.cpu >= before { pod.cpu - before } else { pod.cpu };
            self.used[node] += spent.as_secs_f64();
            self.memory[node] += pod.memory.get();
        }
        for (node, noise) in self.noise.iter_mut().enumerate() {
            *noise += sight.noise(node) * passed;
        }
    }

    fn discover(&mut self, pods: &[PodSight<'_>]) {
        let here: BTreeSet<u32> = pods.iter().map(|pod| pod.id).collect();
        let gone: Vec<u32> = self.targets.keys().filter(|id| !here.contains(id)).copied().collect();
        for id in gone {
            self.leaving.extend(self.targets.remove(&id).into_iter().flatten());
            self.cpu.remove(&id);
        }
        for pod in pods.iter().filter(|pod| !self.targets.contains_key(&pod.id)).copied().collect::<Vec<_>>() {
            let found = self.of_pod(&pod);
            self.targets.insert(pod.id, found);
        }
    }

    /// Each declared port of a pod is a target of every job that keeps it (`discovery/kubernetes/pod.go`).
    fn of_pod(&mut self, pod: &PodSight<'_>) -> Vec<Target> {
        let (platform, monitoring) = (Arc::clone(&self.platform), Arc::clone(&self.monitoring));
        let workload = platform.workload(pod.workload);
        let mut common = Labels::default();
        common.set("__meta_kubernetes_namespace", workload.namespace.as_str());
        common.set("__meta_kubernetes_pod_name", pod.name);
        common.set("__meta_kubernetes_pod_phase", "Running");
        common.set("__meta_kubernetes_pod_controller_kind", workload.kind.name());
        common.set("__meta_kubernetes_pod_controller_name", workload.name.as_str());
        if let Some(node) = pod.node.and_then(|node| self.nodes.get(node)) {
            common.set("__meta_kubernetes_pod_node_name", node.name.as_str());
        }
        for (kind, pairs) in [("label", &workload.labels), ("annotation", &workload.annotations)] {
            for (key, value) in pairs {
                let key: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                common.set(format!("__meta_kubernetes_pod_{kind}_{key}"), value.as_str());
                common.set(format!("__meta_kubernetes_pod_{kind}present_{key}"), "true");
            }
        }
        let mut found = Vec::new();
        for (nth, container) in workload.containers.iter().enumerate() {
            for port in &container.ports {
                let mut discovered = common.clone();
                discovered.set("__address__", format!("{}:{}", pod.name, port.port));
                discovered.set("__meta_kubernetes_pod_container_name", container.name.as_str());
                discovered.set("__meta_kubernetes_pod_container_image", container.image.as_str());
                discovered.set("__meta_kubernetes_pod_container_port_number", port.port.to_string());
                discovered.set("__meta_kubernetes_pod_container_port_name", port.name.as_deref().unwrap_or_default());
                for (index, job) in monitoring.jobs.iter().enumerate().filter(|(_, job)| job.pods) {
                    if let Some(labels) = job.target(discovered.clone()) {
                        found.push(self.target(index, labels, shows(&container.image, nth)));
                    }
                }
            }
        }
        found
    }

    /// Whether the server runs, and notes when it does not.
    fn serves(&mut self, pods: &[PodSight<'_>], now: i64) -> bool {
        let Some(server) = self.monitoring.server else { return true };
        if pods.iter().any(|pod| pod.workload == server && pod.answers) {
            return true;
        }
        match self.collected.down.last_mut() {
            Some((_, until)) if *until == now => *until = now + 1_000,
            _ => self.collected.down.push((now, now + 1_000)),
        }
        false
    }

    fn scrape(
        &mut self,
        target: &mut Target,
        pod: Option<&PodSight<'_>>,
        answers: bool,
        sight: &impl Sight,
        when: (i64, i64),
    ) {
        let (now, second) = when;
        let interval = self.monitoring.jobs[target.job].interval;
        if second.rem_euclid((interval / 1_000).max(1)) != target.phase {
            return;
        }
        // The server was away for a while: what it saw last ended long ago.
        if let Some(last) = target.last.filter(|last| now > last + interval) {
            target.live.iter().chain([&target.up]).for_each(|series| self.end(*series, last + interval));
        }
        target.last = Some(now);
        self.collected.scrapes += 1;
        self.collected.failed += u64::from(!answers);
        self.collected.store.at(target.up).push(now, f64::from(u8::from(answers)));
        let mut live = BTreeSet::new();
        if answers {
            match (target.shows, pod) {
                (Shows::Service, Some(pod)) => self.show_service(target, pod, sight, now, &mut live),
                (Shows::Gateway, Some(pod)) => {
                    let requests = self.gateway.get(&pod.id).copied().unwrap_or(0);
                    self.show(target, &mut live, now, "nginx_up", &[], 1.0);
                    self.show(target, &mut live, now, "nginx_http_requests_total", &[], requests as f64);
                }
                (Shows::Database, _) => self.show(target, &mut live, now, "pg_up", &[], 1.0),
                (Shows::Cache, _) => self.show(target, &mut live, now, "redis_up", &[], 1.0),
                (Shows::Node, Some(pod)) => self.show_node(target, pod, now, &mut live),
                (Shows::Ingress, _) => self.show_ingress(target, now, &mut live),
                _ => {}
            }
        }
        for series in target.live.difference(&live) {
            self.end(*series, now);
        }
        target.live = live;
    }

    /// Marks the end of a series.
    fn end(&mut self, series: usize, at: i64) {
        let series = self.collected.store.at(series);
        if series.is_live() && series.times.last().is_some_and(|last| *last < at) {
            series.push(at, STALE);
        }
    }
}
