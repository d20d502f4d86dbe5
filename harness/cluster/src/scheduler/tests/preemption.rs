//! Priorities: who pushes whom aside, and at which price.

use platform::{CountOrPercent, DisruptionBound, DisruptionBudget, Place, PodAffinity};

use super::*;

fn ranked(name: &str, milli: u64, priority: i32) -> Workload {
    Workload { priority, ..workload(name, milli) }
}

/// A pod of `high` asks for all of a node's four cores.
fn preempt(workloads: Vec<Workload>, nodes: &str, pods: &str) -> (Bench, Outcome) {
    preempt_with(Platform { workloads, ..Platform::default() }, nodes, pods, vec![])
}

fn preempt_with(platform: Platform, nodes: &str, pods: &str, allowed: Vec<u32>) -> (Bench, Outcome) {
    let mut bench = Bench::of(zoned(nodes), platform);
    bench.allowed = allowed;
    for (name, on) in pods.split(' ').filter_map(|pod| pod.split_once('@')) {
        bench.put(name, on);
    }
    let high = bench.candidate("high");
    let outcome = bench.schedule(&high);
    (bench, outcome)
}

fn victims(outcome: &Outcome) -> Vec<u32> {
    match outcome {
        Outcome::Bound(node) => panic!("bound to {node}"),
        Outcome::Refused { victims, .. } => victims.iter().map(|pod| pod.0).collect(),
    }
}

#[test]
fn as_few_as_possible_and_the_least_important_go() {
    let all = |milli| {
        vec![
            ranked("high", milli, 100),
            ranked("mid", 2_000, 50),
            ranked("low", 2_000, 10),
            ranked("small", 500, 10),
            ranked("peer", 2_000, 100),
            ranked("negative", 2_000, -10),
        ]
    };
    // Pods count from 1 in the order in which they stand.
    for (case, milli, nodes, pods, want) in [
        ("the whole node", 4_000, "a", "low@a mid@a", vec![2, 1]),
        ("the less important of two", 2_000, "a", "mid@a low@a", vec![2]),
        ("the younger of two equals", 2_000, "a", "low@a low@a", vec![2]),
        (
            "the important one goes where the others would not suffice",
            2_400,
            "a",
            "small@a small@a small@a small@a mid@a",
            vec![5, 4],
        ),
        (
            "the important one stays if the others suffice",
            1_500,
            "a",
            "mid@a small@a small@a small@a small@a",
            vec![3, 4, 5],
        ),
        ("nobody of its own priority", 4_000, "a", "peer@a low@a", vec![]),
        ("no room even without them", 5_000, "a", "low@a low@a", vec![]),
        ("the node with less important victims", 4_000, "a b", "mid@a mid@a low@b low@b", vec![3, 4]),
        ("the smaller sum of priorities", 4_000, "a b", "low@a low@a low@b negative@b", vec![3, 4]),
        (
            "fewer victims where the sum decides",
            2_000,
            "a b",
            "small@a small@a small@a small@a small@a small@a small@a small@a low@b low@b",
            vec![10],
        ),
        ("the node whose victims are younger", 4_000, "a b", "low@a low@a low@b low@b", vec![3, 4]),
    ] {
        let (bench, outcome) = preempt(all(milli), nodes, pods);
        assert_eq!(victims(&outcome), want, "{case}: {outcome:?}");
        let Outcome::Refused { reason, .. } = outcome else { unreachable!() };
        assert_eq!(reason.contains("preemption:"), want.is_empty(), "{case}: {reason}");
        assert_eq!(bench.scheduler.nominated.len(), usize::from(!want.is_empty()), "{case}");
    }
}

#[test]
fn budgets_are_respected_as_far_as_possible() {
    let budget = |app: &str| DisruptionBudget {
        name: app.into(),
        namespace: "shop".into(),
        selector: select(&format!("app={app}")),
        bound: DisruptionBound::MinAvailable(CountOrPercent::Count(1)),
        always_evict_unready: false,
        place: Place::default(),
    };
    let platform = |milli| Platform {
        workloads: vec![ranked("high", milli, 100), ranked("guarded", 2_000, 10), ranked("free", 2_000, 20)],
        budgets: vec![budget("guarded")],
        ..Platform::default()
    };
    for (case, milli, nodes, pods, allowed, want) in [
        ("the unguarded node, though more important", 4_000, "a b", "guarded@a guarded@a free@b free@b", 0, vec![3, 4]),
        ("the budget allows both", 4_000, "a b", "guarded@a guarded@a free@b free@b", 2, vec![1, 2]),
        ("the budget allows one of two", 4_000, "a b", "guarded@a guarded@a free@b free@b", 1, vec![3, 4]),
        ("a guarded one is spared before a more important one", 2_000, "a", "guarded@a free@a", 0, vec![2]),
        ("while the budget allows, importance decides", 2_000, "a", "guarded@a free@a", 1, vec![1]),
        ("nobody else to push aside", 4_000, "a", "guarded@a guarded@a", 0, vec![1, 2]),
    ] {
        let (_, outcome) = preempt_with(platform(milli), nodes, pods, vec![allowed]);
        assert_eq!(victims(&outcome), want, "{case}");
    }
}

#[test]
fn anti_affinity_can_be_cleared_away_but_a_missing_affinity_cannot() {
    let term = |anti, selector: &str| PodAffinity {
        anti,
        weight: None,
        selector: select(selector),
        namespaces: vec![],
        namespace_selector: None,
        topology_key: "kubernetes.io/hostname".into(),
        match_label_keys: vec![],
    };
    let mut shy = ranked("high", 100, 100);
    shy.pod_affinity = vec![term(true, "app=low")];
    let (_, outcome) = preempt(vec![shy, ranked("low", 100, 10)], "a", "low@a");
    assert_eq!(victims(&outcome), [1]);
    let mut lonely = ranked("high", 100, 100);
    lonely.pod_affinity = vec![term(false, "app=friend")];
    let (_, outcome) = preempt(vec![lonely, ranked("low", 100, 10)], "a", "low@a");
    let reason = "0/1 nodes are available: 1 node(s) didn't match pod affinity rules. \
                  no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert_eq!(outcome, Outcome::Refused { reason: reason.into(), victims: vec![] });
}

#[test]
fn the_room_is_kept_while_the_victims_end() {
    let workloads = vec![ranked("high", 4_000, 100), ranked("low", 2_000, 10), ranked("peer", 1_000, 100)];
    let (mut bench, outcome) = preempt(workloads, "a", "low@a low@a");
    assert_eq!(victims(&outcome), [1, 2]);
    let high = Candidate { pod: PodId(3), ..bench.candidate("high") };
    bench.scheduler.ending(0, PodId(1));
    bench.scheduler.ending(0, PodId(2));
    let reason = "0/1 nodes are available: 1 Insufficient cpu. \
                  no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node.";
    assert_eq!(bench.schedule(&high), Outcome::Refused { reason: reason.into(), victims: vec![] });
    bench.scheduler.release(0, PodId(1));
    assert!(bench.bind("low").starts_with("0/1 nodes"), "the room is promised to somebody more important");
    assert!(bench.bind("peer").starts_with("0/1 nodes"), "and as important");
    bench.scheduler.release(0, PodId(2));
    assert_eq!(bench.schedule(&high), Outcome::Bound(0));
    assert!(bench.scheduler.nominated.is_empty());
}

#[test]
fn a_promise_ends_with_its_pod_and_yields_to_the_more_important() {
    let workloads = || vec![ranked("high", 4_000, 100), ranked("low", 2_000, 10), ranked("top", 4_000, 200)];
    let (mut bench, _) = preempt(workloads(), "a", "low@a low@a");
    bench.scheduler.release(0, PodId(1));
    bench.scheduler.release(0, PodId(2));
    bench.scheduler.forget(PodId(3));
    assert_eq!(bench.bind("low"), "a", "nobody is promised the room any more");

    let (mut bench, _) = preempt(workloads(), "a", "low@a low@a");
    let top = bench.candidate("top");
    assert_eq!(victims(&bench.schedule(&top)), [1, 2]);
    assert_eq!(bench.scheduler.nominated.keys().copied().collect::<Vec<_>>(), [top.pod]);
}
