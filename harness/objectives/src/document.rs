//! The documents as they are written. Only the keys that mean something to us exist; any other is refused.
//!
//! Source: OpenSLO v1 specification, objects `SLO` and `SLI` (inline form); `Gate` and `Claims` are ours.

use std::collections::BTreeMap;

use record::PhaseKind;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// What every document begins with. The rest is read once the kind is known.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    pub(crate) api_version: Spanned<String>,
    pub(crate) kind: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Slo {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: SloSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) name: Spanned<String>,
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, Spanned<String>>,
    #[serde(default, rename = "labels")]
    _labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SloSpec {
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "service")]
    _service: Option<String>,
    pub(crate) indicator: Indicator,
    #[serde(default)]
    pub(crate) time_window: Vec<TimeWindow>,
    pub(crate) budgeting_method: Option<Spanned<String>>,
    pub(crate) objectives: Spanned<Vec<Target>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Indicator {
    #[serde(rename = "metadata")]
    _metadata: Option<Metadata>,
    pub(crate) spec: IndicatorSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IndicatorSpec {
    pub(crate) ratio_metric: RatioMetric,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RatioMetric {
    #[serde(rename = "counter")]
    _counter: Option<bool>,
    pub(crate) good: Option<Metric>,
    pub(crate) bad: Option<Metric>,
    pub(crate) total: Metric,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) metric_source: MetricSource,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricSource {
    #[serde(rename = "type")]
    pub(crate) kind: Spanned<String>,
    pub(crate) spec: Query,
}

/// What our own metric source understands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) metric: Spanned<String>,
    pub(crate) le: Option<Spanned<String>>,
    pub(crate) is: Option<Spanned<String>>,
    #[serde(rename = "where")]
    pub(crate) filter: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TimeWindow {
    pub(crate) duration: Spanned<String>,
    #[serde(rename = "isRolling")]
    _is_rolling: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) display_name: Option<String>,
    pub(crate) target: Spanned<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Gate {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "metadata")]
    _metadata: Metadata,
    pub(crate) spec: GateSpec,
}

/// What OpenSLO cannot say: what decides, how sure it must be, when it is looked at, and in which scenarios.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateSpec {
    #[serde(default)]
    pub(crate) slos: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) require: Vec<Requirement>,
    pub(crate) confidence: Option<Spanned<f64>>,
    pub(crate) phases: Option<Spanned<Vec<PhaseKind>>>,
    /// `outside`, the default, or `include`.
    pub(crate) faults: Option<Spanned<String>>,
    /// In which scenarios alone; in all of them where it is left out.
    #[serde(default)]
    pub(crate) scenarios: Vec<String>,
}

/// A one-liner with what a document would say about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requirement {
    pub(crate) that: Spanned<String>,
    pub(crate) name: Spanned<String>,
    pub(crate) title: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) note: Option<String>,
}

/// What documents say about one objective, each in its way.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Claims {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: ClaimsSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimsSpec {
    pub(crate) claims: Vec<Stated>,
}

/// One figure of one document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stated {
    pub(crate) figure: Spanned<String>,
    pub(crate) source: String,
    pub(crate) kind: Spanned<crate::resolver::Kind>,
    /// Under which other conditions it is meant, if it is.
    pub(crate) when: Option<String>,
}
