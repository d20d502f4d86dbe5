//! Deployments that get a new template.

use cluster::{Action, Flaw, Patch, ProbeKind};
use platform::{CountOrPercent, Strategy};
use record::EventKind;
use units::Nanos;

use crate::world::{SERVICE, WEB, World, nodes, plain, workload};

fn rolling(max_surge: CountOrPercent, max_unavailable: CountOrPercent) -> Strategy {
    Strategy::Rolling { max_unavailable, max_surge }
}

fn world(replicas: u32, strategy: Strategy) -> World {
    let mut web = workload("web");
    web.strategy = strategy;
    let mut world = World::new(plain(web, replicas), nodes(6, 8), 1);
    world.run_until(20);
    assert!(world.cluster().settled());
    world
}

const ROLLOUT: fn(Flaw) -> Action = |flaw| Action::Rollout { workload: WEB, flaw };

/// Second, ReplicaSet (`a` the first, `b` the second …), before, after.
fn scaled(world: &World) -> Vec<(u64, char, u32, u32)> {
    let mut sets: Vec<String> = Vec::new();
    let told = world.told(|kind| match kind {
        EventKind::ReplicaSetScaled { replica_set, from, to, .. } => Some((replica_set.clone(), *from, *to)),
        _ => None,
    });
    let first = world.name(0).rsplit_once('-').unwrap().0.to_owned();
    sets.push(first);
    told.into_iter()
        .map(|(at, (set, from, to))| {
            let known = sets.iter().position(|known| *known == set).unwrap_or_else(|| {
                sets.push(set);
                sets.len() - 1
            });
            (at / 1_000, char::from(b'a' + known as u8), from, to)
        })
        .collect()
}

#[test]
fn a_rolling_update_moves_within_its_bounds() {
    use CountOrPercent::{Count, Percent};
    for (case, replicas, strategy, want) in [
        (
            "a quarter more, a quarter less",
            4,
            rolling(Percent(25), Percent(25)),
            vec![
                (100, 'b', 0, 1),
                (100, 'a', 4, 3),
                (100, 'b', 1, 2),
                (102, 'a', 3, 2),
                (102, 'b', 2, 3),
                (102, 'a', 2, 1),
                (102, 'b', 3, 4),
                (105, 'a', 1, 0),
            ],
        ),
        (
            "only more",
            2,
            rolling(Count(1), Count(0)),
            vec![(100, 'b', 0, 1), (102, 'a', 2, 1), (102, 'b', 1, 2), (105, 'a', 1, 0)],
        ),
        (
            "only less",
            2,
            rolling(Count(0), Count(1)),
            vec![(100, 'a', 2, 1), (100, 'b', 0, 1), (102, 'a', 1, 0), (102, 'b', 1, 2)],
        ),
        (
            "both round to nothing: one less",
            2,
            rolling(Percent(0), Percent(25)),
            vec![(100, 'a', 2, 1), (100, 'b', 0, 1), (102, 'a', 1, 0), (102, 'b', 1, 2)],
        ),
    ] {
        let mut world = world(replicas, strategy);
        world.act(100, ROLLOUT(Flaw::None));
        world.run_until(300);
        assert_eq!(scaled(&world), want, "{case}");
        assert!(world.cluster().settled(), "{case}");
        let complete = world.told(|kind| matches!(kind, EventKind::RolloutComplete { revision: 2, .. }).then_some(()));
        assert_eq!(complete.len(), 1, "{case}");
    }
}

#[test]
fn recreate_waits_until_nothing_old_is_left() {
    let mut world = world(2, Strategy::Recreate);
    world.act(100, ROLLOUT(Flaw::None));
    world.run_until(300);
    assert_eq!(scaled(&world), [(100, 'a', 2, 0), (101, 'b', 0, 2)], "old pods drain for a second");
    assert!(world.cluster().settled());
}

/// A rollback to a ReplicaSet that is there leaves the condition as it was, and with it the instant that the deadline
/// counts from. The new pod never gets ready, and while it is there the end of the old ones is no news.
#[test]
fn a_switch_to_recreate_midway_goes_on_by_itself_once_an_old_deadline_is_past() {
    for (case, at, looks) in [
        ("complete for two minutes", 200, &[(661, 1), (665, 4)][..]),
        ("complete for longer than the deadline", 700, &[(701, 1), (703, 4)][..]),
    ] {
        let mut world = world(4, rolling(CountOrPercent::Count(1), CountOrPercent::Count(0)));
        world.place.healthy = |pod, kind, _| pod.0 < 8 || kind != ProbeKind::Readiness;
        world.act(50, ROLLOUT(Flaw::None));
        world.act(at, Action::Rollback(WEB));
        let patch = Patch { strategy: Some(Strategy::Recreate), ..Patch::default() };
        world.act(at + 1, Action::Patch { workload: WEB, patch });
        for (then, living) in looks {
            world.run_until(*then);
            let new = world.living().filter(|(_, record)| record.template == 0).count();
            assert_eq!(new, *living, "{case}, at {then} s");
        }
    }
}

#[test]
fn a_bad_template_stops_halfway_and_is_rolled_back_by_hand() {
    for flaw in [Flaw::ImagePull, Flaw::Crash, Flaw::NeverReady] {
        let mut world = world(4, Strategy::default());
        world.act(100, ROLLOUT(flaw));
        world.run_until(750);
        assert_eq!(world.place.endpoints.ready(SERVICE).len(), 3, "{flaw:?}: those that may be missing are");
        let stalled = world.told(|kind| match kind {
            EventKind::DeadlineExceeded { message, .. } => Some(message.clone()),
            _ => None,
        });
        assert_eq!(stalled.len(), 1, "{flaw:?}");
        assert!((701_000..704_000).contains(&stalled[0].0), "600 s after the last progress: {stalled:?}");
        assert!(stalled[0].1.ends_with("has timed out progressing."), "{stalled:?}");
        assert!(!world.cluster().settled());
        world.act(760, Action::Rollback(WEB));
        world.run_until(900);
        assert!(world.cluster().settled(), "{flaw:?}: nothing is rolled back by itself, but by hand");
        let revisions = world.told(|kind| match kind {
            EventKind::RolloutComplete { revision, .. } => Some(*revision),
            _ => None,
        });
        assert_eq!(revisions.last().map(|(_, revision)| *revision), Some(3), "{flaw:?}");
        assert!(world.living().all(|(_, record)| record.template == 0), "{flaw:?}");
    }
}

#[test]
fn a_resize_in_the_middle_of_a_rollout_is_shared_out() {
    let mut world = world(10, Strategy::default());
    world.act(100, ROLLOUT(Flaw::NeverReady));
    world.act(110, Action::Scale(WEB, 20));
    world.run_until(130);
    // 8 old and 5 new of at most 13; 25 may be there: 8 × 25 / 13 = 15.4 and 5 × 25 / 13 = 9.6.
    let shares: Vec<_> = scaled(&world).into_iter().filter(|(at, ..)| *at >= 110).collect();
    assert_eq!(shares, [(110, 'a', 8, 15), (110, 'b', 5, 10)]);
}

#[test]
fn pods_count_once_they_were_ready_for_long_enough() {
    let mut web = workload("web");
    web.min_ready = Nanos::from_secs(30);
    web.strategy = rolling(CountOrPercent::Count(1), CountOrPercent::Count(0));
    let mut world = World::new(plain(web, 1), nodes(3, 8), 1);
    world.run_until(60);
    world.act(100, ROLLOUT(Flaw::None));
    world.run_until(200);
    assert_eq!(scaled(&world), [(100, 'b', 0, 1), (132, 'a', 1, 0)], "2.8 s to be ready, 30 s more to be available");
}

#[test]
fn what_was_tried_before_is_kept_ten_revisions_long() {
    let mut world = world(1, Strategy::default());
    for round in 0..14 {
        world.act(100 + round * 20, ROLLOUT(Flaw::None));
    }
    world.run_until(400);
    assert!(world.cluster().settled());
    world.act(400, Action::Rollback(WEB));
    world.run_until(420);
    let template = world.living().next().unwrap().1.template;
    assert_eq!(template, 13, "back to the one before the last");
}
