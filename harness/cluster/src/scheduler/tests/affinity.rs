//! Affinity and anti-affinity between pods: who may stand beside whom, and who likes to.

use platform::{Namespace, PodAffinity};

use super::*;

fn near(selector: &str, key: &str) -> PodAffinity {
    PodAffinity {
        anti: false,
        weight: None,
        selector: select(selector),
        namespaces: vec![],
        namespace_selector: None,
        topology_key: key.into(),
        match_label_keys: vec![],
    }
}
fn apart(selector: &str, key: &str) -> PodAffinity {
    PodAffinity { anti: true, ..near(selector, key) }
}
const HOST: &str = "kubernetes.io/hostname";

/// A pod of `web` with these terms; `db` stands where `db` says.
fn open(terms: Vec<PodAffinity>, db: &str) -> String {
    let web = Workload { pod_affinity: terms, ..workload("web", 10) };
    let mut bench = Bench::new(zoned("a1 a2 b1"), vec![web, workload("db", 10)]);
    for name in db.split(' ').filter(|name| !name.is_empty()) {
        bench.put("db", name);
    }
    bench.open_to("web")
}

#[test]
fn required_terms_choose_nodes() {
    let nothing = PodAffinity { selector: None, ..near("app=db", "zone") };
    let soft = PodAffinity { weight: Some(100), ..near("app=db", "zone") };
    for (case, terms, db, want) in [
        ("beside db, by zone", vec![near("app=db", "zone")], "a1", "a1 a2"),
        ("beside db, by node", vec![near("app=db", HOST)], "a1", "a1"),
        ("beside db, which is nowhere", vec![near("app=db", "zone")], "", ""),
        ("apart from db, by zone", vec![apart("app=db", "zone")], "a1", "b1"),
        ("apart from db, by node", vec![apart("app=db", HOST)], "a1", "a2 b1"),
        ("apart from db, which is nowhere", vec![apart("app=db", "zone")], "", "a1 a2 b1"),
        ("apart from db, which is everywhere", vec![apart("app=db", "zone")], "a2 b1", ""),
        ("in its zone, not on its node", vec![near("app=db", "zone"), apart("app=db", HOST)], "a1", "a2"),
        ("two terms, one pod has to satisfy both", vec![near("app=db", "zone"), near("app=db", HOST)], "a1", "a1"),
        ("no selector selects nobody: never beside", vec![nothing.clone()], "a1", ""),
        ("no selector selects nobody: apart from none", vec![PodAffinity { anti: true, ..nothing }], "a1", "a1 a2 b1"),
        ("a key that no node has: never beside", vec![near("app=db", "rack")], "a1", ""),
        ("a key that no node has: apart from none", vec![apart("app=db", "rack")], "a1", "a1 a2 b1"),
        ("a preference forbids nothing", vec![soft.clone()], "a1", "a1 a2 b1"),
        ("nor does a dislike", vec![PodAffinity { anti: true, ..soft }], "a1", "a1 a2 b1"),
    ] {
        assert_eq!(open(terms, db), want, "{case}");
    }
}

#[test]
fn the_first_of_a_group_may_go_anywhere() {
    for (case, terms, other, want) in [
        ("it selects itself, and nobody is there", vec![near("app=web", "zone")], None, "a1 a2 b1"),
        ("somebody is there", vec![near("app=web", "zone")], Some("b1"), "b1"),
        ("one of its terms does not select itself", vec![near("app=web", "zone"), near("app=db", "zone")], None, ""),
        ("the label is missing everywhere", vec![near("app=web", "rack")], None, ""),
        ("one per zone: the first", vec![apart("app=web", "zone")], None, "a1 a2 b1"),
        ("one per zone: the second", vec![apart("app=web", "zone")], Some("b1"), "a1 a2"),
    ] {
        let web = Workload { pod_affinity: terms, ..workload("web", 10) };
        let mut bench = Bench::new(zoned("a1 a2 b1"), vec![web, workload("db", 10)]);
        if let Some(node) = other {
            bench.put("web", node);
        }
        assert_eq!(bench.open_to("web"), want, "{case}");
    }
}

#[test]
fn anti_affinity_works_both_ways() {
    // `db` stands in zone a and wants nobody of `web` near.
    for (case, term, want) in [
        ("by zone", Some(apart("app=web", "zone")), "b1"),
        ("by node", Some(apart("app=web", HOST)), "a2 b1"),
        ("somebody else", Some(apart("app=cache", "zone")), "a1 a2 b1"),
        ("affinity is not symmetric", Some(near("app=web", "zone")), "a1 a2 b1"),
        ("a preference does not forbid", Some(PodAffinity { weight: Some(1), ..apart("app=web", "zone") }), "a1 a2 b1"),
        ("no terms", None, "a1 a2 b1"),
    ] {
        let db = Workload { pod_affinity: term.into_iter().collect(), ..workload("db", 10) };
        let mut bench = Bench::new(zoned("a1 a2 b1"), vec![workload("web", 10), db]);
        let pod = bench.put("db", "a1");
        assert_eq!(bench.open_to("web"), want, "{case}");
        bench.scheduler.ending(0, pod);
        assert_eq!(bench.open_to("web"), want, "{case}: as long as it is there");
        bench.scheduler.release(0, pod);
        assert_eq!(bench.open_to("web"), "a1 a2 b1", "{case}: gone");
    }
}

#[test]
fn terms_look_into_the_namespaces_they_name() {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let with = |namespaces: &[&str], selector| PodAffinity {
        namespaces: named(namespaces),
        namespace_selector: selector,
        ..near("app=db", "zone")
    };
    for (case, term, want) in [
        ("its own by default: the one in shop", with(&[], None), "a1 a2"),
        ("another by name", with(&["data"], None), "b1"),
        ("both by name", with(&["data", "shop"], None), "a1 a2 b1"),
        ("an empty selector takes all", with(&[], Some(Selector::default())), "a1 a2 b1"),
        ("by a label of the namespace", with(&[], select("team=data")), "b1"),
        ("by the label that has its name", with(&[], select("kubernetes.io/metadata.name=shop")), "a1 a2"),
        ("a selector and a name together", with(&["shop"], select("team=data")), "a1 a2 b1"),
        ("a label that no namespace has", with(&[], select("team=none")), ""),
    ] {
        let web = Workload { pod_affinity: vec![term], ..workload("web", 10) };
        let far = Workload { name: "far".into(), namespace: "data".into(), ..workload("db", 10) };
        let platform = Platform {
            workloads: vec![web, workload("db", 10), far],
            namespaces: vec![Namespace { name: "data".into(), labels: labels(&[("team", "data")]) }],
            ..Platform::default()
        };
        let mut bench = Bench::of(zoned("a1 a2 b1"), platform);
        bench.put("db", "a1");
        bench.put("far", "b1");
        assert_eq!(bench.open_to("web"), want, "{case}");
    }
}

#[test]
fn match_label_keys_keep_revisions_apart() {
    let term = PodAffinity { match_label_keys: vec!["pod-template-hash".into()], ..apart("app=web", HOST) };
    let mut bench = Bench::new(zoned("a b"), vec![Workload { pod_affinity: vec![term], ..workload("web", 10) }]);
    let old = bench.candidate_with("web", &[("pod-template-hash", "old")]);
    bench.stand(old, "a");
    let new = bench.candidate_with("web", &[("pod-template-hash", "new")]);
    assert_eq!(bench.open_to_candidate(&new), "a b", "apart from its own revision only");
    bench.stand(new, "a");
    let next = bench.candidate_with("web", &[("pod-template-hash", "new")]);
    assert_eq!(bench.open_to_candidate(&next), "b");
}

#[test]
fn refusals_name_the_rule() {
    let three = |term: PodAffinity, mine: bool| {
        let web = Workload { pod_affinity: if mine { vec![term.clone()] } else { vec![] }, ..workload("web", 10) };
        let db = Workload { pod_affinity: if mine { vec![] } else { vec![term] }, ..workload("db", 10) };
        let mut bench = Bench::new(zoned("a1 a2"), vec![web, db]);
        bench.put("db", "a1");
        bench.refusal("web")
    };
    let helpless =
        "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    let nobody = "no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    let one = "no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
    for (term, mine, reason, preemption) in [
        (near("app=cache", "zone"), true, "2 node(s) didn't match pod affinity rules", helpless),
        (apart("app=db", "zone"), true, "2 node(s) didn't match pod anti-affinity rules", nobody),
        (apart("app=web", "zone"), false, "2 node(s) didn't satisfy existing pods anti-affinity rules", one),
    ] {
        assert_eq!(three(term, mine), format!("0/2 nodes are available: {reason}. {preemption}"));
    }
}

#[test]
fn preferences_score_both_ways() {
    let weighted = |weight, term| PodAffinity { weight: Some(weight), ..term };
    // Nodes a1, a2, b1; one db on a1, one cache on b1.
    for (case, mine, dbs, want) in [
        ("nobody prefers anything", vec![], vec![], None),
        ("likes db", vec![weighted(10, near("app=db", "zone"))], vec![], Some(vec![100, 100, 0])),
        ("dislikes db", vec![weighted(10, apart("app=db", "zone"))], vec![], Some(vec![0, 0, 100])),
        ("likes db's node", vec![weighted(10, near("app=db", HOST))], vec![], Some(vec![100, 0, 0])),
        (
            "likes db less than cache",
            vec![weighted(10, near("app=db", "zone")), weighted(40, near("app=cache", "zone"))],
            vec![],
            Some(vec![0, 0, 100]),
        ),
        (
            "in its zone, rather on its node",
            vec![weighted(10, near("app=db", "zone")), weighted(5, near("app=db", HOST))],
            vec![],
            Some(vec![100, 66, 0]),
        ),
        ("db likes it", vec![], vec![weighted(10, near("app=web", "zone"))], Some(vec![100, 100, 0])),
        ("db dislikes it", vec![], vec![weighted(10, apart("app=web", "zone"))], Some(vec![0, 0, 100])),
        ("db requires to be near it", vec![], vec![near("app=web", "zone")], Some(vec![100, 100, 0])),
        ("db likes somebody else", vec![], vec![weighted(10, near("app=mail", "zone"))], None),
        (
            "likes and dislikes cancel out",
            vec![weighted(10, near("app=db", "zone"))],
            vec![weighted(10, apart("app=web", "zone"))],
            Some(vec![0, 0, 0]),
        ),
    ] {
        let web = Workload { pod_affinity: mine, ..workload("web", 10) };
        let db = Workload { pod_affinity: dbs, ..workload("db", 10) };
        let mut bench = Bench::new(zoned("a1 a2 b1"), vec![web, db, workload("cache", 10)]);
        bench.put("db", "a1");
        bench.put("cache", "b1");
        let pod = bench.candidate("web");
        assert_eq!(super::super::affinity::score(&bench.scheduler.inventory, &pod, &[0, 1, 2]), want, "{case}");
    }
}
