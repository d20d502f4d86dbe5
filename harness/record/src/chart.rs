//! What charts and cards need beyond the verdicts: what a fault did, how an autoscaler answered, how far a step reaches.
//!
//! Instants are microseconds since the run's epoch, as everywhere in a result.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cause, StepId};

/// Response times of one step over the judged phases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepCurve {
    /// Flow it belongs to.
    pub flow: String,
    /// Step name.
    pub step: String,
    /// Requests that succeeded.
    pub n: u64,
    /// Percent and microseconds, both ascending.
    pub points: Vec<(f64, u64)>,
}

/// What load costs a workload, and what one of its replicas gives at the autoscaler's CPU target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Workload.
    pub workload: String,
    /// CPU that a replica may use at the target, microseconds a second.
    pub replica_us_per_s: u64,
    /// CPU of one request of each step there, microseconds, by step.
    pub step_us: Vec<u64>,
}

/// One request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostRequest {
    /// When it was due.
    pub intended_us: u64,
    /// When that was known.
    pub done_us: u64,
    /// Index of its step in [`crate::Timeline::steps`].
    pub step: StepId,
    /// Why.
    pub cause: Cause,
}

/// Something that happened on the platform and that a timeline marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Happening {
    /// When.
    pub at_us: u64,
    /// What, in words.
    pub what: String,
}

/// What a fault did to the load, and what the platform did about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultResult {
    /// Its name in the scenario.
    pub fault: String,
    /// What happens, in words.
    pub what: String,
    /// When it began.
    pub began_us: u64,
    /// When what it did was undone; `None` for one that lasts, or whose act nothing undoes.
    pub ended_us: Option<u64>,
    /// Until when its effect is looked for: the next fault, or the end of load.
    pub until_us: u64,
    /// The first thing that the platform did about it.
    pub detected_us: Option<u64>,
    /// What that was, in words.
    pub detected_by: Option<String>,
    /// When the last request was due that it cost; `None` if it cost none.
    pub failed_over_us: Option<u64>,
    /// Whether requests still failed when the time to look at it was over.
    pub still_failing: bool,
    /// When as many pods were ready as are wanted, if some were missing; `None` if that did not come about.
    pub recovered_us: Option<u64>,
    /// The greatest number of pods that were wanted and not ready meanwhile.
    pub pods_missing: u32,
    /// Requests that were due while it cost some.
    pub due: u64,
    /// Of them lost, by cause; rejects by a rate limiter are none of its.
    pub lost: BTreeMap<Cause, u64>,
    /// Requests that failed after that, until the time to look at it was over.
    #[serde(default)]
    pub lost_later: u64,
    /// How long the judged flow's p95 was over the limit while it is looked at, microseconds.
    pub over_limit_us: u64,
    /// Share of a month's error budget that the lost requests cost, at the rate of this run.
    pub month_share: Option<f64>,
    /// The objective whose budget that is.
    pub priced_by: Option<String>,
}

/// How a workload was scaled up, and whether that was enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalingResult {
    /// Workload.
    pub workload: String,
    /// Its autoscaler.
    pub autoscaler: String,
    /// Ready replicas before.
    pub from: u32,
    /// The most that were wanted.
    pub to: u32,
    /// When the load began to need more than was ready, beyond the autoscaler's tolerance; `None` if it never did.
    pub breach_us: Option<u64>,
    /// When the autoscaler first asked for more.
    pub decided_us: Option<u64>,
    /// When a first new pod's containers ran.
    pub started_us: Option<u64>,
    /// When the first new pod was ready.
    pub first_ready_us: Option<u64>,
    /// When as many were ready as were ever wanted.
    pub all_ready_us: Option<u64>,
    /// What the load needed at most, thousandths of a replica.
    pub peak_needed_milli: u32,
    /// Needed and not ready, summed over time: thousandths of a replica-second.
    pub unserved_milli: u64,
    /// Replicas wanted beyond what the load ever needed.
    pub overshoot: u32,
    /// How often it turned round from up to down or from down to up.
    pub turns: u32,
}
