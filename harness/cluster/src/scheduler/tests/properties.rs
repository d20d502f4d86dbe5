//! What holds of every binding, over random clusters: all hard constraints, checked by other means than the filters'.

use platform::{Effect, PodAffinity, SpreadConstraint};
use proptest::prelude::*;

use super::*;

const APPS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    End(usize),
    Gone(usize),
}

fn arb_node() -> impl Strategy<Value = Node> {
    (1..5_u64, 0..3_usize, 1..6_u32, prop::option::weighted(0.2, any::<bool>()), any::<bool>()).prop_map(
        |(cores, zone, pods, taint, labelled)| {
            let zone = ["a", "b", "c"][zone];
            let mut node = Node { pods, ..node("n", cores, if labelled { &[("disk", "ssd")] } else { &[] }) };
            node.labels.insert("zone".into(), zone.into());
            match taint {
                Some(hard) => tainted(node, if hard { Effect::NoSchedule } else { Effect::PreferNoSchedule }),
                None => node,
            }
        },
    )
}

fn arb_affinity() -> impl Strategy<Value = PodAffinity> {
    (any::<bool>(), prop::option::of(1..100_u32), 0..3_usize, any::<bool>()).prop_map(|(anti, weight, app, by_zone)| {
        PodAffinity {
            anti,
            weight,
            selector: select(&format!("app={}", APPS[app])),
            namespaces: vec![],
            namespace_selector: None,
            topology_key: if by_zone { "zone" } else { "kubernetes.io/hostname" }.into(),
            match_label_keys: vec![],
        }
    })
}

fn arb_spread(name: &'static str) -> impl Strategy<Value = SpreadConstraint> {
    (1..3_u32, any::<bool>(), any::<bool>(), prop::option::of(1..4_u32)).prop_map(
        move |(max_skew, by_zone, required, min_domains)| SpreadConstraint {
            max_skew,
            topology_key: if by_zone { "zone" } else { "kubernetes.io/hostname" }.into(),
            required,
            selector: select(&format!("app={name}")),
            min_domains: min_domains.filter(|_| required),
            honor_affinity: false,
            honor_taints: false,
            match_label_keys: vec![],
        },
    )
}

fn arb_workload(name: &'static str) -> impl Strategy<Value = Workload> {
    (
        100..2_500_u64,
        -1..2_i32,
        prop::collection::vec(arb_affinity(), 0..2),
        prop::collection::vec(arb_spread(name), 0..2),
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(move |(milli, priority, pod_affinity, spread, tolerant, picky)| Workload {
            priority,
            pod_affinity,
            spread,
            tolerations: if tolerant { vec![tolerates_dedicated()] } else { vec![] },
            node_selector: if picky { labels(&[("disk", "ssd")]) } else { Labels::new() },
            ..workload(name, milli)
        })
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Add),
        1 => (0..40_usize).prop_map(Step::End),
        1 => (0..40_usize).prop_map(Step::Gone),
    ]
}

/// Pods on each node, by app, with whether they end.
fn standing(bench: &Bench) -> Vec<(usize, String, bool)> {
    let places = bench.scheduler.inventory.places.iter().enumerate();
    let pods = places.flat_map(|(node, place)| place.pods.values().map(move |placed| (node, placed)));
    pods.map(|(node, placed)| (node, placed.candidate.labels["app"].clone(), placed.ending)).collect()
}

fn holds_after_binding(
    bench: &Bench,
    workloads: &[Workload],
    web: &Workload,
    node: usize,
) -> Result<(), TestCaseError> {
    let nodes: Vec<_> = bench.scheduler.present().map(|(_, place)| place.node.clone()).collect();
    let all = standing(bench);
    let here = &nodes[node];
    let same = |key: &str, other: usize| nodes[other].labels.get(key) == here.labels.get(key);
    prop_assert!(web.node_selector.iter().all(|(key, value)| here.labels.get(key) == Some(value)));
    let bears = |taint: &Taint| taint.effect == Effect::PreferNoSchedule || !web.tolerations.is_empty();
    prop_assert!(here.taints.iter().all(bears));
    let asked = |app: &str| workloads.iter().find(|w| w.name == app).unwrap().requests().cpu.unwrap().get();
    let on: Vec<_> = all.iter().filter(|(other, ..)| *other == node).collect();
    prop_assert!(on.len() <= here.pods as usize);
    prop_assert!(on.iter().map(|(_, app, _)| asked(app)).sum::<u64>() <= here.cpu.get());
    for term in web.pod_affinity.iter().filter(|term| term.weight.is_none()) {
        let target = &term.selector.as_ref().unwrap().labels["app"];
        let count = all.iter().filter(|(other, app, _)| same(&term.topology_key, *other) && app == target).count();
        let itself = usize::from(*target == web.name);
        if term.anti {
            prop_assert_eq!(count - itself, 0, "apart from {}", target);
        } else {
            let first = all.iter().filter(|(_, app, _)| app == target).count() == itself;
            prop_assert!(count > itself || (first && itself == 1), "beside {}", target);
        }
    }
    for (other, app, _) in &all {
        let terms = &workloads.iter().find(|w| w.name == *app).unwrap().pod_affinity;
        for term in terms.iter().filter(|t| t.anti && t.weight.is_none() && *app != web.name) {
            let unwelcome = term.selector.as_ref().unwrap().labels["app"] == web.name;
            prop_assert!(!(unwelcome && same(&term.topology_key, *other)), "{} keeps it away", app);
        }
    }
    for constraint in web.spread.iter().filter(|constraint| constraint.required) {
        let mut domains: BTreeMap<&str, u32> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let count = all.iter().filter(|(on, app, ending)| *on == index && !ending && *app == web.name).count();
            *domains.entry(&node.labels[&constraint.topology_key]).or_default() += count as u32;
        }
        let mine = domains[here.labels[&constraint.topology_key].as_str()];
        // The emptiest domain as it was: the new pod is in none but its own.
        let before =
            |(domain, count): (&&str, &u32)| count - u32::from(*domain == here.labels[&constraint.topology_key]);
        let few = domains.len() < constraint.min_domains.unwrap_or(1) as usize;
        let emptiest = if few { 0 } else { domains.iter().map(before).min().unwrap() };
        prop_assert!(mine - emptiest <= constraint.max_skew, "{:?}", domains);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_binding_keeps_all_hard_constraints(
        nodes in prop::collection::vec(arb_node(), 1..7),
        workloads in (arb_workload("x"), arb_workload("y"), arb_workload("z")),
        steps in prop::collection::vec(arb_step(), 1..60),
    ) {
        let workloads = vec![workloads.0, workloads.1, workloads.2];
        let named = nodes.into_iter().enumerate().map(|(i, node)| Node { name: format!("n{i}"), ..node });
        let mut bench = Bench::new(named.collect(), workloads.clone());
        let count = bench.scheduler.present().count();
        for step in steps {
            match step {
                Step::Add(app) => {
                    let candidate = bench.candidate(APPS[app]);
                    match bench.schedule(&candidate) {
                        Outcome::Bound(node) => holds_after_binding(&bench, &workloads, &workloads[app], node)?,
                        Outcome::Refused { reason, victims } => {
                            // Each node refuses for one reason, or for several resources.
                            let head = reason.split(" preemption:").next().unwrap().trim_end_matches('.');
                            let told = head.split_once("available: ").map(|(_, told)| told).unwrap();
                            let numbers = told.split(", ").map(|part| part.split(' ').next().unwrap());
                            let sum: usize = numbers.map(|n| n.parse::<usize>().unwrap()).sum();
                            prop_assert!(sum >= count, "{}", reason);
                            let several = reason.contains("Insufficient") || reason.contains("Too many");
                            prop_assert!(sum == count || several);
                            let start = format!("0/{count} nodes are available: ");
                            prop_assert!(reason.starts_with(&start));
                            let lower = |pod: &PodId| {
                                let node = bench.on[pod];
                                let app = &bench.scheduler.inventory.places[node].pods[pod].candidate;
                                bench.scheduler.inventory.priority(app) < workloads[app_of(app)].priority.max(2)
                            };
                            prop_assert!(victims.iter().all(lower));
                            for pod in victims {
                                bench.scheduler.ending(bench.on[&pod], pod);
                            }
                        }
                    }
                }
                Step::End(pod) => {
                    if let Some(node) = bench.on.get(&PodId(pod as u32)).copied() {
                        bench.scheduler.ending(node, PodId(pod as u32));
                    }
                }
                Step::Gone(pod) => {
                    if let Some(node) = bench.on.remove(&PodId(pod as u32)) {
                        bench.scheduler.release(node, PodId(pod as u32));
                    }
                }
            }
        }
    }
}

fn app_of(candidate: &Candidate) -> usize {
    usize::from(candidate.workload.0)
}
