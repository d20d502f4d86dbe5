//! Containers with their ports, resources, probes and hooks.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::{Container, ContainerPort, HttpProbe, PortRef, Probe, ProbeAction, Protocol, Resources};
use units::Nanos;

use super::NotRehearsed;
use crate::ManifestError;
use crate::object::Object;

/// The container that is declared at `path`.
pub(super) fn container(
    object: &Object,
    path: &str,
    declared: &core::Container,
    not_rehearsed: &mut NotRehearsed,
) -> Result<Container, ManifestError> {
    let resources = declared.resources.clone().unwrap_or_default();
    let list = |list: Option<_>, name: &str| {
        let path = format!("{path}.resources.{name}");
        Ok::<_, ManifestError>(Resources {
            cpu: object.quantity(list, "cpu", &path)?,
            memory: object.quantity(list, "memory", &path)?,
        })
    };
    let limits = list(resources.limits.as_ref(), "limits")?;
    let asked = list(resources.requests.as_ref(), "requests")?;
    // `pkg/apis/core/v1/defaults.go`, SetDefaults_Pod: what has a limit only requests the limit.
    let requests = Resources { cpu: asked.cpu.or(limits.cpu), memory: asked.memory.or(limits.memory) };
    let mut probe = |name: &str, declared: Option<&core::Probe>| {
        let path = format!("{path}.{name}");
        declared.map(|declared| probe(object, &path, declared, not_rehearsed)).transpose()
    };
    Ok(Container {
        name: declared.name.clone(),
        image: declared.image.clone().unwrap_or_default(),
        ports: ports(object, path, declared)?,
        requests,
        limits,
        startup: probe("startupProbe", declared.startup_probe.as_ref())?,
        readiness: probe("readinessProbe", declared.readiness_probe.as_ref())?,
        liveness: probe("livenessProbe", declared.liveness_probe.as_ref())?,
        pre_stop: declared.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref()).and_then(pre_stop),
        ..Container::default()
    })
}

fn ports(object: &Object, path: &str, declared: &core::Container) -> Result<Vec<ContainerPort>, ManifestError> {
    let ports = declared.ports.iter().flatten().enumerate();
    let one = |(index, declared): (usize, &core::ContainerPort)| {
        let port = port_number(object, &format!("{path}.ports[{index}].containerPort"), declared.container_port)?;
        Ok(ContainerPort { name: declared.name.clone(), port, protocol: Protocol::Tcp })
    };
    ports.map(one).collect()
}

/// A port from 1 to 65535.
pub(super) fn port_number(object: &Object, path: &str, number: i32) -> Result<u16, ManifestError> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| object.refuse(path, &format!("{number} is no port"), "write a number from 1 to 65535"))
}

/// A port by number or by name.
pub(super) fn port_ref(object: &Object, path: &str, port: &IntOrString) -> Result<PortRef, ManifestError> {
    match port {
        IntOrString::Int(number) => port_number(object, path, *number).map(PortRef::Number),
        IntOrString::String(name) if !name.is_empty() => Ok(PortRef::Name(name.clone())),
        IntOrString::String(_) => Err(object.refuse(path, "the port has no name", "write a number or a port's name")),
    }
}

fn probe(
    object: &Object,
    path: &str,
    declared: &core::Probe,
    not_rehearsed: &mut NotRehearsed,
) -> Result<Probe, ManifestError> {
    let action = if let Some(get) = &declared.http_get {
        let headers = get.http_headers.iter().flatten();
        let mut host =
            headers.filter(|header| header.name.eq_ignore_ascii_case("host")).map(|header| header.value.clone());
        ProbeAction::Http(HttpProbe {
            path: get.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
            port: port_ref(object, &format!("{path}.httpGet.port"), &get.port)?,
            host: host.next_back(),
            tls: get.scheme.as_deref() == Some("HTTPS"),
        })
    } else if let Some(socket) = &declared.tcp_socket {
        ProbeAction::Tcp(port_ref(object, &format!("{path}.tcpSocket.port"), &socket.port)?)
    } else if let Some(grpc) = &declared.grpc {
        not_rehearsed.push((format!("{object} {path}.grpc (opens a connection only)"), object.place_of(path)));
        ProbeAction::Tcp(PortRef::Number(port_number(object, &format!("{path}.grpc.port"), grpc.port)?))
    } else if declared.exec.is_some() {
        ProbeAction::Exec
    } else {
        return Err(object.refuse(path, "the probe asks nothing", "write httpGet, tcpSocket, grpc or exec"));
    };
    // Zero stands for the default, as in the API server's defaulting.
    let number = |field: &str, value: Option<i32>, default: u32| {
        let value = object.at_least(&format!("{path}.{field}"), value.unwrap_or(0), 0)?;
        Ok::<_, ManifestError>(if value == 0 { default } else { value })
    };
    let seconds =
        |field: &str, value, default| number(field, value, default).map(|seconds| Nanos::from_secs(seconds.into()));
    Ok(Probe {
        action,
        initial_delay: seconds("initialDelaySeconds", declared.initial_delay_seconds, 0)?,
        period: seconds("periodSeconds", declared.period_seconds, 10)?,
        timeout: seconds("timeoutSeconds", declared.timeout_seconds, 1)?,
        success_threshold: number("successThreshold", declared.success_threshold, 1)?,
        failure_threshold: number("failureThreshold", declared.failure_threshold, 3)?,
        grace_period: None,
    })
}

/// How long a preStop hook takes: the sleep action, or the `sleep N` of a command.
fn pre_stop(hook: &core::LifecycleHandler) -> Option<Nanos> {
    if let Some(sleep) = &hook.sleep {
        return u64::try_from(sleep.seconds).ok().map(Nanos::from_secs);
    }
    let command = hook.exec.as_ref()?.command.as_ref()?.join(" ");
    let mut words = command.split(|c: char| c.is_whitespace() || c == ';' || c == '&').filter(|word| !word.is_empty());
    words.find(|word| *word == "sleep" || word.ends_with("/sleep"))?;
    let seconds: f64 = words.next()?.trim_end_matches('s').parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| Nanos::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_a_hook_sleeps() {
        let command = |words: &[&str]| core::LifecycleHandler {
            exec: Some(core::ExecAction { command: Some(words.iter().map(ToString::to_string).collect()) }),
            ..Default::default()
        };
        let action = core::LifecycleHandler { sleep: Some(core::SleepAction { seconds: 7 }), ..Default::default() };
        for (case, hook, want) in [
            ("the action", action, Some(7_000)),
            ("a command", command(&["sleep", "5"]), Some(5_000)),
            ("with a path", command(&["/bin/sleep", "5"]), Some(5_000)),
            ("in a shell, with more behind it", command(&["/bin/sh", "-c", "sleep 2.5; nginx -s quit"]), Some(2_500)),
            ("a command that does not sleep", command(&["nginx", "-s", "quit"]), None),
            ("no number", command(&["sleep", "$WAIT"]), None),
            ("nothing", core::LifecycleHandler::default(), None),
        ] {
            assert_eq!(pre_stop(&hook), want.map(Nanos::from_millis), "{case}");
        }
    }
}
