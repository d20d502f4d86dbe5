//! Autoscalers by a request rate and by a queue: `custom.metrics.k8s.io` and `external.metrics.k8s.io` as Kubernetes' own
//! controllers ask them, while load comes and goes, against our own rules.

use std::sync::Arc;

use cluster::{ClusterConfig, Monitoring};
use record::{EventKind, MetricReading};
use testing::{Need, needs};
use units::Nanos;

use crate::told::scaled;
use crate::world::{Script, Told, load, under_kubernetes, under_rules};
use crate::{settings, start};

/// Two Deployments: one is scaled by how often each of its pods answers, the other by how much waits in all of them.
fn manifests() -> String {
    let deployment = |name: &str, metric: &str| {
        format!(
            "
---
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: shop }}
spec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80, targetPort: 8000 }}] }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: shop }}
spec:
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: {name}
          image: {name}:1
          ports: [{{ containerPort: 8000 }}]
          readinessProbe: {{ httpGet: {{ path: /health, port: 8000 }}, periodSeconds: 1 }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ name: {name}, namespace: shop }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}
  minReplicas: 2
  maxReplicas: 10
  metrics: [{metric}]
  behavior:
    scaleUp: {{ stabilizationWindowSeconds: 0, policies: [{{ type: Pods, value: 4, periodSeconds: 3 }}] }}
    scaleDown: {{ stabilizationWindowSeconds: 4, policies: [{{ type: Percent, value: 50, periodSeconds: 5 }}] }}
"
        )
    };
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n".to_owned(),
        deployment(
            "asked",
            "{ type: Pods, pods: { metric: { name: http_requests_per_second }, target: { type: AverageValue, averageValue: \
             '10' } } }",
        ),
        deployment(
            "queued",
            "{ type: External, external: { metric: { name: queue_depth, selector: { matchLabels: { service: queued } } }, \
             target: { type: AverageValue, averageValue: '10' } } }",
        ),
    ]
    .concat()
}

const NODES: &str = "
apiVersion: v1
kind: Node
metadata: { name: one, labels: { kubernetes.io/hostname: one } }
status: { allocatable: { cpu: '8', memory: 32Gi, pods: '110' } }
";

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
    let loaded = load(&manifests());
    let platform = Arc::new(loaded.platform.clone());
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), NODES).unwrap();
    let nodes = manifests::load_nodes(Some(file.path())).unwrap();

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
    let mut settings = settings();
    settings.controller_flags = vec!["--horizontal-pod-autoscaler-sync-period=1s".to_owned()];
    // Half of the target, sixty times the target, a tenth of it: each step is one that only a behavior limits, however far
    // pods and samples are when a sync looks.
    let script =
        Script { acts: Vec::new(), load: vec![(Nanos::ZERO, 50), (sec(4), 6_000), (sec(14), 10)], lasts: sec(31) };
    let ours = under_rules(&platform, nodes.clone(), &config, &script);
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, &config, &script).await;
    plane.stop().await;
    for workload in ["asked", "queued"] {
        println!("{workload}: {:?}, by {:?}", scaled(&theirs, workload), read(&theirs, workload));
        for (who, told) in [("our rules", &ours), ("Kubernetes", &theirs)] {
            assert_eq!(scaled(told, workload), [2, 6, 10, 5, 2], "{workload}: {who}");
        }
    }
}
