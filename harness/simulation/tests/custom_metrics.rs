//! The shipped components for custom metrics on the shipped overlay, played: what decides is the metric, and the
//! autoscaler says so.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use manifests::Source;
use record::{Deaf, ScalingDecision};
use scenarios::{Plan, Scenario};
use simulation::{Settings, simulate};
use testing::{Need, needs};
use units::Seed;

/// The decisions about transactions-service with one of the components, under a step of so many creations a second.
fn decisions(component: &str, rate: u32) -> Vec<ScalingDecision> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kind-config/platform").canonicalize().unwrap();
    symlink(shipped, folder.join("platform")).unwrap();
    let kustomization =
        format!("resources: [platform/overlays/production/platform]\ncomponents: [platform/components/{component}]\n");
    std::fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
    let loaded = manifests::load(&Source::Path(folder), "").unwrap_or_else(|error| panic!("{error}"));
    let text = scenarios::find("hpa-step").unwrap().text.replace("90/s", &format!("{rate}/s"));
    let text = text.split("  expect:").next().unwrap();
    let scenario = Scenario::parse(text, "step.yaml").unwrap_or_else(|error| panic!("{error}"));
    let nodes = manifests::load_nodes(None).unwrap();
    let profiles = model::shipped().unwrap();
    let plan = Plan::resolve(&scenario, Arc::new(loaded.platform), nodes, &profiles, Seed::new(1));
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let played = simulate(&plan, vec![], &Settings::default(), &mut Deaf).unwrap();
    let all = played.observed.chronicle.decisions();
    all.into_iter().map(|(_, decision)| decision).filter(|d| d.workload == "transactions-service").collect()
}

fn decided_by(all: &[ScalingDecision], metric: &str) -> usize {
    let says = |d: &&ScalingDecision| {
        let message = |c: &record::ScalingCondition| c.kind == "ScalingActive" && c.message.ends_with(metric);
        d.desired > d.current && d.conditions.iter().any(message)
    };
    all.iter().filter(says).count()
}

#[test]
fn a_request_rate_decides_and_is_named() {
    if !needs("a_request_rate_decides_and_is_named", Need::Kustomize) {
        return;
    }
    let all = decisions("request-rate-hpa", 90);
    let told = decided_by(&all, "from pods metric http_requests_per_second");
    assert!(told > 0, "{all:#?}");
    // It was found right: the rate by its target, above what the CPU asks for.
    let last = all.iter().rev().find(|d| d.desired > d.current).unwrap();
    let of = |name: &str| last.metrics.iter().find(|m| m.metric == name).unwrap();
    let (rate, cpu) = (of("pods metric http_requests_per_second"), of("cpu"));
    let wanted = (u32::try_from(rate.value.unwrap()).unwrap() * last.current).div_ceil(8_000);
    assert_eq!((rate.proposal, rate.proposal > cpu.proposal), (Some(wanted), true), "{last:#?}");
}

#[test]
fn a_queue_decides_and_is_named() {
    if !needs("a_queue_decides_and_is_named", Need::Kustomize) {
        return;
    }
    // More than three pods can serve, so that requests pile up until there are more.
    let all = decisions("queue-depth-hpa", 130);
    assert!(decided_by(&all, "from pods metric http_requests_waiting") > 0, "{all:#?}");
}
