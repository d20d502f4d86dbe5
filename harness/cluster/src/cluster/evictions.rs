//! Evictions: one by one, and by drains.
//!
//! A drain is `kubectl drain --ignore-daemonsets --delete-emptydir-data --force`
//! (`staging/src/k8s.io/kubectl/pkg/drain/drain.go`): it cordons the node, asks for the eviction of every pod that was
//! there, asks again every 5 s where the answer is 429, gives up where it is another error, and waits until they have
//! gone.

use platform::WorkloadKind;
use record::{EventKind, NodeState};
use units::{Nanos, Out};

use super::{Cluster, Controller, Task};
use crate::disruption::{self, BudgetStatus, Member, Refusal};
use crate::{Effect, PodId};

/// How long kubectl waits after 429.
const DRAIN_RETRY: Nanos = Nanos::from_secs(5);

impl Cluster {
    /// What the platform's `index`-th budget allows now.
    pub(super) fn budget(&self, index: usize) -> BudgetStatus {
        let budget = &self.platform.budgets[index];
        let covered = self
            .owners
            .iter()
            .enumerate()
            .filter(|(_, owner)| disruption::covers(budget, self.platform.workload(owner.workload)));
        let members: Vec<Member> = covered
            .flat_map(|(index, owner)| {
                let controller = move |template| match &owner.controller {
                    // Ending pods may outlive their ReplicaSet, through which the controller finds the Deployment.
                    Controller::Deployment(deployment) if !deployment.keeps(template) => {
                        disruption::Controller::Unscaled
                    }
                    Controller::Deployment(_) | Controller::StatefulSet { .. } => {
                        disruption::Controller::Scaled(index, owner.desired)
                    }
                    Controller::DaemonSet(_) | Controller::Job { .. } => disruption::Controller::Unscaled,
                    Controller::Pod { .. } => disruption::Controller::None,
                };
                let records = owner.pods.iter().map(|pod| self.record(*pod));
                records.map(move |pod| Member { healthy: pod.is_serving(), controller: controller(pod.template) })
            })
            .collect();
        disruption::status(budget.bound, &members)
    }

    /// The eviction subresource. Pods that do not run yet, or no more, are not protected (`canIgnorePDB`).
    pub(super) fn evict(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) -> Result<(), Refusal> {
        let record = self.record(pod);
        if !record.is_active() {
            return Ok(());
        }
        let name = record.name.clone();
        if record.started.is_some() {
            let workload = self.platform.workload(record.workload);
            let budgets = self.platform.budgets.iter().enumerate();
            let budgets: Vec<_> = budgets
                .filter(|(_, budget)| disruption::covers(budget, workload))
                .map(|(index, budget)| (budget, self.budget(index)))
                .collect();
            if let Err(refusal) = disruption::evict(record.ready, &budgets) {
                let Refusal { budget, status, reason } = refusal.clone();
                out.emit(Effect::Note(EventKind::EvictionRefused { pod: name, budget, status, reason }));
                return Err(refusal);
            }
        }
        let reason = "Eviction API: evicting".to_owned();
        out.emit(Effect::Note(EventKind::PodEvicted { pod: name, reason }));
        self.delete(now, pod, "evicted", out);
        // Whoever evicts next sees the successor, if there is one by then.
        self.settle_controllers(now, out);
        Ok(())
    }

    pub(super) fn drain(&mut self, now: Nanos, node: usize, out: &mut impl Out<Effect>) {
        self.cordon(now, node, true, out);
        self.tell_node(node, NodeState::Draining, out);
        let leaves = |pod: &PodId| {
            let record = self.record(*pod);
            self.platform.workload(record.workload).kind != WorkloadKind::DaemonSet
        };
        let pods: Vec<PodId> = self.on_node(node).into_iter().filter(leaves).collect();
        self.node_mut(node).draining = Some(pods.iter().copied().collect());
        for pod in pods {
            self.drain_pod(now, node, pod, out);
        }
        self.ends_drain(node, out);
    }

    pub(super) fn drain_pod(&mut self, now: Nanos, node: usize, pod: PodId, out: &mut impl Out<Effect>) {
        let waits = |cluster: &Self| {
            cluster.nodes.get(node).and_then(|record| record.draining.as_ref()).is_some_and(|pods| pods.contains(&pod))
        };
        if !waits(self) {
            return;
        }
        // Any other error ends kubectl: the node stays cordoned, and the drain is never done.
        if self.evict(now, pod, out).is_err_and(|refusal| refusal.status == 429) {
            self.agenda.plan(now + DRAIN_RETRY, Task::Drain { node, pod });
        }
    }

    /// A pod of a node has gone: a drain may be done.
    pub(super) fn drained_of(&mut self, node: usize, pod: PodId, out: &mut impl Out<Effect>) {
        if let Some(pods) = &mut self.node_mut(node).draining
            && pods.remove(&pod)
        {
            self.ends_drain(node, out);
        }
    }

    fn ends_drain(&mut self, node: usize, out: &mut impl Out<Effect>) {
        let record = self.node_mut(node);
        if record.draining.as_ref().is_some_and(std::collections::BTreeSet::is_empty) {
            record.draining = None;
            self.tell_node(node, NodeState::Drained, out);
        }
    }
}
