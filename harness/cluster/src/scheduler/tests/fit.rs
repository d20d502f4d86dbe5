//! Resources, taints, selectors and node affinity, and the words for what they refuse.

use platform::{Effect, Operator, Requirement, WorkloadKind};

use super::*;

#[test]
fn requests_fit_into_what_is_left() {
    // A node of 4 cores and 8 GiB with 3 cores and 6 GiB taken by two pods; of 3 pods at most.
    for (case, milli, mebi, pods, want) in [
        ("fits exactly", Some(1_000), Some(2_048), 3, Ok(())),
        ("one millicore too many", Some(1_001), Some(2_048), 3, Err("1 Insufficient cpu")),
        ("one mebibyte too many", Some(1_000), Some(2_049), 3, Err("1 Insufficient memory")),
        ("both", Some(1_001), Some(2_049), 3, Err("1 Insufficient cpu, 1 Insufficient memory")),
        ("asks for nothing", None, None, 3, Ok(())),
        ("asks for nothing but there are too many", None, None, 2, Err("1 Too many pods")),
        ("too many and too much", Some(5_000), None, 2, Err("1 Insufficient cpu, 1 Too many pods")),
        ("no memory asked, none missed", Some(1_000), None, 3, Ok(())),
        ("zero is as good as nothing", Some(0), Some(0), 3, Ok(())),
    ] {
        let mut asking = workload("web", 0);
        asking.containers[0].requests =
            Resources { cpu: milli.map(Millicores::new), memory: mebi.map(Bytes::from_mebi) };
        let mut other = workload("other", 1_500);
        other.containers[0].requests.memory = Some(Bytes::from_mebi(3_072));
        let mut bench = Bench::new(vec![Node { pods, ..node("n", 4, &[]) }], vec![asking, other]);
        bench.put("other", "n");
        bench.put("other", "n");
        let told = bench.bind("web");
        match want {
            Ok(()) => assert_eq!(told, "n", "{case}"),
            Err(reasons) => {
                assert!(told.starts_with(&format!("0/1 nodes are available: {reasons}.")), "{case}: {told}");
            }
        }
    }
}

#[test]
fn init_containers_and_sidecars_count_as_they_run() {
    let container = |milli, sidecar| Container {
        sidecar,
        requests: Resources { cpu: Some(Millicores::new(milli)), memory: None },
        ..Container::default()
    };
    for (case, init, main, fits) in [
        ("init containers run one after the other", vec![container(900, false), container(1_000, false)], 500, true),
        ("the neediest counts", vec![container(1_001, false)], 500, false),
        ("a sidecar runs beside the main one", vec![container(500, true)], 500, true),
        ("a sidecar runs beside the main one, too much", vec![container(501, true)], 500, false),
        ("an init container runs beside earlier sidecars", vec![container(500, true), container(501, false)], 1, false),
        ("and not beside later ones", vec![container(600, false), container(500, true)], 1, true),
    ] {
        let mut web = workload("web", main);
        web.init_containers = init;
        let mut bench = Bench::new(vec![node("n", 1, &[])], vec![web]);
        assert_eq!(bench.open_to("web") == "n", fits, "{case}");
    }
}

#[test]
fn reasons_read_as_kubectl_tells_them() {
    let mut nodes: Vec<_> = (0..6).map(|i| node(&format!("app-{i}"), 1, &[("kind", "app")])).collect();
    nodes.extend((0..3).map(|i| tainted(node(&format!("db-{i}"), 1, &[]), Effect::NoSchedule)));
    let mut picky = workload("picky", 100);
    picky.node_selector = labels(&[("kind", "gpu")]);
    picky.tolerations.push(tolerates_dedicated());
    let workloads = || vec![workload("large", 2_000), picky.clone(), workload("medium", 600)];
    let mut bench = Bench::new(nodes, workloads());
    assert_eq!(
        bench.refusal("large"),
        "0/9 nodes are available: 3 node(s) had untolerated taint(s), 6 Insufficient cpu. \
         no new claims to deallocate, preemption: 0/9 nodes are available: 9 Preemption is not helpful for scheduling."
    );
    assert_eq!(
        bench.refusal("picky"),
        "0/9 nodes are available: 9 node(s) didn't match Pod's node affinity/selector. \
         no new claims to deallocate, preemption: 0/9 nodes are available: 9 Preemption is not helpful for scheduling."
    );
    for i in 0..6 {
        bench.put("medium", &format!("app-{i}"));
    }
    bench.scheduler.cordon(0, true);
    assert_eq!(
        bench.refusal("medium"),
        "0/9 nodes are available: 1 node(s) were unschedulable, 3 node(s) had untolerated taint(s), \
         5 Insufficient cpu. no new claims to deallocate, preemption: 0/9 nodes are available: 4 Preemption is not helpful for scheduling, \
         5 No preemption victims found for incoming pod."
    );
    assert_eq!(Bench::new(vec![], workloads()).refusal("large"), "no nodes available to schedule pods");
}

#[test]
fn taints_keep_out_those_who_do_not_tolerate_them() {
    let tolerate = |key: Option<&str>, value: Option<&str>, effect| Toleration {
        key: key.map(str::to_owned),
        value: value.map(str::to_owned),
        effect,
        seconds: None,
    };
    for (case, effect, toleration, open) in [
        ("nothing tolerated", Effect::NoSchedule, None, false),
        ("NoExecute keeps out, too", Effect::NoExecute, None, false),
        ("a soft taint forbids nothing", Effect::PreferNoSchedule, None, true),
        ("by key and value", Effect::NoSchedule, Some(tolerate(Some("dedicated"), Some("database"), None)), true),
        ("another value", Effect::NoSchedule, Some(tolerate(Some("dedicated"), Some("cache"), None)), false),
        ("any value", Effect::NoSchedule, Some(tolerate(Some("dedicated"), None, None)), true),
        ("everything", Effect::NoExecute, Some(tolerate(None, None, None)), true),
        ("of another effect", Effect::NoExecute, Some(tolerate(None, None, Some(Effect::NoSchedule))), false),
        ("another key", Effect::NoSchedule, Some(tolerate(Some("gpu"), None, None)), false),
    ] {
        let mut web = workload("web", 100);
        web.tolerations.extend(toleration);
        let mut bench = Bench::new(vec![tainted(node("n", 4, &[]), effect)], vec![web]);
        assert_eq!(bench.open_to("web") == "n", open, "{case}");
    }
}

#[test]
fn a_soft_taint_is_avoided_while_there_is_another_node() {
    let nodes = vec![tainted(node("db", 4, &[]), Effect::PreferNoSchedule), node("app", 1, &[])];
    let mut bench = Bench::new(nodes, vec![workload("web", 900)]);
    assert_eq!(bench.bind("web"), "app");
    assert_eq!(bench.bind("web"), "db", "the other one is full");
}

#[test]
fn node_affinity_chooses_by_labels_and_by_name() {
    let nodes = || {
        vec![
            node("a", 4, &[("zone", "a"), ("generation", "5")]),
            node("b", 4, &[("zone", "b"), ("generation", "7"), ("gpu", "yes")]),
            node("c", 4, &[("zone", "c")]),
        ]
    };
    let is = |key: &str, operator| Requirement { key: key.into(), operator };
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (case, terms, want) in [
        ("none declared", vec![], "a b c"),
        ("In", vec![vec![within("zone", &["a", "b"])]], "a b"),
        ("NotIn takes nodes without the label", vec![vec![is("gpu", Operator::NotIn(words(&["yes"])))]], "a c"),
        ("Exists", vec![vec![is("gpu", Operator::Exists)]], "b"),
        ("DoesNotExist", vec![vec![is("generation", Operator::DoesNotExist)]], "c"),
        ("Gt compares numbers", vec![vec![is("generation", Operator::Gt(5))]], "b"),
        ("Lt compares numbers", vec![vec![is("generation", Operator::Lt(7))]], "a"),
        ("Gt on what is no number", vec![vec![is("zone", Operator::Gt(0))]], ""),
        ("all of a term", vec![vec![within("zone", &["a", "b"]), is("gpu", Operator::Exists)]], "b"),
        ("any of the terms", vec![vec![within("zone", &["c"])], vec![is("gpu", Operator::Exists)]], "b c"),
        ("a term without requirements meets nothing", vec![vec![]], ""),
        ("by name", vec![vec![within("metadata.name", &["c"])]], "c"),
        (
            "by names of several terms",
            vec![vec![within("metadata.name", &["c"])], vec![within("metadata.name", &["a"])]],
            "a c",
        ),
        ("by name and label", vec![vec![within("metadata.name", &["c"]), within("zone", &["a"])]], ""),
        ("not by name", vec![vec![is("metadata.name", Operator::NotIn(words(&["c"])))]], "a b"),
        (
            "names that exclude each other",
            vec![vec![within("metadata.name", &["a"]), within("metadata.name", &["b"])]],
            "",
        ),
    ] {
        let mut web = workload("web", 100);
        web.node_affinity = terms;
        assert_eq!(Bench::new(nodes(), vec![web]).open_to("web"), want, "{case}");
    }
    let mut both = workload("web", 100);
    both.node_selector = labels(&[("zone", "a")]);
    both.node_affinity = vec![vec![is("gpu", Operator::Exists)]];
    assert_eq!(Bench::new(nodes(), vec![both]).open_to("web"), "", "selector and affinity hold together");
}

#[test]
fn preferred_nodes_win_over_emptier_ones() {
    let mut web = workload("web", 100);
    web.preferred_nodes = vec![(10, vec![within("zone", &["a"])]), (80, vec![within("zone", &["b"])]), (100, vec![])];
    let mut bench = Bench::new(zoned("a b c"), vec![web, workload("other", 1_000)]);
    bench.put("other", "b");
    assert_eq!(bench.bind("web"), "b");
    bench.put("other", "b");
    bench.put("other", "b");
    bench.put("other", "b");
    assert_eq!(bench.bind("web"), "a", "b is full");
}

#[test]
fn a_daemon_goes_to_its_node_or_nowhere() {
    let mut agent = workload("agent", 500);
    agent.kind = WorkloadKind::DaemonSet;
    let mut bench = Bench::new(zoned("a b c"), vec![agent, workload("web", 3_800)]);
    let to = |bench: &mut Bench, node: usize| {
        let candidate = Candidate { only: Some(node), ..bench.candidate("agent") };
        (bench.scheduler.wants_daemon(&candidate, node), bench.schedule(&candidate))
    };
    assert_eq!(to(&mut bench, 2), (true, Outcome::Bound(2)));
    bench.scheduler.cordon(1, true);
    assert_eq!(to(&mut bench, 1), (true, Outcome::Bound(1)), "a DaemonSet does not mind a cordon");
    bench.put("web", "a");
    let reason = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. \
                  no new claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, \
                  2 Preemption is not helpful for scheduling.";
    assert_eq!(to(&mut bench, 0), (true, Outcome::Refused { reason: reason.into(), victims: vec![] }));
    let taint = Taint { key: "gone".into(), value: String::new(), effect: Effect::NoSchedule };
    bench.scheduler.taint(0, taint.clone());
    bench.scheduler.taint(0, taint);
    assert!(!to(&mut bench, 0).0, "but it does mind other taints");
    bench.scheduler.untaint(0, "gone");
    assert!(to(&mut bench, 0).0);
}
