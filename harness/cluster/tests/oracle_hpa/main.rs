//! Our autoscaler against Kubernetes' own, sync by sync: `docs/fidelity.md` tells what this covers.
//!
//! `recorded` needs no Go: it holds the rules to answers that the oracle gave once. `fresh` draws new cases every day
//! and asks the oracle now. `cargo xtask prove` runs `fresh` over more cases and releases.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod cases;
mod compare;
mod oracle;
mod ours;
mod recorded;

use cluster::Release;

use cases::Case;
use compare::difference;
use oracle::Oracle;

/// How many cases the oracle is asked at a time.
const BATCH: u64 = 2_000;

/// How many differing cases are told in full.
const TOLD: usize = 5;

fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Days since 1970: every day other cases.
fn today() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400
}

#[test]
fn fresh_cases_are_answered_as_kubernetes_answers_them() {
    if !testing::needs("fresh_cases_are_answered_as_kubernetes_answers_them", testing::Need::Go) {
        return;
    }
    let seed = from_environment("PROVE_SEED").map_or_else(today, |text| text.parse().unwrap());
    let count: u64 = from_environment("PROVE_CASES").map_or(1_000, |text| text.parse().unwrap());
    let releases = from_environment("PROVE_RELEASES").unwrap_or_else(|| "1.34".to_owned());
    let mut told = Vec::new();
    for release in releases.split(',').map(|text| text.parse::<Release>().unwrap()) {
        let oracle = Oracle::build(release);
        let (mut differ, mut syncs) = (0, 0);
        for first in (0..count).step_by(BATCH as usize) {
            let cases: Vec<_> = (first..count.min(first + BATCH)).map(|number| Case::draw(seed, number).json).collect();
            for (index, (case, theirs)) in cases.iter().zip(oracle.ask(&cases)).enumerate() {
                syncs += theirs.as_array().map_or(0, Vec::len);
                if let Some(difference) = difference(&theirs, &ours::answer(case, release)) {
                    differ += 1;
                    if told.len() < TOLD {
                        told.push(format!("{release} seed {seed} case {}: {difference}\n{case}", first + index as u64));
                    }
                }
            }
        }
        eprintln!("Kubernetes {release}: {count} cases of seed {seed}, {syncs} syncs, {differ} differ");
    }
    assert!(told.is_empty(), "{}", told.join("\n\n"));
}
