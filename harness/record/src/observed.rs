//! What playing a rehearsal gave, on whichever stage.

use units::Nanos;

use crate::{Check, Chronicle, Expected, Recording, Sample};

/// Everything a stage hands over at the end.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its events.
    pub chronicle: Chronicle,
    /// What was recorded of the load.
    pub recording: Recording,
    /// When load began.
    pub load_start: Nanos,
    /// When the last phase ended, or the run was ended.
    pub load_end: Nanos,
    /// Observations one by one, if they were kept: all of them, or those of a sample of the sessions in a long run.
    pub observations: Sample,
    /// What became of what the scenario expects.
    pub expectations: Vec<Expected>,
    /// Why it was given up early, if it was.
    pub aborted: Option<String>,
    /// What only the stage can know about the run's validity.
    pub checks: Vec<Check>,
    /// Whether it was ended from outside.
    pub interrupted: bool,
    /// What kept requests from being sent on time, if they were not.
    pub limited_by: Option<Limit>,
}

/// What kept requests from being sent on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The load driver: its own schedule ran late, or its workers had no CPU. The run says nothing.
    Driver,
    /// The driver had too few workers. The run says nothing.
    Pool,
    /// The platform held every worker for longer than anybody would wait. That is a verdict.
    Platform,
}
