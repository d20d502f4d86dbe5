//! Autoscalers by a request rate and by a queue: `custom.metrics.k8s.io` and `external.metrics.k8s.io` as Kubernetes' own
//! controllers ask them, while load comes and goes, against our own rules.

use cluster::{ClusterConfig, Monitoring};
use record::{EventKind, MetricReading};
use testing::{Need, needs};
use units::Nanos;

use crate::shop::{self, NAMESPACE, deployment, node};
use crate::told::scaled;
use crate::world::{Script, Told, both};

/// Two Deployments: one is scaled by how often each of its pods answers, the other by how much waits in all of them.
fn manifests() -> String {
    let behavior = "scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 4, periodSeconds: 3 }] }, \
                    scaleDown: { stabilizationWindowSeconds: 4, policies: [{ type: Percent, value: 50, periodSeconds: 5 }] }";
    let one = |name: &str, metric: &str| deployment(name, "", "", "") + &shop::scaled(name, 10, metric, behavior);
    [
        NAMESPACE.to_owned(),
        one(
            "asked",
            "{ type: Pods, pods: { metric: { name: http_requests_per_second }, target: { type: AverageValue, averageValue: \
             '10' } } }",
        ),
        one(
            "queued",
            "{ type: External, external: { metric: { name: queue_depth, selector: { matchLabels: { service: queued } } }, \
             target: { type: AverageValue, averageValue: '10' } } }",
        ),
    ]
    .concat()
}

/// What it read at a decision to have the most.
fn read(told: &Told, of: &str) -> Vec<MetricReading> {
    let most = told.iter().find_map(|(_, event)| match event {
        EventKind::Scaling(decision) if decision.workload == of && decision.desired == 10 => Some(&decision.metrics),
        _ => None,
    });
    most.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_and_queues_scale_as_our_rules_say() {
    if !needs("rates_and_queues_scale_as_our_rules_say", Need::ControlPlane) {
        return;
    }
    let sec = Nanos::from_secs;
    // Ranges of three to four scrapes: one that is late leaves a rate. Nobody asks for CPU, so that only Prometheus' scrapes
    // decide when a change of the load is seen.
    let monitoring = Monitoring { interval: sec(1), rate_over: sec(4), rule_over: sec(4), ..Monitoring::default() };
    let config = ClusterConfig {
        hpa_sync: sec(1),
        metrics_resolution: sec(600),
        monitoring: Some(monitoring),
        ..ClusterConfig::default()
    };
    // Half of the target, sixty times the target, a tenth of it: each step is one that only a behavior limits, however far
    // pods and samples are when a sync looks.
    let script =
        Script { acts: Vec::new(), load: vec![(Nanos::ZERO, 50), (sec(4), 6_000), (sec(14), 10)], lasts: sec(31) };
    let (ours, theirs) = both(&manifests(), &node("one", "pool: all", ""), &config, |_| script).await;
    for workload in ["asked", "queued"] {
        println!("{workload}: {:?}, by {:?}", scaled(&theirs, workload), read(&theirs, workload));
        for (who, told) in [("our rules", &ours), ("Kubernetes", &theirs)] {
            assert_eq!(scaled(told, workload), [2, 6, 10, 5, 2], "{workload}: {who}");
        }
    }
}
