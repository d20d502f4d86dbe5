//! Interleaved pairs: base and head play the same seeds, one after the other, A-B-B-A.
//!
//! A pair shares its hour and its seed, so what is compared is the logarithm of the ratio within it; the test is by
//! signed ranks over the pairs, the estimate Hodges and Lehmann's. The idea is that of duet benchmarking (Bulej and
//! others, 2020). Many rows are looked at, so the share of false ones among those that are called is held, after
//! Benjamini and Hochberg. A change counts only if all of its interval lies beyond the minimum effect.

use record::{Change, Compared, Comparison, ComparisonKind, ComparisonRow, PolicyRow, Side, VerdictChange};

use crate::figures::{Figure, StepFigures, curve, names};
use crate::ranks::{false_discovery, hodges_lehmann, interval, middle, signed_rank};
use crate::{CONFIDENCE, Measured};

/// Pairs that are played if nobody says otherwise: enough for a change of a tenth on a noisy machine.
pub const PAIRS: u32 = 12;
/// Fewer cannot be as sure as 95 %: six that all point one way have a chance of 2/64.
pub(crate) const PAIRS_MIN: usize = 6;
/// The platform's own rule, and where it stands.
const POLICY: (f64, &str) = (0.3, "PERFORMANCE_BASELINE.md: investigate from 30 % on");

/// Compares the pairs. Each holds base and head of the same seed.
///
/// # Panics
/// Never without a pair: there is nothing to compare then, and it says so.
pub fn paired(pairs: &[(Measured, Measured)], minimum_effect: f64) -> Comparison {
    let sides = pairs.iter().flat_map(|(base, head)| [base, head]);
    let mut rows: Vec<ComparisonRow> = Vec::new();
    for step in names(sides) {
        let steps: Vec<(StepFigures, StepFigures)> = pairs
            .iter()
            .filter_map(|(base, head)| base.step(step.as_deref()).zip(head.step(step.as_deref())))
            .collect();
        rows.extend(Figure::ALL.map(|figure| row(&steps, step.as_deref(), figure, minimum_effect)));
    }
    let tried: Vec<usize> = (0..rows.len()).filter(|index| rows[*index].p.is_some()).collect();
    let p: Vec<f64> = tried.iter().filter_map(|index| rows[*index].p).collect();
    for (index, q) in tried.into_iter().zip(false_discovery(&p)) {
        rows[index].q = Some(q);
        rows[index].judgement = judge(&rows[index], minimum_effect);
    }
    let verdicts = pairs.first().map(|(base, head)| verdict_changes(base, head)).unwrap_or_default();
    let enough = pairs.len() >= PAIRS_MIN;
    let worse: Vec<&ComparisonRow> = rows.iter().filter(|row| row.judgement == Change::Worse).collect();
    let (conclusion, because) = if pairs.is_empty() {
        (Compared::Incomparable, "no pair was played to its end".to_owned())
    } else if rows.iter().all(|row| matches!(row.judgement, Change::Identical | Change::Unknown)) {
        (Compared::Identical, "every pair came out the same, request by request".to_owned())
    } else if worse.is_empty() {
        let told = if enough { "nothing got worse by more than the minimum effect" } else { "too few pairs to tell" };
        (Compared::NoRegression, told.to_owned())
    } else {
        (Compared::Regression, crate::tell::worst(&worse))
    };
    let side = |of: fn(&(Measured, Measured)) -> &Measured| Side {
        seeds: pairs.iter().flat_map(|pair| of(pair).side.seeds.clone()).collect(),
        requests: pairs.iter().map(|pair| of(pair).side.requests).sum(),
        ..pairs.first().map(|pair| of(pair).side.clone()).unwrap_or_default()
    };
    let distribution = |of: fn(&(Measured, Measured)) -> &Measured| {
        let mut all = None;
        for pair in pairs {
            let Some(step) = of(pair).step(None) else { continue };
            match &mut all {
                None => all = Some(step.responses),
                Some(sum) => sum.add(step.responses).expect("an auto-resizing histogram takes every other"),
            }
        }
        all.map(|all| curve(&all)).unwrap_or_default()
    };
    Comparison {
        schema: "rehearse/comparison/v1".into(),
        kind: ComparisonKind::Paired,
        base: side(|pair| &pair.0),
        head: side(|pair| &pair.1),
        conclusion,
        because,
        gating: enough,
        pairs: pairs.len() as u32,
        minimum_effect,
        confidence: CONFIDENCE,
        policy: policy(&rows),
        rows,
        verdicts,
        base_distribution: distribution(|pair| &pair.0),
        head_distribution: distribution(|pair| &pair.1),
        control: None,
        notes: if enough {
            Vec::new()
        } else {
            vec![format!("{} pairs cannot be as sure as 95 %: play {PAIRS_MIN} or more to let it decide", pairs.len())]
        },
    }
}

fn row(pairs: &[(StepFigures, StepFigures)], step: Option<&str>, figure: Figure, minimum_effect: f64) -> ComparisonRow {
    let values: Vec<(f64, f64)> =
        pairs.iter().filter_map(|(base, head)| figure.of(base).zip(figure.of(head))).collect();
    let difference = |(base, head): &(f64, f64)| match figure {
        Figure::Failed => Some((head - base) / 100.0),
        _ => (*base > 0.0 && *head > 0.0).then(|| libm::log(head / base)),
    };
    let differences: Vec<f64> = values.iter().filter_map(difference).collect();
    // Back from logarithms to a share of the base.
    let share = |value: f64| if figure == Figure::Failed { value } else { libm::expm1(value) };
    let alpha = (1.0 - CONFIDENCE) / 2.0;
    let ends = interval(&differences, alpha);
    let median = |side: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = values.iter().map(side).collect();
        all.sort_by(f64::total_cmp);
        middle(&all)
    };
    let identical = !differences.is_empty() && differences.iter().all(|difference| *difference == 0.0);
    ComparisonRow {
        step: step.map(str::to_owned),
        figure: figure.named().into(),
        unit: figure.unit().into(),
        base: median(|pair| pair.0),
        head: median(|pair| pair.1),
        change: hodges_lehmann(&differences).map(share),
        interval: ends.map(|(low, high)| (share(low), share(high))),
        p: (!differences.is_empty() && !identical).then(|| signed_rank(&differences)),
        q: None,
        // An interval of this width clears the minimum effect 8 times in 10 if the change is that much greater:
        // (1.96 + 0.84) / 1.96 half-widths.
        detectable: ends.map(|(low, high)| share(minimum_effect + (high - low) / 2.0 * 1.43)),
        judgement: match (identical, differences.is_empty()) {
            (true, _) => Change::Identical,
            (_, true) => Change::Unknown,
            _ => Change::Same,
        },
    }
}

fn judge(row: &ComparisonRow, minimum_effect: f64) -> Change {
    let sure = row.q.is_some_and(|q| q <= 1.0 - CONFIDENCE);
    // Half a percentage point of failures is as bad as three percent of time.
    let least = if row.figure == Figure::Failed.named() { minimum_effect / 6.0 } else { minimum_effect };
    match row.interval.filter(|_| sure) {
        Some((low, _)) if low > least => Change::Worse,
        Some((_, high)) if high < -least => Change::Better,
        _ => Change::Same,
    }
}

/// The platform's policy on p95 of each step.
pub(crate) fn policy(rows: &[ComparisonRow]) -> Vec<PolicyRow> {
    let (limit, source) = POLICY;
    let of = |row: &ComparisonRow| {
        let change = row.change.filter(|_| row.figure == Figure::P95.named())?;
        Some(PolicyRow {
            step: row.step.clone(),
            figure: row.figure.clone(),
            change,
            limit,
            exceeded: change >= limit,
            source: source.into(),
        })
    };
    rows.iter().filter_map(of).collect()
}

/// Objectives that are judged differently.
pub(crate) fn verdict_changes(base: &Measured, head: &Measured) -> Vec<VerdictChange> {
    let of = |run: &Measured, name: &str| {
        run.result.verdicts.iter().find(|v| v.objective == name).map(|v| (v.judgement, v.gating))
    };
    let mut names: Vec<&str> =
        base.result.verdicts.iter().chain(&head.result.verdicts).map(|v| v.objective.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &str| {
        let (before, after) = (of(base, name), of(head, name));
        let gating = before.or(after).is_some_and(|(_, gating)| gating);
        let (base, head) = (before.map(|(judgement, _)| judgement), after.map(|(judgement, _)| judgement));
        (base != head).then(|| VerdictChange { objective: name.into(), gating, base, head })
    };
    names.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MINIMUM_EFFECT;
    use crate::fixture::run;
    use units::{Purpose, Seed};

    /// Pairs on a noisy machine: each pair has an hour of its own, and each run its own few percent.
    fn pairs(trial: u64, count: u64, slower: f64) -> Vec<(Measured, Measured)> {
        let seed = Seed::new(trial).child("pairs");
        let noise = |index: u64, spread: f64| {
            let normal = (0..12).map(|k| seed.draw_nth(index * 16 + k, Purpose::Wait).unit()).sum::<f64>() - 6.0;
            libm::exp(normal * spread)
        };
        let pair = |index: u64| {
            let hour = noise(index * 3, 0.2);
            let one = |of: u64, factor: f64| run("embedded", index, hour * factor * noise(index * 3 + of, 0.025), 0);
            (one(1, 1.0), one(2, slower))
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn it_hardly_ever_cries_and_finds_a_tenth() {
        let (mut cried, mut found) = (0, 0);
        let trials = 60;
        for trial in 0..trials {
            cried += u32::from(paired(&pairs(trial, 12, 1.0), MINIMUM_EFFECT).conclusion == Compared::Regression);
            found += u32::from(paired(&pairs(trial, 12, 1.1), MINIMUM_EFFECT).conclusion == Compared::Regression);
        }
        // In the study it was 0.6 % and 96 %.
        assert!(cried <= 2 && found >= 50, "cried {cried}, found {found} of {trials}");
    }

    #[test]
    fn pairs_that_come_out_the_same_are_identical() {
        let same: Vec<_> =
            (0..6).map(|seed| (run("simulated", seed, 1.0, 0), run("simulated", seed, 1.0, 0))).collect();
        let comparison = paired(&same, MINIMUM_EFFECT);
        assert_eq!((comparison.conclusion, comparison.gating), (Compared::Identical, true));
        assert_eq!(paired(&[], MINIMUM_EFFECT).conclusion, Compared::Incomparable);
    }

    #[test]
    fn too_few_pairs_do_not_decide_and_failures_count() {
        let few = paired(&pairs(1, 4, 2.0), MINIMUM_EFFECT);
        assert!(!few.gating && few.notes[0].contains("6 or more"), "{few:?}");
        let failing: Vec<_> = (0..12).map(|seed| (run("e", seed, 1.0, 1), run("e", seed, 1.0, 30 + seed))).collect();
        let comparison = paired(&failing, MINIMUM_EFFECT);
        assert_eq!(comparison.conclusion, Compared::Regression);
        assert!(comparison.because.contains("failed"), "{}", comparison.because);
    }

    #[test]
    fn the_policy_is_told_beside_the_test() {
        let comparison = paired(&pairs(1, 12, 1.5), MINIMUM_EFFECT);
        let policy = comparison.policy.iter().find(|row| row.step.is_none()).unwrap();
        assert!(policy.exceeded && policy.change > 0.4 && policy.change < 0.6, "{policy:?}");
        let row = comparison.rows.iter().find(|row| row.figure == "p95").unwrap();
        assert!(row.detectable.unwrap() > MINIMUM_EFFECT && row.interval.unwrap().0 > 0.3, "{row:?}");
        let text = crate::text(&comparison);
        assert!(text.starts_with("REGRESSION: ") && text.contains("policy: p95"), "{text}");
    }
}
