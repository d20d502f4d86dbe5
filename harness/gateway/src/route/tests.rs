use super::*;
use platform::{Action, Location, Server};

fn location(matches: LocationMatch) -> Location {
    let action = Action::Return { status: 200, body: String::new() };
    Location { matches, action, ..Location::default() }
}

fn server(names: &[&str], default: bool, paths: &[&str]) -> Server {
    let path = |p: &&str| match p.strip_prefix("= ") {
        Some(exact) => location(LocationMatch::Exact(exact.into())),
        None => location(LocationMatch::Prefix((*p).into())),
    };
    let names = names.iter().map(|n| (*n).into()).collect();
    Server { port: 80, default, names, locations: paths.iter().map(path).collect(), ..Server::default() }
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
        ("a name is no suffix", "wapi.example.com", "/health", Some((0, 0))),
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
