//! Network policies against what must flow.
//!
//! What must flow is read from the manifests: the gateway's upstreams, Ingress backends, and the addresses of other
//! Services in environment variables.

use std::collections::BTreeSet;

use platform::{
    Action, NetworkPolicy, Platform, PortRef, Protocol, Selector, Service, ServiceId, TrafficPeer, TrafficPort,
    TrafficRule, Workload,
};

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

pub(crate) static BLOCKS: Rule = Rule {
    id: "network-policy-blocks",
    severity: Severity::Error,
    title: "a network policy blocks what the platform needs",
    explanation: "A pod that any policy selects for a direction may only do what some policy allows in it, and both \
        ends must allow: the caller's egress and the callee's ingress. Blocked packets are dropped without an answer, \
        so callers see a connect timeout, not a refusal.",
    fix: "Allow it: a rule with this peer, and the pod's port.",
};

pub(crate) static SERVICE_PORT_IN_POLICY: Rule = Rule {
    id: "network-policy-service-port",
    severity: Severity::Error,
    title: "a network policy names the Service's port instead of the pod's",
    explanation: "Policies are enforced at the pods, after the Service's address was translated: `port` is the \
        container port. A rule with the Service's port allows nothing where the two differ.",
    fix: "Write the container port, or the name of it.",
};

pub(crate) static SELECTS_NOTHING: Rule = Rule {
    id: "network-policy-selects-nothing",
    severity: Severity::Warning,
    title: "a network policy selects no pods",
    explanation: "A policy whose podSelector matches nothing neither isolates nor allows.",
    fix: "Compare podSelector with the labels of the pod templates.",
};

pub(crate) static BLOCKS_DNS: Rule = Rule {
    id: "network-policy-blocks-dns",
    severity: Severity::Error,
    title: "a pod that calls others by name may not ask DNS",
    explanation: "Egress isolation drops UDP and TCP port 53 to the cluster's DNS, too: every name fails to resolve \
        after a timeout of 5 s a try.",
    fix: "Allow egress to namespace kube-system on UDP and TCP port 53.",
};

/// Something that one workload needs of another.
struct Flow<'a> {
    /// `None`: it comes from outside of the cluster, or from an ingress controller.
    from: Option<&'a Workload>,
    to: &'a Workload,
    service: &'a Service,
    service_port: u16,
    pod_port: u16,
    why: String,
}

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    if platform.network_policies.is_empty() {
        return;
    }
    for policy in &platform.network_policies {
        let selects = |w: &Workload| w.namespace == policy.namespace && policy.pods.selects(&w.labels);
        let nobody = !policy.pods.is_empty() && !platform.workloads.iter().any(selects);
        if nobody && context.other_maker().is_none() {
            found.push(SELECTS_NOTHING.at(
                format!("NetworkPolicy/{}", policy.name),
                &policy.place,
                "It allows nothing and isolates nobody.",
                format!("No pod in namespace {} has the labels of its podSelector.", policy.namespace),
            ));
        }
    }
    let mut callers = BTreeSet::new();
    for flow in flows(platform) {
        if let Some(from) = flow.from {
            callers.insert(name_of(from) + "/" + &from.namespace);
        }
        judge(platform, &flow, found);
    }
    for workload in &platform.workloads {
        if callers.contains(&(name_of(workload) + "/" + &workload.namespace)) {
            dns(platform, workload, found);
        }
    }
}

/// What must flow, each once.
fn flows(platform: &Platform) -> Vec<Flow<'_>> {
    let mut flows: Vec<Flow<'_>> = Vec::new();
    let mut add = |from: Option<&'_ Workload>, id: ServiceId, port: Option<u16>, why: &dyn Fn(&Service) -> String| {
        let service = platform.service(id);
        let Some(declared) = service.ports.iter().find(|p| port.is_none_or(|port| p.port == port)) else { return };
        for to in platform.selected_by(service).map(|id| platform.workload(id)) {
            let Some(pod_port) = to.running().find_map(|container| container.port(&declared.target)) else { continue };
            let same = |flow: &Flow<'_>| {
                flow.from.map(std::ptr::from_ref) == from.map(std::ptr::from_ref)
                    && std::ptr::eq(flow.to, to)
                    && flow.pod_port == pod_port
            };
            if !flows.iter().any(same) && from.is_none_or(|from| !std::ptr::eq(from, to)) {
                // The borrow of `platform` outlives the closure; `from` comes from it, too.
                let from = from.and_then(|f| platform.workloads.iter().find(|w| std::ptr::eq(*w, f)));
                flows.push(Flow { from, to, service, service_port: declared.port, pod_port, why: why(service) });
            }
        }
    };
    if let Some(gateway) = &platform.gateway {
        let from = platform.workload(gateway.workload);
        for location in gateway.config.servers.iter().flat_map(|server| &server.locations) {
            let Action::Proxy { upstream, .. } = &location.action else { continue };
            for server in &gateway.config.upstream(*upstream).servers {
                if let Some(service) = platform.service_named(&server.host) {
                    add(Some(from), service, Some(server.port), &|_| {
                        format!("the gateway proxies at {}", location.place)
                    });
                }
            }
        }
    }
    for workload in &platform.workloads {
        for (variable, value) in workload.running().flat_map(|container| &container.env) {
            for (host, port) in addresses(value) {
                if let Some(service) = platform.service_named(host) {
                    add(Some(workload), service, port, &|_| format!("its variable {variable} names it"));
                }
            }
        }
    }
    for ingress in &platform.ingresses {
        for rule in &ingress.rules {
            let named = |s: &Service| s.name == rule.service && s.namespace == ingress.namespace;
            let Some(index) = platform.services.iter().position(named) else { continue };
            let port = match &rule.port {
                PortRef::Number(number) => Some(*number),
                PortRef::Name(name) => {
                    platform.services[index].ports.iter().find(|p| p.name.as_ref() == Some(name)).map(|p| p.port)
                }
            };
            add(None, ServiceId(index as u16), port, &|_| {
                format!("Ingress {} sends {} there", ingress.name, rule.host)
            });
        }
    }
    flows
}

/// Hosts, with their port if it is written, in a URL, a `host:port`, or a list of them.
fn addresses(value: &str) -> Vec<(&str, Option<u16>)> {
    let host_like = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    value
        .split([',', ' ', ';'])
        .filter_map(|item| {
            let (url, rest) = item.split_once("://").map_or((false, item), |(_, rest)| (true, rest));
            let authority = rest.split(['/', '?']).next().unwrap_or(rest);
            let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
            let (host, port) = address.split_once(':').map_or((address, None), |(h, p)| (h, p.parse().ok()));
            let plain = !host.is_empty() && host.chars().all(host_like) && host.contains(|c: char| c.is_alphabetic());
            (plain && (url || port.is_some() || item == host)).then_some((host, port))
        })
        .collect()
}

fn judge(platform: &Platform, flow: &Flow<'_>, found: &mut Vec<Finding>) {
    let to = name_of(flow.to);
    let tell = |policies: Vec<&NetworkPolicy>, end: &str, rules: &dyn Fn(&NetworkPolicy) -> Vec<TrafficRule>| {
        let names: Vec<_> = policies.iter().map(|policy| policy.name.as_str()).collect();
        let from = flow.from.map_or("the ingress controller".to_owned(), |w| w.name.clone());
        let confused = flow.service_port != flow.pod_port
            && policies
                .iter()
                .flat_map(|policy| rules(policy))
                .flat_map(|rule| rule.ports)
                .any(|port| matches!(port.port, Some(PortRef::Number(number)) if number == flow.service_port));
        let place = &policies[0].place;
        if confused {
            return SERVICE_PORT_IN_POLICY.at(
                format!("NetworkPolicy/{}", names.join(", ")),
                place,
                format!("{from} cannot reach {}: its connections time out.", flow.service.name),
                format!(
                    "A rule allows port {}, the Service's; the pods listen on {}.",
                    flow.service_port, flow.pod_port
                ),
            );
        }
        BLOCKS.at(
            format!("NetworkPolicy/{}", names.join(", ")),
            place,
            format!("{from} cannot reach {}: its connections time out.", flow.service.name),
            format!(
                "No rule for {end} of {} allows {to} port {}, but {}.",
                if end == "egress" { &from } else { &to },
                flow.pod_port,
                flow.why
            ),
        )
    };
    if let Some(from) = flow.from {
        let isolating: Vec<_> = isolating(platform, from).filter(|policy| policy.egress.is_some()).collect();
        let allowed = |policy: &&NetworkPolicy| {
            policy.egress.iter().flatten().any(|rule| {
                reaches(platform, policy, rule, Some(flow.to))
                    && port_allowed(rule, flow.to, flow.pod_port, Protocol::Tcp)
            })
        };
        if !isolating.is_empty() && !isolating.iter().any(allowed) {
            found.push(tell(isolating, "egress", &|policy| policy.egress.clone().unwrap_or_default()));
        }
    }
    let isolating: Vec<_> = isolating(platform, flow.to).filter(|policy| policy.ingress.is_some()).collect();
    let allowed = |policy: &&NetworkPolicy| {
        policy.ingress.iter().flatten().any(|rule| {
            reaches(platform, policy, rule, flow.from) && port_allowed(rule, flow.to, flow.pod_port, Protocol::Tcp)
        })
    };
    if !isolating.is_empty() && !isolating.iter().any(allowed) {
        found.push(tell(isolating, "ingress", &|policy| policy.ingress.clone().unwrap_or_default()));
    }
}

fn isolating<'a>(platform: &'a Platform, workload: &'a Workload) -> impl Iterator<Item = &'a NetworkPolicy> {
    let selects =
        |policy: &&NetworkPolicy| policy.namespace == workload.namespace && policy.pods.selects(&workload.labels);
    platform.network_policies.iter().filter(selects)
}

/// Whether a rule's peers include the other end. An end outside of the manifests, such as an ingress controller,
/// lives in a namespace that is not ours: any rule for other namespaces or addresses may mean it.
fn reaches(platform: &Platform, policy: &NetworkPolicy, rule: &TrafficRule, other: Option<&Workload>) -> bool {
    rule.peers.is_empty()
        || rule.peers.iter().any(|peer| match (peer, other) {
            (TrafficPeer::Block { .. }, _) => true, // pod addresses are not known before they run
            (TrafficPeer::Pods { namespaces, .. }, None) => namespaces.is_some(),
            (TrafficPeer::Pods { namespaces, pods }, Some(other)) => {
                let home = match namespaces {
                    None => other.namespace == policy.namespace,
                    Some(selector) => selects_namespace(platform, selector, &other.namespace),
                };
                home && pods.as_ref().is_none_or(|selector| selector.selects(&other.labels))
            }
        })
}

fn selects_namespace(platform: &Platform, selector: &Selector, name: &str) -> bool {
    let declared = platform.namespaces.iter().find(|namespace| namespace.name == name);
    let mut labels = declared.map(|namespace| namespace.labels.clone()).unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".into(), name.to_owned());
    selector.selects(&labels)
}

fn port_allowed(rule: &TrafficRule, to: &Workload, port: u16, protocol: Protocol) -> bool {
    let allows = |allowed: &TrafficPort| {
        allowed.protocol == protocol
            && match &allowed.port {
                None => true,
                Some(PortRef::Number(first)) => (*first..=allowed.end.unwrap_or(*first)).contains(&port),
                Some(name @ PortRef::Name(_)) => to.running().any(|container| container.port(name) == Some(port)),
            }
    };
    rule.ports.is_empty() || rule.ports.iter().any(allows)
}

fn dns(platform: &Platform, workload: &Workload, found: &mut Vec<Finding>) {
    let isolating: Vec<_> = isolating(platform, workload).filter(|policy| policy.egress.is_some()).collect();
    let Some(first) = isolating.first() else { return };
    let asks = |rule: &TrafficRule| {
        let outside = rule.peers.is_empty()
            || rule.peers.iter().any(|peer| match peer {
                TrafficPeer::Block { .. } => true,
                TrafficPeer::Pods { namespaces, .. } => {
                    namespaces.as_ref().is_some_and(|selector| selects_namespace(platform, selector, "kube-system"))
                }
            });
        outside && port_allowed(rule, workload, 53, Protocol::Udp)
    };
    if !isolating.iter().any(|policy| policy.egress.iter().flatten().any(asks)) {
        found.push(BLOCKS_DNS.at(
            format!("NetworkPolicy/{}", first.name),
            &first.place,
            format!("{} resolves no name: every call fails.", workload.name),
            "No egress rule allows UDP port 53 to kube-system.",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_variables_hold() {
        for (value, want) in [
            ("redis:6379", vec![("redis", Some(6379))]),
            ("redis://:secret@redis:6379/0", vec![("redis", Some(6379))]),
            ("http://user-profile-service/users", vec![("user-profile-service", None)]),
            (
                "postgresql+asyncpg://u:p@postgres.selfmonitor.svc:5432/db",
                vec![("postgres.selfmonitor.svc", Some(5432))],
            ),
            ("s-0:26379,s-1:26379", vec![("s-0", Some(26379)), ("s-1", Some(26379))]),
            ("postgres", vec![("postgres", None)]),
            ("20", vec![]),
            ("true story", vec![("true", None), ("story", None)]),
            ("http://$(HOST)/", vec![]),
        ] {
            assert_eq!(addresses(value), want, "{value}");
        }
    }
}
