//! From evidence to a verdict with everything a reader needs to check it.

use objectives::{Goal, Objective, Requests};
use record::{Bad, Budget, Judgement, Measure, Verdict, VerdictPart, WatchCounts};

use super::{Evidence, Played, round};
use crate::statistics::{binomial, poisson, rank};

/// A figure, its interval, its limit and their unit.
struct Figure {
    percentile: Option<f64>,
    limit: f64,
    measured: Option<f64>,
    interval: Option<(f64, f64)>,
    unit: &'static str,
}

pub(crate) fn verdict(played: &Played, objective: &Objective, evidence: &Evidence, level: f64) -> Verdict {
    let judgement = if evidence.keeps <= level && evidence.keeps < evidence.breaks {
        Judgement::Pass
    } else if evidence.breaks <= level {
        Judgement::Fail
    } else {
        Judgement::Undecided
    };
    let (n, beyond) = evidence.deciding;
    let (k, n) = (beyond as f64, n as f64);
    let estimated = matches!(objective.goal, Goal::Share { .. });
    let more_needed = (judgement == Judgement::Undecided && estimated && evidence.reason.is_none())
        .then(|| binomial::more_needed(k, n, evidence.effect, evidence.allowed, level))
        .flatten()
        .map(|more| libm::ceil(more) as u64);
    let watch = played.recording.watches.iter().find(|watch| watch.objective == objective.name);
    let figure = figure(objective, evidence, watch, level);
    let reason = evidence.reason.clone().or_else(|| match judgement {
        Judgement::Undecided if evidence.n == 0 && evidence.seen.is_none() => Some("nothing was seen of it".into()),
        Judgement::Undecided if estimated && more_needed.is_none() => Some("what was seen sits on the limit".into()),
        _ => None,
    });
    Verdict {
        objective: objective.name.clone(),
        title: objective.title.clone(),
        flow: match &objective.requests {
            Requests::Flow(flow) | Requests::Named(flow) => Some(flow.clone()),
            Requests::All | Requests::Step(_) => None,
        },
        judgement,
        gating: objective.gating,
        percentile: figure.percentile,
        limit: figure.limit,
        measured: figure.measured,
        interval: figure.interval,
        unit: figure.unit.into(),
        confidence: round(1.0 - level),
        n: evidence.n,
        beyond: evidence.beyond,
        allowed: evidence.allowed,
        beyond_bounds: if estimated { binomial::bounds_in_bursts(k, n, evidence.effect, level) } else { (0.0, 1.0) },
        design_effect: evidence.effect.seen,
        more_needed,
        window: objective.windows.first().map(|window| window.text.clone()),
        judged_us: evidence.judged_us,
        source: objective.source.clone(),
        note: objective.note.clone(),
        measure: measure(objective),
        scope: objective.scope.clone(),
        label: evidence.label.clone(),
        reason,
        claims: objective.claims.clone(),
        budget: budget(played, objective, evidence),
        worst: evidence.worst,
        parts: watch.map(|watch| parts(played, watch)).unwrap_or_default(),
        resolution: resolution(objective, watch),
    }
}

fn measure(objective: &Objective) -> Measure {
    match objective.goal {
        Goal::Share { bad: Bad::Late, limit: Some(_), .. } | Goal::Regression { .. } => Measure::Percentile,
        Goal::Share { .. } if objective.windows.len() > 1 => Measure::Burn,
        Goal::Share { .. } | Goal::Usage { .. } => Measure::Share,
        Goal::Rate { .. } => Measure::Rate,
        Goal::Count { .. } => Measure::Count,
        Goal::Down { .. } => Measure::Down,
        Goal::Recovery { .. } => Measure::Recovery,
    }
}

fn figure(objective: &Objective, evidence: &Evidence, watch: Option<&WatchCounts>, level: f64) -> Figure {
    let to_ms = |us: u64| us as f64 / 1_000.0;
    let exact = |limit: f64, unit| Figure { percentile: None, limit, measured: evidence.seen, interval: None, unit };
    match &objective.goal {
        Goal::Share { limit: Some(limit), allowed, .. } => {
            let share = round(1.0 - allowed);
            let none = Figure {
                percentile: Some(round(share * 100.0)),
                limit: limit.as_millis_f64(),
                measured: None,
                interval: None,
                unit: "ms",
            };
            // Nothing succeeded, or nothing was sent: there is no time to show, but the limit still is one.
            let kept = watch.and_then(|watch| watch.responses.as_ref()).filter(|responses| !responses.is_empty());
            let Some(responses) = kept else { return none };
            let ends = rank::interval(responses, share, evidence.effect, level);
            Figure {
                measured: Some(to_ms(rank::value(responses, share))),
                interval: ends.0.zip(ends.1).map(|(low, high)| (to_ms(low), to_ms(high))),
                ..none
            }
        }
        Goal::Share { allowed, .. } => {
            let (n, beyond) = (evidence.n as f64, evidence.beyond as f64);
            let seen = evidence.n > 0;
            let (low, high) = binomial::bounds_in_bursts(beyond, n, evidence.effect, level);
            Figure {
                percentile: None,
                limit: round(*allowed) * 100.0,
                measured: seen.then(|| beyond / n * 100.0),
                interval: seen.then_some((low * 100.0, high * 100.0)),
                unit: "%",
            }
        }
        Goal::Rate { per_second, .. } => {
            let (_, beyond) = evidence.deciding;
            let seconds = match &evidence.worst {
                Some(worst) => (worst.end_us - worst.start_us) as f64 / 1e6,
                None => evidence.judged_us as f64 / 1e6,
            };
            let (effect, k) = (evidence.effect, beyond as f64);
            let low = poisson::bounds(effect.breaks(k, k).0, level).0 * effect.seen;
            let high = poisson::bounds(effect.keeps(k, f64::INFINITY).0, level).1 * effect.feared;
            let interval = evidence.seen.map(|_| (low / seconds.max(1.0), high / seconds.max(1.0)));
            Figure { interval, ..exact(*per_second, "/s") }
        }
        Goal::Count { most, .. } => exact(*most as f64, "requests"),
        Goal::Down { within, .. } | Goal::Recovery { within } => exact(within.as_secs_f64(), "s"),
        Goal::Usage { share, .. } => exact(share * 100.0, "%"),
        Goal::Regression { growth, .. } => exact(growth * 100.0, "%"),
    }
}

/// What the run costs, if the month went on at its rate.
fn budget(played: &Played, objective: &Objective, evidence: &Evidence) -> Option<Budget> {
    let days = objective.budget_days()?;
    let share = evidence.whole?;
    let seconds = (played.load_end_us - played.load_start_us) as f64 / 1e6;
    let burn_rate = share / evidence.allowed;
    Some(Budget { days, burn_rate, spent: burn_rate * seconds / (days * 86_400.0) })
}

fn parts(played: &Played, watch: &WatchCounts) -> Vec<VerdictPart> {
    let steps = &played.recording.names;
    let part = |cell: &record::CellCounts| {
        Some(VerdictPart {
            step: steps.get(usize::from(cell.step))?.clone(),
            phase: played.phases.get(usize::from(cell.phase))?.name.clone(),
            n: cell.n,
            beyond: cell.beyond,
        })
    };
    watch.cells.iter().filter_map(part).collect()
}

/// Half of what two values may differ by and share a bin of the histogram at the limit.
fn resolution(objective: &Objective, watch: Option<&WatchCounts>) -> Option<f64> {
    let limit = objective.limit()?.as_micros();
    let responses = watch?.responses.as_ref()?;
    Some(responses.equivalent_range(limit) as f64 / 2_000.0)
}
