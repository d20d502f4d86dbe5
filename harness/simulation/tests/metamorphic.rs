//! What a change of the question must do to the answer, on the whole shipped platform.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use manifests::Source;
use platform::WorkloadId;
use record::{Cause, Deaf, Hops, Observation};
use scenarios::{Autoscaling, LoadScale, Plan, Scenario, Variation};
use simulation::{Settings, simulate};
use units::{Bytes, Millicores, Nanos, Seed};

fn queued(hops: &Hops) -> u32 {
    hops.queue_us + hops.downstream_queue_us
}

/// Plays smoke at a twelfth of its load, after `edit`. Gives each request with the name of its step, in the order of
/// sessions.
fn play(edit: impl Fn(String) -> String, hop: Nanos) -> Vec<(String, Observation)> {
    let shipped = scenarios::find("smoke").unwrap();
    let text = edit(shipped.text.replace("{warm-up: 6/s, step: 24/s, probe: 24/s}", "{step: 2/s}"));
    let scenario = Scenario::parse(&text, shipped.file).unwrap();
    let platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
    let nodes = manifests::load_nodes(None).unwrap();
    let profiles = model::shipped().unwrap();
    let plan = Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(1)).unwrap();
    // Without the data layer: its queues are shared by all, so that a shift would change who waits for whom.
    let settings = Settings { hop, keep_observations: true, data_layer: false, ..Settings::default() };
    let mut observations = simulate(&plan, vec![], &settings, &mut Deaf).unwrap().observed.observations.to_vec();
    observations.sort_by_key(|o| (o.arrival, o.intended));
    observations.into_iter().map(|o| (plan.load.step(o.step).name.clone(), o)).collect()
}

#[test]
fn each_hop_costs_what_it_costs_and_nothing_else_moves() {
    let (short, long) = (Nanos::from_micros(150), Nanos::from_millis(2));
    let (near, far) = (play(|text| text, short), play(|text| text, long));
    assert_eq!(near.len(), far.len());
    let mut compared = 0;
    let mut hops_of: BTreeMap<&str, u64> = BTreeMap::new();
    for ((step, near), (_, far)) in near.iter().zip(&far) {
        // Where requests met, or a quota or a rate limit was spent, a shift may change who waits or is refused.
        if !near.ok() || !far.ok() || queued(&near.hops) + queued(&far.hops) > 0 {
            continue;
        }
        let more = (far.response() - near.response()).get();
        let each = (long - short).get();
        assert_eq!(more % (2 * each), 0, "{step}: a way there has a way back");
        let hops = *hops_of.entry(step).or_insert(more / each);
        assert_eq!(more / each, hops, "{step}: every request of a step takes the same way");
        // What a service waits for its calls holds their hops; every part beside it is the pods' own.
        let parts = |o: &Observation| Hops { downstream_us: 0, ..o.hops };
        assert_eq!(parts(far), parts(near), "{step}");
        compared += 1;
    }
    // To the gateway, to the service and back; a profile asks auth-service, there and back; a create asks several.
    assert_eq!((hops_of["register"], hops_of["token"], hops_of["profile"]), (4, 4, 6));
    assert!(hops_of["create transaction"] > 6, "{hops_of:?}");
    assert!(compared > 300, "only {compared} requests met nobody");
}

#[test]
fn names_change_nothing() {
    let hop = Nanos::from_micros(150);
    // The new name sorts behind the other journey, so that every step gets another number.
    let renamed = play(|text| text.replace("core-flow", "the-flow"), hop);
    let plain = play(|text| text, hop);
    assert_ne!(renamed[0].1.step, plain[0].1.step, "the test is out of date");
    let same = |(step, o): &(String, Observation)| (step.clone(), Observation { step: record::StepId(0), ..*o });
    assert!(renamed.iter().map(same).eq(plain.iter().map(same)));
}

fn plan(text: &str, platform: platform::Platform, profiles: &BTreeMap<String, model::Profile>) -> Plan {
    let scenario = Scenario::parse(text, "s.yaml").unwrap_or_else(|error| panic!("{error}"));
    let nodes = manifests::load_nodes(None).unwrap();
    Plan::resolve(&scenario, Arc::new(platform), nodes, profiles, Seed::new(1))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn production() -> platform::Platform {
    manifests::load(&Source::BuiltIn, "production").unwrap().platform
}

fn observe(plan: &Plan) -> Vec<Observation> {
    let settings = Settings { keep_observations: true, data_layer: false, ..Settings::default() };
    simulate(plan, vec![], &settings, &mut Deaf).unwrap().observed.observations.to_vec()
}

#[test]
fn twice_the_load_on_twice_the_replicas_is_no_worse() {
    let text = scenarios::find("smoke").unwrap().text.replace("step: 24/s, probe: 24/s", "step: 16/s");
    let mut plan = plan(&text, production(), &model::shipped().unwrap());
    for node in &mut plan.nodes {
        // Room for twice as many pods.
        node.cpu = Millicores::new(2 * node.cpu.get());
        node.memory = Bytes::new(2 * node.memory.get());
        node.pods *= 2;
    }
    let still = Variation { autoscaling: Autoscaling::Off, ..Variation::default() };
    let one = plan.varied(&still).unwrap();
    let twice = |id: WorkloadId| Some((id, 2 * one.platform.workload(id).replicas?));
    let deployments = one
        .platform
        .workload_ids()
        .filter(|id| matches!(one.platform.workload(*id).kind, platform::WorkloadKind::Deployment));
    let double =
        Variation { load: LoadScale::Times(2.0), replicas: deployments.filter_map(twice).collect(), ..still.clone() };
    let two = plan.varied(&double).unwrap();
    let p95 = |plan: &Plan| {
        let mut all: Vec<Nanos> = observe(plan).iter().filter(|o| o.ok()).map(Observation::response).collect();
        all.sort_unstable();
        (all.len(), all[all.len() * 95 / 100])
    };
    let ((few, before), (many, after)) = (p95(&one), p95(&two));
    assert!(many > few * 19 / 10, "{few} and {many} requests");
    // Twice as many queues of the same length: what differs is chance.
    assert!(after.as_secs_f64() < 1.05 * before.as_secs_f64(), "{before} and then {after}");
}

#[test]
fn without_a_limiter_nobody_is_refused_and_no_fewer_are_let_in() {
    let text = scenarios::find("rate-limit").unwrap().text;
    let (limited, mut free) = (production(), production());
    let config = &mut free.gateway.as_mut().unwrap().config;
    for location in config.servers.iter_mut().flat_map(|server| &mut server.locations) {
        location.limits.clear();
    }
    let profiles = model::shipped().unwrap();
    let count = |platform| {
        let observed = observe(&plan(text, platform, &profiles));
        let refused = observed.iter().filter(|o| o.cause == Cause::Limited).count();
        (observed.len() - refused, refused)
    };
    let ((admitted, refused), (all, none)) = (count(limited), count(free));
    assert!(refused > 100, "the test is out of date: {refused} were refused");
    assert!(none == 0 && all >= admitted + refused, "{admitted} of {}, and then {all}", admitted + refused);
}

#[test]
fn names_of_services_change_nothing() {
    let (old, new) = ("user-profile-service", "zz-who-is-who");
    let rendered = include_str!("../../../kind-config/platform/rendered/production.yaml");
    let text = scenarios::find("smoke").unwrap().text.replace("step: 24/s, probe: 24/s", "step: 2/s");
    let played = |name: &str| {
        let file = format!("{}/{name}.yaml", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&file, rendered.replace(old, name)).unwrap();
        let platform = manifests::load(&Source::parse(&file), "").unwrap().platform;
        let mut profiles = model::shipped().unwrap();
        for profile in profiles.values_mut() {
            let calls = profile.routes.iter_mut().flat_map(|route| &mut route.calls);
            calls.filter(|call| call.service == old).for_each(|call| call.service = name.into());
        }
        if let Some(own) = profiles.remove(old) {
            profiles.insert(name.into(), model::Profile { workload: name.into(), ..own });
        }
        observe(&plan(&text, platform, &profiles))
    };
    assert_eq!(played(old), played(new));
}
