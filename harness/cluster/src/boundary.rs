//! What goes into the cluster and what comes out of it.

use std::sync::Arc;

use platform::WorkloadId;
use record::EventKind;
use units::Wake;

use crate::{Endpoints, PodId, PodStatus, Usage};

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
    Usage(Vec<(PodId, Usage)>),
    /// Somebody scales a workload by hand, as `kubectl scale` does. An autoscaler may undo it.
    SetReplicas(WorkloadId, u32),
    /// Somebody deletes a pod, as `kubectl delete pod` does. It ends gracefully and is replaced at once.
    DeletePod(PodId),
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
    },
    /// A bound pod was deleted: tell its kubelet to stop it.
    StopPod {
        /// Which pod.
        pod: PodId,
    },
    /// What dialers use from now on.
    Endpoints(Arc<Endpoints>),
    /// Read all running pods' usage now and answer with [`Input::Usage`] at the same instant.
    Scrape,
    /// Something worth keeping.
    Note(EventKind),
}
