//! The load side of a plan: all that the driver needs, and nothing of the platform. It crosses a process border as
//! JSON.

use record::{Cause, EventKind, PhaseKind, PhaseSpan, StepId, StepPlan};
use serde::{Deserialize, Serialize};
use units::{Distribution, Nanos, Rate, Seed};

use crate::{Crowd, Payload};

/// Phases, streams and journeys. Instants count from the start of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadPlan {
    /// The run's seed.
    pub seed: Seed,
    /// Phases in order, without gaps, from zero.
    pub phases: Vec<Phase>,
    /// Sources of arrivals that wait for nobody: open load.
    pub streams: Vec<Stream>,
    /// Users who come back when they have been served: closed load.
    #[serde(default)]
    pub crowds: Vec<Crowd>,
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
    /// Its rate over time: linear segments in order, without gaps, from zero. Empty for a replay.
    pub rate: Vec<Segment>,
    /// Instants to be replayed, in order; empty unless the law is a replay.
    #[serde(default)]
    pub times: Vec<Nanos>,
    /// What its clients do when they are not served.
    #[serde(default)]
    pub retry: Option<RetryPolicy>,
}

/// What a client does that was not served: it asks again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included; 2 to 100.
    pub attempts: u8,
    /// After which failures.
    pub on: Vec<Cause>,
    /// How long it waits before the second attempt.
    pub backoff: Nanos,
    /// By how much the wait grows from attempt to attempt, in thousandths; at least 1,000.
    pub growth_milli: u32,
    /// The wait never grows beyond this.
    pub backoff_max: Nanos,
    /// Draw each wait evenly between nothing and its length, as the AWS architecture blog's *full jitter* does.
    pub jitter: bool,
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
    /// At recorded instants.
    Replay,
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
    /// The statuses that count as success. None: everything below 400.
    #[serde(default)]
    pub expect: Vec<StatusRange>,
    /// The documented limit of its response time, judged by the reports.
    #[serde(default)]
    pub limit: Option<Nanos>,
    /// What the request carries.
    #[serde(default)]
    pub payload: Option<Payload>,
}

/// HTTP statuses, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Step {
    /// Whether its requests have a body.
    pub fn has_body(&self) -> bool {
        self.payload.is_some() || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH")
    }

    /// The `content-type` of its requests' body.
    pub fn content_type(&self) -> Option<&'static str> {
        self.has_body().then(|| self.payload.map_or("application/json", |payload| payload.content_type()))
    }

    /// What a request of this step came to that got `status`, when the protocol alone says `cause`: a scenario may
    /// want a 404, and may not want a 200. No status (0) is never what was wanted.
    pub fn judge(&self, status: u16, cause: Cause) -> Cause {
        if self.expect.is_empty() || status == 0 {
            return cause;
        }
        match (self.expect.iter().any(|range| (range.first..=range.last).contains(&status)), cause) {
            (true, _) => Cause::None,
            (false, Cause::None) => Cause::ClientError,
            (false, cause) => cause,
        }
    }
}

impl Stream {
    /// How many sessions it begins, in the mean.
    pub fn sessions(&self) -> f64 {
        self.rate.iter().map(Segment::arrivals).sum::<f64>() + self.times.len() as f64
    }

    /// Its highest rate, in sessions a second; of a replay, the most within one second.
    pub fn peak(&self) -> f64 {
        let curve = self.rate.iter().map(|segment| segment.from.max(segment.to)).max().unwrap_or(Rate::ZERO);
        let within =
            |from: usize| self.times[from..].partition_point(|at| *at < self.times[from] + Nanos::from_secs(1));
        let replayed = (0..self.times.len()).map(within).max().unwrap_or(0);
        curve.as_f64().max(replayed as f64)
    }
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

    /// About how many requests it will make, for sizing: mean sessions times steps, and of closed load what its users
    /// make if every answer takes a tenth of a second.
    pub fn expected_requests(&self) -> f64 {
        let of = |stream: &Stream| stream.sessions() * self.journeys[usize::from(stream.journey)].steps.len() as f64;
        let open: f64 = self.streams.iter().map(of).sum();
        let closed: f64 = self
            .crowds
            .iter()
            .map(|crowd| crowd.user_seconds() * crowd.peak_rate(self) / f64::from(crowd.peak().max(1)))
            .sum();
        open + closed
    }

    /// About how many requests a second it makes at its peak, every step of a session counted as due at once.
    pub fn peak_rate(&self) -> f64 {
        let of = |stream: &Stream| stream.peak() * self.journeys[usize::from(stream.journey)].steps.len() as f64;
        let open: f64 = self.streams.iter().map(of).sum();
        open + self.crowds.iter().map(|crowd| crowd.peak_rate(self)).sum::<f64>()
    }

    /// The retry policy of whoever began session `number`.
    pub(crate) fn retry(&self, number: u64) -> Option<&RetryPolicy> {
        let source = (number >> SOURCE_SHIFT) as usize;
        match self.streams.get(source) {
            Some(stream) => stream.retry.as_ref(),
            None => self.crowds.get(source - self.streams.len())?.retry.as_ref(),
        }
    }

    /// Whether session `number` is one of closed load: of a user who comes back.
    pub fn is_closed(&self, number: u64) -> bool {
        self.crowd(number).is_some()
    }

    /// The crowd that session `number` belongs to, and its index.
    pub(crate) fn crowd(&self, number: u64) -> Option<&Crowd> {
        self.crowds.get(((number >> SOURCE_SHIFT) as usize).checked_sub(self.streams.len())?)
    }
}

/// Sessions are numbered from their source's index above this bit: streams first, then crowds.
pub(crate) const SOURCE_SHIFT: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;

    const SMOKE: &str = include_str!("../library/smoke.yaml");

    #[test]
    fn each_milestone_is_told_once_even_between_seconds() {
        let text = SMOKE.replace("duration: 45s", "duration: 45500ms");
        let plan = Scenario::parse(&text, "smoke.yaml").unwrap().load(Seed::new(1));
        let start = Nanos::from_secs(13);
        let told = |second| plan.milestones(start, Nanos::from_secs(second)).len();
        let seconds: Vec<_> = (0..100).filter(|second| told(*second) > 0).collect();
        // Warm-up, step at 10 s, probe at 55.5 s, the end at 63.5 s.
        assert_eq!(seconds, [13, 23, 69, 77]);
    }

    #[test]
    fn smoke_becomes_the_plan_it_describes() {
        let plan = Scenario::parse(SMOKE, "smoke.yaml").unwrap().load(Seed::new(1));
        assert_eq!(plan.end(), Nanos::from_secs(63));
        assert_eq!(plan.clients, 401);
        assert_eq!(plan.journeys[0].steps.len(), 6);
        let sessions = 6.0 * 10.0 + 24.0 * 53.0;
        assert!((plan.expected_requests() - (sessions * 6.0 + 480.0)).abs() < 1e-6);
    }

    #[test]
    fn a_plan_survives_the_way_to_the_driver() {
        let plan = Scenario::parse(SMOKE, "smoke.yaml").unwrap().load(Seed::new(1));
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<LoadPlan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_step_may_want_a_status_that_is_no_success_elsewhere() {
        let plan = Scenario::parse(SMOKE, "smoke.yaml").unwrap().load(Seed::new(1));
        let plain = plan.steps[0].clone();
        let picky = Step { expect: vec![StatusRange { first: 404, last: 404 }], ..plain.clone() };
        for (case, step, status, cause, want) in [
            ("as the protocol says", &plain, 200, Cause::None, Cause::None),
            ("wanted", &picky, 404, Cause::ClientError, Cause::None),
            ("not wanted", &picky, 200, Cause::None, Cause::ClientError),
            ("worse", &picky, 503, Cause::Limited, Cause::Limited),
            ("no answer", &picky, 0, Cause::Timeout, Cause::Timeout),
        ] {
            assert_eq!(step.judge(status, cause), want, "{case}");
        }
    }
}
