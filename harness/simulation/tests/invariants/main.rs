//! What must hold whatever goes wrong, in thousands of drawn scenarios with drawn faults: on a platform of three
//! workloads that has one of everything, and on the whole shipped one. A failing seed plays again alone:
//! `REHEARSE_FIRST=SEED REHEARSE_SCENARIOS=1 cargo test -p simulation --test invariants`.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod audited;
mod drawn;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use manifests::Source;
use model::Profile;
use platform::{Node, Platform};
use record::Deaf;
use scenarios::{Plan, Scenario};
use simulation::{Settings, Simulated, all_cores, in_order, simulate};
use units::Seed;

/// What is stood up.
struct Stage {
    platform: Arc<Platform>,
    nodes: Vec<Node>,
    profiles: BTreeMap<String, Profile>,
}

static SHIPPED: LazyLock<Stage> = LazyLock::new(|| Stage {
    platform: Arc::new(manifests::load(&Source::BuiltIn, "production").unwrap().platform),
    nodes: manifests::load_nodes(None).unwrap(),
    profiles: model::shipped().unwrap(),
});

static SMALL: LazyLock<Stage> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invariants/small");
    let profile = |text| Profile::parse(text, "profile.yaml").unwrap_or_else(|error| panic!("{error}"));
    let profiles = [include_str!("small/orders.yaml"), include_str!("small/stock.yaml")].map(profile);
    let platform = manifests::read(include_str!("small/platform.yaml"), "platform.yaml");
    Stage {
        platform: Arc::new(platform.unwrap_or_else(|error| panic!("{error}"))),
        nodes: manifests::load_nodes(Some(&folder.join("nodes.yaml"))).unwrap_or_else(|error| panic!("{error}")),
        profiles: profiles.into_iter().map(|profile| (profile.workload.clone(), profile)).collect(),
    }
});

impl Stage {
    fn play(&self, text: &str, seed: Seed) -> (Plan, Simulated) {
        let parsed = Scenario::parse(text, "drawn.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        let plan = Plan::resolve(&parsed, Arc::clone(&self.platform), self.nodes.clone(), &self.profiles, seed)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let settings = Settings { keep_observations: true, audit: true, ..Settings::default() };
        let simulated = simulate(&plan, vec![], &settings, &mut Deaf);
        (plan, simulated.unwrap_or_else(|error| panic!("seed {}: {error}\n{text}", seed.get())))
    }

    /// Plays and checks so many drawn scenarios, unless the environment asks for others; gives what was seen in all.
    fn check(&self, scenarios: u64, draw: impl Fn(Seed) -> String + Sync) -> audited::Seen {
        let number = |variable: &str| std::env::var(variable).ok()?.parse().ok();
        let first: u64 = number("REHEARSE_FIRST").unwrap_or(0);
        let all: u64 = number("REHEARSE_SCENARIOS").unwrap_or(scenarios);
        let seen = in_order(all as usize, all_cores(), |nth| {
            let seed = Seed::new(first + nth as u64);
            let text = draw(seed);
            let again = format!("seed {0} (again: REHEARSE_FIRST={0} REHEARSE_SCENARIOS=1)\n{text}", seed.get());
            let (plan, simulated) = self.play(&text, seed);
            audited::check(&plan, &simulated, &again)
        });
        let seen = seen.into_iter().fold(audited::Seen::default(), audited::Seen::and);
        assert!(all < scenarios || seen.is_in_earnest(), "what nobody runs into tests nothing: {seen:?}");
        seen
    }
}

#[test]
fn whatever_goes_wrong_on_a_small_platform_every_invariant_holds() {
    let seen = SMALL.check(3_000, drawn::small);
    println!("3,000 drawn scenarios: {seen:?}");
}

#[test]
fn whatever_goes_wrong_on_the_shipped_platform_every_invariant_holds() {
    let seen = SHIPPED.check(300, drawn::shipped);
    println!("300 drawn scenarios on the shipped platform: {seen:?}");
}

#[test]
fn whatever_goes_wrong_the_same_seed_goes_the_same_way() {
    for number in 0..4 {
        let seed = Seed::new(1_000 + number);
        for (stage, text) in [(&SHIPPED, drawn::shipped(seed)), (&SMALL, drawn::small(seed))] {
            let ((_, one), (_, two)) = (stage.play(&text, seed), stage.play(&text, seed));
            assert_eq!(one.observed.observations, two.observed.observations, "seed {number}");
            assert_eq!(one.observed.chronicle.events(), two.observed.chronicle.events(), "seed {number}");
            assert_eq!(one.audit, two.audit, "seed {number}");
        }
    }
}
