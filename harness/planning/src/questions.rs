//! What is asked once it is known how much a platform carries: questions that need nothing of each other.
//!
//! Owns their list and its order, by which they are cut into parts: the longest come first, so that no core or machine
//! is left with one of them at the end.

use platform::WorkloadId;
use record::{Answered, Capacity, CapacityAnswer};

use crate::asker::{Asker, SCALED};
use crate::capacity::grid;
use crate::losses::Gone;
use crate::price::footing;
use crate::{Bound, CapacityError, Change, Demands, Judge, Question};
use crate::{frontier, ladder, losses, motion};

/// What every question begins with.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) question: &'a Question,
    pub(crate) judge: &'a Judge,
    pub(crate) demands: Demands,
    pub(crate) bounds: Vec<Bound>,
    /// The platform as declared.
    pub(crate) declared: Capacity,
    /// And without autoscalers.
    pub(crate) fixed: Capacity,
    /// Sessions a second that are asked about.
    pub(crate) asked: f64,
}

/// One question.
#[derive(Debug)]
pub(crate) enum Ask {
    /// What breaks first and next: each change stands on those before it.
    Ladder,
    /// Which climbs are too steep.
    Climbs { predictive: bool },
    /// What carries on without something.
    Loss(Gone),
    /// A figure is off.
    Off { workload: WorkloadId, higher: bool },
    /// What the answer to a sudden step is made of.
    Step,
    /// A way to run the platform at the asked rate.
    Setting(Vec<Change>),
}

impl Ask {
    /// All of them.
    pub(crate) fn all(known: &Known<'_>) -> Vec<Self> {
        let plan = &known.question.plan;
        let mut all = vec![Self::Ladder];
        if !plan.platform.autoscalers.is_empty() {
            all.extend([false, true].map(|predictive| Self::Climbs { predictive }));
        }
        all.extend(losses::candidates(known).into_iter().map(Self::Loss));
        for workload in frontier::costly(plan, &known.demands, &known.bounds) {
            all.extend([false, true].map(|higher| Self::Off { workload, higher }));
        }
        if !plan.platform.autoscalers.is_empty() {
            all.push(Self::Step);
        }
        all.extend(frontier::settings(plan, &known.bounds).into_iter().map(Self::Setting));
        all
    }

    /// In a few words, for whoever waits.
    pub(crate) const fn about(&self) -> &'static str {
        match self {
            Self::Ladder => "what breaks first, and what moves it",
            Self::Climbs { .. } | Self::Step => "autoscaling in motion",
            Self::Loss(_) => "pods, nodes and zones gone",
            Self::Off { .. } => "which figure moves the answer",
            Self::Setting(_) => "replicas and targets against latency and cost",
        }
    }

    pub(crate) fn answer(&self, known: &Known<'_>) -> Result<Answered, CapacityError> {
        let Known { question, judge, demands, .. } = known;
        let asker = Asker::new(question, judge);
        let answer = match self {
            Self::Ladder => {
                let rungs = ladder::ladder(&asker, &known.declared)?;
                let most = rungs.last().and_then(|rung| rung.after).unwrap_or(known.declared.keeps);
                let prices = question.prices.as_ref();
                let at = |rate: f64| footing(&question.plan, demands, &question.mixture, rate, prices);
                CapacityAnswer::Ladder { rungs, grid: grid(known.asked, most).map(at).collect() }
            }
            Self::Climbs { predictive } => {
                let climbs = motion::climbs(&asker, motion::most(&known.declared), *predictive);
                CapacityAnswer::Climbs { predictive: *predictive, climbs }
            }
            Self::Step => CapacityAnswer::Step(motion::step(&asker, motion::most(&known.declared))),
            Self::Loss(gone) => CapacityAnswer::Loss(losses::without(&asker, gone, known)),
            Self::Off { workload, higher } => {
                let change = [Change::CpuCost(*workload, if *higher { 1.2 } else { 0.8 })];
                let carried = asker.largest(&change, SCALED, known.declared.keeps);
                CapacityAnswer::Off {
                    figure: format!("CPU time of {}", question.plan.platform.workload(*workload).name),
                    higher: *higher,
                    keeps: carried.map_or(0.0, |capacity| capacity.keeps),
                }
            }
            Self::Setting(changes) => CapacityAnswer::Setting(frontier::setting(&asker, changes, known)),
        };
        Ok(Answered { rehearsals: asker.played(), answer })
    }
}
