//! Our answer to a case, in the oracle's words.

use cluster::ClusterConfig;
use cluster::Release;
use cluster::hpa::series::{Record, Series, Synced};
use serde_json::{Value, json};

/// Plays a case by our rules.
pub(crate) fn answer(case: &Value, release: Release) -> Value {
    let text = case["hpa"].to_string();
    let declared = read(&text).unwrap_or_else(|why| panic!("{why}\n{case}"));
    let records: Vec<Record> = serde_json::from_value(case["records"].clone()).unwrap();
    let series = Series::of(records, "case").unwrap();
    let config = ClusterConfig { kubernetes: release, ..ClusterConfig::default() };
    let respec = |spec: &Value| {
        let mut whole = case["hpa"].clone();
        whole["spec"] = spec.clone();
        read(&whole.to_string())
    };
    let synced = series.play(&declared, None, &config, &respec).unwrap_or_else(|why| panic!("{why}\n{case}"));
    Value::Array(synced.iter().map(told).collect())
}

fn read(text: &str) -> Result<platform::Autoscaler, String> {
    let mut all = manifests::autoscalers(text, "case").map_err(|error| error.to_string())?;
    Ok(all.remove(0))
}

/// One sync as the oracle tells it.
fn told(synced: &Synced) -> Value {
    let decision = &synced.decision;
    let metric = |reading: &record::MetricReading| {
        let mut told = serde_json::Map::new();
        if let (Some(value), "%") = (reading.value, reading.unit.as_str()) {
            told.insert("utilization".to_owned(), json!(value));
        }
        if let Some(milli) = reading.average_milli {
            told.insert("milli".to_owned(), json!(milli));
        }
        Value::Object(told)
    };
    let conditions = serde_json::to_value(&decision.conditions).unwrap();
    json!({
        "at": synced.at_secs,
        "current": decision.current,
        "desired": decision.desired,
        "metrics": decision.metrics.iter().map(metric).collect::<Vec<_>>(),
        "conditions": conditions,
    })
}
