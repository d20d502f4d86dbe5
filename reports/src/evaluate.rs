//! From what was recorded to what it means.
//!
//! A share is judged by exact binomial bounds, each end wrong with probability 1 − confidence: a pass needs the upper
//! bound to keep the limit, a fail needs the lower bound to break it, anything else is undecided. The pair of both
//! ends covers less than either end alone; reports word it so. `docs/verdicts.md` tells it to users.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use objectives::Objective;
use record::{
    Check, Chronicle, Conclusion, Demand, Expected, Finding, Judgement, Look, NotJudged, Percentile, PhaseSpan,
    PlatformStamp, PodCounts, PodResult, Recording, RunResult, ScenarioStamp, StandIn, StepCurve, StepHistogram,
    Verdict, WorkloadSeries,
};
use units::{Nanos, Seed};

use crate::faults::{self, Seen};
use crate::statistics::bursts::Effect;
use crate::statistics::{family, rank};
use crate::{happenings, scalings};
use evidence::Evidence;

mod evidence;
mod outages;
mod verdict;
mod windows;

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
    /// What the load asks of each workload that is autoscaled by CPU.
    pub demands: Vec<Demand>,
    /// What became of what the scenario expects.
    pub expectations: Vec<Expected>,
    /// Reasons to believe the run, or not to.
    pub checks: Vec<Check>,
    /// What bites that no objective shows.
    pub findings: Vec<Finding>,
    /// What stood in for the real thing.
    pub stand_ins: Vec<StandIn>,
    /// Documented objectives that it says nothing about.
    pub not_judged: Vec<NotJudged>,
    /// Which of several planned looks it is: each may spend its share of the error.
    pub look: Option<Look>,
    /// Whether it was ended from outside.
    pub interrupted: bool,
}

/// Judges a run by `objectives`. An objective without a watch in the recording has no sample and stays undecided.
pub fn conclude(played: Played, objectives: &[Objective]) -> RunResult {
    let evidence: Vec<Evidence> = objectives.iter().map(|objective| Evidence::of(&played, objective)).collect();
    let levels = levels(&played, objectives, &evidence);
    let verdicts: Vec<Verdict> = objectives
        .iter()
        .zip(evidence.iter().zip(&levels))
        .map(|(objective, (evidence, level))| verdict::verdict(&played, objective, evidence, *level))
        .collect();
    let load = (played.load_start_us, played.load_end_us);
    let decisions = played.chronicle.decisions();
    let workloads = workloads(&played, load);
    let width = played.recording.timeline.width_us;
    let seen = Seen {
        chronicle: &played.chronicle,
        timeline: &played.recording.timeline,
        lost: &played.recording.lost,
        load,
        limit_us: objectives.first().and_then(Objective::limit).map(Nanos::as_micros),
    };
    let faults = faults::faults(&seen, faults::pricing(&verdicts));
    let effect = evidence.first().map(|first| first.effect).unwrap_or_default();
    let level = levels.first().copied().unwrap_or(0.05);
    RunResult {
        schema: "rehearse/result/v1".into(),
        look: played.look.clone(),
        conclusion: conclusion(&played, &verdicts),
        distribution: distribution(&played.recording.judged, effect, level),
        verdicts,
        not_judged: played.not_judged,
        scalings: scalings::scalings(&workloads, &decisions, &played.chronicle, width, load),
        workloads,
        decisions,
        faults,
        happenings: happenings::happenings(&played.chronicle, load),
        curves: played.recording.by_step.iter().map(curve).collect(),
        lost: played.recording.lost,
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
        pods: pods(&played.recording.pods, &played.chronicle),
        timeline: played.recording.timeline,
        time_splits: played.recording.time_splits,
        findings: played.findings,
        stand_ins: played.stand_ins,
        alerts: None,
    }
}

/// The error that each verdict may make: those that gate share theirs. What was seen whole makes none and takes none.
fn levels(played: &Played, objectives: &[Objective], evidence: &[Evidence]) -> Vec<f64> {
    let alone = |objective: &Objective| (1.0 - objective.confidence) * Look::alpha_share(played.look.as_ref());
    let estimated = |index: &usize| objectives[*index].gating && !evidence[*index].exact;
    let gating: Vec<usize> = (0..objectives.len()).filter(estimated).collect();
    let members: Vec<(f64, f64)> =
        gating.iter().map(|i| (evidence[*i].keeps.min(evidence[*i].breaks), alone(&objectives[*i]))).collect();
    let mut levels: Vec<f64> = objectives.iter().map(alone).collect();
    for (index, level) in gating.into_iter().zip(family::levels(&members)) {
        levels[index] = level;
    }
    levels
}

/// Replicas over time, with what the load needs of those that are scaled by CPU.
fn workloads(played: &Played, load: (u64, u64)) -> Vec<WorkloadSeries> {
    let mut all = played.chronicle.workloads(&played.bounds);
    for series in &mut all {
        if let Some(demand) = played.demands.iter().find(|demand| demand.workload == series.workload) {
            series.needed_milli = scalings::needed(demand, &played.recording.timeline, &played.phases, load);
        }
    }
    all
}

fn curve(of: &StepHistogram) -> StepCurve {
    let n = of.response.len();
    let points = PERCENTS.into_iter().filter(|percent| worth_a_point(n, *percent));
    StepCurve {
        flow: of.flow.clone(),
        step: of.step.clone(),
        n,
        points: points.map(|percent| (percent, rank::value(&of.response, percent / 100.0))).collect(),
    }
}

/// What each pod answered, by its name.
fn pods(counts: &[PodCounts], chronicle: &Chronicle) -> Vec<PodResult> {
    let names = chronicle.pods();
    let name = |pod: u16| names.get(&pod).map_or_else(|| format!("pod {pod}"), |name| (*name).to_owned());
    let told = |c: &PodCounts| PodResult { pod: name(c.pod), n: c.n, failed: c.failed, response: c.response };
    counts.iter().map(told).collect()
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

/// Without the dust of binary fractions, so that 1 − 0.95 is 0.05.
fn round(share: f64) -> f64 {
    libm::round(share * 1e9) / 1e9
}

/// Percentiles worth a point of the curve: closer together where the curve bends.
const PERCENTS: [f64; 32] = [
    0.0, 1.0, 5.0, 10.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 91.0, 92.0, 93.0, 94.0,
    95.0, 96.0, 97.0, 98.0, 98.5, 99.0, 99.3, 99.5, 99.7, 99.9, 99.95, 99.99, 100.0,
];

/// Where the samples are too few for an end of an interval, the least or greatest value stands there.
fn distribution(judged: &Histogram<u32>, effect: Effect, alpha: f64) -> Vec<Percentile> {
    if judged.is_empty() {
        return Vec::new();
    }
    let seen = |percent: &f64| worth_a_point(judged.len(), *percent);
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

/// A percentile needs at least one value beyond it to be more than the greatest one.
fn worth_a_point(n: u64, percent: f64) -> bool {
    percent >= 100.0 || n as f64 * (100.0 - percent) >= 99.999
}

#[cfg(test)]
mod tests;
