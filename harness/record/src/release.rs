//! `release.json`: every drill of a candidate, beside what it is to replace.

use serde::{Deserialize, Serialize};
use units::Seed;

use crate::replications::same;
use crate::shard::{self, Shard, ShardError};
use crate::{Conclusion, Confirmed, NotConfirmed, PlatformStamp, ScenarioStamp};

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
    /// Drills that a backend was to confirm and does not play, or not on this machine.
    #[serde(default)]
    pub not_confirmed: Vec<NotConfirmed>,
    /// Minutes of load that were played.
    pub minutes: f64,
    /// Which part of the drills it has, in the order of the plan; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

impl ReleasePlan {
    /// Parts of one course of drills as one, each with the name it is told by. Drills stand in the order of the plan, and
    /// nothing is concluded from all of them yet.
    ///
    /// # Errors
    /// If they are not all the parts of the same course.
    pub fn woven(parts: Vec<(String, Self)>) -> Result<Self, ShardError> {
        let told =
            parts.iter().map(|(name, part)| (name, (&part.command, &part.candidate, &part.against, &part.version)));
        same(told, "command, platforms or version")?;
        let parts = shard::in_order(parts.into_iter().map(|(name, part)| (name, part.shard, part)).collect())?;
        let drills: Vec<DrillResult> = shard::woven(parts.iter().map(|part| part.drills.clone()).collect());
        let place = |name: &String| drills.iter().position(|drill| drill.name == *name);
        let mut changes: Vec<ManifestChange> = parts.first().map(|part| part.changes.clone()).unwrap_or_default();
        for change in &mut changes {
            let same = parts.iter().flat_map(|part| &part.changes).filter(|other| other.object == change.object);
            change.moved = same.flat_map(|other| other.moved.clone()).collect();
            change.moved.sort_by_key(place);
        }
        let first = parts.into_iter().next().ok_or(ShardError::Nothing)?;
        Ok(Self { drills, changes, shard: None, ..first })
    }
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
    /// The command that plays it again. Its file lies in the run folder, wherever that is.
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
    /// How long the shortest such burst is, seconds.
    #[serde(default)]
    pub burst_seconds: Option<u64>,
    /// What it breaks.
    pub broken_by: Option<String>,
    /// The drill whose timing matters most, and the second after which it hurts most.
    pub worst: Option<(String, u64, i64)>,
    /// How many rehearsals that took.
    pub rehearsals: u64,
    /// Commands that play them again, likewise.
    pub files: Vec<String>,
}
