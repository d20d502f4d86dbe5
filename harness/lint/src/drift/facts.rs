//! The facts file: what the platform's documents say, figure by figure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The version of the format that is read.
const FORMAT: u32 = 1;

/// A facts file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    format: u32,
    /// Documents, by the name that facts call them.
    pub sources: BTreeMap<String, String>,
    /// The figures.
    pub facts: Vec<Fact>,
    /// Drifts that somebody knows of and lives with.
    #[serde(default)]
    pub accepted: Vec<AcceptedDrift>,
    /// What pods refer to and comes from outside of the manifests.
    #[serde(default)]
    pub provided: Vec<Provided>,
}

/// One documented figure.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Stable and unique.
    pub id: String,
    /// A key of [`Facts::sources`].
    pub source: String,
    /// Where it holds.
    pub overlays: Vec<String>,
    /// What it is about.
    pub subject: Subject,
    /// The place in the subject.
    pub field: String,
    /// What the document says.
    pub value: Documented,
}

/// What a fact is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subject {
    /// A Kubernetes kind, or `nginx`, `alert`, `objective`.
    pub kind: String,
    /// Its name; `*` is every object of that kind.
    pub name: String,
    /// A container of its pods; `*` is every one.
    pub container: Option<String>,
    /// A text of a ConfigMap.
    pub key: Option<String>,
    /// nginx: `http` or `events`.
    pub block: Option<String>,
    /// nginx: a `limit_req_zone`.
    pub zone: Option<String>,
    /// nginx: a location as it is written.
    pub location: Option<String>,
    /// nginx: an upstream.
    pub upstream: Option<String>,
}

/// What a document says: exactly one of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Documented {
    /// A whole number.
    Count(i64),
    /// As Kubernetes writes it.
    Quantity(String),
    /// Of a hundred.
    Percent(f64),
    /// A bare number.
    Ratio(f64),
    /// Yes or no.
    Flag(bool),
    /// With a unit.
    Duration(String),
    /// As nginx writes it.
    Rate(String),
    /// Literally.
    Text(String),
    /// Both ends included.
    Between(Value, Value),
    /// These, in any order, and no others.
    List(Vec<Value>),
    /// Not less.
    AtLeast(Value),
    /// Not more.
    AtMost(Value),
    /// Less.
    Below(Value),
    /// The field is not there.
    Absent(bool),
}

/// A drift that somebody lives with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedDrift {
    /// The fact's id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// An object that comes from outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Provided {
    /// `Secret`, `ConfigMap` or `StorageClass`.
    pub kind: String,
    /// Its namespace; a `StorageClass` has none.
    #[serde(default)]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its keys; empty: not told.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// Why a facts file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// The YAML is broken or does not have the format.
    #[error("{file}: {reason}")]
    Parse {
        /// Which file.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// Parts do not fit.
    #[error("{file}: {what}")]
    Impossible {
        /// Which file.
        file: String,
        /// What, and what would do.
        what: String,
    },
}

impl Facts {
    /// Reads a facts file.
    pub fn parse(text: &str, file: &str) -> Result<Self, FactsError> {
        let facts: Self = serde_saphyr::from_str(text)
            .map_err(|error| FactsError::Parse { file: file.into(), reason: error.to_string() })?;
        let impossible = |what: String| Err(FactsError::Impossible { file: file.into(), what });
        if facts.format != FORMAT {
            return impossible(format!("format {} is not known: this version reads format {FORMAT}", facts.format));
        }
        let mut ids = std::collections::BTreeSet::new();
        for fact in &facts.facts {
            if !ids.insert(fact.id.as_str()) {
                return impossible(format!("two facts are called `{}`: rename one", fact.id));
            }
            if !facts.sources.contains_key(&fact.source) {
                return impossible(format!("fact `{}` has source `{}`, which is not listed", fact.id, fact.source));
            }
        }
        if let Some(entry) = facts.accepted.iter().find(|entry| !ids.contains(entry.id.as_str())) {
            let near = crate::nearest(&entry.id, ids.iter().copied());
            let hint = near.map_or(String::new(), |near| format!(": did you mean `{near}`?"));
            return impossible(format!("`accepted` names fact `{}`, which is not there{hint}", entry.id));
        }
        Ok(facts)
    }

    /// The documented figures of `SelfMonitor`, which ship with the program.
    pub fn built_in() -> Result<Self, FactsError> {
        Self::parse(include_str!("../../../../kind-config/facts.yaml"), "kind-config/facts.yaml")
    }
}
