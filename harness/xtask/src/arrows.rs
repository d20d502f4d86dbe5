//! The architecture's arrows: which of our crates may use which. Pure, from the answer of `cargo metadata`.
//!
//! A crate that is not in the table is a finding, so that a new one has to take its place. Development dependencies
//! are free: a test may reach for whatever proves the point.

use anyhow::{Context, Result};
use serde_json::Value;

/// What a crate may use. The order is that of the layers: nothing points down.
const ALLOWED: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("testing", &[]),
    ("clock", &["units"]),
    ("record", &["units"]),
    ("objectives", &["units", "record"]),
    ("platform", &["units"]),
    ("alerts", &["platform", "record", "units"]),
    ("manifests", &["platform", "units"]),
    ("manifests-fuzz", &["manifests"]),
    ("cluster", &["platform", "record", "units"]),
    ("gateway", &["platform", "units"]),
    ("model", &["units"]),
    ("server", &["clock", "model", "record", "units"]),
    ("scenarios", &["cluster", "platform", "model", "gateway", "record", "units"]),
    ("lint", &["gateway", "manifests", "platform", "record", "units"]),
    ("simulation", &["alerts", "cluster", "gateway", "model", "platform", "scenarios", "record", "units"]),
    ("driver", &["clock", "scenarios", "record", "units"]),
    (
        "stage",
        &[
            "alerts",
            "clock",
            "cluster",
            "gateway",
            "model",
            "server",
            "driver",
            "scenarios",
            "platform",
            "record",
            "units",
        ],
    ),
    ("containers", &["clock", "cluster", "model", "platform", "record", "scenarios", "stage", "units"]),
    (
        "kubernetes",
        &["alerts", "clock", "cluster", "containers", "server", "platform", "record", "scenarios", "stage", "units"],
    ),
    ("reports", &["record", "objectives", "units"]),
    ("comparison", &["record", "units"]),
    ("planning", &["units", "platform", "model", "scenarios", "simulation", "objectives", "reports", "record"]),
    (
        "rehearse",
        &[
            "units",
            "clock",
            "record",
            "objectives",
            "platform",
            "alerts",
            "manifests",
            "cluster",
            "gateway",
            "model",
            "server",
            "scenarios",
            "simulation",
            "driver",
            "stage",
            "kubernetes",
            "reports",
            "planning",
            "comparison",
            "containers",
            "lint",
        ],
    ),
    ("xtask", &["testing"]),
];

/// Every arrow that the table does not allow, in words; `metadata` is what `cargo metadata --no-deps` answers.
pub(crate) fn findings(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            findings.push(format!(
                "{name} has no place in the architecture: add it, with what it may use, to ALLOWED in \
                 harness/xtask/src/arrows.rs and to ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().context("a dependency has no name")?;
            let ours = dependency["path"].is_string() || names.contains(&used);
            if ours && dependency["kind"] != "dev" && !allowed.contains(&used) {
                let may = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
                findings.push(format!(
                    "{name} uses {used} and may use {may}: move what it needs to a lower layer, or pass it in"
                ));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(name, kind)| json!({"name": name, "kind": kind, "path": format!("harness/{name}")}))
            .collect();
        json!({"name": name, "dependencies": dependencies})
    }

    #[test]
    fn an_arrow_outside_the_table_is_found() {
        let none = Value::Null;
        for (case, package, want) in [
            ("allowed", package("clock", &[("units", none.clone())]), None),
            (
                "down",
                package("units", &[("clock", none.clone())]),
                Some("units uses clock and may use none of our crates"),
            ),
            ("sideways", package("gateway", &[("cluster", none.clone())]), Some("gateway uses cluster and may use")),
            ("for a build script", package("model", &[("clock", json!("build"))]), Some("model uses clock")),
            ("for tests", package("units", &[("testing", json!("dev"))]), None),
            ("test support in the product", package("gateway", &[("testing", none)]), Some("gateway uses testing")),
            ("a crate without a place", package("helpers", &[]), Some("helpers has no place")),
        ] {
            let findings = findings(&json!({"packages": [package]})).unwrap();
            match want {
                None => assert!(findings.is_empty(), "{case}: {findings:?}"),
                Some(want) => assert!(findings.len() == 1 && findings[0].starts_with(want), "{case}: {findings:?}"),
            }
        }
    }

    #[test]
    fn crates_of_others_are_free() {
        let serde = json!({"name": "serde", "kind": null, "path": null});
        let metadata = json!({"packages": [{"name": "units", "dependencies": [serde]}]});
        assert_eq!(findings(&metadata).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_table_itself_points_one_way() {
        let place = |name: &str| ALLOWED.iter().position(|(known, _)| *known == name);
        for (name, allowed) in ALLOWED {
            for used in *allowed {
                assert!(place(used).is_some() && place(used) < place(name), "{name} uses {used}");
            }
        }
    }
}
