//! HorizontalPodAutoscalers, with the checks that Kubernetes' API makes
//! (`pkg/apis/autoscaling/validation/validation.go`).

mod behavior;
mod metric;

use k8s_openapi::api::autoscaling::v2 as hpa;
use platform::{Autoscaler, ObjectRef, Platform};

use crate::ManifestError;
use crate::object::Object;

/// Kinds that have a scale of their own.
const SCALABLE: [&str; 2] = ["Deployment", "StatefulSet"];

/// The autoscaler of an object. Its target may be missing: Kubernetes takes it like that, too.
pub(crate) fn autoscaler(object: &Object, platform: &Platform) -> Result<Autoscaler, ManifestError> {
    if object.api_version != "autoscaling/v2" {
        let problem = format!("`{}` is not read", object.api_version);
        return Err(object.refuse("apiVersion", &problem, "write autoscaling/v2, with spec.metrics"));
    }
    let typed: hpa::HorizontalPodAutoscaler = object.typed()?;
    let spec = typed.spec.unwrap_or_default();
    let (min, max) = bounds(object, &spec)?;
    let reference = reference(
        object,
        "spec.scaleTargetRef",
        spec.scale_target_ref.api_version,
        spec.scale_target_ref.kind,
        spec.scale_target_ref.name,
    )?;
    let metrics = metric::metrics(object, spec.metrics.unwrap_or_default(), min)?;
    let behavior = spec.behavior.map(|declared| behavior::behavior(object, declared)).transpose()?;
    let target = platform.workload_ids().find(|&id| {
        let workload = platform.workload(id);
        let kind = workload.kind.name();
        SCALABLE.contains(&kind)
            && reference.api_version.starts_with("apps/")
            && (kind, &workload.name, &workload.namespace) == (&reference.kind, &reference.name, &object.namespace)
    });
    let (name, namespace, place) = (object.name.clone(), object.namespace.clone(), object.place.clone());
    Ok(Autoscaler { name, namespace, reference, target, min, max, metrics, behavior, place })
}

/// `CrossVersionObjectReference`: kind and name are a must and go into a path.
fn reference(
    object: &Object,
    path: &str,
    api_version: Option<String>,
    kind: String,
    name: String,
) -> Result<ObjectRef, ManifestError> {
    for (field, text) in [("kind", &kind), ("name", &name)] {
        named(object, &format!("{path}.{field}"), text)?;
    }
    Ok(ObjectRef { api_version: api_version.unwrap_or_default(), kind, name })
}

/// A text that goes into a path of the API: not empty, no `.`, `..`, `/` or `%`.
fn named(object: &Object, path: &str, text: &str) -> Result<(), ManifestError> {
    if text.is_empty() {
        return Err(object.refuse(path, "is missing", "write it: Kubernetes knows no default for it"));
    }
    if matches!(text, "." | "..") || text.contains(['/', '%']) {
        return Err(object.refuse(path, &format!("`{text}` is no name"), "write it without `/` and `%`"));
    }
    Ok(())
}

/// A missing number reads as 0 in the typed view, so absence is seen in the document.
fn bounds(object: &Object, spec: &hpa::HorizontalPodAutoscalerSpec) -> Result<(u32, u32), ManifestError> {
    if object.document().at(&["spec", "maxReplicas"]).is_none() {
        let fix = "write spec.maxReplicas: Kubernetes knows no default for it";
        return Err(object.refuse("spec.maxReplicas", "is missing", fix));
    }
    let max = object.at_least("spec.maxReplicas", spec.max_replicas, 1)?;
    let min = object.at_least("spec.minReplicas", spec.min_replicas.unwrap_or(1), 0)?;
    if min > max {
        let problem = format!("{max} is below minReplicas, which is {min}");
        return Err(object.refuse("spec.maxReplicas", &problem, "raise it, or lower minReplicas"));
    }
    Ok((min, max))
}
