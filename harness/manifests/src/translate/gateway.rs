//! Which Deployment is the gateway, and what its ConfigMap says.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use platform::{Gateway, Platform};

use crate::ManifestError;
use crate::nginx;
use crate::object::Object;
use crate::yaml::{Node, Value};

/// An nginx configuration among the objects.
pub(super) struct Config<'a> {
    /// Index of the Deployment that mounts it.
    pub(super) deployment: usize,
    map: &'a Object,
    key: &'a str,
    text: &'a str,
}

impl Config<'_> {
    /// Whether `object` is the ConfigMap that holds it.
    pub(super) fn is_map(&self, object: &Object) -> bool {
        std::ptr::eq(self.map, object)
    }
}

/// The configuration of the first Deployment that mounts one.
pub(super) fn find<'a>(deployments: &[&Object], specs: &[Deployment], all: &'a [Object]) -> Option<Config<'a>> {
    deployments.iter().zip(specs).enumerate().find_map(|(deployment, (object, spec))| {
        let pod = spec.spec.as_ref()?.template.spec.as_ref()?;
        mounted(pod).find_map(|name| {
            let is_map =
                |map: &&Object| map.kind == "ConfigMap" && map.name == name && map.namespace == object.namespace;
            let map = all.iter().find(is_map)?;
            let (key, text) = nginx_key(map.document())?;
            Some(Config { deployment, map, key, text })
        })
    })
}

/// Names of each `ConfigMap` that a pod mounts, alone or projected.
fn mounted(pod: &PodSpec) -> impl Iterator<Item = &str> {
    pod.volumes.iter().flatten().flat_map(|volume| {
        let own = volume.config_map.as_ref().map(|map| map.name.as_str());
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        own.into_iter().chain(sources.filter_map(|source| Some(source.config_map.as_ref()?.name.as_str())))
    })
}

/// The key `nginx.conf`, or else a `*.conf` that has an `http` block.
fn nginx_key(map: &Node) -> Option<(&str, &str)> {
    let Value::Mapping(entries) = &map.get("data")?.value else { return None };
    let texts = || entries.iter().filter_map(|(key, node)| Some((key.as_str(), node.text()?)));
    texts().find(|(key, _)| *key == "nginx.conf").or_else(|| {
        texts().find(|(key, text)| {
            key.rsplit_once('.').is_some_and(|(_, ending)| ending == "conf") && nginx::has_http(text)
        })
    })
}

/// The gateway with its configuration parsed.
pub(super) fn gateway(
    config: &Config<'_>,
    deployments: &[&Object],
    platform: &Platform,
) -> Result<Gateway, ManifestError> {
    let object = deployments[config.deployment];
    let parsed = nginx::parse(config.text, &format!("{}/{}", config.map, config.key))?;
    let workload = platform.workload_named(&object.name).expect("the gateway's namespace is the platform's");
    let selects = |service: &&platform::Service| platform.selected_by(service).any(|id| id == workload);
    let service = platform.services.iter().find(selects).and_then(|service| platform.service_named(&service.name));
    let service = service.ok_or_else(|| {
        let fix = "add a Service whose selector matches these labels";
        object.refuse("spec.template.metadata.labels", "no Service selects the gateway's pods", fix)
    })?;
    Ok(Gateway { workload, service, config: parsed.config })
}
