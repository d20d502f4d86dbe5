//! Each `ConfigMap` and Secret by its keys, claims for storage, and disruption budgets.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use platform::{Claim, Config, CountOrPercent, DisruptionBound, DisruptionBudget, Labels, ReferenceKind};

use super::selector::selector;
use super::workload::count;
use crate::ManifestError;
use crate::object::Object;
use crate::yaml::Value;

/// Keys with their texts; of a Secret the keys only.
pub(super) fn config(object: &Object) -> Result<Config, ManifestError> {
    let secret = object.kind == "Secret";
    let mut entries = std::collections::BTreeMap::new();
    for (part, keep) in [("data", !secret), ("stringData", false), ("binaryData", false)] {
        let Some(node) = object.document().at(&[part]) else { continue };
        for (key, node) in node.entries() {
            let empty = matches!(node.value, Value::Scalar(serde_json::Value::Null));
            let Some(text) = node.text().or(empty.then_some("")) else {
                let path = format!("{part}[\"{key}\"]");
                return Err(object.refuse(&path, "the value is no text", "put it in quotes, or write a block with |"));
            };
            entries.insert(key.to_string(), if keep { text.to_owned() } else { String::new() });
        }
    }
    Ok(Config {
        kind: if secret { ReferenceKind::Secret } else { ReferenceKind::ConfigMap },
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        entries,
        place: object.place.clone(),
    })
}

/// The claim at `path` of an object; an empty path is the object itself.
pub(super) fn claim(object: &Object, path: &str, template_of: Option<&str>) -> Result<Claim, ManifestError> {
    let typed: PersistentVolumeClaim = object.typed_at(path)?;
    let spec = typed.spec.unwrap_or_default();
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let dot = if path.is_empty() { "" } else { "." };
    Ok(Claim {
        name: typed.metadata.name.unwrap_or_default(),
        namespace: object.namespace.clone(),
        size: object.quantity(requests, "storage", &format!("{path}{dot}spec.resources.requests"))?,
        class: spec.storage_class_name,
        template_of: template_of.map(str::to_owned),
        place: if path.is_empty() { object.place.clone() } else { object.place_of(path) },
    })
}

/// The mapping of texts at `path`.
pub(super) fn labels(object: &Object, path: &str) -> Result<Labels, ManifestError> {
    object.typed_at(path)
}

/// A budget that names neither bound lets nothing be evicted: the controller then finds no disruption allowed
/// (`pkg/controller/disruption/disruption.go`, `getExpectedPodCount`).
pub(super) fn budget(object: &Object) -> Result<DisruptionBudget, ManifestError> {
    let spec: PodDisruptionBudgetSpec = object.typed_at("spec")?;
    let bound = match (&spec.min_available, &spec.max_unavailable) {
        (Some(_), Some(_)) => {
            let problem = "minAvailable and maxUnavailable exclude each other";
            return Err(object.refuse("spec.minAvailable", problem, "keep one of them"));
        }
        (Some(least), None) => DisruptionBound::MinAvailable(count(object, "spec.minAvailable", least)?),
        (None, Some(most)) => DisruptionBound::MaxUnavailable(count(object, "spec.maxUnavailable", most)?),
        (None, None) => DisruptionBound::MaxUnavailable(CountOrPercent::Count(0)),
    };
    Ok(DisruptionBudget {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        selector: spec.selector.map(|declared| selector(object, "spec.selector", declared)).transpose()?,
        bound,
        always_evict_unready: spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow"),
        place: object.place.clone(),
    })
}
