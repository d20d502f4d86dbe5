//! Rule files as Prometheus reads them (`model/rulefmt`).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::promql::{Expr, ParseError, duration, parse};

/// A group of rules, evaluated one after the other.
#[derive(Clone, Debug)]
pub struct Group {
    /// The file it is in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How often, milliseconds; `None`: as the global configuration says.
    pub interval: Option<i64>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it makes.
    pub kind: Kind,
    /// As written.
    pub text: String,
    /// As read; a text that cannot be is the reason why the rule is never evaluated.
    pub expr: Result<Expr, ParseError>,
    /// Labels that it sets.
    pub labels: BTreeMap<String, String>,
    /// Annotations of an alert.
    pub annotations: BTreeMap<String, String>,
}

/// What a rule makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A series of this name.
    Record(String),
    /// An alert.
    Alert {
        /// Its name.
        name: String,
        /// `for`, milliseconds.
        hold: i64,
        /// `keep_firing_for`, milliseconds.
        keep: i64,
    },
}

impl Rule {
    /// Its name.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Record(name) | Kind::Alert { name, .. } => name,
        }
    }
}

/// Whether series of this name are made by evaluating rules.
pub fn makes(groups: &[Group], name: &str) -> bool {
    let records = |rule: &Rule| matches!(&rule.kind, Kind::Record(record) if record == name);
    matches!(name, "ALERTS" | "ALERTS_FOR_STATE") || groups.iter().flat_map(|group| &group.rules).any(records)
}

/// How far back some rules look, milliseconds; `None`: at an instant that stays where it is.
pub fn reach(groups: &[Group]) -> Option<i64> {
    let exprs = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.expr.as_ref().ok());
    exprs.map(Expr::reach).try_fold(0, |most, reach| Some(reach?.max(most)))
}

/// Why a rule file cannot be used. Prometheus would not start with it.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is no rule file.
    #[error("{file} is no file of Prometheus rules: {message}")]
    File {
        /// Which.
        file: String,
        /// Why, with the place.
        message: String,
    },
    /// A rule says what cannot be.
    #[error("{file}, group {group}, rule {rule}: {message}")]
    Rule {
        /// Which file.
        file: String,
        /// Which group.
        group: String,
        /// Which rule: its name, or its number in the group.
        rule: String,
        /// What.
        message: String,
    },
}

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
struct RawGroup {
    name: String,
    interval: Option<String>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
struct RawRule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads the text of a rule file; `file` is what errors call it.
pub fn read(file: &str, text: &str) -> Result<Vec<Group>, RulesError> {
    let raw: RawFile = serde_saphyr::from_str(text)
        .map_err(|error| RulesError::File { file: file.into(), message: error.to_string() })?;
    raw.groups.iter().map(|group| of_group(file, group)).collect()
}

fn of_group(file: &str, raw: &RawGroup) -> Result<Group, RulesError> {
    let refuse = |rule: &str, message: String| RulesError::Rule {
        file: file.into(),
        group: raw.name.clone(),
        rule: rule.into(),
        message,
    };
    let span = |rule: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => {
            duration(text).map(Some).ok_or_else(|| refuse(rule, format!("`{text}` is no duration such as 5m")))
        }
    };
    let mut rules = Vec::new();
    for (index, rule) in raw.rules.iter().enumerate() {
        let kind = match (&rule.record, &rule.alert) {
            (Some(name), None) => Kind::Record(name.clone()),
            (None, Some(name)) => Kind::Alert {
                name: name.clone(),
                hold: span(name, &rule.hold)?.unwrap_or(0),
                keep: span(name, &rule.keep_firing_for)?.unwrap_or(0),
            },
            _ => return Err(refuse(&(index + 1).to_string(), "one of `record` and `alert` must be set".into())),
        };
        rules.push(Rule {
            kind,
            text: rule.expr.trim().into(),
            expr: parse(&rule.expr),
            labels: rule.labels.clone(),
            annotations: rule.annotations.clone(),
        });
    }
    Ok(Group { file: file.into(), interval: span("", &raw.interval)?, name: raw.name.clone(), rules })
}
