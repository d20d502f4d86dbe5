//! How much a platform carries: the whole answer, question by question.
//!
//! Owns the order in which things are asked, and nothing of how. Every part is asked of the same [`Judge`] with the
//! same seeds, so that two settings differ by what is set and by nothing else.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use record::{BoundTold, Capacity, CapacityPlan, CapacityStep, Growth, PlatformStamp, Rung, Users};
use scenarios::Plan;
use simulation::in_order;
use units::{Nanos, Seed};

use crate::frontier::{self, sensitivity};
use crate::losses::losses;
use crate::motion::motion;
use crate::price::{Prices, footing};
use crate::{Bound, Bracket, Change, Demands, Held, Judge, Mixture, Resource, Shape, Trial, largest};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The platform and the scenario whose sessions it carries.
    pub plan: Plan,
    /// In which shares.
    pub mixture: Mixture,
    /// Sessions a second that are asked about; `None`: what the scenario has while it is judged.
    pub rate: Option<f64>,
    /// Growth a month, above 0.
    pub growth: Option<f64>,
    /// What things cost.
    pub prices: Option<Prices>,
    /// On how many seeds an answer is confirmed, at least 1.
    pub replications: u32,
    /// On how many cores.
    pub threads: NonZeroUsize,
    /// For the answer.
    pub stamp: PlatformStamp,
    /// Its nodes in words.
    pub nodes: Vec<String>,
    /// The command that repeats it.
    pub command: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// Not even a trickle holds.
    #[error(
        "an objective is broken at nearly no load ({rate:.2} sessions a second): {why}; there is no capacity to find \
         before that is mended"
    )]
    BrokenAtZero {
        /// The least rate that was tried.
        rate: f64,
        /// What broke.
        why: String,
    },
    /// The platform never came up.
    #[error("the platform does not become ready: {0}")]
    NeverReady(String),
    /// Nothing is used.
    #[error("a session of this mixture takes nothing of any resource: there is nothing that could run out")]
    NoDemand,
}

/// An answer is a bracket of this factor.
pub(crate) const WITHIN: f64 = 1.05;
/// No autoscaler has to settle: queues of fixed pods are in balance soon.
pub(crate) const FIXED: Shape =
    Shape { climb: Nanos::ZERO, settle: Nanos::from_secs(20), steady: Nanos::from_secs(60), judge_climb: false };
/// Time for autoscalers: four minutes of climb, two to settle.
pub(crate) const SCALED: Shape = Shape {
    climb: Nanos::from_secs(240),
    settle: Nanos::from_secs(120),
    steady: Nanos::from_secs(60),
    judge_climb: false,
};
/// How many rungs a ladder has.
const RUNGS: usize = 3;

/// Asks trials, and counts them.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) question: &'a Question,
    pub(crate) judge: &'a Judge,
    pub(crate) played: AtomicU64,
}

impl Asker<'_> {
    pub(crate) fn trial<'b>(&'b self, changes: &'b [Change], shape: Shape) -> Trial<'b> {
        Trial { plan: &self.question.plan, changes, mixture: &self.question.mixture, shape }
    }

    pub(crate) fn holds(&self, trial: &Trial<'_>, rate: f64, replications: u32) -> Held {
        self.played.fetch_add(u64::from(replications), Ordering::Relaxed);
        trial.holds(self.judge, rate, replications)
    }

    /// The seed that single trials are played with: the first of the replications.
    pub(crate) fn seed(&self) -> Seed {
        self.question.plan.load.seed.child_nth(0)
    }

    /// The largest rate under these changes, from `start` on.
    pub(crate) fn largest(&self, changes: &[Change], shape: Shape, start: f64) -> Result<Capacity, CapacityError> {
        let trial = self.trial(changes, shape);
        let mut whys: Vec<Option<String>> = Vec::new();
        let mut broken: Vec<(f64, String)> = Vec::new();
        let mut ask = |rate: f64, replications: u32| match self.holds(&trial, rate, replications) {
            Held::Keeps => {
                whys.push(None);
                Ok(true)
            }
            Held::Breaks { why, .. } => {
                whys.push(Some(why.clone()));
                broken.push((rate, why));
                Ok(false)
            }
            Held::NeverReady { why } => Err(CapacityError::NeverReady(why)),
        };
        let mut bracket = largest(start, start * 64.0, WITHIN, |rate| ask(rate, 1))?;
        // One seed may have been lucky: the answer has to hold on all of them, or the next rate below does.
        while bracket.keeps > 0.0 && self.question.replications > 1 {
            let kept = ask(bracket.keeps, self.question.replications)?;
            bracket.steps.push((bracket.keeps, kept));
            if kept {
                break;
            }
            bracket = Bracket { keeps: bracket.keeps / WITHIN, breaks: Some(bracket.keeps), steps: bracket.steps };
            if bracket.keeps < start / 1e4 {
                bracket.keeps = 0.0;
            }
        }
        let least = bracket.steps.iter().map(|(rate, _)| *rate).fold(f64::INFINITY, f64::min);
        if bracket.keeps <= 0.0 {
            let why = broken.pop().map(|(_, why)| why).unwrap_or_default();
            return Err(CapacityError::BrokenAtZero { rate: least, why });
        }
        let above = bracket.breaks;
        let broken_by = above.and_then(|above| broken.into_iter().rev().find(|(rate, _)| (*rate - above).abs() < 1e-9));
        let steps = bracket.steps.iter().zip(whys);
        let best = trial.play(self.judge, bracket.keeps, self.seed()).ok();
        let p95 = best.and_then(|result| result.percentile(95.0));
        Ok(Capacity {
            setting: self.told(changes),
            keeps: bracket.keeps,
            breaks: above,
            broken_by: broken_by.map(|(_, why)| why),
            p95_us: p95,
            steps: steps.map(|((rate, keeps), why)| CapacityStep { rate: *rate, keeps: *keeps, why }).collect(),
            replications: self.question.replications,
        })
    }

    pub(crate) fn told(&self, changes: &[Change]) -> String {
        let platform = &self.question.plan.platform;
        let words: Vec<String> = changes.iter().map(|change| change.told(platform)).collect();
        if words.is_empty() { "as declared".into() } else { words.join("; ") }
    }
}

/// Answers a question. `progress` is told in a few words what is being asked.
pub fn capacity(
    question: &Question,
    judge: &Judge,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<CapacityPlan, CapacityError> {
    let plan = &question.plan;
    let asker = Asker { question, judge, played: AtomicU64::new(0) };
    let demands = Demands::of(plan, &question.mixture);
    let bounds = demands.bounds(plan);
    let hard = first_hard(&bounds).ok_or(CapacityError::NoDemand)?;
    let fixed_plan = asker.trial(&[Change::NoAutoscalers], FIXED).plan_at(1.0);
    let fixed_bounds = Demands::of(&fixed_plan, &question.mixture).bounds(&fixed_plan);
    let fixed_hard = first_hard(&fixed_bounds).ok_or(CapacityError::NoDemand)?;
    progress("the largest rate, with autoscalers and without");
    let both = in_order(2, question.threads, |index| match index {
        0 => asker.largest(&[], SCALED, hard.rate / 8.0),
        _ => asker.largest(&[Change::NoAutoscalers], FIXED, fixed_hard.rate / 8.0),
    });
    let [declared, fixed] = <[_; 2]>::try_from(both).expect("two were asked");
    let (declared, fixed) = (declared?, fixed?);
    let asked = question.rate.unwrap_or(question.mixture.nominal);
    // Rung follows rung on one core; what does not need them is asked on the others meanwhile.
    let mut parts = in_order(2, question.threads, |index| {
        if index == 0 {
            progress("what breaks first, and what moves it");
            return (Some(ladder(&asker, &declared)), None);
        }
        progress("autoscaling in motion");
        let motion = motion(&asker, &demands, &declared, &fixed);
        progress("pods, nodes and zones gone");
        let losses = losses(&asker, &bounds, &declared, &fixed, asked);
        progress("replicas and targets against latency and cost");
        let frontier = frontier::frontier(&asker, &demands, &bounds, asked, question.prices.as_ref());
        progress("which figure moves the answer");
        (None, Some((motion, losses, frontier, sensitivity(&asker, &demands, &bounds, &declared))))
    });
    let (Some((_, Some(others))), Some((Some(ladder), _))) = (parts.pop(), parts.pop()) else {
        unreachable!("both parts were asked")
    };
    let ((motion, losses, frontier, sensitivity), ladder) = (others, ladder?);
    let degraded = losses.iter().map(|loss| loss.keeps).fold(declared.keeps, f64::min);
    let footing_at = |rate: f64| footing(plan, &demands, &question.mixture, rate, question.prices.as_ref());
    let name = |workload: &platform::WorkloadId| plan.platform.workload(*workload).name.clone();
    Ok(CapacityPlan {
        schema: "rehearse/capacity/v1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        command: question.command.clone(),
        scenario: plan.scenario.clone(),
        platform: question.stamp.clone(),
        nodes: question.nodes.clone(),
        seed: plan.load.seed,
        mixture: shares(question),
        requests_per_session: question.mixture.requests(&plan.load),
        asked,
        objectives: (judge.select)(&asker.trial(&[], SCALED).plan_at(asked))
            .0
            .iter()
            .filter(|o| o.gating)
            .map(|objective| objective.title.clone())
            .collect(),
        assumed: demands.cpu.keys().filter(|id| plan.profile(**id).assumed()).map(name).collect(),
        bounds: bounds.iter().map(|bound| BoundTold { rate: bound.rate, why: bound.why.clone() }).collect(),
        motion,
        growth: question.growth.map(|monthly| Growth {
            monthly,
            months: months(declared.keeps, asked, monthly),
            months_degraded: months(degraded, asked, monthly),
        }),
        users: users(question, &declared),
        footing: vec![footing_at(asked), footing_at(declared.keeps)],
        grid: grid(asked, ladder.last().and_then(|rung| rung.after).unwrap_or(declared.keeps))
            .map(footing_at)
            .collect(),
        ladder,
        losses,
        frontier,
        sensitivity,
        declared,
        fixed,
        confirmed: Vec::new(),
        not_confirmed: Vec::new(),
        rehearsals: asker.played.load(Ordering::Relaxed),
    })
}

/// Rates from half of `asked` to `most`, or a little above `asked`, each the same factor above the one before.
fn grid(asked: f64, most: f64) -> impl Iterator<Item = f64> {
    const POINTS: i32 = 24;
    let (from, to) = (asked / 2.0, most.max(asked * 1.25));
    (0..=POINTS).map(move |index| from * libm::pow(to / from, f64::from(index) / f64::from(POINTS)))
}

/// The load of a confirming point: `rate` sessions a second on the platform as declared, in the shape that the search
/// had. Without autoscalers nothing has to climb.
pub fn point(question: &Question, rate: f64) -> Plan {
    let shape = if question.plan.platform.autoscalers.is_empty() { FIXED } else { SCALED };
    Trial { plan: &question.plan, changes: &[], mixture: &question.mixture, shape }.plan_at(rate)
}

fn shares(question: &Question) -> Vec<(String, f64)> {
    let name = |journey: u16| question.plan.load.journeys[usize::from(journey)].name.clone();
    question.mixture.shares.iter().map(|(journey, share)| (name(*journey), *share)).collect()
}

/// The lowest bound that stops requests; an autoscaler at its maximum only loses its reserve.
pub(crate) fn first_hard(bounds: &[Bound]) -> Option<&Bound> {
    bounds.iter().find(|bound| !matches!(bound.resource, Resource::Autoscaler(_) | Resource::Nodes))
}

fn months(most: f64, now: f64, monthly: f64) -> f64 {
    if most <= now { 0.0 } else { libm::log(most / now) / libm::log(1.0 + monthly) }
}

/// The peak hour has so many times the mean rate of a day. Assumed, as the day scenario has it.
const PEAK_OVER_MEAN: f64 = 2.0;

/// Sessions a second at the peak of a day on which `users` take one session each.
pub fn rate_of_users(users: f64) -> f64 {
    users / 86_400.0 * PEAK_OVER_MEAN
}

fn users(question: &Question, declared: &Capacity) -> Users {
    let response = Nanos::from_micros(declared.p95_us.unwrap_or_default() / 2);
    let session = question.mixture.session(&question.plan.load, response).as_secs_f64();
    Users {
        session_s: session,
        at_once: declared.keeps * session,
        daily: declared.keeps / PEAK_OVER_MEAN * 86_400.0,
        how: format!(
            "one session a user and day, the peak {PEAK_OVER_MEAN} times the mean (assumed); at once by Little's law"
        ),
        asked: None,
    }
}

/// What breaks first and next: the bound that is lowest, the smallest change that moves it, and what the platform
/// carries with it and with all before it.
fn ladder(asker: &Asker<'_>, declared: &Capacity) -> Result<Vec<Rung>, CapacityError> {
    let mut rungs = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut before = declared.keeps;
    while rungs.len() < RUNGS {
        let plan = asker.trial(&changes, SCALED).plan_at(1.0);
        let bounds = Demands::of(&plan, &asker.question.mixture).bounds(&plan);
        let Some(first) = first_hard(&bounds) else { break };
        let mut rung = Rung { binds: first.why.clone(), before, after: None, change: None, patch: None };
        let Some(change) = enough(&plan, first, &bounds) else {
            rungs.push(rung);
            break;
        };
        rung.change = Some(change.told(&plan.platform));
        rung.patch = change.patch(&plan.platform).map(|patch| patch.text);
        changes.push(change);
        let after = asker.largest(&changes, SCALED, before)?;
        rung.after = Some(after.keeps);
        before = after.keeps;
        rungs.push(rung);
    }
    Ok(rungs)
}

/// The smallest change of its kind that is worth an operator's time: until the next bound is the lowest, or a quarter
/// more, whichever comes first.
fn enough(plan: &Plan, first: &Bound, bounds: &[Bound]) -> Option<Change> {
    let next = bounds.iter().find(|bound| bound.resource != first.resource && bound.rate > first.rate);
    let aim = next.map_or(f64::INFINITY, |bound| bound.rate).min(first.rate * 1.25);
    let scaled = |count: u32| (libm::ceil(f64::from(count) * aim / first.rate) as u32).max(count + 1);
    match first.change.as_ref()? {
        Change::MaxReplicas(workload, next) => Some(Change::MaxReplicas(*workload, scaled(next - 1))),
        Change::Replicas(workload, next) => Some(Change::Replicas(*workload, scaled(next - 1))),
        Change::Cpu(workload, request, limit) => {
            let now = plan.platform.workload(*workload).containers.first()?.limits.cpu?.get() as f64;
            let cores = (libm::ceil(now * aim / first.rate / 1e3) as u64).max(limit.get() / 1_000);
            Some(Change::Cpu(*workload, *request, units::Millicores::from_cores(cores)))
        }
        other => Some(other.clone()),
    }
}
