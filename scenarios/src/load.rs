//! The load side of a plan: all that the driver needs, and nothing of the platform. It crosses a process border as
//! JSON.

use record::{EventKind, PhaseKind, PhaseSpan, StepId, StepPlan};
use serde::{Deserialize, Serialize};
use units::{Distribution, Nanos, Rate, Seed};

/// Phases, streams and journeys. Instants count from the start of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// The run's seed.
    pub seed: Seed,
    /// Phases in order, without gaps, from zero.
    pub phases: Vec<Phase>,
    /// Sources of arrivals.
    pub streams: Vec<Stream>,
    /// Journeys that streams start.
    pub journeys: Vec<JourneyPlan>,
    /// Every step of every journey, in the order of its [`StepId`].
    pub steps: Vec<Step>,
    /// How many client addresses all streams use together.
    pub clients: u32,
    /// When a client gives up waiting for an answer, counted from sending.
    pub timeout: Nanos,
}

/// A named stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// Start.
    pub start: Nanos,
    /// End, exclusive.
    pub end: Nanos,
}

/// A source of arrivals. Each arrival begins one session of its journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Index into [`LoadPlan::journeys`].
    pub journey: u16,
    /// How arrivals are spread.
    pub law: ArrivalLaw,
    /// First client address of the stream.
    pub first_client: u32,
    /// How many client addresses it uses, at least one.
    pub clients: u32,
    /// Its rate over time: linear segments in order, without gaps, from zero.
    pub rate: Vec<Segment>,
}

/// How arrivals are spread at a given rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalLaw {
    /// Independent of each other: exponential gaps.
    #[default]
    Poisson,
    /// At even distances.
    Even,
}

/// A rate that goes linearly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// How long.
    pub duration: Nanos,
    /// Rate at its start.
    pub from: Rate,
    /// Rate at its end.
    pub to: Rate,
}

/// Steps in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyPlan {
    /// Its name.
    pub name: String,
    /// Its steps.
    pub steps: Vec<StepId>,
}

/// One request of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Flow that objectives judge, such as `core`.
    pub flow: String,
    /// Its name, unique in the plan.
    pub name: String,
    /// `GET`, `POST`, …
    pub method: String,
    /// Virtual host.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// How long the user thinks **before** this step; nothing before the first.
    pub think: Distribution,
}

impl LoadPlan {
    /// When load ends.
    pub fn end(&self) -> Nanos {
        self.phases.last().map_or(Nanos::ZERO, |phase| phase.end)
    }

    /// A step by its id.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[usize::from(id.0)]
    }

    /// The steps as the recorder names them.
    pub fn step_plans(&self) -> Vec<StepPlan> {
        let plan = |step: &Step| StepPlan {
            flow: step.flow.clone(),
            name: step.name.clone(),
            request: format!("{} {}", step.method, step.path),
        };
        self.steps.iter().map(plan).collect()
    }

    /// The phases on the run's clock, when load starts at `load_start`.
    pub fn phase_spans(&self, load_start: Nanos) -> Vec<PhaseSpan> {
        let span = |phase: &Phase| PhaseSpan {
            name: phase.name.clone(),
            kind: phase.kind,
            start_us: (load_start + phase.start).as_micros(),
            end_us: (load_start + phase.end).as_micros(),
        };
        self.phases.iter().map(span).collect()
    }

    /// What began or ended within the second before the instant `second` of the run's clock, that instant included:
    /// asked once a second, each is told once.
    pub fn milestones(&self, load_start: Nanos, second: Nanos) -> Vec<EventKind> {
        let now = |at: Nanos| at <= second && second < at + Nanos::from_secs(1);
        let begun = self.phases.iter().filter(|phase| now(load_start + phase.start));
        let begun = begun.map(|phase| EventKind::PhaseStarted { phase: phase.name.clone() });
        begun.chain(now(load_start + self.end()).then_some(EventKind::LoadEnded)).collect()
    }

    /// About how many requests it will make, for sizing: mean sessions times steps.
    pub fn expected_requests(&self) -> f64 {
        let of = |stream: &Stream| {
            let sessions: f64 = stream.rate.iter().map(Segment::arrivals).sum();
            sessions * self.journeys[usize::from(stream.journey)].steps.len() as f64
        };
        self.streams.iter().map(of).sum()
    }
}
