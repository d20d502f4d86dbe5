//! Two runs that were made before.
//!
//! In virtual time the same scenario with the same seed comes out the same, bit for bit: any difference is one of the
//! platform, the profiles or the program, and it gates. By the wall clock two runs differ by their hour as well; their
//! blocks give an idea of by how much, and the comparison advises.

use record::{Change, Compared, Comparison, ComparisonKind, ComparisonRow, Judgement};

use crate::figures::{Figure, StepFigures, curve, names};
use crate::paired::{policy, verdict_changes};
use crate::ranks::shift;
use crate::{CONFIDENCE, Measured};

/// Compares `head` with `base`.
pub fn two(base: &Measured, head: &Measured, minimum_effect: f64) -> Comparison {
    let mut notes = Vec::new();
    let same_load = base.side.scenario_digest == head.side.scenario_digest && base.side.seeds == head.side.seeds;
    let exact = base.exact() && head.exact() && same_load;
    if base.side.scenario_digest != head.side.scenario_digest {
        notes.push(format!(
            "different scenarios: {} ({}) and {} ({})",
            base.side.scenario, base.side.scenario_digest, head.side.scenario, head.side.scenario_digest
        ));
    } else if base.side.seeds != head.side.seeds && base.exact() && head.exact() {
        notes.push(format!(
            "different seeds: with --seed {} they could be compared exactly",
            base.side.seeds.first().copied().unwrap_or_default()
        ));
    }
    if base.side.backend != head.side.backend {
        notes.push(format!("different backends: {} and {}", base.side.backend, head.side.backend));
    }
    if !exact && base.side.machine != head.side.machine {
        notes.push(format!("different machines: {} and {}", machine(base), machine(head)));
    }
    let mut rows = Vec::new();
    for step in names([base, head].into_iter()) {
        let sides = (base.step(step.as_deref()), head.step(step.as_deref()));
        rows.extend(Figure::ALL.map(|figure| row(&sides, step.as_deref(), figure, exact, minimum_effect)));
    }
    let verdicts = verdict_changes(base, head);
    let broke: Vec<&str> = verdicts
        .iter()
        .filter(|v| v.gating && v.head == Some(Judgement::Fail) && v.base != Some(Judgement::Fail))
        .map(|v| v.objective.as_str())
        .collect();
    let worse: Vec<&ComparisonRow> = rows.iter().filter(|row| row.judgement == Change::Worse).collect();
    let comparable = base.side.scenario_digest == head.side.scenario_digest && base.side.backend == head.side.backend;
    let identical = exact
        && verdicts.is_empty()
        && base.result.steps == head.result.steps
        && rows.iter().all(|row| matches!(row.judgement, Change::Identical | Change::Unknown));
    let (conclusion, because) = if !comparable {
        (Compared::Incomparable, notes.first().cloned().unwrap_or_default())
    } else if identical {
        (Compared::Identical, "every request of both runs came out the same".to_owned())
    } else if !broke.is_empty() {
        (Compared::Regression, format!("kept before and broken now: {}", broke.join(", ")))
    } else if !worse.is_empty() {
        (Compared::Regression, crate::tell::worst(&worse))
    } else {
        (Compared::NoRegression, "nothing got worse by more than the minimum effect".to_owned())
    };
    let distribution = |run: &Measured| run.step(None).map(|all| curve(&all.responses)).unwrap_or_default();
    Comparison {
        schema: "rehearse/comparison/v1".into(),
        kind: if exact { ComparisonKind::Exact } else { ComparisonKind::Advisory },
        base: base.side.clone(),
        head: head.side.clone(),
        conclusion,
        because,
        gating: exact,
        pairs: 1,
        minimum_effect,
        confidence: CONFIDENCE,
        policy: policy(&rows),
        rows,
        verdicts,
        base_distribution: distribution(base),
        head_distribution: distribution(head),
        control: None,
        notes,
    }
}

fn machine(run: &Measured) -> &str {
    if run.side.machine.is_empty() { "one that was not recorded" } else { &run.side.machine }
}

fn row(
    (before, after): &(Option<StepFigures>, Option<StepFigures>),
    step: Option<&str>,
    figure: Figure,
    exact: bool,
    minimum_effect: f64,
) -> ComparisonRow {
    let value = |side: &Option<StepFigures>| side.as_ref().and_then(|side| figure.of(side));
    let values = value(before).zip(value(after));
    let change = values.and_then(|(base, head)| match figure {
        Figure::Failed => Some((head - base) / 100.0),
        _ if base > 0.0 => Some(head / base - 1.0),
        _ => None,
    });
    // The spread of each run's own blocks, on the scale of logarithms: drift within a run, not between runs.
    let logs = |side: &Option<StepFigures>| {
        let blocks = side.as_ref().map(|side| figure.in_blocks(side)).unwrap_or_default();
        blocks.into_iter().filter(|value| *value > 0.0).map(libm::log).collect::<Vec<_>>()
    };
    let spread = if exact { None } else { shift(&logs(before), &logs(after), 1.96) };
    let interval = spread.map(|(_, (low, high))| (libm::expm1(low), libm::expm1(high)));
    let least = if figure == Figure::Failed { minimum_effect / 6.0 } else { minimum_effect };
    let beyond = |value: f64| value > least;
    let judgement = match (values, change) {
        (Some((base, head)), _) if exact && base.to_bits() == head.to_bits() => Change::Identical,
        (_, Some(change)) if exact && beyond(change) => Change::Worse,
        (_, Some(change)) if exact && beyond(-change) => Change::Better,
        (_, Some(change)) if !exact => match interval {
            Some((low, _)) if beyond(low) => Change::Worse,
            Some((_, high)) if beyond(-high) => Change::Better,
            // A share has no blocks: it is told and not judged, unless it is plain.
            None if figure == Figure::Failed && change > 0.02 => Change::Worse,
            _ => Change::Same,
        },
        (_, Some(_)) => Change::Same,
        _ => Change::Unknown,
    };
    ComparisonRow {
        step: step.map(str::to_owned),
        figure: figure.named().into(),
        unit: figure.unit().into(),
        base: value(before),
        head: value(after),
        change,
        interval,
        p: None,
        q: None,
        detectable: interval.map(|(low, high)| minimum_effect + (high - low) / 2.0 * 1.43),
        judgement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MINIMUM_EFFECT;
    use crate::fixture::run;

    #[test]
    #[expect(clippy::large_stack_arrays, reason = "a table of whole runs")]
    fn virtual_time_is_compared_exactly_and_the_wall_clock_advises() {
        for (case, base, head, conclusion, gating) in [
            ("the same", run("simulated", 1, 1.0, 0), run("simulated", 1, 1.0, 0), Compared::Identical, true),
            (
                "a little slower",
                run("simulated", 1, 1.0, 0),
                run("simulated", 1, 1.02, 0),
                Compared::NoRegression,
                true,
            ),
            ("slower", run("simulated", 1, 1.0, 0), run("simulated", 1, 1.1, 0), Compared::Regression, true),
            ("faster", run("simulated", 1, 1.1, 0), run("simulated", 1, 1.0, 0), Compared::NoRegression, true),
            ("failing", run("simulated", 1, 1.0, 0), run("simulated", 1, 1.0, 12), Compared::Regression, true),
            ("another seed", run("simulated", 1, 1.0, 0), run("simulated", 2, 1.1, 0), Compared::Regression, false),
            ("live", run("embedded", 1, 1.0, 0), run("embedded", 1, 1.3, 0), Compared::Regression, false),
            (
                "live and simulated",
                run("embedded", 1, 1.0, 0),
                run("simulated", 1, 1.0, 0),
                Compared::Incomparable,
                false,
            ),
        ] {
            let comparison = two(&base, &head, MINIMUM_EFFECT);
            assert_eq!((comparison.conclusion, comparison.gating), (conclusion, gating), "{case}: {comparison:?}");
            assert!(!crate::text(&comparison).is_empty());
        }
        let seeds = two(&run("simulated", 1, 1.0, 0), &run("simulated", 2, 1.0, 0), MINIMUM_EFFECT);
        assert!(seeds.notes[0].contains("--seed 1"), "{:?}", seeds.notes);
    }
}
