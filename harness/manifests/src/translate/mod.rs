//! Objects into a [`Platform`]: which kinds are played, in which namespace, and what is listed as not rehearsed.

mod autoscaler;
mod container;
mod gateway;
mod service;
mod workload;

use platform::{Place, Platform};

use crate::ManifestError;
use crate::object::Object;

/// What the platform does not play, as `Kind/name`, with its place.
pub(crate) type NotRehearsed = Vec<(String, Place)>;

/// The platform that `objects` describe; `source` names them in errors.
pub(crate) fn platform(objects: &[Object], source: &str) -> Result<Platform, ManifestError> {
    let deployments = objects.iter().filter(|o| is(o, "Deployment", &["apps/v1"])).collect::<Vec<_>>();
    let Some(first) = deployments.first() else {
        return Err(old_deployment(objects).unwrap_or_else(|| ManifestError::NoDeployment { file: source.to_owned() }));
    };
    let specs = deployments.iter().map(|o| o.typed()).collect::<Result<Vec<_>, _>>()?;
    let config = gateway::find(&deployments, &specs, objects);
    // Workloads of one namespace are stood up: the gateway's, or the first one's where there is no gateway.
    let namespace = config.as_ref().map_or(&first.namespace, |config| &deployments[config.deployment].namespace);
    let mut platform = Platform { namespace: namespace.clone(), ..Platform::default() };

    for (object, spec) in deployments.iter().zip(specs).filter(|(object, _)| object.namespace == *namespace) {
        platform.workloads.push(workload::workload(object, spec, &mut platform.not_rehearsed)?);
    }
    // Autoscalers look their target up, so they follow all Deployments wherever they stand.
    for object in objects.iter().filter(|o| !is(o, "Deployment", &["apps/v1"])) {
        let here = object.namespace == *namespace;
        match object.kind.as_str() {
            "Service" if here && object.api_version == "v1" => match service::service(object)? {
                Some(service) => platform.services.push(service),
                None => platform.not_rehearsed.push((object.to_string(), object.place.clone())),
            },
            "HorizontalPodAutoscaler" if here => {
                let scaler = autoscaler::autoscaler(object, &platform, objects)?;
                platform.not_rehearsed.extend(scaler.not_rehearsed);
                platform.autoscalers.extend(scaler.autoscaler);
            }
            _ if config.as_ref().is_some_and(|config| config.is_map(object)) => {}
            _ => platform.not_rehearsed.push((object.to_string(), object.place.clone())),
        }
    }
    for object in deployments.iter().filter(|object| object.namespace != *namespace) {
        platform.not_rehearsed.push((format!("{object} in namespace {}", object.namespace), object.place.clone()));
    }
    if let Some(config) = config {
        platform.gateway = Some(gateway::gateway(&config, &deployments, &platform)?);
    }
    platform.not_rehearsed.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    Ok(platform)
}

fn is(object: &Object, kind: &str, versions: &[&str]) -> bool {
    object.kind == kind && versions.contains(&object.api_version.as_str())
}

/// A Deployment of an API version that no Kubernetes serves any more.
fn old_deployment(objects: &[Object]) -> Option<ManifestError> {
    let object = objects.iter().find(|object| object.kind == "Deployment")?;
    let problem = format!("`{}` serves no Deployment", object.api_version);
    Some(object.refuse("apiVersion", &problem, "write apps/v1"))
}
