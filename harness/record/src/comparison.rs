//! `comparison.json`: a run, or pairs of runs, held against others. Made by the `comparison` crate, drawn by `reports`.

use serde::{Deserialize, Serialize};

use crate::{Judgement, Percentile};

/// What was compared, how, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// `rehearse/comparison/v1`.
    pub schema: String,
    /// By which method.
    pub kind: ComparisonKind,
    /// What is compared with.
    pub base: Side,
    /// What is judged.
    pub head: Side,
    /// How it ended.
    pub conclusion: Compared,
    /// Why, in a sentence.
    pub because: String,
    /// Whether it decides the exit code.
    pub gating: bool,
    /// How many pairs of blocks; 1 for two runs.
    pub pairs: u32,
    /// A change below this, as a share, is nobody's business.
    pub minimum_effect: f64,
    /// How sure an interval is, such as 0.95.
    pub confidence: f64,
    /// All requests first, then one step after the other.
    pub rows: Vec<ComparisonRow>,
    /// The platform's own policy, row by row.
    #[serde(default)]
    pub policy: Vec<PolicyRow>,
    /// Objectives whose verdict differs.
    #[serde(default)]
    pub verdicts: Vec<VerdictChange>,
    /// Response times of all requests of the base that succeeded, for the same axis as the head's.
    #[serde(default)]
    pub base_distribution: Vec<Percentile>,
    /// The same of the head.
    #[serde(default)]
    pub head_distribution: Vec<Percentile>,
    /// What the gate says when nothing changed, where that was tried.
    #[serde(default)]
    pub control: Option<Control>,
    /// What a reader must know, such as that two runs are of different machines.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A method of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonKind {
    /// Two runs in virtual time of the same scenario and seed: every difference is real.
    Exact,
    /// Interleaved pairs of blocks, by ranks.
    Paired,
    /// Two runs by the wall clock: whatever differs may be the hour.
    Advisory,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Where it comes from: a run folder, or a platform as given on the command line.
    pub source: String,
    /// Scenario name.
    pub scenario: String,
    /// Digest of the scenario.
    pub scenario_digest: String,
    /// Digest of the platform.
    pub platform_digest: String,
    /// Backend.
    pub backend: String,
    /// Seeds, in order of the pairs.
    pub seeds: Vec<u64>,
    /// Class of the machine, such as `x86_64, 2 cores, AMD EPYC`.
    pub machine: String,
    /// When it was run; empty where that does not matter.
    pub started: String,
    /// Requests in all.
    pub requests: u64,
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Bit for bit the same.
    Identical,
    /// No regression was found.
    NoRegression,
    /// Something got worse.
    Regression,
    /// They cannot be compared.
    Incomparable,
}

/// One figure of one step on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// Step name; `None` for all requests together.
    pub step: Option<String>,
    /// `p50`, `p95`, `p99` or `failed`.
    pub figure: String,
    /// `ms` or `%`.
    pub unit: String,
    /// On the side that is compared with; of pairs their median. `None` without a request.
    pub base: Option<f64>,
    /// On the side that is judged, likewise.
    pub head: Option<f64>,
    /// By how much the head is more, as a share of the base; of `failed` the difference of the shares.
    pub change: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Chance of such a difference, or a greater one, if nothing changed.
    pub p: Option<f64>,
    /// The same after Benjamini and Hochberg's correction over all rows.
    pub q: Option<f64>,
    /// The least change that would have been found, as a share.
    pub detectable: Option<f64>,
    /// What it comes to.
    pub judgement: Change,
}

/// What a row comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Not a bit of difference.
    Identical,
    /// Less than the minimum effect, or not told from chance.
    Same,
    /// Better by more than the minimum effect.
    Better,
    /// Worse by more than the minimum effect.
    Worse,
    /// One of the sides has no figure.
    Unknown,
}

/// The platform's own policy applied to one row: investigate from so much on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Step name; `None` for all.
    pub step: Option<String>,
    /// Such as `p95`.
    pub figure: String,
    /// By how much it is more, as a share.
    pub change: f64,
    /// From which change on the policy asks for an investigation, such as 0.3.
    pub limit: f64,
    /// Whether it does.
    pub exceeded: bool,
    /// The document.
    pub source: String,
}

/// An objective whose verdict differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictChange {
    /// Name of the objective.
    pub objective: String,
    /// Whether it decides an exit code.
    pub gating: bool,
    /// Verdict of the base; `None` where it was not judged.
    pub base: Option<Judgement>,
    /// Verdict of the head.
    pub head: Option<Judgement>,
}

/// How often the gate cried where nothing had changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Comparisons of a platform with itself.
    pub runs: u32,
    /// Of them, those that found a regression.
    pub alarms: u32,
    /// One-sided upper bound of the rate of false alarms, with 95 % confidence.
    pub upper: f64,
    /// Whether the gate only advises since it cries too often.
    pub demoted: bool,
}
