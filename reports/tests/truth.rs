//! Verdicts over runs whose truth is known: no claim is wrong more often than it says. The large version is
//! `cargo run --release -p reports --example truth`.

#[path = "../examples/truth/engine.rs"]
mod engine;

use engine::{AT_THE_LIMIT, Case, conclude_all, observations, tally, verdict};
use record::Judgement;
use units::{Nanos, Seed};

/// Runs of a case: few enough for a test.
const RUNS: u32 = 200;
/// The error that is stated, and three standard errors of what so many runs say of it.
const MOST: f64 = 0.05 + 0.047;

#[test]
fn at_the_limit_no_claim_is_wrong_more_often_than_it_says() {
    for case in &AT_THE_LIMIT {
        let (passed, failed) = tally(case, RUNS).shares();
        assert!(passed <= MOST && failed <= MOST, "{}: passed {passed}, failed {failed}", case.name);
    }
}

#[test]
fn far_from_the_limit_verdicts_are_right_and_nearly_always_made() {
    for at_limit in &AT_THE_LIMIT[..2] {
        let of = |share: f64| tally(&Case { truth: at_limit.truth * share, ..*at_limit }, RUNS / 2).shares();
        let ((kept, wrongly_failed), (wrongly_passed, broken)) = (of(0.4), of(2.0));
        assert!(kept > 0.95 && broken > 0.95, "{}: {kept} pass, {broken} fail", at_limit.name);
        assert!(wrongly_failed == 0.0 && wrongly_passed == 0.0, "{}", at_limit.name);
    }
}

#[test]
fn a_family_is_wrong_no_more_often_than_one() {
    // Six objectives of six flows would be independent; six limits at the truth of one flow are as bad as it gets.
    let lines = ["failed<1%", "availability>=99%", "5xx<1%", "failed<1% over 1h", "5xx<1% over 1h", "p99<800ms"];
    let objectives: Vec<_> = lines.iter().map(|text| objectives::line(text).unwrap()).collect();
    let case = Case { name: "family", ..AT_THE_LIMIT[1] };
    let wrong = (0..RUNS).filter(|run| {
        let observations = observations(&case, Seed::new(u64::from(*run)).child("family"));
        let verdicts = conclude_all(&objectives, &observations, case.seconds);
        verdicts.iter().any(|verdict| verdict.judgement != Judgement::Undecided)
    });
    // A pass or a fail: each may be wrong 5 times in 100.
    let wrong = wrong.count() as f64 / f64::from(RUNS);
    assert!(wrong <= 0.16, "{wrong}");
}

#[test]
fn a_run_that_may_be_extended_is_wrong_no_more_often() {
    let case = Case { seconds: 60, ..AT_THE_LIMIT[0] };
    let objectives = [objectives::line(case.line).unwrap()];
    let (mut passed, mut failed, mut extended) = (0, 0, 0);
    for run in 0..RUNS {
        let seed = Seed::new(u64::from(run)).child("extended");
        let mut result = engine::result(&objectives, &observations(&case, seed), case.seconds, 2);
        // What chance says is needed: here nothing ever settles it but chance.
        if let Some(factor) = reports::extension(&result) {
            extended += 1;
            let longer = Case { seconds: (60.0 * factor.min(4.0)) as u64, ..case };
            result = engine::result(&objectives, &observations(&longer, seed.child("longer")), longer.seconds, 2);
        }
        passed += u32::from(result.verdicts[0].judgement == Judgement::Pass);
        failed += u32::from(result.verdicts[0].judgement == Judgement::Fail);
    }
    let share = |n: u32| f64::from(n) / f64::from(RUNS);
    assert!(extended > RUNS / 2, "{extended}");
    assert!(share(passed) <= MOST && share(failed) <= MOST, "passed {passed}, failed {failed}");
}

#[test]
fn percentiles_are_those_of_an_exact_sort() {
    for (index, case) in AT_THE_LIMIT.iter().enumerate().filter(|(_, case)| case.line.starts_with("p95")) {
        let seed = Seed::new(index as u64);
        let mut exact: Vec<Nanos> = observations(case, seed).iter().map(record::Observation::response).collect();
        exact.sort_unstable();
        let rank = (exact.len() as f64 * 0.95).ceil() as usize;
        let exact = exact[rank - 1].as_millis_f64();
        let verdict = verdict(case, seed);
        let measured = verdict.measured.unwrap();
        // Three significant digits: at most one part in a thousand above, and never below.
        assert!((exact..=exact * 1.001).contains(&measured), "{}: {measured} and {exact}", case.name);
        assert!(verdict.resolution.unwrap() <= 800.0 / 1_000.0, "{:?}", verdict.resolution);
    }
}
