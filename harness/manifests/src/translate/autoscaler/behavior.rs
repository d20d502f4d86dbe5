//! `spec.behavior`: windows, policies and tolerances.

use k8s_openapi::api::autoscaling::v2 as hpa;
use platform::{Behavior, Policy, PolicyKind, ScalingRules, SelectPolicy, Tolerance};
use units::Nanos;

use crate::ManifestError;
use crate::object::Object;

/// `MaxPeriodSeconds` and `MaxStabilizationWindowSeconds`.
const PERIOD_MAX: u32 = 1_800;
const WINDOW_MAX: u32 = 3_600;

/// Kubernetes fills each missing part in for itself (`pkg/apis/autoscaling/v2/defaults.go`).
pub(super) fn behavior(
    object: &Object,
    declared: hpa::HorizontalPodAutoscalerBehavior,
) -> Result<Behavior, ManifestError> {
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
        let seconds = at_most(object, &path, object.at_least(&path, seconds, 0)?, 0, WINDOW_MAX)?;
        Ok::<_, ManifestError>(Nanos::from_secs(seconds.into()))
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
        Some(policies) if policies.is_empty() => {
            let fix = "leave it out for Kubernetes' defaults, or write one";
            return Err(object.refuse(&format!("{path}.policies"), "is empty", fix));
        }
        Some(policies) => policies
            .iter()
            .enumerate()
            .map(|(index, declared)| policy(object, &format!("{path}.policies[{index}]"), declared))
            .collect::<Result<_, _>>()?,
        None => default.policies,
    };
    let tolerance = declared.tolerance.map(|quantity| tolerance(object, &format!("{path}.tolerance"), &quantity.0));
    Ok(ScalingRules {
        stabilization_window: window.transpose()?.or(default.stabilization_window),
        select,
        policies,
        tolerance: tolerance.transpose()?,
    })
}

/// A quantity in billionths, which is as fine as Kubernetes keeps it.
fn tolerance(object: &Object, path: &str, text: &str) -> Result<Tolerance, ManifestError> {
    let refused = |problem: &str| object.refuse(path, problem, "write a quantity from 0 up, such as 0.05");
    if text.starts_with('-') && text.parse::<units::Milli>().is_ok_and(|value| value.get() < 0) {
        return Err(refused(&format!("`{text}` is below 0")));
    }
    text.parse::<units::Billionths>().map(|value| Tolerance(value.get())).map_err(|_| refused("is no quantity"))
}

fn at_most(object: &Object, path: &str, value: u32, least: u32, most: u32) -> Result<u32, ManifestError> {
    if value > most {
        let fix = format!("write seconds from {least} to {most}");
        return Err(object.refuse(path, &format!("{value} is above {most}"), &fix));
    }
    Ok(value)
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
    let at = format!("{path}.periodSeconds");
    let seconds = at_most(object, &at, object.at_least(&at, declared.period_seconds, 1)?, 1, PERIOD_MAX)?;
    Ok(Policy { kind, value, period: Nanos::from_secs(seconds.into()) })
}
