//! The control plane as one actor: composes the controllers and keeps their time.
//!
//! Owns the pods' records and the order in which things happen within one instant. What each part decides stands in
//! its own module. Tens of inputs a second; nothing here is on a request's path.

use std::sync::Arc;

use platform::{Node, Platform, ServiceId, WorkloadId};
use record::EventKind;
use units::{Machine, Nanos, Out, Purpose};

use crate::agenda::Agenda;
use crate::deployment::Deployment;
use crate::endpoints::{EndpointController, Endpoints};
use crate::hpa::{Hpa, PodView, whole_seconds};
use crate::metrics_server::MetricsServer;
use crate::scheduler::Scheduler;
use crate::{Action, ClusterConfig, Effect, Input, PodId, PodRecord, PodStatus};

/// `podInitialBackoffSeconds` and `podMaxBackoffSeconds` of kube-scheduler.
const SCHEDULING_BACK_OFF: Nanos = Nanos::from_secs(1);
const LONGEST_SCHEDULING_BACK_OFF: Nanos = Nanos::from_secs(10);

#[derive(Debug)]
enum Task {
    Bind(PodId),
    Publish,
    Sync(usize),
    Scrape,
}

/// A pod that no node could take, and how often that was found.
#[derive(Clone, Debug, Default)]
struct Unschedulable {
    attempts: u32,
    last: Nanos,
    reason: String,
}

/// The control plane.
#[derive(Debug)]
pub struct Cluster {
    platform: Arc<Platform>,
    config: ClusterConfig,
    pods: Vec<PodRecord>,
    refused: Vec<Unschedulable>,
    waiting: Vec<PodId>,
    deployments: Vec<Deployment>,
    autoscalers: Vec<Hpa>,
    services_of: Vec<Vec<ServiceId>>,
    scheduler: Scheduler,
    endpoints: EndpointController,
    metrics: MetricsServer,
    agenda: Agenda<Task>,
    started: bool,
}

impl Cluster {
    /// A cluster of `nodes` to which nothing is applied yet.
    ///
    /// A workload starts with the replicas it declares. An autoscaled one that declares none, as it should, starts
    /// with its minimum: a rehearsal begins on a platform that has been up, not on the 15 s that its first
    /// application spends at Kubernetes' default of one replica.
    pub fn new(platform: Arc<Platform>, nodes: Vec<Node>, config: ClusterConfig) -> Self {
        let deployments = platform.workload_ids().map(|id| {
            let workload = platform.workload(id);
            let minimum = platform.autoscalers.iter().find(|a| a.target == id).map(|a| a.min);
            let desired = workload.replicas.or(minimum).unwrap_or(1);
            Deployment::new(id, &workload.name, desired, config.seed)
        });
        let autoscalers = platform.autoscalers.iter().map(|declared| {
            let rivals = platform.autoscalers.iter().filter(|other| other.target == declared.target).count();
            Hpa::new(declared, &platform.workload(declared.target).name, &config).contested(rivals > 1)
        });
        let mut services_of = vec![Vec::new(); platform.workloads.len()];
        for id in platform.service_ids() {
            for workload in platform.selected_by(platform.service(id)) {
                services_of[usize::from(workload.0)].push(id);
            }
        }
        Self {
            deployments: deployments.collect(),
            autoscalers: autoscalers.collect(),
            services_of,
            scheduler: Scheduler::new(nodes),
            endpoints: EndpointController::new(platform.services.len()),
            metrics: MetricsServer::new(config.metrics_resolution),
            agenda: Agenda::new(),
            pods: Vec::new(),
            refused: Vec::new(),
            waiting: Vec::new(),
            started: false,
            platform,
            config,
        }
    }

    /// A pod's record, also after it has gone.
    pub fn pod(&self, pod: PodId) -> Option<&PodRecord> {
        self.pods.get(pod.0 as usize)
    }

    /// What dialers were told last.
    pub fn published(&self) -> &Endpoints {
        self.endpoints.published()
    }

    /// Whether every workload has as many pods as it wants, all of them ready, and the dialers know.
    pub fn settled(&self) -> bool {
        let full = |deployment: &Deployment| {
            let active = deployment.pods.iter().filter(|pod| self.record(**pod).is_active()).count();
            active == deployment.desired as usize && self.ready(deployment) == deployment.desired
        };
        self.started && self.endpoints.is_settled() && self.deployments.iter().all(full)
    }

    fn record(&self, pod: PodId) -> &PodRecord {
        &self.pods[pod.0 as usize]
    }

    fn record_mut(&mut self, pod: PodId) -> &mut PodRecord {
        &mut self.pods[pod.0 as usize]
    }

    fn ready(&self, deployment: &Deployment) -> u32 {
        deployment.pods.iter().filter(|pod| self.record(**pod).is_serving()).count() as u32
    }

    fn start(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        for index in 0..self.deployments.len() {
            self.reconcile(now, index, "", out);
        }
        for index in 0..self.autoscalers.len() {
            self.agenda.plan(now + self.config.hpa_sync, Task::Sync(index));
        }
        self.agenda.plan(now + self.metrics.first_scrape(self.config.seed), Task::Scrape);
    }

    fn run(&mut self, now: Nanos, due: Nanos, task: &Task, out: &mut impl Out<Effect>) {
        match *task {
            Task::Bind(pod) => self.bind(now, pod, out),
            Task::Publish => self.publish(now, out),
            Task::Sync(index) => {
                self.sync(now, index, out);
                // The queue delays every key by the period, counted from the end of its processing
                // (`rate_limiters.go`); a late sync shifts the later ones.
                self.agenda.plan(now + self.config.hpa_sync, Task::Sync(index));
            }
            Task::Scrape => {
                out.emit(Effect::Scrape);
                let mut next = due + self.config.metrics_resolution;
                while next <= now {
                    next += self.config.metrics_resolution.max(Nanos::new(1)); // a ticker drops what it missed
                }
                self.agenda.plan(next, Task::Scrape);
            }
        }
    }

    /// Creates or deletes pods until as many are active as are wanted.
    fn reconcile(&mut self, now: Nanos, index: usize, why: &str, out: &mut impl Out<Effect>) {
        let deployment = &self.deployments[index];
        let active = deployment.pods.iter().filter(|pod| self.record(**pod).is_active()).count();
        let wanted = deployment.desired as usize;
        for _ in active..wanted {
            self.create(now, index);
        }
        if active > wanted {
            let uids = self.config.seed.child("pod-uids");
            let uid = |pod: PodId| uids.draw_nth(u64::from(pod.0), Purpose::Phase).bits();
            let victims = self.deployments[index].victims(now, active - wanted, |pod| self.record(pod).clone(), uid);
            for pod in victims {
                self.delete(now, pod, why, out);
            }
        }
    }

    fn create(&mut self, now: Nanos, index: usize) {
        let pod = PodId(self.pods.len() as u32);
        let (pods, deployment) = (&self.pods, &mut self.deployments[index]);
        let name = deployment.next_name(|name| pods.iter().any(|record| record.name == name));
        deployment.pods.push(pod);
        self.pods.push(PodRecord::new(name, deployment.workload, now));
        self.refused.push(Unschedulable::default());
        self.agenda.plan(now + self.config.scheduling_delay, Task::Bind(pod));
    }

    fn bind(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) {
        if !self.record(pod).is_active() {
            return;
        }
        let id = self.record(pod).workload;
        let name = self.record(pod).name.clone();
        let tie = self.config.seed.child("scheduler").draw_nth(u64::from(pod.0), Purpose::Phase);
        match self.scheduler.bind(id, self.platform.workload(id), tie) {
            Ok(node) => {
                let record = self.record_mut(pod);
                (record.node, record.accepted, record.ready_changed) = (Some(node), Some(now), Some(now));
                let on = self.scheduler.node(node).name.clone();
                out.emit(Effect::Note(EventKind::PodScheduled { pod: name.clone(), node: on }));
                out.emit(Effect::RunPod { pod, workload: id, node, name });
            }
            Err(reason) => {
                let refused = &mut self.refused[pod.0 as usize];
                refused.attempts += 1;
                refused.last = now;
                if refused.reason != reason {
                    refused.reason.clone_from(&reason);
                    out.emit(Effect::Note(EventKind::PodUnschedulable { pod: name, reason }));
                }
                self.waiting.push(pod);
            }
        }
    }

    /// Room was made: pods that wait are tried again after their back-off of 1 s, doubling up to 10 s
    /// (`pkg/scheduler/backend/queue`). The flush of leftovers after 5 min finds nothing here: only freed room helps.
    fn retry_waiting(&mut self, now: Nanos) {
        for pod in std::mem::take(&mut self.waiting) {
            let refused = &self.refused[pod.0 as usize];
            let doubled = SCHEDULING_BACK_OFF * (1 << (refused.attempts.clamp(1, 5) - 1));
            let ready = now.max(refused.last + doubled.min(LONGEST_SCHEDULING_BACK_OFF));
            self.agenda.plan(ready + self.config.scheduling_delay, Task::Bind(pod));
        }
    }

    fn delete(&mut self, now: Nanos, pod: PodId, why: &str, out: &mut impl Out<Effect>) {
        if !self.record(pod).is_active() {
            return;
        }
        let record = self.record_mut(pod);
        record.deleted = Some(now);
        let (name, id, node) = (record.name.clone(), record.workload, record.node);
        out.emit(Effect::Note(EventKind::PodTerminating { pod: name, reason: why.to_owned() }));
        match node {
            // No kubelet has it: the API server drops it at once.
            None => self.gone(now, pod, out),
            Some(node) => {
                self.scheduler.ending(node, id);
                out.emit(Effect::StopPod { pod });
                self.observe(now, id);
            }
        }
    }

    fn gone(&mut self, now: Nanos, pod: PodId, out: &mut impl Out<Effect>) {
        let record = self.record_mut(pod);
        record.gone = Some(now);
        record.ready = false;
        let (name, id, node, deleted) = (record.name.clone(), record.workload, record.node, record.deleted);
        if let Some(node) = node {
            if deleted.is_none() {
                self.scheduler.ending(node, id);
            }
            self.scheduler.release(node, self.platform.workload(id));
            self.retry_waiting(now);
        }
        self.waiting.retain(|waiting| *waiting != pod);
        out.emit(Effect::Note(EventKind::PodGone { pod: name }));
        let index = usize::from(id.0);
        self.deployments[index].pods.retain(|other| *other != pod);
        self.observe(now, id);
        self.reconcile(now, index, "", out);
    }

    fn reported(&mut self, now: Nanos, pod: PodId, status: PodStatus, out: &mut impl Out<Effect>) {
        let Some(record) = self.pods.get_mut(pod.0 as usize).filter(|record| record.gone.is_none()) else {
            return; // a late word about a pod that was given up
        };
        let name = record.name.clone();
        match status {
            PodStatus::Started => {
                record.started = Some(now);
                out.emit(Effect::Note(EventKind::PodStarted { pod: name }));
            }
            PodStatus::Ready(ready) if ready != record.ready => {
                (record.ready, record.ready_changed) = (ready, Some(now));
                let id = record.workload;
                out.emit(Effect::Note(EventKind::PodReady { pod: name, ready }));
                self.observe(now, id);
            }
            PodStatus::Ready(_) => {}
            PodStatus::Restarted { reason } => {
                record.restarts += 1;
                out.emit(Effect::Note(EventKind::PodRestarted { pod: name, reason }));
            }
            PodStatus::Gone => self.gone(now, pod, out),
        }
    }

    /// Tells the endpoint controller who stands behind the Services of a workload.
    fn observe(&mut self, now: Nanos, id: WorkloadId) {
        let arrives = now + self.config.endpoint_propagation;
        for &service in &self.services_of[usize::from(id.0)] {
            let selected = self.platform.selected_by(self.platform.service(service));
            let (mut ready, mut ending) = (Vec::new(), Vec::new());
            for pod in selected.flat_map(|workload| &self.deployments[usize::from(workload.0)].pods) {
                let record = &self.pods[pod.0 as usize];
                match (record.ready, record.deleted) {
                    (true, None) => ready.push(*pod),
                    (true, Some(_)) => ending.push(*pod),
                    (false, _) => {}
                }
            }
            let mut usable = if ready.is_empty() { ending } else { ready };
            usable.sort_unstable();
            if self.endpoints.observe(service, &usable, arrives) {
                self.agenda.plan(arrives, Task::Publish);
            }
        }
    }

    fn publish(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        let Some((published, changed)) = self.endpoints.publish(now) else { return };
        for service in changed {
            let ready = published.ready(service).len() as u32;
            let service = self.platform.service(service).name.clone();
            out.emit(Effect::Note(EventKind::EndpointsChanged { service, ready }));
        }
        out.emit(Effect::Endpoints(published));
    }

    fn sync(&mut self, now: Nanos, index: usize, out: &mut impl Out<Effect>) {
        let id = self.platform.autoscalers[index].target;
        let target = usize::from(id.0);
        let containers = &self.platform.workload(id).containers;
        let view = |pod: &PodId| {
            let record = &self.pods[pod.0 as usize];
            PodView {
                name: &record.name,
                containers,
                deleting: record.deleted.is_some(),
                pending: record.started.is_none(),
                ready: record.ready,
                started: record.accepted.map(whole_seconds),
                ready_changed: whole_seconds(record.ready_changed.unwrap_or(record.created)),
                sample: self.metrics.sample(*pod),
            }
        };
        let views: Vec<_> = self.deployments[target].pods.iter().map(view).collect();
        let current = self.deployments[target].desired;
        let decision = self.autoscalers[index].sync(now, current, &views);
        let desired = decision.desired;
        out.emit(Effect::Note(EventKind::Scaling(decision)));
        if desired != current {
            self.scale(now, target, desired, out);
        }
    }

    fn scale(&mut self, now: Nanos, index: usize, desired: u32, out: &mut impl Out<Effect>) {
        let from = std::mem::replace(&mut self.deployments[index].desired, desired);
        self.reconcile(now, index, &format!("scaled down from {from} to {desired}"), out);
    }

    fn tell_replicas(&mut self, out: &mut impl Out<Effect>) {
        for index in 0..self.deployments.len() {
            let deployment = &self.deployments[index];
            let (desired, ready) = (deployment.desired, self.ready(deployment));
            if deployment.told != Some((desired, ready)) {
                let workload = self.platform.workload(deployment.workload).name.clone();
                out.emit(Effect::Note(EventKind::ReplicasChanged { workload, desired, ready }));
                self.deployments[index].told = Some((desired, ready));
            }
        }
    }
}

impl Machine for Cluster {
    type Input = Input;
    type Effect = Effect;

    /// Inputs about pods and workloads that do not exist are ignored.
    fn step(&mut self, now: Nanos, input: Input, out: &mut impl Out<Effect>) {
        match input {
            Input::Start => self.start(now, out),
            Input::Wake(wake) => {
                if self.agenda.fires(wake) {
                    while let Some((due, task)) = self.agenda.due(now) {
                        self.run(now, due, &task, out);
                    }
                }
            }
            Input::Pod(pod, status) => self.reported(now, pod, status, out),
            Input::Usage(usage) => self.metrics.store(now, &usage),
            Input::Act(Action::Scale(id, desired)) => {
                if usize::from(id.0) < self.deployments.len() {
                    self.scale(now, usize::from(id.0), desired, out);
                }
            }
            Input::Act(Action::DeletePod { pod, forced: _ }) => {
                if let Some(id) = self.pod(pod).map(|record| record.workload) {
                    self.delete(now, pod, "deleted", out);
                    self.reconcile(now, usize::from(id.0), "", out);
                }
            }
            Input::Act(_) => {}
        }
        if self.started {
            self.tell_replicas(out);
        }
        if let Some((at, wake)) = self.agenda.arm() {
            out.wake(at, wake);
        }
    }
}
