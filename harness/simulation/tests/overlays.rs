//! Every shipped overlay comes up and answers the shortest scenario at the size that the scenario gives it.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::sync::Arc;

use manifests::Source;
use model::Profile;
use record::{Deaf, Observation};
use scenarios::{LoadScale, Plan, Scenario, Variation};
use simulation::{Settings, SimulationError, simulate};
use units::{Bytes, Nanos, Seed};

fn plan(overlay: &str, whole: bool, change: impl Fn(&mut Profile)) -> Plan {
    let shipped = scenarios::find("smoke").unwrap();
    let scenario = Scenario::parse(shipped.text, shipped.file).unwrap();
    let platform = Arc::new(manifests::load(&Source::BuiltIn, overlay).unwrap().platform);
    let mut profiles = model::shipped().unwrap();
    profiles.values_mut().for_each(change);
    let nodes = manifests::load_nodes(None).unwrap();
    let plan = Plan::resolve(&scenario, platform, nodes, &profiles, Seed::new(1)).unwrap();
    let share = scenario.scale_on(overlay).filter(|_| !whole);
    plan.varied(&Variation { load: share.map_or(LoadScale::AsWritten, LoadScale::Times), ..Variation::default() })
        .unwrap()
}

fn play(plan: &Plan) -> Vec<Observation> {
    let settings = Settings { keep_observations: true, ..Settings::default() };
    simulate(plan, vec![], &settings, &mut Deaf).unwrap().observed.observations.to_vec()
}

/// The 95th percentile of the core flow, and how many of its requests failed.
fn core(plan: &Plan) -> (Nanos, usize) {
    let all = play(plan);
    let core: Vec<_> = all.iter().filter(|o| plan.load.step(o.step).flow == "core").collect();
    let mut times: Vec<Nanos> = core.iter().map(|o| o.response()).collect();
    times.sort_unstable();
    (times[times.len() * 95 / 100], core.iter().filter(|o| !o.ok()).count())
}

#[test]
fn each_holds_the_load_that_is_its_size() {
    for overlay in ["development", "staging", "production"] {
        let (p95, failed) = core(&plan(overlay, false, |_| ()));
        assert!(p95 < Nanos::from_millis(800) && failed == 0, "{overlay}: {p95}, {failed} failed");
    }
}

#[test]
fn two_pods_of_auth_service_do_not_hold_the_load_of_five() {
    // 24 registrations and 24 tokens a second take 1.02 cores; two pods of half a core are 1.
    let (p95, _) = core(&plan("staging", true, |_| ()));
    assert!(p95 > Nanos::from_millis(800), "{p95}");
}

#[test]
fn a_process_that_does_not_fit_into_its_limit_is_named_with_both_figures() {
    let plan = plan("development", false, |profile| {
        if profile.workload == "qna-service" {
            profile.memory = Bytes::from_mebi(300);
        }
    });
    let error = simulate(&plan, vec![], &Settings::default(), &mut Deaf).unwrap_err();
    let SimulationError::NeverReady { why, .. } = &error;
    for word in ["qna-service-", "are restarted again and again (OOMKilled)", "qna-service (300Mi, limit 256Mi)"] {
        assert!(why.contains(word), "`{word}` is not in: {error}");
    }
    assert!(!why.contains("transactions-service"), "{error}");
}
