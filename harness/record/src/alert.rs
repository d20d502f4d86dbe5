//! The platform's own alerts in `result.json`: who would have been woken, when, and who could not have been.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The platform's own alerts, evaluated on what its Prometheus would have scraped in this run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertRehearsal {
    /// Where the rules are from: a `ConfigMap`, or a file.
    pub source: String,
    /// How often rules were evaluated.
    pub interval_us: u64,
    /// The first evaluation: when load began.
    pub from_us: u64,
    /// The last one.
    pub until_us: u64,
    /// Series that were scraped.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
    /// Scrapes that failed, of all.
    pub failed_scrapes: (u64, u64),
    /// One per alert, in the order of the rule files.
    pub alerts: Vec<AlertResult>,
    /// Names of the scrape configurations.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// Statuses with which the gateway's limits refuse.
    #[serde(default)]
    pub limit_statuses: Vec<u16>,
    /// From when to when Prometheus itself was down.
    #[serde(default)]
    pub down_us: Vec<(u64, u64)>,
    /// Whose rules were followed: `2` or `3`.
    #[serde(default)]
    pub release: String,
    /// What a reader must know: rules that were not evaluated, a server that was down, what was assumed.
    pub notes: Vec<String>,
}

/// What became of one alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertResult {
    /// Its name.
    pub alert: String,
    /// The file and group that it is in.
    pub group: String,
    /// Its expression as written.
    pub expr: String,
    /// Label `severity`, empty without one.
    pub severity: String,
    /// `for`.
    pub for_us: u64,
    /// What became of it.
    pub verdict: AlertVerdict,
    /// The verdict in a sentence, with its figures.
    pub told: String,
    /// Why it is blind, or what else to know of it.
    pub because: Vec<String>,
    /// The value that came closest to the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<AlertPeak>,
    /// Pending at the end: how much longer it would have had to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_us: Option<u64>,
    /// When it was pending and firing, the first [`AlertResult::SPELLS`] of them.
    pub spells: Vec<AlertSpell>,
}

impl AlertResult {
    /// How many spells are kept.
    pub const SPELLS: usize = 50;
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertVerdict {
    /// It fired.
    Fired,
    /// Its condition held, for less than its `for`.
    Pending,
    /// It cannot see what it is about.
    Blind,
    /// It could not be evaluated.
    Unsupported,
    /// Its condition did not hold, and its `for` is longer than the run.
    Unreachable,
    /// Its condition did not hold.
    Quiet,
}

/// A value held against the limit of its alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertPeak {
    /// The value; `None` if it is infinite.
    pub value: Option<f64>,
    /// When.
    pub at_us: u64,
    /// The limit.
    pub limit: f64,
    /// How the two are compared, such as `>`.
    pub operator: String,
}

/// One time that an alert's condition held for one label set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertSpell {
    /// Its labels, without its name.
    pub labels: String,
    /// Its summary, or its first annotation.
    pub summary: String,
    /// Since when it was pending.
    pub pending_us: u64,
    /// Since when it fired.
    pub firing_us: Option<u64>,
    /// When it was over; `None`: not in this run.
    pub ended_us: Option<u64>,
}
