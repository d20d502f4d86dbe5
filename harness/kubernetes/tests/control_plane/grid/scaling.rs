//! Autoscalers that differ in their behavior and their metrics, all under the same load.

use testing::{Need, needs};
use units::Nanos;

use super::{OWN_NODES, played};
use crate::shop::{self, CPU, deployment};
use crate::told::{Compared, scaled};
use crate::world::Told;

/// Ten at once, and no more: what follows is about going down.
const AT_ONCE: &str = "scaleUp: { policies: [{ type: Pods, value: 8, periodSeconds: 60 }] }";
const STAYS: &str = "scaleDown: { selectPolicy: Disabled }";

/// Name, metrics, behavior, and the sizes that are wanted one after the other. Load is 0.7 of the target, then 2.9 times,
/// then a seventh. Periods are so long that each policy allows one step up and one down, whenever a sync comes to it: what
/// happens after a period the oracle compares, second by second.
fn cases() -> Vec<(&'static str, String, String, &'static str)> {
    let of_cpu = |target: u32| CPU.replace("70", &target.to_string());
    let policies = |select: &str, period: u32| {
        let (pods, share) = ("type: Pods, value: 1", "type: Percent, value: 100");
        format!(
            "{{ {select} policies: [{{ {pods}, periodSeconds: {period} }}, {{ {share}, periodSeconds: {period} }}] }}"
        )
    };
    let up = |select: &str| format!("scaleUp: {}, {STAYS}", policies(select, 60));
    let down = |select: &str, period: u32| {
        let slow =
            policies(&format!("stabilizationWindowSeconds: 0, {select}"), period).replace("value: 100", "value: 50");
        format!("{AT_ONCE}, scaleDown: {slow}")
    };
    let memory = "{ type: Resource, resource: { name: memory, target: { type: AverageValue, averageValue: 1100Ki } } }";
    let nobody =
        "{ type: Pods, pods: { metric: { name: nobody_counts }, target: { type: AverageValue, averageValue: '1' } } }";
    let free =
        "scaleDown: { stabilizationWindowSeconds: 0, policies: [{ type: Percent, value: 100, periodSeconds: 5 }] }";
    vec![
        ("the-larger-step", CPU.into(), up("selectPolicy: Max,"), "[4]"),
        ("the-larger-step-by-default", CPU.into(), up(""), "[4]"),
        ("the-smaller-step", CPU.into(), up("selectPolicy: Min,"), "[3]"),
        ("no-way-up", CPU.into(), format!("scaleUp: {{ selectPolicy: Disabled }}, {STAYS}"), "[]"),
        (
            "not-before-a-window",
            CPU.into(),
            format!(
                "scaleUp: {{ stabilizationWindowSeconds: 70, policies: [{{ type: Pods, value: 8, periodSeconds: 60 }}] \
                 }}, {STAYS}"
            ),
            "[]",
        ),
        (
            "after-a-window",
            CPU.into(),
            format!("{}, {STAYS}", AT_ONCE.replace("{ pol", "{ stabilizationWindowSeconds: 6, pol")),
            "to 10, then []",
        ),
        ("the-larger-step-down", CPU.into(), down("selectPolicy: Max,", 30), "to 10, then [5]"),
        ("the-smaller-step-down", CPU.into(), down("selectPolicy: Min,", 30), "to 10, then [9]"),
        // Half of what there was before the period is less than the minimum (`horizontal.go`, `calculateScaleDownLimit`).
        ("what-a-period-added-goes-in-it", CPU.into(), down("selectPolicy: Min,", 60), "to 10, then [2]"),
        ("no-way-down", CPU.into(), format!("{AT_ONCE}, {STAYS}"), "to 10, then []"),
        (
            "down-after-a-window",
            CPU.into(),
            format!("{AT_ONCE}, {}", free.replace("Seconds: 0", "Seconds: 8")),
            "to 10, at last 2",
        ),
        ("one-of-two-metrics-is-content", format!("{CPU}, {memory}"), format!("{AT_ONCE}, {free}"), "to 10, then []"),
        (
            "up-without-one-metric-but-not-down",
            format!("{CPU}, {nobody}"),
            format!("{AT_ONCE}, {free}"),
            "to 10, then []",
        ),
        ("within-the-tolerance", of_cpu(190), format!("{AT_ONCE}, {STAYS}"), "[]"),
        ("beyond-the-tolerance", of_cpu(180), up("selectPolicy: Min,"), "[3]"),
    ]
}

pub(super) fn manifests() -> String {
    let one = |(name, metrics, behavior, _): &(&str, String, String, &str)| {
        deployment(name, "replicas: 2", OWN_NODES, "cpu: 100m, memory: 8Mi")
            + &shop::scaled(name, 10, metrics, behavior)
    };
    cases().iter().map(one).collect()
}

/// Until when it is looked at: before any policy allows a second step down.
const JUDGED: Nanos = Nanos::from_secs(84);

/// From when on which CPU is used by each pod.
pub(super) fn load() -> Vec<(Nanos, u64)> {
    let sec = Nanos::from_secs;
    vec![(Nanos::ZERO, 50), (sec(4), 200), (sec(56), 10)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_a_behavior_decides_alike() {
    if !needs("every_field_of_a_behavior_decides_alike", Need::ControlPlane) {
        return;
    }
    let sides = played().await;
    let mut compared = Compared::default();
    for (name, _, _, want) in cases() {
        let of = |told: &Told| {
            let until = told.iter().filter(|(at, _)| *at < JUDGED).cloned().collect();
            // The first one may have been there before it was seen.
            let steps: Vec<u32> = scaled(&until, name).into_iter().skip_while(|size| *size == 2).collect();
            // By which sizes it gets there hangs on which samples a scrape took before the load changed.
            match (steps.iter().position(|size| *size == 10), steps.last()) {
                (Some(_), Some(last)) if want.contains("at last") => format!("to 10, at last {last}"),
                (Some(top), _) => format!("to 10, then {:?}", &steps[top + 1..]),
                _ => format!("{steps:?}"),
            }
        };
        compared.both(name, sides, of, want);
    }
    compared.end();
}
