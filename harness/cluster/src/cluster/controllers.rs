//! Carries out what the workload controllers decide, until they have nothing more to say at this instant.
//!
//! Upstream's controllers hear of each other's writes within milliseconds; here that takes no time. A controller is
//! asked again whenever a pod of its own changed, and when time alone changes something (`minReadySeconds`,
//! `progressDeadlineSeconds`, a creation to be tried again).

use std::collections::BTreeSet;

use record::EventKind;
use units::{Nanos, Out, Purpose};

use platform::WorkloadKind;

use super::pods::NewPod;
use super::{Cluster, Controller, Task};
use crate::daemon_set::{self, Member as Daemon};
use crate::deployment::{Counts, Left, Look, ReplicaSet, Synced, Told};
use crate::replica_set::{self, BURST_REPLICAS};
use crate::stateful_set::{self, Step};
use crate::{DeploymentStatus, Effect, Flaw, Patch, PodId, PodRecord, Release, ReplicaSetStatus};

/// Which template a workload gets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Roll {
    /// A new one.
    Out(Flaw),
    /// That of a revision, or of the one before the present one.
    Back(Option<u32>),
}

impl Cluster {
    /// Lets every controller act that has something new to look at.
    pub(super) fn settle_controllers(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        while let Some(index) = self.dirty.pop_first() {
            match self.owners[index].controller {
                Controller::Deployment(_) => self.sync_deployment(now, index, out),
                Controller::StatefulSet { .. } => self.sync_stateful_set(now, index, out),
                Controller::DaemonSet(_) => self.sync_daemon_set(now, index, out),
                Controller::Job { .. } => self.sync_job(now, index, out),
                Controller::Pod { made } => {
                    if !made && self.create(now, index, NewPod::default(), out) {
                        self.owners[index].controller = Controller::Pod { made: true };
                    }
                }
            }
        }
    }

    /// All DaemonSets look at the nodes anew.
    pub(super) fn sync_daemon_sets(&mut self) {
        let owners = self.owners.iter().enumerate();
        let daemons = owners.filter(|(_, owner)| matches!(owner.controller, Controller::DaemonSet(_)));
        self.dirty.extend(daemons.map(|(index, _)| index));
    }

    /// `kubectl scale`, or an autoscaler's write.
    pub(super) fn scale(&mut self, index: usize, desired: u32) {
        let owner = &mut self.owners[index];
        match &mut owner.controller {
            Controller::Deployment(deployment) => deployment.resize(desired),
            Controller::StatefulSet { .. } => {}
            Controller::DaemonSet(_) | Controller::Job { .. } | Controller::Pod { .. } => return, // they have no scale
        }
        let from = std::mem::replace(&mut owner.desired, desired);
        owner.why = format!("scaled down from {from} to {desired}");
        self.dirty.insert(index);
    }

    /// A new pod template, or an earlier one again.
    pub(super) fn roll(&mut self, now: Nanos, index: usize, to: Roll, out: &mut impl Out<Effect>) {
        let owner = &mut self.owners[index];
        let changed = match to {
            Roll::Out(flaw) => owner.roll_out(flaw),
            Roll::Back(revision) => owner.roll_back(revision),
        };
        if !changed {
            return;
        }
        if let Controller::StatefulSet { revisions, .. } | Controller::DaemonSet(revisions) = &owner.controller {
            let revision = revisions.number;
            let workload = self.platform.workload(owner.workload).name.clone();
            out.emit(Effect::Note(EventKind::RolloutStarted { workload, revision }));
        }
        self.dirty.insert(index);
        self.settle_controllers(now, out);
    }

    /// Fields of a Deployment's spec are set anew. Pods that are ready count by its new `minReadySeconds`.
    pub(super) fn patch(&mut self, now: Nanos, index: usize, patch: &Patch) {
        let Controller::Deployment(deployment) = &mut self.owners[index].controller else { return };
        deployment.patch(patch);
        if let Some(min_ready) = patch.min_ready {
            let available = self.owners[index].pods.iter().filter_map(|pod| self.record(*pod).available_at(min_ready));
            let later: BTreeSet<Nanos> = available.filter(|at| *at > now).collect();
            later.into_iter().for_each(|at| self.agenda.plan(at, Task::Reconcile(index)));
        }
        self.dirty.insert(index);
    }

    /// What a Deployment's status says; `None` for anything else.
    pub(super) fn deployment_status(&self, now: Nanos, index: usize) -> Option<DeploymentStatus> {
        let owner = self.owners.get(index)?;
        let Controller::Deployment(deployment) = &owner.controller else { return None };
        let status = deployment.status();
        let set = |set: &ReplicaSet| {
            let Counts { replicas, ready, available, .. } = self.counts(now, index, set);
            let (template, revision, wanted) = (set.template, set.revision, set.replicas);
            let name = owner.names.template(template);
            ReplicaSetStatus { name, template, revision, wanted, replicas, ready, available }
        };
        Some(DeploymentStatus {
            replica_sets: deployment.sets().iter().map(set).collect(),
            replicas: status.replicas,
            updated: status.updated,
            ready: status.ready,
            available: status.available,
            unavailable: status.unavailable,
            conditions: deployment.conditions(owner.names.base(), |template| owner.names.template(template)),
        })
    }

    /// What a ReplicaSet reports.
    fn counts(&self, now: Nanos, index: usize, set: &ReplicaSet) -> Counts {
        let tells_terminating = self.config.kubernetes >= Release::V1_35;
        let pods = self.owners[index].pods.iter().map(|pod| self.record(*pod));
        let own = pods.filter(|record| record.template == set.template);
        own.fold(Counts::default(), |mut counts, record| {
            if record.is_active() {
                counts.replicas += 1;
                counts.ready += u32::from(record.ready);
                counts.available += u32::from(record.is_available(now, set.min_ready));
            } else if record.deleted.is_some() {
                counts.terminating += u32::from(tells_terminating);
            }
            counts
        })
    }

    fn active(&self, index: usize) -> impl Iterator<Item = (PodId, &PodRecord)> {
        let pods = self.owners[index].pods.iter();
        pods.map(|pod| (*pod, self.record(*pod))).filter(|(_, record)| record.is_active())
    }

    fn sync_deployment(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let mut asked = self.deadlines[index].take_if(|at| *at <= now).is_some();
        loop {
            self.sync_replica_sets(now, index, out);
            let Controller::Deployment(deployment) = &self.owners[index].controller else { return };
            let wanted = deployment.wanted();
            let counts: Vec<Counts> = deployment.sets().iter().map(|set| self.counts(now, index, set)).collect();
            let pods = self.owners[index].pods.iter().map(|pod| self.record(*pod).template);
            let own: BTreeSet<u32> = pods.filter(|template| deployment.keeps(*template)).collect();
            let left = Left { old: own.iter().any(|template| *template != wanted), none: own.is_empty() };
            if !asked && !deployment.has_news(&counts, left) {
                return;
            }
            let mut told = Vec::new();
            let Controller::Deployment(deployment) = &mut self.owners[index].controller else { return };
            let synced = deployment.sync(now, &counts, left, &mut told);
            let again = deployment.looks_again(now);
            self.tell(index, told, out);
            match synced {
                Synced::Settled => {
                    match again {
                        Look::Never => {}
                        Look::At(at) => self.plan_once(at, index),
                        Look::Soon => {
                            let at = self.retries.take(now);
                            self.plan_once(at, index);
                        }
                    }
                    return;
                }
                Synced::Changed => {}
                Synced::Refused => {
                    // What the sync wrote before wakes the controller earlier than the retry.
                    self.retries.take(now);
                    self.deadlines[index] = None;
                }
            }
            asked = true;
        }
    }

    /// Plans a look at a workload unless an earlier one is planned: a delaying queue holds a key once.
    fn plan_once(&mut self, at: Nanos, index: usize) {
        if self.deadlines[index].is_none_or(|planned| at < planned) {
            self.deadlines[index] = Some(at);
            self.agenda.plan(at, Task::Reconcile(index));
        }
    }

    /// The first rollout, the one with which the run begins, is told by its pods alone.
    fn tell(&self, index: usize, told: Vec<Told>, out: &mut impl Out<Effect>) {
        let owner = &self.owners[index];
        let Controller::Deployment(deployment) = &owner.controller else { return };
        let workload = self.platform.workload(owner.workload).name.clone();
        let first = deployment.current().is_none_or(|set| set.revision == 1);
        for word in told {
            let kind = match word {
                Told::Created { revision } if revision > 1 => {
                    EventKind::RolloutStarted { workload: workload.clone(), revision }
                }
                Told::Scaled { template, from, to } if !first || template != deployment.wanted() => {
                    let replica_set = owner.names.template(template);
                    EventKind::ReplicaSetScaled { workload: workload.clone(), replica_set, from, to }
                }
                Told::Progressed { updated, available } if !first => {
                    let desired = owner.desired;
                    EventKind::RolloutProgressed { workload: workload.clone(), updated, available, desired }
                }
                Told::Complete { revision } if !first => {
                    EventKind::RolloutComplete { workload: workload.clone(), revision }
                }
                Told::Stalled => {
                    let set = owner.names.template(deployment.wanted());
                    let message = format!("ReplicaSet \"{set}\" has timed out progressing.");
                    EventKind::DeadlineExceeded { workload: workload.clone(), message }
                }
                Told::Created { .. } | Told::Scaled { .. } | Told::Progressed { .. } | Told::Complete { .. } => {
                    continue;
                }
            };
            out.emit(Effect::Note(kind));
        }
    }

    /// Each ReplicaSet gets as many pods as it is to have.
    fn sync_replica_sets(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let Controller::Deployment(deployment) = &self.owners[index].controller else { return };
        let newest = deployment.wanted();
        let sets: Vec<(u32, u32)> = deployment.sets().iter().map(|set| (set.template, set.replicas)).collect();
        for (template, replicas) in sets {
            let of = |cluster: &Self| cluster.active(index).filter(|(_, r)| r.template == template).count();
            while of(self) < replicas as usize {
                // Batches of 1, 2, 4 …; the pods of one instant are all created at once unless one fails.
                let missing = (replicas as usize - of(self)).min(BURST_REPLICAS);
                let new = NewPod { template, ..NewPod::default() };
                let created =
                    replica_set::batches(missing).all(|size| (0..size).all(|_| self.create(now, index, new, out)));
                if !created {
                    break;
                }
            }
            let too_many = of(self).saturating_sub(replicas as usize);
            if too_many > 0 {
                let why = if template == newest {
                    self.owners[index].why.clone()
                } else {
                    "replaced by a new template".to_owned()
                };
                for pod in self.victims(now, index, template, too_many) {
                    self.delete(now, pod, &why, out);
                }
            }
        }
    }

    fn victims(&self, now: Nanos, index: usize, template: u32, count: usize) -> Vec<PodId> {
        let uids = self.config.seed.child("pod-uids");
        let uid = |pod: PodId| uids.draw_nth(u64::from(pod.0), Purpose::Phase).bits();
        let own = self.active(index).filter(|(_, record)| record.template == template);
        replica_set::victims(now, count, own, self.active(index).map(|(_, record)| record), uid)
    }

    fn sync_stateful_set(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let workload = self.platform.workload(self.owners[index].workload);
        let (name, min_ready) = (workload.name.clone(), workload.min_ready);
        let WorkloadKind::StatefulSet { parallel, partition, on_delete, .. } = workload.kind else { return };
        loop {
            let owner = &self.owners[index];
            let Controller::StatefulSet { revisions, current } = &owner.controller else { return };
            let (replicas, update) = (owner.desired, revisions.wanted());
            let spec = stateful_set::Spec { replicas, parallel, partition, on_delete, current: *current, update };
            let member = |pod: &PodId| {
                let record = self.record(*pod);
                stateful_set::Member {
                    pod: *pod,
                    ordinal: record.ordinal.unwrap_or(0),
                    template: record.template,
                    available: record.is_available(now, min_ready),
                    ending: !record.is_active(),
                }
            };
            let members: Vec<_> = owner.pods.iter().map(member).collect();
            let done = members.len() == replicas as usize
                && members.iter().all(|member| member.template == update && member.available && !member.ending);
            let why = owner.why.clone();
            let Controller::StatefulSet { revisions, current } = &mut self.owners[index].controller else { return };
            if done {
                *current = update;
                if !std::mem::replace(&mut revisions.complete, true) {
                    let revision = revisions.number;
                    out.emit(Effect::Note(EventKind::RolloutComplete { workload: name.clone(), revision }));
                }
            }
            let mut acted = false;
            for step in spec.steps(&members) {
                acted |= match step {
                    Step::Create { ordinal, template } => {
                        let new = NewPod { template, ordinal: Some(ordinal), only: None };
                        self.create(now, index, new, out)
                    }
                    Step::Delete(pod) => {
                        let too_many = self.record(pod).ordinal.is_some_and(|ordinal| ordinal >= replicas);
                        self.delete(now, pod, if too_many { &why } else { "replaced by a new template" }, out);
                        true
                    }
                };
            }
            if !acted {
                break;
            }
        }
    }

    fn sync_daemon_set(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let id = self.owners[index].workload;
        let workload = self.platform.workload(id);
        let (name, min_ready) = (workload.name.clone(), workload.min_ready);
        let labels = self.owners[index].wanted();
        let present: Vec<usize> = self.scheduler.present().map(|(node, _)| node).collect();
        let template = labels;
        let labels = self.owners[index].labels(self.platform.workload(id), template);
        let wants = |cluster: &Self, node: usize| {
            let candidate = crate::scheduler::Candidate {
                pod: PodId(u32::MAX),
                workload: id,
                labels: labels.clone(),
                only: Some(node),
            };
            cluster.scheduler.wants_daemon(&candidate, node)
        };
        let wanted: Vec<usize> = present.into_iter().filter(|node| wants(self, *node)).collect();
        self.owners[index].desired = wanted.len() as u32;
        for &node in &wanted {
            // A pod that is ending holds its node's place until it has gone.
            let there = self.owners[index].pods.iter().any(|pod| self.record(*pod).only == Some(node));
            if !there {
                self.create(now, index, NewPod { template, ordinal: None, only: Some(node) }, out);
            }
        }
        let stray: Vec<PodId> = self
            .active(index)
            .filter(|(_, record)| record.only.is_none_or(|node| !self.is_node(node)))
            .map(|(pod, _)| pod)
            .collect();
        for pod in stray {
            self.delete(now, pod, "its node is no place for it any more", out);
        }
        let member = |(pod, record): (PodId, &PodRecord)| Daemon {
            pod,
            old: record.template != template,
            available: record.is_available(now, min_ready),
        };
        let members: Vec<Daemon> = self.active(index).map(member).collect();
        let complete = members.len() == wanted.len() && members.iter().all(|member| !member.old && member.available);
        for pod in daemon_set::outdated(wanted.len(), &members) {
            self.delete(now, pod, "replaced by a new template", out);
        }
        if let Controller::DaemonSet(revisions) = &mut self.owners[index].controller
            && complete
            && !std::mem::replace(&mut revisions.complete, true)
        {
            let revision = revisions.number;
            out.emit(Effect::Note(EventKind::RolloutComplete { workload: name, revision }));
        }
    }

    fn sync_job(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let Controller::Job { left, parallelism, .. } = self.owners[index].controller else { return };
        self.owners[index].desired = left.min(parallelism);
        while self.active(index).count() < self.owners[index].desired as usize {
            if !self.create(now, index, NewPod::default(), out) {
                break;
            }
        }
    }

    /// A CronJob is due.
    pub(super) fn cron(&mut self, now: Nanos, index: usize) {
        let Controller::Job { left, cron: Some(cron), .. } = &mut self.owners[index].controller else { return };
        let next = cron.next(now);
        if self.started && now > Nanos::ZERO {
            *left += 1;
        }
        self.dirty.insert(index);
        if let Some(next) = next {
            self.agenda.plan(next, Task::Cron(index));
        }
    }
}
