//! The published schema of the scenario format.

use serde_json::Value;

use crate::file::Document;

/// JSON Schema (draft 2020-12) of a scenario file. What it cannot say (that a phase which is named exists, that an
/// instant lies within the run) is checked when the file is read.
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LIBRARY;

    fn json(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn every_shipped_scenario_keeps_the_schema() {
        let schema = jsonschema::validator_for(&schema()).unwrap();
        for shipped in LIBRARY {
            let errors: Vec<_> =
                schema.iter_errors(&json(shipped.text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", shipped.name);
        }
    }

    #[test]
    fn what_breaks_the_format_breaks_the_schema() {
        let schema = jsonschema::validator_for(&schema()).unwrap();
        let smoke = crate::find("smoke").unwrap().text;
        for (case, from, to) in [
            ("an unknown key", "timeout: 10s", "timeuot: 10s"),
            ("no unit", "duration: 45s", "duration: 45"),
            ("no rate", "warm-up: 6/s", "warm-up: six"),
            ("a negative rate", "warm-up: 6/s", "warm-up: -6/s"),
            ("no such kind of phase", "kind: steady", "kind: calm"),
            ("another document", "kind: Scenario", "kind: Gate"),
            ("a path without its slash", "POST /auth/token", "POST token"),
            ("no clients", "clients: 400", "clients: 0"),
        ] {
            assert!(smoke.contains(from), "{case}: the test is out of date");
            assert!(!schema.is_valid(&json(&smoke.replacen(from, to, 1))), "{case}");
        }
    }

    /// Names of all keys that a schema has anywhere.
    fn keys(schema: &Value, all: &mut std::collections::BTreeSet<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            all.extend(properties.keys().cloned());
        }
        match schema {
            Value::Object(map) => map.values().for_each(|part| keys(part, all)),
            Value::Array(list) => list.iter().for_each(|part| keys(part, all)),
            _ => {}
        }
    }

    #[test]
    fn the_page_has_every_key_and_its_example_can_be_played() {
        let page = include_str!("../../docs/scenarios.md");
        let mut all = std::collections::BTreeSet::new();
        keys(&schema(), &mut all);
        let words: std::collections::BTreeSet<&str> = page.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let missing: Vec<_> = all.iter().filter(|key| !words.contains(key.as_str())).collect();
        assert!(all.len() > 50 && missing.is_empty(), "docs/scenarios.md does not tell of {missing:?}");
        let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        crate::Scenario::parse(example, "docs/scenarios.md").unwrap_or_else(|error| panic!("{error}"));
    }
}
