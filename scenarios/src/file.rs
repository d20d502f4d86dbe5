//! The scenario file as written. What stands here is the format: its schema is derived from these types, and their
//! words are read where they stand.

mod fault;

use std::collections::BTreeMap;

use record::{Cause, PhaseKind};
use schemars::JsonSchema;
use serde::Deserialize;
use units::{Distribution, Nanos, Rate};

use crate::word::{At, Condition, Factor, Moment, Percent, RequestLine, Shape, Span, Statuses, That};
use crate::{ArrivalLaw, Bounds, Door, Payload};

pub(crate) use fault::FaultFile;

/// A rehearsal scenario.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, rename = "Scenario")]
pub(crate) struct Document {
    /// `rehearse/v1`.
    pub(crate) api_version: At<Version>,
    /// `Scenario`.
    pub(crate) kind: At<Kind>,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

macro_rules! fixed {
    ($name:ident, $word:literal) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub(crate) struct $name;
        impl crate::word::Word for $name {
            fn read(text: &str) -> Result<Self, String> {
                let begins = "a scenario begins with `apiVersion: rehearse/v1` and `kind: Scenario`";
                if text == $word { Ok(Self) } else { Err(format!("`{text}`: {begins}")) }
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"type": "string", "const": $word})
            }
        }
    };
}
fixed!(Version, "rehearse/v1");
fixed!(Kind, "Scenario");

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// Name of the scenario, as reports show it.
    pub(crate) name: At<String>,
    /// The one question that it answers.
    pub(crate) question: At<String>,
}

/// What is played.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Virtual host of every request that does not name its own.
    pub(crate) host: At<String>,
    /// When a client gives up waiting for an answer.
    pub(crate) timeout: At<Span>,
    /// Stretches of time, one after the other.
    pub(crate) phases: Vec<PhaseFile>,
    /// What users do, by name.
    pub(crate) journeys: BTreeMap<String, JourneyFile>,
    /// How many of them come, and when.
    pub(crate) load: Vec<LoadFile>,
    /// How much of the load an overlay takes that is smaller than the one which the load is sized for, by its name.
    #[serde(default)]
    pub(crate) scale: BTreeMap<String, At<Percent>>,
    /// What goes wrong meanwhile.
    #[serde(default)]
    pub(crate) faults: Vec<FaultFile>,
    /// What the scenario provokes on purpose, and what must be true of it.
    #[serde(default)]
    pub(crate) expect: Vec<ExpectFile>,
    /// What the gateway is held to, request by request and apart from the load.
    #[serde(default)]
    pub(crate) contract: Vec<ClauseFile>,
    /// Objectives of its own, which decide beside the documented ones: lines such as `p95 < 500ms for core`.
    #[serde(default)]
    pub(crate) objectives: Vec<At<String>>,
    /// When the run is given up early.
    #[serde(default)]
    pub(crate) abort: Option<AbortFile>,
}

/// One request, and what its client must be told.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ClauseFile {
    /// Its name.
    pub(crate) name: At<String>,
    /// Method and path.
    pub(crate) request: At<RequestLine>,
    /// Its virtual host.
    #[serde(default)]
    pub(crate) host: Option<At<String>>,
    /// Where it enters: a gateway pod if left out, or the ingress controller in front.
    #[serde(default)]
    pub(crate) at: Option<At<Door>>,
    /// Headers that it carries.
    #[serde(default)]
    pub(crate) send: BTreeMap<String, At<String>>,
    /// What it carries.
    #[serde(default)]
    pub(crate) payload: Option<At<Payload>>,
    /// It shows a client's token.
    #[serde(default)]
    pub(crate) token: Option<At<bool>>,
    /// The status of the answer.
    pub(crate) status: At<Statuses>,
    /// First name of the server block that takes it.
    #[serde(default)]
    pub(crate) server: Option<At<String>>,
    /// The location that takes it, as nginx's configuration writes it.
    #[serde(default)]
    pub(crate) location: Option<At<String>>,
    /// Headers of the answer.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, At<String>>,
    /// Headers that the answer does not have.
    #[serde(default)]
    pub(crate) lacks: Vec<At<String>>,
}

/// A stretch of time.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct PhaseFile {
    /// Its name.
    pub(crate) name: At<String>,
    /// Objectives judge steady phases only; a probe is judged by the scenario's own expectations.
    pub(crate) kind: At<PhaseKind>,
    /// How long it is.
    pub(crate) duration: At<Span>,
}

/// Steps, one after the other. Whoever is not served leaves.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct JourneyFile {
    /// The flow that objectives judge its requests by, such as `core`.
    pub(crate) flow: At<String>,
    /// Virtual host of its steps.
    #[serde(default)]
    pub(crate) host: Option<At<String>>,
    /// How long the user thinks before every step but the first.
    #[serde(default)]
    pub(crate) think: Option<At<Distribution>>,
    /// Its steps.
    pub(crate) steps: Vec<StepFile>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct StepFile {
    /// Its name, unique in the scenario.
    pub(crate) name: At<String>,
    /// Method and path.
    pub(crate) request: At<RequestLine>,
    /// How often it is made in a row; once if left out.
    #[serde(default)]
    pub(crate) times: Option<At<u32>>,
    /// Its virtual host.
    #[serde(default)]
    pub(crate) host: Option<At<String>>,
    /// How long the user thinks before it.
    #[serde(default)]
    pub(crate) think: Option<At<Distribution>>,
    /// The statuses that are a success; everything below 400 if left out.
    #[serde(default)]
    pub(crate) expect: Option<At<Statuses>>,
    /// The documented limit of its response time.
    #[serde(default)]
    pub(crate) limit: Option<At<Span>>,
    /// What it carries.
    #[serde(default)]
    pub(crate) payload: Option<At<Payload>>,
}

/// A source of load: open with `rate` or `replay`, closed with `users`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct LoadFile {
    /// The journey that is taken.
    #[serde(default)]
    pub(crate) journey: Option<At<String>>,
    /// Or several journeys and their shares, which sum up to 100 %.
    #[serde(default)]
    pub(crate) mix: Option<BTreeMap<String, At<Percent>>>,
    /// Sessions that begin per second, by phase; a phase that is not named has none.
    #[serde(default)]
    pub(crate) rate: Option<BTreeMap<String, At<Shape<Rate>>>>,
    /// How arrivals are spread at that rate; `poisson` if left out.
    #[serde(default)]
    pub(crate) arrivals: Option<At<ArrivalLaw>>,
    /// Sessions that begin at recorded instants.
    #[serde(default)]
    pub(crate) replay: Option<ReplayFile>,
    /// Users who come back when they have been served, by phase; a phase that is not named has none.
    #[serde(default)]
    pub(crate) users: Option<BTreeMap<String, At<Shape<u32>>>>,
    /// How long such a user rests before the next session.
    #[serde(default)]
    pub(crate) think: Option<At<Distribution>>,
    /// How many client addresses the sessions come from: 1 is one address for everybody. One for each user if left
    /// out; needed for open load.
    #[serde(default)]
    pub(crate) clients: Option<At<u32>>,
    /// What clients do that were not served.
    #[serde(default)]
    pub(crate) retry: Option<RetryFile>,
}

/// Recorded instants: `times`, or a `file` with one a line.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ReplayFile {
    /// Instants counted from `at`.
    #[serde(default)]
    pub(crate) times: Option<Vec<At<Nanos>>>,
    /// A file beside the scenario: one instant a line, as a duration or in seconds. Counted from its first line.
    #[serde(default)]
    pub(crate) file: Option<At<String>>,
    /// When the replay begins; with the load if left out.
    #[serde(default)]
    pub(crate) at: Option<At<Moment>>,
}

/// What clients do that were not served: they ask again.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct RetryFile {
    /// Attempts in all, the first one included.
    pub(crate) attempts: At<u32>,
    /// After which failures.
    pub(crate) on: Vec<At<Cause>>,
    /// How long they wait before the second attempt.
    pub(crate) backoff: At<Nanos>,
    /// By how much the wait grows from attempt to attempt; 1 if left out.
    #[serde(default)]
    pub(crate) factor: Option<At<Factor>>,
    /// The wait never grows beyond this; a minute if left out.
    #[serde(default)]
    pub(crate) max: Option<At<Span>>,
    /// Draw each wait between nothing and its length; no if left out.
    #[serde(default)]
    pub(crate) jitter: Option<At<bool>>,
}

/// When a run is given up.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct AbortFile {
    /// What is seen in a second of the run.
    pub(crate) when: At<Condition>,
    /// For how long in a row, in whole seconds.
    pub(crate) r#for: At<Span>,
}

/// One thing that must be true.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ExpectFile {
    /// What it is about. `answered`, `rejected` and `failed` count requests, and `failed` leaves out the rejected ones.
    pub(crate) that: At<That>,
    /// Which flow, journey's step or, of replicas, workload. All requests if left out.
    #[serde(default)]
    pub(crate) of: Option<At<String>>,
    /// In which phase.
    #[serde(default)]
    pub(crate) r#in: Option<At<String>>,
    /// While which fault lasts.
    #[serde(default)]
    pub(crate) during: Option<At<String>>,
    /// From the beginning of which fault on.
    #[serde(default)]
    pub(crate) after: Option<At<String>>,
    /// How many requests, or which share of them.
    #[serde(default)]
    pub(crate) is: Option<At<Bounds>>,
    /// How many replicas are ready.
    #[serde(default)]
    pub(crate) reaches: Option<At<u32>>,
    /// How soon.
    #[serde(default)]
    pub(crate) within: Option<At<Span>>,
}
