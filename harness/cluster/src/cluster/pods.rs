//! A pod's life as the API server keeps it: created, reported about, deleted, gone.

use platform::WorkloadId;
use record::EventKind;
use units::{Nanos, Out};

use super::{Cluster, Controller, Task};
use crate::quota::{self, Used};
use crate::{Effect, PodId, PodRecord, PodStatus};

/// Which pod of its workload is created.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewPod {
    pub(super) template: u32,
    /// Of a StatefulSet.
    pub(super) ordinal: Option<u32>,
    /// The node that a DaemonSet wants it on.
    pub(super) only: Option<usize>,
}

/// `DefaultControllerRateLimiter`: a key that fails is tried again after 5 ms, doubling up to 1000 s.
fn creation_back_off(failures: u32) -> Nanos {
    let doubled = Nanos::from_millis(5) * (1 << (failures.clamp(1, 20) - 1));
    doubled.min(Nanos::from_secs(1_000))
}

impl Cluster {
    /// Creates a pod, unless a quota refuses: then its controller tries again later.
    pub(super) fn create(&mut self, now: Nanos, index: usize, new: NewPod, out: &mut impl Out<Effect>) -> bool {
        if self.owners[index].failures.until > now {
            return false;
        }
        let pod = PodId(self.pods.len() as u32);
        let id = self.owners[index].workload;
        let flaw = self.owners[index].flaw(new.template);
        let name = self.name_for(index, new);
        if let Some(refusal) = self.over_quota(id) {
            self.creation_failed(now, index, format!("Error creating: pods \"{name}\" is forbidden: {refusal}"), out);
            return false;
        }
        self.owners[index].failures = super::Failures::default();
        self.owners[index].pods.push(pod);
        let NewPod { template, ordinal, only } = new;
        self.pods.push(PodRecord { template, flaw, ordinal, only, ..PodRecord::new(name, id, now) });
        self.queue.add(now, pod, self.platform.workload(id).priority);
        self.agenda.plan(now + self.config.scheduling_delay, Task::Schedule);
        true
    }

    fn name_for(&mut self, index: usize, new: NewPod) -> String {
        let (pods, owner) = (&self.pods, &mut self.owners[index]);
        let of_owner = &owner.pods;
        let taken = |name: &str| of_owner.iter().any(|pod| pods[pod.0 as usize].name == name);
        match (&owner.controller, new.ordinal) {
            (_, Some(ordinal)) => owner.names.ordinal(ordinal),
            (Controller::Pod { .. }, None) => owner.names.base().to_owned(),
            (Controller::Deployment(_), None) => {
                let set = owner.names.template(new.template);
                owner.names.pod(&set, taken)
            }
            (_, None) => {
                let base = owner.names.base().to_owned();
                owner.names.pod(&base, taken)
            }
        }
    }

    fn over_quota(&self, id: WorkloadId) -> Option<String> {
        let workload = self.platform.workload(id);
        let quotas = self.quotas.iter().filter(|quota| quota.namespace == workload.namespace);
        quotas.into_iter().find_map(|quota| {
            let mut used = Used::default();
            for owner in &self.owners {
                let other = self.platform.workload(owner.workload);
                if other.namespace == quota.namespace {
                    let counted = owner.pods.iter().filter(|pod| self.record(**pod).succeeded.is_none());
                    counted.for_each(|_| used.add(other));
                }
            }
            quota::refuses(quota, used, workload)
        })
    }

    fn creation_failed(&mut self, now: Nanos, index: usize, message: String, out: &mut impl Out<Effect>) {
        let failures = &mut self.owners[index].failures;
        failures.count += 1;
        failures.until = now + creation_back_off(failures.count);
        let until = failures.until;
        // The name in it is a new one each time; the rest is what is told once.
        let told = message.split_once(" is forbidden").map_or(message.as_str(), |(_, rest)| rest).to_owned();
        if std::mem::replace(&mut failures.message, told.clone()) != told {
            let workload = self.platform.workload(self.owners[index].workload).name.clone();
            out.emit(Effect::Note(EventKind::CreateFailed { workload, reason: message }));
        }
        self.agenda.plan(until, Task::Reconcile(index));
    }

    /// Asks a pod to end. One without a node goes at once, and so does one that is `forced` out.
    pub(super) fn delete(&mut self, now: Nanos, pod: PodId, why: &str, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        if !record.is_active() {
            return;
        }
        record.deleted = Some(now);
        let (name, id, node) = (record.name.clone(), record.workload, record.node);
        out.emit(Effect::Note(EventKind::PodTerminating { pod: name, reason: why.to_owned() }));
        self.dirty.insert(usize::from(id.0));
        match node {
            // No kubelet has it: the API server drops it at once.
            None => self.gone(now, pod, out),
            Some(node) => {
                self.scheduler.ending(node, pod);
                self.tell_kubelet_to_stop(pod, node, out);
                self.observe(now, id);
            }
        }
    }

    /// `--grace-period=0 --force`: the record goes at once; the kubelet ends the pod when it hears of it.
    pub(super) fn delete_by_force(&mut self, now: Nanos, pod: PodId, why: &str, out: &mut impl Out<Effect>) {
        self.delete(now, pod, why, out);
        if self.record(pod).gone.is_none() {
            self.gone(now, pod, out);
        }
    }

    /// Nothing is left of a pod.
    pub(super) fn gone(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        if record.gone.is_some() {
            return;
        }
        record.gone = Some(now);
        record.ready = false;
        let (name, id, node) = (record.name.clone(), record.workload, record.node);
        self.queue.forget(pod);
        self.scheduler.forget(pod);
        self.reasons.remove(&pod);
        if let Some(node) = node {
            self.scheduler.release(node, pod);
            self.retry_waiting(now);
            self.drop_idle_nodes(now);
        }
        out.emit(Effect::Note(EventKind::PodGone { pod: name }));
        let index = usize::from(id.0);
        self.owners[index].pods.retain(|other| *other != pod);
        self.dirty.insert(index);
        self.observe(now, id);
        if let Some(node) = node {
            self.drained_of(node, pod, out);
        }
    }

    /// A kubelet reports.
    pub(super) fn reported(&mut self, now: Nanos, pod: PodId, status: PodStatus, out: &mut impl Out<Effect>) {
        let Some(record) = self.pods.get_mut(pod.0 as usize) else { return };
        if let Some(node) = record.node
            && !self.heard(node, pod, &status)
        {
            return;
        }
        self.apply(now, pod, status, out);
    }

    pub(super) fn apply(&mut self, now: Nanos, pod: PodId, status: PodStatus, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        if record.gone.is_some() {
            return; // a late word about a pod that was given up
        }
        let (name, id) = (record.name.clone(), record.workload);
        match status {
            PodStatus::Started if record.started.is_none() => {
                record.started = Some(now);
                out.emit(Effect::Note(EventKind::PodStarted { pod: name }));
                if let Controller::Job { .. } = self.owners[usize::from(id.0)].controller {
                    self.agenda.plan(now + self.config.job_duration, Task::Finish(pod));
                }
            }
            PodStatus::Started => {
                let reason = "node restarted".to_owned();
                self.apply(now, pod, PodStatus::Restarted { reason }, out);
            }
            PodStatus::Ready(ready) => self.set_ready(now, pod, ready, out),
            PodStatus::Restarted { reason } => {
                record.restarts += 1;
                out.emit(Effect::Note(EventKind::PodRestarted { pod: name, reason }));
            }
            PodStatus::Gone => self.gone(now, pod, out),
        }
    }

    /// Condition Ready, as the kubelet or the node lifecycle controller writes it.
    pub(super) fn set_ready(&mut self, now: Nanos, pod: PodId, ready: bool, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        if ready == record.ready || record.gone.is_some() {
            return;
        }
        (record.ready, record.ready_changed) = (ready, Some(now));
        let (name, id) = (record.name.clone(), record.workload);
        out.emit(Effect::Note(EventKind::PodReady { pod: name, ready }));
        self.dirty.insert(usize::from(id.0));
        let record = self.record(pod);
        let min_ready = match &self.owners[usize::from(id.0)].controller {
            Controller::Deployment(deployment) => deployment.min_ready(record.template),
            _ => self.platform.workload(id).min_ready,
        };
        if ready && let Some(at) = record.available_at(min_ready).filter(|at| *at > now) {
            self.agenda.plan(at, Task::Reconcile(usize::from(id.0)));
        }
        self.observe(now, id);
    }

    /// A Job's pod has done its work.
    pub(super) fn finish(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) {
        let record = &mut self.pods[pod.0 as usize];
        let Some(node) = record.node.filter(|_| record.is_active()) else { return };
        record.succeeded = Some(now);
        let (name, index) = (record.name.clone(), usize::from(record.workload.0));
        out.emit(Effect::Note(EventKind::PodSucceeded { pod: name }));
        if let Controller::Job { left, .. } = &mut self.owners[index].controller {
            *left = left.saturating_sub(1);
        }
        self.dirty.insert(index);
        self.tell_kubelet_to_stop(pod, node, out);
    }
}
