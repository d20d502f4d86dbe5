//! Every field of an autoscaler's behavior, a grid of rollouts, and what becomes of pods whose nodes are emptied, lost or
//! full: under our rules and under Kubernetes' own control plane. Cases are chosen so that what is decided does not hang on
//! a second more or less; what does is compared as a bound.

mod placing;
mod rollouts;
mod scaling;

use std::sync::Arc;

use cluster::ClusterConfig;
use platform::{Platform, WorkloadId};
use tokio::sync::OnceCell;
use units::Nanos;

use crate::world::{Script, Told, load, under_kubernetes, under_rules};
use crate::{settings, start};

/// A Deployment in the namespace `shop`, by what differs: of its specification, and of its pods'.
fn deployment(name: &str, spec: &str, pods: &str, cpu: &str) -> String {
    format!(
        "
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: shop }}
spec:
  selector: {{ matchLabels: {{ app: {name} }} }}
  {spec}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 2
      {pods}
      containers:
        - name: {name}
          image: {name}:1
          ports: [{{ containerPort: 8000 }}]
          resources: {{ requests: {{ cpu: {cpu}, memory: 8Mi }} }}
          readinessProbe: {{ httpGet: {{ path: /health, port: 8000 }}, periodSeconds: 1 }}
"
    )
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n";

fn node(name: &str, labels: &str, taint: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Node
metadata: {{ name: {name}, labels: {{ kubernetes.io/hostname: {name}, {labels} }} }}
spec: {{ taints: [{taint}] }}
status: {{ allocatable: {{ cpu: '8', memory: 32Gi, pods: '110' }} }}
"
    )
}

fn id(platform: &Platform, name: &str) -> WorkloadId {
    platform.workload_named(name).unwrap()
}

/// Keeps pods of the grid on nodes of their own, so that they are in nobody's way.
const OWN_NODES: &str = "nodeSelector: { pool: grid }\n      tolerations: [{ key: only, operator: Exists }]";

/// All parts in one script, under our rules and under Kubernetes: three control planes would take three times as long.
async fn played() -> (&'static Told, &'static Told) {
    static PLAYED: OnceCell<(Told, Told)> = OnceCell::const_new();
    let (ours, theirs) = PLAYED.get_or_init(play).await;
    (ours, theirs)
}

async fn play() -> (Told, Told) {
    let sec = Nanos::from_secs;
    let manifests = [NAMESPACE, &scaling::manifests(), &rollouts::manifests(), &placing::manifests()].concat();
    let grid = |name| node(name, "pool: grid", "{ key: only, value: grid, effect: NoSchedule }");
    let nodes = [placing::nodes(), grid("grid-1"), grid("grid-2")].concat();
    let config = ClusterConfig {
        hpa_sync: sec(1),
        downscale_stabilization: sec(6),
        cpu_initialization: sec(2),
        initial_readiness_delay: sec(1),
        metrics_resolution: sec(3),
        monitoring: None,
        ..ClusterConfig::default()
    };
    let mut settings = settings();
    settings.controller_flags = [
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=6s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=2s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        "--concurrent-horizontal-pod-autoscaler-syncs=15",
    ]
    .map(str::to_owned)
    .to_vec();
    let loaded = load(&manifests);
    let platform = Arc::new(loaded.platform.clone());
    let nodes = manifests::nodes_of(&nodes, "nodes").unwrap();
    let acts = rollouts::acts(&platform).into_iter().chain(placing::acts(&platform)).collect();
    let script = Script { acts, load: scaling::load(), lasts: sec(102) };
    let ours = under_rules(&platform, nodes.clone(), &config, &script);
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, &config, &script).await;
    plane.stop().await;
    (ours, theirs)
}
