//! Topology spread: required constraints as a filter, others and the built-in ones as a score.

use platform::{Service, SpreadConstraint, WorkloadKind};

use super::*;

fn spread(key: &str, max_skew: u32) -> SpreadConstraint {
    SpreadConstraint {
        max_skew,
        topology_key: key.into(),
        required: true,
        selector: select("app=web"),
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
        match_label_keys: vec![],
    }
}

fn web(constraints: Vec<SpreadConstraint>) -> Workload {
    Workload { spread: constraints, ..workload("web", 10) }
}

/// Puts pods of `web` on nodes: `"a1 a1 b1"`.
fn crowd(bench: &mut Bench, on: &str) {
    for name in on.split(' ').filter(|name| !name.is_empty()) {
        bench.put("web", name);
    }
}

#[test]
fn skew_is_bounded_by_the_emptiest_domain() {
    let zone = |skew| vec![spread("zone", skew)];
    let host = |skew| vec![spread("kubernetes.io/hostname", skew)];
    let domains = |n| vec![SpreadConstraint { min_domains: Some(n), ..spread("zone", 1) }];
    let of = |selector| vec![SpreadConstraint { selector, ..spread("zone", 1) }];
    let soft = vec![SpreadConstraint { required: false, ..spread("zone", 1) }];
    for (case, constraints, nodes, pods, want) in [
        ("no pods yet", zone(1), "a1 a2 b1", "", "a1 a2 b1"),
        ("one ahead already", zone(1), "a1 a2 b1", "a1", "b1"),
        ("level again", zone(1), "a1 a2 b1", "a1 b1", "a1 a2 b1"),
        ("one ahead is fine with skew 2", zone(2), "a1 a2 b1", "a1", "a1 a2 b1"),
        ("two ahead is not", zone(2), "a1 a2 b1", "a1 a2", "b1"),
        ("three zones, one empty", zone(1), "a1 b1 c1", "a1 b1", "c1"),
        ("three zones, uneven", zone(1), "a1 b1 c1", "a1 a1 b1 c1", "b1 c1"),
        ("already worse than allowed", zone(1), "a1 b1", "a1 a1 a1", "b1"),
        ("by node", host(1), "a1 a2 b1", "a1", "a2 b1"),
        ("by node, level", host(1), "a1 a2 b1", "a1 a2 b1", "a1 a2 b1"),
        ("zone and node", [zone(1), host(1)].concat(), "a1 a2 b1 b2", "a1", "b1 b2"),
        ("zone and node cross each other", [zone(1), host(1)].concat(), "a1 a2 b1", "a1 b1", "a2"),
        ("zones decide where nodes are level", [zone(1), host(1)].concat(), "a1 a2 b1", "a1 b1 a2", "b1"),
        ("one zone counts as level with itself", zone(1), "a1 a2", "a1 a1 a1", "a1 a2"),
        ("fewer domains than minDomains: the emptiest has none", domains(3), "a1 b1", "a1 b1", ""),
        ("fewer domains, but still empty ones", domains(3), "a1 b1", "a1", "b1"),
        ("as many as minDomains", domains(2), "a1 b1", "a1 b1", "a1 b1"),
        ("nothing selected: nothing counted", of(None), "a1 b1", "a1 a1", "a1 b1"),
        ("does not select itself: one more is allowed", of(select("app=other")), "a1 b1", "a1 a1", "a1 b1"),
        ("an empty selector counts everybody", of(Some(Selector::default())), "a1 b1", "a1", "b1"),
        ("a preference forbids nothing", soft, "a1 b1", "a1 a1 a1", "a1 b1"),
    ] {
        let mut bench = Bench::new(zoned(nodes), vec![web(constraints)]);
        crowd(&mut bench, pods);
        assert_eq!(bench.open_to("web"), want, "{case}");
    }
}

#[test]
fn who_is_counted_and_which_nodes_are_domains() {
    // Zones a and b; the web pods stand in a.
    type Change = fn(&mut Workload, &mut Bench0);
    struct Bench0 {
        nodes: Vec<Node>,
        ending: bool,
        stranger: bool,
    }
    for (case, change, want) in [
        ("as it is", (|_, _| {}) as Change, "b1"),
        ("pods that end are not counted", |_, bench| bench.ending = true, "a1 b1"),
        ("pods of other namespaces are not counted", |_, bench| bench.stranger = true, "a1 b1"),
        ("a node without the label will not do", |_, bench| bench.nodes.push(node("x", 4, &[])), "b1"),
        (
            "nodes that the selector excludes are no domains",
            |web, _| web.node_selector = labels(&[("zone", "a")]),
            "a1",
        ),
        (
            "unless nodeAffinityPolicy ignores it",
            |web, _| {
                web.node_selector = labels(&[("zone", "a")]);
                web.spread[0].honor_affinity = false;
            },
            "",
        ),
        (
            "tainted nodes are domains by default",
            |_, bench| bench.nodes[1] = tainted(bench.nodes[1].clone(), platform::Effect::NoSchedule),
            "",
        ),
        (
            "unless nodeTaintsPolicy honours them",
            |web, bench| {
                bench.nodes[1] = tainted(bench.nodes[1].clone(), platform::Effect::NoSchedule);
                web.spread[0].honor_taints = true;
            },
            "a1",
        ),
        (
            "a taint that is tolerated excludes nothing",
            |web, bench| {
                bench.nodes[1] = tainted(bench.nodes[1].clone(), platform::Effect::NoExecute);
                web.spread[0].honor_taints = true;
                web.tolerations = vec![tolerates_dedicated()];
            },
            "b1",
        ),
    ] {
        let mut web = web(vec![spread("zone", 1)]);
        let mut with = Bench0 { nodes: zoned("a1 b1"), ending: false, stranger: false };
        change(&mut web, &mut with);
        let stranger = Workload { name: "stranger".into(), namespace: "elsewhere".into(), ..web.clone() };
        let mut bench = Bench::new(with.nodes, vec![web, stranger]);
        let pod = bench.put(if with.stranger { "stranger" } else { "web" }, "a1");
        if with.ending {
            bench.scheduler.ending(0, pod);
        }
        assert_eq!(bench.open_to("web"), want, "{case}");
    }
}

#[test]
fn match_label_keys_look_at_one_revision_only() {
    let mut constraint = spread("zone", 1);
    constraint.match_label_keys = vec!["pod-template-hash".into(), "absent".into()];
    let mut bench = Bench::new(zoned("a1 b1"), vec![web(vec![constraint])]);
    for _ in 0..3 {
        let old = bench.candidate_with("web", &[("pod-template-hash", "old")]);
        bench.stand(old, "a1");
    }
    let new = bench.candidate_with("web", &[("pod-template-hash", "new")]);
    assert_eq!(bench.open_to_candidate(&new), "a1 b1", "pods of the old template do not count");
    bench.stand(new, "a1");
    let next = bench.candidate_with("web", &[("pod-template-hash", "new")]);
    assert_eq!(bench.open_to_candidate(&next), "b1");
}

#[test]
fn refusals_tell_a_missing_label_from_too_much_skew() {
    let mut nodes = zoned("a1 b1");
    nodes.push(node("x", 4, &[]));
    let web = Workload { node_selector: labels(&[]), ..web(vec![spread("zone", 1)]) };
    let mut bench = Bench::new(nodes, vec![web, workload("other", 4_000)]);
    bench.put("web", "a1");
    bench.put("other", "b1");
    assert_eq!(
        bench.refusal("web"),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints, \
         1 node(s) didn't match pod topology spread constraints (missing required label). \
         no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, \
         2 No preemption victims found for incoming pod."
    );
}

#[test]
fn the_built_in_preference_spreads_over_zones_and_nodes() {
    let zones = |names: &str| -> Vec<Node> {
        names.split(' ').map(|name| node(name, 64, &[("topology.kubernetes.io/zone", &name[..1])])).collect()
    };
    let service = Service {
        name: "web".into(),
        namespace: "shop".into(),
        selector: labels(&[("app", "web")]),
        ..Service::default()
    };
    for round in 0..20 {
        let platform =
            Platform { workloads: vec![workload("web", 10)], services: vec![service.clone()], ..Platform::default() };
        let mut bench = Bench::of(zones("a1 a2 b1 b2 c1 c2"), platform);
        bench.pods = round * 10;
        let mut all: Vec<_> = (0..6).map(|_| bench.bind("web")).collect();
        let mut zones: Vec<_> = all[..3].iter().map(|name| &name[..1]).collect();
        zones.sort_unstable();
        assert_eq!(zones, ["a", "b", "c"], "first over the zones");
        all.sort_unstable();
        assert_eq!(all, ["a1", "a2", "b1", "b2", "c1", "c2"], "then over the nodes");
    }
}

#[test]
fn what_the_built_in_preference_counts() {
    // One node has three pods of the workload (or its older template), the other none; both have the same room.
    let kinds = [
        ("a Deployment's", WorkloadKind::Deployment, "old", "b"),
        (
            "a StatefulSet's, whatever the template",
            WorkloadKind::StatefulSet { service: String::new(), parallel: false, partition: 0, on_delete: false },
            "old",
            "b",
        ),
    ];
    for (case, kind, hash, want) in kinds {
        let nodes = vec![
            node("a", 64, &[("topology.kubernetes.io/zone", "a")]),
            node("b", 64, &[("topology.kubernetes.io/zone", "b")]),
        ];
        let mut bench = Bench::new(nodes, vec![Workload { kind, ..workload("web", 10) }]);
        for _ in 0..3 {
            let pod = bench.candidate_with("web", &[("pod-template-hash", hash)]);
            bench.stand(pod, "a");
        }
        let next = bench.candidate_with("web", &[("pod-template-hash", hash)]);
        let scores = super::super::spread::score(&bench.scheduler.inventory, &next, &[0, 1]).unwrap();
        assert!(scores[1] > scores[0], "{case}: {scores:?}");
        assert_eq!(bench.schedule(&next), Outcome::Bound(bench.index(want)), "{case}");
    }
    // A Deployment's new template does not see the old one's pods.
    let mut bench = Bench::new(zoned("a b"), vec![workload("web", 10)]);
    let old = bench.candidate_with("web", &[("pod-template-hash", "old")]);
    bench.stand(old, "a");
    let new = bench.candidate_with("web", &[("pod-template-hash", "new")]);
    let scores = super::super::spread::score(&bench.scheduler.inventory, &new, &[0, 1]);
    assert_eq!(scores.map(|scores| scores[0] == scores[1]), Some(true));
    // A bare pod that no Service selects has no like.
    let bare = Workload { kind: WorkloadKind::Pod, ..workload("web", 10) };
    let mut bench = Bench::new(zoned("a b"), vec![bare]);
    let pod = bench.candidate("web");
    assert_eq!(super::super::spread::score(&bench.scheduler.inventory, &pod, &[0, 1]), None);
}

#[test]
fn preferences_score_by_weighted_counts() {
    // After `TestPodTopologySpreadScore`: pods per node, then the scores that follow.
    let soft = |key: &str, skew| SpreadConstraint { required: false, ..spread(key, skew) };
    let zone = || vec![soft("zone", 1)];
    let host = || vec![soft("kubernetes.io/hostname", 1)];
    for (case, constraints, nodes, pods, want) in [
        ("nobody anywhere", zone(), "a1 b1", "", vec![100, 100]),
        ("one zone has one", zone(), "a1 b1", "a1", vec![0, 100]),
        ("two to one", zone(), "a1 b1", "a1 a1 b1", vec![33, 100]),
        ("both nodes of a zone count together", zone(), "a1 a2 b1", "a1", vec![0, 0, 100]),
        ("by node", host(), "a1 a2 b1", "a1 a1 a2", vec![0, 33, 100]),
        ("skew waters down", vec![soft("zone", 5)], "a1 b1", "a1", vec![80, 100]),
        ("a node without the label scores nothing", zone(), "a1 b1 -", "a1", vec![0, 100, 0]),
        ("required ones do not score", vec![spread("zone", 9)], "a1 b1", "a1", vec![]),
    ] {
        let mut all = zoned(nodes);
        all.iter_mut().filter(|node| node.name == "-").for_each(|node| node.labels.clear());
        let mut bench = Bench::new(all, vec![web(constraints)]);
        crowd(&mut bench, pods);
        let pod = bench.candidate("web");
        let fits: Vec<_> = bench.scheduler.present().map(|(index, _)| index).collect();
        let scores = super::super::spread::score(&bench.scheduler.inventory, &pod, &fits).unwrap_or_default();
        assert_eq!(scores, want, "{case}");
    }
}
