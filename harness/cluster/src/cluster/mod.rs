//! The control plane as one actor: composes the controllers and keeps their time.
//!
//! Owns the pods' records and the order in which things happen within one instant. What each part decides stands in
//! its own module outside this folder; the parts here carry it out. Tens of inputs a second; nothing here is on a
//! request's path.

mod autoscaling;
mod controllers;
mod evictions;
mod nodes;
mod owner;
mod pods;
mod scheduling;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use platform::{Node, Platform, Quota, ServiceId, WorkloadId};
use record::EventKind;
use units::{Machine, Nanos, Out};

use crate::agenda::Agenda;
use crate::endpoints::{EndpointController, Endpoints};
use crate::hpa::{FedMetrics, Hpa};
use crate::metrics_server::MetricsServer;
use crate::monitoring::Prometheus;
use crate::node_lifecycle::NodeLifecycle;
use crate::retries::Retries;
use crate::scheduler::Scheduler;
use crate::scheduler::queue::Queue;
use crate::{Action, BudgetStatus, ClusterConfig, DeploymentStatus, Effect, Input, PodId, PodRecord, Scraper};
use controllers::Roll;
use nodes::NodeRecord;
use owner::{Controller, Failures, Owner};

#[derive(Debug)]
enum Task {
    Schedule,
    Publish,
    /// Of an autoscaler.
    Sync(usize),
    Scrape,
    ScrapeTraffic,
    /// Time alone changes something for a workload.
    Reconcile(usize),
    Cron(usize),
    Finish(PodId),
    /// The node lifecycle controller.
    Look,
    TaintEvict {
        node: usize,
        taints: u32,
        pod: PodId,
    },
    Drain {
        node: usize,
        pod: PodId,
    },
    NodeCame(usize),
    IdleNodes,
}

/// The control plane.
#[derive(Debug)]
pub struct Cluster {
    platform: Arc<Platform>,
    config: ClusterConfig,
    pods: Vec<PodRecord>,
    /// By workload.
    owners: Vec<Owner>,
    /// Workloads whose controller has something new to look at.
    dirty: BTreeSet<usize>,
    /// When each Deployment looks again whether its deadline has passed.
    deadlines: Vec<Option<Nanos>>,
    /// The Deployment controller's.
    retries: Retries,
    autoscalers: Vec<Hpa>,
    quotas: Vec<Quota>,
    services_of: Vec<Vec<ServiceId>>,
    scheduler: Scheduler,
    queue: Queue,
    /// Why pods have no node, as told last.
    reasons: BTreeMap<PodId, String>,
    endpoints: EndpointController,
    metrics: MetricsServer,
    /// Who answers custom and external metrics, and what the APIs answer besides.
    prometheus: Option<Prometheus>,
    fed: FedMetrics,
    nodes: Vec<NodeRecord>,
    lifecycle: NodeLifecycle,
    /// Whether a look at the nodes is planned.
    looking: bool,
    agenda: Agenda<Task>,
    started: bool,
}

impl Cluster {
    /// A cluster of `nodes` to which nothing is applied yet.
    pub fn new(platform: Arc<Platform>, nodes: Vec<Node>, config: ClusterConfig) -> Self {
        let owners = platform.workload_ids().map(|id| {
            let minimum = platform.autoscalers.iter().find(|a| a.target == Some(id)).map(|a| a.min);
            Owner::new(id, platform.workload(id), minimum, config.seed)
        });
        let autoscalers = platform.autoscalers.iter().map(|declared| {
            let target = declared.target.map(|id| platform.workload(id).name.clone());
            Hpa::new(declared, &target.unwrap_or_else(|| declared.reference.name.clone()), &config)
        });
        let mut services_of = vec![Vec::new(); platform.workloads.len()];
        for id in platform.service_ids() {
            for workload in platform.selected_by(platform.service(id)) {
                services_of[usize::from(workload.0)].push(id);
            }
        }
        let scheduler = Scheduler::new(Arc::clone(&platform), nodes);
        let mut lifecycle = NodeLifecycle::new(config.seed);
        for (index, place) in scheduler.present() {
            lifecycle.add(index, &place.node);
        }
        Self {
            owners: owners.collect(),
            dirty: BTreeSet::new(),
            deadlines: vec![None; platform.workloads.len()],
            retries: Retries::default(),
            autoscalers: autoscalers.collect(),
            quotas: platform.quotas.clone(),
            services_of,
            scheduler,
            queue: Queue::default(),
            reasons: BTreeMap::new(),
            endpoints: EndpointController::new(platform.services.len(), config.proxy_min_sync),
            metrics: MetricsServer::new(config.metrics_resolution),
            prometheus: config.monitoring.and_then(|monitoring| Prometheus::new(monitoring, &platform)),
            fed: FedMetrics::default(),
            nodes: Vec::new(),
            lifecycle,
            looking: false,
            agenda: Agenda::new(),
            pods: Vec::new(),
            started: false,
            platform,
            config,
        }
    }

    /// A pod's record, also after it has gone.
    pub fn pod(&self, pod: PodId) -> Option<&PodRecord> {
        self.pods.get(pod.0 as usize)
    }

    /// All pods there have been, in order of creation.
    pub fn pods(&self) -> impl Iterator<Item = (PodId, &PodRecord)> {
        self.pods.iter().enumerate().map(|(index, record)| (PodId(index as u32), record))
    }

    /// The same by their ids.
    pub fn records(&self) -> &[PodRecord] {
        &self.pods
    }

    /// What the status of a Deployment says at `now`; `None` for any other workload.
    pub fn deployment(&self, now: Nanos, workload: WorkloadId) -> Option<DeploymentStatus> {
        self.deployment_status(now, usize::from(workload.0))
    }

    /// What the status of the platform's `index`-th budget says; `None` where there are not so many.
    pub fn budget_status(&self, index: usize) -> Option<BudgetStatus> {
        (index < self.platform.budgets.len()).then(|| self.budget(index))
    }

    /// Name of a node by its index, also of one that was ordered later.
    pub fn node_name(&self, node: usize) -> &str {
        &self.scheduler.place(node).node.name
    }

    /// What dialers were told last.
    pub fn published(&self) -> &Endpoints {
        self.endpoints.published()
    }

    /// Whether every workload that serves has as many pods as it wants, all of them ready and of the wanted template,
    /// and the dialers know. Jobs are not waited for.
    pub fn settled(&self) -> bool {
        let full = |owner: &Owner| {
            if !self.platform.workload(owner.workload).kind.is_service() {
                return true;
            }
            let active = || owner.pods.iter().map(|pod| self.record(*pod)).filter(|record| record.is_active());
            let serving = active().filter(|record| record.is_serving() && record.template == owner.wanted()).count();
            let gone_for_good = matches!(owner.controller, Controller::Pod { made: true }) && owner.pods.is_empty();
            gone_for_good || (active().count(), serving) == (owner.desired as usize, owner.desired as usize)
        };
        self.started && self.endpoints.is_settled() && self.owners.iter().all(full)
    }

    fn record(&self, pod: PodId) -> &PodRecord {
        &self.pods[pod.0 as usize]
    }

    fn start(&mut self, now: Nanos) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.dirty.extend(0..self.owners.len());
        for index in 0..self.owners.len() {
            self.cron(now, index);
        }
        for index in 0..self.autoscalers.len() {
            self.agenda.plan(now + self.config.hpa_sync, Task::Sync(index));
        }
        if !self.autoscalers.is_empty() || !self.owners.is_empty() {
            self.agenda.plan(now + self.metrics.first_scrape(self.config.seed), Task::Scrape);
        }
        if let Some(prometheus) = &self.prometheus {
            self.agenda.plan(now + prometheus.first_scrape(self.config.seed), Task::ScrapeTraffic);
        }
    }

    fn run(&mut self, now: Nanos, due: Nanos, task: &Task, out: &mut impl Out<Effect>) {
        match *task {
            Task::Schedule => self.schedule(now, out),
            Task::Publish => self.publish(now, out),
            Task::Sync(index) => {
                self.sync_autoscaler(now, index, out);
                // The queue delays every key by the period, counted from the end of its processing
                // (`rate_limiters.go`); a late sync shifts the later ones.
                self.agenda.plan(now + self.config.hpa_sync, Task::Sync(index));
            }
            Task::Scrape => self.scrape(now, due, out),
            Task::ScrapeTraffic => self.scrape_traffic(now, due, out),
            Task::Reconcile(index) => drop(self.dirty.insert(index)),
            Task::Cron(index) => self.cron(now, index),
            Task::Finish(pod) => self.finish(now, pod, out),
            Task::Look => self.look(now, out),
            Task::TaintEvict { node, taints, pod } => self.taint_evicts(now, node, taints, pod, out),
            Task::Drain { node, pod } => self.drain_pod(now, node, pod, out),
            Task::NodeCame(node) => self.node_came(now, node),
            Task::IdleNodes => self.drop_idle_nodes(now),
        }
        self.settle_controllers(now, out);
    }

    fn act(&mut self, now: Nanos, action: &Action, out: &mut impl Out<Effect>) {
        let node = match *action {
            Action::Cordon(node)
            | Action::Uncordon(node)
            | Action::Drain(node)
            | Action::LoseNode(node)
            | Action::CutOff(node)
            | Action::ReturnNode(node) => Some(node),
            _ => None,
        };
        let index = match *action {
            Action::Scale(id, _)
            | Action::Rollout { workload: id, .. }
            | Action::Rollback(id)
            | Action::RollBackTo { workload: id, .. }
            | Action::Patch { workload: id, .. } => usize::from(id.0),
            Action::DeletePod { pod, .. } | Action::Evict(pod) if self.pod(pod).is_none() => return,
            _ => 0,
        };
        if node.is_some_and(|node| !self.is_node(node)) || index >= self.owners.len() {
            return;
        }
        match *action {
            Action::Scale(_, desired) => self.scale(index, desired),
            Action::DeletePod { pod, forced: false } => self.delete(now, pod, "deleted", out),
            Action::DeletePod { pod, forced: true } => self.delete_by_force(now, pod, "deleted by force", out),
            Action::Evict(pod) => drop(self.evict(now, pod, out)),
            Action::Rollout { flaw, .. } => self.roll(now, index, Roll::Out(flaw), out),
            Action::Rollback(_) => self.roll(now, index, Roll::Back(None), out),
            Action::RollBackTo { revision, .. } => self.roll(now, index, Roll::Back(Some(revision)), out),
            Action::Patch { ref patch, .. } => self.patch(now, index, patch),
            Action::EditAutoscaler { workload, edit } => self.edit_autoscaler(workload, edit),
            Action::SetQuota(ref quota) => {
                self.quotas.retain(|other| !is(other, &quota.namespace, &quota.name));
                self.quotas.push(quota.clone());
            }
            Action::DropQuota { ref namespace, ref name } => self.quotas.retain(|other| !is(other, namespace, name)),
            Action::Deny { .. } | Action::Allow { .. } => {} // no request passes through here
            Action::Cordon(node) => self.cordon(now, node, true, out),
            Action::Uncordon(node) => self.cordon(now, node, false, out),
            Action::Drain(node) => self.drain(now, node, out),
            Action::LoseNode(node) => self.lose_node(now, node, true, out),
            Action::CutOff(node) => self.lose_node(now, node, false, out),
            Action::ReturnNode(node) => self.return_node(now, node, out),
        }
    }

    fn tell_replicas(&mut self, out: &mut impl Out<Effect>) {
        for index in 0..self.owners.len() {
            let owner = &self.owners[index];
            let workload = self.platform.workload(owner.workload);
            let ready = owner.pods.iter().filter(|pod| self.record(**pod).is_serving()).count() as u32;
            let now = Some((owner.desired, ready));
            if owner.told != now && workload.kind.is_service() {
                let (workload, desired) = (workload.name.clone(), owner.desired);
                out.emit(Effect::Note(EventKind::ReplicasChanged { workload, desired, ready }));
                self.owners[index].told = now;
            }
        }
    }
}

fn is(quota: &Quota, namespace: &str, name: &str) -> bool {
    (quota.namespace.as_str(), quota.name.as_str()) == (namespace, name)
}

impl Machine for Cluster {
    type Input = Input;
    type Effect = Effect;

    /// Inputs about pods, workloads and nodes that do not exist are ignored.
    fn step(&mut self, now: Nanos, input: Input, out: &mut impl Out<Effect>) {
        match input {
            Input::Start => self.start(now),
            Input::Wake(wake) => {
                if self.agenda.fires(wake) {
                    while let Some((due, task)) = self.agenda.due(now) {
                        self.run(now, due, &task, out);
                    }
                }
            }
            Input::Pod(pod, status) => self.reported(now, pod, status, out),
            Input::Usage(scraper, mut usage) => {
                usage.retain(|(pod, _)| self.is_reached(*pod));
                match (scraper, &mut self.prometheus) {
                    (Scraper::MetricsServer, _) => self.metrics.store(now, &usage),
                    (Scraper::Prometheus, Some(prometheus)) => {
                        let pods = &self.pods;
                        prometheus.store(now, &usage, |pod| pods[pod.0 as usize].workload);
                    }
                    (Scraper::Prometheus, None) => {}
                }
            }
            Input::Metrics(fed) => self.fed = fed,
            Input::Act(action) => self.act(now, &action, out),
        }
        self.settle_controllers(now, out);
        if self.started {
            self.tell_replicas(out);
        }
        if let Some((at, wake)) = self.agenda.arm() {
            out.wake(at, wake);
        }
    }
}
