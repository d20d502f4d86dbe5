//! HorizontalPodAutoscalers.

use k8s_openapi::api::autoscaling::v2 as hpa;
use platform::{
    Autoscaler, Behavior, MetricTarget, Platform, Policy, PolicyKind, Resource, ResourceMetric, ScalingRules,
    SelectPolicy,
};
use units::Nanos;

use super::NotRehearsed;
use crate::ManifestError;
use crate::object::Object;

/// The autoscaler of an object, as far as it is played.
pub(super) struct Scaler {
    pub(super) autoscaler: Option<Autoscaler>,
    pub(super) not_rehearsed: NotRehearsed,
}

pub(super) fn autoscaler(object: &Object, platform: &Platform, all: &[Object]) -> Result<Scaler, ManifestError> {
    if object.api_version != "autoscaling/v2" {
        let problem = format!("`{}` is not read", object.api_version);
        return Err(object.refuse("apiVersion", &problem, "write autoscaling/v2, with spec.metrics"));
    }
    let typed: hpa::HorizontalPodAutoscaler = object.typed()?;
    let spec = typed.spec.unwrap_or_default();
    let whole = |what: &str| Scaler {
        autoscaler: None,
        not_rehearsed: vec![(format!("{object}{what}"), object.place.clone())],
    };
    let target = &spec.scale_target_ref;
    if target.kind != "Deployment" && has(all, &target.kind, &target.name) {
        return Ok(whole(&format!(" of {}/{}", target.kind, target.name)));
    }
    let Some(target) = platform.workload_named(&target.name).filter(|_| target.kind == "Deployment") else {
        return Err(unknown_target(object, platform, &target.name));
    };
    let (min, max) = bounds(object, &spec)?;
    let mut not_rehearsed = NotRehearsed::new();
    let metrics = metrics(object, spec.metrics, &mut not_rehearsed)?;
    if metrics.is_empty() {
        let mut scaler = whole(" (no metric of type Resource)");
        scaler.not_rehearsed.extend(not_rehearsed);
        return Ok(scaler);
    }
    let behavior = spec.behavior.map(|declared| behavior(object, declared)).transpose()?;
    let (name, place) = (object.name.clone(), object.place.clone());
    Ok(Scaler { autoscaler: Some(Autoscaler { name, target, min, max, metrics, behavior, place }), not_rehearsed })
}

fn has(all: &[Object], kind: &str, name: &str) -> bool {
    all.iter().any(|object| object.kind == kind && object.name == name)
}

fn unknown_target(object: &Object, platform: &Platform, target: &str) -> ManifestError {
    let known = platform.workloads.iter().map(|workload| workload.name.as_str()).collect::<Vec<_>>();
    ManifestError::UnknownTarget {
        place: object.place_of("spec.scaleTargetRef.name"),
        object: object.to_string(),
        target: target.to_owned(),
        fix: format!("write one of {} as spec.scaleTargetRef", known.join(", ")),
    }
}

/// A missing number reads as 0 in the typed view, so absence is seen in the document.
fn bounds(object: &Object, spec: &hpa::HorizontalPodAutoscalerSpec) -> Result<(u32, u32), ManifestError> {
    if object.document().at(&["spec", "maxReplicas"]).is_none() {
        let fix = "write spec.maxReplicas: Kubernetes knows no default for it";
        return Err(object.refuse("spec.maxReplicas", "is missing", fix));
    }
    let max = object.at_least("spec.maxReplicas", spec.max_replicas, 1)?;
    let min = object.at_least("spec.minReplicas", spec.min_replicas.unwrap_or(1), 1)?;
    if min > max {
        let problem = format!("{max} is below minReplicas, which is {min}");
        return Err(object.refuse("spec.maxReplicas", &problem, "raise it, or lower minReplicas"));
    }
    Ok((min, max))
}

/// Metrics of type Resource. Without any metric at all it is CPU at 80 %.
fn metrics(
    object: &Object,
    declared: Option<Vec<hpa::MetricSpec>>,
    not_rehearsed: &mut NotRehearsed,
) -> Result<Vec<ResourceMetric>, ManifestError> {
    let declared = declared.unwrap_or_default();
    if declared.is_empty() {
        return Ok(vec![ResourceMetric { resource: Resource::Cpu, target: MetricTarget::Utilization(80) }]);
    }
    let mut metrics = Vec::new();
    for (index, metric) in declared.into_iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        let Some(source) = metric.resource.filter(|_| metric.type_ == "Resource") else {
            not_rehearsed.push((format!("{object} metric of type {}", metric.type_), object.place_of(&path)));
            continue;
        };
        let resource = match source.name.as_str() {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            other => {
                let problem = format!("`{other}` is no resource of the metrics API");
                return Err(object.refuse(&format!("{path}.resource.name"), &problem, "write cpu or memory"));
            }
        };
        metrics.push(ResourceMetric { resource, target: target(object, &path, resource, &source.target)? });
    }
    Ok(metrics)
}

fn target(
    object: &Object,
    metric: &str,
    resource: Resource,
    declared: &hpa::MetricTarget,
) -> Result<MetricTarget, ManifestError> {
    let path = format!("{metric}.resource.target");
    if let Some(percent) = declared.average_utilization {
        return Ok(MetricTarget::Utilization(object.at_least(&format!("{path}.averageUtilization"), percent, 1)?));
    }
    let Some(value) = &declared.average_value else {
        let fix = "write averageUtilization (percent of the request) or averageValue";
        return Err(object.refuse(&path, "the metric has no target", fix));
    };
    let list = std::collections::BTreeMap::from([("averageValue".to_owned(), value.clone())]);
    let average = match resource {
        Resource::Cpu => object.quantity(Some(&list), "averageValue", &path)?.map(MetricTarget::AverageCpu),
        Resource::Memory => object.quantity(Some(&list), "averageValue", &path)?.map(MetricTarget::AverageMemory),
    };
    Ok(average.expect("the list was made with this key"))
}

/// Kubernetes fills each missing part in for itself (`pkg/apis/autoscaling/v2/defaults.go`).
fn behavior(object: &Object, declared: hpa::HorizontalPodAutoscalerBehavior) -> Result<Behavior, ManifestError> {
    let Behavior { up, down } = Behavior::default_rules();
    Ok(Behavior {
        up: rules(object, "spec.behavior.scaleUp", declared.scale_up, up)?,
        down: rules(object, "spec.behavior.scaleDown", declared.scale_down, down)?,
    })
}

fn rules(
    object: &Object,
    path: &str,
    declared: Option<hpa::HPAScalingRules>,
    default: ScalingRules,
) -> Result<ScalingRules, ManifestError> {
    let Some(declared) = declared else { return Ok(default) };
    let window = declared.stabilization_window_seconds.map(|seconds| {
        let path = format!("{path}.stabilizationWindowSeconds");
        Ok::<_, ManifestError>(Nanos::from_secs(object.at_least(&path, seconds, 0)?.into()))
    });
    let select = match declared.select_policy.as_deref() {
        None | Some("Max") => SelectPolicy::Max,
        Some("Min") => SelectPolicy::Min,
        Some("Disabled") => SelectPolicy::Disabled,
        Some(other) => {
            let problem = format!("`{other}` selects nothing");
            return Err(object.refuse(&format!("{path}.selectPolicy"), &problem, "write Max, Min or Disabled"));
        }
    };
    let policies = match declared.policies {
        Some(policies) if !policies.is_empty() => policies
            .iter()
            .enumerate()
            .map(|(index, declared)| policy(object, &format!("{path}.policies[{index}]"), declared))
            .collect::<Result<_, _>>()?,
        _ => default.policies,
    };
    Ok(ScalingRules { stabilization_window: window.transpose()?.or(default.stabilization_window), select, policies })
}

fn policy(object: &Object, path: &str, declared: &hpa::HPAScalingPolicy) -> Result<Policy, ManifestError> {
    let kind = match declared.type_.as_str() {
        "Pods" => PolicyKind::Pods,
        "Percent" => PolicyKind::Percent,
        other => {
            let problem = format!("`{other}` is no kind of policy");
            return Err(object.refuse(&format!("{path}.type"), &problem, "write Pods or Percent"));
        }
    };
    let value = object.at_least(&format!("{path}.value"), declared.value, 1)?;
    let seconds = object.at_least(&format!("{path}.periodSeconds"), declared.period_seconds, 1)?;
    if seconds > 1_800 {
        let fix = "write seconds from 1 to 1800";
        return Err(object.refuse(&format!("{path}.periodSeconds"), &format!("{seconds} is above 1800"), fix));
    }
    Ok(Policy { kind, value, period: Nanos::from_secs(seconds.into()) })
}
