//! Pods: from a watch to a kubelet, and from a kubelet to a status.

use std::collections::VecDeque;

use cluster::{Bound, Flaw, Host, KubeletInput, PodId, PodRecord, PodStatus, Said};
use platform::{Labels, WorkloadId, WorkloadKind};
use record::EventKind;
use units::Nanos;

use super::{Hands, JOB_ENDS, Remote, timer};
use crate::answers::Listed;
use crate::deeds::{FLAW, NO_REGISTRY};
use crate::elsewhere::Place;
use crate::report::Report;
use crate::view::{self, Container, Seen, condition};
use crate::writer::PodRef;

/// What is known of a pod beside its record.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) reference: PodRef,
    pub(super) labels: Labels,
    pub(super) containers: Vec<Container>,
    /// What its kubelet says; `None` before it has one.
    pub(super) report: Option<Report>,
    /// Why it has no node, as told last.
    unschedulable: Option<String>,
    /// Its kubelet was told that it is to end.
    stopping: bool,
}

impl Remote {
    pub(super) fn pod_seen(&mut self, now: Nanos, seen: &Seen<view::Pod>, host: &mut dyn Host) {
        let id = match self.by_uid.get(seen.uid()) {
            Some(id) => *id,
            None => match self.workload_of(seen) {
                Some(workload) => self.created(now, seen, workload),
                None => return, // somebody else's
            },
        };
        let index = id.0 as usize;
        let name = self.records[index].name.clone();
        let conditions = &seen.body.status.conditions;
        if let Some(node) = &seen.body.spec.node_name {
            if self.records[index].node.is_none()
                && let Some(at) = self.nodes.iter().position(|known| known.name == *node)
            {
                (self.records[index].node, self.records[index].accepted) = (Some(at), Some(now));
                self.list(id, at);
                let number = id.0 as u16 + 1;
                host.note(EventKind::PodScheduled { pod: name.clone(), node: node.clone(), number });
                self.hand_over(now, id, host);
                self.slices_again(id, host);
            }
        } else if let Some(why) = condition(conditions, "PodScheduled").filter(|why| why.reason == "Unschedulable")
            && self.pods[index].unschedulable.as_ref() != Some(&why.message)
        {
            self.pods[index].unschedulable = Some(why.message.clone());
            host.note(EventKind::PodUnschedulable { pod: name.clone(), reason: why.message.clone() });
        }
        self.status_seen(now, id, seen, host);
        if seen.is_deleted() && self.records[index].deleted.is_none() {
            self.records[index].deleted = Some(now);
            let disrupted = condition(conditions, "DisruptionTarget").map(|why| why.message.clone());
            host.note(EventKind::PodTerminating {
                pod: name.clone(),
                reason: disrupted.unwrap_or_else(|| "deleted".to_owned()),
            });
            self.stop(now, id, host);
        }
    }

    /// Tells the host where a pod is that its own kubelet started, once or again.
    fn runs_there(&self, id: PodId, seen: &Seen<view::Pod>, host: &mut dyn Host) {
        let (Hands::Real { pods, .. }, status) = (&self.hands, &seen.body.status) else { return };
        let address = |text: &Option<String>| text.as_ref()?.parse().ok();
        let (Some(address), Some(container)) = (address(&status.pod_ip), seen.body.spec.containers.first()) else {
            return;
        };
        let (namespace, name) = seen.key();
        pods.is_at(
            id,
            Place {
                namespace,
                name,
                container: container.name.clone(),
                node: seen.body.spec.node_name.clone().unwrap_or_default(),
                host: status.host_ip.as_ref().and_then(|text| text.parse().ok()),
                address,
            },
        );
        host.start(id);
    }

    /// What the API server says of how a pod is.
    fn status_seen(&mut self, now: Nanos, id: PodId, seen: &Seen<view::Pod>, host: &mut dyn Host) {
        let restarts = |status: &view::PodStatus| {
            status.container_statuses.iter().map(|container| container.restart_count).max().unwrap_or(0)
        };
        let before = &self.records[id.0 as usize];
        let runs = seen.body.status.phase == "Running";
        if runs && (before.started.is_none() || restarts(&seen.body.status) > before.restarts) {
            self.runs_there(id, seen, host);
        }
        let record = &mut self.records[id.0 as usize];
        let (name, status) = (record.name.clone(), &seen.body.status);
        if status.phase == "Running" && record.started.is_none() {
            record.started = Some(now);
            host.note(EventKind::PodStarted { pod: name.clone() });
        }
        let restarts = restarts(status);
        if restarts > record.restarts {
            record.restarts = restarts;
            let last =
                status.container_statuses.first().map(|container| container.last_state.terminated.reason.clone());
            host.note(EventKind::PodRestarted { pod: name.clone(), reason: last.unwrap_or_default() });
        }
        let ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
        if record.ready != ready {
            (record.ready, record.ready_changed) = (ready, Some(now));
            host.note(EventKind::PodReady { pod: name.clone(), ready });
        }
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") && record.succeeded.is_none() {
            record.succeeded = Some(now);
            if status.phase == "Succeeded" {
                host.note(EventKind::PodSucceeded { pod: name });
            }
        }
    }

    /// The record has gone from the API server: by the kubelet's own word, by force, or by the garbage collector.
    pub(super) fn pod_gone(&mut self, now: Nanos, uid: &str, host: &mut dyn Host) {
        let Some(id) = self.by_uid.get(uid).copied() else { return };
        let record = &mut self.records[id.0 as usize];
        if record.gone.is_some() {
            return;
        }
        if record.deleted.is_none() {
            record.deleted = Some(now);
            host.note(EventKind::PodTerminating { pod: record.name.clone(), reason: "deleted by force".to_owned() });
        }
        (record.gone, record.ready) = (Some(now), false);
        host.note(EventKind::PodGone { pod: record.name.clone() });
        self.answers.unlist(id);
        self.stop(now, id, host);
    }

    /// Tells the metrics APIs of a pod that is on a node.
    fn list(&self, id: PodId, node: usize) {
        let pod = &self.pods[id.0 as usize];
        self.answers.list(Listed {
            pod: id,
            namespace: pod.reference.namespace.clone(),
            name: pod.reference.name.clone(),
            labels: pod.labels.clone(),
            node,
            containers: pod.containers.iter().map(|container| container.name.clone()).collect(),
        });
    }

    fn created(&mut self, now: Nanos, seen: &Seen<view::Pod>, workload: WorkloadId) -> PodId {
        let id = PodId(self.records.len() as u32);
        let mut record = PodRecord::new(seen.name().to_owned(), workload, now);
        record.flaw = flaw(seen);
        let hash = seen.label("pod-template-hash").or(seen.label("controller-revision-hash")).unwrap_or_default();
        record.template = self.rolls[usize::from(workload.0)].template(hash);
        let (namespace, name) = seen.key();
        self.records.push(record);
        self.pods.push(Pod {
            reference: PodRef { namespace, name, uid: seen.uid().to_owned() },
            labels: seen.meta.labels.clone().unwrap_or_default(),
            containers: seen.body.spec.containers.clone(),
            report: None,
            unschedulable: None,
            stopping: false,
        });
        if matches!(self.hands, Hands::Real { .. }) {
            self.by_uid.insert(seen.uid().to_owned(), id);
            return id; // its own kubelet tells how it is
        }
        let report = Report {
            pod: id,
            node: 0,
            containers: seen.body.spec.containers.clone(),
            init_containers: seen.body.spec.init_containers.clone(),
            flaw: flaw(seen),
            accepted: now,
            started: None,
            running: None,
            ready: false,
            ready_changed: now,
            restarts: 0,
            last_end: None,
            succeeded: None,
        };
        self.pods[id.0 as usize].report = Some(report);
        self.by_uid.insert(seen.uid().to_owned(), id);
        id
    }

    /// The workload of the platform that made a pod, by its controller.
    fn workload_of(&self, seen: &Seen<view::Pod>) -> Option<WorkloadId> {
        let (namespace, own) = seen.key();
        let of = |kind: &str, name: &str| self.platform.workload_of(kind, &namespace, name);
        match seen.owner() {
            None => of("Pod", &own),
            Some(("ReplicaSet", set)) => {
                let hash = seen.label("pod-template-hash")?;
                of("Deployment", set.strip_suffix(hash)?.strip_suffix('-')?)
            }
            Some(("Job", job)) => of("Job", job).or_else(|| of("CronJob", job.rsplit_once('-')?.0)),
            Some((kind, name)) => of(kind, name),
        }
    }

    /// Gives a bound pod to the kubelet of its node, if that is heard.
    pub(super) fn hand_over(&mut self, now: Nanos, id: PodId, host: &mut dyn Host) {
        let record = &self.records[id.0 as usize];
        let Some(node) = record.node else { return };
        if !self.ground[node].is_heard() || record.deleted.is_some() || record.succeeded.is_some() {
            return;
        }
        let (workload, name) = (record.workload, record.name.clone());
        let (template, flaw) = (record.template, record.flaw);
        if matches!(self.hands, Hands::Real { .. }) {
            self.ground[node].pods.insert(id);
            return host.bound(id, workload, &name);
        }
        if let Some(report) = &mut self.pods[id.0 as usize].report {
            (report.node, report.accepted, report.ready_changed) = (node, now, now);
        }
        self.kubelets.bind(Bound { pod: id, workload, node, name: &name, template, flaw }, host);
        self.ground[node].pods.insert(id);
        self.write(id);
        self.kubelet(now, id, KubeletInput::Start, host);
    }

    /// Tells a pod's kubelet that it is to end; where there is none, nothing has to end.
    pub(super) fn stop(&mut self, now: Nanos, id: PodId, host: &mut dyn Host) {
        let record = &self.records[id.0 as usize];
        let Some(node) = record.node else { return };
        if matches!(self.hands, Hands::Real { .. }) {
            if record.gone.is_some() {
                self.ground[node].pods.remove(&id);
                host.kill(id);
            }
            return;
        }
        if !self.ground[node].is_heard() || self.pods[id.0 as usize].stopping {
            return;
        }
        self.pods[id.0 as usize].stopping = true;
        if self.ground[node].pods.contains(&id) && record.succeeded.is_none() {
            self.kubelet(now, id, KubeletInput::Stop, host);
        } else {
            self.remove(id);
        }
    }

    /// Nothing of it is left on its node.
    pub(super) fn remove(&mut self, id: PodId) {
        let index = id.0 as usize;
        if let Some(node) = self.records[index].node {
            self.ground[node].pods.remove(&id);
        }
        if self.records[index].gone.is_none() {
            self.writer.remove(id.0, self.pods[index].reference.clone());
        }
    }

    /// One input of a pod's kubelet, and everything that it says.
    pub(super) fn kubelet(&mut self, now: Nanos, id: PodId, input: KubeletInput, host: &mut dyn Host) {
        let mut todo = VecDeque::from([(id, input)]);
        while let Some((pod, input)) = todo.pop_front() {
            for said in self.kubelets.step(now, pod, input, host) {
                match said {
                    Said::Next(pod, input) => todo.push_back((pod, input)),
                    Said::Status(pod, status) => self.said(now, pod, &status, host),
                }
            }
        }
    }

    fn said(&mut self, now: Nanos, id: PodId, status: &PodStatus, host: &mut dyn Host) {
        let index = id.0 as usize;
        let ended = *status == PodStatus::Gone;
        if let Some(report) = &mut self.pods[index].report {
            report.hear(now, status);
        }
        if *status == PodStatus::Started && self.is_job(id) {
            host.wake(now + self.config.job_duration, timer(JOB_ENDS, id.0));
        }
        let Some(node) = self.records[index].node else { return };
        if self.ground[node].is_heard() {
            if ended { self.remove(id) } else { self.write(id) }
        } else {
            self.ground[node].withhold(id, ended);
        }
    }

    fn is_job(&self, id: PodId) -> bool {
        let workload = self.platform.workload(self.records[id.0 as usize].workload);
        matches!(workload.kind, WorkloadKind::Job { .. } | WorkloadKind::CronJob { .. })
    }

    /// The pod of a Job has done its work.
    pub(super) fn job_ends(&mut self, now: Nanos, id: PodId, host: &mut dyn Host) {
        let index = id.0 as usize;
        let record = &self.records[index];
        if record.deleted.is_some() || record.gone.is_some() || record.succeeded.is_some() {
            return;
        }
        self.kubelets.lose(id, host);
        if let Some(report) = &mut self.pods[index].report {
            (report.succeeded, report.ready, report.ready_changed) = (Some(now), false, now);
        }
        self.write(id);
    }

    /// Writes what a pod's kubelet has said so far.
    pub(super) fn write(&self, id: PodId) {
        let pod = &self.pods[id.0 as usize];
        if let Some(report) = pod.report.as_ref().filter(|_| self.records[id.0 as usize].gone.is_none()) {
            let patch = report.patch(&pod.reference.uid, self.wall);
            self.writer.status(id.0, pod.reference.clone(), patch);
        }
    }
}

/// What is wrong with a pod's template, as far as a kubelet can tell.
fn flaw(seen: &Seen<view::Pod>) -> Flaw {
    let unknown = |container: &Container| container.image.starts_with(NO_REGISTRY);
    match seen.annotation(FLAW) {
        Some("crash") => Flaw::Crash,
        Some("never-ready") => Flaw::NeverReady,
        _ if seen.body.spec.containers.iter().any(unknown) => Flaw::ImagePull,
        _ => Flaw::None,
    }
}
