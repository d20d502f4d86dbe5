//! Services.

use k8s_openapi::api::core::v1 as core;
use platform::{Affinity, PortRef, Service, ServicePort};
use units::Nanos;

use super::container::{port_number, port_ref};
use crate::ManifestError;
use crate::object::Object;

/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_S: i32 = 10_800;

/// `None` for a Service without a cluster address, which nothing here can dial.
pub(super) fn service(object: &Object) -> Result<Option<Service>, ManifestError> {
    let typed: core::Service = object.typed()?;
    let spec = typed.spec.unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") || spec.cluster_ip.as_deref() == Some("None") {
        return Ok(None);
    }
    let ports = spec.ports.unwrap_or_default();
    if ports.is_empty() {
        return Err(object.refuse("spec.ports", "the Service has no port", "write at least one"));
    }
    let one = |(index, declared): (usize, core::ServicePort)| {
        let path = format!("spec.ports[{index}]");
        let port = port_number(object, &format!("{path}.port"), declared.port)?;
        let target = declared.target_port.map(|target| port_ref(object, &format!("{path}.targetPort"), &target));
        Ok(ServicePort {
            name: None,
            protocol: platform::Protocol::Tcp,
            port,
            target: target.transpose()?.unwrap_or(PortRef::Number(port)),
        })
    };
    let ports = ports.into_iter().enumerate().map(one).collect::<Result<_, ManifestError>>()?;
    let affinity = match spec.session_affinity.as_deref() {
        None | Some("None") => Affinity::None,
        Some("ClientIP") => {
            let client = spec.session_affinity_config.and_then(|config| config.client_ip);
            let seconds = client.and_then(|client| client.timeout_seconds).unwrap_or(AFFINITY_S);
            let path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
            Affinity::ClientIp(Nanos::from_secs(object.at_least(path, seconds, 1)?.into()))
        }
        Some(other) => {
            let problem = format!("`{other}` is no session affinity");
            return Err(object.refuse("spec.sessionAffinity", &problem, "write None or ClientIP"));
        }
    };
    let selector = spec.selector.unwrap_or_default();
    Ok(Some(Service {
        name: object.name.clone(),
        selector,
        ports,
        affinity,
        namespace: object.namespace.clone(),
        place: object.place.clone(),
        ..Service::default()
    }))
}
