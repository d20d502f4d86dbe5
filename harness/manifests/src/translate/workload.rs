//! Deployments into workloads.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{self as core, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::{CountOrPercent, Strategy, Toleration, Workload};
use units::Nanos;

use super::{NotRehearsed, container};
use crate::ManifestError;
use crate::nodes::effect;
use crate::object::Object;

/// Parts of a pod that decide something in a cluster and nothing here yet.
const NOT_PLAYED: [&str; 4] = ["affinity", "topologySpreadConstraints", "hostNetwork", "priorityClassName"];
/// Where the pod's own fields stand.
const POD: &str = "spec.template.spec";
/// Kubernetes' default of `terminationGracePeriodSeconds`.
const GRACE_S: i64 = 30;

pub(super) fn workload(
    object: &Object,
    deployment: Deployment,
    not_rehearsed: &mut NotRehearsed,
) -> Result<Workload, ManifestError> {
    let spec = deployment.spec.unwrap_or_default();
    let labels = labels(object, &spec)?;
    let strategy = strategy(object, &spec)?;
    let replicas = spec.replicas.map(|count| object.at_least("spec.replicas", count, 0)).transpose()?;
    let min_ready = object.at_least("spec.minReadySeconds", spec.min_ready_seconds.unwrap_or(0), 0)?;
    let pod = spec.template.spec.unwrap_or_default();
    for part in NOT_PLAYED {
        let path = format!("{POD}.{part}");
        if object.document().at(&["spec", "template", "spec", part]).is_some() {
            not_rehearsed.push((format!("{object} {path}"), object.place_of(&path)));
        }
    }
    let grace = pod.termination_grace_period_seconds.unwrap_or(GRACE_S);
    let grace = u64::try_from(grace).map_err(|_| {
        let path = format!("{POD}.terminationGracePeriodSeconds");
        object.refuse(&path, &format!("{grace} is below 0"), "write seconds from 0 up")
    })?;
    Ok(Workload {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        replicas,
        labels,
        containers: containers(object, &pod, not_rehearsed)?,
        strategy,
        min_ready: Nanos::from_secs(min_ready.into()),
        grace_period: Nanos::from_secs(grace),
        node_selector: pod.node_selector.unwrap_or_default(),
        tolerations: tolerations(object, pod.tolerations.unwrap_or_default())?,
        place: object.place.clone(),
        ..Workload::default()
    })
}

/// The pods' labels, which the selector must match, or the API server refuses the Deployment.
fn labels(object: &Object, spec: &DeploymentSpec) -> Result<platform::Labels, ManifestError> {
    let labels = spec.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let selector = spec.selector.match_labels.clone().unwrap_or_default();
    match selector.iter().find(|(key, value)| labels.get(*key) != Some(value)) {
        None => Ok(labels),
        Some((key, value)) => Err(object.refuse(
            "spec.selector.matchLabels",
            &format!("selects {key}={value}, which the pod template does not carry"),
            "give spec.template.metadata.labels the same labels",
        )),
    }
}

/// Containers first, then init containers that stay (sidecars): the first one serves.
fn containers(
    object: &Object,
    pod: &PodSpec,
    not_rehearsed: &mut NotRehearsed,
) -> Result<Vec<platform::Container>, ManifestError> {
    if pod.containers.is_empty() {
        let path = format!("{POD}.containers");
        return Err(object.refuse(&path, "the pod has no container", "write at least one"));
    }
    let mut all = Vec::new();
    for (index, declared) in pod.containers.iter().enumerate() {
        let path = format!("{POD}.containers[{index}]");
        all.push(container::container(object, &path, declared, not_rehearsed)?);
    }
    for (index, declared) in pod.init_containers.iter().flatten().enumerate() {
        let path = format!("{POD}.initContainers[{index}]");
        if declared.restart_policy.as_deref() == Some("Always") {
            all.push(container::container(object, &path, declared, not_rehearsed)?);
        } else {
            not_rehearsed.push((format!("{object} init container {}", declared.name), object.place_of(&path)));
        }
    }
    Ok(all)
}

fn strategy(object: &Object, spec: &DeploymentSpec) -> Result<Strategy, ManifestError> {
    let Some(declared) = &spec.strategy else { return Ok(Strategy::default()) };
    match declared.type_.as_deref() {
        Some("Recreate") => Ok(Strategy::Recreate),
        None | Some("RollingUpdate") => {
            let rolling = declared.rolling_update.clone().unwrap_or_default();
            let bound = |field: &str, value: Option<IntOrString>| match value {
                Some(value) => count(object, &format!("spec.strategy.rollingUpdate.{field}"), &value),
                None => Ok(CountOrPercent::Percent(25)),
            };
            let max_unavailable = bound("maxUnavailable", rolling.max_unavailable)?;
            let max_surge = bound("maxSurge", rolling.max_surge)?;
            let is_zero = |bound| matches!(bound, CountOrPercent::Count(0) | CountOrPercent::Percent(0));
            if is_zero(max_unavailable) && is_zero(max_surge) {
                return Err(object.refuse(
                    "spec.strategy.rollingUpdate",
                    "maxUnavailable and maxSurge are both 0, so no pod could ever be replaced",
                    "set one of them to 1 or more",
                ));
            }
            Ok(Strategy::Rolling { max_unavailable, max_surge })
        }
        Some(other) => Err(object.refuse(
            "spec.strategy.type",
            &format!("`{other}` is no strategy of a Deployment"),
            "write RollingUpdate or Recreate",
        )),
    }
}

fn count(object: &Object, path: &str, value: &IntOrString) -> Result<CountOrPercent, ManifestError> {
    match value {
        IntOrString::Int(count) => Ok(CountOrPercent::Count(object.at_least(path, *count, 0)?)),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse().ok());
            percent.map(CountOrPercent::Percent).ok_or_else(|| {
                let problem = format!("`{text}` is neither a number of pods nor a percentage");
                object.refuse(path, &problem, "write e.g. 1 or 25%")
            })
        }
    }
}

/// Without an operator it is `Equal`; `Exists` tolerates every value.
fn tolerations(object: &Object, declared: Vec<core::Toleration>) -> Result<Vec<Toleration>, ManifestError> {
    let not_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
    let one = |(index, toleration): (usize, core::Toleration)| {
        let path = |field: &str| format!("{POD}.tolerations[{index}].{field}");
        let value = match toleration.operator.as_deref() {
            Some("Exists") => None,
            None | Some("" | "Equal") => Some(toleration.value.unwrap_or_default()),
            Some(other) => {
                let problem = format!("`{other}` is no operator of a toleration");
                return Err(object.refuse(&path("operator"), &problem, "write Equal or Exists"));
            }
        };
        let effect = not_empty(toleration.effect).map(|text| effect(object, &path("effect"), &text)).transpose()?;
        Ok(Toleration { key: not_empty(toleration.key), value, effect })
    };
    declared.into_iter().enumerate().map(one).collect()
}
