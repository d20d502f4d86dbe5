//! The ways in that are made up, asked as nginx would be.

use platform::{Action, LimitMode, Platform};

use super::{WayIn, serves_http, way_in};

const APP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: shop}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
        - {name: app, image: 'app:1', ports: [{name: main, containerPort: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: shop}
spec:
  selector: {app: app}
  ports: [{name: web, port: 80, targetPort: main}]
";

fn ingress(annotations: &str, host: &str, path: &str, path_type: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: shop\n  namespace: shop\n  \
         annotations: {{{annotations}}}\nspec:\n  rules:\n    - host: \"{host}\"\n      http:\n        paths:\n          \
         - {{path: '{path}', pathType: {path_type}, backend: {{service: {{name: app, port: {{name: web}}}}}}}}\n"
    )
}

fn stood_in(text: &str) -> (Platform, WayIn) {
    let mut platform = crate::read(text, "shop.yaml").unwrap();
    let made = way_in(&mut platform).unwrap().expect("there is something to lead to");
    (platform, made)
}

/// What answers a path: the location as written, or nothing.
fn location(platform: &Platform, host: &str, path: &str) -> String {
    let config = &platform.gateway.as_ref().unwrap().config;
    let server = config.servers.iter().find(|server| server.names.iter().any(|name| name == host));
    let server = server.unwrap_or(&config.servers[0]);
    let fits = |l: &&platform::Location| match &l.matches {
        platform::LocationMatch::Exact(exact) => exact == path,
        platform::LocationMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
        platform::LocationMatch::Regex(pattern) => pattern.is_match(path.as_bytes()),
        _ => false,
    };
    let found = server.locations.iter().filter(fits).max_by_key(|l| l.matches.path().map_or(usize::MAX, str::len));
    found.map(|l| l.matches.to_string()).unwrap_or_default()
}

#[test]
fn rules_become_locations_as_ingress_nginx_writes_them() {
    let rewrite = "nginx.ingress.kubernetes.io/rewrite-target: /$2";
    for (case, annotations, path, path_type, asked, want) in [
        ("exact", "", "/a", "Exact", "/a", "= /a"),
        ("not below it", "", "/a", "Exact", "/a/b", ""),
        ("a prefix is the path itself", "", "/a", "Prefix", "/a", "= /a"),
        ("and what is below it", "", "/a", "Prefix", "/a/b", "/a/"),
        ("by elements", "", "/a", "Prefix", "/ab", ""),
        ("with its slash", "", "/a/", "Prefix", "/a/b", "/a/"),
        ("the root", "", "/", "Prefix", "/x", "/"),
        ("left to the controller: any prefix", "", "/a", "ImplementationSpecific", "/ab", "/a"),
        (
            "a rewrite makes it an expression",
            rewrite,
            "/a(/|$)(.*)",
            "ImplementationSpecific",
            "/A/b",
            "~* ^/a(/|$)(.*)",
        ),
    ] {
        let (platform, made) = stood_in(&format!("{APP}{}", ingress(annotations, "shop.example", path, path_type)));
        assert_eq!(location(&platform, "shop.example", asked), want, "{case}");
        assert!(made.left_out.is_empty(), "{case}: {:?}", made.left_out);
        assert!(made.how.contains("1 Ingress as ingress-nginx would be"), "{case}: {}", made.how);
        let gateway = platform.gateway.as_ref().unwrap();
        assert_eq!(platform.workload(gateway.workload).name, "ingress-nginx-controller", "{case}");
        assert_eq!(platform.workload(gateway.workload).place, platform.ingresses[0].place, "{case}");
        assert_eq!(gateway.config.unplayed, vec![], "{case}");
        let upstream = &gateway.config.upstreams[0].servers[0];
        let service = platform.service_named(&upstream.host).unwrap();
        assert_eq!((platform.service(service).name.as_str(), upstream.port), ("app", 80), "{case}");
        let places = gateway.config.servers[1].locations.iter().map(|l| l.place.line).collect::<Vec<_>>();
        assert!(places.iter().all(|line| *line > 20), "{case}: {places:?}");
    }
}

#[test]
fn annotations_become_limits_and_timeouts() {
    let annotations = "nginx.ingress.kubernetes.io/limit-rps: '10', nginx.ingress.kubernetes.io/limit-rpm: '100', \
         nginx.ingress.kubernetes.io/limit-connections: '7', nginx.ingress.kubernetes.io/proxy-body-size: 8m, \
         nginx.ingress.kubernetes.io/proxy-read-timeout: '90', nginx.ingress.kubernetes.io/limit-burst-multiplier: '3'";
    let (platform, _) = stood_in(&format!("{APP}{}", ingress(annotations, "shop.example", "/", "Prefix")));
    let config = &platform.gateway.as_ref().unwrap().config;
    let location = &config.servers[1].locations[0];
    let limits: Vec<_> = location.limits.iter().map(|limit| (limit.burst, limit.mode)).collect();
    assert_eq!(limits, [(30, LimitMode::NoDelay), (300, LimitMode::NoDelay)]);
    assert_eq!(config.zones.iter().map(|zone| zone.rate.milli()).collect::<Vec<_>>(), [10_000, 1_666]);
    assert!(config.zones.iter().all(|zone| zone.place == platform.ingresses[0].place));
    assert_eq!((location.limit_status, location.conn_limits[0].most), (503, 7));
    assert_eq!((location.read_timeout.to_string(), location.max_body.get()), ("1m30s".to_owned(), 8 << 20));
    assert_eq!((location.connect_timeout.to_string(), location.buffering), ("5s".to_owned(), false));
}

#[test]
fn what_leads_nowhere_is_told() {
    let whole = ingress("", "shop.example", "/", "Prefix");
    for (case, text, want) in [
        ("no Service", whole.replace("name: app, port", "name: ap, port"), "answers 503: there is no Service ap"),
        ("no port", whole.replace("{name: web}", "{number: 81}"), "answers 503: Service app has no such port"),
        ("no slash", whole.replace("path: '/'", "path: 'a'"), "does not begin with a slash"),
        ("twice", format!("{whole}{}", whole.replace("name: shop\n", "name: other\n")), "an earlier rule"),
        (
            "no expression",
            ingress("nginx.ingress.kubernetes.io/use-regex: 'true'", "shop.example", "/(", "ImplementationSpecific"),
            "no regular expression",
        ),
        ("a canary", ingress("nginx.ingress.kubernetes.io/canary: 'true'", "a.example", "/", "Prefix"), "a canary"),
    ] {
        let (platform, made) = stood_in(&format!("{APP}{text}"));
        let told: Vec<_> = made.left_out.iter().map(|(what, _)| what.as_str()).collect();
        assert!(told.len() == 1 && told[0].contains(want), "{case}: {told:?}");
        assert!(platform.not_rehearsed.iter().any(|(what, _)| what.contains(want)), "{case}");
    }
}

#[test]
fn without_an_ingress_services_are_the_way_in() {
    let (platform, made) = stood_in(APP);
    assert_eq!(location(&platform, "", "/app/x"), "/app/");
    assert!(made.how.contains("the one Service that speaks HTTP"), "{}", made.how);
    let config = &platform.gateway.as_ref().unwrap().config;
    let Action::Proxy { uri, .. } = &config.servers[0].locations[0].action else { panic!("{config:?}") };
    assert_eq!(uri.as_deref(), Some("/"));
}

#[test]
fn a_manifest_tells_who_speaks_http() {
    for (case, from, to, want) in [
        ("named so", "", "", true),
        ("another name", "name: web", "name: grpc", false),
        ("figures for Prometheus", "name: web", "name: http-metrics", false),
        ("another number", "name: web", "name: x", true),
        ("a database's number", "containerPort: 9000", "containerPort: 5432", true),
        ("without a name", "name: web, port: 80", "port: 5432", true),
        ("over UDP", "name: web, port: 80", "name: web, protocol: UDP, port: 80", false),
        ("to a port that is not there", "targetPort: main", "targetPort: other", false),
    ] {
        let platform = crate::read(&APP.replace(from, to), "shop.yaml").unwrap();
        assert_eq!(serves_http(&platform, platform::WorkloadId(0)), want, "{case}");
    }
}

#[test]
fn a_platform_that_has_a_gateway_is_left_alone() {
    let loaded = crate::load(&crate::Source::BuiltIn, "production").unwrap();
    let mut platform = loaded.platform.clone();
    assert_eq!(way_in(&mut platform).unwrap(), None);
    assert_eq!(platform, loaded.platform);
}

#[test]
fn nothing_to_lead_to_is_no_way_in() {
    let text = APP.replace("name: web", "name: grpc");
    let mut platform = crate::read(&text, "shop.yaml").unwrap();
    assert_eq!(way_in(&mut platform).unwrap(), None);
    assert_eq!(platform.gateway, None);
}
