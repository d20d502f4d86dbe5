//! `replications.json`: what many runs of one plan came to.

use serde::{Deserialize, Serialize};
use units::Seed;

use crate::shard::{self, Shard, ShardError};
use crate::{Conclusion, Expected, Judgement, PlatformStamp, RunResult, ScenarioStamp, Verdict};

/// Many runs of one scenario on one platform. Has no clock and no machine in it: the same bytes on any number of cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replications {
    /// `rehearse/replications/v1`.
    pub schema: String,
    /// The command that repeats it.
    pub command: String,
    /// What was played.
    pub scenario: ScenarioStamp,
    /// Against which platform.
    pub platform: PlatformStamp,
    /// On which backend.
    pub backend: String,
    /// The verdict over all seeds of the first arm: the worst of theirs.
    pub conclusion: Conclusion,
    /// What was tried, each with the same seeds. The first is what was asked about, others stand beside it.
    pub arms: Vec<ReplicatedArm>,
    /// Which part of the seeds it has; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicatedArm {
    /// Such as `as declared`.
    pub name: String,
    /// The worst conclusion of its runs.
    pub conclusion: Conclusion,
    /// How many of them pass.
    pub passed: u32,
    /// One per seed, in order.
    pub runs: Vec<Replication>,
    /// One per objective.
    pub spread: Vec<Spread>,
}

/// One run of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replication {
    /// Its seed.
    pub seed: Seed,
    /// How it ended.
    pub conclusion: Conclusion,
    /// Requests that were due.
    pub requests: u64,
    /// Those of them that did not succeed, refusals of a limiter included.
    pub failed: u64,
    /// One per objective.
    pub objectives: Vec<ReplicatedObjective>,
    /// What the scenario expects, and what came of it.
    pub expectations: Vec<Expected>,
    /// Ready pods of autoscaled workloads times minutes, while load lasted.
    pub pod_minutes: f64,
    /// When an autoscaler first added pods, since load began.
    pub first_scale_out_us: Option<u64>,
}

/// An objective in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicatedObjective {
    /// Name of the objective.
    pub objective: String,
    /// Judged so.
    pub judgement: Judgement,
    /// What was measured, in the unit of its [`Spread`]; `None` without samples.
    pub measured: Option<f64>,
}

/// An objective over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Name of the objective.
    pub objective: String,
    /// For people.
    pub title: String,
    /// `ms` or `%`.
    pub unit: String,
    /// The limit, in `unit`.
    pub limit: f64,
    /// Whether it decides the exit code.
    pub gating: bool,
    /// Seeds on which it holds.
    pub pass: u32,
    /// Seeds on which it is undecided.
    pub undecided: u32,
    /// Seeds on which it is broken.
    pub fail: u32,
    /// The least that was measured, the median and the most; `None` if nothing was.
    pub measured: Option<(f64, f64, f64)>,
}

impl Replications {
    /// Parts of one sweep as one, each with the name it is told by.
    ///
    /// # Errors
    /// If they are not all the parts of the same sweep.
    pub fn merged(parts: Vec<(String, Self)>) -> Result<Self, ShardError> {
        let told =
            parts.iter().map(|(name, part)| (name, (&part.command, &part.scenario, &part.platform, &part.schema)));
        same(told, "command, scenario or platform")?;
        let parts = shard::in_order(parts.into_iter().map(|(name, part)| (name, part.shard, part)).collect())?;
        let arms = (0..parts.first().map_or(0, |part| part.arms.len())).map(|index| {
            let of: Vec<&ReplicatedArm> = parts.iter().filter_map(|part| part.arms.get(index)).collect();
            let runs = shard::woven(of.iter().map(|arm| arm.runs.clone()).collect());
            ReplicatedArm::over(&of[0].name, runs, of[0].spread.clone())
        });
        let arms: Vec<ReplicatedArm> = arms.collect();
        let conclusion = arms.first().map_or(Conclusion::Pass, |arm| arm.conclusion);
        let first = parts.into_iter().next().ok_or(ShardError::Nothing)?;
        Ok(Self { arms, conclusion, shard: None, ..first })
    }
}

/// Whether parts agree in what tells sweeps apart.
pub(crate) fn same<'a, T: PartialEq>(
    parts: impl Iterator<Item = (&'a String, T)>,
    what: &'static str,
) -> Result<(), ShardError> {
    let mut first: Option<(&String, T)> = None;
    for (name, told) in parts {
        match &first {
            Some((one, known)) if *known != told => {
                return Err(ShardError::Else { one: (*one).clone(), other: name.clone(), what });
            }
            Some(_) => {}
            None => first = Some((name, told)),
        }
    }
    Ok(())
}

impl Replication {
    /// What is kept of a run.
    pub fn of(result: &RunResult) -> Self {
        let objective = |verdict: &Verdict| ReplicatedObjective {
            objective: verdict.objective.clone(),
            judgement: verdict.judgement,
            measured: verdict.measured,
        };
        let (start, end) = (result.load_start_us, result.load_end_us);
        let scaled = result.decisions.iter().find(|(at, decision)| *at >= start && decision.desired > decision.current);
        let mut pod_us = 0;
        for workload in result.workloads.iter().filter(|workload| workload.bounds.is_some()) {
            let ends = workload.points.iter().skip(1).map(|point| point.at_us).chain([end]);
            for (point, until) in workload.points.iter().zip(ends) {
                let (from, until) = (point.at_us.clamp(start, end), until.clamp(start, end));
                pod_us += u64::from(point.ready) * until.saturating_sub(from);
            }
        }
        Self {
            seed: result.seed,
            conclusion: result.conclusion,
            requests: result.steps.iter().map(|step| step.n).sum(),
            failed: result.steps.iter().flat_map(|step| step.failed.values()).sum(),
            objectives: result.verdicts.iter().map(objective).collect(),
            expectations: result.expectations.clone(),
            pod_minutes: pod_us as f64 / 6e7,
            first_scale_out_us: scaled.map(|(at, _)| at - start),
        }
    }
}

impl ReplicatedArm {
    /// From its runs in the order of their seeds, with the verdicts of any one of them for names and limits.
    pub fn new(name: &str, runs: Vec<Replication>, verdicts: &[Verdict]) -> Self {
        let named = |verdict: &Verdict| Spread {
            objective: verdict.objective.clone(),
            title: verdict.title.clone(),
            unit: verdict.unit.clone(),
            limit: verdict.limit,
            gating: verdict.gating,
            pass: 0,
            undecided: 0,
            fail: 0,
            measured: None,
        };
        Self::over(name, runs, verdicts.iter().map(named).collect())
    }

    /// From its runs, with the names and limits of any spread over the same objectives.
    fn over(name: &str, runs: Vec<Replication>, named: Vec<Spread>) -> Self {
        let spread = |(index, named): (usize, Spread)| {
            let of = |run: &Replication| run.objectives.get(index).map(|o| (o.judgement, o.measured));
            let judged = |wanted| runs.iter().filter(|run| of(run).is_some_and(|o| o.0 == wanted)).count() as u32;
            let mut measured: Vec<f64> = runs.iter().filter_map(|run| of(run)?.1).collect();
            measured.sort_unstable_by(f64::total_cmp);
            let bounds = measured.first().copied().zip(measured.last().copied());
            Spread {
                pass: judged(Judgement::Pass),
                undecided: judged(Judgement::Undecided),
                fail: judged(Judgement::Fail),
                measured: bounds.map(|(least, most)| (least, measured[(measured.len() - 1) / 2], most)),
                ..named
            }
        };
        Self {
            name: name.to_owned(),
            conclusion: worst(runs.iter().map(|run| run.conclusion)),
            passed: runs.iter().filter(|run| run.conclusion == Conclusion::Pass).count() as u32,
            spread: named.into_iter().enumerate().map(spread).collect(),
            runs,
        }
    }
}

/// Interrupted > invalid > fail > undecided > pass, as within a run.
fn worst(all: impl Iterator<Item = Conclusion>) -> Conclusion {
    let rank = |conclusion: &Conclusion| match conclusion {
        Conclusion::Pass => 0,
        Conclusion::Undecided => 1,
        Conclusion::Fail => 2,
        Conclusion::Invalid => 3,
        Conclusion::Interrupted => 4,
    };
    all.max_by_key(rank).unwrap_or(Conclusion::Pass)
}
