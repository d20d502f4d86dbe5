//! Nodes: which are heard, which have lost their power, and what that does to their pods.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Host, PodId, Reach};
use record::{EventKind, NodeState};
use serde_json::json;
use units::Nanos;

use super::Remote;
use crate::ground;
use crate::rest::Patch;
use crate::view::{Node, Seen, condition};

/// A node, as far as it is played here.
#[derive(Debug, Default)]
pub(super) struct Ground {
    reach: Reach,
    /// Pods that its kubelet has.
    pub(super) pods: BTreeSet<PodId>,
    /// Pods of which its kubelet could not tell how they are, and whether they have ended.
    withheld: BTreeMap<PodId, bool>,
    told: Told,
    /// Ends a drain that is under way.
    pub(super) drain: Option<tokio::task::AbortHandle>,
}

/// What the control plane has said of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    not_ready: bool,
    unreachable: bool,
    cordoned: bool,
}

impl Ground {
    /// Whether its kubelet and the API server hear each other.
    pub(super) fn is_heard(&self) -> bool {
        self.reach == Reach::Up
    }

    pub(super) fn withhold(&mut self, pod: PodId, ended: bool) {
        if self.reach == Reach::CutOff {
            *self.withheld.entry(pod).or_default() |= ended;
        }
    }
}

impl Remote {
    /// Whether a pod's node can be asked for its usage.
    pub(super) fn is_heard(&self, pod: PodId) -> bool {
        self.records[pod.0 as usize].node.is_none_or(|node| self.ground[node].is_heard())
    }

    pub(super) fn tell_node(&self, node: usize, state: NodeState, host: &mut dyn Host) {
        host.note(EventKind::NodeChanged { node: self.nodes[node].name.clone(), state });
    }

    /// A node loses its power (`lost`), or is cut off. The control plane finds out by its leases.
    pub(super) fn lose_node(&mut self, node: usize, lost: bool, host: &mut dyn Host) {
        let ground = &mut self.ground[node];
        let Some(before) = ground.reach.worsen(lost) else { return };
        let pods: Vec<PodId> = ground.pods.iter().copied().collect();
        if lost {
            ground.withheld.clear();
        }
        self.silent.set(node, true);
        self.tell_node(node, if lost { NodeState::Lost } else { NodeState::CutOff }, host);
        for pod in pods {
            if before == Reach::Up {
                host.reachable(pod, false);
            }
            if lost {
                self.kubelets.lose(pod, host);
            }
        }
    }

    /// A node is back: its kubelet ends what was deleted meanwhile, and tells how the others are.
    pub(super) fn return_node(&mut self, now: Nanos, node: usize, host: &mut dyn Host) {
        let before = std::mem::take(&mut self.ground[node].reach);
        if before == Reach::Up {
            return;
        }
        self.silent.set(node, false);
        self.tell_node(node, NodeState::Returned, host);
        let (path, status) = ground::is_back(&self.nodes[node], node, self.wall, now);
        let (rest, lease) = (self.rest.clone(), ground::renewal(&self.nodes[node].name, self.wall, now));
        tokio::spawn(async move {
            // The heartbeat, which goes on, does what this may fail to do.
            rest.patch(&lease.0, Patch::Merge, &lease.1).await.ok();
            rest.patch(&path, Patch::Strategic, &status).await.ok();
        });
        let had = self.ground[node].pods.clone();
        let withheld = std::mem::take(&mut self.ground[node].withheld);
        for &pod in &had {
            host.reachable(pod, true);
        }
        let bound = (0..self.records.len()).filter(|index| self.records[*index].node == Some(node));
        let bound: Vec<PodId> = bound.map(|index| PodId(index as u32)).collect();
        for pod in bound {
            let record = &self.records[pod.0 as usize];
            let (deleted, gone) = (record.deleted.is_some(), record.gone.is_some());
            let ended = withheld.get(&pod).copied().unwrap_or(false);
            match (before, had.contains(&pod)) {
                (_, false) if gone => {}
                (Reach::Lost, true) if deleted => {
                    self.ground[node].pods.remove(&pod);
                    self.stop(now, pod, host);
                }
                (Reach::Lost, true) => {
                    if let Some(report) = &mut self.pods[pod.0 as usize].report {
                        (report.ready, report.ready_changed, report.running) = (false, now, None);
                        report.restarts += 1; // its container has to start anew
                    }
                    self.hand_over(now, pod, host);
                }
                (_, false) if deleted => self.stop(now, pod, host),
                (_, false) => self.hand_over(now, pod, host),
                (_, true) if ended => self.remove(pod),
                (_, true) if deleted => self.stop(now, pod, host),
                (_, true) => self.write(pod),
            }
        }
    }

    pub(super) fn node_seen(&mut self, seen: &Seen<Node>, host: &mut dyn Host) {
        let Some(node) = self.nodes.iter().position(|known| known.name == seen.name()) else { return };
        let ready = condition(&seen.body.status.conditions, "Ready");
        let not_ready = ready.is_some_and(|ready| ready.status != "True");
        let is =
            |taint: &crate::view::Taint| taint.key == "node.kubernetes.io/unreachable" && taint.effect == "NoExecute";
        let unreachable = seen.body.spec.taints.iter().any(is);
        let cordoned = seen.body.spec.unschedulable;
        let told = std::mem::replace(&mut self.ground[node].told, Told { not_ready, unreachable, cordoned });
        if told.not_ready != not_ready {
            self.tell_node(node, if not_ready { NodeState::NotReady } else { NodeState::Ready }, host);
        }
        if unreachable && !told.unreachable {
            self.tell_node(node, NodeState::Unreachable, host);
        }
        if told.cordoned != cordoned {
            self.tell_node(node, if cordoned { NodeState::Cordoned } else { NodeState::Uncordoned }, host);
        }
    }

    /// Gives a claim a volume, as a provisioner would: bound to it from the beginning, so that neither its class nor the
    /// scheduler has to wait for one.
    pub(super) fn claim_seen(&mut self, seen: &Seen<crate::view::Claim>) {
        let (namespace, name) = seen.key();
        let claim = &seen.body;
        let asked = claim.spec.resources.requests.get("storage");
        let (Some(size), None, "Pending") = (asked, &claim.spec.volume_name, claim.status.phase.as_str()) else {
            return;
        };
        let volume = format!("rehearse-{}", seen.uid());
        let mut spec = json!({
            "capacity": { "storage": size },
            "accessModes": claim.spec.access_modes,
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": { "path": format!("/rehearse/{namespace}/{name}") },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name,
                "uid": seen.uid(),
            },
        });
        if let Some(class) = &claim.spec.storage_class_name {
            spec["storageClassName"] = class.as_str().into();
        }
        if let Some(mode) = &claim.spec.volume_mode {
            spec["volumeMode"] = mode.as_str().into();
        }
        let document = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": volume }, "spec": spec,
        });
        let rest = self.rest.clone();
        tokio::spawn(async move {
            // It is there already after the second sight of a claim; where it is refused, the pod stays Pending and says so.
            rest.post("/api/v1/persistentvolumes", &document).await.ok();
        });
    }
}
