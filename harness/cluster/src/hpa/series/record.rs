//! The records of a series, as they are written: one JSON object a line.
//!
//! Every record has an instant and states what is so from then on, until a later record states it anew. Quantities are
//! Kubernetes' (`"250m"`, `"1Gi"`), instants are seconds from the creation of the autoscaler and may be negative.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One line: an instant, and what is so from then on. A line may state several things, or none: the last line's instant
/// is how long the autoscaler is looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Record {
    /// Seconds from the creation of the autoscaler. A record at the instant of a sync is seen by it.
    pub at: f64,
    /// Flags of the controller. Only at the very beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The target's scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleRecord>,
    /// All pods that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Vec<PodRecord>>,
    /// As many pods as `spec.replicas` says, all alike, in place of `pods`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_many_as_replicas: Option<Alike>,
    /// Everything that the resource metrics API has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Vec<SampleRecord>>,
    /// Why the resource metrics API does not answer; an empty text: it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_error: Option<String>,
    /// Everything that the custom metrics API has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Vec<CustomRecord>>,
    /// Everything that the external metrics API has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Vec<ExternalRecord>>,
    /// The autoscaler's new `spec`, as the manifest would have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<serde_json::Value>,
    /// Other autoscalers of the namespace. Only before the first sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rivals: Option<Vec<Rival>>,
    /// What the controller recommended at this instant, before stabilization. Only before the first sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<i32>,
    /// The controller changed the scale at this instant. Only before the first sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<Scaled>,
    /// Conditions that the autoscaler's status has. Only before the first sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<ConditionRecord>>,
}

/// Flags and feature gates of kube-controller-manager, in seconds. What is left out is Kubernetes' default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// `--horizontal-pod-autoscaler-sync-period`, 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_period: Option<f64>,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downscale_stabilization: Option<f64>,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`, 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_initialization_period: Option<f64>,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`, 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_readiness_delay: Option<f64>,
    /// `--horizontal-pod-autoscaler-tolerance`, 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// `HPAConfigurableTolerance` and `HPAScaleToZero`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
}

/// The scale subresource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScaleRecord {
    /// `spec.replicas`; left out, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<i32>,
    /// `status.replicas`; left out, it is what `spec` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// `status.selector`, as `kubectl -l` takes it; `app=target` at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Why it cannot be read; an empty text: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get_error: Option<String>,
    /// Why it cannot be written; an empty text: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_error: Option<String>,
    /// Whether decisions take effect: `spec.replicas` (and `status.replicas`) become what is decided. `true` at first;
    /// with `false` only records change them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<bool>,
}

/// One pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodRecord {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`; `app: target` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// `status.phase`, `Running` if left out.
    #[serde(default)]
    pub phase: PhaseRecord,
    /// Status of condition Ready; `null` or left out: there is no such condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<TruthRecord>,
    /// Its `lastTransitionTime`; the start time if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<f64>,
    /// `status.startTime`; `null` or left out: no kubelet took the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<f64>,
    /// Whether it has a deletion timestamp.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Its containers. Left out: those of the pod of this name in an earlier record, or else those of the target in
    /// the platform, or else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<ContainerRecord>>,
    /// `initContainers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<ContainerRecord>,
    /// `spec.resources.requests`: requests of the pod itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, String>>,
    /// `spec.overhead`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overhead: BTreeMap<String, String>,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ContainerRecord {
    /// Its name.
    pub name: String,
    /// `resources.requests`.
    #[serde(default)]
    pub requests: BTreeMap<String, String>,
    /// `restartPolicy`: `Always` makes an init container a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PhaseRecord {
    /// Its containers never ran all.
    Pending,
    /// Runs.
    #[default]
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Its node does not answer.
    Unknown,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TruthRecord {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// Pods that are as many as the replicas, and alike but for their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Alike {
    /// What each is like. Their names are this one's with `-0`, `-1` and so on.
    pub pod: PodRecord,
    /// What all together use of each resource, in equal shares, rounded up to thousandths; sampled at each sync over
    /// the 15 s before it, as use of the first container (`app` without one).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub total_usage: BTreeMap<String, String>,
}

/// What the resource metrics API says about a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SampleRecord {
    /// The pod's name. It need not be among the pods.
    pub pod: String,
    /// `timestamp`; whole seconds, as the API has it: a fraction is dropped.
    pub timestamp: f64,
    /// `window`, 15 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
    /// Usage of each container.
    pub containers: Vec<UsageRecord>,
}

/// Usage of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UsageRecord {
    /// The container's name.
    pub name: String,
    /// Quantities by resource.
    pub usage: BTreeMap<String, String>,
}

/// One custom metric: of pods, or of one object, or an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CustomRecord {
    /// Its name.
    pub metric: String,
    /// The selector that it answers to, as `kubectl -l` prints it; none if left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Values by pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<BTreeMap<String, String>>,
    /// The object that `value` is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRecord>,
    /// The object's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why the API refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An object with a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectRecord {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// One external metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalRecord {
    /// Its name.
    pub metric: String,
    /// The selector that it answers to, as `kubectl -l` prints it; none if left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The value of every series that matches.
    #[serde(default)]
    pub values: Vec<String>,
    /// Why the API refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Another autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Which pods its target's scale selects.
    pub selector: String,
}

/// A change of the scale by the autoscaler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scaled {
    /// Replicas before.
    pub from: i32,
    /// Replicas after.
    pub to: i32,
}

/// A condition of the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConditionRecord {
    /// `AbleToScale`, `ScalingActive`, `ScalingLimited` or `ScaledToZero`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its status.
    pub status: TruthRecord,
    /// One word.
    #[serde(default)]
    pub reason: String,
    /// A sentence.
    #[serde(default)]
    pub message: String,
}
