//! An objective and what came of it, as `result.json` tells it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An objective and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Name of the objective, such as `core-latency`.
    pub objective: String,
    /// For people, such as `Core flow, p95`.
    pub title: String,
    /// The flow whose requests it judges, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Judged so.
    pub judgement: Judgement,
    /// Whether it decides the exit code.
    pub gating: bool,
    /// Which percentile is limited, in percent; `None` for a share.
    pub percentile: Option<f64>,
    /// The limit, in `unit`.
    pub limit: f64,
    /// What was measured, in `unit`; `None` without samples.
    pub measured: Option<f64>,
    /// Its confidence interval, in `unit`.
    pub interval: Option<(f64, f64)>,
    /// `ms`, `%`, `/s` (a rate of requests), `s` (a length of time) or `requests` (a count).
    pub unit: String,
    /// How sure the interval is, such as 0.95.
    pub confidence: f64,
    /// How many requests were judged; 0 where events are, and `judged_us` says for how long.
    pub n: u64,
    /// How many of them were beyond the limit.
    pub beyond: u64,
    /// The share that may be beyond, such as 0.05.
    pub allowed: f64,
    /// Clopper–Pearson bounds of the share beyond.
    pub beyond_bounds: (f64, f64),
    /// Variance of the share beyond over that of independent requests; at least 1.
    pub design_effect: f64,
    /// For an undecided one: about how many more requests would settle it, if it goes on like this.
    pub more_needed: Option<u64>,
    /// The objective's own window, such as `10m`, if it has one.
    pub window: Option<String>,
    /// Over which it was judged, microseconds.
    pub judged_us: u64,
    /// Where the figure is documented.
    pub source: String,
    /// What a reader must know about it, such as another documented figure that was overruled.
    pub note: Option<String>,
    /// What kind of figure it is.
    #[serde(default)]
    pub measure: Measure,
    /// What exactly was judged, such as `flow core, steady phases, outside of faults`.
    #[serde(default)]
    pub scope: String,
    /// How window and run go together, such as `10 min judged over 2 min 10 s`; `None` where there is nothing to say.
    #[serde(default)]
    pub label: Option<String>,
    /// Why it is undecided, where that is not for want of samples.
    #[serde(default)]
    pub reason: Option<String>,
    /// Every documented figure about it, the ruling one first. One figure alone contradicts nobody.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// What the run costs of the error budget, for an objective of a share.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// The worst of its windows, where a run has more than one.
    #[serde(default)]
    pub worst: Option<Worst>,
    /// The same by step and phase, for tables and test cases.
    #[serde(default)]
    pub parts: Vec<VerdictPart>,
    /// Half the width of the recorder's bin at the limit, in `unit`: nothing finer is seen there.
    #[serde(default)]
    pub resolution: Option<f64>,
}

/// A judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// The upper bound keeps the limit.
    Pass,
    /// The lower bound breaks it.
    Fail,
    /// Neither.
    Undecided,
}

/// What kind of figure an objective limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// A percentile of response times.
    #[default]
    Percentile,
    /// A share of the requests.
    Share,
    /// A share of the requests in a long and a short window at once.
    Burn,
    /// Requests a second.
    Rate,
    /// A number of requests; nothing is estimated, all of them were seen.
    Count,
    /// The longest time that something was down; likewise.
    Down,
    /// How soon after a fault an objective held again; likewise.
    Recovery,
}

/// One documented figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// The figure with its unit, such as `800 ms`.
    pub figure: String,
    /// The document and line that states it.
    pub source: String,
    /// What kind of document, such as `SLO document` or `alert`.
    pub kind: String,
    /// Whether it is the one that is judged.
    pub rules: bool,
    /// Why it rules, or why not.
    pub why: String,
}

/// What a run costs of an error budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// The budget's period, days.
    pub days: f64,
    /// Share of bad requests over the share that is allowed: at 1 the budget is just spent when its period ends.
    pub burn_rate: f64,
    /// Bad requests of the whole run, faults included, as a share of what the period allows at the run's rate.
    pub spent: f64,
}

/// One window of an objective that has several in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worst {
    /// How many windows were judged.
    pub of: u32,
    /// Its start.
    pub start_us: u64,
    /// Its end.
    pub end_us: u64,
    /// Requests in it.
    pub n: u64,
    /// Of them, bad.
    pub beyond: u64,
}

/// A verdict's counts in one step and phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictPart {
    /// Step name.
    pub step: String,
    /// Phase name.
    pub phase: String,
    /// Requests judged.
    pub n: u64,
    /// Of them, bad.
    pub beyond: u64,
}

/// A documented objective that a run says nothing about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotJudged {
    /// Name of the objective.
    pub objective: String,
    /// For people.
    pub title: String,
    /// The documented figure, such as `p95 < 500 ms`.
    pub figure: String,
    /// Where it is documented.
    pub source: String,
    /// Why this run says nothing about it.
    pub why: String,
}
