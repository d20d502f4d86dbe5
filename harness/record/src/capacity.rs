//! `capacity.json`: how much a platform carries, what breaks first, and what would move it.
//!
//! Rates are sessions a second unless they say requests. A figure that ends in `_us` is in microseconds.

use std::fmt;

use serde::{Deserialize, Serialize};
use units::Seed;

use crate::replications::same;
use crate::shard::{self, Shard, ShardError};
use crate::{Conclusion, PlatformStamp, ScenarioStamp};

/// The answer to a capacity question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityPlan {
    /// `rehearse/capacity/v1`.
    pub schema: String,
    /// Version of rehearse.
    pub version: String,
    /// The command that repeats it.
    pub command: String,
    /// Where sessions and objectives come from.
    pub scenario: ScenarioStamp,
    /// Which platform.
    pub platform: PlatformStamp,
    /// Its nodes, one line each.
    pub nodes: Vec<String>,
    /// Seed.
    pub seed: Seed,
    /// Journeys with their share of the sessions.
    pub mixture: Vec<(String, f64)>,
    /// Requests that a session makes.
    pub requests_per_session: f64,
    /// Sessions a second that are asked about: the scenario's own, or what the user said.
    pub asked: f64,
    /// Titles of the objectives that a load has to keep.
    pub objectives: Vec<String>,
    /// Workloads on the way of a session whose costs are assumed, not measured.
    pub assumed: Vec<String>,
    /// The platform as declared, its autoscalers at work.
    pub declared: Capacity,
    /// The same without autoscalers.
    pub fixed: Capacity,
    /// What runs out, by the utilisation law, the lowest first.
    pub bounds: Vec<BoundTold>,
    /// What breaks first and next, each with the change that moves it, simulated.
    pub ladder: Vec<Rung>,
    /// Autoscaling in motion.
    pub motion: Option<Motion>,
    /// With something gone.
    pub losses: Vec<Loss>,
    /// How long it is enough.
    pub growth: Option<Growth>,
    /// Who that is.
    pub users: Users,
    /// What it stands on, and what that costs.
    pub footing: Vec<Footing>,
    /// The same at rates between the half of what is asked and what the last change of the ladder carries.
    #[serde(default)]
    pub grid: Vec<Footing>,
    /// Replicas, requests and targets against latency and cost, at the asked rate.
    pub frontier: Vec<FrontierPoint>,
    /// Which figure moves the answer most.
    pub sensitivity: Vec<Sensitivity>,
    /// Points that were played live, to see whether they come out as virtual time says.
    #[serde(default)]
    pub confirmed: Vec<Confirmed>,
    /// What a backend was to confirm, too, and could not be asked.
    #[serde(default)]
    pub not_confirmed: Vec<NotConfirmed>,
    /// How many rehearsals were played.
    pub rehearsals: u64,
}

/// One part of a capacity plan, `capacity-part.json`: `--shard` cut the questions, and `merge` makes parts one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityPart {
    /// `rehearse/capacity-part/v1`.
    pub schema: String,
    /// Which part of the questions it answers.
    pub shard: Shard,
    /// What every part found for itself, because each question begins with it. What they ask is not in it yet.
    pub plan: CapacityPlan,
    /// Its answers, in the order of the questions.
    pub answers: Vec<Answered>,
}

impl CapacityPart {
    /// Parts of one plan, each with the name it is told by: what all of them found, and every answer in its order.
    ///
    /// # Errors
    /// If they are not all the parts of the same plan.
    pub fn woven(parts: Vec<(String, Self)>) -> Result<(CapacityPlan, Vec<Answered>), ShardError> {
        let told =
            parts.iter().map(|(name, part)| (name, (&part.plan.command, &part.plan.platform, &part.plan.version)));
        same(told, "command, platform or version")?;
        same(parts.iter().map(|(name, part)| (name, &part.plan)), "nodes, prices or costs")?;
        let parts = parts.into_iter().map(|(name, part)| (name, Some(part.shard), (part.plan, part.answers)));
        let (plans, answers): (Vec<_>, Vec<_>) = shard::in_order(parts.collect())?.into_iter().unzip();
        let plan = plans.into_iter().next().ok_or(ShardError::Nothing)?;
        Ok((plan, shard::woven(answers)))
    }
}

/// One of the questions that need nothing of each other, answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// How many rehearsals that took.
    pub rehearsals: u64,
    /// What came out.
    pub answer: CapacityAnswer,
}

/// What a question may come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CapacityAnswer {
    /// What breaks first and next.
    Ladder {
        /// Each change on top of those before it.
        rungs: Vec<Rung>,
        /// What rates stand on, up to what the last change carries.
        grid: Vec<Footing>,
    },
    /// Which climbs are too steep, with a forecast beside the autoscalers or without.
    Climbs {
        /// With it.
        predictive: bool,
        /// The climbs.
        climbs: Climbs,
    },
    /// What the answer to a sudden step is made of.
    Step(Vec<ScaleDelay>),
    /// Something is gone.
    Loss(Loss),
    /// A figure is off by a fifth.
    Off {
        /// Which figure.
        figure: String,
        /// 20 % higher, or lower.
        higher: bool,
        /// What the platform carries then.
        keeps: f64,
    },
    /// One way to run the platform, if it comes up.
    Setting(Option<FrontierPoint>),
}

/// Something that virtual time answered, played on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Which backend.
    pub backend: String,
    /// What was played, in words.
    pub what: String,
    /// How it comes out in virtual time.
    pub expected: Conclusion,
    /// How it came out there.
    pub conclusion: Conclusion,
    /// Whether that is the same.
    pub agrees: bool,
    /// p95 of the judged flow there.
    pub p95_us: Option<u64>,
    /// Its report, from the folder of the plan.
    pub report: String,
}

impl Confirmed {
    /// How it came out, in words.
    pub fn outcome(&self) -> String {
        let word = self.conclusion.word();
        match (self.agrees, self.conclusion) {
            (true, _) => word.to_owned(),
            (false, Conclusion::Invalid) => format!("{word}: says nothing"),
            (false, _) => format!("{word}: DIFFERS"),
        }
    }
}

/// Something that a backend does not play, or that the machine does not carry there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotConfirmed {
    /// Which backend.
    pub backend: String,
    /// What would have been played, in words.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: not confirmed on {}: {}", self.what, self.backend, self.why)
    }
}

/// The largest rate that keeps every objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// What the platform is, in words.
    pub setting: String,
    /// The largest rate that was tried and kept every objective in every replication; 0 if none did.
    pub keeps: f64,
    /// The smallest rate above it that did not; `None` if none was found.
    pub breaks: Option<f64>,
    /// Which objective broke there, and by how much.
    pub broken_by: Option<String>,
    /// p95 of the judged flow at the largest rate that holds, if it was measured.
    #[serde(default)]
    pub p95_us: Option<u64>,
    /// Every rate that was tried, in order.
    pub steps: Vec<CapacityStep>,
    /// How many seeds the answer was confirmed with.
    pub replications: u32,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityStep {
    /// Sessions a second.
    pub rate: f64,
    /// Whether everything held.
    pub keeps: bool,
    /// What did not.
    pub why: Option<String>,
}

/// A resource and the rate at which it runs out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundTold {
    /// Sessions a second.
    pub rate: f64,
    /// What runs out, with its figures.
    pub why: String,
}

/// What breaks, the change that moves it, and what the platform carries with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// What binds.
    pub binds: String,
    /// What the platform carries before the change.
    pub before: f64,
    /// What it carries with this change and those before it; `None` if no manifest says it.
    pub after: Option<f64>,
    /// The change, in words.
    pub change: Option<String>,
    /// A kustomize patch.
    pub patch: Option<String>,
}

/// Autoscaling in motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// The ramp begins here.
    pub from: f64,
    /// And ends here.
    pub to: f64,
    /// Climbs with the autoscalers as declared.
    pub reactive: Climbs,
    /// The same with a forecast beside them.
    pub predictive: Climbs,
    /// Of a sudden step: how the time from the load to ready pods is made up.
    pub delays: Vec<ScaleDelay>,
    /// Autoscaled workloads: where they aim, and where the objective breaks.
    pub targets: Vec<TargetTold>,
}

/// Which climbs are too steep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Climbs {
    /// The shortest that broke no objective, seconds; `None` if none was found.
    pub shortest_s: Option<f64>,
    /// The longest that broke one, seconds.
    pub breaks_s: Option<f64>,
}

/// From a step in load to pods that serve it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleDelay {
    /// Workload.
    pub workload: String,
    /// Replicas before.
    pub from: u32,
    /// What the first decision wanted.
    pub to: u32,
    /// Until the sample was taken that the decision read.
    pub sample_us: u64,
    /// From that sample to the sync that read it.
    pub sync_us: u64,
    /// From the decision to a node for the first new pod.
    pub schedule_us: u64,
    /// To its running containers: pull and start.
    pub start_us: u64,
    /// To its readiness: startup and readiness probes.
    pub probe_us: u64,
    /// To its endpoint at those who dial it.
    pub propagation_us: u64,
    /// Replicas wanted at most beyond what was wanted in the end.
    pub overshoot: u32,
    /// How often the wish changed its direction.
    pub reversals: u32,
}

/// Where an autoscaler aims, and where the objective breaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetTold {
    /// Workload.
    pub workload: String,
    /// CPU target, percent of the request.
    pub target: u32,
    /// CPU at the largest rate that fixed replicas hold, percent of the request.
    pub at_limit: f64,
}

/// Something is gone for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// What.
    pub what: String,
    /// What the rest carries.
    pub keeps: f64,
    /// Whether it carries what is asked.
    pub enough: bool,
    /// What broke, or why it never came up.
    pub why: Option<String>,
}

/// How long it is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Growth a month, such as 0.08.
    pub monthly: f64,
    /// Months until the asked rate has grown to what the platform carries: ln(max / now) / ln(1 + g).
    pub months: f64,
    /// The same with the most important node or zone gone.
    pub months_degraded: f64,
}

/// Who that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// How long a session lasts, seconds, thinking included.
    pub session_s: f64,
    /// Sessions at once at the largest rate: Little's law.
    pub at_once: f64,
    /// Users a day at the largest rate, if each takes one session a day and the peak hour has twice the mean.
    pub daily: f64,
    /// How that was counted.
    pub how: String,
    /// If the user asked for a number of users: the rate that they make at the peak.
    #[serde(default)]
    pub asked: Option<f64>,
}

/// What a rate stands on, and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footing {
    /// At which rate.
    pub rate: f64,
    /// Requests of all pods, cores.
    pub cores: f64,
    /// And memory, GiB.
    pub gib: f64,
    /// Nodes of each kind that hold them.
    pub nodes: Vec<(String, u32)>,
    /// Cost an hour, if prices are known.
    pub hourly: Option<f64>,
    /// Cost of a million requests.
    pub per_million: Option<f64>,
    /// Currency and date of the prices.
    pub prices: Option<String>,
}

/// One way to run the platform at the asked rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontierPoint {
    /// What is different, in words.
    pub setting: String,
    /// p95 of the judged flow, milliseconds.
    pub p95_ms: f64,
    /// Whether every objective holds.
    pub holds: bool,
    /// CPU requests of all pods at the end, cores.
    pub cores: f64,
    /// Cost an hour, if prices are known.
    pub hourly: Option<f64>,
    /// No other point that holds is both faster and cheaper.
    pub pareto: bool,
    /// What an operator would apply.
    pub patch: Option<String>,
}

/// What the answer does when a figure is off by a fifth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// Which figure.
    pub figure: String,
    /// What the platform carries if it is 20 % lower.
    pub lower: f64,
    /// And 20 % higher.
    pub higher: f64,
}
