//! One objective, and what a recorder must count for it.

use record::{PhaseKind, StepId, StepPlan, Watch};
use units::Nanos;

use crate::ObjectiveError;

/// A promise that a run can keep or break.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Such as `core-latency`.
    pub name: String,
    /// For people, such as `Core flow, p95`.
    pub title: String,
    /// Flow whose steps it judges.
    pub flow: String,
    /// Within which time an answer is good; `None` asks only that it succeeds.
    pub limit: Option<Nanos>,
    /// The share of good answers it takes, above 0 and below 1.
    pub target: f64,
    /// The window it is documented for, as written, such as `10m`.
    pub window: Option<String>,
    /// Where the figure is documented.
    pub source: String,
    /// Whether it decides the exit code.
    pub gating: bool,
    /// How sure a pass or a fail must be, such as 0.95.
    pub confidence: f64,
    /// Kinds of phase it judges.
    pub phases: Vec<PhaseKind>,
    /// What a reader must know about it, such as figures of other documents that were overruled, and why.
    pub note: Option<String>,
}

impl Objective {
    /// What a recorder must count for it in a scenario of these steps.
    ///
    /// # Errors
    /// [`ObjectiveError::NoSuchFlow`] if no step belongs to its flow: it would hold without having been tried.
    pub fn watch(&self, steps: &[StepPlan]) -> Result<Watch, ObjectiveError> {
        let of_flow = |(index, step): (usize, &StepPlan)| (step.flow == self.flow).then_some(StepId(index as u16));
        let judged: Vec<StepId> = steps.iter().enumerate().filter_map(of_flow).collect();
        if judged.is_empty() {
            let mut known: Vec<String> = steps.iter().map(|step| step.flow.clone()).collect();
            known.sort();
            known.dedup();
            return Err(ObjectiveError::NoSuchFlow { objective: self.name.clone(), flow: self.flow.clone(), known });
        }
        Ok(Watch { objective: self.name.clone(), steps: judged, phases: self.phases.clone(), limit: self.limit })
    }
}
