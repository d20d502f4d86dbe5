//! Nodes and what stands on them: the scheduler's own record, from which every filter and score reads.
//!
//! Owns the sums per node. Decides nothing. A pod that is ending still stands on its node until it has gone
//! (`pkg/scheduler/backend/cache`), but topology spread looks past it.

use std::collections::BTreeMap;
use std::sync::Arc;

use platform::{Effect, Labels, Node, Platform, Resources, Taint, Workload, WorkloadId, WorkloadKind};
use units::{Bytes, Millicores, Nanos};

use crate::PodId;

/// Well-known label: every node has one of its own.
pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
/// Well-known label: the zone a node is in.
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
/// Taints that pods of DaemonSets bear although nobody says so (`AddOrUpdateDaemonPodTolerations` in
/// `pkg/controller/daemon/util/daemonset_util.go`).
const BORNE: [(&str, Effect); 6] = [
    ("node.kubernetes.io/not-ready", Effect::NoExecute),
    ("node.kubernetes.io/unreachable", Effect::NoExecute),
    ("node.kubernetes.io/disk-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/memory-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/pid-pressure", Effect::NoSchedule),
    (UNSCHEDULABLE, Effect::NoSchedule),
];
/// The taint that a cordoned node bears: `spec.unschedulable`, as the node lifecycle controller mirrors it.
pub(super) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// `pkg/scheduler/util/pod_resources.go`: what a container without requests counts as when nodes are scored.
const DEFAULT_CPU: Millicores = Millicores::new(100);
const DEFAULT_MEMORY: Bytes = Bytes::from_mebi(200);

/// A pod that wants a node, or stands on one.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Which pod.
    pub(crate) pod: PodId,
    /// Whose pod: its workload has everything that all its pods share.
    pub(crate) workload: WorkloadId,
    /// Its labels: those of the workload's template and those its controller added, such as `pod-template-hash`.
    pub(crate) labels: Arc<Labels>,
    /// The one node that a DaemonSet made it for (node affinity to a `metadata.name`).
    pub(crate) only: Option<usize>,
}

/// A pod on its node.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) candidate: Candidate,
    /// `status.startTime`, here the instant of binding.
    pub(crate) since: Nanos,
    /// It is being deleted.
    pub(crate) ending: bool,
    /// It is being deleted because somebody more important needs its room.
    pub(crate) preempted: bool,
}

/// What all pods of a workload ask for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What is fitted.
    pub(super) requests: Resources,
    /// What is scored: CPU in millicores, memory in bytes.
    pub(super) scored: (u64, u64),
}

/// A node with what stands on it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) node: Node,
    /// `spec.unschedulable`, which shows as a taint, too.
    pub(crate) cordoned: bool,
    /// Whether there is such a node: one that is still provisioned, or was removed, is none.
    pub(crate) present: bool,
    pub(crate) pods: BTreeMap<PodId, Placed>,
    pub(super) cpu: u64,
    pub(super) memory: u64,
    pub(super) scored_cpu: u64,
    pub(super) scored_memory: u64,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(super) platform: Arc<Platform>,
    pub(super) places: Vec<Place>,
    asked: Vec<Asked>,
}

impl Placed {
    /// A pod that was bound at `since`.
    pub(super) fn at(since: Nanos, candidate: Candidate) -> Self {
        Self { candidate, since, ending: false, preempted: false }
    }
}

impl Place {
    fn new(mut node: Node, present: bool) -> Self {
        // Every kubelet labels its node so; a nodes file need not.
        node.labels.entry(HOSTNAME.to_owned()).or_insert_with(|| node.name.clone());
        Self {
            node,
            cordoned: false,
            present,
            pods: BTreeMap::new(),
            cpu: 0,
            memory: 0,
            scored_cpu: 0,
            scored_memory: 0,
        }
    }

    /// The value of one of its labels.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.node.labels.get(key).map(String::as_str)
    }
}

impl Inventory {
    pub(super) fn new(platform: Arc<Platform>, nodes: Vec<Node>) -> Self {
        let asked = platform.workloads.iter().map(Asked::by).collect();
        Self { asked, places: nodes.into_iter().map(|node| Place::new(node, true)).collect(), platform }
    }

    pub(super) fn workload(&self, candidate: &Candidate) -> &Workload {
        self.platform.workload(candidate.workload)
    }

    pub(super) fn asked(&self, candidate: &Candidate) -> &Asked {
        &self.asked[usize::from(candidate.workload.0)]
    }

    /// Whether a pod bears `taint`. Pods of DaemonSets bear some that nobody told them to.
    pub(super) fn bears(&self, candidate: &Candidate, taint: &Taint) -> bool {
        let workload = self.workload(candidate);
        match workload.kind {
            WorkloadKind::DaemonSet if BORNE.contains(&(taint.key.as_str(), taint.effect)) => true,
            _ => workload.tolerations.iter().any(|toleration| toleration.tolerates(taint)),
        }
    }

    pub(super) fn priority(&self, candidate: &Candidate) -> i32 {
        self.workload(candidate).priority
    }

    /// Nodes that are there, with their index.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &Place)> {
        self.places.iter().enumerate().filter(|(_, place)| place.present)
    }

    /// How many nodes are there.
    pub(super) fn count(&self) -> usize {
        self.present().count()
    }

    /// Adds a node, which is there from now on or will be.
    pub(super) fn add(&mut self, node: Node, present: bool) -> usize {
        self.places.push(Place::new(node, present));
        self.places.len() - 1
    }

    /// Stands a pod on a node.
    pub(super) fn place(&mut self, node: usize, placed: Placed) {
        let (requests, (cpu, memory)) = self.figures(&placed.candidate);
        let place = &mut self.places[node];
        let pod = placed.candidate.pod;
        if place.pods.insert(pod, placed).is_none() {
            place.cpu += requests.0;
            place.memory += requests.1;
            place.scored_cpu += cpu;
            place.scored_memory += memory;
        }
    }

    /// Takes a pod off its node.
    pub(super) fn remove(&mut self, node: usize, pod: PodId) -> Option<Placed> {
        let placed = self.places[node].pods.remove(&pod)?;
        let (requests, (cpu, memory)) = self.figures(&placed.candidate);
        let place = &mut self.places[node];
        place.cpu -= requests.0;
        place.memory -= requests.1;
        place.scored_cpu -= cpu;
        place.scored_memory -= memory;
        Some(placed)
    }

    fn figures(&self, candidate: &Candidate) -> ((u64, u64), (u64, u64)) {
        let asked = self.asked(candidate);
        (plain(asked.requests), asked.scored)
    }
}

impl Asked {
    fn by(workload: &Workload) -> Self {
        // `NonMissingContainerRequests`: containers that say nothing, not pods, count as the default.
        let mut filled = workload.clone();
        for container in filled.containers.iter_mut().chain(&mut filled.init_containers) {
            container.requests.cpu.get_or_insert(DEFAULT_CPU);
            container.requests.memory.get_or_insert(DEFAULT_MEMORY);
        }
        Self { requests: workload.requests(), scored: plain(filled.requests()) }
    }
}

/// Millicores and bytes.
pub(super) fn plain(resources: Resources) -> (u64, u64) {
    (resources.cpu.map_or(0, Millicores::get), resources.memory.map_or(0, Bytes::get))
}
