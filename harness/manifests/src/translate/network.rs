//! NetworkPolicies.

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use platform::{NetworkPolicy, TrafficPeer, TrafficPort, TrafficRule};

use super::container::{port_number, port_ref, protocol};
use super::selector::selector;
use crate::ManifestError;
use crate::object::Object;

/// Without `policyTypes` it isolates what comes in, and what goes out only if it has rules for that
/// (`pkg/apis/networking/v1/defaults.go`).
pub(super) fn policy(object: &Object) -> Result<NetworkPolicy, ManifestError> {
    let spec: NetworkPolicySpec = object.typed_at("spec")?;
    let types = spec.policy_types.unwrap_or_else(|| {
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        [Some("Ingress"), egress.then_some("Egress")].into_iter().flatten().map(str::to_owned).collect()
    });
    for (index, text) in types.iter().enumerate() {
        if text != "Ingress" && text != "Egress" {
            let problem = format!("`{text}` is no direction of traffic");
            return Err(object.refuse(&format!("spec.policyTypes[{index}]"), &problem, "write Ingress or Egress"));
        }
    }
    let isolates = |direction: &str| types.iter().any(|text| text == direction);
    let ingress = spec.ingress.unwrap_or_default().into_iter().map(|rule| (rule.from, rule.ports)).collect();
    let egress = spec.egress.unwrap_or_default().into_iter().map(|rule| (rule.to, rule.ports)).collect();
    let rules = |direction: &str, declared: Vec<_>, name: &str, peers: &str| {
        isolates(direction).then(|| rules(object, &format!("spec.{name}"), peers, declared)).transpose()
    };
    Ok(NetworkPolicy {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        pods: selector(object, "spec.podSelector", spec.pod_selector.unwrap_or_default())?,
        ingress: rules("Ingress", ingress, "ingress", "from")?,
        egress: rules("Egress", egress, "egress", "to")?,
        place: object.place.clone(),
    })
}

type Declared = (Option<Vec<NetworkPolicyPeer>>, Option<Vec<NetworkPolicyPort>>);

fn rules(object: &Object, path: &str, peers: &str, declared: Vec<Declared>) -> Result<Vec<TrafficRule>, ManifestError> {
    let one = |(index, (who, ports)): (usize, Declared)| {
        let path = format!("{path}[{index}]");
        let who = who.unwrap_or_default().into_iter().enumerate();
        let ports = ports.unwrap_or_default().into_iter().enumerate();
        Ok(TrafficRule {
            peers: who
                .map(|(index, declared)| peer(object, &format!("{path}.{peers}[{index}]"), declared))
                .collect::<Result<_, _>>()?,
            ports: ports
                .map(|(index, declared)| port(object, &format!("{path}.ports[{index}]"), &declared))
                .collect::<Result<_, _>>()?,
        })
    };
    declared.into_iter().enumerate().map(one).collect()
}

fn peer(object: &Object, path: &str, declared: NetworkPolicyPeer) -> Result<TrafficPeer, ManifestError> {
    if let Some(block) = declared.ip_block {
        return Ok(TrafficPeer::Block { cidr: block.cidr, except: block.except.unwrap_or_default() });
    }
    if declared.pod_selector.is_none() && declared.namespace_selector.is_none() {
        let fix = "write podSelector, namespaceSelector or ipBlock";
        return Err(object.refuse(path, "the peer is nobody", fix));
    }
    let select = |name: &str, declared: Option<_>| {
        declared.map(|declared| selector(object, &format!("{path}.{name}"), declared)).transpose()
    };
    Ok(TrafficPeer::Pods {
        namespaces: select("namespaceSelector", declared.namespace_selector)?,
        pods: select("podSelector", declared.pod_selector)?,
    })
}

fn port(object: &Object, path: &str, declared: &NetworkPolicyPort) -> Result<TrafficPort, ManifestError> {
    Ok(TrafficPort {
        protocol: protocol(object, &format!("{path}.protocol"), declared.protocol.as_deref())?,
        port: declared.port.as_ref().map(|port| port_ref(object, &format!("{path}.port"), port)).transpose()?,
        end: declared.end_port.map(|port| port_number(object, &format!("{path}.endPort"), port)).transpose()?,
    })
}
