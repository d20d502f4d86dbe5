//! Rollouts over a grid of replicas, `maxSurge` and `maxUnavailable`, in numbers and in percents.

use cluster::{Action, Flaw};
use platform::Platform;
use record::EventKind;
use testing::{Need, needs};
use units::Nanos;

use super::{OWN_NODES, played};
use crate::shop::{deployment, rolling};
use crate::told::{Compared, finished, rolled};
use crate::world::Told;

/// Replicas, `maxSurge`, `maxUnavailable`, and what the two come to: surge is rounded up, unavailability down, and where
/// both are none, one may be unavailable (`pkg/controller/deployment/util/deployment_util.go`, `ResolveFenceposts`).
const GRID: [(u32, &str, &str, u32, u32); 12] = [
    (4, "1", "1", 1, 1),
    (4, "25%", "25%", 1, 1),
    (3, "25%", "25%", 1, 0),
    (1, "25%", "25%", 1, 0),
    (10, "30%", "20%", 3, 2),
    (5, "100%", "0", 5, 0),
    (5, "0", "50%", 0, 2),
    (7, "50%", "50%", 4, 3),
    (2, "0", "1", 0, 1),
    (6, "2", "0", 2, 0),
    (3, "0", "10%", 0, 1),
    (4, "200%", "50%", 8, 2),
];

fn name(index: usize) -> String {
    format!("grid-{index}")
}

/// What is decided before any new pod is ready: it hangs on nothing but the two figures.
fn first((replicas, _, _, surge, unavailable): (u32, &str, &str, u32, u32)) -> Vec<(usize, u32)> {
    let new = surge.min(replicas);
    match (surge, unavailable) {
        (0, gone) => vec![(0, replicas - gone), (1, gone)],
        (_, 0) => vec![(0, new)],
        (_, gone) if new == replicas => vec![(0, new), (1, replicas - gone)],
        (_, gone) => vec![(0, new), (1, replicas - gone), (0, (new + gone).min(replicas))],
    }
}

/// The most and the fewest pods that both ReplicaSets were to have together.
fn bounds(told: &Told, of: &str, replicas: u32) -> (u32, u32) {
    let steps = rolled(told, of);
    // The set that ends at nothing is the old one.
    let old = steps.iter().rfind(|(_, size)| *size == 0).map_or(usize::MAX, |(set, _)| *set);
    let (mut sizes, mut most, mut fewest) = ([replicas, 0], replicas, replicas);
    for (set, size) in steps {
        sizes[usize::from(set != old)] = size;
        let sum = sizes[0] + sizes[1];
        (most, fewest) = (most.max(sum), fewest.min(sum));
    }
    (most, fewest)
}

/// The fewest ready pods while it was under way, as the workload itself was told.
fn fewest_ready(told: &Told, of: &str) -> u32 {
    let ready = told.iter().filter_map(|(_, event)| match event {
        EventKind::ReplicasChanged { workload, ready, .. } if workload == of => Some(*ready),
        _ => None,
    });
    ready.min().unwrap_or(u32::MAX)
}

pub(super) fn manifests() -> String {
    let one = |(index, (replicas, surge, unavailable, ..)): (usize, &(u32, &str, &str, u32, u32))| {
        let spec = format!("replicas: {replicas}\n  {}", rolling(surge, unavailable));
        deployment(&name(index), &spec, OWN_NODES, "cpu: 10m, memory: 8Mi")
    };
    GRID.iter().enumerate().map(one).collect()
}

/// All of them at once.
pub(super) fn acts(platform: &Platform) -> Vec<(Nanos, Action)> {
    let roll = |index| Action::Rollout { workload: platform.workload_named(&name(index)).unwrap(), flaw: Flaw::None };
    (0..GRID.len()).map(|index| (Nanos::from_secs(1), roll(index))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollouts_keep_to_their_surge_and_unavailability_alike() {
    if !needs("rollouts_keep_to_their_surge_and_unavailability_alike", Need::ControlPlane) {
        return;
    }
    let sides = played().await;
    let mut compared = Compared::default();
    for (index, case) in GRID.into_iter().enumerate() {
        let (replicas, surge, unavailable, most, gone) = case;
        let (name, first) = (name(index), first(case));
        let what = format!("{replicas} replicas, maxSurge {surge}, maxUnavailable {unavailable}");
        let began = |told: &Told| {
            let steps = rolled(told, &name);
            format!("{:?} {}", &steps[..steps.len().min(first.len())], finished(told, &name))
        };
        compared.both(&format!("{what}: first steps"), sides, began, &format!("{first:?} true"));
        let kept = |told: &Told| {
            let (top, bottom) = bounds(told, &name, replicas);
            let within = top <= replicas + most && bottom >= replicas - gone;
            format!("{within} {}", fewest_ready(told, &name) >= replicas - gone)
        };
        compared.both(&format!("{what}: within its bounds"), sides, kept, "true true");
    }
    compared.end();
}
