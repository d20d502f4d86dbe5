use platform::{
    Metric, MetricId, MetricSource, MetricTarget, ObjectRef, Place, Policy, PolicyKind, ScalingRules, SelectPolicy,
};
use proptest::prelude::*;
use units::Milli;

use super::*;
use crate::Forecast;

fn metric(resource: &str, target: MetricTarget) -> Metric {
    Metric { source: MetricSource::Resource { resource: resource.into() }, target }
}

fn declared(min: u32, max: u32, behavior: Option<Behavior>) -> Autoscaler {
    Autoscaler {
        name: "web".into(),
        namespace: "default".into(),
        reference: ObjectRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "web".into() },
        target: None,
        min,
        max,
        metrics: vec![metric("cpu", MetricTarget::Utilization(50))],
        behavior,
        place: Place::default(),
    }
}

fn amounts(cpu: i64, memory: Option<i64>) -> Vec<ContainerAmounts> {
    vec![ContainerAmounts { name: "app".into(), amounts: Amounts { cpu: Some(cpu), memory, other: Vec::new() } }]
}

/// A pod that asks for one core, ready for long.
fn pod<'a>(requests: &'a PodRequests, used: &'a [ContainerAmounts], now: Nanos) -> PodView<'a> {
    PodView {
        name: "web-0",
        requests,
        deleting: false,
        phase: Phase::Running,
        ready: Some(Ready { status: Truth::True, changed: Nanos::ZERO }),
        started: Some(Nanos::ZERO),
        sample: Some(Sample { timestamp: now, window: Nanos::from_secs(15), containers: used }),
    }
}

fn requests() -> PodRequests {
    PodRequests::new(amounts(1_000, Some(1 << 30)), Vec::new(), None, &Amounts::default())
}

fn look(hpa: &mut Hpa, now: Nanos, current: i32, pods: &[PodView<'_>]) -> ScalingDecision {
    let scale = Ok(Scale { spec: current, status: current });
    hpa.sync(now, &Observed { scale, pods, ..Observed::without_target("") })
}

/// Every change until `last`, with pods that share `total` and start at once.
fn changes(
    spec: &Autoscaler,
    start: u32,
    last: u64,
    config: &ClusterConfig,
    total: impl Fn(u64) -> u64,
) -> Vec<(u64, u32, u32)> {
    let (mut hpa, requests) = (Hpa::new(spec, "web", config), requests());
    let (mut current, mut changes) = (start, Vec::new());
    for secs in (15..=last).step_by(15) {
        let now = Nanos::from_secs(secs + 10_000);
        let used = amounts(total(secs).div_ceil(u64::from(current.max(1))) as i64, None);
        let pods = vec![pod(&requests, &used, now); current as usize];
        let desired = look(&mut hpa, now, current as i32, &pods).desired;
        if desired != current {
            changes.push((secs, current, desired));
        }
        current = desired;
    }
    changes
}

fn burst(secs: u64) -> u64 {
    if (60..600).contains(&secs) { 6_000 } else { 900 }
}

#[test]
fn default_behavior_follows_the_real_controller() {
    let got = changes(&declared(2, 20, None), 2, 1_200, &ClusterConfig::default(), burst);
    assert_eq!(got, [(60, 2, 4), (75, 4, 8), (90, 8, 12), (900, 12, 2)]);
}

#[test]
fn policies_and_windows_follow_the_real_controller() {
    let rules = |window, kind, value| ScalingRules {
        stabilization_window: Some(Nanos::from_secs(window)),
        select: SelectPolicy::Max,
        policies: vec![Policy { kind, value, period: Nanos::from_secs(60) }],
        tolerance: None,
    };
    let behavior = Behavior { up: rules(0, PolicyKind::Pods, 2), down: rules(120, PolicyKind::Percent, 10) };
    let got = changes(&declared(2, 20, Some(behavior)), 2, 830, &ClusterConfig::default(), burst);
    let want =
        [(60, 2, 4), (120, 4, 6), (180, 6, 8), (240, 8, 10), (300, 10, 12), (705, 12, 10), (765, 10, 9), (825, 9, 8)];
    assert_eq!(got, want);
}

#[test]
fn a_forecast_is_ahead_on_a_ramp_and_asks_for_nothing_on_a_level() {
    let plain = ClusterConfig::default();
    let forecast = Forecast { history: Nanos::from_secs(120), lead: Nanos::from_secs(90) };
    let ahead = ClusterConfig { forecast: Some(forecast), ..plain.clone() };
    let spec = declared(2, 40, None);
    let ramp = |secs: u64| 900 + 10 * secs;
    let reaches = |config: &ClusterConfig| {
        let all = changes(&spec, 2, 900, config, ramp);
        all.iter().find(|(_, _, to)| *to >= 12).map(|(at, ..)| *at).unwrap()
    };
    let (without, with) = (reaches(&plain), reaches(&ahead));
    assert!(with + 45 <= without, "12 replicas at {with} s with a forecast, at {without} s without");
    assert_eq!(changes(&spec, 2, 900, &ahead, |_| 900), [], "a level needs no more");
}

#[test]
fn outside_the_bounds_metrics_are_not_asked() {
    for (case, current, desired, active, able) in [
        ("above the maximum", 30, 20, "", "SucceededRescale"),
        ("below the minimum", 1, 2, "", "SucceededRescale"),
        ("at zero it is switched off", 0, 0, "ScalingDisabled", "SucceededGetScale"),
    ] {
        let mut hpa = Hpa::new(&declared(2, 20, None), "web", &ClusterConfig::default());
        let got = look(&mut hpa, Nanos::from_secs(15), current, &[]);
        assert_eq!((got.desired, got.metrics.len()), (desired, 0), "{case}");
        assert_eq!((got.scaling_active.as_str(), got.able_to_scale.as_str()), (active, able), "{case}");
    }
}

#[test]
fn a_failing_metric_forbids_scaling_down_but_not_up() {
    let mut spec = declared(1, 20, None);
    spec.metrics.push(metric("memory", MetricTarget::Utilization(50)));
    let silent = PodRequests::new(amounts(1_000, None), Vec::new(), None, &Amounts::default());
    let now = Nanos::from_secs(1_000);
    for (case, milli, desired, active) in [
        ("up", 1_000, 4, "ValidMetricFound"),
        ("down", 100, 2, "FailedGetResourceMetric"),
        ("unchanged", 500, 2, "ValidMetricFound"),
    ] {
        let mut hpa = Hpa::new(&spec, "web", &ClusterConfig::default());
        let used = amounts(milli, Some(1));
        let got = look(&mut hpa, now, 2, &[pod(&silent, &used, now); 2]);
        assert_eq!((got.desired, got.scaling_active.as_str()), (desired, active), "{case}");
        let error = got.metrics[1].error.as_deref();
        let text = "failed to get memory utilization: missing request for memory in container app of Pod web-0";
        assert_eq!((error, got.metrics[1].value), (Some(text), None), "{case}");
    }
}

#[test]
fn a_metric_that_nobody_feeds_fails_as_without_an_adapter() {
    let id = MetricId { name: "rps".into(), selector: None };
    let spec = Autoscaler {
        metrics: vec![Metric {
            source: MetricSource::Pods(id),
            target: MetricTarget::AverageValue(Milli::new(10_000)),
        }],
        ..declared(1, 20, None)
    };
    let mut hpa = Hpa::new(&spec, "web", &ClusterConfig::default());
    let got = look(&mut hpa, Nanos::from_secs(15), 2, &[]);
    assert_eq!((got.desired, got.scaling_active.as_str()), (2, "FailedGetPodsMetric"));
    assert_eq!(
        got.conditions[1].message,
        "the HPA was unable to compute the replica count: unable to get metric rps: unable to fetch metrics from custom \
         metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    );
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
        for (_, before, after) in changes(&spec, start, last, &ClusterConfig::default(), |secs| usage[secs as usize / 15 - 1]) {
            prop_assert!((min..=max).contains(&after), "{before} → {after}");
            let inside = (min..=max).contains(&before);
            // Defaults with behavior: +100 % or +4 in 15 s, whichever is more.
            let fastest = if with_behavior { (2 * before).max(before + 4) } else { (2 * before).max(4) };
            prop_assert!(!inside || after <= fastest, "{before} → {after}");
        }
    }
}
