//! The gateway's configuration: what its author believes, and what nginx does.

use std::collections::BTreeSet;

use platform::{Action, Gateway, GatewayConfig, LimitKey, Location, Platform, ServiceKind, ZoneId};
use units::Rate;

use super::Context;
use crate::{Finding, Rule, Severity};

pub(crate) static ANSWERS_503: Rule = Rule {
    id: "limiter-answers-503",
    severity: Severity::Warning,
    title: "the limiter answers 503 while the documents count 429",
    explanation: "nginx answers a request over its limit with limit_req_status, 503 unless it is set \
        (ngx_http_limit_req_module). What is counted as 429 then never happens, and every reject is charged to the \
        5xx budget.",
    fix: "Set `limit_req_status 429;` at http level.",
};

pub(crate) static MULTIPLIES: Rule = Rule {
    id: "limit-multiplies-with-replicas",
    severity: Severity::Warning,
    title: "each gateway pod counts for itself",
    explanation: "A limit zone lives in the shared memory of one nginx. N gateway pods allow N times the rate, and the \
        limit changes whenever the gateway is scaled; connections that are kept alive stay with one pod, so some \
        clients are limited sooner than others.",
    fix: "Divide the rate by the replicas, limit at the ingress, or count in one place (Redis).",
};

pub(crate) static LONE_SERVER: Rule = Rule {
    id: "lone-server-never-fails",
    severity: Severity::Warning,
    title: "max_fails on an upstream with one server",
    explanation: "An upstream with one server ignores max_fails and fail_timeout and is never retried \
        (ngx_http_upstream_round_robin.c, `single`). Failover is left to the Service's endpoints.",
    fix: "Leave max_fails out, so that nobody relies on it; retries need several servers or a headless Service.",
};

pub(crate) static ONE_BUCKET: Rule = Rule {
    id: "limiter-one-bucket",
    severity: Severity::Warning,
    title: "behind a proxy all clients share one bucket",
    explanation: "$binary_remote_addr is the peer of the TCP connection. Behind an ingress controller or a load \
        balancer that translates addresses the peer is always the same few, so all users together get one client's \
        rate.",
    fix: "Trust the proxy (`set_real_ip_from`, `real_ip_header X-Forwarded-For`, `real_ip_recursive on`), or \
        externalTrafficPolicy: Local without an ingress in front.",
};

pub(crate) static KEY_IS_CONSTANT: Rule = Rule {
    id: "limiter-key-constant",
    severity: Severity::Error,
    title: "a limiter's key is the same for every client",
    explanation: "All requests with the same key share one bucket. A key that is made of the server or the path only \
        limits everybody together: one busy client locks out all others.",
    fix: "Use $binary_remote_addr (with real_ip behind a proxy) or something that identifies the client.",
};

pub(crate) static LIMIT_ON_RETURN: Rule = Rule {
    id: "limit-on-return",
    severity: Severity::Warning,
    title: "a limit on a location that returns is never asked",
    explanation: "`return` and `rewrite` run in the rewrite phase, before limit_req and limit_conn are consulted \
        (preaccess phase): the location answers without a limit.",
    fix: "Remove the limit, or answer from an upstream or a file.",
};

pub(crate) static HOST_UNKNOWN: Rule = Rule {
    id: "upstream-host-unknown",
    severity: Severity::Error,
    title: "the gateway proxies to a host that no Service has",
    explanation: "nginx resolves the names in `upstream` and `proxy_pass` when it starts: with one that does not \
        resolve it refuses to start at all (`host not found in upstream`), and every gateway pod crashes.",
    fix: "Correct the name, or add the Service.",
};

pub(crate) static PORT_UNKNOWN: Rule = Rule {
    id: "upstream-port-unknown",
    severity: Severity::Error,
    title: "the gateway proxies to a port that the Service does not have",
    explanation: "A Service forwards the ports it declares and no others: connections to any other port of its address \
        are dropped or refused, and nginx answers 502 or, after proxy_connect_timeout, 504.",
    fix: "Write the Service's port, not the container's.",
};

pub(crate) static UNUSED_ZONE: Rule = Rule {
    id: "limit-zone-unused",
    severity: Severity::Note,
    title: "a limit zone is declared and nowhere used",
    explanation: "limit_req_zone declares buckets; only limit_req in a location, server or http block uses them. A \
        location with a limit_req of its own does not inherit the outer ones.",
    fix: "Use it, or remove it.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let Some(gateway) = &context.platform.gateway else { return };
    let config = &gateway.config;
    let workload = context.platform.workload(gateway.workload);
    found.extend(answers_503(config));
    found.extend(multiplies(config, &workload.name, context.fewest_pods(workload), context.most_pods(workload)));
    found.extend(lone_servers(config));
    found.extend(one_bucket(context.platform, gateway));
    constant_keys(config, found);
    limits_on_return(config, found);
    upstreams(context.platform, gateway, found);
    unused_zones(config, found);
}

fn locations(config: &GatewayConfig) -> impl Iterator<Item = &Location> {
    config.servers.iter().flat_map(|server| &server.locations)
}

fn limited(config: &GatewayConfig) -> impl Iterator<Item = &Location> {
    locations(config).filter(|location| !location.limits.is_empty())
}

fn used_zones(config: &GatewayConfig) -> BTreeSet<ZoneId> {
    limited(config).flat_map(|location| &location.limits).map(|limit| limit.zone).collect()
}

fn answers_503(config: &GatewayConfig) -> Option<Finding> {
    let location = limited(config).find(|location| location.limit_status == 503)?;
    Some(ANSWERS_503.at(
        "nginx.conf",
        &location.place,
        "An alert on 429 can never fire, and every reject is charged to the 5xx budget.",
        "No limit_req_status is set, so nginx answers a request over the limit with its default, 503.",
    ))
}

fn multiplies(config: &GatewayConfig, gateway: &str, fewest: u32, most: u32) -> Option<Finding> {
    if most < 2 {
        return None;
    }
    let zones: Vec<_> = used_zones(config).into_iter().map(|zone| &config.zones[usize::from(zone.0)]).collect();
    let first = zones.first()?;
    let effective = |rate: Rate| Rate::from_milli(rate.milli() * u64::from(most));
    let list: Vec<_> = zones.iter().map(|z| format!("{}: {} becomes {}", z.name, z.rate, effective(z.rate))).collect();
    let pods = if fewest == most { most.to_string() } else { format!("{fewest} to {most}") };
    Some(MULTIPLIES.at(
        "nginx.conf",
        &first.place,
        format!("One client may send {pods} times the documented rate."),
        format!("Each of the {pods} pods of {gateway} keeps buckets of its own ({}).", list.join(", ")),
    ))
}

fn lone_servers(config: &GatewayConfig) -> Option<Finding> {
    let lone: Vec<_> =
        config.upstreams.iter().filter(|u| u.servers.len() == 1 && u.servers[0].max_fails != 1).collect();
    let first = lone.first()?;
    Some(LONE_SERVER.at(
        "nginx.conf",
        &first.place,
        "max_fails and fail_timeout have no effect; failover is left to the Service's endpoints.",
        format!(
            "{} of {} upstreams have one server, and nginx never marks a lone server as failed nor retries it.",
            lone.len(),
            config.upstreams.len()
        ),
    ))
}

fn one_bucket(platform: &Platform, gateway: &Gateway) -> Option<Finding> {
    let service = platform.service(gateway.service);
    let ingress = platform
        .ingresses
        .iter()
        .find(|i| i.namespace == service.namespace && i.rules.iter().any(|rule| rule.service == service.name));
    let in_front = match (ingress, &service.kind) {
        (Some(ingress), _) => format!("Ingress {} stands in front", ingress.name),
        (None, ServiceKind::LoadBalancer | ServiceKind::NodePort) if !service.external_local => {
            format!("Service {} translates addresses (externalTrafficPolicy: Cluster)", service.name)
        }
        _ => return None,
    };
    let config = &gateway.config;
    let trusting = |zone: ZoneId| {
        config.servers.iter().all(|server| {
            !server.real_ip.trusted.is_empty()
                || !server.locations.iter().any(|l| l.limits.iter().any(|limit| limit.zone == zone))
        })
    };
    let zones: Vec<_> = used_zones(config)
        .into_iter()
        .filter(|zone| config.zones[usize::from(zone.0)].key == LimitKey::Peer && !trusting(*zone))
        .map(|zone| &config.zones[usize::from(zone.0)])
        .collect();
    let first = zones.first()?;
    let names: Vec<_> = zones.iter().map(|zone| format!("{} ({})", zone.name, zone.rate)).collect();
    Some(ONE_BUCKET.at(
        "nginx.conf",
        &first.place,
        format!("All users together get one client's rate: {}.", names.join(", ")),
        format!("The key is the peer's address, and {in_front}."),
    ))
}

/// Variables that say something about the client.
fn tells_clients_apart(key: &str) -> bool {
    const SERVER_SIDE: [&str; 12] = [
        "$server_name",
        "$server_addr",
        "$server_port",
        "$host",
        "$http_host",
        "$hostname",
        "$uri",
        "$document_uri",
        "$scheme",
        "$request_method",
        "$server_protocol",
        "$nginx_version",
    ];
    let names = key.split('$').skip(1).map(|part| {
        let name: String =
            part.trim_start_matches('{').chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        format!("${name}")
    });
    names.into_iter().any(|name| !SERVER_SIDE.contains(&name.as_str()))
}

fn constant_keys(config: &GatewayConfig, found: &mut Vec<Finding>) {
    for zone in used_zones(config).into_iter().map(|zone| &config.zones[usize::from(zone.0)]) {
        let LimitKey::Value(key) = &zone.key else { continue };
        if !tells_clients_apart(&key.text) {
            found.push(KEY_IS_CONSTANT.at(
                format!("limit zone {}", zone.name),
                &zone.place,
                format!("All users together get {}: one busy client locks out the others.", zone.rate),
                format!("The key of zone {} is `{}`, the same for every client.", zone.name, key.text),
            ));
        }
    }
}

fn limits_on_return(config: &GatewayConfig, found: &mut Vec<Finding>) {
    for location in locations(config) {
        let limited = !location.limits.is_empty() || !location.conn_limits.is_empty();
        if limited && matches!(location.action, Action::Return { .. }) {
            found.push(LIMIT_ON_RETURN.at(
                format!("location {}", location.matches),
                &location.place,
                "It answers without any limit.",
                "It returns, and the rewrite phase comes before the limits.",
            ));
        }
    }
}

fn upstreams(platform: &Platform, gateway: &Gateway, found: &mut Vec<Finding>) {
    for upstream in &gateway.config.upstreams {
        for server in &upstream.servers {
            let address = server.host.parse::<std::net::IpAddr>().is_ok() || server.host.starts_with("unix:");
            if address || server.host == "localhost" || server.host.contains('$') {
                continue;
            }
            // A name with dots that is none of the cluster's is somebody else's host.
            let ours = !server.host.contains('.') || server.host.contains(".svc");
            match platform.service_named(&server.host) {
                None if ours => found.push(HOST_UNKNOWN.at(
                    format!("upstream {}", upstream.name),
                    &upstream.place,
                    "Every gateway pod crashes when it starts: host not found in upstream.",
                    format!(
                        "There is no Service `{}`{}.",
                        server.host,
                        crate::nearest(&server.host, platform.services.iter().map(|s| s.name.as_str()))
                            .map_or(String::new(), |near| format!("; there is `{near}`"))
                    ),
                )),
                None => {}
                Some(id) => {
                    let service = platform.service(id);
                    let headless = service.kind == ServiceKind::Headless;
                    if !headless && !service.ports.iter().any(|port| port.port == server.port) {
                        let ports: Vec<_> = service.ports.iter().map(|port| port.port.to_string()).collect();
                        found.push(PORT_UNKNOWN.at(
                            format!("upstream {}", upstream.name),
                            &upstream.place,
                            format!("Every request to {} ends as 502 or 504.", service.name),
                            format!("It dials port {}; the Service has {}.", server.port, ports.join(", ")),
                        ));
                    }
                }
            }
        }
    }
}

fn unused_zones(config: &GatewayConfig, found: &mut Vec<Finding>) {
    let used = used_zones(config);
    for (index, zone) in config.zones.iter().enumerate() {
        if !used.contains(&ZoneId(index as u16)) {
            found.push(UNUSED_ZONE.at(
                format!("limit zone {}", zone.name),
                &zone.place,
                format!("{} limits nothing.", zone.name),
                "No location uses it.",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_tell_clients_apart() {
        for (key, want) in [
            ("$binary_remote_addr", true),
            ("$http_x_forwarded_for", true),
            ("$http_authorization$uri", true),
            ("$server_name", false),
            ("${host}$uri", false),
            ("everyone", false),
        ] {
            assert_eq!(tells_clients_apart(key), want, "{key}");
        }
    }
}
