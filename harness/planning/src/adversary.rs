//! A bounded, seeded search for the smallest burst and the worst moment.
//!
//! Bursts are found by bisection: more load never helps. Moments are tried at random, since what a fault meets (a
//! rollout, an autoscaler's window) has no order. Whatever is found is a scenario that plays again.

use scenarios::Plan;
use simulation::in_order;
use units::{Nanos, Purpose, Seed};

use crate::release::lost;
use crate::trial::broken;
use crate::{Held, Judge, Mixture, Shape, largest};

/// The largest burst that holds and the smallest that does not, times the usual rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Holds.
    pub holds: f64,
    /// Breaks; `None` if none was found up to the most.
    pub breaks: Option<f64>,
    /// What it breaks.
    pub why: Option<String>,
    /// How many were tried.
    pub tried: u64,
}

/// Bursts are looked for up to so many times the usual rate.
const MOST: f64 = 256.0;
const WITHIN: f64 = 1.1;
/// Load before the burst, and how long it and its aftermath last.
const BURST: Shape =
    Shape { climb: Nanos::ZERO, settle: Nanos::from_secs(20), steady: Nanos::from_secs(60), judge_climb: false };

/// The smallest burst of a minute that breaks an objective, beginning from the usual rate.
pub fn burst(plan: &Plan, mixture: &Mixture, judge: &Judge, seed: Seed) -> Burst {
    let mut why = None;
    let found = largest(1.0, MOST, WITHIN, |times| {
        let mut plan = plan.clone();
        plan.load = mixture.load(&plan.load, mixture.nominal * times, BURST);
        plan.load.seed = seed;
        plan.faults.clear();
        plan.expectations.clear();
        Ok::<_, std::convert::Infallible>(match judge.play(&plan) {
            Ok(result) => match broken(&result) {
                Some(Held::Breaks { why: told, .. }) => {
                    why = Some(told);
                    false
                }
                Some(_) => false,
                None => true,
            },
            Err(_) => false,
        })
    });
    let found = found.unwrap_or_else(|never| match never {});
    Burst { holds: found.keeps, breaks: found.breaks, why, tried: found.steps.len() as u64 }
}

/// The worst of `tries` random moments for the plan's first fault: how much later than written it begins, and what it
/// costs then.
pub fn worst_moment(
    plan: &Plan,
    judge: &Judge,
    seed: Seed,
    tries: u64,
    threads: std::num::NonZeroUsize,
) -> Option<(Nanos, i64)> {
    let first = plan.faults.first()?;
    let room = (plan.load.end() - first.end()) / 2;
    let results = in_order(tries as usize, threads, |index| {
        let later = Nanos::new((seed.draw_nth(index as u64, Purpose::Phase).unit() * room.get() as f64) as u64);
        let mut plan = plan.clone();
        plan.faults.iter_mut().for_each(|fault| fault.at += later);
        plan.load.seed = seed;
        judge.play(&plan).ok().map(|result| (later, lost(&result)))
    });
    results.into_iter().flatten().max_by_key(|(_, lost)| *lost)
}
