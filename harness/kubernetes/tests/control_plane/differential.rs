//! The same manifests and the same script under our rules and under Kubernetes' own control plane: what is decided has
//! to be the same. The oracle compares thousands of cases with the controllers alone; here everything plays together,
//! API server, scheduler and metrics API included.

use cluster::{Action, ClusterConfig, Flaw};
use platform::{Platform, WorkloadId};
use record::{EventKind, NodeState};
use testing::{Need, needs};
use units::Nanos;

use crate::shop::{self, CPU, NAMESPACE, budget, deployment, node, rolling};
use crate::told::{Compared, evicted, finished, rolled, scaled};
use crate::world::{Script, Told, both};

/// Deployments that differ in how they replace their pods, an autoscaled one, and one under a budget.
fn manifests() -> String {
    let one = |name: &str, replicas: u32, strategy: &str| {
        // One on each node, so that a drain meets one.
        let apart = "affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: \
                     kubernetes.io/hostname, labelSelector: { matchLabels: { app: guarded } } }] } }";
        let apart = if name == "guarded" { apart } else { "" };
        deployment(name, &format!("replicas: {replicas}\n  {strategy}"), apart, "cpu: 100m, memory: 64Mi")
    };
    let behavior = "scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 4, periodSeconds: 15 }] }, \
                    scaleDown: { stabilizationWindowSeconds: 6, policies: [{ type: Percent, value: 50, periodSeconds: 10 }] }";
    [
        NAMESPACE.to_owned(),
        shop::scaled("scaled", 10, CPU, behavior),
        budget("guarded", "minAvailable: 3"),
        one("scaled", 2, &rolling("25%", "25%")),
        one("surging", 4, &rolling("1", "0")),
        one("leaving", 4, &rolling("0", "1")),
        one("anew", 3, "strategy: { type: Recreate }"),
        one("broken", 4, &rolling("25%", "25%")),
        one("guarded", 3, &rolling("25%", "25%")),
    ]
    .concat()
}

fn refused(told: &Told) -> Option<(u16, Option<String>)> {
    told.iter().find_map(|(_, event)| match event {
        EventKind::EvictionRefused { status, budget, .. } => Some((*status, budget.clone())),
        _ => None,
    })
}

fn script(platform: &Platform) -> Script {
    let sec = Nanos::from_secs;
    let id = |name: &str| -> WorkloadId { platform.workload_named(name).unwrap() };
    let roll = |name: &str, flaw| Action::Rollout { workload: id(name), flaw };
    Script {
        acts: vec![
            (sec(1), roll("surging", Flaw::None)),
            (sec(1), roll("leaving", Flaw::None)),
            (sec(1), roll("anew", Flaw::None)),
            (sec(1), roll("broken", Flaw::ImagePull)),
            (sec(20), Action::Rollback(id("broken"))),
            // When nothing else goes on: pods that start count as busy for who would scale down.
            (sec(76), Action::Drain(1)),
        ],
        load: vec![(Nanos::ZERO, 50), (sec(4), 200), (sec(40), 10)],
        lasts: sec(84),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_kubernetes_decide_alike() {
    if !needs("rules_and_kubernetes_decide_alike", Need::ControlPlane) {
        return;
    }
    let sec = Nanos::from_secs;
    let config = ClusterConfig {
        hpa_sync: sec(1),
        downscale_stabilization: sec(6),
        cpu_initialization: sec(2),
        initial_readiness_delay: sec(1),
        metrics_resolution: sec(3),
        ..ClusterConfig::default()
    };
    let nodes = ["one", "two", "three"].map(|name| node(name, "pool: all", "")).concat();
    let (ours, theirs) = both(&manifests(), &nodes, &config, script).await;

    let mut compared = Compared::default();
    let mut hold = |what: &str, of: &dyn Fn(&Told) -> String, want: &str| {
        compared.both(what, (&ours, &theirs), of, want);
    };
    hold(
        "four pods at a time up, half of them down",
        &|told| format!("{:?}", scaled(told, "scaled")),
        "[2, 6, 10, 5, 2]",
    );
    let rolled = |of: &'static str| move |told: &Told| format!("{:?} {}", rolled(told, of), finished(told, of));
    hold(
        "one more, none less",
        &rolled("surging"),
        "[(0, 1), (1, 3), (0, 2), (1, 2), (0, 3), (1, 1), (0, 4), (1, 0)] true",
    );
    hold(
        "none more, one less",
        &rolled("leaving"),
        "[(0, 3), (1, 1), (0, 2), (1, 2), (0, 1), (1, 3), (0, 0), (1, 4)] true",
    );
    hold("all go first", &rolled("anew"), "[(0, 0), (1, 3)] true");
    hold("a refused eviction", &|told| format!("{:?}", refused(told)), "Some((429, Some(\"guarded\")))");
    let drained = |told: &Told| {
        let done =
            |(_, event): &(Nanos, EventKind)| matches!(event, EventKind::NodeChanged { state: NodeState::Drained, .. });
        format!("{} {}", evicted(told, "guarded-"), told.iter().any(done))
    };
    hold("a drain that a budget stops", &drained, "0 false");
    compared.end();
}
