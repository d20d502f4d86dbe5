//! Trees of other people's making: what is modelled is right, the rest is listed.

use std::path::{Path, PathBuf};

use manifests::{Loaded, Source, load};
use platform::{PathType, PortRef, ProbeAction, ReferenceKind, Resources, ServiceKind, WorkloadKind};
use units::{Bytes, Millicores, Nanos, Rate};

fn tree(name: &str) -> Loaded {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name);
    load(&Source::Path(path), "production").unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_output_of_helm() {
    let loaded = tree("helm.yaml");
    let platform = &loaded.platform;
    assert_eq!((platform.namespace.as_str(), platform.gateway.is_none()), ("shop", true));
    let [shop, test] = platform.workloads.as_slice() else { panic!("two workloads") };
    assert_eq!((&shop.kind, &test.kind), (&WorkloadKind::Deployment, &WorkloadKind::Pod));
    let container = &shop.containers[0];
    let liveness = container.liveness.as_ref().unwrap();
    assert_eq!((&liveness.action, liveness.grace_period), (&ProbeAction::Grpc(9000), Some(Nanos::from_secs(10))));
    assert_eq!(container.readiness.as_ref().unwrap().action, ProbeAction::Tcp(PortRef::Name("grpc".into())));
    assert_eq!(container.env, [("DB_POOL".to_owned(), "20".to_owned())]);
    let security = container.security;
    assert_eq!((security.run_as_non_root, security.read_only_root), (Some(true), Some(true)));
    assert_eq!(shop.progress_deadline, Some(Nanos::from_secs(600)));
    assert!(shop.spread[0].required && shop.spread[0].honor_affinity && !shop.spread[0].honor_taints);
    let references = shop.references.iter().map(|r| (r.kind, r.name.as_str(), r.key.as_deref(), r.place.line));
    let want = [
        (ReferenceKind::Secret, "release-shop", Some("password"), 52),
        (ReferenceKind::ServiceAccount, "release-shop", None, 40),
    ];
    assert_eq!(references.collect::<Vec<_>>(), want);
    assert_eq!(test.containers[0].command, ["wget", "release-shop:443"]);
    let service = &platform.services[0];
    assert_eq!((&service.kind, service.external_local), (&ServiceKind::LoadBalancer, true));
    assert_eq!(platform.configs[0].entries["password"], "", "no value of a Secret is kept");
    let ingress = &platform.ingresses[0];
    let rule = &ingress.rules[0];
    assert_eq!(
        (rule.host.as_str(), rule.path_type, &rule.port),
        ("shop.example.com", PathType::Prefix, &PortRef::Name("grpc".into()))
    );
    let policy = &ingress.policy;
    assert_eq!((policy.limit_rpm, policy.burst_multiplier), (Some(Rate::from_milli(1_500)), 5));
    assert_eq!((policy.body_size, policy.read_timeout), (Some(Bytes::from_mebi(8)), None));
    assert_eq!(policy.cors_origins.as_deref(), Some(&["*".to_owned()][..]));
    let listed = platform.not_rehearsed.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>();
    assert_eq!(
        listed,
        [
            "Ingress/release-shop annotation nginx.ingress.kubernetes.io/server-snippet",
            "Ingress/release-shop annotation nginx.ingress.kubernetes.io/proxy-read-timeout (`soon` cannot be read, so it \
             has no effect)",
        ]
    );
}

#[test]
fn what_a_namespace_gives_to_containers_that_do_not_say() {
    let platform = tree("defaults.yaml").platform;
    let [agent, db] = platform.workloads.as_slice() else { panic!("two workloads") };
    let of = |cpu, mebi| Resources { cpu: Some(Millicores::new(cpu)), memory: Some(Bytes::from_mebi(mebi)) };
    let given = agent.containers.iter().map(|c| (c.requests, c.limits)).collect::<Vec<_>>();
    let want = [
        // The default limit of memory is its default request, too.
        (of(100, 256), of(500, 256)),
        (of(300, 256), of(300, 256)),
        (of(50, 32), of(500, 256)),
    ];
    assert_eq!(given, want);
    assert_eq!((agent.priority, agent.replicas, &agent.kind), (1_000, None, &WorkloadKind::DaemonSet));
    assert_eq!(agent.tolerations[0].seconds, Some(Nanos::from_secs(30)));
    let references = agent.references.iter().map(|r| (r.kind, r.name.as_str(), r.key.as_deref(), r.optional));
    let want = [
        (ReferenceKind::ConfigMap, "settings", Some("one"), false),
        (ReferenceKind::Secret, "token", None, true),
        (ReferenceKind::Claim, "data", None, false),
        (ReferenceKind::PriorityClass, "high", None, false),
    ];
    assert_eq!(references.collect::<Vec<_>>(), want);
    assert!(
        matches!(&db.kind, WorkloadKind::StatefulSet { service, parallel: false, partition: 0, .. } if service == "db")
    );
    let claim = &platform.claims[0];
    assert_eq!((claim.name.as_str(), claim.template_of.as_deref()), ("data", Some("db")));
    assert_eq!((claim.size, claim.place.line), (Some(Bytes::from_mebi(10 << 10)), 46));
}
