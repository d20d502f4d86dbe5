//! The hop in front: what ingress-nginx does with a request by its Ingress objects and their annotations.
//!
//! Sources: ingress-nginx `internal/ingress/controller` and its `nginx.tmpl` (1.11): servers by host, locations by
//! path; the redirect to TLS is 308; `limit-rps` and `limit-rpm` become a `limit_req` whose burst is the rate times
//! `limit-burst-multiplier` (5), `nodelay`, answered 503; `limit-connections` a `limit_conn`. The rules of the zones
//! themselves are the gateway's own: [`config`] writes the annotations as an nginx configuration.

use platform::{
    Action, Balance, ConnUse, ConnZone, ConnZoneId, GatewayConfig, Ingress, IngressRule, LimitKey, LimitMode, LimitUse,
    LimitZone, Location, LocationMatch, Part, PathType, Pattern, PortRef, RewriteFlag, RewriteStep, Server, Template,
    Upstream, UpstreamId, UpstreamServer, Variable, ZoneId,
};
use units::{Bytes, Nanos};

/// Memory of each zone that an annotation makes.
const ZONE: Bytes = Bytes::from_mebi(5);
/// The controller's own timeouts, s: connect, read and send.
const TIMEOUTS: [u64; 3] = [5, 60, 60];

/// What the controller answers a preflight with, and the headers it adds for an origin; `None`: CORS is off or the
/// origin is not allowed.
pub fn cors(ingress: &Ingress, origin: &str) -> Option<String> {
    let origins = ingress.policy.cors_origins.as_ref()?;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some("*".to_owned());
    }
    let fits = |allowed: &&String| match allowed.split_once("://*.") {
        // `https://*.example.org` is any one below, and not the name itself.
        Some((scheme, rest)) => {
            let host = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            host.and_then(|host| host.strip_suffix(rest)?.strip_suffix('.')).is_some_and(|label| !label.is_empty())
        }
        None => allowed.eq_ignore_ascii_case(origin),
    };
    origins.iter().find(fits).map(|_| origin.to_owned())
}

/// Defaults of what a preflight is told (`docs/user-guide/nginx-configuration/annotations.md`, CORS).
const PREFLIGHT: [(&str, &str); 3] = [
    ("access-control-allow-methods", "GET, PUT, POST, DELETE, PATCH, OPTIONS"),
    (
        "access-control-allow-headers",
        "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    ),
    ("access-control-max-age", "1728000"),
];

/// The headers that an answer to this origin gets; none where the origin is not allowed.
pub fn cors_headers(ingress: &Ingress, origin: &str, preflight: bool) -> Vec<(&'static str, String)> {
    if origin.is_empty() {
        return Vec::new();
    }
    let Some(allowed) = cors(ingress, origin) else { return Vec::new() };
    let pairs = [("access-control-allow-origin", allowed), ("access-control-allow-credentials", "true".to_owned())];
    let more = PREFLIGHT.into_iter().filter(|_| preflight).map(|(name, value)| (name, value.to_owned()));
    pairs.into_iter().chain(more).collect()
}

/// Whether a preflight (`OPTIONS`) is answered at the ingress with 204: it is for every host with CORS on.
pub fn preflight(ingress: &Ingress, method: &str) -> Option<u16> {
    (method == "OPTIONS" && ingress.policy.cors_origins.is_some()).then_some(204)
}

/// The configuration that a controller makes of these Ingresses, with plain HTTP on port 80 and TLS on 443. The
/// upstreams are the Services, each as one server: the controller spreads over endpoints by itself.
pub fn config(ingresses: &[&Ingress]) -> GatewayConfig {
    let mut config = GatewayConfig { worker_connections: 16_384, ..GatewayConfig::default() };
    let mut hosts: Vec<&str> = Vec::new();
    for rule in ingresses.iter().flat_map(|ingress| &ingress.rules) {
        if !hosts.contains(&rule.host.as_str()) {
            hosts.push(&rule.host);
        }
    }
    for host in hosts {
        let of_host =
            || ingresses.iter().flat_map(|i| i.rules.iter().map(move |r| (*i, r))).filter(|(_, r)| r.host == host);
        // A rewrite target with a group, or use-regex, turns the whole host to regular expressions.
        let regex = of_host().any(|(ingress, _)| {
            let policy = &ingress.policy;
            policy.use_regex || policy.rewrite_target.as_deref().is_some_and(|target| target.contains('$'))
        });
        let mut rules: Vec<_> = of_host().collect();
        // Longer paths first, as the controller sorts them; exact before prefix.
        rules.sort_by_key(|(_, rule)| (std::cmp::Reverse(rule.path.len()), rule.path_type != PathType::Exact));
        let mut plain = Vec::new();
        let mut secure = Vec::new();
        let mut tls = false;
        for (ingress, rule) in rules {
            let has_tls = ingress.tls.iter().any(|(tls_host, _)| tls_host == host);
            tls |= has_tls;
            let upstream = upstream(&mut config, ingress, rule);
            let location = location(&mut config, ingress, upstream);
            for matches in matches(rule, regex) {
                let made = Location { matches, ..location.clone() };
                let redirects = ingress.policy.ssl_redirect.unwrap_or(has_tls);
                let mut first = made.clone();
                if redirects {
                    first.rewrites.insert(0, to_tls());
                }
                plain.push(first);
                secure.push(made);
            }
        }
        // `hsts`, on by default, for a year (`hsts-max-age` of the controller's ConfigMap).
        for location in &mut secure {
            location
                .headers
                .push(("Strict-Transport-Security".to_owned(), "max-age=31536000; includeSubDomains".to_owned()));
        }
        let names = if host.is_empty() { vec!["_".to_owned()] } else { vec![host.to_ascii_lowercase()] };
        let server = Server { port: 80, default: host.is_empty(), names, locations: plain, ..Server::default() };
        if tls {
            config.servers.push(Server { port: 443, tls: true, locations: secure, ..server.clone() });
        }
        config.servers.push(server);
    }
    // Who asks for no known host gets 404 from the default backend.
    for port in [80, 443] {
        if !config.servers.iter().any(|server| server.port == port && server.default) {
            let action = Action::Return { status: 404, body: "default backend - 404".to_owned() };
            let locations = vec![Location { action, ..Location::default() }];
            let (default, tls, names) = (true, port == 443, vec!["_".to_owned()]);
            config.servers.push(Server { port, default, tls, names, locations, ..Server::default() });
        }
    }
    config
}

fn to_tls() -> RewriteStep {
    let variable = |variable| Part::Variable(variable);
    let parts = vec![Part::Text("https://".to_owned()), variable(Variable::Host), variable(Variable::RequestUri)];
    RewriteStep::Return { status: 308, text: Template { text: "https://$host$request_uri".to_owned(), parts } }
}

/// The locations of one path. A `Prefix` counts whole elements: `/a` takes `/a` and `/a/b`, not `/ab`.
fn matches(rule: &IngressRule, regex: bool) -> Vec<LocationMatch> {
    let path = if rule.path.is_empty() { "/" } else { &rule.path };
    let by_regex = regex && (rule.path_type == PathType::ImplementationSpecific || rule.path_type == PathType::Prefix);
    if by_regex && let Ok(pattern) = Pattern::new(&format!("^{path}"), true) {
        return vec![LocationMatch::Regex(pattern)];
    }
    match rule.path_type {
        PathType::Exact => vec![LocationMatch::Exact(path.to_owned())],
        PathType::Prefix if path != "/" => {
            let path = path.trim_end_matches('/');
            vec![LocationMatch::Prefix(format!("{path}/")), LocationMatch::Exact(path.to_owned())]
        }
        PathType::Prefix | PathType::ImplementationSpecific => vec![LocationMatch::Prefix(path.to_owned())],
    }
}

fn upstream(config: &mut GatewayConfig, ingress: &Ingress, rule: &IngressRule) -> UpstreamId {
    let port = match &rule.port {
        PortRef::Number(number) => number.to_string(),
        PortRef::Name(name) => name.clone(),
    };
    let name = format!("{}-{}-{port}", ingress.namespace, rule.service);
    let index = config.upstreams.iter().position(|upstream| upstream.name == name).unwrap_or_else(|| {
        let hash = |key: &String| {
            let parts = match key.as_str() {
                "$binary_remote_addr" | "$remote_addr" => vec![Part::Variable(Variable::RemoteAddr)],
                "$request_uri" => vec![Part::Variable(Variable::RequestUri)],
                "$host" => vec![Part::Variable(Variable::Host)],
                _ => vec![Part::Variable(Variable::Unknown(key.clone()))],
            };
            Balance::Hash { key: Template { text: key.clone(), parts }, consistent: true }
        };
        let server = UpstreamServer {
            // With its namespace: an Ingress leads to Services of its own.
            host: if ingress.namespace.is_empty() {
                rule.service.clone()
            } else {
                format!("{}.{}", rule.service, ingress.namespace)
            },
            port: port.parse().unwrap_or(80),
            ..UpstreamServer::default()
        };
        let balance = ingress.policy.hash_by.as_ref().map_or_else(Balance::default, hash);
        let place = rule.place.clone();
        config.upstreams.push(Upstream { name, servers: vec![server], balance, place, ..Upstream::default() });
        config.upstreams.len() - 1
    });
    UpstreamId(index as u16)
}

/// What the annotations put in force.
fn location(config: &mut GatewayConfig, ingress: &Ingress, upstream: UpstreamId) -> Location {
    let policy = &ingress.policy;
    let [connect, read, send] = TIMEOUTS.map(Nanos::from_secs);
    let mut location = Location {
        action: Action::Proxy { upstream, uri: None },
        connect_timeout: policy.connect_timeout.unwrap_or(connect),
        read_timeout: policy.read_timeout.unwrap_or(read),
        send_timeout: policy.send_timeout.unwrap_or(send),
        buffering: policy.buffering.unwrap_or(false),
        max_body: policy.body_size.unwrap_or(Bytes::from_mebi(1)),
        http11: true,
        set_headers: forwarded(),
        place: ingress.place.clone(),
        ..Location::default()
    };
    let multiplier = if policy.burst_multiplier == 0 { 5 } else { policy.burst_multiplier };
    for (suffix, rate, each) in [("rps", policy.limit_rps, 1), ("rpm", policy.limit_rpm, 60)] {
        let Some(rate) = rate else { continue };
        let name = format!("{}_{}_{suffix}", ingress.namespace, ingress.name);
        let index = config.zones.iter().position(|zone| zone.name == name).unwrap_or_else(|| {
            let place = ingress.place.clone();
            config.zones.push(LimitZone { name, key: LimitKey::Peer, rate, size: ZONE, place });
            config.zones.len() - 1
        });
        // The burst is that of the number as written: 5 for a minute's 60 is 300.
        let written = (rate.milli() * each).div_ceil(1_000) as u32;
        let burst = written.saturating_mul(multiplier);
        location.limits.push(LimitUse { zone: ZoneId(index as u16), burst, mode: LimitMode::NoDelay });
    }
    if let Some(most) = policy.limit_connections.filter(|most| *most > 0) {
        let name = format!("{}_{}_conn", ingress.namespace, ingress.name);
        let index = config.conn_zones.iter().position(|zone| zone.name == name).unwrap_or_else(|| {
            config.conn_zones.push(ConnZone { name, key: LimitKey::Peer, size: ZONE, place: ingress.place.clone() });
            config.conn_zones.len() - 1
        });
        location.conn_limits.push(ConnUse { zone: ConnZoneId(index as u16), most });
    }
    if let Some(target) = &policy.rewrite_target {
        location.rewrites.extend(rewrites(ingress, target));
    }
    location
}

/// What the controller tells the peer of the request: its own template's `proxy_set_header`s. A client's own
/// `X-Forwarded-For` is not believed.
fn forwarded() -> Vec<(String, Template)> {
    let variable = |name: &str, text: &str, variable| {
        (name.to_owned(), Template { text: text.to_owned(), parts: vec![Part::Variable(variable)] })
    };
    vec![
        variable("Host", "$http_host", Variable::Header("host".to_owned())),
        variable("X-Real-IP", "$remote_addr", Variable::RemoteAddr),
        variable("X-Forwarded-For", "$remote_addr", Variable::RemoteAddr),
        variable("X-Forwarded-Host", "$http_host", Variable::Header("host".to_owned())),
        variable("X-Forwarded-Port", "$server_port", Variable::ServerPort),
        variable("X-Forwarded-Proto", "$scheme", Variable::Scheme),
        variable("X-Scheme", "$scheme", Variable::Scheme),
        variable("X-Original-Forwarded-For", "$http_x_forwarded_for", Variable::Header("x-forwarded-for".to_owned())),
    ]
}

/// `rewrite "(?i)PATH" TARGET break`, one for each path: only the one that takes the request fits at its location.
fn rewrites(ingress: &Ingress, target: &str) -> Vec<RewriteStep> {
    let mut parts = Vec::new();
    let mut rest = target;
    while let Some(at) = rest.find('$') {
        parts.push(Part::Text(rest[..at].to_owned()));
        rest = &rest[at + 1..];
        if let Some(group) = rest.chars().next().and_then(|c| c.to_digit(10)) {
            parts.push(Part::Variable(Variable::Group(group as u8)));
            rest = &rest[1..];
        }
    }
    parts.push(Part::Text(rest.to_owned()));
    let replacement = Template { text: target.to_owned(), parts };
    let mut paths: Vec<_> = ingress.rules.iter().map(|rule| rule.path.as_str()).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
    let step = |path: &str| {
        let pattern = Pattern::new(path, true).ok()?;
        Some(RewriteStep::Rewrite { pattern, replacement: replacement.clone(), then: RewriteFlag::Break })
    };
    paths.into_iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Routed, resolve};
    use platform::IngressPolicy;
    use units::Rate;

    fn ingress(paths: &[(&str, PathType)], policy: IngressPolicy) -> Ingress {
        let rule = |(path, path_type): &(&str, PathType)| IngressRule {
            host: "api.test".into(),
            path: (*path).into(),
            path_type: *path_type,
            service: "web".into(),
            port: PortRef::Number(80),
            place: platform::Place::default(),
        };
        Ingress {
            name: "api".into(),
            namespace: "shop".into(),
            rules: paths.iter().map(rule).collect(),
            tls: vec![("api.test".into(), None)],
            policy,
            ..Ingress::default()
        }
    }

    #[test]
    fn paths_hosts_and_tls() {
        let one = ingress(&[("/a", PathType::Prefix), ("/b", PathType::Exact)], IngressPolicy::default());
        let config = config(&[&one]);
        for (case, port, host, target, want) in [
            ("plain is sent to TLS", 80, "api.test", "/a/x", 308),
            ("a prefix by elements", 443, "api.test", "/a/x", 200),
            ("itself", 443, "api.test", "/a", 200),
            ("not half an element", 443, "api.test", "/ab", 404),
            ("exact", 443, "api.test", "/b", 200),
            ("and nothing below", 443, "api.test", "/b/", 404),
            ("another host", 443, "other.test", "/a", 404),
        ] {
            let status = match resolve(&config, &Request::new(port, host, target)).routed {
                Routed::To(id) => match &config.location(id).action {
                    Action::Return { status, .. } => *status,
                    _ => 200,
                },
                Routed::Answer { status, .. } => status,
                Routed::Nothing => 404,
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!(status, want, "{case}");
        }
    }

    #[test]
    fn a_rewrite_target_takes_its_groups() {
        let policy = IngressPolicy { rewrite_target: Some("/$2".into()), ..IngressPolicy::default() };
        let one = ingress(&[("/api(/|$)(.*)", PathType::ImplementationSpecific)], policy);
        let config = config(&[&one]);
        let request = Request::new(443, "api.test", "/api/users?x=1");
        assert_eq!(resolve(&config, &request).upstream_target(&config, &request), "/users?x=1");
    }

    #[test]
    fn limits_have_five_times_their_rate_as_burst() {
        let policy = IngressPolicy {
            limit_rps: Some(Rate::per_second(10)),
            limit_rpm: Some("30/m".parse().unwrap()),
            limit_connections: Some(7),
            ..IngressPolicy::default()
        };
        let config = config(&[&ingress(&[("/", PathType::Prefix)], policy)]);
        let location = &config.servers[0].locations[0];
        let bursts: Vec<_> = location.limits.iter().map(|limit| limit.burst).collect();
        assert_eq!((bursts, location.limit_status, location.conn_limits[0].most), (vec![50, 150], 503, 7));
    }

    #[test]
    fn origins_are_allowed_by_name() {
        let policy = IngressPolicy {
            cors_origins: Some(vec!["https://app.test".into(), "https://*.web.test".into()]),
            ..IngressPolicy::default()
        };
        let one = ingress(&[("/", PathType::Prefix)], policy);
        for (origin, want) in [
            ("https://app.test", true),
            ("https://a.web.test", true),
            ("https://web.test", false),
            ("http://app.test", false),
        ] {
            assert_eq!(cors(&one, origin).is_some(), want, "{origin}");
        }
        assert_eq!((preflight(&one, "OPTIONS"), preflight(&one, "GET")), (Some(204), None));
    }
}
