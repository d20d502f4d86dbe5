//! How much a platform carries: the whole answer.
//!
//! Owns what is asked first and how answers become a plan, and nothing of how they are found. Everything is asked of
//! the same [`Judge`] with the same seeds, so that two settings differ by what is set and by nothing else. Only what
//! the platform carries has to be known first; the other questions need nothing of each other.

use std::num::NonZeroUsize;

use record::{
    Answered, BoundTold, Capacity, CapacityAnswer, CapacityPlan, Conclusion, Growth, PlatformStamp, Shard, Users,
};
use scenarios::Plan;
use simulation::in_order;
use units::Nanos;

use crate::asker::{Asker, FIXED, SCALED};
use crate::demand::first_hard;
use crate::frontier;
use crate::motion::motion;
use crate::price::{Prices, footing};
use crate::questions::{Ask, Known};
use crate::{Change, Demands, Judge, Mixture, Shape, Trial};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The platform and the scenario whose sessions it carries.
    pub plan: Plan,
    /// In which shares.
    pub mixture: Mixture,
    /// Sessions a second that are asked about; `None`: what the scenario has while it is judged.
    pub rate: Option<f64>,
    /// If the rate was asked for by users a day: how many.
    pub users: Option<f64>,
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

/// Answers a question. `progress` is told in a few words what is being asked.
pub fn capacity(
    question: &Question,
    judge: &Judge,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<CapacityPlan, CapacityError> {
    let (plan, answers) = part(question, judge, None, progress)?;
    Ok(whole(plan, answers))
}

/// What is carried, with which everything else begins, and the answers to a part of the other questions; to all of them
/// if there is no `shard`.
pub fn part(
    question: &Question,
    judge: &Judge,
    shard: Option<Shard>,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<(CapacityPlan, Vec<Answered>), CapacityError> {
    let plan = &question.plan;
    let asker = Asker::new(question, judge);
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
    let known = Known { question, judge, demands, bounds, declared, fixed, asked };
    let asks = Ask::all(&known);
    let asks = match shard {
        Some(shard) => shard.of(asks),
        None => asks,
    };
    let answers = in_order(asks.len(), question.threads, |index| {
        if index == 0 || asks[index].about() != asks[index - 1].about() {
            progress(asks[index].about());
        }
        asks[index].answer(&known)
    });
    Ok((begun(known, asker.played()), answers.into_iter().collect::<Result<_, _>>()?))
}

/// All that is known before the questions are answered.
fn begun(known: Known<'_>, rehearsals: u64) -> CapacityPlan {
    let motion = motion(&known);
    let Known { question, judge, demands, bounds, declared, fixed, asked } = known;
    let plan = &question.plan;
    let footing_at = |rate: f64| footing(plan, &demands, &question.mixture, rate, question.prices.as_ref());
    let name = |workload: &platform::WorkloadId| plan.platform.workload(*workload).name.clone();
    let months = question.growth.map(|monthly| (monthly, months(declared.keeps, asked, monthly)));
    CapacityPlan {
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
        objectives: (judge.select)(&point_in(question, SCALED, asked))
            .0
            .iter()
            .filter(|o| o.gating)
            .map(|objective| objective.title.clone())
            .collect(),
        assumed: demands.cpu.keys().filter(|id| plan.profile(**id).assumed()).map(name).collect(),
        bounds: bounds.iter().map(|bound| BoundTold { rate: bound.rate, why: bound.why.clone() }).collect(),
        motion,
        growth: months.map(|(monthly, months)| Growth { monthly, months, months_degraded: months }),
        users: users(question, &declared),
        footing: vec![footing_at(asked), footing_at(declared.keeps)],
        grid: Vec::new(),
        ladder: Vec::new(),
        losses: Vec::new(),
        frontier: Vec::new(),
        sensitivity: Vec::new(),
        declared,
        fixed,
        confirmed: Vec::new(),
        not_confirmed: Vec::new(),
        rehearsals,
    }
}

/// The plan with every answer in its place. The same answers make the same plan, whoever found them.
pub fn whole(mut plan: CapacityPlan, answers: Vec<Answered>) -> CapacityPlan {
    let mut off = Vec::new();
    for Answered { rehearsals, answer } in answers {
        plan.rehearsals += rehearsals;
        match (answer, &mut plan.motion) {
            (CapacityAnswer::Ladder { rungs, grid }, _) => (plan.ladder, plan.grid) = (rungs, grid),
            (CapacityAnswer::Climbs { predictive: true, climbs }, Some(motion)) => motion.predictive = climbs,
            (CapacityAnswer::Climbs { predictive: false, climbs }, Some(motion)) => motion.reactive = climbs,
            (CapacityAnswer::Step(delays), Some(motion)) => motion.delays = delays,
            (CapacityAnswer::Climbs { .. } | CapacityAnswer::Step(_), None) => {}
            (CapacityAnswer::Loss(loss), _) => plan.losses.push(loss),
            (CapacityAnswer::Off { figure, higher, keeps }, _) => off.push((figure, higher, keeps)),
            (CapacityAnswer::Setting(point), _) => plan.frontier.extend(point),
        }
    }
    frontier::mark(&mut plan.frontier);
    plan.sensitivity = frontier::sensitivity(off);
    let degraded = plan.losses.iter().map(|loss| loss.keeps).fold(plan.declared.keeps, f64::min);
    if let Some(growth) = &mut plan.growth {
        growth.months_degraded = months(degraded, plan.asked, growth.monthly);
    }
    plan
}

/// Rates from half of `asked` to `most`, or a little above `asked`, each the same factor above the one before.
pub(crate) fn grid(asked: f64, most: f64) -> impl Iterator<Item = f64> {
    const POINTS: i32 = 24;
    let (from, to) = (asked / 2.0, most.max(asked * 1.25));
    (0..=POINTS).map(move |index| from * libm::pow(to / from, f64::from(index) / f64::from(POINTS)))
}

/// The load of a confirming point: `rate` sessions a second on the platform as declared, in the shape that the search
/// had. Without autoscalers nothing has to climb.
pub fn point(question: &Question, rate: f64) -> Plan {
    point_in(question, shape(question), rate)
}

/// The same, with a steady phase twice as long as virtual time needs to come to `conclusion`: a minute has few requests
/// at a low rate, and live there is more chance. Within limits, since somebody has to wait for it.
pub fn deciding_point(question: &Question, judge: &Judge, rate: f64, conclusion: Conclusion) -> Plan {
    let shape = shape(question);
    let stretched = |times: u64| point_in(question, Shape { steady: shape.steady * times, ..shape }, rate);
    let decides = |plan: &Plan| judge.play(plan).is_ok_and(|result| result.conclusion == conclusion);
    stretched(if decides(&stretched(1)) { 2 } else { LONGEST_STRETCH })
}

/// How many times as long a point is played live, at most.
const LONGEST_STRETCH: u64 = 4;

fn shape(question: &Question) -> Shape {
    if question.plan.platform.autoscalers.is_empty() { FIXED } else { SCALED }
}

fn point_in(question: &Question, shape: Shape, rate: f64) -> Plan {
    Trial { plan: &question.plan, changes: &[], mixture: &question.mixture, shape }.plan_at(rate)
}

fn shares(question: &Question) -> Vec<(String, f64)> {
    let name = |journey: u16| question.plan.load.journeys[usize::from(journey)].name.clone();
    question.mixture.shares.iter().map(|(journey, share)| (name(*journey), *share)).collect()
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
        asked: question.users,
    }
}
