//! From a cold start through load to a scale-down, and what happens to single pods.

use crate::world::{SERVICE, WEB, World, nodes, platform};
use cluster::{Action, AutoscalerEdit, ControlInput, ControlWake, PodId, ProbeKind};
use platform::{Autoscaler, Labels, Metric, MetricId, MetricSource, MetricTarget, Platform, Selector};
use record::EventKind;
use units::{Milli, Millicores, Nanos};

fn world(seed: u64) -> World {
    World::new(platform(), nodes(6, 4), seed)
}

#[test]
fn a_cold_start_settles_after_scheduling_start_probe_and_propagation() {
    let mut world = world(1);
    assert!(!world.cluster().settled());
    let settled = world.run_until_settled(60);
    // 10 ms to bind, 800 ms to start, the third probe (2 s of initial delay), 500 ms to the dialers.
    assert_eq!(settled, Nanos::from_millis(10 + 800 + 2_000 + 500));
    assert_eq!(world.place.endpoints.ready(SERVICE), [PodId(0), PodId(1)]);
    let replicas = world.told(|kind| match kind {
        EventKind::ReplicasChanged { desired, ready, .. } => Some((*desired, *ready)),
        _ => None,
    });
    assert_eq!(replicas, [(0, (2, 0)), (2_810, (2, 1)), (2_810, (2, 2))]);
    let (zone_a, zone_b) = (world.cluster().pod(PodId(0)).unwrap().node, world.cluster().pod(PodId(1)).unwrap().node);
    assert_ne!(zone_a.unwrap() % 3, zone_b.unwrap() % 3, "spread over zones");
}

#[test]
fn load_scales_up_through_every_stage_and_down_after_five_minutes() {
    let mut world = world(1);
    world.place.load = |secs| if (400..700).contains(&secs) { 1_500 } else { 200 };
    world.run_until(1_200);
    // 1500m over pods that request 500m, at 50 %: six. Four is the most that two may become in one sync.
    let rescales = world.rescales();
    let (up, down): (Vec<_>, Vec<_>) = rescales.iter().copied().partition(|(_, before, after)| after > before);
    assert_eq!((up[0].1, up[0].2, up.last().unwrap().2), (2, 4, 6), "{rescales:?}");
    assert!((405..=430).contains(&up[0].0), "a sample's age and a sync after the load: {rescales:?}");
    // The last recommendation of six stands for 300 s; one of four, from a scrape that saw both loads, a sync longer.
    let last_six = world.decisions().filter(|(_, d)| d.proposed == 6).map(|(at, _)| at / 1_000_000).max().unwrap();
    assert_eq!(down, [(last_six + 315, 6, 4), (last_six + 330, 4, 2)], "{rescales:?}");

    let first = up[0].0 * 1_000;
    let third = world.name(2).to_owned();
    let stages = world.told(|kind| match kind {
        EventKind::PodScheduled { pod, .. } if *pod == third => Some("scheduled"),
        EventKind::PodStarted { pod } if *pod == third => Some("started"),
        EventKind::PodReady { pod, ready: true } if *pod == third => Some("ready"),
        EventKind::EndpointsChanged { ready: 4, .. } => Some("endpoints"),
        _ => None,
    });
    let want =
        [(first + 10, "scheduled"), (first + 810, "started"), (first + 2_810, "ready"), (first + 3_310, "endpoints")];
    assert_eq!(stages[..4], want);
    assert!(world.cluster().settled());
    assert_eq!(world.place.endpoints.ready(SERVICE).len(), 2);
    assert_eq!(world.told(|kind| matches!(kind, EventKind::PodGone { .. }).then_some(())).len(), 4);
}

#[test]
fn pods_that_start_do_not_count_before_a_window_of_readiness() {
    let mut world = world(1);
    world.place.load = |secs| if secs < 400 { 200 } else { 1_500 };
    world.run_until(460);
    let with_unready = world.decisions().filter(|(_, d)| d.metrics.iter().any(|m| m.pods_unready + m.pods_missing > 0));
    assert!(with_unready.count() > 1, "new pods are put aside at first");
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    let mut world = world(1);
    world.place.healthy = |pod, _, secs| pod != PodId(0) || !(100..140).contains(&secs);
    world.run_until(200);
    let name = world.name(0).to_owned();
    let reasons = world.told(|kind| match kind {
        EventKind::PodRestarted { pod, reason } => Some((pod.clone(), reason.clone())),
        _ => None,
    });
    assert_eq!(reasons[0].1, (name, "liveness probe failed".to_owned()));
    assert_eq!(world.cluster().pod(PodId(0)).unwrap().restarts as usize, reasons.len());
    assert!(world.cluster().settled(), "healthy again");
    let dips = world.told(|kind| match kind {
        EventKind::EndpointsChanged { ready, .. } => Some(*ready),
        _ => None,
    });
    assert!(dips.iter().any(|(at, ready)| *ready == 1 && (102_000..105_000).contains(at)), "{dips:?}");
}

#[test]
fn pods_without_room_wait_with_a_reason_until_room_is_made() {
    let mut world = World::new(platform(), nodes(1, 1), 1); // room for two
    world.run_until(20);
    world.input(Nanos::from_secs(30), ControlInput::Act(Action::Scale(WEB, 3)));
    world.run_until(40);
    let reasons = world.told(|kind| match kind {
        EventKind::PodUnschedulable { pod, reason } => Some((pod.clone(), reason.clone())),
        _ => None,
    });
    let reason = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
                  available: 1 No preemption victims found for incoming pod."
        .to_owned();
    assert_eq!(reasons, [(30_010, (world.name(2).to_owned(), reason))]);
    assert!(!world.cluster().settled());
    world.input(Nanos::from_secs(41), ControlInput::Act(Action::Scale(WEB, 2)));
    world.run_until(42);
    assert!(world.cluster().settled(), "the pod without a node goes first");

    // A deleted pod holds its room for the second that it drains; its replacement waits for that.
    world.input(Nanos::from_secs(43), ControlInput::Act(Action::DeletePod { pod: PodId(0), forced: false }));
    world.run_until(60);
    let scheduled = world.told(|kind| match kind {
        EventKind::PodScheduled { pod, .. } => Some(pod.clone()),
        _ => None,
    });
    // Freed room makes the scheduler try at once; a back-off only orders (`SchedulerPopFromBackoffQ`).
    assert_eq!(scheduled.last().unwrap(), &(44_010, world.name(3).to_owned()));
    assert!(world.cluster().settled());
}

#[test]
fn a_deleted_pod_is_replaced_and_leaves_the_endpoints_after_propagation() {
    let mut world = world(1);
    world.run_until(20);
    world.input(Nanos::from_secs(21), ControlInput::Act(Action::DeletePod { pod: PodId(0), forced: false }));
    world.run_until(60);
    let changes = world.told(|kind| match kind {
        EventKind::EndpointsChanged { ready, .. } if *ready > 0 => Some(*ready),
        _ => None,
    });
    assert_eq!(changes[1..], [(21_500, 1), (24_310, 2)], "out after 500 ms, the new one ready at 23.81 s");
    assert_eq!(world.place.endpoints.ready(SERVICE), [PodId(1), PodId(2)]);
    let record = world.cluster().pod(PodId(0)).unwrap();
    assert_eq!((record.deleted, record.gone), (Some(Nanos::from_secs(21)), Some(Nanos::from_secs(22))));
}

#[test]
fn where_nothing_is_ready_pods_that_end_still_serve() {
    let mut world = world(1);
    world.run_until(20);
    for pod in [0, 1] {
        world
            .input(Nanos::from_millis(20_500), ControlInput::Act(Action::DeletePod { pod: PodId(pod), forced: false }));
    }
    world.run_until(21);
    assert_eq!(world.place.endpoints.ready(SERVICE), [PodId(0), PodId(1)], "ending, but better than none");
    world.run_until(30);
    assert_eq!(world.place.endpoints.ready(SERVICE), [PodId(2), PodId(3)]);
}

#[test]
fn words_about_what_does_not_exist_are_ignored() {
    let mut world = world(1);
    world.run_until(20);
    let before = world.place.events.len();
    let at = Nanos::from_secs(20);
    world.input(at, ControlInput::Act(Action::DeletePod { pod: PodId(99), forced: false }));
    world.input(at, ControlInput::Drained(PodId(99)));
    world.input(at, ControlInput::Act(Action::Scale(platform::WorkloadId(9), 3)));
    world.input(at, ControlInput::Start);
    world.input(at, ControlInput::Wake(ControlWake::Cluster(units::Wake { slot: 0, generation: 0 })));
    world.run_until(20);
    assert_eq!(world.place.events.len(), before);
}

#[test]
fn equal_seeds_tell_equal_stories() {
    let story = |seed| {
        let mut world = world(seed);
        world.place.load = |secs| if (100..400).contains(&secs) { 2_000 } else { 300 };
        world.place.healthy =
            |pod, kind, secs| !(kind == ProbeKind::Liveness && pod.0 == 1 && secs > 200 && secs < 240);
        world.run_until(900);
        world.place.events
    };
    let first = story(7);
    assert!(first.len() > 100);
    assert_eq!(first, story(7));
    assert_ne!(first, story(8), "names, ties and the scrape's phase are drawn");
}

#[test]
fn a_workload_without_a_cpu_request_is_not_scaled_and_says_why() {
    let mut platform = platform();
    platform.workloads[0].containers[0].requests.cpu = None;
    let mut world = World::new(platform, nodes(3, 4), 1);
    world.place.load = |_| Millicores::from_cores(4).get();
    world.run_until(120);
    assert!(world.rescales().is_empty());
    let (_, last) = world.decisions().last().unwrap();
    assert_eq!(last.scaling_active, "FailedGetResourceMetric");
    let error = last.metrics[0].error.as_deref().unwrap();
    assert!(error.starts_with("failed to get cpu utilization: missing request for cpu in container app of Pod web-"));
}

/// The web workload, scaled on one custom or external metric.
fn scaled_on(source: MetricSource, per_pod: i64) -> Platform {
    let mut platform = platform();
    let target = MetricTarget::AverageValue(Milli::new(per_pod * 1_000));
    platform.autoscalers =
        vec![Autoscaler { metrics: vec![Metric { source, target }], ..platform.autoscalers.remove(0) }];
    platform
}

fn metric(name: &str, labels: &[(&str, &str)]) -> MetricId {
    let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let selector = (!labels.is_empty()).then(|| Selector { labels, expressions: vec![] });
    MetricId { name: name.into(), selector }
}

#[test]
fn custom_and_external_metrics_are_answered_from_the_pods_own_counters() {
    let forecast = metric("http_requests_forecast", &[("service", "web")]);
    let rate = MetricSource::Pods(metric("http_requests_per_second", &[]));
    let all = MetricSource::External(metric("http_requests", &[("service", "web")]));
    for (case, source, pods) in [
        ("each pod's request rate", rate, 6),
        ("the request rate of a Service", all, 6),
        // A line through half an hour takes a step for a climb, and goes on climbing until the step is out of sight.
        ("where the request rate leads", MetricSource::External(forecast), 10),
    ] {
        let mut world = World::new(scaled_on(source, 25), nodes(6, 4), 1);
        // A core and a half is 150 requests a second of 10 ms: six pods at 25 each. All that is there beforehand is
        // little, so that the rate over two minutes has settled.
        world.place.load = |secs| if secs >= 30 { 1_500 } else { 0 };
        world.run_until(1_500);
        let last = world.decisions().last().unwrap().1;
        assert_eq!((last.desired, last.scaling_active.as_str()), (pods, "ValidMetricFound"), "{case}: {last:?}");
        let first = world.rescales()[0];
        assert!((45..100).contains(&first.0) && first.2 > first.1, "{case}: {:?}", world.rescales());
    }
}

#[test]
fn a_forecast_asks_for_pods_before_the_rate_does() {
    let ramp = |secs: u64| if secs < 60 { 0 } else { 300 + secs.min(900) };
    let first = |source| {
        let mut world = World::new(scaled_on(source, 25), nodes(6, 4), 1);
        world.place.load = ramp;
        world.run_until(900);
        let grown = world.rescales().into_iter().find(|(_, _, after)| *after >= 5);
        grown.map_or(u64::MAX, |(at, ..)| at)
    };
    let rate = first(MetricSource::Pods(metric("http_requests_per_second", &[])));
    let forecast = first(MetricSource::External(metric("http_requests_forecast", &[("service", "web")])));
    assert!(forecast + 60 < rate, "{forecast} s and {rate} s");
}

#[test]
fn a_metric_that_nobody_counts_fails_as_without_an_adapter() {
    let mut world = World::new(scaled_on(MetricSource::Pods(metric("temperature", &[])), 25), nodes(6, 4), 1);
    world.run_until(60);
    let last = world.decisions().last().unwrap().1;
    assert_eq!((last.desired, last.scaling_active.as_str()), (2, "FailedGetPodsMetric"), "{last:?}");
}

#[test]
fn an_edited_autoscaler_decides_by_its_new_bounds_and_remembers_what_it_has_seen() {
    let mut world = world(1);
    world.place.load = |_| 1_500;
    let edit = |min, max, cpu| Action::EditAutoscaler { workload: WEB, edit: AutoscalerEdit { min, max, cpu } };
    let becomes = |world: &World| world.rescales().last().map(|(_, _, after)| *after);
    world.act(1, edit(None, Some(3), None));
    world.run_until(400);
    assert_eq!(becomes(&world), Some(3), "six are recommended");
    // 1500m over pods that request 500m, at 75 %: four.
    world.act(400, edit(None, Some(10), Some(75)));
    world.run_until(600);
    assert_eq!(becomes(&world), Some(6), "what was recommended stands for five minutes");
    world.run_until(780);
    assert_eq!(becomes(&world), Some(4));
    world.act(780, edit(Some(5), None, Some(75)));
    world.run_until(800);
    assert_eq!(becomes(&world), Some(5), "raised to its minimum past all metrics");
    let declared = platform().autoscalers.remove(0);
    let undone = AutoscalerEdit { min: Some(5), max: None, cpu: Some(75) }.undone(&declared);
    assert_eq!(undone, AutoscalerEdit { min: Some(2), max: None, cpu: Some(50) });
}
