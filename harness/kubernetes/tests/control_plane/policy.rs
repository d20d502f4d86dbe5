//! An autoscaler that somebody edits and a quota that somebody sets, in the middle of it all: under our rules and under
//! Kubernetes' own control plane.

use std::sync::Arc;

use cluster::{Action, AutoscalerEdit, ClusterConfig};
use platform::{Place, Quota, Resources};
use record::EventKind;
use testing::{Need, needs};
use units::Nanos;

use crate::world::{Script, Told, load, under_kubernetes, under_rules};
use crate::{settings, start};

const MANIFESTS: &str = "
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
  maxReplicas: 4
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: 70 } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: scaled, namespace: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: scaled } }
  template:
    metadata: { labels: { app: scaled } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: scaled
          image: scaled:1
          ports: [{ containerPort: 8000 }]
          resources: { requests: { cpu: 100m } }
          readinessProbe: { httpGet: { path: /health, port: 8000 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Namespace
metadata: { name: till }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: kept, namespace: till }
spec:
  replicas: 2
  selector: { matchLabels: { app: kept } }
  template:
    metadata: { labels: { app: kept } }
    spec:
      containers:
        - name: kept
          image: kept:1
          ports: [{ containerPort: 8000 }]
          readinessProbe: { httpGet: { path: /health, port: 8000 }, periodSeconds: 1 }
";

const NODES: &str = "
apiVersion: v1
kind: Node
metadata: { name: one, labels: { kubernetes.io/hostname: one } }
status: { allocatable: { cpu: '8', memory: 32Gi, pods: '110' } }
";

/// Replicas that the autoscaler wanted, each decision once.
fn scaled(told: &Told) -> Vec<u32> {
    let wanted = told.iter().filter_map(|(_, event)| match event {
        EventKind::Scaling(decision) => Some(decision.desired),
        _ => None,
    });
    let mut wanted: Vec<u32> = wanted.collect();
    wanted.dedup();
    wanted
}

/// Pods of `kept` that became ready before an instant, and after it.
fn kept(told: &Told, then: Nanos) -> (usize, usize) {
    let ready = told
        .iter()
        .filter(|(_, event)| matches!(event, EventKind::PodReady { pod, ready: true } if pod.starts_with("kept-")));
    let (before, after): (Vec<_>, Vec<_>) = ready.partition(|(at, _)| *at < then);
    (before.len(), after.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_quotas_are_obeyed_from_when_they_are_there_until_they_go() {
    if !needs("edits_and_quotas_are_obeyed_from_when_they_are_there_until_they_go", Need::ControlPlane) {
        return;
    }
    let loaded = load(MANIFESTS);
    let platform = Arc::new(loaded.platform.clone());
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), NODES).unwrap();
    let nodes = manifests::load_nodes(Some(file.path())).unwrap();
    let id = |name: &str| platform.workload_named(name).unwrap();
    let sec = Nanos::from_secs;
    let config = ClusterConfig {
        hpa_sync: sec(1),
        downscale_stabilization: sec(1),
        cpu_initialization: sec(2),
        initial_readiness_delay: sec(1),
        metrics_resolution: sec(2),
        ..ClusterConfig::default()
    };
    let mut settings = settings();
    settings.controller_flags = [
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-downscale-stabilization=1s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=2s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
    ]
    .map(str::to_owned)
    .to_vec();
    let edit = |max| Action::EditAutoscaler {
        workload: id("scaled"),
        edit: AutoscalerEdit { min: None, max: Some(max), cpu: Some(71) },
    };
    let name = || "tight".to_owned();
    let quota = Quota {
        name: name(),
        namespace: "till".into(),
        requests: Resources::default(),
        limits: Resources::default(),
        pods: Some(2),
        place: Place::default(),
    };
    let gone = sec(16);
    let script = Script {
        acts: vec![
            (sec(4), Action::SetQuota(quota)),
            (sec(8), Action::Scale(id("kept"), 3)),
            (sec(12), edit(6)),
            (gone, Action::DropQuota { namespace: "till".into(), name: name() }),
            (sec(22), edit(4)),
        ],
        load: vec![(Nanos::ZERO, 200)],
        lasts: sec(36),
    };
    let ours = under_rules(&platform, nodes.clone(), &config, &script);
    let _alone = crate::ALONE.lock().await;
    let plane = start(&settings).await;
    let theirs = under_kubernetes(&plane, &loaded, nodes, &config, &script).await;
    plane.stop().await;
    for (who, told) in [("our rules", &ours), ("Kubernetes", &theirs)] {
        assert_eq!(scaled(told).iter().skip_while(|wanted| **wanted < 4).collect::<Vec<_>>(), [&4, &6, &4], "{who}");
        assert_eq!(kept(told, gone), (0, 1), "{who}: one more, and not before there is room");
        let refused = told.iter().find_map(|(_, event)| match event {
            EventKind::CreateFailed { reason, .. } => {
                reason.split_once("exceeded quota").map(|(_, why)| why.to_owned())
            }
            _ => None,
        });
        let want = ": tight, requested: pods=1, used: pods=2, limited: pods=2";
        assert_eq!(refused.as_deref(), Some(want), "{who}");
    }
}
