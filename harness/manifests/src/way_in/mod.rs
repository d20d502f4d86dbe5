//! A way in for platforms whose manifests leave it to somebody else: a stand-in for the ingress controller, made from
//! the Ingresses, or, where there are none, a gateway of our own with a location for each Service that speaks HTTP.
//!
//! Owns what is made up and says so in words: [`WayIn`] is for reports. A platform that has a gateway is left alone.
//! The rules are ingress-nginx's (`rootfs/etc/nginx/template/nginx.tmpl` and `internal/ingress/controller`), with its
//! documented defaults, and written as an nginx.conf that [`nginx`](crate::nginx) reads as it would read any other.

mod conf;
mod http;
mod ingresses;
mod services;

use platform::{
    Container, ContainerPort, Gateway, Labels, Place, Platform, PortRef, Probe, ProbeAction, Protocol, Resources,
    Selector, Service, ServiceId, ServiceKind, ServicePort, Workload, WorkloadId,
};
use units::{Bytes, Millicores, Nanos};

use crate::nginx::{self, NginxError};
use conf::Conf;

pub use http::serves_http;

/// The name of the workload and Service that stand in.
const NAME: &str = "ingress-nginx-controller";
/// The port it listens on: ingress-nginx's.
const PORT: u16 = 80;
/// The file that the configuration would be in.
const FILE: &str = "nginx.conf of the stand-in for the ingress controller";

/// What was made up so that there is a way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayIn {
    /// What is stood in for, such as `the ingress controller`.
    pub what: String,
    /// By what, made from what.
    pub how: String,
    /// What of the manifests the stand-in does not play, with its place. They are listed as not rehearsed, too.
    pub left_out: Vec<(String, Place)>,
}

/// Gives a platform without a gateway a way in. `None`: it has a gateway, or nothing that speaks HTTP to lead to.
///
/// # Errors
/// If an Ingress holds something that no nginx could be configured with.
pub fn way_in(platform: &mut Platform) -> Result<Option<WayIn>, NginxError> {
    if platform.gateway.is_some() {
        return Ok(None);
    }
    let own = controller(platform);
    let port = own.map_or(PORT, |(_, _, port)| port);
    let from_ingresses = platform.ingresses.iter().any(|ingress| !ingress.rules.is_empty());
    let (conf, what, made_from) = if from_ingresses {
        let of = ingresses::told(platform);
        (ingresses::conf(platform, port), "the ingress controller", of)
    } else {
        let conf = services::conf(platform, port);
        let routes = conf.routes();
        if routes == 0 {
            return Ok(None);
        }
        let plural = if routes == 1 { "the one Service that speaks" } else { "the Services that speak" };
        (conf, "the way in", format!("{plural} HTTP, each at /NAME/, for there is neither a gateway nor an Ingress"))
    };
    let Conf { text, places, left_out } = conf;
    let mut config = nginx::parse(&text, FILE)?.config;
    for (server, places) in config.servers.iter_mut().zip(&places) {
        for (location, place) in server.locations.iter_mut().zip(places) {
            location.place = place.clone();
        }
    }
    let place_of = |zone: &str| {
        let is = |ingress: &&platform::Ingress| {
            zone.rsplit_once('_').is_some_and(|(id, _)| id == format!("{}_{}", ingress.namespace, ingress.name))
        };
        platform.ingresses.iter().find(is).map(|ingress| ingress.place.clone()).unwrap_or_default()
    };
    config.zones.iter_mut().for_each(|zone| zone.place = place_of(&zone.name));
    config.conn_zones.iter_mut().for_each(|zone| zone.place = place_of(&zone.name));
    let how = match own {
        Some((workload, ..)) => format!(
            "{} of the manifests, played as an nginx that is configured from {made_from}",
            platform.workload(workload).name
        ),
        None => format!("2 pods of nginx, configured from {made_from}"),
    };
    let place = platform.ingresses.first().map(|ingress| ingress.place.clone()).unwrap_or_default();
    let (workload, service) = match own {
        Some((workload, service, _)) => (workload, service),
        None => stand_in(platform, &place),
    };
    platform.gateway = Some(Gateway { workload, service, config });
    platform.not_rehearsed.extend(left_out.iter().cloned());
    Ok(Some(WayIn { what: what.to_owned(), how, left_out }))
}

/// An ingress-nginx that the manifests bring along, the Service in front of it, and the port it listens on.
fn controller(platform: &Platform) -> Option<(WorkloadId, ServiceId, u16)> {
    platform.service_ids().find_map(|service| {
        let declared = platform.service(service);
        let workload = platform.selected_by(declared).next()?;
        let controller = platform.workload(workload);
        let is = controller.kind.is_service()
            && controller.containers.first().is_some_and(|c| c.image.contains("ingress-nginx/controller"));
        let target = &declared.ports.first().filter(|_| is)?.target;
        let port = controller.containers.iter().find_map(|container| container.port(target))?;
        let outside = matches!(declared.kind, ServiceKind::LoadBalancer | ServiceKind::NodePort);
        outside.then_some((workload, service, port))
    })
}

/// Two pods as ingress-nginx's own manifests declare one: 100m CPU, 90Mi, five minutes of grace.
fn stand_in(platform: &mut Platform, place: &Place) -> (WorkloadId, ServiceId) {
    let labels: Labels = [("app.kubernetes.io/name", "ingress-nginx"), ("app.kubernetes.io/component", "controller")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let probe = Probe {
        action: ProbeAction::Tcp(PortRef::Number(PORT)),
        initial_delay: Nanos::from_secs(10),
        period: Nanos::from_secs(10),
        timeout: Nanos::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace_period: None,
    };
    let container = Container {
        name: "controller".to_owned(),
        image: "stand-in".to_owned(),
        ports: vec![ContainerPort { name: Some("http".to_owned()), port: PORT, protocol: Protocol::Tcp }],
        requests: Resources { cpu: Some(Millicores::new(100)), memory: Some(Bytes::from_mebi(90)) },
        readiness: Some(probe),
        pre_stop: Some(Nanos::from_secs(10)),
        ..Container::default()
    };
    platform.workloads.push(Workload {
        name: NAME.to_owned(),
        namespace: platform.namespace.clone(),
        replicas: Some(2),
        selector: Selector { labels: labels.clone(), expressions: Vec::new() },
        labels: labels.clone(),
        containers: vec![container],
        progress_deadline: Some(Nanos::from_secs(600)),
        grace_period: Nanos::from_secs(300),
        place: place.clone(),
        ..Workload::default()
    });
    platform.services.push(Service {
        name: NAME.to_owned(),
        namespace: platform.namespace.clone(),
        kind: ServiceKind::LoadBalancer,
        selector: labels,
        ports: vec![ServicePort {
            name: Some("http".to_owned()),
            protocol: Protocol::Tcp,
            port: PORT,
            target: PortRef::Number(PORT),
        }],
        // As in its manifests for cloud providers: limits see the client's address.
        external_local: true,
        place: place.clone(),
        ..Service::default()
    });
    (WorkloadId((platform.workloads.len() - 1) as u16), ServiceId((platform.services.len() - 1) as u16))
}

#[cfg(test)]
mod tests;
