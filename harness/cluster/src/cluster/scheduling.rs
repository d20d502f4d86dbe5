//! From a pod's creation to its node: when the scheduler tries, and what follows from its answer.

use record::EventKind;
use units::{Nanos, Out, Purpose};

use super::{Cluster, Task};
use crate::scheduler::{Candidate, Outcome};
use crate::{Effect, PodId};

impl Cluster {
    pub(super) fn candidate(&mut self, pod: PodId) -> Candidate {
        let record = &self.pods[pod.0 as usize];
        let (workload, template, only) = (record.workload, record.template, record.only);
        let owner = &mut self.owners[usize::from(workload.0)];
        let labels = owner.labels(self.platform.workload(workload), template);
        Candidate { pod, workload, labels, only }
    }

    /// Tries all pods whose turn it is.
    pub(super) fn schedule(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        while let Some(pod) = self.queue.pop() {
            if self.record(pod).is_active() {
                self.try_bind(now, pod, out);
            }
        }
    }

    fn try_bind(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) {
        let candidate = self.candidate(pod);
        let allowed: Vec<u32> = (0..self.platform.budgets.len()).map(|index| self.budget(index).allowed).collect();
        let tie = self.config.seed.child("scheduler").draw_nth(u64::from(pod.0), Purpose::Phase);
        match self.scheduler.schedule(now, &candidate, tie, &allowed) {
            Outcome::Bound(node) => {
                self.queue.forget(pod);
                self.reasons.remove(&pod);
                self.bound(now, pod, node, out);
            }
            Outcome::Refused { reason, victims } => {
                self.queue.refused(now, pod);
                let name = self.record(pod).name.clone();
                if self.reasons.get(&pod) != Some(&reason) {
                    self.reasons.insert(pod, reason.clone());
                    out.emit(Effect::Note(EventKind::PodUnschedulable { pod: name.clone(), reason }));
                }
                for victim in victims {
                    self.delete(now, victim, &format!("preempted by {name}"), out);
                }
                if let Some((node, comes)) = self.scheduler.order_node(now, &candidate) {
                    self.agenda.plan(comes, Task::NodeCame(node));
                }
            }
        }
    }

    fn bound(&mut self, now: Nanos, pod: PodId, node: usize, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        (record.node, record.accepted, record.ready_changed) = (Some(node), Some(now), Some(now));
        let name = record.name.clone();
        let on = self.scheduler.place(node).node.name.clone();
        out.emit(Effect::Note(EventKind::PodScheduled { pod: name, node: on, number: pod.0 as u16 + 1 }));
        self.hand_over(pod, node, out);
    }

    /// Something changed that may help pods without a node.
    pub(super) fn retry_waiting(&mut self, now: Nanos) {
        if self.queue.moved(now) {
            self.agenda.plan(now + self.config.scheduling_delay, Task::Schedule);
        }
    }

    /// An ordered node has come.
    pub(super) fn node_came(&mut self, now: Nanos, node: usize) {
        self.scheduler.node_came(node);
        self.lifecycle.add(node, &self.scheduler.place(node).node);
        self.sync_daemon_sets();
        self.retry_waiting(now);
        self.drop_idle_nodes(now);
    }

    /// Nodes of groups that nobody uses go, and their DaemonSet pods with them.
    pub(super) fn drop_idle_nodes(&mut self, now: Nanos) {
        let (gone, next) = self.scheduler.drop_idle_nodes(now);
        if let Some(next) = next {
            self.agenda.plan(next, Task::IdleNodes);
        }
        for &node in &gone {
            self.lifecycle.remove(node);
        }
        if !gone.is_empty() {
            self.sync_daemon_sets();
        }
    }
}
