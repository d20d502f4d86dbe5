//! An autoscaler that somebody edits and a quota that somebody sets, in the middle of it all: under our rules and under
//! Kubernetes' own control plane.

use cluster::{Action, AutoscalerEdit, ClusterConfig};
use platform::{Place, Platform, Quota, Resources};
use record::EventKind;
use testing::{Need, needs};
use units::Nanos;

use crate::shop::{self, CPU, NAMESPACE, deployment, node};
use crate::told::scaled;
use crate::world::{Script, Told, both};

/// An autoscaled Deployment, and one in a namespace that is given a quota.
fn manifests() -> String {
    let kept = deployment("kept", "replicas: 2", "", "").replace("namespace: shop", "namespace: till");
    [
        NAMESPACE,
        &shop::scaled("scaled", 4, CPU, ""),
        &deployment("scaled", "replicas: 2", "", "cpu: 100m"),
        "---\napiVersion: v1\nkind: Namespace\nmetadata: { name: till }\n",
        &kept,
    ]
    .concat()
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
    let sec = Nanos::from_secs;
    let config = ClusterConfig {
        hpa_sync: sec(1),
        downscale_stabilization: sec(1),
        cpu_initialization: sec(2),
        initial_readiness_delay: sec(1),
        metrics_resolution: sec(2),
        ..ClusterConfig::default()
    };
    let gone = sec(16);
    let script = |platform: &Platform| {
        let id = |name: &str| platform.workload_named(name).unwrap();
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
        Script {
            acts: vec![
                (sec(4), Action::SetQuota(quota)),
                (sec(8), Action::Scale(id("kept"), 3)),
                (sec(12), edit(6)),
                (gone, Action::DropQuota { namespace: "till".into(), name: name() }),
                (sec(22), edit(4)),
            ],
            load: vec![(Nanos::ZERO, 200)],
            lasts: sec(36),
        }
    };
    let (ours, theirs) = both(&manifests(), &node("one", "pool: all", ""), &config, script).await;
    for (who, told) in [("our rules", &ours), ("Kubernetes", &theirs)] {
        assert_eq!(
            scaled(told, "scaled").iter().skip_while(|wanted| **wanted < 4).collect::<Vec<_>>(),
            [&4, &6, &4],
            "{who}"
        );
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
