//! What happened, in one vocabulary for every backend.

use serde::{Deserialize, Serialize};
use units::Nanos;

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds since the run's epoch.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// An event at `now`.
    pub fn new(now: Nanos, kind: EventKind) -> Self {
        Self { at_us: now.as_micros(), kind }
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum EventKind {
    /// The platform is ready for load.
    PlatformReady,
    /// A phase of the scenario begins.
    PhaseStarted {
        /// Its name.
        phase: String,
    },
    /// The load has ended.
    LoadEnded,
    /// The scheduler bound a pod to a node.
    PodScheduled {
        /// Pod name.
        pod: String,
        /// Node name.
        node: String,
    },
    /// The scheduler found no node.
    PodUnschedulable {
        /// Pod name.
        pod: String,
        /// As `kubectl describe pod` words it.
        reason: String,
    },
    /// Its containers run.
    PodStarted {
        /// Pod name.
        pod: String,
    },
    /// Its readiness changed.
    PodReady {
        /// Pod name.
        pod: String,
        /// To what.
        ready: bool,
    },
    /// It was asked to end.
    PodTerminating {
        /// Pod name.
        pod: String,
        /// Why.
        reason: String,
    },
    /// It is gone.
    PodGone {
        /// Pod name.
        pod: String,
    },
    /// Its container was restarted.
    PodRestarted {
        /// Pod name.
        pod: String,
        /// Why, such as a failed liveness probe.
        reason: String,
    },
    /// The endpoints of a Service changed for those who dial it.
    EndpointsChanged {
        /// Service name.
        service: String,
        /// How many pods are ready behind it now.
        ready: u32,
    },
    /// Replicas of a workload changed, wanted or ready.
    ReplicasChanged {
        /// Workload name.
        workload: String,
        /// Wanted.
        desired: u32,
        /// Ready.
        ready: u32,
    },
    /// An autoscaler looked, and what came of it.
    Scaling(ScalingDecision),
    /// Something the run had to do differently from what was asked, such as another port.
    Substituted {
        /// What.
        what: String,
        /// By what, and why.
        by: String,
    },
}

/// One sync of an autoscaler with everything it read. Conditions and reasons are worded as Kubernetes words them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingDecision {
    /// HPA name.
    pub autoscaler: String,
    /// Workload it scales.
    pub workload: String,
    /// Replicas before.
    pub current: u32,
    /// What the metrics ask for, before stabilization and policies.
    pub proposed: u32,
    /// What was decided.
    pub desired: u32,
    /// Each metric that was read.
    pub metrics: Vec<MetricReading>,
    /// Reason of condition `AbleToScale`.
    pub able_to_scale: String,
    /// Reason of condition `ScalingActive`.
    pub scaling_active: String,
    /// Reason of condition `ScalingLimited`.
    pub scaling_limited: String,
}

/// One metric of one sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricReading {
    /// `cpu` or `memory`.
    pub metric: String,
    /// Utilisation in percent of the request, or the average value; `None` if it could not be read.
    pub value: Option<u64>,
    /// The target in the same unit.
    pub target: u64,
    /// `%`, `m` or `B`.
    pub unit: String,
    /// Replicas this metric asks for.
    pub proposal: Option<u32>,
    /// Pods whose sample counted.
    pub pods_counted: u32,
    /// Pods not ready, whose sample was put aside.
    pub pods_unready: u32,
    /// Pods without a sample.
    pub pods_missing: u32,
    /// Age of the oldest sample that counted, microseconds.
    pub sample_age_us: u64,
    /// Why it could not be read.
    pub error: Option<String>,
}
