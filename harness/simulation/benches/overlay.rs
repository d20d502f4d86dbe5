//! Whole simulated requests a second on the shipped production overlay, full rules, one core: five minutes of about
//! 500 requests a second through gateway, limits, services, their calls, probes and the autoscaler, recorded as for a
//! report. Floor 0.4 M requests/s, aim 0.8 M. Once in requests through the gateway, once in events of the queue.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use manifests::Source;
use record::{Event, Listener, PhaseKind, Second, StepId, Watch};
use scenarios::{Plan, Scenario};
use simulation::{Settings, Simulated, simulate};
use units::{Nanos, Seed};

fn plan() -> Plan {
    let scenario = Scenario::parse(include_str!("production.yaml"), "production.yaml").expect("the scenario is sound");
    let platform = manifests::load(&Source::BuiltIn, "production").expect("the manifests are sound").platform;
    let nodes = manifests::load_nodes(None).expect("the nodes are sound");
    let profiles = model::shipped().expect("the profiles are sound");
    Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1)).expect("the plan is sound")
}

/// Takes what a run folder would, and writes it nowhere.
struct Folder;

impl Listener for Folder {
    fn event(&mut self, _: &Event) {}
    fn second(&mut self, _: &Second<'_>) {}
}

fn play(plan: &Plan) -> Simulated {
    let watch = Watch {
        objective: "core-latency".into(),
        steps: (0..plan.load.steps.len()).map(|step| StepId(step as u16)).collect(),
        phases: vec![PhaseKind::Steady],
        limit: Some(Nanos::from_millis(800)),
        ..Watch::default()
    };
    simulate(plan, vec![watch], &Settings::default(), &mut Folder).expect("the platform gets ready")
}

fn overlay(criterion: &mut Criterion) {
    let plan = plan();
    let played = play(&plan);
    let failed: u64 = played.observed.recording.steps.iter().flat_map(|step| step.failed.values()).sum();
    let requests = played.observed.recording.offered;
    assert!(failed * 1_000 < requests, "an overload would be measured: {failed} of {requests} failed");
    let mut group = criterion.benchmark_group("overlay");
    for (unit, count) in [("requests", requests), ("events", played.events)] {
        group.throughput(Throughput::Elements(count)).sample_size(10);
        group.bench_function(unit, |bencher| bencher.iter(|| black_box(play(black_box(&plan)))));
    }
    group.finish();
}

criterion_group!(benches, overlay);
criterion_main!(benches);
