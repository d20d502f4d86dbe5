//! A workload with the controller that makes its pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use platform::{Labels, Workload, WorkloadId, WorkloadKind};
use units::{Nanos, Seed};

use crate::cron::Cron;
use crate::deployment::Deployment;
use crate::names::Names;
use crate::{Flaw, PodId};

/// A workload with its pods.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) workload: WorkloadId,
    /// `spec.replicas`, nodes of a DaemonSet, or pods of a Job that are to run now.
    pub(super) desired: u32,
    /// Pods that have not gone, ending ones included, in order of creation.
    pub(super) pods: Vec<PodId>,
    /// Desired and ready as told last.
    pub(super) told: Option<(u32, u32)>,
    pub(super) names: Names,
    pub(super) controller: Controller,
    /// Why pods too many are deleted.
    pub(super) why: String,
    /// Creations that failed, one after the other.
    pub(super) failures: Failures,
    labels: BTreeMap<u32, Arc<Labels>>,
}

/// Creations that failed: how many, what the last one said, when to try again.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    pub(super) message: String,
    pub(super) until: Nanos,
}

/// What makes the pods, with its memory.
#[derive(Debug)]
pub(super) enum Controller {
    Deployment(Deployment),
    StatefulSet {
        revisions: Revisions,
        /// `status.currentRevision`: the template before the update, until that is complete.
        current: u32,
    },
    DaemonSet(Revisions),
    /// A Job, or all that a CronJob has started so far.
    Job {
        left: u32,
        parallelism: u32,
        cron: Option<Cron>,
    },
    /// A bare Pod, made once.
    Pod {
        made: bool,
    },
}

/// ControllerRevisions: the templates there have been, the wanted one last.
#[derive(Debug)]
pub(super) struct Revisions {
    flaws: Vec<Flaw>,
    order: Vec<u32>,
    pub(super) number: u32,
    /// Whether its end was told.
    pub(super) complete: bool,
}

impl Revisions {
    fn new() -> Self {
        Self { flaws: vec![Flaw::None], order: vec![0], number: 1, complete: true }
    }

    pub(super) fn wanted(&self) -> u32 {
        self.order.last().copied().unwrap_or(0)
    }

    fn roll_out(&mut self, flaw: Flaw) {
        self.order.push(self.flaws.len() as u32);
        self.flaws.push(flaw);
        (self.number, self.complete) = (self.number + 1, false);
    }

    fn roll_back(&mut self) -> bool {
        let Some(before) = self.order.len().checked_sub(2) else { return false };
        let template = self.order.remove(before);
        self.order.push(template);
        (self.number, self.complete) = (self.number + 1, false);
        true
    }
}

impl Owner {
    /// A workload starts with the replicas it declares. An autoscaled one that declares none, as it should, starts
    /// with its `minimum`: a rehearsal begins on a platform that has been up, not on the 15 s that its first
    /// application spends at Kubernetes' default of one replica.
    pub(super) fn new(id: WorkloadId, workload: &Workload, minimum: Option<u32>, seed: Seed) -> Self {
        let replicas = workload.replicas.or(minimum).unwrap_or(1);
        let (desired, controller) = match &workload.kind {
            WorkloadKind::Deployment => {
                let deployment =
                    Deployment::new(workload.strategy, workload.progress_deadline, workload.min_ready, replicas);
                (replicas, Controller::Deployment(deployment.with_history(workload.revision_history)))
            }
            WorkloadKind::StatefulSet { .. } => {
                (replicas, Controller::StatefulSet { revisions: Revisions::new(), current: 0 })
            }
            WorkloadKind::DaemonSet => (0, Controller::DaemonSet(Revisions::new())),
            WorkloadKind::Job { completions, parallelism } => {
                (0, Controller::Job { left: *completions, parallelism: *parallelism, cron: None })
            }
            WorkloadKind::CronJob { schedule } => {
                (0, Controller::Job { left: 0, parallelism: u32::MAX, cron: Cron::parse(schedule) })
            }
            WorkloadKind::Pod => (1, Controller::Pod { made: false }),
        };
        Self {
            workload: id,
            desired,
            pods: Vec::new(),
            told: None,
            names: Names::new(&workload.name, seed),
            controller,
            why: String::new(),
            failures: Failures::default(),
            labels: BTreeMap::new(),
        }
    }

    /// Whether it has a scale subresource.
    pub(super) fn is_scaled(&self) -> bool {
        matches!(self.controller, Controller::Deployment(_) | Controller::StatefulSet { .. })
    }

    /// What is wrong with one of its templates.
    pub(super) fn flaw(&self, template: u32) -> Flaw {
        match &self.controller {
            Controller::Deployment(deployment) => deployment.flaw(template),
            Controller::StatefulSet { revisions, .. } | Controller::DaemonSet(revisions) => {
                revisions.flaws[template as usize]
            }
            Controller::Job { .. } | Controller::Pod { .. } => Flaw::None,
        }
    }

    /// The template that is wanted now.
    pub(super) fn wanted(&self) -> u32 {
        match &self.controller {
            Controller::Deployment(deployment) => deployment.wanted(),
            Controller::StatefulSet { revisions, .. } | Controller::DaemonSet(revisions) => revisions.wanted(),
            Controller::Job { .. } | Controller::Pod { .. } => 0,
        }
    }

    /// Applies a new template. Jobs and bare Pods cannot be changed: `false`.
    pub(super) fn roll_out(&mut self, flaw: Flaw) -> bool {
        match &mut self.controller {
            Controller::Deployment(deployment) => deployment.roll_out(flaw),
            Controller::StatefulSet { revisions, .. } | Controller::DaemonSet(revisions) => revisions.roll_out(flaw),
            Controller::Job { .. } | Controller::Pod { .. } => return false,
        }
        true
    }

    /// Applies the template of a revision, or the one before the present one, if there is one. Only of Deployments
    /// revisions are known by number.
    pub(super) fn roll_back(&mut self, to: Option<u32>) -> bool {
        match &mut self.controller {
            Controller::Deployment(deployment) => deployment.roll_back(to),
            Controller::StatefulSet { revisions, .. } | Controller::DaemonSet(revisions) => {
                to.is_none() && revisions.roll_back()
            }
            Controller::Job { .. } | Controller::Pod { .. } => false,
        }
    }

    /// Labels of the pods of one template: those of the workload and the hash that tells templates apart.
    pub(super) fn labels(&mut self, workload: &Workload, template: u32) -> Arc<Labels> {
        let name = self.names.template(template);
        let key = match self.controller {
            Controller::Deployment(_) => Some("pod-template-hash"),
            Controller::StatefulSet { .. } | Controller::DaemonSet(_) => Some("controller-revision-hash"),
            Controller::Job { .. } | Controller::Pod { .. } => None,
        };
        let labels = self.labels.entry(template).or_insert_with(|| {
            let mut labels = workload.labels.clone();
            let hash = name.rsplit('-').next().unwrap_or_default();
            labels.extend(key.map(|key| (key.to_owned(), hash.to_owned())));
            Arc::new(labels)
        });
        Arc::clone(labels)
    }
}
