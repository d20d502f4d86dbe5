//! What a scenario does, told to the API server or done to the nodes that are played here.

use std::sync::Arc;

use cluster::{Action, Host};
use platform::WorkloadKind;
use record::NodeState;
use units::Nanos;

use super::{Hands, Remote};
use crate::deeds::{Loss, network_policy, network_policy_path, quota_object, quota_path};
use crate::writer::PodRef;

impl Remote {
    pub(super) fn act(&mut self, now: Nanos, action: &Action, host: &mut dyn Host) {
        let operator = self.operator();
        let workload = |id| Arc::new(self.platform.workload(id).clone());
        match *action {
            Action::Scale(id, replicas) => drop(tokio::spawn(operator.scale(workload(id), replicas))),
            Action::DeletePod { pod, forced } => {
                if let Some(target) = self.reference(pod) {
                    tokio::spawn(operator.delete(target, forced));
                }
            }
            Action::Evict(pod) => {
                if let Some(target) = self.reference(pod) {
                    tokio::spawn(async move { operator.evict(&target).await });
                }
            }
            Action::Rollout { workload: id, flaw } => {
                self.rollouts += 1;
                tokio::spawn(operator.roll_out(workload(id), flaw, self.rollouts));
            }
            Action::Rollback(id) => drop(tokio::spawn(operator.roll_back(workload(id), None))),
            Action::RollBackTo { workload: id, revision } => {
                tokio::spawn(operator.roll_back(workload(id), Some(u64::from(revision))));
            }
            Action::EditAutoscaler { workload: id, edit } => {
                let Some(declared) = self.platform.autoscalers.iter().find(|one| one.target == Some(id)) else {
                    return;
                };
                let target = (declared.namespace.clone(), declared.name.clone());
                self.edits.insert(id, edit);
                tokio::spawn(operator.edit_autoscaler(target, edit));
            }
            Action::SetQuota(ref quota) => {
                let what = format!("quota {}", quota.name);
                tokio::spawn(operator.set(what, quota_object(quota), self.run.clone()));
            }
            Action::DropQuota { ref namespace, ref name } => {
                tokio::spawn(operator.unset(quota_path(namespace, name)));
            }
            Action::Deny { ref name, from, to } => {
                if let Hands::Real { addresses, .. } = &self.hands {
                    let (from, to) = (self.platform.workload(from), self.platform.workload(to));
                    let policy = network_policy(name, from, to, addresses);
                    tokio::spawn(operator.set(format!("network policy {name}"), policy, self.run.clone()));
                }
            }
            Action::Allow { ref name, to } => {
                if matches!(self.hands, Hands::Real { .. }) {
                    let path = network_policy_path(&self.platform.workload(to).namespace, name);
                    tokio::spawn(operator.unset(path));
                }
            }
            Action::Patch { workload: id, .. } => {
                let name = &self.platform.workload(id).name;
                self.lost.get_or_insert(format!("it is not known how to patch {name} here"));
            }
            Action::Cordon(node) => self.cordon(node, true),
            Action::Uncordon(node) => self.cordon(node, false),
            Action::Drain(node) => self.drain(node, host),
            Action::LoseNode(node) | Action::CutOff(node) | Action::ReturnNode(node)
                if matches!(self.hands, Hands::Real { .. }) =>
            {
                self.lose_container(node, action, host);
            }
            Action::LoseNode(node) => self.lose_node(node, true, host),
            Action::CutOff(node) => self.lose_node(node, false, host),
            Action::ReturnNode(node) => self.return_node(now, node, host),
        }
    }

    /// Loses a node that is a container here, or gives it back. The control plane finds out by itself.
    fn lose_container(&self, node: usize, action: &Action, host: &mut dyn Host) {
        let (name, operator) = (self.nodes[node].name.clone(), self.operator());
        match action {
            Action::LoseNode(_) => {
                self.tell_node(node, NodeState::Lost, host);
                tokio::spawn(operator.lose(name, Loss::Power));
            }
            Action::CutOff(_) => {
                self.tell_node(node, NodeState::CutOff, host);
                tokio::spawn(operator.lose(name, Loss::Network));
            }
            _ => {
                self.tell_node(node, NodeState::Returned, host);
                tokio::spawn(operator.give_back(name));
            }
        }
    }

    fn reference(&self, pod: cluster::PodId) -> Option<PodRef> {
        self.pods.get(pod.0 as usize).map(|pod| pod.reference.clone())
    }

    fn cordon(&mut self, node: usize, cordoned: bool) {
        if let Some(drain) = self.ground[node].drain.take() {
            drain.abort();
        }
        let (operator, name) = (self.operator(), self.nodes[node].name.clone());
        tokio::spawn(async move { operator.cordon(&name, cordoned).await });
    }

    fn drain(&mut self, node: usize, host: &mut dyn Host) {
        self.tell_node(node, NodeState::Draining, host);
        let stays = |workload| self.platform.workload(workload).kind == WorkloadKind::DaemonSet;
        let there = self
            .records
            .iter()
            .zip(&self.pods)
            .filter(|(record, _)| record.node == Some(node) && record.gone.is_none() && !stays(record.workload));
        let pods: Vec<PodRef> = there.map(|(_, pod)| pod.reference.clone()).collect();
        let (operator, name) = (self.operator(), self.nodes[node].name.clone());
        let drain = tokio::spawn(async move {
            operator.cordon(&name, true).await;
            operator.drain(node, pods).await;
        });
        self.ground[node].drain = Some(drain.abort_handle());
    }
}
