//! The same manifests and the same script under our rules and under Kubernetes' own control plane: what is decided has
//! to be the same. The oracle compares thousands of cases with the controllers alone; here everything plays together,
//! API server, scheduler and metrics API included.

use std::sync::Arc;

use cluster::{Action, ClusterConfig, Flaw};
use platform::{Platform, WorkloadId};
use record::{EventKind, NodeState};
use testing::{Need, needs};
use units::Nanos;

use crate::told::{evicted, finished, rolled, scaled};
use crate::world::{Script, Told, load, under_kubernetes, under_rules};
use crate::{settings, start};

/// Deployments that differ in how they replace their pods, an autoscaled one, and one under a budget.
fn manifests() -> String {
    let deployment = |name: &str, replicas: &str, strategy: &str| {
        // One on each node, so that a drain meets one.
        let apart = "affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: \
                     kubernetes.io/hostname, labelSelector: { matchLabels: { app: guarded } } }] } }";
        let apart = if name == "guarded" { apart } else { "" };
        format!(
            "
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: shop }}
spec:
  {replicas}
  selector: {{ matchLabels: {{ app: {name} }} }}
  strategy: {strategy}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 5
      {apart}
      containers:
        - name: {name}
          image: {name}:1
          ports: [{{ containerPort: 8000 }}]
          resources: {{ requests: {{ cpu: 100m, memory: 64Mi }} }}
          readinessProbe: {{ httpGet: {{ path: /health, port: 8000 }}, periodSeconds: 1 }}
"
        )
    };
    let rolling = |surge: &str, unavailable: &str| {
        format!("{{ type: RollingUpdate, rollingUpdate: {{ maxSurge: {surge}, maxUnavailable: {unavailable} }} }}")
    };
    [
        "
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Service
metadata: { name: scaled, namespace: shop }
spec: { selector: { app: scaled }, ports: [{ port: 80, targetPort: 8000 }] }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: scaled, namespace: shop }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: scaled }
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: 70 } }
  behavior:
    scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Pods, value: 4, periodSeconds: 15 }] }
    scaleDown: { stabilizationWindowSeconds: 6, policies: [{ type: Percent, value: 50, periodSeconds: 10 }] }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: guarded, namespace: shop }
spec: { minAvailable: 3, selector: { matchLabels: { app: guarded } } }
"
        .to_owned(),
        deployment("scaled", "replicas: 2", &rolling("25%", "25%")),
        deployment("surging", "replicas: 4", &rolling("1", "0")),
        deployment("leaving", "replicas: 4", &rolling("0", "1")),
        deployment("anew", "replicas: 3", "{ type: Recreate }"),
        deployment("broken", "replicas: 4", &rolling("25%", "25%")),
        deployment("guarded", "replicas: 3", &rolling("25%", "25%")),
    ]
    .concat()
}

const NODES: &str = "
apiVersion: v1
kind: Node
metadata: { name: one, labels: { kubernetes.io/hostname: one } }
status: { allocatable: { cpu: '8', memory: 32Gi, pods: '110' } }
---
apiVersion: v1
kind: Node
metadata: { name: two, labels: { kubernetes.io/hostname: two } }
status: { allocatable: { cpu: '8', memory: 32Gi, pods: '110' } }
---
apiVersion: v1
kind: Node
metadata: { name: three, labels: { kubernetes.io/hostname: three } }
status: { allocatable: { cpu: '8', memory: 32Gi, pods: '110' } }
";

fn refused(told: &Told) -> Option<(u16, Option<String>)> {
    told.iter().find_map(|(_, event)| match event {
        EventKind::EvictionRefused { status, budget, .. } => Some((*status, budget.clone())),
        _ => None,
    })
}

fn id(platform: &Platform, name: &str) -> WorkloadId {
    platform.workload_named(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_kubernetes_decide_alike() {
    if !needs("rules_and_kubernetes_decide_alike", Need::ControlPlane) {
        return;
    }
    let loaded = load(&manifests());
    let platform = Arc::new(loaded.platform.clone());
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), NODES).unwrap();
    let nodes = manifests::load_nodes(Some(file.path())).unwrap();

    let sec = Nanos::from_secs;
    let config = ClusterConfig {
        hpa_sync: sec(1),
        downscale_stabilization: sec(6),
        cpu_initialization: sec(2),
        initial_readiness_delay: sec(1),
        metrics_resolution: sec(3),
        ..ClusterConfig::default()
    };
    let mut settings = settings();
    settings.controller_flags = [
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=6s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=2s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
    ]
    .map(str::to_owned)
    .to_vec();
    let roll = |name: &str, flaw| Action::Rollout { workload: id(&platform, name), flaw };
    let script = Script {
        acts: vec![
            (sec(1), roll("surging", Flaw::None)),
            (sec(1), roll("leaving", Flaw::None)),
            (sec(1), roll("anew", Flaw::None)),
            (sec(1), roll("broken", Flaw::ImagePull)),
            (sec(20), Action::Rollback(id(&platform, "broken"))),
            // When nothing else goes on: pods that start count as busy for who would scale down.
            (sec(76), Action::Drain(1)),
        ],
        load: vec![(Nanos::ZERO, 50), (sec(4), 200), (sec(40), 10)],
        lasts: sec(84),
    };
    let ours = under_rules(&platform, nodes.clone(), &config, &script);
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, &config, &script).await;
    plane.stop().await;

    let mut differing = Vec::new();
    let mut both = |what: &str, of: &dyn Fn(&Told) -> String, want: &str| {
        println!("{what}: {}", of(&theirs));
        let (ours, theirs) = (of(&ours), of(&theirs));
        if ours != want || theirs != want {
            differing.push(format!("{what}, expected {want}\n  our rules  {ours}\n  Kubernetes {theirs}"));
        }
    };
    both(
        "four pods at a time up, half of them down",
        &|told| format!("{:?}", scaled(told, "scaled")),
        "[2, 6, 10, 5, 2]",
    );
    let rolled = |of: &'static str| move |told: &Told| format!("{:?} {}", rolled(told, of), finished(told, of));
    both(
        "one more, none less",
        &rolled("surging"),
        "[(0, 1), (1, 3), (0, 2), (1, 2), (0, 3), (1, 1), (0, 4), (1, 0)] true",
    );
    both(
        "none more, one less",
        &rolled("leaving"),
        "[(0, 3), (1, 1), (0, 2), (1, 2), (0, 1), (1, 3), (0, 0), (1, 4)] true",
    );
    both("all go first", &rolled("anew"), "[(0, 0), (1, 3)] true");
    both("a refused eviction", &|told| format!("{:?}", refused(told)), "Some((429, Some(\"guarded\")))");
    let drained = |told: &Told| {
        let done =
            |(_, event): &(Nanos, EventKind)| matches!(event, EventKind::NodeChanged { state: NodeState::Drained, .. });
        format!("{} {}", evicted(told, "guarded-"), told.iter().any(done))
    };
    both("a drain that a budget stops", &drained, "0 false");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
