//! What the platform's operators document, against what the built-in platform says.

use manifests::{Source, load, load_nodes};
use platform::{
    Action, Affinity, CountOrPercent, Effect, LimitMode, LimitUse, LocationMatch, MetricSource, MetricTarget, Platform,
    PortRef, ProbeAction, Strategy, Workload,
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
    for (name, replicas, requests, limits) in [
        ("nginx-gateway", Some(5), "200m 256Mi", "500m 1Gi"),
        ("auth-service", Some(5), "200m 256Mi", "500m 1Gi"),
        ("user-profile-service", Some(3), "300m 512Mi", "1 2Gi"),
        ("transactions-service", None, "500m 1Gi", "1500m 3Gi"),
        ("analytics-service", None, "500m 1Gi", "2 4Gi"),
        ("ai-agent-service", None, "1 2Gi", "4 8Gi"),
        ("fraud-detection-service", Some(3), "500m 512Mi", "2 2Gi"),
        ("predictive-analytics-service", Some(2), "500m 512Mi", "2 2Gi"),
        ("documents-service", Some(2), "300m 512Mi", "1 2Gi"),
        ("business-intelligence-service", Some(2), "300m 512Mi", "1 2Gi"),
        ("banking-connector", Some(2), "200m 256Mi", "500m 1Gi"),
        ("tax-engine", Some(2), "200m 256Mi", "500m 1Gi"),
        ("compliance-service", Some(2), "200m 256Mi", "500m 1Gi"),
        ("categorization-service", Some(2), "200m 256Mi", "500m 1Gi"),
        ("partner-registry", Some(2), "200m 256Mi", "500m 1Gi"),
        ("qna-service", Some(2), "200m 256Mi", "500m 1Gi"),
        ("advice-service", Some(2), "100m 128Mi", "300m 512Mi"),
        ("calendar-service", Some(2), "100m 128Mi", "300m 512Mi"),
        ("consent-service", Some(2), "100m 128Mi", "300m 512Mi"),
        ("integrations-service", Some(2), "100m 128Mi", "300m 512Mi"),
        ("localization-service", Some(2), "50m 64Mi", "200m 256Mi"),
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
    let named = ["nginx-gateway", "auth-service", "user-profile-service", "transactions-service", "qna-service"];
    for workload in named.map(|name| workload(&platform, name)) {
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
    let exporter = workload(&platform, "nginx-gateway").running().find(|c| c.name.contains("exporter"));
    assert_eq!(exporter.expect("an exporter beside nginx").ports[0].port, 9113);
}

#[test]
fn transactions_scale_as_documented() {
    let platform = built_in();
    let scaler = platform.autoscalers.iter().find(|scaler| scaler.name == "transactions-service").unwrap();
    assert_eq!(scaler.target, platform.workload_named("transactions-service"));
    assert_eq!((scaler.min, scaler.max), (3, 10));
    let metrics = scaler.metrics.iter().map(|metric| (metric.source.clone(), metric.target)).collect::<Vec<_>>();
    let percent = MetricTarget::Utilization;
    let resource = |name: &str| MetricSource::Resource { resource: name.to_owned() };
    assert_eq!(metrics, [(resource("cpu"), percent(70)), (resource("memory"), percent(80))]);
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
        (80, false, ["api", "api.staging", "api.dev"].map(|host| format!("{host}.selfmonitor.app")).as_slice())
    );
    let status = health.locations.iter().find(|l| l.action == Action::StubStatus).unwrap();
    let last = status.access.last().expect("stub_status for private ranges only");
    assert!(!last.allow && status.access.len() > 1, "all others are denied, line {}", status.place.line);

    for (path, zone, burst, service) in [
        ("/auth/", "auth", 10, "auth-service"),
        ("/users/", "api", 20, "user-profile-service"),
        ("/transactions/", "api", 30, "transactions-service"),
        ("/analytics/", "api", 15, "analytics-service"),
        ("/advice/", "api", 20, "advice-service"),
        ("/banking/", "api", 10, "banking-connector"),
        ("/tax/", "api", 15, "tax-engine"),
        ("/compliance/", "api", 10, "compliance-service"),
        ("/categorization/", "api", 25, "categorization-service"),
        ("/qna/", "api", 10, "qna-service"),
        ("/calendar/", "api", 20, "calendar-service"),
        ("/localization/", "api", 30, "localization-service"),
        ("/partners/", "api", 10, "partner-registry"),
        ("/integrations/", "api", 15, "integrations-service"),
        ("/consent/", "api", 10, "consent-service"),
        ("/bi/", "api", 10, "business-intelligence-service"),
        ("/fraud/", "api", 5, "fraud-detection-service"),
        ("/predict/", "api", 10, "predictive-analytics-service"),
        ("/documents/", "api", 20, "documents-service"),
        ("/ai/", "ai", 5, "ai-agent-service"),
        ("/ai/chat/stream", "ai", 2, "ai-agent-service"),
    ] {
        let matches = LocationMatch::Prefix(path.to_owned());
        let location = api.locations.iter().find(|l| l.matches == matches).unwrap_or_else(|| panic!("no {path}"));
        let [LimitUse { zone: used, burst: allowed, mode }] = location.limits[..] else { panic!("{path}") };
        assert_eq!(config.zones[usize::from(used.0)].name, zone, "{path}");
        assert_eq!((allowed, mode), (burst, LimitMode::NoDelay), "{path}");
        assert_eq!(location.limit_status, 503, "{path}: no limit_req_status is documented");
        let secs = Nanos::from_secs;
        let timeouts = (location.connect_timeout, location.read_timeout, location.send_timeout);
        let read = if path.starts_with("/ai/") { 300 } else { 60 };
        assert_eq!(timeouts, (secs(10), secs(read), secs(60)), "{path}");
        assert!(!location.headers.is_empty(), "{path}: security headers");
        let Action::Proxy { upstream, uri: None } = &location.action else { panic!("{path}") };
        let upstream = config.upstream(*upstream);
        let [server] = upstream.servers.as_slice() else { panic!("{path}: one server") };
        assert_eq!(upstream.balance, platform::Balance::LeastConn, "{path}");
        assert_eq!((server.host.as_str(), server.port), (service, 80), "{path}");
        assert_eq!((server.max_fails, server.fail_timeout), (3, secs(30)), "{path}");
    }
    let root = api.locations.iter().find(|l| l.matches == LocationMatch::Exact("/".into())).unwrap();
    assert!(matches!(root.action, Action::Return { status: 200, .. }));
}

/// Pods that run at once at most, CPU in millicores and memory in mebibytes of each: autoscalers at their maximum, and one
/// surge pod of each Deployment. PostgreSQL has nodes of its own.
fn whole(platform: &Platform) -> Vec<(&str, u32, u64, u64)> {
    let general = platform.workloads.iter().filter(|w| w.kind.is_service() && !w.name.starts_with("postgres"));
    general
        .map(|workload| {
            let scaler = platform.autoscalers.iter().find(|s| s.target == platform.workload_named(&workload.name));
            let surge = u32::from(matches!(workload.strategy, Strategy::Rolling { .. }));
            let pods = scaler.map_or(workload.replicas.unwrap_or(1), |scaler| scaler.max) + surge;
            let cpu = workload.running().filter_map(|c| c.requests.cpu).map(Millicores::get).sum();
            let memory = workload.running().filter_map(|c| c.requests.memory).map(|memory| memory.get() >> 20).sum();
            (workload.name.as_str(), pods, cpu, memory)
        })
        .collect()
}

#[test]
fn one_zone_of_the_default_nodes_holds_every_autoscaler_at_its_maximum() {
    let nodes = load_nodes(None).unwrap();
    let platform = built_in();
    let mut kinds = whole(&platform);
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.2));
    for zone in ["zone-a", "zone-b", "zone-c"] {
        let here = || nodes.iter().filter(|node| node.labels["topology.kubernetes.io/zone"] == zone);
        let (databases, general): (Vec<_>, Vec<_>) = here().partition(|node| !node.taints.is_empty());
        let [database] = databases.as_slice() else { panic!("{zone}: one database node") };
        assert_eq!(database.taints[0].effect, Effect::NoSchedule);
        assert!(database.cpu >= Millicores::from_cores(4) && database.memory >= Bytes::from_mebi(8 << 10), "{zone}");
        // First fit, largest first, as packing may leave gaps that a sum would hide.
        let mut free = general.iter().map(|n| (n.cpu.get(), n.memory.get() >> 20, n.pods)).collect::<Vec<_>>();
        for &(name, pods, cpu, memory) in &kinds {
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
    for modelled in ["ConfigMap/", "Namespace/", "Service/", "PodDisruptionBudget/", "NetworkPolicy/"] {
        assert!(!listed.iter().any(|what| what.starts_with(modelled)), "{modelled} is modelled: {listed:?}");
    }
}
