//! A cluster with its kubelets in virtual time: one event heap, made-up CPU usage, probes answered by a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{
    Cluster, ClusterConfig, Effect, Endpoints, Input, Kubelet, KubeletEffect, KubeletInput, PodId, PodStatus,
    ProbeKind, Usage,
};
use platform::{
    Affinity, Autoscaler, Container, HttpProbe, MetricTarget, Node, Place, Platform, PortRef, Probe, ProbeAction,
    Resource, ResourceMetric, Resources, Service, ServiceId, Strategy, Workload, WorkloadId,
};
use record::{Event, EventKind, ScalingDecision};
use units::{Bytes, Machine, Millicores, Nanos, Out, Seed, Wake};

pub(crate) const WEB: WorkloadId = WorkloadId(0);
pub(crate) const SERVICE: ServiceId = ServiceId(0);

/// One autoscaled web workload: 500m requested, ready 2 s after it started, 2 to 10 replicas at 50 % CPU.
pub(crate) fn platform() -> Platform {
    let labels = [("app".to_owned(), "web".to_owned())];
    let container = Container {
        name: "app".into(),
        requests: Resources { cpu: Some(Millicores::new(500)), memory: Some(Bytes::from_mebi(256)) },
        readiness: Some(probe(2, 1)),
        liveness: Some(probe(10, 5)),
        ..Container::default()
    };
    let web = Workload {
        name: "web".into(),
        replicas: None,
        labels: labels.clone().into(),
        containers: vec![container],
        strategy: Strategy::default(),
        min_ready: Nanos::ZERO,
        grace_period: Nanos::from_secs(30),
        node_selector: BTreeMap::new(),
        tolerations: vec![],
        ..Workload::default()
    };
    let service = Service {
        name: "web".into(),
        selector: labels.into(),
        ports: vec![],
        affinity: Affinity::None,
        ..Service::default()
    };
    let autoscaler = Autoscaler {
        name: "web".into(),
        target: WEB,
        min: 2,
        max: 10,
        metrics: vec![ResourceMetric { resource: Resource::Cpu, target: MetricTarget::Utilization(50) }],
        behavior: None,
        place: Place::default(),
    };
    Platform {
        namespace: "test".into(),
        workloads: vec![web],
        services: vec![service],
        autoscalers: vec![autoscaler],
        ..Platform::default()
    }
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

enum Due {
    Cluster(Input),
    Kubelet(PodId, KubeletInput),
}

struct Running {
    since: Nanos,
    cpu_ns: u64,
}

/// The world around the machines.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) events: Vec<Event>,
    pub(crate) endpoints: Arc<Endpoints>,
    platform: Arc<Platform>,
    config: ClusterConfig,
    kubelets: BTreeMap<PodId, Kubelet>,
    running: BTreeMap<PodId, Running>,
    due: BTreeMap<(Nanos, u64), Due>,
    planned: u64,
    now: Nanos,
    /// CPU that all ready pods of the Service use together, in millicores, by the second.
    pub(crate) load: fn(u64) -> u64,
    /// Whether a pod's probe passes, by the second.
    pub(crate) healthy: fn(PodId, ProbeKind, u64) -> bool,
}

struct Collected<E> {
    effects: Vec<E>,
    wakes: Vec<(Nanos, Wake)>,
}
impl<E> Out<E> for Collected<E> {
    fn emit(&mut self, effect: E) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push((at, wake));
    }
}

impl World {
    pub(crate) fn new(platform: Platform, nodes: Vec<Node>, seed: u64) -> Self {
        let config = ClusterConfig { seed: Seed::new(seed), ..ClusterConfig::default() };
        let platform = Arc::new(platform);
        let mut world = Self {
            cluster: Cluster::new(Arc::clone(&platform), nodes, config.clone()),
            events: Vec::new(),
            endpoints: Arc::new(Endpoints::empty(platform.services.len())),
            platform,
            config,
            kubelets: BTreeMap::new(),
            running: BTreeMap::new(),
            due: BTreeMap::new(),
            planned: 0,
            now: Nanos::ZERO,
            load: |_| 0,
            healthy: |_, _, _| true,
        };
        world.input(Nanos::ZERO, Input::Start);
        world
    }

    pub(crate) fn input(&mut self, at: Nanos, input: Input) {
        self.plan(at, Due::Cluster(input));
    }

    fn plan(&mut self, at: Nanos, due: Due) {
        self.due.insert((at, self.planned), due);
        self.planned += 1;
    }

    pub(crate) fn run_until(&mut self, secs: u64) {
        let end = Nanos::from_secs(secs);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), due) = entry.remove_entry();
            self.burn(at);
            match due {
                Due::Cluster(input) => self.step_cluster(input),
                Due::Kubelet(pod, input) => self.step_kubelet(pod, input),
            }
        }
        self.burn(end);
    }

    pub(crate) fn run_until_settled(&mut self, limit_secs: u64) -> Nanos {
        while !self.cluster.settled() {
            let next = self.due.first_key_value().map(|((at, _), _)| *at).expect("something is always planned");
            assert!(next < Nanos::from_secs(limit_secs), "not settled by {next}: {:#?}", self.events);
            let ((at, _), due) = self.due.pop_first().expect("just looked at");
            self.burn(at);
            match due {
                Due::Cluster(input) => self.step_cluster(input),
                Due::Kubelet(pod, input) => self.step_kubelet(pod, input),
            }
        }
        self.now
    }

    /// Shares the load's CPU evenly among the published pods, up to `at`.
    fn burn(&mut self, at: Nanos) {
        let elapsed = (at - self.now).get();
        let ready = self.endpoints.ready(SERVICE);
        for pod in ready {
            if let Some(running) = self.running.get_mut(pod) {
                running.cpu_ns += (self.load)(self.now.as_secs()) * elapsed / 1_000 / ready.len() as u64;
            }
        }
        self.now = at;
    }

    fn step_cluster(&mut self, input: Input) {
        let mut out = Collected { effects: Vec::new(), wakes: Vec::new() };
        self.cluster.step(self.now, input, &mut out);
        for (at, wake) in out.wakes {
            self.input(at, Input::Wake(wake));
        }
        for effect in out.effects {
            match effect {
                Effect::RunPod { pod, workload, .. } => {
                    let kubelet = Kubelet::new(pod, self.platform.workload(workload), &self.config);
                    self.kubelets.insert(pod, kubelet);
                    self.step_kubelet(pod, KubeletInput::Start);
                }
                Effect::StopPod { pod } => self.plan(self.now, Due::Kubelet(pod, KubeletInput::Stop)),
                Effect::Endpoints(endpoints) => self.endpoints = endpoints,
                Effect::Scrape => {
                    let usage = |(pod, running): (&PodId, &Running)| {
                        let cpu = Nanos::new(running.cpu_ns);
                        (*pod, Usage { cpu, memory: Bytes::from_mebi(100), started: running.since })
                    };
                    self.step_cluster(Input::Usage(self.running.iter().map(usage).collect()));
                }
                Effect::Note(kind) => self.events.push(Event::new(self.now, kind)),
            }
        }
    }

    fn step_kubelet(&mut self, pod: PodId, input: KubeletInput) {
        let mut out = Collected { effects: Vec::new(), wakes: Vec::new() };
        let kubelet = self.kubelets.get_mut(&pod).expect("started before it is stepped");
        kubelet.step(self.now, input, &mut out);
        for (at, wake) in out.wakes {
            self.plan(at, Due::Kubelet(pod, KubeletInput::Wake(wake)));
        }
        for effect in out.effects {
            match effect {
                KubeletEffect::StartContainer => {
                    self.running.insert(pod, Running { since: self.now, cpu_ns: 0 });
                }
                KubeletEffect::Probe { probe, number } => {
                    let ok = (self.healthy)(pod, probe, self.now.as_secs());
                    self.plan(self.now, Due::Kubelet(pod, KubeletInput::Probed { probe, number, ok }));
                }
                KubeletEffect::Terminate => {
                    self.running.remove(&pod);
                    self.plan(self.now + Nanos::from_secs(1), Due::Kubelet(pod, KubeletInput::Drained));
                }
                KubeletEffect::Kill => drop(self.running.remove(&pod)),
                KubeletEffect::Status(status) => {
                    if status == PodStatus::Gone {
                        self.running.remove(&pod);
                    }
                    self.input(self.now, Input::Pod(pod, status));
                }
            }
        }
    }

    /// Syncs that changed something: second, before, after.
    pub(crate) fn rescales(&self) -> Vec<(u64, u32, u32)> {
        let decisions = self.decisions().filter(|(_, d)| d.current != d.desired);
        decisions.map(|(at_us, d)| (at_us / 1_000_000, d.current, d.desired)).collect()
    }

    pub(crate) fn decisions(&self) -> impl Iterator<Item = (u64, &ScalingDecision)> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Scaling(decision) => Some((event.at_us, decision)),
            _ => None,
        })
    }

    /// Milliseconds of the events that `pick` names, with the names.
    pub(crate) fn told<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<(u64, T)> {
        self.events.iter().filter_map(|event| Some((event.at_us / 1_000, pick(&event.kind)?))).collect()
    }

    pub(crate) fn name(&self, pod: u32) -> &str {
        &self.cluster.pod(PodId(pod)).expect("created").name
    }
}
