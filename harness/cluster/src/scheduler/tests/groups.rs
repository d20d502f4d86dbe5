//! Node groups: when nodes come, and when they go.

use platform::{NodeGroup, WorkloadKind};

use super::*;

fn group(name: &str, cores: u64, min: u32, max: u32) -> NodeGroup {
    NodeGroup {
        name: name.into(),
        template: node("template", cores, &[("pool", name)]),
        min,
        max,
        provision: Nanos::from_secs(90),
        idle: Some(Nanos::from_secs(600)),
    }
}

fn bench(groups: Vec<NodeGroup>, workloads: Vec<Workload>) -> Bench {
    Bench::of(vec![], Platform { workloads, node_groups: groups, ..Platform::default() })
}

/// A pod of `name` that is refused; what is ordered for it.
fn ordered(bench: &mut Bench, name: &str) -> (Candidate, Option<(usize, u64)>) {
    let candidate = bench.candidate(name);
    assert!(matches!(bench.schedule(&candidate), Outcome::Refused { .. }));
    let ordered = bench.scheduler.order_node(Nanos::from_secs(10), &candidate);
    (candidate, ordered.map(|(node, at)| (node, at.as_secs())))
}

#[test]
fn one_node_is_ordered_for_as_many_pods_as_it_holds() {
    let mut bench = bench(vec![group("app", 4, 1, 3)], vec![workload("web", 2_000)]);
    assert_eq!((bench.bind("web"), bench.bind("web")), ("app-1".into(), "app-1".into()), "the minimum is there");
    let (first, order) = ordered(&mut bench, "web");
    assert_eq!(order, Some((1, 100)), "90 s later");
    assert_eq!(bench.scheduler.order_node(Nanos::from_secs(11), &first), None, "one is enough");
    assert_eq!(ordered(&mut bench, "web").1, None, "the second pod has room there, too");
    assert_eq!(ordered(&mut bench, "web").1, Some((2, 100)), "the third has not");
    assert_eq!(ordered(&mut bench, "web").1, None);
    assert_eq!(ordered(&mut bench, "web").1, None, "three nodes are the most");
    assert!(bench.bind("web").starts_with("0/1 nodes"), "what is on its way is no node yet");
    bench.scheduler.node_came(1);
    assert_eq!(bench.schedule(&first), Outcome::Bound(1));
    assert!(bench.bind("web") == "app-2" && bench.bind("web").starts_with("0/2 nodes"));
}

#[test]
fn the_first_group_that_helps_is_taken_and_no_node_comes_in_vain() {
    let groups = || vec![group("small", 1, 0, 5), group("large", 8, 0, 5)];
    let mut picky = workload("picky", 100);
    picky.node_selector = labels(&[("pool", "large")]);
    let workloads = || vec![workload("web", 500), workload("heavy", 3_000), workload("giant", 9_000), picky.clone()];
    for (name, want) in
        [("web", Some("small-1")), ("heavy", Some("large-1")), ("giant", None), ("picky", Some("large-1"))]
    {
        let mut bench = bench(groups(), workloads());
        let (_, order) = ordered(&mut bench, name);
        let node = order.map(|(node, _)| bench.scheduler.place(node).node.name.clone());
        assert_eq!(node.as_deref(), want, "{name}");
        assert_eq!(bench.scheduler.inventory.places.len(), usize::from(want.is_some()), "{name}");
    }
}

#[test]
fn a_pod_that_nobody_wants_any_more_makes_room_on_the_node_to_come() {
    let mut bench = bench(vec![group("app", 1, 0, 1)], vec![workload("web", 1_000)]);
    let (first, order) = ordered(&mut bench, "web");
    assert_eq!(order, Some((0, 100)));
    bench.scheduler.forget(first.pod);
    let (second, order) = ordered(&mut bench, "web");
    assert_eq!(order, None, "it takes the other's place");
    bench.scheduler.node_came(0);
    bench.scheduler.node_came(0);
    assert_eq!(bench.schedule(&second), Outcome::Bound(0));
}

#[test]
fn idle_nodes_go_down_to_the_minimum() {
    let mut agent = workload("agent", 100);
    agent.kind = WorkloadKind::DaemonSet;
    let mut bench = bench(vec![group("app", 4, 1, 3)], vec![workload("web", 3_000), agent]);
    let sec = Nanos::from_secs;
    bench.bind("web");
    let (second, _) = ordered(&mut bench, "web");
    bench.scheduler.node_came(1);
    assert_eq!(bench.schedule(&second), Outcome::Bound(1));
    bench.put("agent", "app-2");
    assert_eq!(bench.scheduler.drop_idle_nodes(sec(200)), (vec![], None), "both are used");
    bench.scheduler.release(1, second.pod);
    assert_eq!(bench.scheduler.drop_idle_nodes(sec(300)), (vec![], Some(sec(900))), "an agent does not count");
    assert_eq!(bench.scheduler.drop_idle_nodes(sec(899)), (vec![], Some(sec(900))));
    assert_eq!(bench.scheduler.drop_idle_nodes(sec(900)), (vec![1], None));
    assert_eq!(bench.scheduler.present().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
    bench.scheduler.release(0, PodId(1));
    assert_eq!(bench.scheduler.drop_idle_nodes(sec(5_000)), (vec![], None), "the minimum stays");
}

#[test]
fn use_ends_idleness() {
    let mut bench = bench(vec![group("app", 4, 0, 3)], vec![workload("web", 3_000)]);
    let (first, _) = ordered(&mut bench, "web");
    bench.scheduler.node_came(0);
    assert_eq!(bench.scheduler.drop_idle_nodes(Nanos::from_secs(100)).1, Some(Nanos::from_secs(700)));
    assert_eq!(bench.schedule(&first), Outcome::Bound(0));
    assert_eq!(bench.scheduler.drop_idle_nodes(Nanos::from_secs(700)), (vec![], None));
    bench.scheduler.release(0, first.pod);
    assert_eq!(bench.scheduler.drop_idle_nodes(Nanos::from_secs(800)).1, Some(Nanos::from_secs(1_400)), "counted anew");
}
