//! Which workloads speak HTTP, as far as a manifest tells.

use platform::{Container, Platform, PortRef, Probe, ProbeAction, Protocol, Service, ServicePort, WorkloadId};

/// Ports of servers that speak something else.
const OTHER_PORTS: [u16; 22] = [
    22, 25, 53, 389, 636, 1433, 1521, 1883, 2181, 2379, 3306, 4222, 5432, 5672, 6379, 6380, 9042, 9092, 11211, 26379,
    27017, 50051,
];
/// Beginnings of port names that say HTTP (Istio's convention, `appProtocol`'s values).
const HTTP_NAMES: [&str; 4] = ["http", "web", "ui", "rest"];
/// Beginnings of port names that say something else, or HTTP that no user asks for.
const OTHER_NAMES: [&str; 22] = [
    "grpc", "tcp", "udp", "redis", "postgres", "pg", "mysql", "mongo", "amqp", "kafka", "client", "peer", "dns",
    "smtp", "ssh", "db", "sql", "prom", "metrics", "exporter", "admin", "debug",
];

/// Whether a workload serves HTTP behind a Service. A manifest does not say so outright: an HTTP probe says yes, then
/// the name of the port decides, then its number; what is left is taken for HTTP.
pub fn serves_http(platform: &Platform, workload: WorkloadId) -> bool {
    let selects = |service: &&Service| platform.selected_by(service).any(|id| id == workload);
    platform.services.iter().filter(selects).any(|service| http_port(platform, service, workload).is_some())
}

/// The first port of a Service that leads to HTTP in a workload.
pub(super) fn http_port(platform: &Platform, service: &Service, workload: WorkloadId) -> Option<u16> {
    let workload = platform.workload(workload);
    if !workload.kind.is_service() {
        return None;
    }
    let speaks = |port: &&ServicePort| {
        port.protocol == Protocol::Tcp && workload.containers.iter().any(|container| speaks_http(container, port))
    };
    service.ports.iter().find(speaks).map(|port| port.port)
}

fn speaks_http(container: &Container, port: &ServicePort) -> bool {
    let Some(number) = container.port(&port.target) else { return false };
    let declared = container.ports.iter().find(|declared| declared.port == number);
    let asked = |probe: &Option<Probe>| match probe.as_ref().map(|probe| &probe.action) {
        Some(ProbeAction::Http(http)) => container.port(&http.port) == Some(number),
        _ => false,
    };
    if [&container.startup, &container.readiness, &container.liveness].into_iter().any(asked) {
        return true;
    }
    let target = if let PortRef::Name(name) = &port.target { Some(name) } else { None };
    let names = [port.name.as_ref(), target, declared.and_then(|declared| declared.name.as_ref())];
    let begins = |with: &[&str]| names.iter().flatten().any(|name| with.iter().any(|start| name.starts_with(start)));
    if names.iter().flatten().any(|name| name.ends_with("metrics")) {
        return false;
    }
    begins(&HTTP_NAMES) || !(begins(&OTHER_NAMES) || OTHER_PORTS.contains(&number))
}
