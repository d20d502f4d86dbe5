//! Which server and which location take a request.

use platform::{GatewayConfig, LocationId, LocationMatch};

/// The location for a request with this `Host` on this port; `None` if nothing listens there or nothing matches.
///
/// Servers as in `ngx_http_find_virtual_server`: the exact name, then the longest `*.suffix`, then the port's
/// default: the one marked so, or the first. Locations: `=` first, then the longest prefix. The query is no part of
/// the path.
pub fn route(config: &GatewayConfig, port: u16, host: &str, target: &str) -> Option<LocationId> {
    let host = host.split(':').next().unwrap_or(host);
    let path = target.split('?').next().unwrap_or(target);
    let listening = || config.servers.iter().enumerate().filter(|(_, server)| server.port == port);
    let exact = || listening().find(|(_, s)| s.names.iter().any(|name| name.eq_ignore_ascii_case(host)));
    let wildcard = || {
        let longest = |names: &[String]| names.iter().filter(|n| suffix_matches(n, host)).map(String::len).max();
        listening().filter_map(|(i, s)| Some((longest(&s.names)?, (i, s)))).max_by_key(|(len, _)| *len).map(|(_, s)| s)
    };
    let default = || listening().find(|(_, s)| s.default).or_else(|| listening().next());
    let (server_index, server) = exact().or_else(wildcard).or_else(default)?;
    let mut best: Option<(usize, usize)> = None; // (length, index)
    for (index, location) in server.locations.iter().enumerate() {
        match &location.matches {
            LocationMatch::Exact(exact) if exact == path => {
                best = Some((usize::MAX, index));
                break;
            }
            LocationMatch::Prefix(prefix) if path.starts_with(prefix.as_str()) => {
                if best.is_none_or(|(length, _)| prefix.len() > length) {
                    best = Some((prefix.len(), index));
                }
            }
            LocationMatch::Exact(_) | LocationMatch::Prefix(_) => {}
        }
    }
    let (_, location) = best?;
    Some(LocationId { server: server_index as u16, location: location as u16 })
}

fn suffix_matches(name: &str, host: &str) -> bool {
    name.strip_prefix('*').is_some_and(|suffix| {
        host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    })
}

/// The target that the upstream sees: with a URI in `proxy_pass`, the matched prefix is replaced by it.
pub fn rewrite(matches: &LocationMatch, uri: Option<&str>, target: &str) -> String {
    match uri {
        None => target.to_owned(),
        Some(uri) => {
            let matched = match matches {
                LocationMatch::Exact(path) | LocationMatch::Prefix(path) => path.len(),
            };
            format!("{uri}{}", target.get(matched..).unwrap_or_default())
        }
    }
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
            let got = route(&config, 80, host, path).map(|id| (id.server, id.location));
            assert_eq!(got, want, "{case}");
        }
        assert_eq!(route(&config, 81, "api.example.org", "/"), None);
    }

    #[test]
    fn a_uri_replaces_the_matched_prefix() {
        let prefix = LocationMatch::Prefix("/auth/".into());
        for (uri, target, want) in [
            (None, "/auth/token?x=1", "/auth/token?x=1"),
            (Some("/"), "/auth/token?x=1", "/token?x=1"),
            (Some("/v1/"), "/auth/", "/v1/"),
        ] {
            assert_eq!(rewrite(&prefix, uri, target), want);
        }
    }
}
