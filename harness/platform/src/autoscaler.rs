//! HorizontalPodAutoscaler `autoscaling/v2`, as declared.

use units::{Bytes, Millicores, Nanos};

use crate::{Place, WorkloadId};

/// An autoscaler and its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// `metadata.name`.
    pub name: String,
    /// What it scales.
    pub target: WorkloadId,
    /// `minReplicas`, default 1.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// `metrics`; Kubernetes' default is CPU at 80 % (`pkg/apis/autoscaling/v2/defaults.go`).
    pub metrics: Vec<ResourceMetric>,
    /// `behavior`. Kubernetes fills its defaults in **only if it is given at all**, and without it decides by an
    /// older path, so absence is kept.
    pub behavior: Option<Behavior>,
    /// Where it was declared.
    pub place: Place,
}

/// A metric of type `Resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceMetric {
    /// Which resource.
    pub resource: Resource,
    /// What it is held at.
    pub target: MetricTarget,
}

/// A resource an autoscaler can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// CPU in millicores.
    Cpu,
    /// Working set in bytes.
    Memory,
}

impl Resource {
    /// As manifests and `kubectl` write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// What a metric is held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricTarget {
    /// Percent of the request.
    Utilization(u32),
    /// CPU per pod.
    AverageCpu(Millicores),
    /// Memory per pod.
    AverageMemory(Bytes),
}

/// `spec.behavior`, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// `scaleUp`.
    pub up: ScalingRules,
    /// `scaleDown`.
    pub down: ScalingRules,
}

/// Rules for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingRules {
    /// `stabilizationWindowSeconds`; `None` on scaleDown means the controller's flag, 300 s.
    pub stabilization_window: Option<Nanos>,
    /// `selectPolicy`.
    pub select: SelectPolicy,
    /// `policies`.
    pub policies: Vec<Policy>,
}

/// Which policy counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the greatest change.
    #[default]
    Max,
    /// The one that allows the least.
    Min,
    /// No change in this direction.
    Disabled,
}

/// At most so much change in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pods or percent.
    pub kind: PolicyKind,
    /// How many of them.
    pub value: u32,
    /// `periodSeconds`, at most 1800 s.
    pub period: Nanos,
}

/// What a policy counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Absolute pods.
    Pods,
    /// Percent of the replicas at the period's start.
    Percent,
}

impl Behavior {
    /// What Kubernetes fills in for `behavior: {}`.
    pub fn default_rules() -> Self {
        let policy = |kind, value| Policy { kind, value, period: Nanos::from_secs(15) };
        Self {
            up: ScalingRules {
                stabilization_window: Some(Nanos::ZERO),
                select: SelectPolicy::Max,
                policies: vec![policy(PolicyKind::Pods, 4), policy(PolicyKind::Percent, 100)],
            },
            down: ScalingRules {
                stabilization_window: None,
                select: SelectPolicy::Max,
                policies: vec![policy(PolicyKind::Percent, 100)],
            },
        }
    }
}
