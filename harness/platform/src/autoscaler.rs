//! HorizontalPodAutoscaler `autoscaling/v2`, as declared.

use std::fmt;

use units::{Milli, Nanos};

use crate::{Operator, Place, Requirement, Selector, WorkloadId};

/// An autoscaler and its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// What it scales, as `scaleTargetRef` writes it.
    pub reference: ObjectRef,
    /// The workload behind the reference. `None`: it is not among the manifests, or nothing that can be scaled;
    /// Kubernetes takes such an autoscaler and fails at every sync (`FailedGetScale`).
    pub target: Option<WorkloadId>,
    /// `minReplicas`, default 1. 0 needs an Object or External metric and the gate `HPAScaleToZero`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// `metrics`; Kubernetes' default is CPU at 80 % (`pkg/apis/autoscaling/v2/defaults.go`).
    pub metrics: Vec<Metric>,
    /// `behavior`. Kubernetes fills its defaults in **only if it is given at all**, and without it decides by an
    /// older path, so absence is kept.
    pub behavior: Option<Behavior>,
    /// Where it was declared.
    pub place: Place,
}

/// `apiVersion`, `kind` and `name` of an object (`CrossVersionObjectReference`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectRef {
    /// `apiVersion`, such as `apps/v1`; may be empty.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `name`.
    pub name: String,
}

/// `Kind/name`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// One of `spec.metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Where its value comes from.
    pub source: MetricSource,
    /// What it is held at.
    pub target: MetricTarget,
}

impl Metric {
    /// The share of its request, in percent, at which it holds a pod's CPU, if that is what it does.
    pub fn cpu_share(&self) -> Option<u32> {
        match (&self.source, self.target) {
            (MetricSource::Resource { resource }, MetricTarget::Utilization(percent)) if resource == "cpu" => {
                Some(percent)
            }
            _ => None,
        }
    }

    /// Whether [`Self::cpu_share`] is there.
    pub fn is_cpu_share(&self) -> bool {
        self.cpu_share().is_some()
    }
}

/// Where a metric's value comes from: `type` of a metric with what that type names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// A resource of the whole pod, such as `cpu` or `memory`.
    Resource {
        /// `name`.
        resource: String,
    },
    /// A resource of one container in each pod.
    ContainerResource {
        /// `name`.
        resource: String,
        /// `container`.
        container: String,
    },
    /// A custom metric that each pod has, averaged over them.
    Pods(MetricId),
    /// A custom metric of one object.
    Object {
        /// `describedObject`.
        object: ObjectRef,
        /// `metric`.
        metric: MetricId,
    },
    /// A metric of something outside the cluster; the series that match are summed.
    External(MetricId),
}

/// Name and label selector of a custom or external metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricId {
    /// `name`.
    pub name: String,
    /// `selector`; `None` where the manifest has none.
    pub selector: Option<Selector>,
}

impl MetricId {
    /// The selector in the form of `kubectl -l`, with keys and values sorted; empty without one.
    pub fn label_query(&self) -> String {
        let Some(selector) = &self.selector else { return String::new() };
        let equal = selector.labels.iter().map(|(key, value)| (key, format!("{key}={value}")));
        let other = selector.expressions.iter().map(|requirement| (&requirement.key, in_words(requirement)));
        let mut parts = equal.chain(other).collect::<Vec<_>>();
        parts.sort_by(|a, b| a.0.cmp(b.0));
        parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
    }
}

fn in_words(requirement: &Requirement) -> String {
    let list = |values: &[String]| {
        let mut values = values.to_vec();
        values.sort_unstable();
        values.join(",")
    };
    let key = &requirement.key;
    match &requirement.operator {
        Operator::In(values) => format!("{key} in ({})", list(values)),
        Operator::NotIn(values) => format!("{key} notin ({})", list(values)),
        Operator::Exists => key.clone(),
        Operator::DoesNotExist => format!("!{key}"),
        Operator::Gt(bound) => format!("{key}>{bound}"),
        Operator::Lt(bound) => format!("{key}<{bound}"),
    }
}

/// What a metric is held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricTarget {
    /// Percent of the request, at least 1; for resources.
    Utilization(u32),
    /// Per pod.
    AverageValue(Milli),
    /// In total; for Object and External metrics.
    Value(Milli),
    /// The value that `type` names is not given. Kubernetes takes an Object metric like that and fails at every sync.
    Missing,
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
    /// `tolerance`; `None` means the controller's flag, 0.1. Read only where the gate `HPAConfigurableTolerance` is
    /// on, as it is from 1.35.
    pub tolerance: Option<Tolerance>,
}

/// A tolerance, in billionths: that is how fine a Kubernetes quantity gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tolerance(pub u64);

impl Tolerance {
    /// As the controller computes with it: `AsApproximateFloat64` of the canonical quantity, an integer times a power
    /// of a thousandth (`k8s.io/apimachinery/pkg/api/resource/quantity.go`).
    pub fn ratio(self) -> f64 {
        for (unit, power) in [(1_000_000_000, 1.0), (1_000_000, 1e-3), (1_000, 1e-6)] {
            if self.0.is_multiple_of(unit) {
                return (self.0 / unit) as f64 * power;
            }
        }
        self.0 as f64 * 1e-9
    }
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
                tolerance: None,
            },
            down: ScalingRules {
                stabilization_window: None,
                select: SelectPolicy::Max,
                policies: vec![policy(PolicyKind::Percent, 100)],
                tolerance: None,
            },
        }
    }
}
