//! Which workload is the gateway, and what its ConfigMap says.

use platform::{Config, Gateway, Platform, ReferenceKind, ServiceId, ServiceKind, WorkloadId};

use crate::ManifestError;
use crate::nginx;
use crate::object::Object;

/// An nginx configuration that a workload mounts.
pub(super) struct Candidate<'a> {
    pub(super) workload: WorkloadId,
    /// The Service that leads most of the way to it.
    service: Option<ServiceId>,
    /// The object of its `ConfigMap`.
    map: &'a Object,
    /// Keys and texts: the main file first.
    files: Vec<(String, String)>,
    rank: Rank,
}

/// What speaks for a candidate, the strongest first.
type Rank = (bool, bool, usize, bool, usize);

/// The workload whose mounted ConfigMap holds an nginx configuration. Of several the one that passes requests on, has a
/// Service, has most rules of Ingresses leading to it, is open to the outside, has most Services, or comes first.
pub(super) fn find<'a>(platform: &Platform, objects: &'a [Object]) -> Option<Candidate<'a>> {
    let mut best: Option<Candidate<'a>> = None;
    for workload in platform.workload_ids().filter(|id| platform.workload(*id).kind.is_service()) {
        let Some((map, files)) = config(platform, workload, objects) else { continue };
        let proxies = files.iter().any(|(_, text)| text.contains("proxy_pass"));
        let services: Vec<_> = services(platform, workload).collect();
        let rules = |id: &ServiceId| rules_to(platform, *id);
        let outside =
            |id: &ServiceId| matches!(platform.service(*id).kind, ServiceKind::LoadBalancer | ServiceKind::NodePort);
        let dialed = |id: &ServiceId| platform.service(*id).kind != ServiceKind::Headless;
        // The first one of those that rank equally.
        let service = services.iter().rev().max_by_key(|id| (rules(id), outside(id), dialed(id))).copied();
        let rank = (
            proxies,
            service.is_some(),
            services.iter().map(rules).sum(),
            services.iter().any(outside),
            services.len(),
        );
        if best.as_ref().is_none_or(|best| rank > best.rank) {
            best = Some(Candidate { workload, service, map, files, rank });
        }
    }
    // Where Ingresses are the way in, an nginx that nobody can reach is not.
    best.filter(|candidate| candidate.service.is_some() || platform.ingresses.is_empty())
}

fn services(platform: &Platform, workload: WorkloadId) -> impl Iterator<Item = ServiceId> {
    platform.service_ids().filter(move |id| platform.selected_by(platform.service(*id)).any(|id| id == workload))
}

fn rules_to(platform: &Platform, id: ServiceId) -> usize {
    let service = platform.service(id);
    let here = platform.ingresses.iter().filter(|ingress| ingress.namespace == service.namespace);
    here.flat_map(|ingress| &ingress.rules).filter(|rule| rule.service == service.name).count()
}

/// The first `ConfigMap` among a workload's references that has an nginx configuration, with all of its files.
fn config<'a>(
    platform: &Platform,
    workload: WorkloadId,
    objects: &'a [Object],
) -> Option<(&'a Object, Vec<(String, String)>)> {
    let workload = platform.workload(workload);
    let maps = workload.references.iter().filter(|reference| reference.kind == ReferenceKind::ConfigMap);
    maps.into_iter().find_map(|reference| {
        let is = |config: &&Config| {
            config.kind == ReferenceKind::ConfigMap
                && config.name == reference.name
                && config.namespace == workload.namespace
        };
        let config = platform.configs.iter().find(is)?;
        let main = main_key(config)?;
        let text = |key: &String| (key.clone(), config.entries[key].clone());
        let others = config.entries.keys().filter(|key| *key != main);
        let files = std::iter::once(main).chain(others).map(text).collect();
        let is = |object: &&Object| {
            object.kind == "ConfigMap" && object.name == config.name && object.namespace == config.namespace
        };
        Some((objects.iter().find(is)?, files))
    })
}

/// The key `nginx.conf`, or else a file that has an `http` block, or else one of `conf.d` with a `server` in it.
fn main_key(config: &Config) -> Option<&String> {
    let files = || {
        config
            .entries
            .iter()
            .filter(|(key, _)| key.rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "conf" | "template")))
    };
    config
        .entries
        .keys()
        .find(|key| *key == "nginx.conf")
        .or_else(|| files().find(|(_, text)| nginx::has_http(text)).map(|(key, _)| key))
        .or_else(|| files().find(|(_, text)| nginx::has_server(text) && text.contains("listen")).map(|(key, _)| key))
}

/// The gateway with its configuration parsed.
pub(super) fn gateway(candidate: &Candidate<'_>, platform: &Platform) -> Result<Gateway, ManifestError> {
    let map = candidate.map;
    let named = |(key, text): &(String, String)| {
        let file = map.file_of(key).map_or_else(|| format!("{map}/{key}"), str::to_owned);
        (file, text.clone())
    };
    let mut files = candidate.files.iter().map(named);
    let (file, text) = files.next().expect("a candidate has its main file");
    let parsed = nginx::parse_with(&text, &file, &files.collect::<Vec<_>>())?;
    let Some(service) = candidate.service else {
        let workload = platform.workload(candidate.workload);
        return Err(ManifestError::Field {
            place: workload.place.clone(),
            object: format!("{}/{}", workload.kind.name(), workload.name).into(),
            field: "spec.template.metadata.labels".into(),
            problem: "no Service selects the gateway's pods".to_owned(),
            fix: "add a Service whose selector matches these labels".to_owned(),
        });
    };
    Ok(Gateway { workload: candidate.workload, service, config: parsed.config })
}
