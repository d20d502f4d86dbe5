//! Asks trials on a platform with some changes, counts them, and finds the largest rate that holds.

use std::sync::atomic::{AtomicU64, Ordering};

use record::{Capacity, CapacityStep};
use units::{Nanos, Seed};

use crate::{Bracket, CapacityError, Change, Held, Judge, Question, Shape, Trial, largest};

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
/// Asks trials, and counts them.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) question: &'a Question,
    pub(crate) judge: &'a Judge,
    played: AtomicU64,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(question: &'a Question, judge: &'a Judge) -> Self {
        Self { question, judge, played: AtomicU64::new(0) }
    }

    /// One rehearsal more is played.
    pub(crate) fn count(&self) {
        self.played.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(crate) fn played(&self) -> u64 {
        self.played.load(Ordering::Relaxed)
    }

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
