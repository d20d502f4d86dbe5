//! What is read of Kubernetes' objects, and no more of them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A name within its namespace.
pub(crate) type Key = (String, String);

/// An object with its metadata.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    pub(crate) meta: ObjectMeta,
    pub(crate) body: T,
}

impl<T: DeserializeOwned> Seen<T> {
    /// `None` for what does not read as what it should be: nothing that an API server would serve.
    pub(crate) fn of(object: DynamicObject) -> Option<Self> {
        Some(Self { meta: object.metadata, body: serde_json::from_value(object.data).ok()? })
    }
}

impl<T> Seen<T> {
    pub(crate) fn key(&self) -> Key {
        (self.meta.namespace.clone().unwrap_or_default(), self.name().to_owned())
    }

    pub(crate) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.meta.labels.as_ref()?.get(key).map(String::as_str)
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.meta.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Kind and name of the controller that owns it.
    pub(crate) fn owner(&self) -> Option<(&str, &str)> {
        let owners = self.meta.owner_references.as_deref().unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        Some((owner.kind.as_str(), owner.name.as_str()))
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The condition of this type.
pub(crate) fn condition<'a>(all: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    all.iter().find(|condition| condition.kind == kind)
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) phase: String,
    pub(crate) reason: String,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) container_statuses: Vec<ContainerStatus>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    #[serde(rename = "hostIP")]
    pub(crate) host_ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerStatus {
    pub(crate) restart_count: u32,
    pub(crate) last_state: LastState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LastState {
    pub(crate) terminated: Terminated,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Terminated {
    pub(crate) reason: String,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Slice {
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Endpoint {
    pub(crate) conditions: EndpointConditions,
    pub(crate) node_name: Option<String>,
    pub(crate) target_ref: Option<TargetRef>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointConditions {
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
    pub(crate) terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TargetRef {
    pub(crate) uid: String,
}

/// A Deployment, a StatefulSet, a DaemonSet or a ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Owner {
    pub(crate) spec: OwnerSpec,
    pub(crate) status: OwnerStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OwnerSpec {
    pub(crate) replicas: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnerStatus {
    pub(crate) observed_generation: i64,
    pub(crate) replicas: u32,
    pub(crate) updated_replicas: u32,
    pub(crate) available_replicas: u32,
    pub(crate) desired_number_scheduled: u32,
    pub(crate) updated_number_scheduled: u32,
    pub(crate) number_available: u32,
    pub(crate) update_revision: String,
    pub(crate) conditions: Vec<Condition>,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scaler {
    pub(crate) status: ScalerStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ScalerStatus {
    pub(crate) current_replicas: u32,
    pub(crate) desired_replicas: u32,
    pub(crate) current_metrics: Option<Vec<CurrentMetric>>,
    pub(crate) conditions: Vec<Condition>,
}

/// One of `status.currentMetrics`: under the name of its type stands what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct CurrentMetric {
    pub(crate) resource: Option<Reading>,
    pub(crate) container_resource: Option<Reading>,
    pub(crate) pods: Option<Reading>,
    pub(crate) object: Option<Reading>,
    pub(crate) external: Option<Reading>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Reading {
    pub(crate) current: Current,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Current {
    pub(crate) average_utilization: Option<u64>,
    pub(crate) average_value: Option<String>,
    pub(crate) value: Option<String>,
}

impl CurrentMetric {
    pub(crate) fn current(&self) -> Option<&Current> {
        let all = [&self.resource, &self.container_resource, &self.pods, &self.object, &self.external];
        all.into_iter().flatten().map(|reading| &reading.current).next()
    }
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) spec: NodeSpec,
    pub(crate) status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    pub(crate) unschedulable: bool,
    pub(crate) taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Taint {
    pub(crate) key: String,
    pub(crate) effect: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) conditions: Vec<Condition>,
}

/// An Event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) involved_object: Involved,
    pub(crate) count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Involved {
    pub(crate) uid: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claim {
    pub(crate) spec: ClaimSpec,
    pub(crate) status: ClaimStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ClaimSpec {
    pub(crate) access_modes: Vec<String>,
    pub(crate) storage_class_name: Option<String>,
    pub(crate) volume_name: Option<String>,
    pub(crate) volume_mode: Option<String>,
    pub(crate) resources: ClaimResources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClaimResources {
    pub(crate) requests: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClaimStatus {
    pub(crate) phase: String,
}

/// A Kubernetes quantity in thousandths, such as `250m`, `1500`, `64Mi`; `None` for what is none.
pub(crate) fn milli(quantity: &str) -> Option<i64> {
    let end = quantity.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let factor: i128 = match suffix {
        "n" => return Some((number.parse::<i128>().ok()? / 1_000_000) as i64),
        "u" => return Some((number.parse::<i128>().ok()? / 1_000) as i64),
        "m" => return number.parse().ok(),
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let thousandths: i128 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    let value = whole.parse::<i128>().ok()? * 1_000 + thousandths;
    i64::try_from(value * factor).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_thousandths() {
        for (text, want) in [
            ("250m", Some(250)),
            ("2", Some(2_000)),
            ("1.5", Some(1_500)),
            ("64Mi", Some(64 * 1_048_576_000)),
            ("105k", Some(105_000_000)),
            ("3000000n", Some(3)),
            ("many", None),
        ] {
            assert_eq!(milli(text), want, "{text}");
        }
    }
}
