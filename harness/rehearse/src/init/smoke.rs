//! A smoke scenario over every way through a gateway.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gateway::Routed;
use platform::{Action, Gateway, Location, LocationId, LocationMatch, Place, Platform, Server};
use units::Rate;

/// Steps of one journey: whoever is not served leaves, and so takes few others along.
const STEPS_MAX: usize = 10;
/// Requests per second that a Service gets: a fifth of what a pod's CPU request is taken to be meant for.
const PER_SERVICE: usize = 5;
/// Requests per second in all, so that thirty seconds decide an objective.
const IN_ALL: usize = 10;

/// A request that leads through the gateway to a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) host: String,
    pub(super) path: String,
    /// Host of the upstream behind it.
    pub(super) service: String,
}

/// What the gateway's locations lead to.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) all: Vec<Route>,
    /// What has no step, and why.
    pub(super) left_out: Vec<String>,
}

/// A GET for every location that passes requests on; `port` is where the gateway's pods listen.
pub(super) fn routes(platform: &Platform, gateway: &Gateway, port: u16) -> Routes {
    let mut routes = Routes::default();
    for (index, server) in gateway.config.servers.iter().enumerate().filter(|(_, server)| server.port == port) {
        let host = host(platform, gateway, server);
        for (at, location) in server.locations.iter().enumerate() {
            let id = LocationId { server: index as u16, location: at as u16 };
            let told = |why: &str| format!("{host} location {} ({why})", location.matches);
            let made_up = location.place == Place::default();
            if made_up || location.internal || is_twin(server, location) {
                continue;
            }
            if matches!(location.matches, LocationMatch::Named(_)) {
                continue;
            }
            let Action::Proxy { upstream, .. } = &location.action else {
                routes.left_out.push(told("the gateway answers it by itself"));
                continue;
            };
            let lands = |path: &String| gateway::route(&gateway.config, port, &host, path) == Routed::To(id);
            let Some(path) = samples(&location.matches).into_iter().find(lands) else {
                routes.left_out.push(told(if matches!(location.matches, LocationMatch::Regex(_)) {
                    "no path is known that this expression takes: add a step by hand"
                } else {
                    "another location or server takes its paths"
                }));
                continue;
            };
            let service = gateway.config.upstream(*upstream).servers.first().map(|server| server.host.clone());
            let route = Route { host: host.clone(), path, service: service.unwrap_or_default() };
            if !routes.all.contains(&route) {
                routes.all.push(route);
            }
        }
    }
    routes.left_out.dedup();
    routes
}

/// A host that a server answers: its own name, or one of an Ingress before it.
fn host(platform: &Platform, gateway: &Gateway, server: &Server) -> String {
    if let Some(name) = server.names.iter().find(|name| !name.contains('*') && name.as_str() != "_" && !name.is_empty())
    {
        return name.trim_start_matches('.').to_owned();
    }
    if let Some(name) = server.names.iter().find(|name| name.contains('*')) {
        return name.replace("*.", "www.").replace(".*", ".example");
    }
    let front = &platform.service(gateway.service).name;
    let rules = platform.ingresses.iter().flat_map(|ingress| &ingress.rules);
    let mut hosts = rules.filter(|rule| rule.service == *front && !rule.host.is_empty() && !rule.host.contains('*'));
    hosts.next().map_or_else(|| "localhost".to_owned(), |rule| rule.host.clone())
}

/// The second location of one Ingress rule: `/a/` beside `= /a`.
fn is_twin(server: &Server, location: &Location) -> bool {
    let LocationMatch::Prefix(prefix) = &location.matches else { return false };
    let base = LocationMatch::Exact(prefix.trim_end_matches('/').to_owned());
    server
        .locations
        .iter()
        .any(|other| other.matches == base && other.action == location.action && other.place == location.place)
}

/// Paths that a location may take, the plainest first.
fn samples(matches: &LocationMatch) -> Vec<String> {
    match matches {
        LocationMatch::Exact(path) => vec![path.clone()],
        LocationMatch::Prefix(path) | LocationMatch::PrefixFirst(path) => {
            vec![path.clone(), format!("{path}/"), format!("{path}rehearsal")]
        }
        LocationMatch::Regex(pattern) => {
            let literal = literal(pattern.text());
            vec![literal.clone(), format!("{literal}/"), format!("{literal}rehearsal"), format!("{literal}1")]
        }
        LocationMatch::Named(_) => Vec::new(),
    }
}

/// What an expression begins with for certain.
fn literal(expression: &str) -> String {
    let mut text = String::new();
    let mut rest = expression.trim_start_matches('^').chars().peekable();
    while let Some(c) = rest.next() {
        let (c, plain) = match c {
            '\\' => match rest.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => (escaped, true),
                _ => break,
            },
            c => (c, !"[](){}*+?.|^$".contains(c)),
        };
        if !plain || rest.peek().is_some_and(|next| "*?{".contains(*next)) {
            break;
        }
        text.push(c);
    }
    text
}

/// The scenario's text, and the line of each route's step.
pub(super) fn scenario(routes: &[Route]) -> (String, Vec<usize>) {
    let host = routes.first().map_or("localhost", |route| route.host.as_str());
    let mut text = format!(
        "# One GET for every route that leads to a service. Written by `rehearse init`: rates are assumed, and real\n\
         # journeys (methods, payloads, order) know more than a list of routes.\n\
         apiVersion: rehearse/v1\n\
         kind: Scenario\n\
         metadata:\n  name: smoke\n  question: Does every route lead to a service that answers in time?\n\
         spec:\n  host: {}\n  timeout: 10s\n  phases:\n\
         \x20   - {{name: warm-up, kind: warm-up, duration: 10s}}\n\
         \x20   - {{name: steady, kind: steady, duration: 150s}}\n  journeys:\n",
        quoted(host)
    );
    let mut services: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        services.entry(&route.service).or_default().push(index);
    }
    let mut line = text.lines().count();
    let mut lines = vec![0; routes.len()];
    let mut load = String::new();
    let wanted = PER_SERVICE.max(IN_ALL.div_ceil(services.len().max(1)));
    for (service, of) in &services {
        // So many sessions that all routes of the service together get what is wanted.
        let rate = Rate::from_milli((wanted * 1_000 / of.len()).max(1) as u64);
        for (number, steps) in of.chunks(STEPS_MAX).enumerate() {
            let name = if number == 0 { (*service).to_owned() } else { format!("{service} {}", number + 1) };
            let name = quoted(&name);
            writeln!(text, "    {name}:\n      flow: core\n      steps:").ok();
            line += 3;
            for &index in steps {
                let Route { host: own, path, .. } = &routes[index];
                let mut step =
                    format!("name: {}, request: {}", quoted(&format!("{own}{path}")), quoted(&format!("GET {path}")));
                if own != host {
                    write!(step, ", host: {}", quoted(own)).ok();
                }
                writeln!(text, "        - {{{step}}}").ok();
                line += 1;
                lines[index] = line;
            }
            writeln!(
                load,
                "    - {{journey: {name}, arrivals: even, clients: 100, rate: {{warm-up: {rate}, steady: {rate}}}}}"
            )
            .ok();
        }
    }
    text += "  load:\n";
    text += &load;
    (text, lines)
}

/// JSON's quotes are YAML's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_begins_with_what_is_literal() {
        for (expression, want) in [
            ("^/api/v1/", "/api/v1/"),
            ("^/a(/|$)(.*)", "/a"),
            (r"^/a\.json$", "/a.json"),
            ("^/ab?c", "/a"),
            (r"\.php$", ".php"),
            (r"^/id/\d+", "/id/"),
            ("^/(a|b)", "/"),
        ] {
            assert_eq!(literal(expression), want, "{expression}");
        }
    }

    #[test]
    fn every_route_has_a_step_where_it_is_said_to_be() {
        let route =
            |host: &str, path: String, service: &str| Route { host: host.into(), path, service: service.into() };
        let mut routes: Vec<Route> = (0..12).map(|n| route("a.example", format!("/{n}"), "one")).collect();
        routes.push(route("b.example", "/".into(), "two"));
        let (text, lines) = scenario(&routes);
        for (route, line) in routes.iter().zip(&lines) {
            let step = text.lines().nth(line - 1).unwrap();
            assert!(step.contains(&format!("request: \"GET {}\"", route.path)), "{step}");
            assert_eq!(step.contains("host: \"b.example\""), route.host == "b.example", "{step}");
        }
        let parsed = scenarios::Scenario::parse(&text, "smoke.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(parsed.load(units::Seed::new(1)).steps.len(), 13);
        assert!(text.contains("\"one 2\"") && text.contains("warm-up: 5/s"), "{text}");
    }
}
