//! Every field of an autoscaler's behavior, a grid of rollouts, and what becomes of pods whose nodes are emptied, lost or
//! full: under our rules and under Kubernetes' own control plane. Cases are chosen so that what is decided does not hang on
//! a second more or less; what does is compared as a bound.

mod placing;
mod rollouts;
mod scaling;

use cluster::ClusterConfig;
use tokio::sync::OnceCell;
use units::Nanos;

use crate::shop::{NAMESPACE, node};
use crate::world::{Script, Told, both};

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
    both(&manifests, &nodes, &config, |platform| {
        let acts = rollouts::acts(platform).into_iter().chain(placing::acts(platform)).collect();
        Script { acts, load: scaling::load(), lasts: sec(102) }
    })
    .await
}
