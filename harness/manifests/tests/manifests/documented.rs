//! What the platform's operators document, against what the built-in platform says.

use manifests::{Source, load, load_nodes};
use platform::{
    Action, Affinity, CountOrPercent, Effect, LimitMode, LimitUse, LocationMatch, MetricTarget, Platform, PortRef,
    ProbeAction, Resource, Strategy, Workload,
};
use units::{Bytes, Millicores, Nanos, Rate};

fn built_in() -> Platform {
    load(&Source::BuiltIn, "production").expect("the built-in platform is sound").platform
}

fn workload<'a>(platform: &'a Platform, name: &str) -> &'a Workload {
    platform.workload(platform.workload_named(name).unwrap_or_else(|| panic!("no workload {name}")))
}

#[test]
fn workloads_have_their_documented_size() {
    let platform = built_in();
    assert_eq!(platform.namespace, "selfmonitor");
    assert_eq!(platform.workloads.len(), 4);
    for (name, replicas, requests, limits) in [
        ("nginx-gateway", Some(5), "200m 256Mi", "500m 1Gi"),
        ("auth-service", Some(5), "200m 256Mi", "500m 1Gi"),
        ("user-profile-service", Some(3), "300m 512Mi", "1 2Gi"),
        ("transactions-service", None, "500m 1Gi", "1500m 3Gi"),
    ] {
        let workload = workload(&platform, name);
        let one = Some(CountOrPercent::Count(1));
        assert_eq!(workload.replicas, replicas, "{name}");
        let serving = &workload.containers[0];
        for (resources, want) in [(serving.requests, requests), (serving.limits, limits)] {
            let (cpu, memory) = want.split_once(' ').unwrap();
            assert_eq!(resources.cpu, Some(cpu.parse().unwrap()), "{name}");
            assert_eq!(resources.memory, Some(memory.parse().unwrap()), "{name}");
        }
        let Strategy::Rolling { max_unavailable, max_surge } = workload.strategy else { panic!("{name}") };
        assert_eq!((Some(max_unavailable), Some(max_surge)), (one, one), "{name}");
    }
}

#[test]
fn probes_have_their_documented_timing() {
    let platform = built_in();
    for workload in &platform.workloads {
        let (name, serving) = (&workload.name, &workload.containers[0]);
        let gateway = name == "nginx-gateway";
        let readiness = serving.readiness.as_ref().unwrap();
        let liveness = serving.liveness.as_ref().unwrap();
        for probe in [Some(readiness), Some(liveness), serving.startup.as_ref()].into_iter().flatten() {
            let ProbeAction::Http(http) = &probe.action else { panic!("{name}") };
            assert_eq!(http.path, "/health", "{name}");
            assert_eq!(serving.port(&http.port), Some(if gateway { 80 } else { 8000 }), "{name}");
        }
        let secs = Nanos::from_secs;
        assert_eq!((readiness.initial_delay, readiness.timeout), (secs(5), secs(1)), "{name}");
        assert_eq!((liveness.initial_delay, liveness.timeout), (secs(30), secs(5)), "{name}");
        // The services' periods are not documented, so they are Kubernetes' default.
        assert_eq!(readiness.period, secs(if gateway { 5 } else { 10 }), "{name}");
        let startup = serving.startup.as_ref().map(|probe| (probe.period, probe.failure_threshold));
        assert_eq!(startup, gateway.then_some((secs(5), 30)), "{name}");
        assert_eq!(serving.pre_stop, Some(secs(5)), "{name}: assumed, not documented");
    }
}

#[test]
fn services_map_port_80_to_what_the_containers_listen_on() {
    let platform = built_in();
    for (name, listens) in
        [("nginx-gateway", 80), ("auth-service", 8000), ("user-profile-service", 8000), ("transactions-service", 8000)]
    {
        let service = platform.service(platform.service_named(name).unwrap());
        let [port] = service.ports.as_slice() else { panic!("{name}") };
        assert_eq!((port.port, &port.target), (80, &PortRef::Name("http".into())), "{name}");
        assert_eq!(service.affinity, Affinity::None, "{name}");
        let behind = platform.selected_by(service).collect::<Vec<_>>();
        assert_eq!(behind, [platform.workload_named(name).unwrap()]);
        assert_eq!(workload(&platform, name).containers[0].port(&port.target), Some(listens), "{name}");
    }
    let exporter = &workload(&platform, "nginx-gateway").containers[1];
    assert_eq!(exporter.ports[0].port, 9113);
}

#[test]
fn transactions_scale_as_documented() {
    let platform = built_in();
    let [scaler] = platform.autoscalers.as_slice() else { panic!("one autoscaler") };
    assert_eq!(scaler.target, platform.workload_named("transactions-service").unwrap());
    assert_eq!((scaler.min, scaler.max), (3, 10));
    let metrics = scaler.metrics.iter().map(|metric| (metric.resource, metric.target)).collect::<Vec<_>>();
    let percent = MetricTarget::Utilization;
    assert_eq!(metrics, [(Resource::Cpu, percent(70)), (Resource::Memory, percent(80))]);
    assert_eq!(scaler.behavior, None, "the default is the absence of the key");
}

#[test]
fn the_gateway_limits_and_routes_as_documented() {
    let platform = built_in();
    let gateway = platform.gateway.as_ref().unwrap();
    let config = &gateway.config;
    assert_eq!(gateway.workload, platform.workload_named("nginx-gateway").unwrap());
    assert_eq!(gateway.service, platform.service_named("nginx-gateway").unwrap());
    let zones = config.zones.iter().map(|zone| (zone.name.as_str(), zone.rate, zone.size)).collect::<Vec<_>>();
    let ten = Bytes::from_mebi(10);
    let rate = Rate::per_second;
    assert_eq!(zones, [("api", rate(10), ten), ("auth", rate(5), ten), ("ai", rate(2), ten)]);
    assert_eq!((config.worker_connections, config.keepalive_timeout), (1024, Nanos::from_secs(65)));

    let [health, api] = config.servers.as_slice() else { panic!("two servers") };
    assert_eq!((health.port, health.default), (80, true));
    assert_eq!(
        (api.port, api.default, api.names.as_slice()),
        (80, false, ["api.selfmonitor.app".to_owned()].as_slice())
    );
    let status = health.locations.iter().find(|l| l.action == Action::StubStatus).unwrap();
    let denied = config.unplayed.iter().filter(|(text, _)| text == "deny all").count();
    assert_eq!(denied, 1, "stub_status for private ranges only, line {}", status.place.line);

    for (path, zone, burst, service) in [
        ("/auth/", "auth", 10, "auth-service"),
        ("/users/", "api", 20, "user-profile-service"),
        ("/transactions/", "api", 30, "transactions-service"),
    ] {
        let matches = LocationMatch::Prefix(path.to_owned());
        let location = api.locations.iter().find(|l| l.matches == matches).unwrap_or_else(|| panic!("no {path}"));
        let [LimitUse { zone: used, burst: allowed, mode }] = location.limits[..] else { panic!("{path}") };
        assert_eq!(config.zones[usize::from(used.0)].name, zone, "{path}");
        assert_eq!((allowed, mode), (burst, LimitMode::NoDelay), "{path}");
        assert_eq!(location.limit_status, 503, "{path}: no limit_req_status is documented");
        let secs = Nanos::from_secs;
        let timeouts = (location.connect_timeout, location.read_timeout, location.send_timeout);
        assert_eq!(timeouts, (secs(10), secs(60), secs(60)), "{path}");
        assert!(!location.headers.is_empty(), "{path}: security headers");
        let Action::Proxy { upstream, uri: None } = &location.action else { panic!("{path}") };
        let upstream = config.upstream(*upstream);
        let [server] = upstream.servers.as_slice() else { panic!("{path}: one server") };
        assert!(upstream.least_conn, "{path}");
        assert_eq!((server.host.as_str(), server.port), (service, 80), "{path}");
        assert_eq!((server.max_fails, server.fail_timeout), (3, secs(30)), "{path}");
    }
    let root = api.locations.iter().find(|l| l.matches == LocationMatch::Exact("/".into())).unwrap();
    assert!(matches!(root.action, Action::Return { status: 200, .. }));
}

/// Requests of the whole documented platform in production: pods at the autoscalers' maximum and one surge pod, CPU in
/// millicores, memory in mebibytes. PostgreSQL is on the database nodes.
const WHOLE: [(&str, u64, u64, u64); 14] = [
    ("gateway with its exporter", 5 + 1, 225, 288),
    ("auth", 5 + 1, 200, 256),
    ("user-profile", 3 + 1, 300, 512),
    ("transactions", 10 + 1, 500, 1024),
    ("analytics", 8 + 1, 500, 1024),
    ("ai-agent", 10 + 1, 1000, 2048),
    ("fraud-detection", 3 + 1, 500, 512),
    ("predictive-analytics", 2 + 1, 500, 512),
    ("documents, business-intelligence", 2 * (2 + 1), 300, 512),
    ("banking, tax, compliance, categorization, partner-registry, qna", 6 * (2 + 1), 200, 256),
    ("advice, calendar, consent, integrations", 4 * (2 + 1), 100, 128),
    ("localization", 2 + 1, 50, 64),
    ("redis", 1, 500, 2048),
    ("nothing documented: Weaviate, Prometheus, Grafana (assumed)", 1, 3000, 8192),
];

#[test]
fn one_zone_of_the_default_nodes_holds_every_autoscaler_at_its_maximum() {
    let nodes = load_nodes(None).unwrap();
    for zone in ["zone-a", "zone-b", "zone-c"] {
        let here = || nodes.iter().filter(|node| node.labels["topology.kubernetes.io/zone"] == zone);
        let (databases, general): (Vec<_>, Vec<_>) = here().partition(|node| !node.taints.is_empty());
        let [database] = databases.as_slice() else { panic!("{zone}: one database node") };
        assert_eq!(database.taints[0].effect, Effect::NoSchedule);
        assert!(database.cpu >= Millicores::from_cores(4) && database.memory >= Bytes::from_mebi(8 << 10), "{zone}");
        // First fit, largest first, as packing may leave gaps that a sum would hide.
        let mut free = general.iter().map(|n| (n.cpu.get(), n.memory.get() >> 20, n.pods)).collect::<Vec<_>>();
        let mut kinds = WHOLE;
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.2));
        for (name, pods, cpu, memory) in kinds {
            for _ in 0..pods {
                let fits = free.iter_mut().find(|node| node.0 >= cpu && node.1 >= memory && node.2 > 0);
                let node = fits.unwrap_or_else(|| panic!("{zone}: no room for {name}"));
                *node = (node.0 - cpu, node.1 - memory, node.2 - 1);
            }
        }
    }
    assert_eq!(nodes.len(), 12);
}

#[test]
fn what_is_not_played_is_listed() {
    let platform = built_in();
    let listed = platform.not_rehearsed.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>();
    assert!(listed.contains(&"Namespace/selfmonitor"), "{listed:?}");
    assert!(listed.contains(&"Deployment/auth-service spec.template.spec.affinity"), "{listed:?}");
    assert!(!listed.iter().any(|what| what.starts_with("ConfigMap/")), "the gateway's is played: {listed:?}");
}
