//! Where pods go, and what becomes of them when their node is emptied or lost.

use std::collections::BTreeMap;

use cluster::Action;
use platform::Platform;
use record::{EventKind, NodeState};
use testing::{Need, needs};
use units::Nanos;

use super::played;
use crate::shop::{budget, deployment, node};
use crate::told::{Compared, evicted, refusals};
use crate::world::Told;

const SPREAD: &str = "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, \
                      labelSelector: { matchLabels: { app: spread } } }]";
const APART: &str = "affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: \
                     kubernetes.io/hostname, labelSelector: { matchLabels: { app: apart } } }] } }";
const TOGETHER: &str = "affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: zone, \
                        labelSelector: { matchLabels: { app: together } } }] } }";
const EVENLY: &str = "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: \
                      ScheduleAnyway, labelSelector: { matchLabels: { app: NAME } } }]\n      nodeSelector: { pool: drained }";
const LOST: &str = "tolerations: [{ key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, \
                    tolerationSeconds: 5 }]\n      nodeSelector: { pool: lost }";

pub(super) fn manifests() -> String {
    let one = |name: &str, pods: &str, cpu: &str| deployment(name, "replicas: 1", pods, &format!("cpu: {cpu}"));
    let evenly = |name: &str| deployment(name, "replicas: 4", &EVENLY.replace("NAME", name), "cpu: 10m");
    [
        one("picked", "nodeSelector: { disk: ssd }", "10m"),
        one("spread", SPREAD, "10m"),
        one("apart", APART, "10m"),
        one("together", TOGETHER, "10m"),
        one(
            "tolerant",
            "nodeSelector: { only: databases }\n      tolerations: [{ key: only, operator: Exists }]",
            "10m",
        ),
        one("large", "nodeSelector: { pool: large }", "3500m"),
        evenly("one-by-one"),
        budget("one-by-one", "maxUnavailable: 1"),
        evenly("half-of-them"),
        budget("half-of-them", "minAvailable: 50%"),
        one("moves", LOST, "10m"),
        one("stays", "nodeSelector: { pool: lost }", "10m"),
    ]
    .concat()
}

/// Two nodes to drain, two to lose, and some that are special; in three zones.
pub(super) fn nodes() -> String {
    [
        node("drained-1", "zone: a, pool: drained", ""),
        node("drained-2", "zone: b, pool: drained", ""),
        node("lost-1", "zone: a, pool: lost", ""),
        node("lost-2", "zone: b, pool: lost", ""),
        node("fast", "zone: c, disk: ssd", ""),
        node("large", "zone: c, pool: large", ""),
        node("databases", "zone: b, only: databases", "{ key: only, value: databases, effect: NoSchedule }"),
    ]
    .concat()
}

fn zone(node: &str) -> &'static str {
    match node {
        "drained-1" | "lost-1" => "a",
        "fast" | "large" => "c",
        _ => "b",
    }
}

/// When the first node is drained.
const DRAINED: Nanos = Nanos::from_secs(20);
/// When the others are lost, seconds.
const LOST_AT: u64 = 22;

/// Pods of a workload by where they were put from the time when the platform stood to that of the first drain, sorted.
fn placed(told: &Told, of: &str, by: impl Fn(&str) -> String) -> BTreeMap<String, u32> {
    let mut count = BTreeMap::new();
    for (_, event) in told.iter().filter(|(at, _)| *at < DRAINED) {
        if let EventKind::PodScheduled { pod, node, .. } = event
            && pod.starts_with(&format!("{of}-"))
        {
            *count.entry(by(node)).or_default() += 1;
        }
    }
    count
}

/// Why one of its pods went nowhere, without what the scheduler says of preemption.
fn nowhere(told: &Told, of: &str) -> String {
    let why = told.iter().find_map(|(_, event)| match event {
        EventKind::PodUnschedulable { pod, reason } if pod.starts_with(&format!("{of}-")) => Some(reason),
        _ => None,
    });
    why.map_or_else(String::new, |why| why.split(" preemption").next().unwrap_or_default().to_owned())
}

fn states(told: &Told, of: &str) -> Vec<(Nanos, NodeState)> {
    let of_node = told.iter().filter_map(|(at, event)| match event {
        EventKind::NodeChanged { node, state } if node == of => Some((*at, *state)),
        _ => None,
    });
    of_node.collect()
}

/// When a node was in a state, seconds; of the first time.
fn when(told: &Told, of: &str, wanted: NodeState) -> f64 {
    let first = states(told, of).into_iter().find(|(_, state)| *state == wanted);
    first.map_or(f64::NAN, |(at, _)| at.as_secs_f64())
}

/// When a pod of a workload was put somewhere, seconds; of the last one.
fn moved(told: &Told, of: &str) -> f64 {
    let last = told
        .iter()
        .rfind(|(_, event)| matches!(event, EventKind::PodScheduled { pod, .. } if pod.starts_with(&format!("{of}-"))));
    last.map_or(f64::NAN, |(at, _)| at.as_secs_f64())
}

pub(super) fn acts(platform: &Platform) -> Vec<(Nanos, Action)> {
    let sec = Nanos::from_secs;
    let node_of = |name: &str| {
        let nodes = nodes();
        nodes.split("metadata: { name: ").skip(1).position(|text| text.starts_with(name)).unwrap()
    };
    let scale = |name: &str, replicas| (sec(2), Action::Scale(platform.workload_named(name).unwrap(), replicas));
    vec![
        scale("picked", 3),
        scale("spread", 6),
        scale("apart", 7),
        scale("together", 4),
        scale("tolerant", 2),
        scale("large", 4),
        (DRAINED, Action::Drain(node_of("drained-1"))),
        (sec(LOST_AT), Action::LoseNode(node_of("lost-1"))),
        (sec(LOST_AT), Action::LoseNode(node_of("lost-2"))),
        (sec(90), Action::ReturnNode(node_of("lost-2"))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_where_they_may_and_leave_nodes_alike() {
    if !needs("pods_go_where_they_may_and_leave_nodes_alike", Need::ControlPlane) {
        return;
    }
    let sides = played().await;
    let (ours, theirs) = sides;
    let mut compared = Compared::default();
    let on_node = |node: &str| node.to_owned();
    for (name, want) in [
        ("picked", r#"{"fast": 2}"#),
        ("tolerant", r#"{"databases": 1}"#),
        // Its own node takes two of them; 0.5 of 8 cores are left.
        ("large", r#"{"large": 1}"#),
    ] {
        let of = |told: &Told| format!("{:?}", placed(told, name, on_node));
        compared.both(&format!("{name}: on which node"), sides, of, want);
    }
    // With the one that stood before there are as many in each zone.
    let by_zone = |told: &Told| {
        let counts = placed(told, "spread", |node| zone(node).to_owned());
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable();
        format!("{counts:?}")
    };
    compared.both("spread: in each zone, beside the one that was there", sides, by_zone, "[1, 2, 2]");
    let zones = |told: &Told| placed(told, "together", |node| zone(node).to_owned()).len().to_string();
    compared.both("together: zones of those that came later", sides, zones, "1");
    let apart = |told: &Told| {
        let nodes = placed(told, "apart", on_node);
        format!("{} on {} nodes", nodes.values().sum::<u32>(), nodes.len())
    };
    compared.both("apart: one to a node, and none where it does not tolerate", sides, apart, "5 on 5 nodes");
    for (name, want) in [
        (
            "apart",
            "0/9 nodes are available: 3 node(s) had untolerated taint(s), 6 node(s) didn't match pod anti-affinity rules. no new \
             claims to deallocate,",
        ),
        (
            "large",
            "0/9 nodes are available: 1 Insufficient cpu, 3 node(s) had untolerated taint(s), 5 node(s) didn't match Pod's node \
             affinity/selector. no new claims to deallocate,",
        ),
    ] {
        compared.both(&format!("{name}: why one goes nowhere"), sides, |told| nowhere(told, name), want);
    }
    for (name, want) in [("one-by-one", "2 evicted, 1 refused"), ("half-of-them", "2 evicted, 0 refused")] {
        let of = |told: &Told| format!("{} evicted, {} refused", evicted(told, name), refusals(told, name));
        compared.both(&format!("{name}: a drain under its budget"), sides, of, want);
    }
    // That it is cordoned comes back by a watch; that it is being drained is told from here.
    let drained = |told: &Told| {
        let mut states: Vec<NodeState> = states(told, "drained-1").into_iter().map(|(_, state)| state).collect();
        let first = states.len().min(2);
        states[..first].sort_by_key(ToString::to_string);
        format!("{states:?}")
    };
    compared.both("the drained node", sides, drained, "[Cordoned, Draining, Drained]");
    let lost =
        |told: &Told| format!("{:?}", states(told, "lost-1").into_iter().map(|(_, state)| state).collect::<Vec<_>>());
    compared.both("a lost node", sides, lost, "[Lost, NotReady, Unreachable]");
    let back = |told: &Told| states(told, "lost-2").last().map_or_else(String::new, |(_, state)| format!("{state:?}"));
    compared.both("one that is back", sides, back, "Ready");
    // Heartbeats come every 10 s and are looked at every 5 s, so that is as near as two clusters can be.
    for (what, of) in [
        ("NotReady", (|told: &Told| when(told, "lost-1", NodeState::NotReady)) as fn(&Told) -> f64),
        ("a pod that tolerates it for 5 s goes elsewhere", |told| moved(told, "moves")),
    ] {
        let (one, other) = (of(ours), of(theirs));
        println!(
            "{what}: after {:.1} s by our rules, {:.1} s by Kubernetes",
            one - LOST_AT as f64,
            other - LOST_AT as f64
        );
        compared.hold(
            &format!("{what}: within 15 s of each other"),
            "true",
            "true",
            &((one - other).abs() <= 15.0).to_string(),
        );
    }
    let stays = |told: &Told| moved(told, "stays").is_nan().to_string();
    compared.both("a pod that tolerates it for 300 s stays", sides, stays, "true");
    compared.end();
}
