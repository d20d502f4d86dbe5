//! Fields that the API server would refuse under `--validate=strict`: those that Kubernetes' own type does not have.
//!
//! A field is unknown if it does not survive a round through the typed view. Values that the type normalises away
//! (null, and empty lists and maps) say nothing and are not told.

use k8s_openapi::api::{apps, autoscaling, batch, core, networking, policy, rbac, scheduling, storage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Object;

impl Object {
    /// Paths of fields that this object's type does not have, in the order of the document. `None`: the kind is none
    /// whose type is known here, or the object does not have that type at all.
    pub fn unknown_fields(&self) -> Option<Vec<String>> {
        let raw = self.to_json();
        let kept = through_type(&self.api_version, &self.kind, &raw)?;
        let mut lost = Vec::new();
        compare(&raw, &kept, "", &mut lost);
        Some(lost)
    }
}

fn through_type(api_version: &str, kind: &str, raw: &Value) -> Option<Value> {
    fn round<T: DeserializeOwned + Serialize>(raw: &Value) -> Option<Value> {
        serde_json::to_value(serde_json::from_value::<T>(raw.clone()).ok()?).ok()
    }
    match (api_version, kind) {
        ("apps/v1", "Deployment") => round::<apps::v1::Deployment>(raw),
        ("apps/v1", "StatefulSet") => round::<apps::v1::StatefulSet>(raw),
        ("apps/v1", "DaemonSet") => round::<apps::v1::DaemonSet>(raw),
        ("apps/v1", "ReplicaSet") => round::<apps::v1::ReplicaSet>(raw),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => round::<autoscaling::v2::HorizontalPodAutoscaler>(raw),
        ("batch/v1", "Job") => round::<batch::v1::Job>(raw),
        ("batch/v1", "CronJob") => round::<batch::v1::CronJob>(raw),
        ("v1", "Pod") => round::<core::v1::Pod>(raw),
        ("v1", "Service") => round::<core::v1::Service>(raw),
        ("v1", "ConfigMap") => round::<core::v1::ConfigMap>(raw),
        ("v1", "Secret") => round::<core::v1::Secret>(raw),
        ("v1", "Namespace") => round::<core::v1::Namespace>(raw),
        ("v1", "ServiceAccount") => round::<core::v1::ServiceAccount>(raw),
        ("v1", "PersistentVolumeClaim") => round::<core::v1::PersistentVolumeClaim>(raw),
        ("v1", "ResourceQuota") => round::<core::v1::ResourceQuota>(raw),
        ("v1", "LimitRange") => round::<core::v1::LimitRange>(raw),
        ("networking.k8s.io/v1", "Ingress") => round::<networking::v1::Ingress>(raw),
        ("networking.k8s.io/v1", "NetworkPolicy") => round::<networking::v1::NetworkPolicy>(raw),
        ("policy/v1", "PodDisruptionBudget") => round::<policy::v1::PodDisruptionBudget>(raw),
        ("rbac.authorization.k8s.io/v1", "Role") => round::<rbac::v1::Role>(raw),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => round::<rbac::v1::RoleBinding>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => round::<rbac::v1::ClusterRole>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => round::<rbac::v1::ClusterRoleBinding>(raw),
        ("scheduling.k8s.io/v1", "PriorityClass") => round::<scheduling::v1::PriorityClass>(raw),
        ("storage.k8s.io/v1", "StorageClass") => round::<storage::v1::StorageClass>(raw),
        _ => None,
    }
}

fn compare(raw: &Value, kept: &Value, path: &str, lost: &mut Vec<String>) {
    match (raw, kept) {
        (Value::Object(raw), Value::Object(kept)) => {
            for (key, value) in raw {
                let here = if key.contains('.') {
                    format!("{path}[\"{key}\"]")
                } else if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match kept.get(key) {
                    Some(kept) => compare(value, kept, &here, lost),
                    None if says_nothing(value) => {}
                    None => lost.push(here),
                }
            }
        }
        (Value::Array(raw), Value::Array(kept)) => {
            for (index, (raw, kept)) in raw.iter().zip(kept).enumerate() {
                compare(raw, kept, &format!("{path}[{index}]"), lost);
            }
        }
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.values().all(says_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_that_kubernetes_does_not_know_are_named() {
        let sound = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {a.b/c: d}}\nspec:\n  selector: \
                     {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
                     containers: [{name: web, image: web, env: [], ports: [{containerPort: 80}]}]\n";
        let unknown = |text: &str| crate::objects(text, "x.yaml").unwrap()[0].unknown_fields();
        assert_eq!(unknown(sound), Some(vec![]));
        for (from, to, want) in [
            ("  selector:", "  replcias: 3\n  selector:", "spec.replcias"),
            ("image: web,", "image: web, imagePulPolicy: Always,", "spec.template.spec.containers[0].imagePulPolicy"),
            (
                "containerPort: 80",
                "containerPort: 80, hostport: 80",
                "spec.template.spec.containers[0].ports[0].hostport",
            ),
        ] {
            assert!(sound.contains(from));
            assert_eq!(unknown(&sound.replacen(from, to, 1)), Some(vec![want.to_owned()]), "{to}");
        }
        assert_eq!(unknown("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {a: 1}\n"), None);
    }
}
