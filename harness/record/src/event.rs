//! What happened, in one vocabulary for every backend.

use std::borrow::Cow;

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
    /// The load was given up before its time, by the scenario's abort rule.
    LoadAborted {
        /// Why.
        reason: String,
    },
    /// Something happened in the data layer.
    DataChanged {
        /// What, in words.
        what: String,
    },
    /// A fault of the scenario begins.
    FaultBegan {
        /// Its name.
        fault: String,
        /// What happens, in words.
        what: String,
    },
    /// A fault of the scenario is over: what it did is undone, which is not to say that it has healed.
    FaultEnded {
        /// Its name.
        fault: String,
    },
    /// The scheduler bound a pod to a node.
    PodScheduled {
        /// Pod name.
        pod: String,
        /// Node name.
        node: String,
        /// Which pod it is, counted from 1 in the order of creation: [`Observation::pod`](crate::Observation::pod);
        /// 0 in runs of older versions.
        #[serde(default)]
        number: u16,
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
    /// A new pod template begins to replace the old one.
    RolloutStarted {
        /// Workload name.
        workload: String,
        /// Revision, counted from 1, the one that the run began with.
        revision: u32,
    },
    /// A Deployment with several templates changed the size of one of its ReplicaSets.
    ReplicaSetScaled {
        /// Workload name.
        workload: String,
        /// ReplicaSet name.
        replica_set: String,
        /// Replicas before.
        from: u32,
        /// Replicas from now on.
        to: u32,
    },
    /// A rollout came closer to its end.
    RolloutProgressed {
        /// Workload name.
        workload: String,
        /// Pods of the new template.
        updated: u32,
        /// Pods that are available, of any template.
        available: u32,
        /// Pods that are wanted.
        desired: u32,
    },
    /// Every pod is of the new template and available.
    RolloutComplete {
        /// Workload name.
        workload: String,
        /// Its revision.
        revision: u32,
    },
    /// A rollout made no progress for `progressDeadlineSeconds`: condition `ProgressDeadlineExceeded`. Nothing is
    /// rolled back.
    DeadlineExceeded {
        /// Workload name.
        workload: String,
        /// As `kubectl describe deployment` words it.
        message: String,
    },
    /// A pod could not be created.
    CreateFailed {
        /// Workload name.
        workload: String,
        /// As event `FailedCreate` words it.
        reason: String,
    },
    /// A pod ended by itself, as pods of Jobs do.
    PodSucceeded {
        /// Pod name.
        pod: String,
    },
    /// A pod was evicted.
    PodEvicted {
        /// Pod name.
        pod: String,
        /// Why: through the eviction subresource, or by a taint.
        reason: String,
    },
    /// An eviction was refused.
    EvictionRefused {
        /// Pod name.
        pod: String,
        /// The PodDisruptionBudget that refuses; `None` where several select the pod.
        budget: Option<String>,
        /// HTTP status of the answer: 429, or 500 where several budgets select the pod.
        status: u16,
        /// As the API server words it.
        reason: String,
    },
    /// A node changed for the control plane, or something befell it.
    NodeChanged {
        /// Node name.
        node: String,
        /// What it is now.
        state: NodeState,
    },
    /// The process that the platform lives in, or the load driver, did not run for a while: it was stopped, or its
    /// machine had no time for it. Requests of that time say nothing about the platform.
    Stalled {
        /// Whose process: `the platform` or `the load driver`.
        who: String,
        /// For how long, microseconds.
        stalled_us: u64,
    },
    /// The API server answers again. What it decided meanwhile, if anything, is told from now on.
    ControlSilent {
        /// For how long it did not, microseconds.
        silent_us: u64,
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

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It takes no new pods.
    Cordoned,
    /// It takes pods again.
    Uncordoned,
    /// Its evictions have begun.
    Draining,
    /// Nothing that a drain evicts is left on it.
    Drained,
    /// It lost its power. The control plane does not know yet.
    Lost,
    /// Nobody reaches it. The control plane does not know yet.
    CutOff,
    /// It is back. The control plane does not know yet.
    Returned,
    /// Its heartbeats are missed: condition Ready is Unknown, its pods count as unready.
    NotReady,
    /// The taint that evicts its pods was put on it.
    Unreachable,
    /// Its heartbeats are seen again.
    Ready,
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cordoned => "cordoned",
            Self::Uncordoned => "uncordoned",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Lost => "without power",
            Self::CutOff => "cut off",
            Self::Returned => "back",
            Self::NotReady => "NotReady",
            Self::Unreachable => "tainted unreachable",
            Self::Ready => "Ready",
        })
    }
}

/// One sync of an autoscaler with everything it read. Conditions and reasons are worded as Kubernetes words them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// What stabilization made of the proposal, before policies and bounds; `None` where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilized: Option<u32>,
    /// What the forecaster asked for, where there is one and it asked for more than the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<u32>,
    /// All conditions of the status, in the order in which they were first set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ScalingCondition>,
}

/// One condition of an autoscaler, as `kubectl describe hpa` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScalingCondition {
    /// `AbleToScale`, `ScalingActive`, `ScalingLimited` or `ScaledToZero`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// `True`, `False` or `Unknown`.
    pub status: Cow<'static, str>,
    /// One word.
    pub reason: Cow<'static, str>,
    /// A sentence.
    pub message: Cow<'static, str>,
}

/// One metric of one sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MetricReading {
    /// `cpu` or `memory`; for other metrics what they are, such as `pods metric requests_per_second`.
    pub metric: String,
    /// Utilisation in percent of the request, or the average value; `None` if it could not be read.
    pub value: Option<u64>,
    /// The target in the same unit.
    pub target: u64,
    /// `%`; `m` for thousandths; `B`.
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
    /// What `status.currentMetrics` tells beside a utilisation, and instead of one, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_milli: Option<i64>,
}
