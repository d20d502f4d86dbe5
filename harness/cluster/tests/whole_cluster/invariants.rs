//! What holds whatever happens: random platforms under random actions.

use std::collections::BTreeMap;

use cluster::{Action, Flaw, PodId};
use platform::{CountOrPercent, DisruptionBound, Strategy};
use record::EventKind;
use units::{Nanos, Purpose, Seed};

use crate::disruption::budget;
use crate::world::{WEB, World, nodes, plain, workload};

const NODES: usize = 5;

/// A stream of draws below a bound.
struct Chance {
    seed: Seed,
    drawn: u64,
}

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        self.seed.draw_nth(self.drawn, Purpose::Phase).below(n)
    }
}

fn action(chance: &mut Chance, pods: usize) -> Action {
    let pod = PodId(chance.below(pods.max(1)) as u32);
    let node = chance.below(NODES);
    let flaws = [Flaw::None, Flaw::None, Flaw::ImagePull, Flaw::Crash, Flaw::NeverReady];
    match chance.below(12) {
        0 => Action::Scale(WEB, chance.below(9) as u32),
        1 => Action::DeletePod { pod, forced: false },
        2 => Action::DeletePod { pod, forced: true },
        3 | 4 => Action::Evict(pod),
        5 => Action::Rollout { workload: WEB, flaw: flaws[chance.below(flaws.len())] },
        6 => Action::Rollback(WEB),
        7 => Action::Drain(node),
        8 => Action::Uncordon(node),
        9 => Action::LoseNode(node),
        10 => Action::CutOff(node),
        _ => Action::ReturnNode(node),
    }
}

/// Plays random actions for ten minutes, then heals everything.
fn play(seed: u64, mut check: impl FnMut(&World)) -> World {
    let mut chance = Chance { seed: Seed::new(seed).child("actions"), drawn: 0 };
    let mut web = workload("web");
    let bounds = [(1, 0), (0, 1), (2, 1), (1, 2)][chance.below(4)];
    web.strategy = match chance.below(6) {
        0 => Strategy::Recreate,
        _ => Strategy::Rolling {
            max_surge: CountOrPercent::Count(bounds.0),
            max_unavailable: CountOrPercent::Count(bounds.1),
        },
    };
    web.min_ready = Nanos::from_secs(chance.below(3) as u64 * 5);
    let mut platform = plain(web, 4);
    platform.budgets.push(budget(DisruptionBound::MinAvailable(CountOrPercent::Count(2))));
    let mut world = World::new(platform, nodes(NODES, 4), seed);
    let mut secs = 10;
    while secs < 600 {
        secs += 1 + chance.below(40) as u64;
        let action = action(&mut chance, world.cluster().pods().count());
        world.act(secs, action);
        world.run_checked(secs, &mut check);
    }
    for node in 0..NODES {
        world.act(610, Action::ReturnNode(node));
        world.act(610, Action::Uncordon(node));
    }
    world.act(611, Action::Rollout { workload: WEB, flaw: Flaw::None });
    world.act(611, Action::Scale(WEB, 4));
    world.run_checked(1_500, &mut check);
    world
}

#[test]
fn whatever_happens_pods_end_bounds_hold_and_the_cluster_heals() {
    for seed in 0..150 {
        let world = play(seed, |world| {
            let active = world.living().filter(|(_, record)| record.is_active()).count();
            // The largest size there has been and the largest surge; a resize may leave a step of slack.
            assert!(active <= 8 + 2, "seed {seed}: {active} pods at {}", world.place.now);
            let mut names: Vec<_> = world.living().map(|(_, record)| &record.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "seed {seed}: {names:?}");
        });
        assert!(world.cluster().settled(), "seed {seed}: {:#?}", world.living().collect::<Vec<_>>());
        let mut bound: BTreeMap<String, u32> = BTreeMap::new();
        for (_, pod) in world.told(|kind| match kind {
            EventKind::PodScheduled { pod, .. } => Some(pod.clone()),
            _ => None,
        }) {
            *bound.entry(pod).or_default() += 1;
        }
        assert!(bound.values().all(|times| *times == 1), "seed {seed}: bound twice");
        for (pod, record) in world.cluster().pods() {
            assert!(record.deleted.is_none() || record.gone.is_some(), "seed {seed}: {pod:?} never ended");
        }
    }
}

/// An eviction is granted only where as many stay healthy as the budget wants; unready pods may always go there.
#[test]
fn evictions_never_go_below_the_budget() {
    let mut granted = 0;
    for seed in 0..150 {
        let mut seen = 0;
        let mut serving_before = 0;
        play(seed, |world| {
            let serving = world.living().filter(|(_, record)| record.is_serving()).count();
            let new = &world.place.events[seen..];
            let by_api = |kind: &EventKind| matches!(kind, EventKind::PodEvicted { reason, .. } if reason.starts_with("Eviction"));
            let evicted = new.iter().filter(|event| by_api(&event.kind)).count();
            if evicted > 0 && serving < serving_before {
                granted += evicted;
                assert!(serving >= 2, "seed {seed}: {serving} left of {serving_before} at {}", world.place.now);
            }
            (seen, serving_before) = (world.place.events.len(), serving);
        });
    }
    assert!(granted > 50, "only {granted} evictions were tried in earnest");
}

#[test]
fn rollouts_keep_to_surge_and_unavailability() {
    for seed in 0..60 {
        let mut chance = Chance { seed: Seed::new(seed).child("rollout"), drawn: 0 };
        let (surge, unavailable) = [(1, 0), (0, 1), (2, 1), (1, 2), (3, 3)][chance.below(5)];
        let mut web = workload("web");
        let count = CountOrPercent::Count;
        web.strategy = Strategy::Rolling { max_surge: count(surge), max_unavailable: count(unavailable) };
        web.min_ready = Nanos::from_secs(chance.below(4) as u64 * 3);
        let replicas = 2 + chance.below(7) as u32;
        let mut world = World::new(plain(web, replicas), nodes(NODES, 8), seed);
        world.run_until(60);
        let flaw = [Flaw::None, Flaw::Crash, Flaw::NeverReady][chance.below(3)];
        world.act(60, Action::Rollout { workload: WEB, flaw });
        world.act(60 + chance.below(30) as u64, Action::Rollback(WEB));
        world.act(90 + chance.below(30) as u64, Action::Rollout { workload: WEB, flaw: Flaw::None });
        world.run_checked(600, |world| {
            let active = world.living().filter(|(_, record)| record.is_active()).count() as u32;
            let ready = world.living().filter(|(_, record)| record.is_serving()).count() as u32;
            let now = world.place.now;
            assert!(active <= replicas + surge, "seed {seed}: {active} of {replicas}+{surge} at {now}");
            assert!(ready + unavailable >= replicas, "seed {seed}: {ready} of {replicas}-{unavailable} at {now}");
        });
        assert!(world.cluster().settled(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..10 {
        let story = || format!("{:?}", play(seed, |_| ()).place.events);
        assert_eq!(story(), story(), "seed {seed}");
    }
}
