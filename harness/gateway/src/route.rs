//! Which server and which location take a request.

use platform::{Action, GatewayConfig, Location, LocationId, LocationMatch, Server};

use crate::path;

/// What takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// This location.
    To(LocationId),
    /// The path lacks only the last slash of this proxied location: 301 to the path with the slash.
    Redirect(LocationId),
    /// Nothing listens there, or no location matches: 404.
    Nothing,
    /// The host or the path is none: 400.
    Malformed,
}

/// What takes a request with this `Host` on this port; an empty host is a request without one.
///
/// Servers as in `ngx_http_find_virtual_server`: the exact name, then the longest `*.suffix`, then the port's
/// default: the one marked so, or the first. Locations as in `ngx_http_core_find_static_location`: `=` first, then the
/// longest prefix, compared with the decoded path without its query.
pub fn route(config: &GatewayConfig, port: u16, host: &str, target: &str) -> Routed {
    // nginx reads the target before it reads the host, and refuses both alike.
    let (Some(target), Some(host)) = (path::parse(target), host_name(host)) else { return Routed::Malformed };
    let Some((server_index, server)) = server(config, port, host) else { return Routed::Nothing };
    let id = |index: usize| LocationId { server: server_index as u16, location: index as u16 };
    let locations = || server.locations.iter().enumerate();
    let path = target.path.as_slice();
    let exact = |l: &Location| matches!(&l.matches, LocationMatch::Exact(exact) if exact.as_bytes() == path);
    if let Some((index, _)) = locations().find(|(_, l)| exact(l)) {
        return Routed::To(id(index));
    }
    let length = |l: &Location| match &l.matches {
        LocationMatch::Prefix(prefix) if path.starts_with(prefix.as_bytes()) => Some(prefix.len()),
        LocationMatch::Prefix(_) | LocationMatch::Exact(_) => None,
    };
    let longest = locations().filter_map(|(index, l)| Some((length(l)?, index))).max_by_key(|(length, _)| *length);
    // A shorter prefix loses against the redirect, one as long as the path wins.
    if longest.is_none_or(|(length, _)| length < path.len())
        && let Some((index, _)) = locations().find(|(_, l)| lacks_slash(l, path))
    {
        return Routed::Redirect(id(index));
    }
    longest.map_or(Routed::Nothing, |(_, index)| Routed::To(id(index)))
}

/// `auto_redirect`, which `proxy_pass` sets for a location whose name ends with a slash.
fn lacks_slash(location: &Location, path: &[u8]) -> bool {
    let (LocationMatch::Exact(name) | LocationMatch::Prefix(name)) = &location.matches;
    matches!(location.action, Action::Proxy { .. }) && name.as_bytes().strip_suffix(b"/") == Some(path)
}

/// The name in a `Host` header, as `ngx_http_validate_host` leaves it: without the port and one last dot.
fn host_name(host: &str) -> Option<&str> {
    if host.is_empty() {
        return Some(host);
    }
    if host.contains("..") || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'/') {
        return None;
    }
    let end = match host.strip_prefix('[').and_then(|literal| literal.find(']')) {
        Some(at) => at + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    Some(name.strip_suffix('.').unwrap_or(name)).filter(|name| !name.is_empty())
}

fn server<'a>(config: &'a GatewayConfig, port: u16, host: &str) -> Option<(usize, &'a Server)> {
    let listening = || config.servers.iter().enumerate().filter(|(_, server)| server.port == port);
    let exact = || listening().find(|(_, s)| s.names.iter().any(|name| name.eq_ignore_ascii_case(host)));
    let wildcard = || {
        let longest = |names: &[String]| names.iter().filter(|n| suffix_matches(n, host)).map(String::len).max();
        listening().filter_map(|(i, s)| Some((longest(&s.names)?, (i, s)))).max_by_key(|(len, _)| *len).map(|(_, s)| s)
    };
    let default = || listening().find(|(_, s)| s.default).or_else(|| listening().next());
    exact().or_else(wildcard).or_else(default)
}

fn suffix_matches(name: &str, host: &str) -> bool {
    name.strip_prefix('*').is_some_and(|suffix| {
        // `.example.org` itself matches, odd as it is.
        let at = host.len().checked_sub(suffix.len());
        at.is_some_and(|at| host.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes()))
    })
}

/// The target that the upstream sees: with a URI in `proxy_pass`, it replaces the matched prefix of the decoded path,
/// and the rest is escaped again if the client had escaped anything (`ngx_http_proxy_create_request`). Without one,
/// the client's own bytes.
pub fn rewrite(matches: &LocationMatch, uri: Option<&str>, target: &str) -> String {
    let (Some(uri), Some(parsed)) = (uri, path::parse(target)) else { return target.to_owned() };
    let (LocationMatch::Exact(name) | LocationMatch::Prefix(name)) = matches;
    let rest = parsed.path.get(name.len()..).unwrap_or_default();
    let rest = if parsed.quoted { path::escape(rest) } else { String::from_utf8_lossy(rest).into_owned() };
    let mark = if parsed.query.is_empty() { "" } else { "?" };
    format!("{uri}{rest}{mark}{}", parsed.query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{Action, Location, Place, Server};
    use units::{Bytes, Nanos};

    fn location(matches: LocationMatch) -> Location {
        Location {
            matches,
            limits: vec![],
            limit_status: 503,
            action: Action::Return { status: 200, body: String::new() },
            connect_timeout: Nanos::from_secs(60),
            read_timeout: Nanos::from_secs(60),
            send_timeout: Nanos::from_secs(60),
            buffering: true,
            max_body: Bytes::from_mebi(1),
            headers: vec![],
            place: Place::default(),
        }
    }

    fn server(names: &[&str], default: bool, paths: &[&str]) -> Server {
        let path = |p: &&str| match p.strip_prefix("= ") {
            Some(exact) => location(LocationMatch::Exact(exact.into())),
            None => location(LocationMatch::Prefix((*p).into())),
        };
        Server {
            port: 80,
            default,
            names: names.iter().map(|n| (*n).into()).collect(),
            locations: paths.iter().map(path).collect(),
            place: Place::default(),
        }
    }

    #[test]
    fn chooses_as_nginx_does() {
        let config = GatewayConfig {
            servers: vec![
                server(&["health.local"], false, &["/health"]),
                server(&["api.example.org"], false, &["/", "= /", "/auth/", "/auth/admin/"]),
                server(&["*.example.org"], false, &["/wild"]),
            ],
            ..GatewayConfig::default()
        };
        for (case, host, path, want) in [
            ("exact name, exact path", "api.example.org", "/", Some((1, 1))),
            ("host is case-blind and its port is no part of it", "API.example.org:80", "/auth/x", Some((1, 2))),
            ("the longest prefix wins", "api.example.org", "/auth/admin/1?q=/", Some((1, 3))),
            ("a shorter prefix takes the rest", "api.example.org", "/other", Some((1, 0))),
            ("the query does not match", "api.example.org", "/?x=/auth/", Some((1, 1))),
            ("wildcard", "web.example.org", "/wild/1", Some((2, 0))),
            ("an unknown host gets the first server", "10.0.0.1", "/health", Some((0, 0))),
            ("which may have no location for it", "10.0.0.1", "/auth/", None),
        ] {
            let got = match route(&config, 80, host, path) {
                Routed::To(id) => Some((id.server, id.location)),
                _ => None,
            };
            assert_eq!(got, want, "{case}");
        }
        assert_eq!(route(&config, 81, "api.example.org", "/"), Routed::Nothing);
    }

    #[test]
    fn a_proxied_location_redirects_to_its_slash() {
        let mut with = server(&["a"], false, &["/", "/auth/", "/own", "/own/"]);
        let proxy = Action::Proxy { upstream: platform::UpstreamId(0), uri: None };
        with.locations[1].action = proxy.clone();
        with.locations[3].action = proxy;
        let config = GatewayConfig { servers: vec![with], ..GatewayConfig::default() };
        let id = |location| LocationId { server: 0, location };
        for (case, target, want) in [
            ("the slash is missing", "/auth?x=1", Routed::Redirect(id(1))),
            ("it is there", "/auth/", Routed::To(id(1))),
            ("a location of that very name", "/own", Routed::To(id(2))),
            ("more than the slash is missing", "/aut", Routed::To(id(0))),
            ("above the root", "/..", Routed::Malformed),
        ] {
            assert_eq!(route(&config, 80, "a", target), want, "{case}");
        }
        for (case, host, want) in [
            ("without a host", "", Routed::To(id(0))),
            ("a last dot is no part of the name", "a.:80", Routed::To(id(0))),
            ("two dots are no host", "a..b", Routed::Malformed),
            ("a port alone is no host", ":80", Routed::Malformed),
        ] {
            assert_eq!(route(&config, 80, host, "/"), want, "{case}");
        }
    }

    #[test]
    fn a_uri_replaces_the_matched_prefix() {
        let prefix = LocationMatch::Prefix("/auth/".into());
        for (uri, target, want) in [
            (None, "/auth/token?x=1", "/auth/token?x=1"),
            (Some("/"), "/auth/token?x=1", "/token?x=1"),
            (Some("/v1/"), "/auth/", "/v1/"),
            (Some("/"), "/auth//a/../b%20c?", "/b%20c"),
        ] {
            assert_eq!(rewrite(&prefix, uri, target), want);
        }
    }
}
