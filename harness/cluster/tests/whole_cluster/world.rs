//! A control plane with its kubelets in virtual time: one event heap, made-up CPU usage, probes answered by a function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{
    Action, Cluster, ClusterConfig, ControlInput, ControlPlane, ControlWake, Endpoints, Host, PodId, ProbeKind,
    Question, Traffic, Usage,
};
use platform::{
    Affinity, Autoscaler, Container, HttpProbe, Metric, MetricSource, MetricTarget, Node, ObjectRef, Place, Platform,
    PortRef, Probe, ProbeAction, Resources, Selector, Service, ServiceId, Workload, WorkloadId,
};
use record::{Event, EventKind, ScalingDecision};
use units::{Bytes, Millicores, Nanos, Seed};

pub(crate) const WEB: WorkloadId = WorkloadId(0);
pub(crate) const SERVICE: ServiceId = ServiceId(0);

/// A workload whose pods request 500m and are ready 2 s after they started.
pub(crate) fn workload(name: &str) -> Workload {
    let container = Container {
        name: "app".into(),
        requests: Resources { cpu: Some(Millicores::new(500)), memory: Some(Bytes::from_mebi(256)) },
        readiness: Some(probe(2, 1)),
        liveness: Some(probe(10, 5)),
        ..Container::default()
    };
    let labels: platform::Labels = [("app".to_owned(), name.to_owned())].into();
    Workload {
        name: name.into(),
        selector: Selector { labels: labels.clone(), expressions: vec![] },
        labels,
        containers: vec![container],
        progress_deadline: Some(Nanos::from_secs(600)),
        grace_period: Nanos::from_secs(30),
        ..Workload::default()
    }
}

/// One autoscaled web workload: 2 to 10 replicas at 50 % CPU.
pub(crate) fn platform() -> Platform {
    let web = workload("web");
    let service =
        Service { name: "web".into(), selector: web.labels.clone(), affinity: Affinity::None, ..Service::default() };
    Platform {
        namespace: "test".into(),
        workloads: vec![web],
        services: vec![service],
        autoscalers: vec![Autoscaler {
            name: "web".into(),
            namespace: String::new(),
            reference: ObjectRef::default(),
            target: Some(WEB),
            min: 2,
            max: 10,
            metrics: vec![Metric {
                source: MetricSource::Resource { resource: "cpu".into() },
                target: MetricTarget::Utilization(50),
            }],
            behavior: None,
            place: Place::default(),
        }],
        ..Platform::default()
    }
}

/// `count` pods of one workload behind one Service, and nothing else.
pub(crate) fn plain(mut web: Workload, count: u32) -> Platform {
    web.replicas = Some(count);
    Platform { workloads: vec![web], autoscalers: vec![], ..platform() }
}

fn probe(delay: u64, period: u64) -> Probe {
    Probe {
        action: ProbeAction::Http(HttpProbe {
            path: "/health".into(),
            port: PortRef::Number(80),
            host: None,
            tls: false,
        }),
        initial_delay: Nanos::from_secs(delay),
        period: Nanos::from_secs(period),
        timeout: Nanos::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace_period: None,
    }
}

/// Nodes of `cores` cores, one in each of three zones in turn.
pub(crate) fn nodes(count: usize, cores: u64) -> Vec<Node> {
    (0..count)
        .map(|i| Node {
            name: format!("node-{i}"),
            labels: [("topology.kubernetes.io/zone".to_owned(), format!("zone-{}", i % 3))].into(),
            cpu: Millicores::from_cores(cores),
            memory: Bytes::from_mebi(16_384),
            pods: 110,
            taints: vec![],
        })
        .collect()
}

struct Running {
    since: Nanos,
    cpu_ns: u64,
    answered: u64,
}

/// The world around the control plane.
pub(crate) struct World {
    control: Option<ControlPlane>,
    pub(crate) place: Surroundings,
}

/// Where pods live, as the control plane sees it.
pub(crate) struct Surroundings {
    pub(crate) events: Vec<Event>,
    pub(crate) endpoints: Arc<Endpoints>,
    running: BTreeMap<PodId, Running>,
    /// Pods that nobody reaches.
    pub(crate) cut_off: BTreeSet<PodId>,
    due: BTreeMap<(Nanos, u64), ControlInput>,
    planned: u64,
    pub(crate) now: Nanos,
    /// CPU that all ready pods of the Service use together, in millicores, by the second.
    pub(crate) load: fn(u64) -> u64,
    /// Whether a pod's probe passes, by the second.
    pub(crate) healthy: fn(PodId, ProbeKind, u64) -> bool,
    /// How long a pod takes to end.
    pub(crate) drains_in: Nanos,
}

impl Host for Surroundings {
    fn bound(&mut self, _: PodId, _: WorkloadId, _: &str) {}
    fn start(&mut self, pod: PodId) {
        self.running.insert(pod, Running { since: self.now, cpu_ns: 0, answered: 0 });
    }
    fn terminate(&mut self, pod: PodId) {
        self.running.remove(&pod);
        self.plan(self.now + self.drains_in, ControlInput::Drained(pod));
    }
    fn kill(&mut self, pod: PodId) {
        self.running.remove(&pod);
    }
    fn reachable(&mut self, pod: PodId, reachable: bool) {
        if reachable {
            self.cut_off.remove(&pod);
        } else {
            self.cut_off.insert(pod);
        }
    }
    fn probe(&mut self, pod: PodId, question: Question, _: &Probe) {
        let ok = self.running.contains_key(&pod) && (self.healthy)(pod, question.probe, self.now.as_secs());
        self.plan(self.now, ControlInput::Probed { pod, question, ok });
    }
    fn usage(&mut self) -> Vec<(PodId, Usage)> {
        let usage = |(pod, running): (&PodId, &Running)| {
            let cpu = Nanos::new(running.cpu_ns);
            let traffic = Traffic { answered: running.answered, ..Traffic::default() };
            (*pod, Usage { cpu, memory: Bytes::from_mebi(100), started: running.since, traffic })
        };
        self.running.iter().map(usage).collect()
    }
    fn publish(&mut self, endpoints: Arc<Endpoints>) {
        self.endpoints = endpoints;
    }
    fn note(&mut self, kind: EventKind) {
        self.events.push(Event::new(self.now, kind));
    }
    fn wake(&mut self, at: Nanos, wake: ControlWake) {
        self.plan(at, ControlInput::Wake(wake));
    }
}

impl Surroundings {
    fn plan(&mut self, at: Nanos, due: ControlInput) {
        self.due.insert((at, self.planned), due);
        self.planned += 1;
    }

    /// Shares the load's CPU evenly among the published pods, up to `at`.
    fn burn(&mut self, at: Nanos) {
        let elapsed = (at - self.now).get();
        let ready = self.endpoints.ready(SERVICE);
        for pod in ready {
            if let Some(running) = self.running.get_mut(pod) {
                let millis = (self.load)(self.now.as_secs()) * elapsed / 1_000;
                running.cpu_ns += millis / ready.len() as u64;
                // Each request takes 10 ms of CPU.
                running.answered = running.cpu_ns / 10_000_000;
            }
        }
        self.now = at;
    }
}

impl World {
    pub(crate) fn new(platform: Platform, nodes: Vec<Node>, seed: u64) -> Self {
        let config = ClusterConfig { seed: Seed::new(seed), ..ClusterConfig::default() };
        let place = Surroundings {
            events: Vec::new(),
            endpoints: Arc::new(Endpoints::empty(platform.services.len())),
            running: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            due: BTreeMap::new(),
            planned: 0,
            now: Nanos::ZERO,
            load: |_| 0,
            healthy: |_, _, _| true,
            drains_in: Nanos::from_secs(1),
        };
        let mut world = Self { control: Some(ControlPlane::new(Arc::new(platform), nodes, config)), place };
        world.input(Nanos::ZERO, ControlInput::Start);
        world
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.control.as_ref().expect("never stepped from within").state()
    }

    pub(crate) fn input(&mut self, at: Nanos, input: ControlInput) {
        self.place.plan(at, input);
    }

    /// Somebody acts, at a second.
    pub(crate) fn act(&mut self, secs: u64, action: Action) {
        self.input(Nanos::from_secs(secs), ControlInput::Act(action));
    }

    fn step(&mut self) {
        let ((at, _), input) = self.place.due.pop_first().expect("something is always planned");
        self.place.burn(at);
        let mut control = self.control.take().expect("never stepped from within");
        control.step(at, input, &mut self.place);
        self.control = Some(control);
    }

    pub(crate) fn run_until(&mut self, secs: u64) {
        self.run_checked(secs, |_| ());
    }

    /// Runs, and looks at everything after each step.
    pub(crate) fn run_checked(&mut self, secs: u64, mut check: impl FnMut(&Self)) {
        let end = Nanos::from_secs(secs);
        while self.place.due.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
            check(self);
        }
        self.place.burn(end);
    }

    pub(crate) fn run_until_settled(&mut self, limit_secs: u64) -> Nanos {
        while !self.cluster().settled() {
            let next = self.place.due.first_key_value().map(|((at, _), _)| *at).expect("something is always planned");
            assert!(next < Nanos::from_secs(limit_secs), "not settled by {next}: {:#?}", self.place.events);
            self.step();
        }
        self.place.now
    }

    /// Syncs that changed something: second, before, after.
    pub(crate) fn rescales(&self) -> Vec<(u64, u32, u32)> {
        let decisions = self.decisions().filter(|(_, d)| d.current != d.desired);
        decisions.map(|(at_us, d)| (at_us / 1_000_000, d.current, d.desired)).collect()
    }

    pub(crate) fn decisions(&self) -> impl Iterator<Item = (u64, &ScalingDecision)> {
        self.place.events.iter().filter_map(|event| match &event.kind {
            EventKind::Scaling(decision) => Some((event.at_us, decision)),
            _ => None,
        })
    }

    /// Milliseconds of the events that `pick` names, with the names.
    pub(crate) fn told<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<(u64, T)> {
        self.place.events.iter().filter_map(|event| Some((event.at_us / 1_000, pick(&event.kind)?))).collect()
    }

    pub(crate) fn name(&self, pod: u32) -> &str {
        &self.cluster().pod(PodId(pod)).expect("created").name
    }

    /// Pods that have not gone, with their records.
    pub(crate) fn living(&self) -> impl Iterator<Item = (PodId, &cluster::PodRecord)> {
        self.cluster().pods().filter(|(_, record)| record.gone.is_none())
    }
}
