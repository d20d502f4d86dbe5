//! Containers with their ports, resources, probes, hooks and settings.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::{Container, ContainerPort, PortRef, Protocol, Resources, Security};

use super::limits::{self, Defaults};
use super::probe::{pre_stop, probe};
use super::{NotRehearsed, pod};
use crate::ManifestError;
use crate::object::Object;

/// The container that is declared at `path`.
pub(super) fn container(
    object: &Object,
    path: &str,
    declared: &core::Container,
    around: &pod::Around<'_>,
    notes: &mut NotRehearsed,
) -> Result<Container, ManifestError> {
    let (requests, limits) = resources(object, path, declared, around.limits)?;
    let probe = |name: &str, declared: Option<&core::Probe>| {
        declared.map(|declared| probe(object, &format!("{path}.{name}"), declared)).transpose()
    };
    let hook = declared.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref());
    let pre_stop = hook.and_then(pre_stop);
    if hook.is_some() && pre_stop.is_none() {
        let path = format!("{path}.lifecycle.preStop");
        notes.push((format!("{object} {path} (how long it takes cannot be read)"), object.place_of(&path)));
    }
    let command = declared.command.iter().chain(&declared.args).flatten().cloned();
    // Without `value` a variable is empty; with `valueFrom` its text is elsewhere.
    let literal = |variable: &core::EnvVar| {
        let here = variable.value_from.is_none();
        here.then(|| (variable.name.clone(), variable.value.clone().unwrap_or_default()))
    };
    Ok(Container {
        name: declared.name.clone(),
        image: declared.image.clone().unwrap_or_default(),
        sidecar: false,
        ports: ports(object, path, declared)?,
        requests,
        limits,
        startup: probe("startupProbe", declared.startup_probe.as_ref())?,
        readiness: probe("readinessProbe", declared.readiness_probe.as_ref())?,
        liveness: probe("livenessProbe", declared.liveness_probe.as_ref())?,
        pre_stop,
        env: declared.env.iter().flatten().filter_map(literal).collect(),
        command: command.collect(),
        security: security(declared.security_context.as_ref(), around.security),
    })
}

fn resources(
    object: &Object,
    path: &str,
    declared: &core::Container,
    defaults: &Defaults,
) -> Result<(Resources, Resources), ManifestError> {
    let resources = declared.resources.as_ref();
    let list = |list, name: &str| limits::resources(object, list, &format!("{path}.resources.{name}"));
    let limits = list(resources.and_then(|r| r.limits.as_ref()), "limits")?;
    let requests = list(resources.and_then(|r| r.requests.as_ref()), "requests")?;
    let above = |resource: &str| {
        let path = format!("{path}.resources.requests.{resource}");
        Err(object.refuse(&path, "is above the limit", "lower the request or raise the limit"))
    };
    if requests.cpu.zip(limits.cpu).is_some_and(|(request, limit)| request > limit) {
        return above("cpu");
    }
    if requests.memory.zip(limits.memory).is_some_and(|(request, limit)| request > limit) {
        return above("memory");
    }
    Ok(defaults.apply(&object.namespace, requests, limits))
}

/// The container's own word counts over that of the pod. A pod cannot make root file systems read-only.
fn security(own: Option<&core::SecurityContext>, pod: Option<&core::PodSecurityContext>) -> Security {
    Security {
        run_as_non_root: own.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root)),
        read_only_root: own.and_then(|own| own.read_only_root_filesystem),
    }
}

fn ports(object: &Object, path: &str, declared: &core::Container) -> Result<Vec<ContainerPort>, ManifestError> {
    let ports = declared.ports.iter().flatten().enumerate();
    let one = |(index, declared): (usize, &core::ContainerPort)| {
        let path = format!("{path}.ports[{index}]");
        Ok(ContainerPort {
            name: declared.name.clone(),
            port: port_number(object, &format!("{path}.containerPort"), declared.container_port)?,
            protocol: protocol(object, &format!("{path}.protocol"), declared.protocol.as_deref())?,
        })
    };
    ports.map(one).collect()
}

/// A transport protocol, default TCP.
pub(super) fn protocol(object: &Object, path: &str, text: Option<&str>) -> Result<Protocol, ManifestError> {
    match text {
        None | Some("" | "TCP") => Ok(Protocol::Tcp),
        Some("UDP") => Ok(Protocol::Udp),
        Some("SCTP") => Ok(Protocol::Sctp),
        Some(other) => Err(object.refuse(path, &format!("`{other}` is no protocol"), "write TCP, UDP or SCTP")),
    }
}

/// A port from 1 to 65535.
pub(super) fn port_number(object: &Object, path: &str, number: i32) -> Result<u16, ManifestError> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| object.refuse(path, &format!("{number} is no port"), "write a number from 1 to 65535"))
}

/// A port by number or by name. A number in quotes is a name, and no port is called like that.
pub(super) fn port_ref(object: &Object, path: &str, port: &IntOrString) -> Result<PortRef, ManifestError> {
    match port {
        IntOrString::Int(number) => port_number(object, path, *number).map(PortRef::Number),
        IntOrString::String(name) if !name.is_empty() => Ok(PortRef::Name(name.clone())),
        IntOrString::String(_) => Err(object.refuse(path, "the port has no name", "write a number or a port's name")),
    }
}
