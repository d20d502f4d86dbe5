//! Pods that real kubelets run, as the stage asks for them: where each is reached, what it uses, what it has written.
//!
//! Nothing is started or ended here: the control plane does that, and its watches tell. Usage is asked for through the API
//! server, since nobody promises that pods can be reached from this machine: mock services account for it themselves, for
//! others their node's kubelet counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::PodId;
use containers::usage::{self, Told};
use containers::{Program, Role};
use futures_util::{StreamExt, stream};
use platform::WorkloadId;
use record::Check;
use stage::{
    BackedUp, ContainerNews, ContainerRuntime, ContainerUsage, FarDrivers, Followed, Hear, Later, Network, PodStart,
    Promoted,
};
use units::{Bytes, Nanos};

use super::workers::Workers;
use crate::rest::{self, Rest};

/// How often each pod is asked. The metrics server's own period is three times as long.
const PERIOD: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pods that are asked at once.
const AT_ONCE: usize = 8;
/// How much longer than in this process pods may take: their nodes pull images and start them one after the other.
const MORE: Nanos = Nanos::from_secs(600);
/// So long after the load kubelets have counted all of it: they do so every 10 to 15 s
/// (`pkg/kubelet/cadvisor/cadvisor_linux.go`).
const COUNTS: Duration = Duration::from_secs(16);
/// What is kept of a pod's log, bytes.
const LOG: usize = 1 << 20;

/// The share of what is accounted for that kubelets have to have counted.
const BURNT: RangeInclusive<f64> = 0.8..=1.3;

/// Where clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// At this port of the node that a gateway pod is on, each client from its own address in this block.
    OfNodes { port: u16, clients: [u8; 2] },
    /// Everybody at one address.
    At(SocketAddr),
}

/// A pod that runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) container: String,
    pub(crate) node: String,
    pub(crate) host: Option<Ipv4Addr>,
    pub(crate) address: Ipv4Addr,
}

#[derive(Debug)]
struct Running {
    place: Place,
    role: Role,
    port: u16,
    told: Option<Told>,
    /// CPU that its kubelet counted.
    counted: Option<Nanos>,
}

#[derive(Default)]
struct State {
    hear: Option<Hear>,
    places: BTreeMap<PodId, Place>,
    running: BTreeMap<PodId, Running>,
    /// Which pod tells which number of itself.
    numbers: BTreeMap<u16, PodId>,
}

/// The pods of a cluster.
pub(crate) struct ClusterPods {
    rest: Rest,
    programs: Vec<Program>,
    /// Workloads that run their own images, which account for nothing.
    kept: BTreeSet<WorkloadId>,
    /// Mock services use what they account for.
    burn: bool,
    door: Door,
    /// Who sends the load, if not this machine.
    drivers: Option<Arc<Workers>>,
    state: Mutex<State>,
}

impl std::fmt::Debug for ClusterPods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterPods").field("door", &self.door).finish_non_exhaustive()
    }
}

impl ClusterPods {
    pub(crate) fn new(
        rest: Rest,
        programs: Vec<Program>,
        kept: BTreeSet<WorkloadId>,
        burn: bool,
        door: Door,
        drivers: Option<Arc<Workers>>,
    ) -> Self {
        Self { rest, programs, kept, burn, door, drivers, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod is there. Its host is told to start it next.
    pub(crate) fn is_at(&self, pod: PodId, place: Place) {
        let [_, _, third, fourth] = place.address.octets();
        let mut state = self.lock();
        state.numbers.insert(u16::from_be_bytes([third, fourth]), pod);
        state.places.insert(pod, place);
    }

    /// Asks all pods, for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut turn = tokio::time::interval(PERIOD);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.ask_all().await;
        }
    }

    async fn ask_all(&self) {
        let (mocks, nodes) = {
            let state = self.lock();
            let mocks: Vec<(PodId, String)> = state
                .running
                .iter()
                .filter(|(_, running)| running.role == Role::Mock)
                .map(|(pod, running)| {
                    let name = format!("{}:{}", running.place.name, running.port);
                    (*pod, rest::pod(&running.place.namespace, &name, "proxy/metrics"))
                })
                .collect();
            let others = state.running.values().filter(|running| self.burn || running.role != Role::Mock);
            let nodes: BTreeSet<String> = others.map(|running| running.place.node.clone()).collect();
            (mocks, nodes)
        };
        let asked = stream::iter(mocks).map(|(pod, path)| async move {
            let text = tokio::time::timeout(PATIENCE, self.rest.text(&path)).await.ok()?.ok()?;
            self.keep(pod, usage::read(&text));
            Some(())
        });
        let of_nodes = stream::iter(nodes).map(|node| async move {
            let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
            let text = tokio::time::timeout(PATIENCE, self.rest.text(&path)).await.ok()?.ok()?;
            self.counted(&node, &text);
            Some(())
        });
        asked.buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
        of_nodes.buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
    }

    fn keep(&self, pod: PodId, told: Told) {
        if let Some(running) = self.lock().running.get_mut(&pod) {
            running.told = Some(told);
        }
    }

    /// What a kubelet counted of its containers.
    fn counted(&self, node: &str, text: &str) {
        let mut state = self.lock();
        for running in state.running.values_mut().filter(|running| running.place.node == node) {
            let Place { namespace, name, container, .. } = &running.place;
            let labels = format!("{{container=\"{container}\",namespace=\"{namespace}\",pod=\"{name}\"}}");
            let of = |metric: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(&labels))?;
                line.split_whitespace().next()?.parse::<f64>().ok()
            };
            let cpu = of("container_cpu_usage_seconds_total").map(Nanos::from_secs_f64);
            running.counted = cpu.or(running.counted);
            if running.role == Role::Mock {
                continue; // which accounts for itself
            }
            if let (Some(cpu), Some(memory)) = (cpu, of("container_memory_working_set_bytes")) {
                let memory = Bytes::new(memory as u64);
                running.told =
                    Some(Told { usage: ContainerUsage { cpu, memory, ..Default::default() }, ..Told::default() });
            }
        }
    }

    /// Whether kubelets have counted the CPU that mock services account for, where these burn it: otherwise autoscalers saw
    /// less than there was. Asks when load is over.
    #[expect(clippy::disallowed_methods, reason = "kubelets' own time; nothing is measured by it")]
    pub(crate) async fn burnt(&self) -> Option<Check> {
        if !self.burn {
            return None;
        }
        tokio::time::sleep(COUNTS).await;
        self.ask_all().await;
        let (accounted, counted) = self.seen();
        Some(check_of_burning(accounted, counted))
    }

    /// CPU of mock services: what they account for, and what kubelets counted of the same ones.
    fn seen(&self) -> (Nanos, Nanos) {
        let state = self.lock();
        let mocks = state.running.values().filter(|running| running.role == Role::Mock);
        let both = mocks.filter_map(|running| Some((running.told.as_ref()?.usage.cpu, running.counted?)));
        both.fold((Nanos::ZERO, Nanos::ZERO), |(one, two), (told, counted)| (one + told, two + counted))
    }

    /// Writes what pods have logged into a folder, a file for each.
    pub(crate) async fn keep_logs(&self, folder: &Path) {
        let places: Vec<Place> = self.lock().places.values().cloned().collect();
        let fetch = stream::iter(places).map(|place| async move {
            let below = format!("log?container={}&limitBytes={LOG}&timestamps=true", place.container);
            let path = rest::pod(&place.namespace, &place.name, &below);
            let text = tokio::time::timeout(PATIENCE, self.rest.text(&path)).await.ok()?.ok()?;
            (!text.is_empty()).then_some((place.name, text))
        });
        let logs: Vec<_> = fetch.buffer_unordered(AT_ONCE).filter_map(|log| async { log }).collect().await;
        std::fs::create_dir_all(folder).ok(); // what cannot be kept is no reason to lose the run
        for (name, text) in logs {
            std::fs::write(folder.join(format!("{name}.log")), text).ok();
        }
    }
}

/// Autoscalers of a platform hold 50 to 80 % of what is requested, with a tolerance of 10 %: what is further off than this
/// is another decision.
fn check_of_burning(accounted: Nanos, counted: Nanos) -> Check {
    let share = if accounted == Nanos::ZERO { 1.0 } else { counted.as_secs_f64() / accounted.as_secs_f64() };
    Check {
        name: "CPU that kubelets counted of what mock services burnt".into(),
        ok: counted == Nanos::ZERO || BURNT.contains(&share),
        measured: if counted == Nanos::ZERO {
            "kubelets could not be asked".to_owned()
        } else {
            let (counted, accounted) = (counted.as_secs_f64(), accounted.as_secs_f64());
            format!("{counted:.1} s where they account for {accounted:.1} s ({:.0} %)", share * 100.0)
        },
        limit: format!("{:.0} to {:.0} %", BURNT.start() * 100.0, BURNT.end() * 100.0),
    }
}

/// What no cluster of ours does from here.
fn not_here<T: Send + 'static>() -> Later<Result<T, String>> {
    Box::pin(async { Err("rehearse does not do that in a cluster".to_owned()) })
}

impl ContainerRuntime for ClusterPods {
    fn network(&self) -> Network {
        Network::There {
            clients: match self.door {
                Door::OfNodes { clients, .. } => Some(clients),
                Door::At(_) => None,
            },
        }
    }

    fn patience(&self) -> Nanos {
        MORE
    }

    fn number(&self, told: u16) -> u16 {
        self.lock().numbers.get(&told).map_or(told, |pod| pod.0 as u16 + 1)
    }

    fn attach(&self, hear: Hear) {
        self.lock().hear = Some(hear);
    }

    fn start(&self, pod: PodStart) {
        let (hear, at) = {
            let mut state = self.lock();
            let Some(place) = state.places.get(&pod.id).cloned() else { return };
            let program = &self.programs[usize::from(pod.workload.0)];
            let at = match (program.role, self.door) {
                (Role::Gateway, Door::OfNodes { port, .. }) => {
                    SocketAddr::from((place.host.unwrap_or(place.address), port))
                }
                (Role::Gateway, Door::At(at)) => at,
                _ => SocketAddr::from((place.address, program.port)),
            };
            // What keeps its own image tells nothing of itself that we can read.
            let role = if self.kept.contains(&pod.workload) { Role::Gateway } else { program.role };
            state.running.insert(pod.id, Running { place, role, port: program.port, told: None, counted: None });
            (state.hear.clone(), at)
        };
        if let Some(hear) = hear {
            hear(pod.id, pod.started, ContainerNews::ReachedAt(at));
        }
    }

    fn terminate(&self, _: PodId) -> Later<()> {
        Box::pin(async {})
    }

    fn kill(&self, pod: PodId) {
        self.lock().running.remove(&pod);
    }

    fn is_ready(&self, _: PodId) -> Later<bool> {
        Box::pin(async { true })
    }

    fn usage(&self, pod: PodId) -> Option<ContainerUsage> {
        Some(self.lock().running.get(&pod)?.told.as_ref()?.usage)
    }

    fn requests(&self, pod: PodId, tell: &mut (dyn FnMut(&str, u16, &[u64], Nanos) + '_)) {
        let state = self.lock();
        let told = state.running.get(&pod).and_then(|running| running.told.as_ref());
        for counted in told.iter().flat_map(|told| &told.requests) {
            tell(&counted.route, counted.status, &counted.buckets, counted.sum);
        }
    }

    fn promote(&self, _: PodId) -> Later<Result<Promoted, String>> {
        not_here()
    }

    fn follow_failover(&self) -> Option<Later<Result<Followed, String>>> {
        None
    }

    fn rejoined(&self, _: PodId) -> Later<Result<String, String>> {
        not_here()
    }

    fn fill_disk(&self, _: PodId, _: bool) -> Later<Result<Bytes, String>> {
        not_here()
    }

    fn back_up(&self, _: PodId) -> Later<Result<BackedUp, String>> {
        not_here()
    }

    fn take_connections(&self, _: PodId, _: u32) -> Later<Result<u32, String>> {
        not_here()
    }

    fn give_connections_back(&self) {}

    fn drivers(&self) -> Option<Arc<dyn FarDrivers>> {
        self.drivers.clone().map(|drivers| drivers as Arc<dyn FarDrivers>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_cpu_was_not_burnt_is_no_run() {
        let check = |accounted, counted| check_of_burning(Nanos::from_secs(accounted), Nanos::from_secs(counted));
        for (case, accounted, counted, ok) in [
            ("all of it", 40, 41, true),
            ("half of it", 40, 20, false),
            ("too much", 40, 60, false),
            ("nobody asked", 40, 0, true),
        ] {
            assert_eq!(check(accounted, counted).ok, ok, "{case}");
        }
        assert_eq!(check(40, 20).measured, "20.0 s where they account for 40.0 s (50 %)");
    }
}
