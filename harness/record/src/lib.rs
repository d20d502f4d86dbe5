//! The run-folder contract: what a rehearsal leaves behind, whoever played it.
//!
//! Owns the observation frame, the recorder that turns observations into cells, the event vocabulary, the files of
//! a run folder and the exit codes. Says nothing about how a run is judged (`reports`) or played (`simulation`,
//! `stage`). Files are only ever added to; a newer reader opens an older folder.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `run.json` | what was asked: scenario, platform, seed, versions | before anything starts |
//! | `begun.json` | what else it takes to tell the run; gone when `result.json` is there | before anything starts |
//! | `events.jsonl` | one [`Event`] a line, with its reason | as it happens |
//! | `intervals.hlog` | HdrHistogram interval log, one line per second and step | every second |
//! | `comparison.json` | [`Comparison`]: against another run, another platform or the accepted baseline | where there is one |
//! | `observations.bin` | every observation as the driver framed it; live runs only, and gone when `result.json` is there | every second |
//! | `result.json` | [`RunResult`]: no clock, no machine; same seed, same bytes in virtual time | at the end |
//! | `environment.json` | the machine, the wall clock | at the end |
//! | `replications.json` | [`Replications`]: many seeds, instead of all of the above but `run.json` | at the end |

mod alert;
mod capacity;
mod chart;
mod chronicle;
mod comparison;
mod deflate;
mod event;
mod exit;
mod folder;
mod histogram;
mod listener;
mod observation;
mod observed;
mod recorder;
mod release;
mod replications;
mod result;
mod sample;
mod shard;
/// The tokens that rehearsed clients carry.
pub mod token;
mod verdict;
mod wall;
mod watch;
mod window;
/// The headers that rehearsed requests carry.
pub mod wire;

pub use alert::{AlertPeak, AlertRehearsal, AlertResult, AlertSpell, AlertVerdict};
pub use capacity::{
    Answered, BoundTold, Capacity, CapacityAnswer, CapacityPart, CapacityPlan, CapacityStep, Climbs, Confirmed,
    Footing, FrontierPoint, Growth, Loss, Motion, NotConfirmed, Rung, ScaleDelay, Sensitivity, TargetTold, Users,
};
pub use chart::{Demand, FaultResult, Happening, LostRequest, ScalingResult, StepCurve};
pub use chronicle::Chronicle;
pub use comparison::{
    Change, Compared, Comparison, ComparisonKind, ComparisonRow, Control, PolicyRow, Side, VerdictChange,
};
pub use event::{Event, EventKind, MetricReading, NodeState, ScalingCondition, ScalingDecision};
pub use exit::ExitCode;
pub use folder::{FolderError, RunFolder, Unfinished};
pub use listener::{Deaf, DriverState, Listener, Second};
pub use observation::{Cause, Hops, Observation, ObservationError, StepId};
pub use observed::{Limit, Observed};
pub use recorder::{PodCounts, Recorder, RecorderPlan, Recording, StepHistogram, StepPlan, interval_tag};
pub use release::{Adversary, DrillArm, DrillResult, ManifestChange, ReleasePlan};
pub use replications::{ReplicatedArm, ReplicatedObjective, Replication, Replications, Spread};
pub use result::{
    Asked, Check, Conclusion, Environment, Expected, Finding, Judged, Look, Origin, Percentile, PhaseKind, PhaseSpan,
    PlatformStamp, PodResult, Quantiles, RunResult, ScenarioStamp, Spell, StandIn, StepResult, TimeSplit, Timeline,
    Window, WorkloadPoint, WorkloadSeries, schema,
};
pub use sample::Sample;
pub use shard::{Shard, ShardError};
pub use verdict::{Budget, Claim, Judgement, Measure, NotJudged, Verdict, VerdictPart, Worst};
pub use watch::{Bad, Block, CellCounts, Watch, WatchCounts};
