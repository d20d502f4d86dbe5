//! Services.

use k8s_openapi::api::core::v1 as core;
use platform::{Affinity, PortRef, Service, ServiceKind, ServicePort};
use units::Nanos;

use super::container::{port_number, port_ref, protocol};
use crate::ManifestError;
use crate::object::Object;

/// Kubernetes' default of `sessionAffinityConfig.clientIP.timeoutSeconds`: three hours.
const AFFINITY_S: i32 = 10_800;

/// A Service of any type.
pub(super) fn service(object: &Object) -> Result<Service, ManifestError> {
    let spec: core::ServiceSpec = object.typed_at("spec")?;
    let kind = kind(object, &spec)?;
    let ports = spec.ports.unwrap_or_default();
    if ports.is_empty() && !matches!(kind, ServiceKind::Headless | ServiceKind::ExternalName(_)) {
        return Err(object.refuse("spec.ports", "the Service has no port", "write at least one"));
    }
    let one = |(index, declared): (usize, core::ServicePort)| {
        let path = format!("spec.ports[{index}]");
        let port = port_number(object, &format!("{path}.port"), declared.port)?;
        let target = declared.target_port.map(|target| port_ref(object, &format!("{path}.targetPort"), &target));
        Ok(ServicePort {
            name: declared.name,
            protocol: protocol(object, &format!("{path}.protocol"), declared.protocol.as_deref())?,
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
    Ok(Service {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        kind,
        selector: spec.selector.unwrap_or_default(),
        ports,
        affinity,
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        place: object.place.clone(),
    })
}

fn kind(object: &Object, spec: &core::ServiceSpec) -> Result<ServiceKind, ManifestError> {
    Ok(match spec.type_.as_deref() {
        None | Some("ClusterIP") if spec.cluster_ip.as_deref() == Some("None") => ServiceKind::Headless,
        None | Some("ClusterIP") => ServiceKind::ClusterIp,
        Some("NodePort") => ServiceKind::NodePort,
        Some("LoadBalancer") => ServiceKind::LoadBalancer,
        Some("ExternalName") => match spec.external_name.as_deref() {
            Some(host) if !host.is_empty() => ServiceKind::ExternalName(host.to_owned()),
            _ => {
                let fix = "write the host that the name stands for";
                return Err(object.refuse("spec.externalName", "is missing", fix));
            }
        },
        Some(other) => {
            let fix = "write ClusterIP, NodePort, LoadBalancer or ExternalName";
            return Err(object.refuse("spec.type", &format!("`{other}` is no type of Service"), fix));
        }
    })
}
