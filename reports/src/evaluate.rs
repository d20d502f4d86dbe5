//! From what was recorded to what it means.
//!
//! A share is judged by exact binomial bounds, each end wrong with probability 1 − confidence: a pass needs the upper
//! bound to keep the limit, a fail needs the lower bound to break it, anything else is undecided. The pair of both
//! ends covers less than either end alone; reports word it so.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use objectives::Objective;
use record::{
    Block, Check, Chronicle, Conclusion, Expected, Finding, Judgement, Percentile, PhaseSpan, PlatformStamp, Recording,
    RunResult, ScenarioStamp, StandIn, Verdict,
};
use units::{Nanos, Seed};

use crate::statistics::binomial::{at_least, at_most, bounds, more_needed};
use crate::statistics::bursts::design_effect;
use crate::statistics::{family, rank};

/// Everything a backend hands over after it has played a scenario.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was played.
    pub scenario: ScenarioStamp,
    /// Against which platform.
    pub platform: PlatformStamp,
    /// On which backend.
    pub backend: String,
    /// With which seed.
    pub seed: Seed,
    /// When load began, microseconds since the run's epoch.
    pub load_start_us: u64,
    /// When load ended, likewise; earlier than the last phase's end if the run was interrupted.
    pub load_end_us: u64,
    /// Phases in order.
    pub phases: Vec<PhaseSpan>,
    /// What happened on the platform.
    pub chronicle: Chronicle,
    /// Bounds of the autoscalers, by workload.
    pub bounds: BTreeMap<String, (u32, u32)>,
    /// What the load saw. Its watches are those of the objectives; the first one's is drawn.
    pub recording: Recording,
    /// What became of what the scenario expects.
    pub expectations: Vec<Expected>,
    /// Reasons to believe the run, or not to.
    pub checks: Vec<Check>,
    /// What bites that no objective shows.
    pub findings: Vec<Finding>,
    /// What stood in for the real thing.
    pub stand_ins: Vec<StandIn>,
    /// Whether it was ended from outside.
    pub interrupted: bool,
}

/// Judges a run by `objectives`. An objective without a watch in the recording has no sample and stays undecided.
pub fn conclude(played: Played, objectives: &[Objective]) -> RunResult {
    let counts: Vec<Counts> = objectives.iter().map(|objective| Counts::of(&played, objective)).collect();
    let gating: Vec<usize> = (0..objectives.len()).filter(|index| objectives[*index].gating).collect();
    let members: Vec<(f64, f64)> =
        gating.iter().map(|i| (counts[*i].claims().0, 1.0 - objectives[*i].confidence)).collect();
    let mut levels: Vec<f64> = objectives.iter().map(|objective| 1.0 - objective.confidence).collect();
    for (index, level) in gating.into_iter().zip(family::levels(&members)) {
        levels[index] = level;
    }
    let verdicts: Vec<Verdict> = objectives
        .iter()
        .zip(counts.iter().zip(&levels))
        .map(|(objective, (counts, level))| verdict(&played, objective, counts, *level))
        .collect();
    let (effect, level) = verdicts.first().map_or((1.0, 0.05), |first| (first.design_effect, 1.0 - first.confidence));
    RunResult {
        schema: "rehearse/result/v1".into(),
        conclusion: conclusion(&played, &verdicts),
        distribution: distribution(&played.recording.judged, effect, level),
        verdicts,
        workloads: played.chronicle.workloads(&played.bounds),
        decisions: played.chronicle.decisions(),
        scenario: played.scenario,
        platform: played.platform,
        backend: played.backend,
        seed: played.seed,
        load_start_us: played.load_start_us,
        load_end_us: played.load_end_us,
        phases: played.phases,
        expectations: played.expectations,
        checks: played.checks,
        steps: played.recording.steps,
        timeline: played.recording.timeline,
        time_splits: played.recording.time_splits,
        findings: played.findings,
        stand_ins: played.stand_ins,
    }
}

/// Interrupted > invalid > fail > undecided > pass.
fn conclusion(played: &Played, verdicts: &[Verdict]) -> Conclusion {
    let any = |judgement| verdicts.iter().any(|v| v.gating && v.judgement == judgement);
    if played.interrupted {
        Conclusion::Interrupted
    } else if played.checks.iter().any(|check| !check.ok) {
        Conclusion::Invalid
    } else if any(Judgement::Fail) || played.expectations.iter().any(|expected| !expected.held) {
        Conclusion::Fail
    } else if any(Judgement::Undecided) {
        Conclusion::Undecided
    } else {
        Conclusion::Pass
    }
}

/// What one objective is judged by.
#[derive(Debug)]
struct Counts {
    n: u64,
    beyond: u64,
    allowed: f64,
    effect: f64,
    judged_us: u64,
    /// Whether its response times are the ones that were kept.
    drawn: bool,
}

impl Counts {
    fn of(played: &Played, objective: &Objective) -> Self {
        let watches = &played.recording.watches;
        let index = watches.iter().position(|watch| watch.objective == objective.name);
        let blocks: &[Block] = index.map_or(&[], |index| &watches[index].blocks);
        let spans: Vec<(u64, u64)> = played
            .phases
            .iter()
            .filter(|phase| objective.phases.contains(&phase.kind))
            .map(|phase| (phase.start_us, phase.end_us.min(played.load_end_us).max(phase.start_us)))
            .collect();
        Self {
            n: blocks.iter().map(|block| u64::from(block.n)).sum(),
            beyond: blocks.iter().map(|block| u64::from(block.beyond)).sum(),
            allowed: round(1.0 - objective.target),
            effect: design_effect(blocks),
            judged_us: spans.iter().map(|(start, end)| end - start).sum(),
            drawn: index == Some(0),
        }
    }

    /// Effective counts: beyond, and all.
    fn effective(&self) -> (f64, f64) {
        (self.beyond as f64 / self.effect, self.n as f64 / self.effect)
    }

    /// The p-value of the better claim, and which one it is.
    fn claims(&self) -> (f64, Judgement) {
        let (k, n) = self.effective();
        let (keeps, breaks) = (at_most(k, n, self.allowed), at_least(k, n, self.allowed));
        if keeps < breaks { (keeps, Judgement::Pass) } else { (breaks, Judgement::Fail) }
    }
}

/// Without the dust of binary fractions, so that 1 − 0.95 is 0.05.
fn round(share: f64) -> f64 {
    libm::round(share * 1e9) / 1e9
}

fn verdict(played: &Played, objective: &Objective, counts: &Counts, level: f64) -> Verdict {
    let (k, n) = counts.effective();
    let (p, claim) = counts.claims();
    let judgement = if p <= level { claim } else { Judgement::Undecided };
    let beyond_bounds = bounds(k, n, level);
    let more_needed = (judgement == Judgement::Undecided)
        .then(|| more_needed(k, n, counts.allowed, level))
        .flatten()
        .map(|more| libm::ceil(more * counts.effect) as u64);
    let judged = &played.recording.judged;
    let to_ms = |us: u64| us as f64 / 1_000.0;
    let of_latency = objective.limit.filter(|_| counts.drawn && !judged.is_empty());
    let share_as_percent = |share: f64| round(share) * 100.0;
    let (percentile, limit, measured, interval, unit) = if let Some(limit) = of_latency {
        let ends = rank::interval(judged, objective.target, counts.effect, level);
        let interval = ends.0.zip(ends.1).map(|(low, high)| (to_ms(low), to_ms(high)));
        let measured = to_ms(rank::value(judged, objective.target));
        (Some(round(objective.target * 100.0)), limit.as_millis_f64(), Some(measured), interval, "ms")
    } else if let Some(limit) = objective.limit.filter(|_| counts.drawn || counts.n == 0) {
        // Nothing succeeded, or nothing was sent: there is no time to show, but the limit still is one.
        (Some(round(objective.target * 100.0)), Nanos::as_millis_f64(limit), None, None, "ms")
    } else {
        let measured = (counts.n > 0).then(|| counts.beyond as f64 / counts.n as f64 * 100.0);
        let interval = measured.map(|_| (beyond_bounds.0 * 100.0, beyond_bounds.1 * 100.0));
        (None, share_as_percent(counts.allowed), measured, interval, "%")
    };
    Verdict {
        objective: objective.name.clone(),
        title: objective.title.clone(),
        judgement,
        gating: objective.gating,
        percentile,
        limit,
        measured,
        interval,
        unit: unit.into(),
        confidence: round(1.0 - level),
        n: counts.n,
        beyond: counts.beyond,
        allowed: counts.allowed,
        beyond_bounds,
        design_effect: counts.effect,
        more_needed,
        window: objective.window.clone(),
        judged_us: counts.judged_us,
        source: objective.source.clone(),
        note: objective.note.clone(),
    }
}

/// Percentiles worth a point of the curve: closer together where the curve bends.
const PERCENTS: [f64; 32] = [
    0.0, 1.0, 5.0, 10.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 91.0, 92.0, 93.0, 94.0,
    95.0, 96.0, 97.0, 98.0, 98.5, 99.0, 99.3, 99.5, 99.7, 99.9, 99.95, 99.99, 100.0,
];

/// A percentile needs at least one value beyond it to be more than the greatest one. Where the samples are too few
/// for an end of the interval, the least or greatest value stands there.
fn distribution(judged: &Histogram<u32>, effect: f64, alpha: f64) -> Vec<Percentile> {
    if judged.is_empty() {
        return Vec::new();
    }
    let n = judged.len() as f64;
    let seen = |percent: &f64| *percent >= 100.0 || n * (100.0 - percent) >= 99.999;
    let point = |percent: f64| {
        let share = percent / 100.0;
        let us = rank::value(judged, share);
        if percent <= 0.0 || percent >= 100.0 {
            return Percentile { percent, us, interval_us: (us, us) };
        }
        let (low, high) = rank::interval(judged, share, effect, alpha);
        let interval_us = (low.unwrap_or_else(|| rank::value(judged, 0.0)), high.unwrap_or_else(|| judged.max()));
        Percentile { percent, us, interval_us }
    };
    PERCENTS.into_iter().filter(seen).map(point).collect()
}

#[cfg(test)]
mod tests;
