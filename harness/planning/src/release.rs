//! Release drills: every failure we know against a candidate, beside what it is to replace.
//!
//! Each drill is played with every seed, and so is its control arm: the same seed without the fault. The effect is the
//! difference of the two. What broke with the candidate and held before is a no-go; which object moved it is found by
//! playing the drill again with that object as it was.

use std::num::NonZeroUsize;
use std::sync::Arc;

use platform::Platform;
use record::{Cause, Conclusion, DrillArm, DrillResult, ManifestChange, RunResult};
use scenarios::Plan;
use simulation::{SimulationError, in_order};
use units::Seed;

use crate::difference::{Difference, differences, reverted};
use crate::{Drill, Judge};

/// A drill that was bound to a platform.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What it is.
    pub drill: Drill,
    /// On the candidate.
    pub candidate: Plan,
    /// On what runs now, where it can be played there.
    pub against: Option<Plan>,
    /// Who judges it: objectives are those of its flows.
    pub judge: Judge,
}

/// How drills are played.
#[derive(Clone, Debug)]
pub struct Course {
    /// The same seeds for every drill and arm.
    pub seeds: Vec<Seed>,
    /// On how many cores.
    pub threads: NonZeroUsize,
    /// Requests a month at the usual rate, for the price in error budget.
    pub monthly_requests: f64,
}

/// Availability that the error budget is made of: at least 99.5 % a month (SLO document).
const AVAILABILITY: f64 = 0.995;
/// A drill that fails on more of its seeds than this is broken; on fewer it cannot be told from bad luck.
const BROKEN_SHARE: f64 = 0.1;

/// Plays every drill. Results stand in the order of the drills.
pub fn play(drills: &[Bound], course: &Course, progress: &(dyn Fn(&str) + Sync)) -> Vec<DrillResult> {
    in_order(drills.len(), course.threads, |index| {
        let bound = &drills[index];
        progress(&bound.drill.name);
        let candidate = arm(bound, &bound.candidate, course);
        let against = bound.against.as_ref().map(|plan| arm(bound, plan, course));
        let conclusion = outcome(&candidate);
        let known = conclusion != Conclusion::Pass && against.as_ref().is_some_and(|arm| outcome(arm) == conclusion);
        DrillResult {
            name: bound.drill.name.clone(),
            kind: bound.drill.kind.into(),
            hypothesis: bound.drill.hypothesis.clone(),
            backend: "simulated".into(),
            conclusion,
            candidate,
            against,
            known,
            replay: String::new(),
        }
    })
}

/// What differs between the platforms, and which drills each object moved by itself. `resolve` brings a drill and a
/// platform together; `None` where it cannot be played there.
pub fn changes(
    old: &Platform,
    new: &Platform,
    drills: &[Bound],
    results: &[DrillResult],
    course: &Course,
    resolve: &(dyn Fn(&Drill, Arc<Platform>) -> Option<Plan> + Sync),
) -> Vec<ManifestChange> {
    let differences = differences(old, new);
    // Only what comes out otherwise than before can have been moved.
    let moved: Vec<usize> = (0..results.len())
        .filter(|index| results[*index].against.as_ref().is_some_and(|arm| outcome(arm) != results[*index].conclusion))
        .collect();
    in_order(differences.len(), course.threads, |index| {
        let Difference { object, what } = &differences[index];
        let by_itself = |drill: &&usize| {
            let Some(platform) = reverted(old, new, object) else { return false };
            let bound = &drills[**drill];
            let Some(plan) = resolve(&bound.drill, platform) else { return false };
            outcome(&arm(bound, &plan, course)) != results[**drill].conclusion
        };
        ManifestChange {
            object: object.to_string(),
            what: what.clone(),
            moved: moved.iter().filter(by_itself).map(|drill| results[*drill].name.clone()).collect(),
        }
    })
}

/// Go, no-go, or neither.
pub fn verdict(results: &[DrillResult]) -> Conclusion {
    let deciding = || results.iter().filter(|drill| !drill.known).map(|drill| drill.conclusion);
    if deciding().any(|conclusion| conclusion == Conclusion::Fail) {
        Conclusion::Fail
    } else if deciding().any(|conclusion| conclusion == Conclusion::Undecided) {
        Conclusion::Undecided
    } else {
        Conclusion::Pass
    }
}

/// How an arm came out.
pub fn outcome(arm: &DrillArm) -> Conclusion {
    let failed = arm.of - arm.held;
    if failed == 0 && arm.of > 0 {
        Conclusion::Pass
    } else if arm.of == 0 || f64::from(failed) > BROKEN_SHARE * f64::from(arm.of) {
        Conclusion::Fail
    } else {
        Conclusion::Undecided
    }
}

/// One platform through one drill, with every seed.
fn arm(bound: &Bound, plan: &Plan, course: &Course) -> DrillArm {
    let mut plan = plan.clone();
    // What a route fails of itself is no effect of a fault, and would keep a drill from ever being recovered from.
    for profile in &mut plan.profiles {
        Arc::make_mut(profile).routes.iter_mut().for_each(|route| route.errors = None);
    }
    let mut control = plan.clone();
    control.faults.clear();
    control.expectations.clear();
    let mut arm = DrillArm::default();
    let mut lost = Vec::new();
    for seed in &course.seeds {
        arm.of += 1;
        let with = |plan: &Plan| -> Result<RunResult, SimulationError> {
            let mut plan = plan.clone();
            plan.load.seed = *seed;
            bound.judge.play(&plan)
        };
        match (with(&plan), with(&control)) {
            (Ok(drilled), Ok(usual)) => {
                lost.push(self::lost(&drilled) - self::lost(&usual));
                let broken = broken(&drilled);
                arm.held += u32::from(broken.is_empty());
                arm.broken.extend(broken);
            }
            (Err(error), _) | (_, Err(error)) => arm.broken.push(error.to_string()),
        }
    }
    lost.sort_unstable();
    arm.lost_median = lost.get(lost.len() / 2).copied().unwrap_or_default();
    arm.lost_worst = lost.last().copied().unwrap_or_default();
    arm.budget = arm.lost_median.max(0) as f64 / ((1.0 - AVAILABILITY) * course.monthly_requests).max(1.0);
    tally(&mut arm.broken);
    arm
}

/// The same sentence once, the most frequent first, with how often it was said.
fn tally(broken: &mut Vec<String>) {
    let mut counts: Vec<(String, u32)> = Vec::new();
    for sentence in broken.drain(..) {
        let told = sentence.split(": ").next().unwrap_or(&sentence).to_owned();
        match counts.iter_mut().find(|(known, _)| known.split(": ").next() == Some(told.as_str())) {
            Some((_, count)) => *count += 1,
            None => counts.push((sentence, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    *broken = counts.into_iter().map(|(sentence, count)| format!("{sentence} (on {count} seeds)")).collect();
}

/// Requests that failed of the platform's own doing; a limiter's rejects are what it is there for.
pub(crate) fn lost(result: &RunResult) -> i64 {
    let of = |step: &record::StepResult| -> u64 {
        step.failed.iter().filter(|(cause, _)| **cause != Cause::Limited).map(|(_, count)| count).sum()
    };
    result.steps.iter().map(of).sum::<u64>() as i64
}

/// What did not hold: what the drill expects. Objectives over the whole drill are shown by its control arm.
fn broken(result: &RunResult) -> Vec<String> {
    let unmet = result.expectations.iter().filter(|expected| !expected.held);
    unmet.map(|expected| format!("{}: {}", expected.told, expected.seen)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_failures_are_bad_luck_and_many_are_not() {
        let arm = |held, of| DrillArm { held, of, ..DrillArm::default() };
        for (case, held, of, want) in [
            ("all", 20, 20, Conclusion::Pass),
            ("one of twenty", 19, 20, Conclusion::Undecided),
            ("two of twenty", 18, 20, Conclusion::Undecided),
            ("three of twenty", 17, 20, Conclusion::Fail),
            ("nothing was played", 0, 0, Conclusion::Fail),
        ] {
            assert_eq!(outcome(&arm(held, of)), want, "{case}");
        }
    }

    #[test]
    fn the_same_sentence_is_said_once() {
        let mut broken = vec!["a: 1".into(), "b: 2".into(), "b: 3".into()];
        tally(&mut broken);
        assert_eq!(broken, ["b: 2 (on 2 seeds)", "a: 1 (on 1 seeds)"]);
    }
}
