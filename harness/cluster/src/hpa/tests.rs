//! Whole sequences of syncs. The two named sequences are what kube-controller-manager 1.34.4 itself decides when its
//! controller runs in virtual time on the same usage.

use platform::{Container, Place, Policy, PolicyKind, Resource, Resources, ScalingRules, SelectPolicy, WorkloadId};
use proptest::prelude::*;
use units::{Bytes, Millicores};

use super::*;

fn declared(min: u32, max: u32, behavior: Option<Behavior>) -> Autoscaler {
    let cpu = ResourceMetric { resource: Resource::Cpu, target: MetricTarget::Utilization(50) };
    Autoscaler {
        name: "web".into(),
        target: WorkloadId(0),
        min,
        max,
        metrics: vec![cpu],
        behavior,
        place: Place::default(),
    }
}

fn containers() -> Vec<Container> {
    let requests = Resources { cpu: Some(Millicores::new(1_000)), memory: Some(Bytes::from_mebi(64)) };
    vec![Container { name: "app".into(), requests, ..Container::default() }]
}

fn pod(containers: &[Container], now: Nanos, milli: u64) -> PodView<'_> {
    let window = Nanos::from_secs(15);
    let sample = Sample { cpu: Millicores::new(milli), memory: Bytes::from_mebi(32), timestamp: now, window };
    PodView {
        name: "web-0",
        containers,
        deleting: false,
        pending: false,
        ready: true,
        started: Some(Nanos::ZERO),
        ready_changed: Nanos::ZERO,
        sample: Some(sample),
    }
}

/// Syncs every 15 s; the usage of all pods together is shared evenly, and new pods serve at once.
fn changes(declared: &Autoscaler, mut current: u32, until: u64, usage: impl Fn(u64) -> u64) -> Vec<(u64, u32, u32)> {
    let config = ClusterConfig { cpu_initialization: Nanos::ZERO, ..ClusterConfig::default() };
    let mut hpa = Hpa::new(declared, "web", &config);
    let containers = containers();
    let mut changes = Vec::new();
    for secs in (15..=until).step_by(15) {
        let now = Nanos::from_secs(secs);
        let pods = vec![pod(&containers, now, usage(secs) / u64::from(current.max(1))); current as usize];
        let decision = hpa.sync(now, current, &pods);
        if decision.desired != current {
            changes.push((secs, current, decision.desired));
        }
        current = decision.desired;
    }
    changes
}

fn burst(secs: u64) -> u64 {
    if (60..600).contains(&secs) { 6_000 } else { 900 }
}

#[test]
fn default_behavior_follows_the_real_controller() {
    let got = changes(&declared(2, 20, None), 2, 1_200, burst);
    assert_eq!(got, [(60, 2, 4), (75, 4, 8), (90, 8, 12), (900, 12, 2)]);
}

#[test]
fn policies_and_windows_follow_the_real_controller() {
    let rules = |window, kind, value| ScalingRules {
        stabilization_window: Some(Nanos::from_secs(window)),
        select: SelectPolicy::Max,
        policies: vec![Policy { kind, value, period: Nanos::from_secs(60) }],
    };
    let behavior = Behavior { up: rules(0, PolicyKind::Pods, 2), down: rules(120, PolicyKind::Percent, 10) };
    let got = changes(&declared(2, 20, Some(behavior)), 2, 830, burst);
    let want =
        [(60, 2, 4), (120, 4, 6), (180, 6, 8), (240, 8, 10), (300, 10, 12), (705, 12, 10), (765, 10, 9), (825, 9, 8)];
    assert_eq!(got, want);
}

#[test]
fn outside_the_bounds_metrics_are_not_asked() {
    for (case, current, desired, active, able) in [
        ("above the maximum", 30, 20, "", "SucceededRescale"),
        ("below the minimum", 1, 2, "", "SucceededRescale"),
        ("at zero it is switched off", 0, 0, "ScalingDisabled", "SucceededGetScale"),
    ] {
        let mut hpa = Hpa::new(&declared(2, 20, None), "web", &ClusterConfig::default());
        let got = hpa.sync(Nanos::from_secs(15), current, &[]);
        assert_eq!((got.desired, got.metrics.len()), (desired, 0), "{case}");
        assert_eq!((got.scaling_active.as_str(), got.able_to_scale.as_str()), (active, able), "{case}");
    }
}

#[test]
fn a_failing_metric_forbids_scaling_down_but_not_up() {
    let memory = ResourceMetric { resource: Resource::Memory, target: MetricTarget::Utilization(50) };
    let mut spec = declared(1, 20, None);
    spec.metrics.push(memory);
    let mut silent = containers();
    silent[0].requests.memory = None;
    let now = Nanos::from_secs(1_000);
    for (case, milli, desired, active) in [
        ("up", 1_000, 4, "ValidMetricFound"),
        ("down", 100, 2, "FailedGetResourceMetric"),
        ("unchanged", 500, 2, "ValidMetricFound"),
    ] {
        let mut hpa = Hpa::new(&spec, "web", &ClusterConfig::default());
        let got = hpa.sync(now, 2, &[pod(&silent, now, milli), pod(&silent, now, milli)]);
        assert_eq!((got.desired, got.scaling_active.as_str()), (desired, active), "{case}");
        let error = got.metrics[1].error.as_deref();
        let text = "failed to get memory utilization: missing request for memory in container app of Pod web-0";
        assert_eq!((error, got.metrics[1].value), (Some(text), None), "{case}");
    }
}

#[test]
fn the_highest_metric_wins_and_each_is_told() {
    let mut spec = declared(1, 20, None);
    spec.metrics
        .push(ResourceMetric { resource: Resource::Memory, target: MetricTarget::AverageMemory(Bytes::from_mebi(16)) });
    let (containers, now) = (containers(), Nanos::from_secs(1_000));
    let mut hpa = Hpa::new(&spec, "web", &ClusterConfig::default());
    let got = hpa.sync(now + Nanos::from_secs(4), 3, &[pod(&containers, now, 500); 3]);
    assert_eq!((got.proposed, got.desired), (6, 6));
    let told: Vec<_> =
        got.metrics.iter().map(|m| (m.metric.as_str(), m.value, m.target, m.unit.as_str(), m.proposal)).collect();
    assert_eq!(told[0], ("cpu", Some(50), 50, "%", Some(3)));
    assert_eq!(told[1], ("memory", Some(32 << 20), 16 << 20, "B", Some(6)));
    assert_eq!((got.metrics[0].sample_age_us, got.metrics[0].pods_counted), (4_000_000, 3));
}

#[test]
fn two_autoscalers_on_one_workload_scale_nothing() {
    let (containers, now) = (containers(), Nanos::from_secs(1_000));
    let mut hpa = Hpa::new(&declared(1, 20, None), "web", &ClusterConfig::default()).contested(true);
    let got = hpa.sync(now, 1, &[pod(&containers, now, 900)]);
    assert_eq!((got.desired, got.scaling_active.as_str()), (1, "AmbiguousSelector"));
}

proptest! {
    #[test]
    fn stays_within_its_bounds_and_grows_no_faster_than_allowed(
        usage in proptest::collection::vec(0u64..60_000, 1..80),
        min in 1u32..5, extra in 0u32..30, start in 1u32..40, with_behavior: bool,
    ) {
        let max = min + extra;
        let behavior = with_behavior.then(Behavior::default_rules);
        let spec = declared(min, max, behavior);
        let last = usage.len() as u64 * 15;
        for (_, before, after) in changes(&spec, start, last, |secs| usage[secs as usize / 15 - 1]) {
            prop_assert!((min..=max).contains(&after), "{before} → {after}");
            let inside = (min..=max).contains(&before);
            // Defaults with behavior: +100 % or +4 in 15 s, whichever is more.
            let fastest = if with_behavior { (2 * before).max(before + 4) } else { (2 * before).max(4) };
            prop_assert!(!inside || after <= fastest, "{before} → {after}");
        }
    }

    #[test]
    fn more_usage_never_asks_for_fewer(
        counted in 1usize..8, unready in 0usize..4, missing in 0usize..4, low in 0u64..3_000, more in 0u64..3_000,
    ) {
        let (containers, now) = (containers(), Nanos::from_secs(1_000));
        let spec = declared(1, 100, None);
        let calculator = ReplicaCalculator::new(&ClusterConfig::default());
        let ask = |milli| {
            let mut pods = vec![pod(&containers, now, milli); counted];
            pods.extend(vec![PodView { pending: true, ..pods[0] }; unready]);
            pods.extend(vec![PodView { sample: None, ..pods[0] }; missing]);
            calculator.replicas(now, pods.len() as u32, &spec.metrics[0], &pods).unwrap().replicas
        };
        prop_assert!(ask(low) <= ask(low + more));
    }
}
