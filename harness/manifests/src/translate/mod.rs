//! Objects into a [`Platform`]: which kinds are modelled, which namespace is rehearsed, and what is listed as not
//! rehearsed.
//!
//! One object that is wrong does not hide the others: its error is kept and the rest is read.

pub(crate) mod autoscaler;
mod config;
mod container;
mod gateway;
mod ingress;
mod limits;
mod network;
mod placement;
mod pod;
mod probe;
mod reference;
mod selector;
mod service;
mod unrehearsed;
mod workload;

use std::collections::BTreeMap;

use platform::{Place, Platform};

use crate::ManifestError;
use crate::object::Object;

/// What the platform does not play, as `Kind/name` and why, with its place.
pub(crate) type NotRehearsed = Vec<(String, Place)>;

/// A platform as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) platform: Platform,
    /// In the order of the objects; what concerns all of them comes last.
    pub(crate) errors: Vec<ManifestError>,
}

/// What the objects of a kind need to know of others.
#[derive(Debug, Default)]
struct Surroundings {
    limits: limits::Defaults,
    /// Values of PriorityClasses by name.
    priorities: BTreeMap<String, i32>,
    /// The PriorityClass of pods that name none.
    default_priority: i32,
}

/// The platform that `objects` describe; `source` names them in errors.
pub(crate) fn platform(objects: &[Object], source: &str) -> Translated {
    let mut all = Translated::default();
    let around = surroundings(objects, &mut all);
    for object in objects {
        let translated = one(object, &around, &mut all.platform);
        all.errors.extend(translated.err());
    }
    if all.platform.workloads.is_empty() && all.errors.is_empty() {
        all.errors.push(
            objects
                .iter()
                .find_map(gone_workload)
                .unwrap_or_else(|| ManifestError::NoWorkload { file: source.to_owned() }),
        );
    }
    all.platform.namespace = busiest_namespace(&all.platform);
    if let Some(config) = gateway::find(&all.platform, objects) {
        let namespace = all.platform.workload(config.workload).namespace.clone();
        all.platform.namespace = namespace;
        match gateway::gateway(&config, &all.platform) {
            Ok(gateway) => all.platform.gateway = Some(gateway),
            Err(error) => all.errors.push(error),
        }
    }
    // Autoscalers look their target up, so they follow all workloads wherever they stand.
    for object in
        objects.iter().filter(|object| object.kind == "HorizontalPodAutoscaler" && !unrehearsed::is_gone(object))
    {
        match autoscaler::autoscaler(object, &all.platform) {
            Ok(scaler) => all.platform.autoscalers.push(scaler),
            Err(error) => all.errors.push(error),
        }
    }
    all.platform.not_rehearsed.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    all
}

/// What pods are given that is written elsewhere.
fn surroundings(objects: &[Object], all: &mut Translated) -> Surroundings {
    let mut around = Surroundings::default();
    for object in objects {
        let read = match (object.kind.as_str(), object.api_version.as_str()) {
            ("LimitRange", "v1") => limits::limit_range(object).map(|range| {
                around.limits.add(&range);
                all.platform.limit_ranges.push(range);
            }),
            ("PriorityClass", "scheduling.k8s.io/v1") => {
                object.typed::<k8s_openapi::api::scheduling::v1::PriorityClass>().map(|class| {
                    if class.global_default == Some(true) {
                        around.default_priority = class.value;
                    }
                    around.priorities.insert(object.name.clone(), class.value);
                    all.platform.priority_classes.push(object.name.clone());
                })
            }
            _ => Ok(()),
        };
        all.errors.extend(read.err());
    }
    around
}

fn one(object: &Object, around: &Surroundings, platform: &mut Platform) -> Result<(), ManifestError> {
    match (object.api_version.as_str(), object.kind.as_str()) {
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch/v1", "Job" | "CronJob")
        | ("v1", "Pod" | "ReplicationController") => {
            if platform.workloads.len() == usize::from(u16::MAX) {
                let problem = format!("is workload {}, and a rehearsal holds {}", u32::from(u16::MAX) + 1, u16::MAX);
                return Err(object.refuse("kind", &problem, "give fewer manifests at once"));
            }
            workload::workload(object, around, platform)?;
        }
        ("v1", "Service") => {
            if platform.services.len() == usize::from(u16::MAX) {
                let problem = format!("is Service {}, and a rehearsal holds {}", u32::from(u16::MAX) + 1, u16::MAX);
                return Err(object.refuse("kind", &problem, "give fewer manifests at once"));
            }
            platform.services.push(service::service(object)?);
        }
        ("v1", "ConfigMap" | "Secret") => platform.configs.push(config::config(object)?),
        ("v1", "PersistentVolumeClaim") => platform.claims.push(config::claim(object, "", None)?),
        ("v1", "Namespace") => {
            let labels = config::labels(object, "metadata.labels")?;
            platform.namespaces.push(platform::Namespace { name: object.name.clone(), labels });
        }
        ("v1", "ServiceAccount") => {
            platform.service_accounts.push((object.name.clone(), object.namespace.clone()));
        }
        ("v1", "ResourceQuota") => platform.quotas.push(limits::quota(object)?),
        ("policy/v1", "PodDisruptionBudget") => platform.budgets.push(config::budget(object)?),
        ("networking.k8s.io/v1", "NetworkPolicy") => platform.network_policies.push(network::policy(object)?),
        ("networking.k8s.io/v1", "Ingress") => {
            platform.ingresses.push(ingress::ingress(object, &mut platform.not_rehearsed)?);
        }
        // Read before or after.
        ("v1", "LimitRange") | ("scheduling.k8s.io/v1", "PriorityClass") => {}
        (_, "HorizontalPodAutoscaler") if !unrehearsed::is_gone(object) => {}
        _ => platform.not_rehearsed.push((unrehearsed::told(object), object.place.clone())),
    }
    Ok(())
}

/// Where most workloads that serve are; the first of them where several have as many.
fn busiest_namespace(platform: &Platform) -> String {
    let mut counts: Vec<(&str, u32)> = Vec::new();
    for workload in platform.workloads.iter().filter(|workload| workload.kind.is_service()) {
        match counts.iter_mut().find(|(name, _)| *name == workload.namespace) {
            Some((_, count)) => *count += 1,
            None => counts.push((&workload.namespace, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    let busiest = counts.iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| *name);
    busiest.or(platform.workloads.first().map(|w| w.namespace.as_str())).unwrap_or("default").to_owned()
}

/// A workload of an API version that no Kubernetes serves any more.
fn gone_workload(object: &Object) -> Option<ManifestError> {
    let current = match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps/v1",
        "CronJob" => "batch/v1",
        _ => return None,
    };
    let problem = format!("`{}` serves no {}", object.api_version, object.kind);
    unrehearsed::is_gone(object).then(|| object.refuse("apiVersion", &problem, &format!("write {current}")))
}
