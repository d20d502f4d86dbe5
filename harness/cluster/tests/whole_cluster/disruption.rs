//! Evictions, drains and nodes that fail.

use cluster::{Action, PodId};
use platform::{CountOrPercent, DisruptionBound, DisruptionBudget, Place, Selector, Toleration};
use record::{EventKind, NodeState};
use units::Nanos;

use crate::world::{SERVICE, WEB, World, nodes, plain, workload};

pub(crate) fn budget(bound: DisruptionBound) -> DisruptionBudget {
    DisruptionBudget {
        name: "web".into(),
        namespace: String::new(),
        selector: Some(Selector { labels: workload("web").labels, expressions: vec![] }),
        bound,
        always_evict_unready: false,
        place: Place::default(),
    }
}

fn guarded(replicas: u32, bound: DisruptionBound, count: usize) -> World {
    let mut platform = plain(workload("web"), replicas);
    platform.budgets.push(budget(bound));
    let mut world = World::new(platform, nodes(count, 8), 1);
    world.run_until(20);
    world
}

fn states(world: &World) -> Vec<(u64, NodeState)> {
    let told = world.told(|kind| match kind {
        EventKind::NodeChanged { state, .. } => Some(*state),
        _ => None,
    });
    told.into_iter().map(|(at, state)| (at / 1_000, state)).collect()
}

fn refusals(world: &World) -> Vec<(u64, u16)> {
    let told = world.told(|kind| match kind {
        EventKind::EvictionRefused { budget, status, .. } => {
            assert_eq!(budget.as_deref(), Some("web"));
            Some(*status)
        }
        _ => None,
    });
    told.into_iter().map(|(at, status)| (at / 1_000, status)).collect()
}

#[test]
fn a_budget_lets_one_eviction_pass_until_the_pod_is_replaced() {
    let mut world = guarded(3, DisruptionBound::MaxUnavailable(CountOrPercent::Count(1)), 3);
    for (secs, pod) in [(30, 0), (31, 1), (40, 1)] {
        world.act(secs, Action::Evict(PodId(pod)));
    }
    world.run_until(60);
    assert_eq!(refusals(&world), [(31, 429)]);
    let evicted = world.told(|kind| matches!(kind, EventKind::PodEvicted { .. }).then_some(()));
    assert_eq!(evicted.iter().map(|(at, ())| *at).collect::<Vec<_>>(), [30_000, 40_000]);
    assert!(world.cluster().settled());
}

#[test]
fn a_drain_asks_again_every_five_seconds_and_ends_when_the_node_is_empty() {
    let mut world = guarded(4, DisruptionBound::MinAvailable(CountOrPercent::Count(3)), 2);
    world.act(30, Action::Drain(0));
    world.run_until(60);
    assert_eq!(refusals(&world), [(30, 429)], "one of two; five seconds later its successor is ready");
    assert_eq!(
        states(&world),
        [(30, NodeState::Cordoned), (30, NodeState::Draining), (36, NodeState::Drained)],
        "the second one goes at 35 s and ends for a second"
    );
    assert!(world.living().all(|(_, record)| record.node == Some(1)));
    world.act(60, Action::Uncordon(0));
    world.act(61, Action::Scale(WEB, 8));
    world.run_until(90);
    assert!(world.living().any(|(_, record)| record.node == Some(0)), "it takes pods again");
}

#[test]
fn a_drain_that_a_budget_never_allows_blocks_and_says_by_whom() {
    let mut world = guarded(2, DisruptionBound::MaxUnavailable(CountOrPercent::Count(0)), 2);
    world.act(30, Action::Drain(0));
    world.run_until(52);
    let times: Vec<_> = refusals(&world).into_iter().map(|(at, _)| at).collect();
    assert_eq!(times, [30, 35, 40, 45, 50]);
    assert_eq!(states(&world).last().unwrap().1, NodeState::Draining);
    world.act(55, Action::Rollout { workload: WEB, flaw: cluster::Flaw::None });
    world.run_until(90);
    assert_eq!(states(&world).last().unwrap().1, NodeState::Drained, "a rollout takes no notice of budgets");
}

#[test]
fn a_lost_node_is_noticed_its_pods_evicted_and_replaced() {
    let mut world = guarded(3, DisruptionBound::MaxUnavailable(CountOrPercent::Count(0)), 3);
    let node = world.cluster().pod(PodId(0)).unwrap().node.unwrap();
    world.act(100, Action::LoseNode(node));
    world.run_until(100);
    assert_eq!(world.place.endpoints.ready(SERVICE).len(), 3, "nobody knows yet");
    world.run_until(600);
    let states = states(&world);
    let (lost, seen) = (states[0], states[1]);
    assert_eq!(
        (lost, seen.1, states[2]),
        ((100, NodeState::Lost), NodeState::NotReady, (seen.0, NodeState::Unreachable))
    );
    assert!((145..=160).contains(&seen.0), "{states:?}");
    let out = world.told(|kind| matches!(kind, EventKind::EndpointsChanged { ready: 2, .. }).then_some(()));
    assert_eq!(out[0].0, seen.0 * 1_000 + 500, "out of the endpoints with NotReady");
    let evicted = world.told(|kind| matches!(kind, EventKind::PodEvicted { .. }).then_some(()));
    assert_eq!(evicted[0].0, (seen.0 + 300) * 1_000, "300 s later, past every budget");
    assert_eq!(world.place.endpoints.ready(SERVICE).len(), 3, "replaced elsewhere");
    let old = world.cluster().pod(PodId(0)).unwrap();
    assert!(old.deleted.is_some() && old.gone.is_none(), "stays Terminating while nobody hears of it");
    world.act(700, Action::ReturnNode(node));
    world.run_until(720);
    assert!(world.cluster().pod(PodId(0)).unwrap().gone.is_some());
    assert!(world.cluster().settled());
}

#[test]
fn a_node_that_is_back_in_time_keeps_its_pods() {
    for (case, away, restarts) in [("cut off", Action::CutOff as fn(usize) -> Action, 0), ("lost", Action::LoseNode, 1)]
    {
        let mut world = guarded(3, DisruptionBound::MaxUnavailable(CountOrPercent::Count(0)), 3);
        let node = world.cluster().pod(PodId(0)).unwrap().node.unwrap();
        world.act(100, away(node));
        world.run_until(200);
        assert!(world.place.cut_off.contains(&PodId(0)), "{case}");
        assert!(!world.cluster().pod(PodId(0)).unwrap().ready, "{case}");
        world.act(250, Action::ReturnNode(node));
        world.run_until(1_000);
        let record = world.cluster().pod(PodId(0)).unwrap();
        assert_eq!((record.ready, record.restarts, record.deleted), (true, restarts, None), "{case}");
        assert!(world.cluster().settled() && world.place.cut_off.is_empty(), "{case}");
        assert_eq!(states(&world).last().unwrap().1, NodeState::Ready, "{case}");
    }
}

#[test]
fn tolerations_decide_how_long_pods_stay_on_a_lost_node() {
    let tolerate = |seconds: Option<u64>| Toleration {
        key: Some("node.kubernetes.io/unreachable".into()),
        value: None,
        effect: None,
        seconds: seconds.map(Nanos::from_secs),
    };
    for (case, toleration, after) in [("ten seconds", tolerate(Some(10)), Some(10)), ("for ever", tolerate(None), None)]
    {
        let mut web = workload("web");
        web.tolerations.push(toleration);
        let mut world = World::new(plain(web, 3), nodes(3, 8), 1);
        world.run_until(20);
        let node = world.cluster().pod(PodId(0)).unwrap().node.unwrap();
        world.act(100, Action::LoseNode(node));
        world.run_until(900);
        let noticed = states(&world)[1].0;
        let deleted = world.cluster().pod(PodId(0)).unwrap().deleted.map(|at| at.as_secs() - noticed);
        assert_eq!(deleted, after, "{case}");
    }
}
