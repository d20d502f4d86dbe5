//! A pod as the API server keeps it: what was decided about it and what its kubelet last reported.

use platform::WorkloadId;
use units::{Bytes, Nanos};

use crate::Flaw;
use crate::hpa::whole_seconds;

/// A pod, counted from 0 in order of creation, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub u32);

/// What a kubelet reports about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodStatus {
    /// Its containers run for the first time.
    Started,
    /// Its readiness changed. A pod begins unready.
    Ready(bool),
    /// Its container runs again after it ended.
    Restarted {
        /// Why it ended.
        reason: String,
    },
    /// Nothing of it is left on the node.
    Gone,
}

/// What a pod's container has used so far, as the kubelet's resource endpoint tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since the container started.
    pub cpu: Nanos,
    /// Working set now.
    pub memory: Bytes,
    /// When the container started.
    pub started: Nanos,
    /// What it tells of its requests.
    pub traffic: Traffic,
}

/// What a pod's own metrics tell of its requests, health checks left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests answered since the container started.
    pub answered: u64,
    /// Requests that wait for a thread now.
    pub waiting: u32,
    /// Requests in the pod now.
    pub in_flight: u32,
}

/// A pod's record. It stays after the pod has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// `metadata.name`.
    pub name: String,
    /// The workload it belongs to.
    pub workload: WorkloadId,
    /// Which of the workload's templates it is made of, counted from 0, the one that the run began with.
    pub template: u32,
    /// What is wrong with that template.
    pub flaw: Flaw,
    /// Its ordinal in a StatefulSet.
    pub ordinal: Option<u32>,
    /// The node that a DaemonSet made it for.
    pub only: Option<usize>,
    /// Index of the node it is bound to, among the nodes the cluster was given.
    pub node: Option<usize>,
    /// `metadata.creationTimestamp`.
    pub created: Nanos,
    /// `status.startTime`: when its kubelet took it, here the instant of binding.
    pub accepted: Option<Nanos>,
    /// When its containers ran for the first time; its phase is Pending before.
    pub started: Option<Nanos>,
    /// Condition Ready.
    pub ready: bool,
    /// When condition Ready changed last; set to false when the kubelet took the pod.
    pub ready_changed: Option<Nanos>,
    /// Restarts of its container.
    pub restarts: u32,
    /// When it ended by itself, as pods of Jobs do.
    pub succeeded: Option<Nanos>,
    /// `metadata.deletionTimestamp` without the grace period: when its deletion was asked for.
    pub deleted: Option<Nanos>,
    /// When it had gone.
    pub gone: Option<Nanos>,
}

impl PodRecord {
    /// A pod that was just created.
    pub fn new(name: String, workload: WorkloadId, created: Nanos) -> Self {
        Self {
            name,
            workload,
            template: 0,
            flaw: Flaw::None,
            ordinal: None,
            only: None,
            node: None,
            created,
            accepted: None,
            started: None,
            ready: false,
            ready_changed: None,
            restarts: 0,
            succeeded: None,
            deleted: None,
            gone: None,
        }
    }

    /// Counts towards its workload: neither ending nor ended (`pkg/controller/controller_utils.go`, `IsPodActive`).
    pub fn is_active(&self) -> bool {
        self.deleted.is_none() && self.gone.is_none() && self.succeeded.is_none()
    }

    /// Ready for as long as `min_ready` (`pkg/api/v1/pod/util.go`, `IsPodAvailable`), ending or not.
    pub(crate) fn is_available(&self, now: Nanos, min_ready: Nanos) -> bool {
        self.ready && self.available_at(min_ready).is_some_and(|at| at <= now)
    }

    /// When it has been ready for `min_ready`, counted from the whole second in which it became so: the time of a
    /// condition travels without fractions.
    pub(crate) fn available_at(&self, min_ready: Nanos) -> Option<Nanos> {
        self.ready_changed.map(|since| whole_seconds(since) + min_ready)
    }

    /// Ready and not ending: what a Deployment counts in `readyReplicas`.
    pub fn is_serving(&self) -> bool {
        self.ready && self.is_active()
    }
}
