//! Everything that makes pods into workloads.

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DeploymentSpec, ReplicaSetSpec, StatefulSetSpec};
use k8s_openapi::api::batch::v1::{CronJobSpec, JobSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec, ReplicationControllerSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::{CountOrPercent, Platform, Selector, Strategy, Workload, WorkloadKind};
use units::Nanos;

use super::{NotRehearsed, Surroundings, config, pod, selector};
use crate::ManifestError;
use crate::object::Object;

/// Kubernetes' default of a Deployment's `progressDeadlineSeconds`.
const PROGRESS_S: i32 = 600;

/// What the kinds have in common.
struct Declared {
    kind: WorkloadKind,
    replicas: Option<i32>,
    selector: Option<LabelSelector>,
    metadata: ObjectMeta,
    pod: PodSpec,
    /// Path of the pod's spec.
    base: &'static str,
    strategy: Strategy,
    min_ready: Option<i32>,
    progress_deadline: Option<i32>,
    revision_history: Option<i32>,
}

impl Declared {
    fn new(kind: WorkloadKind, selector: Option<LabelSelector>, template: PodTemplateSpec) -> Self {
        Self {
            kind,
            replicas: None,
            selector,
            metadata: template.metadata.unwrap_or_default(),
            pod: template.spec.unwrap_or_default(),
            base: "spec.template.spec",
            strategy: Strategy::default(),
            min_ready: None,
            progress_deadline: None,
            revision_history: None,
        }
    }
}

/// Adds the workload of an object, and the claims that it makes from templates.
pub(super) fn workload(object: &Object, around: &Surroundings, platform: &mut Platform) -> Result<(), ManifestError> {
    let mut notes = NotRehearsed::new();
    let mut claims = Vec::new();
    let declared = match object.kind.as_str() {
        "StatefulSet" => stateful_set(object, &mut claims)?,
        "DaemonSet" => daemon_set(object)?,
        "Job" => job(&object.typed_at("spec")?, object)?,
        "CronJob" => cron_job(object)?,
        "Pod" => bare_pod(object)?,
        "ReplicaSet" | "ReplicationController" => {
            notes.push((format!("{object} (played as a Deployment that is never updated)"), object.place.clone()));
            replica_set(object)?
        }
        _ => deployment(object)?,
    };
    let number = |field: &str, value: Option<i32>| {
        value.map(|value| object.at_least(&format!("spec.{field}"), value, 0)).transpose()
    };
    let seconds = |field: &str, value: Option<i32>| {
        number(field, value).map(|seconds| seconds.map(|seconds| Nanos::from_secs(seconds.into())))
    };
    let mut workload = Workload {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        replicas: number("replicas", declared.replicas)?,
        strategy: declared.strategy,
        min_ready: seconds("minReadySeconds", declared.min_ready)?.unwrap_or_default(),
        progress_deadline: seconds("progressDeadlineSeconds", declared.progress_deadline)?,
        revision_history: number("revisionHistoryLimit", declared.revision_history)?,
        labels: declared.metadata.labels.unwrap_or_default(),
        annotations: declared.metadata.annotations.unwrap_or_default(),
        place: object.place.clone(),
        kind: declared.kind,
        ..Workload::default()
    };
    if let Some(declared) = declared.selector {
        workload.selector = own_selector(object, declared, &workload)?;
    }
    pod::fill(object, declared.base, &declared.pod, around, &mut workload, &mut notes)?;
    platform.workloads.push(workload);
    platform.claims.extend(claims);
    platform.not_rehearsed.extend(notes);
    Ok(())
}

/// The selector, which must match the pods' labels, or the API server refuses the object.
fn own_selector(object: &Object, declared: LabelSelector, workload: &Workload) -> Result<Selector, ManifestError> {
    let selector = selector::selector(object, "spec.selector", declared)?;
    let fix = "give spec.template.metadata.labels the same labels";
    if let Some((key, value)) = selector.labels.iter().find(|(key, value)| workload.labels.get(*key) != Some(value)) {
        let problem = format!("selects {key}={value}, which the pod template does not carry");
        return Err(object.refuse("spec.selector.matchLabels", &problem, fix));
    }
    if selector.selects(&workload.labels) {
        return Ok(selector);
    }
    Err(object.refuse("spec.selector.matchExpressions", "does not select the pod template's labels", fix))
}

fn deployment(object: &Object) -> Result<Declared, ManifestError> {
    let spec: DeploymentSpec = object.typed_at("spec")?;
    let strategy = strategy(object, &spec)?;
    Ok(Declared {
        replicas: spec.replicas,
        strategy,
        min_ready: spec.min_ready_seconds,
        progress_deadline: Some(spec.progress_deadline_seconds.unwrap_or(PROGRESS_S)),
        revision_history: spec.revision_history_limit,
        ..Declared::new(WorkloadKind::Deployment, Some(spec.selector), spec.template)
    })
}

fn replica_set(object: &Object) -> Result<Declared, ManifestError> {
    if object.kind == "ReplicaSet" {
        let spec: ReplicaSetSpec = object.typed_at("spec")?;
        let declared = Declared::new(WorkloadKind::Deployment, Some(spec.selector), spec.template.unwrap_or_default());
        return Ok(Declared { replicas: spec.replicas, min_ready: spec.min_ready_seconds, ..declared });
    }
    let spec: ReplicationControllerSpec = object.typed_at("spec")?;
    // Its selector is plain labels, and by default those of the template.
    let selector = LabelSelector { match_labels: spec.selector, match_expressions: None };
    let declared = Declared::new(WorkloadKind::Deployment, Some(selector), spec.template.unwrap_or_default());
    Ok(Declared { replicas: spec.replicas, min_ready: spec.min_ready_seconds, ..declared })
}

fn stateful_set(object: &Object, claims: &mut Vec<platform::Claim>) -> Result<Declared, ManifestError> {
    let spec: StatefulSetSpec = object.typed_at("spec")?;
    for index in 0..spec.volume_claim_templates.iter().flatten().count() {
        let path = format!("spec.volumeClaimTemplates[{index}]");
        claims.push(config::claim(object, &path, Some(&object.name))?);
    }
    let update = spec.update_strategy.unwrap_or_default();
    let on_delete = match update.type_.as_deref() {
        None | Some("RollingUpdate") => false,
        Some("OnDelete") => true,
        Some(other) => return Err(no_strategy(object, "spec.updateStrategy.type", other, "RollingUpdate or OnDelete")),
    };
    let rolling = update.rolling_update.unwrap_or_default();
    let path = "spec.updateStrategy.rollingUpdate";
    let partition = object.at_least(&format!("{path}.partition"), rolling.partition.unwrap_or(0), 0)?;
    let max_unavailable = match rolling.max_unavailable {
        Some(value) => count(object, &format!("{path}.maxUnavailable"), &value)?,
        None => CountOrPercent::Count(1),
    };
    let kind = WorkloadKind::StatefulSet {
        service: spec.service_name.unwrap_or_default(),
        parallel: spec.pod_management_policy.as_deref() == Some("Parallel"),
        partition,
        on_delete,
    };
    Ok(Declared {
        replicas: spec.replicas,
        min_ready: spec.min_ready_seconds,
        // It takes a pod away before it makes the next: no surge.
        strategy: Strategy::Rolling { max_unavailable, max_surge: CountOrPercent::Count(0) },
        ..Declared::new(kind, Some(spec.selector), spec.template)
    })
}

fn daemon_set(object: &Object) -> Result<Declared, ManifestError> {
    let spec: DaemonSetSpec = object.typed_at("spec")?;
    let rolling = spec.update_strategy.and_then(|update| update.rolling_update).unwrap_or_default();
    let bound = |field: &str, value: Option<IntOrString>, default| match value {
        Some(value) => count(object, &format!("spec.updateStrategy.rollingUpdate.{field}"), &value),
        None => Ok(CountOrPercent::Count(default)),
    };
    let max_unavailable = bound("maxUnavailable", rolling.max_unavailable, 1)?;
    let max_surge = bound("maxSurge", rolling.max_surge, 0)?;
    Ok(Declared {
        min_ready: spec.min_ready_seconds,
        strategy: Strategy::Rolling { max_unavailable, max_surge },
        ..Declared::new(WorkloadKind::DaemonSet, Some(spec.selector), spec.template)
    })
}

fn job(spec: &JobSpec, object: &Object) -> Result<Declared, ManifestError> {
    let count = |field: &str, value: Option<i32>| object.at_least(&format!("spec.{field}"), value.unwrap_or(1), 0);
    let kind = WorkloadKind::Job {
        completions: count("completions", spec.completions)?,
        parallelism: count("parallelism", spec.parallelism)?,
    };
    // A Job makes its own selector up.
    Ok(Declared::new(kind, None, spec.template.clone()))
}

fn cron_job(object: &Object) -> Result<Declared, ManifestError> {
    let spec: CronJobSpec = object.typed_at("spec")?;
    if spec.schedule.split_whitespace().count() != 5 && !spec.schedule.starts_with('@') {
        let problem = format!("`{}` is no schedule", spec.schedule);
        return Err(object.refuse("spec.schedule", &problem, "write cron's five fields, such as \"0 */6 * * *\""));
    }
    let template = spec.job_template.spec.unwrap_or_default().template;
    let declared = Declared::new(WorkloadKind::CronJob { schedule: spec.schedule }, None, template);
    Ok(Declared { base: "spec.jobTemplate.spec.template.spec", ..declared })
}

fn bare_pod(object: &Object) -> Result<Declared, ManifestError> {
    let metadata = object.typed_at("metadata")?;
    let template = PodTemplateSpec { metadata: Some(metadata), spec: Some(object.typed_at("spec")?) };
    Ok(Declared { base: "spec", replicas: Some(1), ..Declared::new(WorkloadKind::Pod, None, template) })
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
        Some(other) => Err(no_strategy(object, "spec.strategy.type", other, "RollingUpdate or Recreate")),
    }
}

fn no_strategy(object: &Object, path: &str, text: &str, known: &str) -> ManifestError {
    object.refuse(path, &format!("`{text}` is no strategy of a {}", object.kind), &format!("write {known}"))
}

/// A number of pods, or a share of them in percent.
pub(super) fn count(object: &Object, path: &str, value: &IntOrString) -> Result<CountOrPercent, ManifestError> {
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
