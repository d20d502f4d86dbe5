//! Every field of an autoscaler's behavior, a grid of rollouts, and what becomes of pods whose nodes are emptied, lost or
//! full: under our rules and under Kubernetes' own control plane. Cases are chosen so that what is decided does not hang on
//! a second more or less; what does is compared as a bound.

mod placing;
mod rollouts;
mod scaling;

use std::sync::Arc;

use cluster::ClusterConfig;
use platform::{Platform, WorkloadId};

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

/// Plays a script under both. `script` is made when the platform is known.
async fn both(
    manifests: &str,
    nodes: &str,
    config: &ClusterConfig,
    flags: &[&str],
    script: impl Fn(&Platform) -> Script,
) -> (Told, Told) {
    let loaded = load(manifests);
    let platform = Arc::new(loaded.platform.clone());
    let nodes = manifests::nodes_of(nodes, "nodes").unwrap();
    let script = script(&platform);
    let ours = under_rules(&platform, nodes.clone(), config, &script);
    let mut settings = settings();
    settings.controller_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, config, &script).await;
    plane.stop().await;
    (ours, theirs)
}
