//! The pods of a workload: what every kind of workload says in its pod template.

use k8s_openapi::api::core::v1 as core;
use platform::{Container, Workload};
use units::Nanos;

use super::limits::{self, Defaults};
use super::reference::{References, system_priority};
use super::{NotRehearsed, Surroundings, container, placement};
use crate::ManifestError;
use crate::object::Object;

/// Parts of a pod that decide something in a cluster and nothing here.
const NOT_PLAYED: [&str; 5] = ["hostNetwork", "nodeName", "schedulerName", "schedulingGates", "readinessGates"];
/// Kubernetes' default of `terminationGracePeriodSeconds`.
const GRACE_S: i64 = 30;

/// What containers take from around them.
pub(super) struct Around<'a> {
    pub(super) limits: &'a Defaults,
    pub(super) security: Option<&'a core::PodSecurityContext>,
}

/// Fills in what the pod spec at `base` says.
pub(super) fn fill(
    object: &Object,
    base: &str,
    pod: &core::PodSpec,
    around: &Surroundings,
    workload: &mut Workload,
    notes: &mut NotRehearsed,
) -> Result<(), ManifestError> {
    for part in NOT_PLAYED {
        let path = format!("{base}.{part}");
        let said = object.document().find(&path).is_some_and(|node| {
            !matches!(&node.value, crate::yaml::Value::Scalar(serde_json::Value::Null | serde_json::Value::Bool(false)))
                && node.text() != Some("default-scheduler")
        });
        if said {
            notes.push((format!("{object} {path}"), object.place_of(&path)));
        }
    }
    let grace = pod.termination_grace_period_seconds.unwrap_or(GRACE_S);
    workload.grace_period = u64::try_from(grace).map(Nanos::from_secs).map_err(|_| {
        let path = format!("{base}.terminationGracePeriodSeconds");
        object.refuse(&path, &format!("{grace} is below 0"), "write seconds from 0 up")
    })?;
    containers(object, base, pod, around, workload, notes)?;
    placement::place(object, base, pod, workload, notes)?;
    let whole = pod.resources.as_ref();
    let list = |list, name: &str| limits::resources(object, list, &format!("{base}.resources.{name}"));
    let limits = list(whole.and_then(|r| r.limits.as_ref()), "limits")?;
    let requests = list(whole.and_then(|r| r.requests.as_ref()), "requests")?;
    workload.pod_requests.cpu = requests.cpu.or(limits.cpu);
    workload.pod_requests.memory = requests.memory.or(limits.memory);
    workload.priority = match pod.priority_class_name.as_deref() {
        // A class that is not there is a missing reference, which is told as such.
        Some(class) => system_priority(class).or(around.priorities.get(class).copied()).unwrap_or(0),
        None => around.default_priority,
    };
    workload.references = References::of(object, base, pod);
    Ok(())
}

fn containers(
    object: &Object,
    base: &str,
    pod: &core::PodSpec,
    around: &Surroundings,
    workload: &mut Workload,
    notes: &mut NotRehearsed,
) -> Result<(), ManifestError> {
    if pod.containers.is_empty() {
        let path = format!("{base}.containers");
        return Err(object.refuse(&path, "the pod has no container", "write at least one"));
    }
    let around = Around { limits: &around.limits, security: pod.security_context.as_ref() };
    let mut read = |name: &str, declared: &[core::Container]| -> Result<Vec<Container>, ManifestError> {
        let one = |(index, declared)| {
            container::container(object, &format!("{base}.{name}[{index}]"), declared, &around, notes)
        };
        declared.iter().enumerate().map(one).collect()
    };
    workload.containers = read("containers", &pod.containers)?;
    let init = pod.init_containers.as_deref().unwrap_or_default();
    workload.init_containers = read("initContainers", init)?;
    for (container, declared) in workload.init_containers.iter_mut().zip(init) {
        container.sidecar = declared.restart_policy.as_deref() == Some("Always");
    }
    Ok(())
}
