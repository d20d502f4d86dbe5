//! Probes with Kubernetes' defaults, and preStop hooks.

use k8s_openapi::api::core::v1 as core;
use platform::{HttpProbe, Probe, ProbeAction};
use units::Nanos;

use super::container::{port_number, port_ref};
use crate::ManifestError;
use crate::object::Object;

/// The probe that stands at `path`.
pub(super) fn probe(object: &Object, path: &str, declared: &core::Probe) -> Result<Probe, ManifestError> {
    // Zero stands for the default, as in the API server's defaulting.
    let number = |field: &str, value: Option<i32>, default: u32| {
        let value = object.at_least(&format!("{path}.{field}"), value.unwrap_or(0), 0)?;
        Ok::<_, ManifestError>(if value == 0 { default } else { value })
    };
    let seconds =
        |field: &str, value, default| number(field, value, default).map(|seconds| Nanos::from_secs(seconds.into()));
    let grace = declared.termination_grace_period_seconds.map(|grace| {
        u64::try_from(grace).ok().filter(|grace| *grace > 0).map(Nanos::from_secs).ok_or_else(|| {
            let path = format!("{path}.terminationGracePeriodSeconds");
            object.refuse(&path, &format!("{grace} is below 1"), "write seconds from 1 up")
        })
    });
    Ok(Probe {
        action: action(object, path, declared)?,
        initial_delay: seconds("initialDelaySeconds", declared.initial_delay_seconds, 0)?,
        period: seconds("periodSeconds", declared.period_seconds, 10)?,
        timeout: seconds("timeoutSeconds", declared.timeout_seconds, 1)?,
        success_threshold: number("successThreshold", declared.success_threshold, 1)?,
        failure_threshold: number("failureThreshold", declared.failure_threshold, 3)?,
        grace_period: grace.transpose()?,
    })
}

fn action(object: &Object, path: &str, declared: &core::Probe) -> Result<ProbeAction, ManifestError> {
    if let Some(get) = &declared.http_get {
        let headers = get.http_headers.iter().flatten();
        let mut host =
            headers.filter(|header| header.name.eq_ignore_ascii_case("host")).map(|header| header.value.clone());
        let asked = get.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        return Ok(ProbeAction::Http(HttpProbe {
            // The kubelet parses it as a URL, so a missing slash is added there.
            path: if asked.starts_with('/') { asked } else { format!("/{asked}") },
            port: port_ref(object, &format!("{path}.httpGet.port"), &get.port)?,
            host: host.next_back(),
            tls: get.scheme.as_deref() == Some("HTTPS"),
        }));
    }
    if let Some(socket) = &declared.tcp_socket {
        return Ok(ProbeAction::Tcp(port_ref(object, &format!("{path}.tcpSocket.port"), &socket.port)?));
    }
    if let Some(grpc) = &declared.grpc {
        return Ok(ProbeAction::Grpc(port_number(object, &format!("{path}.grpc.port"), grpc.port)?));
    }
    if declared.exec.is_some() {
        return Ok(ProbeAction::Exec);
    }
    Err(object.refuse(path, "the probe asks nothing", "write httpGet, tcpSocket, grpc or exec"))
}

/// How long a preStop hook takes: the sleep action, or the `sleep N` of a command. `None`: it cannot be read.
pub(super) fn pre_stop(hook: &core::LifecycleHandler) -> Option<Nanos> {
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
