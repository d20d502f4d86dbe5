//! What goes into the cluster and what comes out of it.

use std::sync::Arc;

use platform::{Autoscaler, Metric, MetricTarget, Quota, WorkloadId};
use record::EventKind;
use units::Wake;

use crate::hpa::FedMetrics;
use crate::{Endpoints, Patch, PodId, PodStatus, Usage};

/// What may happen to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The manifests are applied. Once.
    Start,
    /// A timer has fired.
    Wake(Wake),
    /// A kubelet reports.
    Pod(PodId, PodStatus),
    /// The answer to [`Effect::Scrape`], at the same instant: all pods whose container runs.
    Usage(Scraper, Vec<(PodId, Usage)>),
    /// What the custom and external metrics APIs answer from now on, beside what [`crate::monitoring`] knows. A metric
    /// that neither has fails as it does in Kubernetes without an adapter.
    Metrics(FedMetrics),
    /// Somebody, or some accident, acts on the cluster.
    Act(Action),
}

/// Who reads the pods' usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scraper {
    /// metrics-server.
    MetricsServer,
    /// Prometheus.
    Prometheus,
}

/// What somebody does to a cluster, or what befalls it. Nodes are named by their index among those it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `kubectl scale`. An autoscaler may undo it.
    Scale(WorkloadId, u32),
    /// `kubectl delete pod`: it ends within its grace period, or at once, and is replaced at once.
    DeletePod {
        /// Which pod.
        pod: PodId,
        /// `--grace-period=0 --force`: nobody waits for its kubelet.
        forced: bool,
    },
    /// The eviction subresource: refused where a PodDisruptionBudget says so.
    Evict(PodId),
    /// `kubectl set image`, or any other new pod template.
    Rollout {
        /// Which workload.
        workload: WorkloadId,
        /// What is wrong with the new template.
        flaw: Flaw,
    },
    /// `kubectl rollout undo`.
    Rollback(WorkloadId),
    /// `kubectl rollout undo --to-revision`, of a Deployment. A revision that is not there changes nothing.
    RollBackTo {
        /// Which workload.
        workload: WorkloadId,
        /// As `kubectl rollout history` numbers them.
        revision: u32,
    },
    /// `kubectl patch`, `kubectl rollout pause` and `resume`, of a Deployment.
    Patch {
        /// Which workload.
        workload: WorkloadId,
        /// What is set anew.
        patch: Patch,
    },
    /// `kubectl patch hpa`: what is remembered stays, and the next sync decides by the new specification.
    EditAutoscaler {
        /// The workload that it scales.
        workload: WorkloadId,
        /// What is set anew.
        edit: AutoscalerEdit,
    },
    /// `kubectl apply` of a `ResourceQuota`, in place of one of its name. What is there already stays.
    SetQuota(Quota),
    /// `kubectl delete resourcequota`.
    DropQuota {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A `NetworkPolicy` by which pods of `to` take nothing from pods of `from`. Only a cluster with a network of its own
    /// heeds it; elsewhere whoever carries requests knows the fault itself.
    Deny {
        /// The policy's name.
        name: String,
        /// Who asks.
        from: WorkloadId,
        /// Who hears nothing of it.
        to: WorkloadId,
    },
    /// `kubectl delete networkpolicy`.
    Allow {
        /// Its name.
        name: String,
        /// Whose pods it selects.
        to: WorkloadId,
    },
    /// `kubectl cordon`.
    Cordon(usize),
    /// `kubectl uncordon`.
    Uncordon(usize),
    /// `kubectl drain`: cordons, then evicts until nothing is left but DaemonSets.
    Drain(usize),
    /// A node loses its power: its pods are gone at once, and the control plane finds out by itself.
    LoseNode(usize),
    /// A node is cut off: its pods go on and nobody reaches them or hears of them.
    CutOff(usize),
    /// A lost or cut-off node is back.
    ReturnNode(usize),
}

/// What is set anew of an autoscaler; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoscalerEdit {
    /// `minReplicas`.
    pub min: Option<u32>,
    /// `maxReplicas`.
    pub max: Option<u32>,
    /// `averageUtilization` of its CPU metric, percent of the request.
    pub cpu: Option<u32>,
}

impl AutoscalerEdit {
    /// `declared` as it is with the edit.
    pub fn applied(&self, declared: &Autoscaler) -> Autoscaler {
        let mut edited = declared.clone();
        edited.min = self.min.unwrap_or(edited.min);
        edited.max = self.max.unwrap_or(edited.max);
        if let (Some(cpu), Some(metric)) = (self.cpu, edited.metrics.iter_mut().find(|metric| metric.is_cpu_share())) {
            metric.target = MetricTarget::Utilization(cpu);
        }
        edited
    }

    /// What takes the edit back from `declared`.
    #[must_use]
    pub fn undone(&self, declared: &Autoscaler) -> Self {
        let cpu = declared.metrics.iter().find_map(Metric::cpu_share);
        Self { min: self.min.and(Some(declared.min)), max: self.max.and(Some(declared.max)), cpu: self.cpu.and(cpu) }
    }
}

/// What is wrong with a new pod template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    #[default]
    None,
    /// Its image cannot be pulled: `ImagePullBackOff`.
    ImagePull,
    /// Its process ends as soon as it starts: `CrashLoopBackOff`.
    Crash,
    /// It never becomes ready.
    NeverReady,
}

/// What the cluster wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A pod was bound: give it a kubelet and start it.
    RunPod {
        /// Which pod.
        pod: PodId,
        /// The workload it belongs to.
        workload: WorkloadId,
        /// Index of its node.
        node: usize,
        /// Its name.
        name: String,
        /// Which of its workload's templates it is made of, counted from 0.
        template: u32,
        /// What is wrong with that template.
        flaw: Flaw,
    },
    /// The node of a bound pod lost its power: the pod's processes are gone at once, and so is its kubelet.
    LosePod {
        /// Which pod.
        pod: PodId,
    },
    /// The node of a bound pod is cut off (`false`) or reached again.
    Reach {
        /// Which pod.
        pod: PodId,
        /// Whether connections get there from now on.
        reachable: bool,
    },
    /// A bound pod was deleted: tell its kubelet to stop it.
    StopPod {
        /// Which pod.
        pod: PodId,
    },
    /// What dialers use from now on.
    Endpoints(Arc<Endpoints>),
    /// Read all running pods' usage now and answer with [`Input::Usage`] at the same instant.
    Scrape(Scraper),
    /// Something worth keeping.
    Note(EventKind),
}
