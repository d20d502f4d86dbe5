//! The shipped smoke scenario on the shipped platform, in virtual time.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::sync::Arc;

use manifests::Source;
use record::{Cause, Deaf, EventKind, Observed, PhaseKind, Watch};
use scenarios::{Plan, Scenario};
use simulation::{Settings, simulate};
use units::{Nanos, Seed};

fn plan(seed: u64) -> Plan {
    let shipped = scenarios::find("smoke").unwrap();
    let scenario = Scenario::parse(shipped.text, shipped.file).unwrap();
    let platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
    let nodes = manifests::load_nodes(None).unwrap();
    Plan::resolve(&scenario, Arc::new(platform), nodes, &model::shipped().unwrap(), Seed::new(seed)).unwrap()
}

fn play(seed: u64) -> Observed {
    let plan = plan(seed);
    let core = plan.load.steps.iter().enumerate().filter(|(_, s)| s.flow == "core");
    let watch = Watch {
        objective: "core-latency".into(),
        steps: core.map(|(i, _)| record::StepId(i as u16)).collect(),
        phases: vec![PhaseKind::Steady],
        limit: Some(Nanos::from_millis(800)),
        ..Watch::default()
    };
    let settings = Settings { keep_observations: true, ..Settings::default() };
    simulate(&plan, vec![watch], &settings, &mut Deaf).unwrap().observed
}

#[test]
fn requests_cross_the_platform_the_autoscaler_acts_and_the_limiter_refuses() {
    let played = play(1);
    let refused = played.observations.iter().filter(|o| o.cause == Cause::Limited).count();
    let failed = played.observations.iter().filter(|o| !o.ok() && o.cause != Cause::Limited).count();
    assert!(refused > 100, "the probe was refused {refused} times");
    assert_eq!(failed, 0, "nothing else fails");
    let scaled = played.chronicle.decisions().into_iter().find(|(_, d)| d.desired > d.current);
    let (_, decision) = scaled.expect("the step makes the autoscaler act");
    assert_eq!((decision.workload.as_str(), decision.current), ("transactions-service", 3));
    let ready = played.chronicle.events().iter().any(|event| {
        matches!(&event.kind, EventKind::ReplicasChanged { workload, ready, .. }
            if workload == "transactions-service" && *ready == decision.desired)
    });
    assert!(ready, "the new replicas become ready while load lasts");
}

#[test]
fn every_arrival_is_observed_and_the_same_seed_plays_the_same() {
    let (first, again, other) = (play(7), play(7), play(8));
    let arrivals = scenarios::Arrivals::new(&plan(7).load).count();
    let sessions: std::collections::BTreeSet<_> = first.observations.iter().map(|o| o.arrival).collect();
    assert_eq!(sessions.len(), arrivals);
    assert_eq!(first.observations, again.observations);
    assert_eq!(first.chronicle.events(), again.chronicle.events());
    assert_ne!(first.observations, other.observations);
}
