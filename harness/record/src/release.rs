//! `release.json`: every drill of a candidate, beside what it is to replace.

use serde::{Deserialize, Serialize};
use units::Seed;

use crate::{Conclusion, Confirmed, PlatformStamp, ScenarioStamp};

/// Whether a candidate may go out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleasePlan {
    /// `rehearse/release/v1`.
    pub schema: String,
    /// Version of rehearse.
    pub version: String,
    /// The command that repeats it.
    pub command: String,
    /// Where sessions come from.
    pub scenario: ScenarioStamp,
    /// What is to go out.
    pub candidate: PlatformStamp,
    /// What runs now, if it was given.
    pub against: Option<PlatformStamp>,
    /// Seed.
    pub seed: Seed,
    /// How many seeds each drill was played with.
    pub seeds: u32,
    /// Pass: go. Fail: no-go.
    pub conclusion: Conclusion,
    /// What differs between the two.
    pub changes: Vec<ManifestChange>,
    /// Every drill, what decides first.
    pub drills: Vec<DrillResult>,
    /// What was not drilled, and why.
    pub not_drilled: Vec<(String, String)>,
    /// The smallest burst that breaks an objective, and the worst moment for a fault, if they were looked for.
    #[serde(default)]
    pub adversary: Option<Adversary>,
    /// Drills that were played live, to see whether they come out as virtual time says.
    #[serde(default)]
    pub confirmed: Vec<Confirmed>,
    /// Minutes of load that were played.
    pub minutes: f64,
}

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestChange {
    /// `Kind/name`.
    pub object: String,
    /// What differs, in words, such as `readiness probe removed`.
    pub what: Vec<String>,
    /// Drills that it alone moved: with this object as it was, they come out otherwise.
    pub moved: Vec<String>,
}

/// One drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillResult {
    /// Name.
    pub name: String,
    /// What it is about.
    pub kind: String,
    /// What was taken to be true.
    pub hypothesis: String,
    /// Who saw it, such as `simulated`.
    pub backend: String,
    /// How it came out.
    pub conclusion: Conclusion,
    /// Of the candidate.
    pub candidate: DrillArm,
    /// Of what runs now.
    pub against: Option<DrillArm>,
    /// It comes out the same with what runs now, so it does not decide.
    pub known: bool,
    /// The command that plays it again.
    pub replay: String,
}

/// What a drill came to on one platform, over all seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DrillArm {
    /// On how many seeds everything held.
    pub held: u32,
    /// Of how many.
    pub of: u32,
    /// Requests that failed beyond those of the control arm, which has the same seed and no fault: median.
    pub lost_median: i64,
    /// At worst.
    pub lost_worst: i64,
    /// What the median costs of a month's error budget (availability 99.5 %), as a share.
    pub budget: f64,
    /// What did not hold, with the trace: expectation and what was seen.
    pub broken: Vec<String>,
}

/// What a bounded, seeded search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adversary {
    /// The largest burst that holds, times the usual rate.
    pub burst_holds: f64,
    /// The smallest one that breaks an objective; `None` if none was found.
    pub burst_breaks: Option<f64>,
    /// What it breaks.
    pub broken_by: Option<String>,
    /// The drill whose timing matters most, and the second after which it hurts most.
    pub worst: Option<(String, u64, i64)>,
    /// How many rehearsals that took.
    pub rehearsals: u64,
    /// Files that play them again.
    pub files: Vec<String>,
}
