//! An nginx.conf made from Ingresses, as ingress-nginx writes one.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use platform::{Ingress, IngressPolicy, IngressRule, PathType, Pattern, Platform, PortRef, Service, ServiceKind};
use units::Rate;

use super::conf::{Conf, Made, Writer, is_name, quoted};

/// `3 Ingresses as ingress-nginx would be`, with the classes that say otherwise.
pub(super) fn told(platform: &Platform) -> String {
    let count = platform.ingresses.len();
    let plural = if count == 1 { "Ingress" } else { "Ingresses" };
    let foreign: BTreeSet<&str> = platform
        .ingresses
        .iter()
        .filter_map(|ingress| ingress.class.as_deref())
        .filter(|class| !class.contains("nginx"))
        .collect();
    let classes = if foreign.is_empty() {
        String::new()
    } else {
        format!(", although their class is {}", foreign.into_iter().collect::<Vec<_>>().join(", "))
    };
    format!("{count} {plural} as ingress-nginx would be{classes}; TLS ends before it, and it dials Services, not pods")
}

/// A server for each host, a location or two for each rule.
pub(super) fn conf(platform: &Platform, port: u16) -> Conf {
    let mut writer = Writer::default();
    let regex_hosts: BTreeSet<&str> = platform
        .ingresses
        .iter()
        .filter(|ingress| ingress.policy.use_regex || ingress.policy.rewrite_target.is_some())
        .flat_map(|ingress| ingress.rules.iter().map(|rule| rule.host.as_str()))
        .collect();
    for ingress in &platform.ingresses {
        let what = format!("Ingress/{}", ingress.name);
        if is_canary(ingress) {
            let told = format!("{what} (a canary: no requests are split off to it)");
            writer.left_out.push((told, ingress.place.clone()));
            continue;
        }
        if ingress.policy.hash_by.is_some() {
            let told = format!("{what} annotation upstream-hash-by (the stand-in dials Services, which choose pods)");
            writer.left_out.push((told, ingress.place.clone()));
        }
        let common = policy(&mut writer, ingress);
        // Regular expressions are tried in this order: the longest path first.
        let mut rules: Vec<&IngressRule> = ingress.rules.iter().collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.path.len()));
        for rule in rules {
            let regex = regex_hosts.contains(rule.host.as_str());
            if let Err(why) = add(&mut writer, platform, ingress, rule, &common, regex) {
                let told = format!("{what} rule {}{} ({why})", rule.host, rule.path);
                writer.left_out.push((told, rule.place.clone()));
            }
        }
    }
    for (_, locations) in writer.servers.iter_mut().filter(|(host, _)| regex_hosts.contains(host.as_str())) {
        locations.sort_by_key(|made| std::cmp::Reverse(made.head.len()));
    }
    writer.finish(port)
}

fn is_canary(ingress: &Ingress) -> bool {
    let canary = "nginx.ingress.kubernetes.io/canary";
    ingress.annotations.iter().any(|(key, text, _)| key == canary && text.trim() == "true")
}

/// What every location of an Ingress says; its limit zones go to the `http` block. The defaults are ingress-nginx's:
/// 5 s to connect, 60 s to read and send, 1 MiB, no buffering, three tries.
fn policy(writer: &mut Writer, ingress: &Ingress) -> String {
    let IngressPolicy { limit_rps, limit_rpm, burst_multiplier, limit_connections, .. } = ingress.policy;
    let policy = &ingress.policy;
    let id = format!("{}_{}", ingress.namespace, ingress.name);
    let seconds = |time: Option<units::Nanos>, default: u64| time.map_or(default, |time| time.get() / 1_000_000_000);
    let mut text = format!(
        "proxy_http_version 1.1; proxy_next_upstream error timeout; proxy_next_upstream_tries 3; \
         proxy_connect_timeout {}s; proxy_read_timeout {}s; proxy_send_timeout {}s; proxy_buffering {}; \
         client_max_body_size {};",
        seconds(policy.connect_timeout, 5),
        seconds(policy.read_timeout, 60),
        seconds(policy.send_timeout, 60),
        if policy.buffering == Some(true) { "on" } else { "off" },
        policy.body_size.map_or(1 << 20, units::Bytes::get),
    );
    let per_minute = |rate: Rate| (rate.milli() * 60).div_ceil(1_000);
    let limits = [
        ("rps", limit_rps.map(|rate| (rate.milli() / 1_000, "r/s"))),
        ("rpm", limit_rpm.map(|rate| (per_minute(rate), "r/m"))),
    ];
    for (kind, limit) in limits {
        let Some((rate, unit)) = limit.filter(|_| is_name(&id)) else { continue };
        let burst = rate * u64::from(burst_multiplier.max(1));
        writeln!(writer.http, "  limit_req_zone $binary_remote_addr zone={id}_{kind}:5m rate={rate}{unit};").ok();
        write!(text, " limit_req zone={id}_{kind} burst={burst} nodelay;").ok();
    }
    if let Some(most) = limit_connections.filter(|_| is_name(&id)) {
        writeln!(writer.http, "  limit_conn_zone $binary_remote_addr zone={id}_conn:5m;").ok();
        write!(text, " limit_conn {id}_conn {most};").ok();
    }
    text
}

/// The locations of one rule, or why there are none.
fn add(
    writer: &mut Writer,
    platform: &Platform,
    ingress: &Ingress,
    rule: &IngressRule,
    common: &str,
    regex: bool,
) -> Result<(), String> {
    if !(rule.host.is_empty() || is_name(&rule.host)) {
        return Err("the host is no name".to_owned());
    }
    if !rule.path.starts_with('/') || rule.path.chars().any(char::is_control) {
        return Err("the path does not begin with a slash, or holds control characters".to_owned());
    }
    let (mut body, trouble) = match backend(platform, ingress, rule) {
        Ok((service, port)) => {
            let upstream = writer.upstream(&service.name, &service.namespace, port);
            (format!("{common} proxy_pass http://{upstream};"), None)
        }
        Err(why) => ("return 503;".to_owned(), Some(format!("answers 503: {why}"))),
    };
    let path = rule.path.as_str();
    if let Some(target) = ingress.policy.rewrite_target.as_deref().filter(|to| !to.is_empty() && *to != path) {
        let rewrite = format!("rewrite {} {} break; ", quoted("", &format!("(?i){path}")), quoted("", target));
        body.insert_str(0, &rewrite);
    }
    let heads = if regex {
        Pattern::new(&format!("^{path}"), true).map_err(|why| format!("the path is no regular expression: {why}"))?;
        vec![quoted("~*", &format!("^{path}"))]
    } else {
        match rule.path_type {
            PathType::Exact => vec![quoted("=", path)],
            // By elements: the path itself, and what is below it.
            PathType::Prefix if path != "/" && !path.ends_with('/') => {
                vec![quoted("=", path), quoted("", &format!("{path}/"))]
            }
            PathType::Prefix | PathType::ImplementationSpecific => vec![quoted("", path)],
        }
    };
    let made = |head| Made { head, body: body.clone(), place: rule.place.clone() };
    let mut new = false;
    for head in heads {
        new |= writer.location(&rule.host, made(head));
    }
    match trouble {
        Some(why) => Err(why),
        None if new => Ok(()),
        None => Err("an earlier rule has the same host and path".to_owned()),
    }
}

/// The Service and port that a rule leads to, or why ingress-nginx would find no endpoint.
fn backend<'a>(platform: &'a Platform, ingress: &Ingress, rule: &IngressRule) -> Result<(&'a Service, u16), String> {
    let is = |service: &&Service| service.name == rule.service && service.namespace == ingress.namespace;
    let service = platform.services.iter().find(is).ok_or_else(|| format!("there is no Service {}", rule.service))?;
    if let ServiceKind::ExternalName(host) = &service.kind {
        return Err(format!("Service {} stands for {host}, which is not rehearsed", rule.service));
    }
    if !is_name(&service.name) || !is_name(&service.namespace) {
        return Err(format!("Service {} has no name that nginx can hold", rule.service));
    }
    let port = service.ports.iter().find(|port| match &rule.port {
        PortRef::Number(number) => port.port == *number,
        PortRef::Name(name) => port.name.as_ref() == Some(name),
    });
    let port = port.ok_or_else(|| format!("Service {} has no such port", rule.service))?.port;
    match platform.selected_by(service).next() {
        Some(_) => Ok((service, port)),
        None => Err(format!("Service {} selects no pods", rule.service)),
    }
}
