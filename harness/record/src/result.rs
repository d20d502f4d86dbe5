//! `run.json`, `result.json` and `environment.json`, as types.
//!
//! A field in microseconds ends in `_us`; instants count from the run's epoch (the start of the stand-up), and
//! [`RunResult::load_start_us`] says when load began.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Seed;

use crate::alert::AlertRehearsal;
use crate::verdict::{NotJudged, Verdict};
use crate::{Cause, ExitCode, FaultResult, Happening, LostRequest, ScalingDecision, ScalingResult, StepCurve};

/// `run.json`: what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// `rehearse/run/v1`.
    pub schema: String,
    /// Version of rehearse.
    pub version: String,
    /// The command that repeats the run.
    pub command: String,
    /// Scenario name.
    pub scenario: String,
    /// Backend name.
    pub backend: String,
    /// Seed.
    #[schemars(with = "u64")]
    pub seed: Seed,
    /// Which platform.
    pub platform: PlatformStamp,
    /// The nodes it stood on, one line each.
    pub nodes: Vec<String>,
}

/// Which platform was rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformStamp {
    /// As given on the command line, or `built-in`.
    pub source: String,
    /// Overlay name.
    pub overlay: String,
    /// Namespace of the workloads.
    pub namespace: String,
    /// First 12 hexadecimal digits of a hash over the rendered manifests.
    pub digest: String,
}

/// JSON Schema (draft 2020-12) of `result.json`. Fields are only ever added, so that a reader of an older result may
/// find some missing: those that have a default.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RunResult).to_value()
}

/// `environment.json`: the machine and the wall clock, kept apart so that `result.json` has neither.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Wall clock at the start, RFC 3339 in UTC.
    pub started: String,
    /// How long the command took, seconds.
    pub took_s: f64,
    /// Operating system and architecture.
    pub system: String,
    /// Cores this process may use.
    pub cores: u32,
    /// Limit on open files.
    pub open_files: u64,
    /// What else matters, such as the driver's CPU time.
    pub notes: BTreeMap<String, String>,
}

/// `result.json`: what was seen and how it was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// `rehearse/result/v1`.
    pub schema: String,
    /// Which of several planned looks at the platform this is; `None`: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// What was played.
    pub scenario: ScenarioStamp,
    /// Against which platform.
    pub platform: PlatformStamp,
    /// On which backend.
    pub backend: String,
    /// With which seed.
    #[schemars(with = "u64")]
    pub seed: Seed,
    /// How it ended.
    pub conclusion: Conclusion,
    /// When load began.
    pub load_start_us: u64,
    /// When load ended.
    pub load_end_us: u64,
    /// Phases in order.
    pub phases: Vec<PhaseSpan>,
    /// One per objective, in the order of the objectives.
    pub verdicts: Vec<Verdict>,
    /// Documented objectives that this run says nothing about, each with the reason.
    #[serde(default)]
    pub not_judged: Vec<NotJudged>,
    /// What the scenario expects, and what came of it. One that does not hold fails the run.
    #[serde(default)]
    pub expectations: Vec<Expected>,
    /// Whether the run can be believed. One broken check makes it invalid.
    pub checks: Vec<Check>,
    /// One per step and phase.
    pub steps: Vec<StepResult>,
    /// One per pod that answered, in the order of their creation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodResult>,
    /// The run over time.
    pub timeline: Timeline,
    /// Response times of the judged flow, over the judged phases, from p0 to p100.
    pub distribution: Vec<Percentile>,
    /// What requests are made of.
    pub time_splits: Vec<TimeSplit>,
    /// Replicas over time, autoscaled workloads first.
    pub workloads: Vec<WorkloadSeries>,
    /// Every sync of every autoscaler, with its instant.
    pub decisions: Vec<(u64, ScalingDecision)>,
    /// What bites that no objective shows.
    pub findings: Vec<Finding>,
    /// What stood in for the real thing.
    pub stand_ins: Vec<StandIn>,
    /// Response times step by step, over the phases that are judged.
    #[serde(default)]
    pub curves: Vec<StepCurve>,
    /// What each fault did, in order of time.
    #[serde(default)]
    pub faults: Vec<FaultResult>,
    /// How each workload was scaled, those that were scaled up first.
    #[serde(default)]
    pub scalings: Vec<ScalingResult>,
    /// What else happened on the platform under load: nodes, restarts, rollouts, the data layer.
    #[serde(default)]
    pub happenings: Vec<Happening>,
    /// The first of the requests that failed, by a rate limiter or otherwise.
    #[serde(default)]
    pub lost: Vec<LostRequest>,
    /// What the platform's own alerts made of the run; `None`: it has no rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<AlertRehearsal>,
}

/// What was played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioStamp {
    /// Name.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// First 12 hexadecimal digits of a hash over its file.
    pub digest: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Every gating objective holds.
    Pass,
    /// One is broken.
    Fail,
    /// One could not be decided.
    Undecided,
    /// The run cannot be judged.
    Invalid,
    /// It was ended from outside.
    Interrupted,
}

impl Conclusion {
    /// The exit code of a run that ends so.
    pub const fn exit(self) -> ExitCode {
        match self {
            Self::Pass => ExitCode::Pass,
            Self::Fail => ExitCode::Broken,
            Self::Undecided => ExitCode::Undecided,
            Self::Invalid => ExitCode::Invalid,
            Self::Interrupted => ExitCode::Interrupted,
        }
    }

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided => "undecided",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}

impl RunResult {
    /// A percentile of the judged flow, microseconds, if it was measured.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        self.distribution.iter().find(|point| (point.percent - percent).abs() < 1e-9).map(|point| point.us)
    }
}

/// A phase with its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseSpan {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: PhaseKind,
    /// Start.
    pub start_us: u64,
    /// End, exclusive.
    pub end_us: u64,
}

/// What a phase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// Shown, not judged.
    WarmUp,
    /// Judged.
    Steady,
    /// Judged by the scenario's own expectations only.
    Probe,
    /// Shown, not judged.
    RampDown,
}

/// One reason to believe the run, or not to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// Measured, as text with its unit.
    pub measured: String,
    /// What it is held against, as text.
    pub limit: String,
}

/// Quantiles of one distribution, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Median.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 95 %.
    pub p95_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// Greatest.
    pub max_us: u64,
}

/// One step in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepResult {
    /// Flow it belongs to.
    pub flow: String,
    /// Step name.
    pub step: String,
    /// `POST /auth/token`.
    pub request: String,
    /// The journey that has this step.
    #[serde(default)]
    pub journey: String,
    /// Phase name.
    pub phase: String,
    /// Requests that were due in the phase.
    pub n: u64,
    /// Failures by cause; provoked rejects are under `limited`.
    pub failed: BTreeMap<Cause, u64>,
    /// Answers by HTTP status; 0: there was none.
    #[serde(default)]
    pub statuses: BTreeMap<u16, u64>,
    /// Done − intended, of requests that succeeded.
    pub response: Quantiles,
    /// Done − sent, of the same.
    pub service: Quantiles,
    /// Sent − intended, of all that were sent.
    pub lag: Quantiles,
    /// What each objective that judges this step in this phase counted.
    #[serde(default)]
    pub judged: Vec<Judged>,
    /// From sending to the first byte of the answer's body, of requests that succeeded; live runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Quantiles>,
    /// The longest wait between two events of each streamed answer; live runs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Quantiles>,
}

/// What an objective counted of one step in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// Name of the objective.
    pub objective: String,
    /// Requests judged.
    pub n: u64,
    /// Of them, failed or beyond the limit.
    pub beyond: u64,
}

/// What one pod behind the gateway answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodResult {
    /// Its name.
    pub pod: String,
    /// Requests that it served first behind the gateway.
    pub n: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Done − intended, of requests that succeeded.
    pub response: Quantiles,
}

/// A point of a percentile curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentile {
    /// In percent, such as 99.9.
    pub percent: f64,
    /// Value, microseconds.
    pub us: u64,
    /// Confidence interval by order statistics, microseconds.
    pub interval_us: (u64, u64),
}

/// The run over time, in windows of equal width.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Width of a window, microseconds. One second, or wider in a long run.
    pub width_us: u64,
    /// Windows from the start of load on, without gaps.
    pub windows: Vec<Window>,
    /// Lower edges of the latency bins of [`Window::heat`], microseconds; a limit is always an edge.
    pub heat_edges_us: Vec<u64>,
    /// Names of the steps that [`Window::steps`] counts.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Width of a [`Timeline::spells`], microseconds: so many windows that a percentile of one has something to be of.
    #[serde(default)]
    pub spell_us: u64,
    /// Percentiles of the judged flow over longer spells, merged request by request, for lines that can be read.
    #[serde(default)]
    pub spells: Vec<Spell>,
}

/// Several windows together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spell {
    /// Requests of the judged flow that succeeded.
    pub n: u64,
    /// Median of their response, microseconds; 0 without any.
    pub p50_us: u64,
    /// 95 %.
    pub p95_us: u64,
    /// 99 %.
    pub p99_us: u64,
}

/// One window. A request belongs to the window of its intended instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Requests that were due.
    pub offered: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Failures by cause.
    pub failed: BTreeMap<Cause, u64>,
    /// Response of the judged flow: median, microseconds; 0 without samples.
    pub p50_us: u64,
    /// 95 %.
    pub p95_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// Greatest.
    pub max_us: u64,
    /// How many responses of the judged flow fell into each latency bin.
    pub heat: Vec<u32>,
    /// Requests of the judged flow, without those that a rate limiter refused.
    #[serde(default)]
    pub flow: u64,
    /// Of them, failed or beyond the limit, in whichever phase.
    #[serde(default)]
    pub flow_beyond: u64,
    /// Requests that were due, by step in the order of [`Timeline::steps`]; may end before the last step.
    #[serde(default)]
    pub steps: Vec<u32>,
}

/// What the requests around a step's p95 are made of, microseconds on average. The parts add up to `response_us`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimeSplit {
    /// Step name.
    pub step: String,
    /// Phase name.
    pub phase: String,
    /// Mean response of those requests.
    pub response_us: u64,
    /// Waiting for a worker or a CPU quota.
    pub queue_us: u64,
    /// On a CPU.
    pub cpu_us: u64,
    /// Waiting for something else.
    pub wait_us: u64,
    /// In services that were called by the one behind the gateway.
    #[serde(default)]
    pub downstream_us: u64,
    /// Of that, in their queues, summed over the services.
    #[serde(default)]
    pub downstream_queue_us: u64,
    /// Tries of the gateway at servers that did not answer.
    #[serde(default)]
    pub retry_us: u64,
    /// Held back by a limiter.
    pub limiter_us: u64,
    /// The driver was late.
    pub lag_us: u64,
    /// The rest: network, gateway, connections.
    pub other_us: u64,
}

/// Replicas of one workload over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadSeries {
    /// Name.
    pub workload: String,
    /// Bounds of its autoscaler, if it has one.
    pub bounds: Option<(u32, u32)>,
    /// Points where something changed, in order.
    pub points: Vec<WorkloadPoint>,
    /// What the load of each window needs to be at the autoscaler's CPU target, thousandths of a replica; empty where
    /// no autoscaler looks at CPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed_milli: Vec<u32>,
}

/// Replicas from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadPoint {
    /// From when.
    pub at_us: u64,
    /// Wanted.
    pub desired: u32,
    /// Ready.
    pub ready: u32,
}

/// Something that bites in production and that no objective shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable id, such as `limiter-answers-503`.
    pub id: String,
    /// The consequence, in a sentence.
    pub consequence: String,
    /// Why, with its figures.
    pub because: String,
    /// File and line.
    pub place: String,
}

/// Something that a scenario expects of a run, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// As the scenario states it.
    pub told: String,
    /// Whether it came true.
    pub held: bool,
    /// What was seen, in a few words.
    pub seen: String,
}

/// What stood in for the real thing, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandIn {
    /// Such as `profile of transactions-service`.
    pub what: String,
    /// Such as `assumed: 30 ms of CPU a create`.
    pub how: String,
    /// Whether it was measured or assumed.
    pub origin: Origin,
}

/// Where a figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A document says so.
    Documented,
    /// Measured on the real thing.
    Measured,
    /// Nobody said; a plausible value was taken.
    Assumed,
}

/// One of several looks at the same question, each of which may make its share of the error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// Counted from 1.
    pub nth: u32,
    /// How many were planned.
    pub of: u32,
    /// How long the steady phases of this one lasted together.
    pub steady_us: u64,
    /// The run folder of the look before, which could not decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

impl Look {
    /// The share of the error that it may make: together they make no more than one alone would.
    pub fn alpha_share(look: Option<&Self>) -> f64 {
        look.map_or(1.0, |look| 1.0 / f64::from(look.of.max(1)))
    }
}
