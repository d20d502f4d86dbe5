//! Nodes that fail, are cut off, come back, are cordoned and drained, and what that does to their pods.

use std::collections::{BTreeMap, BTreeSet};

use platform::{Effect as TaintEffect, Taint, WorkloadId, WorkloadKind};
use record::{EventKind, NodeState};
use units::{Nanos, Out};

use super::{Cluster, Task};
use crate::node_lifecycle::{Change, tick_at_or_after};
use crate::{Effect, PodId, PodStatus, Reach};

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// What admission plugin `DefaultTolerationSeconds` gives pods that say nothing about this taint.
const DEFAULT_TOLERATION: Nanos = Nanos::from_secs(300);

/// A node, as far as the control plane reaches it.
#[derive(Debug, Default)]
pub(super) struct NodeRecord {
    reach: Reach,
    cordoned: bool,
    /// Pods that its kubelet has, with their readiness as it sees it.
    pods: BTreeMap<PodId, bool>,
    /// What its kubelet could not tell.
    withheld: Vec<(PodId, PodStatus)>,
    /// Taint `unreachable:NoExecute`, and how often it was put on: evictions of an earlier time are void.
    tainted: bool,
    taints: u32,
    /// Pods that a drain waits for.
    pub(super) draining: Option<BTreeSet<PodId>>,
}

impl Cluster {
    pub(super) fn is_node(&self, node: usize) -> bool {
        self.scheduler.present().any(|(index, _)| index == node)
    }

    pub(super) fn node_mut(&mut self, node: usize) -> &mut NodeRecord {
        if self.nodes.len() <= node {
            self.nodes.resize_with(node + 1, NodeRecord::default);
        }
        &mut self.nodes[node]
    }

    fn reach(&self, node: usize) -> Reach {
        self.nodes.get(node).map_or(Reach::Up, |record| record.reach)
    }

    /// Whether a pod's node can be asked for its usage.
    pub(super) fn is_reached(&self, pod: PodId) -> bool {
        self.pod(pod).and_then(|record| record.node).is_none_or(|node| self.reach(node) == Reach::Up)
    }

    pub(super) fn tell_node(&self, node: usize, state: NodeState, out: &mut impl Out<Effect>) {
        let node = self.scheduler.place(node).node.name.clone();
        out.emit(Effect::Note(EventKind::NodeChanged { node, state }));
    }

    /// Gives a bound pod to its kubelet, once that is reached.
    pub(super) fn hand_over(&mut self, pod: PodId, node: usize, out: &mut impl Out<Effect>) {
        if self.reach(node) == Reach::Up {
            self.node_mut(node).pods.insert(pod, false);
            let record = self.record(pod);
            let (workload, name) = (record.workload, record.name.clone());
            let (template, flaw) = (record.template, record.flaw);
            out.emit(Effect::RunPod { pod, workload, node, name, template, flaw });
        }
    }

    pub(super) fn tell_kubelet_to_stop(&mut self, pod: PodId, node: usize, out: &mut impl Out<Effect>) {
        if self.reach(node) == Reach::Up {
            out.emit(Effect::StopPod { pod });
        }
    }

    /// Whether word from a node's kubelet arrives; what does not is told when the node is back.
    pub(super) fn heard(&mut self, node: usize, pod: PodId, status: &PodStatus) -> bool {
        let record = self.node_mut(node);
        if record.reach == Reach::Lost {
            return false;
        }
        match status {
            PodStatus::Ready(ready) => drop(record.pods.insert(pod, *ready)),
            PodStatus::Gone => drop(record.pods.remove(&pod)),
            PodStatus::Started | PodStatus::Restarted { .. } => {}
        }
        if record.reach == Reach::CutOff {
            record.withheld.push((pod, status.clone()));
        }
        record.reach == Reach::Up
    }

    /// A node loses its power (`lost`), or is cut off.
    pub(super) fn lose_node(&mut self, now: Nanos, node: usize, lost: bool, out: &mut impl Out<Effect>) {
        let record = self.node_mut(node);
        let Some(before) = record.reach.worsen(lost) else { return };
        let pods: Vec<PodId> = record.pods.keys().copied().collect();
        if lost {
            record.withheld.clear();
        }
        self.tell_node(node, if lost { NodeState::Lost } else { NodeState::CutOff }, out);
        for pod in pods {
            if before == Reach::Up {
                out.emit(Effect::Reach { pod, reachable: false });
            }
            if lost {
                out.emit(Effect::LosePod { pod });
            }
        }
        self.lifecycle.falls_silent(now, node);
        self.look_soon(now);
    }

    fn look_soon(&mut self, now: Nanos) {
        if !std::mem::replace(&mut self.looking, true) {
            self.agenda.plan(tick_at_or_after(now), Task::Look);
        }
    }

    /// A node is back: its kubelet ends what was deleted meanwhile, and tells how the others are.
    pub(super) fn return_node(&mut self, now: Nanos, node: usize, out: &mut impl Out<Effect>) {
        let record = self.node_mut(node);
        let before = std::mem::take(&mut record.reach);
        if before == Reach::Up {
            return;
        }
        let withheld = std::mem::take(&mut record.withheld);
        let had = record.pods.clone();
        self.tell_node(node, NodeState::Returned, out);
        self.lifecycle.is_heard(node);
        for &pod in had.keys() {
            out.emit(Effect::Reach { pod, reachable: true });
        }
        for (pod, status) in withheld {
            self.apply(now, pod, status, out);
        }
        let owners = self.owners.iter().flat_map(|owner| &owner.pods).copied();
        let bound: Vec<PodId> = owners.filter(|pod| self.record(*pod).node == Some(node)).collect();
        for pod in bound {
            let deleted = !self.record(pod).is_active();
            match (before, had.contains_key(&pod)) {
                (Reach::Lost, _) if deleted => {
                    self.node_mut(node).pods.remove(&pod);
                    self.gone(now, pod, out);
                }
                (_, false) if deleted => self.gone(now, pod, out),
                (Reach::Lost, _) => {
                    self.set_ready(now, pod, false, out); // its container has to start anew
                    self.hand_over(pod, node, out);
                }
                (_, false) => self.hand_over(pod, node, out),
                (_, true) if deleted => out.emit(Effect::StopPod { pod }),
                (_, true) => {
                    let ready = had[&pod];
                    self.set_ready(now, pod, ready, out);
                }
            }
        }
        // Pods whose record was removed by force while nobody reached them.
        let forgotten: Vec<PodId> = had.into_keys().filter(|pod| self.record(*pod).gone.is_some()).collect();
        for pod in forgotten {
            match before {
                Reach::Lost => drop(self.node_mut(node).pods.remove(&pod)),
                Reach::CutOff | Reach::Up => out.emit(Effect::StopPod { pod }),
            }
        }
        self.look_soon(now);
    }

    /// The node lifecycle controller looks at all nodes.
    pub(super) fn look(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        self.looking = false;
        for change in self.lifecycle.look(now) {
            match change {
                Change::NotReady(node) => {
                    self.tell_node(node, NodeState::NotReady, out);
                    self.scheduler.taint(node, unreachable(TaintEffect::NoSchedule));
                    for pod in self.on_node(node) {
                        self.set_ready(now, pod, false, out);
                    }
                }
                Change::Ready(node) => {
                    self.tell_node(node, NodeState::Ready, out);
                    self.scheduler.untaint(node, UNREACHABLE);
                    self.retry_waiting(now);
                }
                Change::Tainted(node) => self.evict_by_taint(now, node, out),
                Change::Untainted(node) => {
                    self.node_mut(node).tainted = false;
                    self.scheduler.untaint(node, UNREACHABLE);
                    if !self.lifecycle.is_ready(node) {
                        self.scheduler.taint(node, unreachable(TaintEffect::NoSchedule));
                    }
                }
            }
        }
        self.sync_daemon_sets();
        if !self.lifecycle.is_quiet() {
            self.look_soon(now + Nanos::new(1));
        }
    }

    /// Pods bound to a node that have not gone.
    pub(super) fn on_node(&self, node: usize) -> Vec<PodId> {
        let pods = self.owners.iter().flat_map(|owner| &owner.pods).copied();
        let mut pods: Vec<PodId> = pods.filter(|pod| self.record(*pod).node == Some(node)).collect();
        pods.sort_unstable();
        pods
    }

    /// `pkg/controller/tainteviction`: pods go when they have borne the taint for as long as they tolerate it.
    fn evict_by_taint(&mut self, now: Nanos, node: usize, out: &mut impl Out<Effect>) {
        self.tell_node(node, NodeState::Unreachable, out);
        let taint = unreachable(TaintEffect::NoExecute);
        self.scheduler.taint(node, taint);
        let record = self.node_mut(node);
        record.tainted = true;
        record.taints += 1;
        let taints = record.taints;
        for pod in self.on_node(node) {
            if let Some(patience) = self.patience(self.record(pod).workload) {
                self.agenda.plan(now + patience, Task::TaintEvict { node, taints, pod });
            }
        }
    }

    /// How long pods of a workload bear `unreachable:NoExecute`; `None`: for ever.
    fn patience(&self, id: WorkloadId) -> Option<Nanos> {
        let workload = self.platform.workload(id);
        if workload.kind == WorkloadKind::DaemonSet {
            return None;
        }
        let taint = unreachable(TaintEffect::NoExecute);
        let bearing = || workload.tolerations.iter().filter(|toleration| toleration.tolerates(&taint));
        if bearing().next().is_none() {
            return Some(DEFAULT_TOLERATION);
        }
        bearing().filter_map(|toleration| toleration.seconds).min()
    }

    pub(super) fn taint_evicts(
        &mut self,
        now: Nanos,
        node: usize,
        taints: u32,
        pod: PodId,
        out: &mut impl Out<Effect>,
    ) {
        let stands = self.nodes.get(node).is_some_and(|record| record.tainted && record.taints == taints);
        if stands && self.record(pod).is_active() {
            let name = self.record(pod).name.clone();
            let reason = "its node is unreachable for longer than it tolerates".to_owned();
            out.emit(Effect::Note(EventKind::PodEvicted { pod: name, reason }));
            self.delete(now, pod, "evicted from an unreachable node", out);
        }
    }

    /// `kubectl cordon` and `uncordon`.
    pub(super) fn cordon(&mut self, now: Nanos, node: usize, cordoned: bool, out: &mut impl Out<Effect>) {
        if std::mem::replace(&mut self.node_mut(node).cordoned, cordoned) == cordoned {
            return;
        }
        self.scheduler.cordon(node, cordoned);
        self.tell_node(node, if cordoned { NodeState::Cordoned } else { NodeState::Uncordoned }, out);
        if !cordoned {
            self.node_mut(node).draining = None;
            self.retry_waiting(now);
        }
    }
}

fn unreachable(effect: TaintEffect) -> Taint {
    Taint { key: UNREACHABLE.to_owned(), value: String::new(), effect }
}
