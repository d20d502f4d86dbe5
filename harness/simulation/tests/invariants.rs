//! What must hold whatever goes wrong: random faults on the whole shipped platform, a failing seed replays.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use manifests::Source;
use record::{Deaf, EventKind, Observation};
use scenarios::{Plan, Scenario};
use simulation::{Settings, Simulated, simulate};
use units::{Draw, Nanos, Purpose, Seed};

/// How many scenarios are drawn. `REHEARSE_SCENARIOS` draws more.
const SCENARIOS: u64 = 60;

/// A fault of a drawn kind. Two of a kind never meet, since the kinds are dealt without repetition.
fn fault(kind: usize, draw: impl Fn(u64) -> Draw) -> String {
    let at = 3 + draw(1).below(30);
    let lasts = 2 + draw(2).below(15);
    let workload = *draw(3)
        .pick(&["auth-service", "user-profile-service", "transactions-service", "nginx-gateway", "analytics-service"])
        .unwrap();
    let node = *draw(4).pick(&["general-a-1", "general-a-2", "general-b-1", "general-c-3"]).unwrap();
    let what = match kind {
        0 => format!(
            "podKill: {{workload: {workload}, pods: {}, forced: {}}}",
            1 + draw(5).below(3),
            draw(6).unit() < 0.5
        ),
        1 => return format!("    - {{name: drain, at: {at}s, lasts: {lasts}s, nodeDrain: {{node: general-b-2}}}}\n"),
        2 => return format!("    - {{name: lost, at: {at}s, lasts: {lasts}s, nodeLoss: {{node: {node}}}}}\n"),
        3 => return format!("    - {{name: cut, at: {at}s, lasts: {lasts}s, partition: {{node: general-c-1}}}}\n"),
        4 => "rollingUpdate: {workload: auth-service}".to_owned(),
        5 => "badImage: {workload: user-profile-service}".to_owned(),
        6 => "latency: {from: gateway, to: auth-service, add: 300ms}".to_owned(),
        7 => "errors: {from: transactions-service, to: user-profile-service, share: 40 %, status: 503}".to_owned(),
        8 => "blackhole: {from: gateway, to: transactions-service}".to_owned(),
        9 => "databaseLoss: {}".to_owned(),
        10 => "redisLoss: {}".to_owned(),
        11 => "gatewayLoss: {pods: 2}".to_owned(),
        12 => "noisyNeighbour: {node: general-a-3, cpu: 12}".to_owned(),
        _ => "dnsFailure: {service: user-profile-service}".to_owned(),
    };
    let undone = !matches!(kind, 0 | 5 | 11);
    let lasts = if undone { format!(", lasts: {lasts}s") } else { String::new() };
    format!("    - {{name: fault {kind}, at: {at}s{lasts}, {what}}}\n")
}

const KINDS: usize = 14;

fn scenario(seed: Seed) -> String {
    let draw = |nth| seed.draw_nth(nth, Purpose::Phase);
    let mut kinds = BTreeSet::new();
    for nth in 0..=draw(0).below(4) as u64 {
        kinds.insert(draw(100 + nth).below(KINDS));
    }
    let mut faults = String::new();
    for kind in kinds {
        let own = seed.child_nth(kind as u64);
        faults.write_str(&fault(kind, |nth| own.draw_nth(nth, Purpose::Phase))).unwrap();
    }
    let shipped = scenarios::find("smoke").unwrap().text;
    let rate = 1 + draw(9).below(8);
    shipped
        .replace("{warm-up: 6/s, step: 24/s, probe: 24/s}", &format!("{{step: {rate}/s, probe: {rate}/s}}"))
        .replace("  load:\n", &format!("  faults:\n{faults}  load:\n"))
}

fn play(text: &str, seed: Seed) -> (Plan, Simulated) {
    let parsed = Scenario::parse(text, "drawn.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
    let nodes = manifests::load_nodes(None).unwrap();
    let plan = Plan::resolve(&parsed, Arc::new(platform), nodes, &model::shipped().unwrap(), seed)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let simulated = simulate(&plan, vec![], &settings, &mut Deaf).unwrap();
    (plan, simulated)
}

#[test]
fn whatever_goes_wrong_every_request_ends_once_and_in_time() {
    let scenarios = std::env::var("REHEARSE_SCENARIOS").ok().and_then(|count| count.parse().ok()).unwrap_or(SCENARIOS);
    let mut failed = 0_u64;
    for number in 0..scenarios {
        let seed = Seed::new(number);
        let text = scenario(seed);
        let (plan, simulated) = play(&text, seed);
        let observed = &simulated.observed;
        let mut seen = BTreeSet::new();
        for o in &observed.observations {
            let Observation { arrival, step, intended, sent, done, status, .. } = *o;
            assert!(seen.insert((arrival, step, intended)), "seed {number}: a request ended twice\n{text}");
            assert!(intended <= sent && sent <= done, "seed {number}: time runs backwards\n{text}");
            // Two hops beyond the client's patience, at most.
            let patience = plan.load.timeout + Nanos::from_millis(1);
            assert!(done - sent <= patience, "seed {number}: {} for a request\n{text}", done - sent);
            assert_eq!(o.ok(), (200..400).contains(&status), "seed {number}: {o:?}\n{text}");
            failed += u64::from(!o.ok());
        }
        // In = out: every session that arrived has made its first request.
        let arrived = scenarios::Arrivals::new(&plan.load).count();
        let sessions: BTreeSet<u64> = observed.observations.iter().map(|o| o.arrival).collect();
        assert_eq!(sessions.len(), arrived, "seed {number}\n{text}");
        let events = observed.chronicle.events();
        let count = |wanted: fn(&EventKind) -> bool| events.iter().filter(|event| wanted(&event.kind)).count();
        let began = count(|kind| matches!(kind, EventKind::FaultBegan { .. }));
        assert_eq!(began, plan.faults.len(), "seed {number}: a fault never began\n{text}");
    }
    assert!(failed > 0, "faults that nobody notices test nothing");
}

#[test]
fn the_same_faults_play_the_same() {
    for number in [3, 11, 27] {
        let (seed, text) = (Seed::new(number), scenario(Seed::new(number)));
        let (one, two) = (play(&text, seed).1.observed, play(&text, seed).1.observed);
        assert_eq!(one.observations, two.observations, "seed {number}");
        assert_eq!(one.chronicle.events(), two.chronicle.events(), "seed {number}");
    }
}
