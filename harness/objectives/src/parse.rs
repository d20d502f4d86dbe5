//! From YAML documents to objectives.

use record::{Bad, PhaseKind};
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};
use units::Nanos;

use crate::document::{Claims, Gate, Head, Query, Requirement, Slo};
use crate::error::nearest;
use crate::line::rounded;
use crate::objective::{Faults, Goal, Requests, Window};
use crate::resolver::resolve;
use crate::{Objective, ObjectiveError, line};

/// How sure a verdict must be where no gate says so.
pub(crate) const CONFIDENCE: f64 = 0.95;
const SOURCE: &str = "rehearse/source";
const WINDOW: &str = "rehearse/window";
const NOTE: &str = "rehearse/note";

/// Reads every `SLO`, `Gate` and `Claims` of `text`. `file` is how messages call it.
///
/// # Errors
/// On unknown keys, impossible values, gates that name no SLO of the same text, and figures that another document
/// overrules; each with `file:line`.
pub fn parse(text: &str, file: &str) -> Result<Vec<Objective>, ObjectiveError> {
    let mut objectives: Vec<Objective> = Vec::new();
    let mut gates: Vec<Gate> = Vec::new();
    let mut claims: Vec<Claims> = Vec::new();
    let reader = Reader { file };
    for document in documents(text) {
        let head: Head = reader.read(&document)?;
        match (head.api_version.value.as_str(), head.kind.value.as_str()) {
            ("openslo/v1", "SLO") => {
                let slo: Slo = reader.read(&document)?;
                if objectives.iter().any(|o| o.name == slo.metadata.name.value) {
                    let name = slo.metadata.name;
                    return Err(ObjectiveError::Twice {
                        place: reader.place(name.referenced),
                        name: name.value,
                        claim: "defined",
                    });
                }
                objectives.push(reader.objective(&slo)?);
            }
            ("rehearse/v1", "Gate") => gates.push(reader.read(&document)?),
            ("rehearse/v1", "Claims") => claims.push(reader.read(&document)?),
            (_, "SLO") => {
                return Err(reader.impossible("apiVersion", &head.api_version, "an SLO is of openslo/v1"));
            }
            (_, "Gate") => {
                return Err(reader.impossible("apiVersion", &head.api_version, "a Gate is of rehearse/v1"));
            }
            _ => {
                let rule = "write SLO (openslo/v1), Gate or Claims (rehearse/v1)";
                return Err(reader.impossible("kind", &head.kind, rule));
            }
        }
    }
    for gate in gates {
        reader.apply(&gate, &mut objectives)?;
    }
    for claims in claims {
        let objective = reader.named(&claims.metadata.name, &mut objectives)?;
        if !objective.claims.is_empty() {
            let name = &claims.metadata.name;
            let place = reader.place(name.referenced);
            return Err(ObjectiveError::Twice { place, name: name.value.clone(), claim: "claimed" });
        }
        objective.claims = resolve(&claims, objective, |location| reader.place(location))?;
    }
    Ok(objectives)
}

/// The documents of a stream, each with as many empty lines before it as keep its line numbers.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (index, line) in text.lines().enumerate() {
        let last = all.last_mut().expect("never empty");
        if line == "---" || line.starts_with("--- ") {
            // `---` in the first column ends a document even inside a block scalar (YAML 1.2, 9.1.2).
            all.push("\n".repeat(index + 1));
        } else {
            last.push_str(line);
            last.push('\n');
        }
    }
    let empty = |document: &String| document.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#'));
    all.retain(|document| !empty(document));
    all
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn place(&self, location: Location) -> String {
        format!("{}:{}", self.file, location.line())
    }

    fn impossible<T: ToString>(&self, what: &'static str, found: &Spanned<T>, rule: &'static str) -> ObjectiveError {
        let place = self.place(found.referenced);
        ObjectiveError::Impossible { place, what, found: found.value.to_string(), rule }
    }

    fn read<T: DeserializeOwned>(&self, document: &str) -> Result<T, ObjectiveError> {
        serde_saphyr::from_str(document).map_err(|error| {
            let error = error.without_snippet();
            let place = error.location().map_or_else(|| self.file.to_owned(), |location| self.place(location));
            if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
                let known: Vec<String> = expected.iter().map(ToString::to_string).collect();
                return ObjectiveError::UnknownKey {
                    place,
                    nearest: nearest(field, &known),
                    key: field.clone(),
                    known,
                };
            }
            ObjectiveError::Malformed { place, message: error.to_string() }
        })
    }

    fn objective(&self, slo: &Slo) -> Result<Objective, ObjectiveError> {
        let annotations = &slo.metadata.annotations;
        for (key, value) in annotations {
            let known = [SOURCE, WINDOW, NOTE].map(str::to_owned);
            if key.starts_with("rehearse/") && !known.contains(key) {
                let place = self.place(value.referenced);
                return Err(ObjectiveError::UnknownKey {
                    place,
                    nearest: nearest(key, &known),
                    key: key.clone(),
                    known: known.into(),
                });
            }
        }
        let annotation = |key: &str| annotations.get(key).map(|value| value.value.clone());
        let ratio = &slo.spec.indicator.spec.ratio_metric;
        for metric in ratio.good.iter().chain(&ratio.bad).chain([&ratio.total]) {
            let kind = &metric.metric_source.kind;
            if kind.value != "harness" {
                return Err(self.impossible("metricSource.type", kind, "only `harness` is measured here"));
            }
        }
        let total = &ratio.total.metric_source.spec;
        if total.metric.value != "requests" {
            return Err(self.impossible("total.metric", &total.metric, "the total is of `requests`"));
        }
        if let Some(le) = &total.le {
            return Err(self.impossible("total.le", le, "the total counts every request; put the limit on `good`"));
        }
        let (part, bad, limit) = match (&ratio.good, &ratio.bad) {
            (Some(good), None) => {
                let good = &good.metric_source.spec;
                let limit = self.limit(good)?;
                (good, if limit.is_some() { Bad::Late } else { Bad::Failed }, limit)
            }
            (None, Some(bad)) => {
                let bad = &bad.metric_source.spec;
                (bad, self.bad(bad)?, None)
            }
            _ => return Err(self.impossible("total.metric", &total.metric, "write either `good` or `bad` beside it")),
        };
        let requests = self.requests(part)?;
        if self.requests(total)? != requests {
            let filter = total.filter.as_ref().unwrap_or(&total.metric);
            return Err(self.impossible("total.where", filter, "both metrics must look at the same requests"));
        }
        if let Some(method) = slo.spec.budgeting_method.as_ref().filter(|method| method.value != "Occurrences") {
            return Err(self.impossible("budgetingMethod", method, "only `Occurrences` is judged here"));
        }
        let [target] = slo.spec.objectives.value.as_slice() else {
            let place = self.place(slo.spec.objectives.referenced);
            let found = slo.spec.objectives.value.len().to_string();
            let rule = "one SLO has one target; write another SLO for another target";
            return Err(ObjectiveError::Impossible { place, what: "the number of objectives", found, rule });
        };
        if !(target.target.value > 0.0 && target.target.value < 1.0) {
            return Err(self.impossible("target", &target.target, "it is a share above 0 and below 1, such as 0.95"));
        }
        let title = slo.metadata.display_name.clone().or_else(|| target.display_name.clone());
        Ok(Objective {
            title: title.unwrap_or_else(|| slo.metadata.name.value.clone()),
            name: slo.metadata.name.value.clone(),
            requests,
            goal: Goal::Share { bad, limit, allowed: rounded(1.0 - target.target.value) },
            windows: self.windows(slo)?,
            source: annotation(SOURCE).unwrap_or_else(|| self.place(slo.metadata.name.referenced)),
            claims: Vec::new(),
            gating: false,
            confidence: CONFIDENCE,
            phases: vec![PhaseKind::Steady],
            named_phases: Vec::new(),
            faults: Faults::Outside,
            scenarios: Vec::new(),
            note: annotation(NOTE),
            scope: String::new(),
        })
    }

    fn limit(&self, good: &Query) -> Result<Option<Nanos>, ObjectiveError> {
        if let Some(is) = &good.is {
            return Err(self.impossible("is", is, "it tells which status is `bad`"));
        }
        match (good.metric.value.as_str(), &good.le) {
            ("latency", Some(le)) => match le.value.parse::<Nanos>() {
                Ok(limit) if limit > Nanos::ZERO => Ok(Some(limit)),
                Ok(_) => Err(self.impossible("le", le, "no answer takes no time; write a duration such as 800ms")),
                Err(_) => Err(self.impossible("le", le, "write a duration with its unit, such as 800ms")),
            },
            ("latency", None) => {
                Err(self.impossible("good.metric", &good.metric, "latency needs a limit: add `le: 800ms`"))
            }
            ("success", None) => Ok(None),
            ("success", Some(le)) => Err(self.impossible("le", le, "success has no limit; use metric `latency`")),
            _ => Err(self.impossible("good.metric", &good.metric, "write `latency` (with `le`) or `success`")),
        }
    }

    fn bad(&self, bad: &Query) -> Result<Bad, ObjectiveError> {
        if let Some(le) = &bad.le {
            return Err(self.impossible("le", le, "what is late is not `good`: put the limit there"));
        }
        match (bad.metric.value.as_str(), &bad.is) {
            ("failed", None) => Ok(Bad::Failed),
            ("rejected", None) => Ok(Bad::Rejected),
            ("status", Some(is)) => match is.value.as_str() {
                "5xx" => Ok(Bad::Status(500, 599)),
                "4xx" => Ok(Bad::Status(400, 499)),
                text => match text.parse::<u16>().ok().filter(|status| (400..600).contains(status)) {
                    Some(status) => Ok(Bad::Status(status, status)),
                    None => Err(self.impossible("is", is, "write 5xx, 4xx or one status from 400 to 599")),
                },
            },
            ("status", None) => Err(self.impossible("bad.metric", &bad.metric, "which status? add `is: 5xx`")),
            _ => Err(self.impossible("bad.metric", &bad.metric, "write `failed`, `rejected` or `status` (with `is`)")),
        }
    }

    fn requests(&self, query: &Query) -> Result<Requests, ObjectiveError> {
        let Some(filter) = &query.filter else { return Ok(Requests::All) };
        let named = |key: &str| {
            let name = filter.value.strip_prefix(key)?.trim();
            (!name.is_empty()).then(|| name.to_owned())
        };
        let flow = named("flow=").map(Requests::Flow);
        flow.or_else(|| named("step=").map(Requests::Step))
            .ok_or_else(|| self.impossible("where", filter, "write `flow=NAME` or `step=NAME`"))
    }

    /// The annotation rules over `timeWindow`: it may name what OpenSLO cannot write, such as a long and a short one.
    fn windows(&self, slo: &Slo) -> Result<Vec<Window>, ObjectiveError> {
        let read = |text: &Spanned<String>| {
            let all: Option<Vec<Window>> = text.value.split(" and ").map(|text| Window::parse(text.trim())).collect();
            let rule = "write a count above 0 and a unit, such as 10m or 30d; at most two, joined by `and`";
            all.filter(|all| all.len() <= 2).ok_or_else(|| self.impossible("duration", text, rule))
        };
        let mut windows = match slo.metadata.annotations.get(WINDOW) {
            Some(text) => read(text)?,
            None => slo.spec.time_window.first().map_or(Ok(Vec::new()), |window| read(&window.duration))?,
        };
        windows.sort_by_key(|window| std::cmp::Reverse(window.length));
        Ok(windows)
    }

    /// The objective of a name, or what is spelled like it.
    fn named<'o>(
        &self,
        name: &Spanned<String>,
        objectives: &'o mut [Objective],
    ) -> Result<&'o mut Objective, ObjectiveError> {
        let known: Vec<String> = objectives.iter().map(|o| o.name.clone()).collect();
        objectives.iter_mut().find(|o| o.name == name.value).ok_or_else(|| ObjectiveError::NoSuchSlo {
            place: self.place(name.referenced),
            name: name.value.clone(),
            nearest: nearest(&name.value, &known),
            known,
        })
    }

    fn apply(&self, gate: &Gate, objectives: &mut Vec<Objective>) -> Result<(), ObjectiveError> {
        let spec = &gate.spec;
        if let Some(confidence) = spec.confidence.as_ref().filter(|c| !(c.value > 0.5 && c.value < 1.0)) {
            return Err(self.impossible("confidence", confidence, "it lies above 0.5 and below 1, such as 0.95"));
        }
        if let Some(phases) = spec.phases.as_ref().filter(|phases| phases.value.is_empty()) {
            let (place, found) = (self.place(phases.referenced), "[]".into());
            return Err(ObjectiveError::Impossible { place, what: "phases", found, rule: "name at least one kind" });
        }
        let faults = match spec.faults.as_ref().map(|faults| (faults, faults.value.as_str())) {
            None => None,
            Some((_, "outside")) => Some(Faults::Outside),
            Some((_, "include")) => Some(Faults::Include),
            Some((faults, _)) => return Err(self.impossible("faults", faults, "write `outside` or `include`")),
        };
        let mut gated: Vec<&Spanned<String>> = Vec::new();
        for requirement in &spec.require {
            let name = &requirement.name;
            if objectives.iter().any(|o| o.name == name.value) {
                let place = self.place(name.referenced);
                return Err(ObjectiveError::Twice { place, name: name.value.clone(), claim: "defined" });
            }
            objectives.push(self.required(requirement)?);
            gated.push(name);
        }
        for name in spec.slos.iter().chain(gated) {
            let required = spec.require.iter().any(|requirement| requirement.name.value == name.value);
            let objective = self.named(name, objectives)?;
            if objective.gating {
                let place = self.place(name.referenced);
                return Err(ObjectiveError::Twice { place, name: name.value.clone(), claim: "gated" });
            }
            objective.gating = true;
            objective.confidence = spec.confidence.as_ref().map_or(CONFIDENCE, |c| c.value);
            objective.scenarios.clone_from(&spec.scenarios);
            // A line that says when it looks knows better than the gate it stands in.
            if let Some(phases) = spec.phases.as_ref().filter(|_| !required) {
                objective.phases.clone_from(&phases.value);
            }
            if let Some(faults) = faults.as_ref().filter(|_| objective.faults == Faults::Outside) {
                objective.faults.clone_from(faults);
            }
        }
        Ok(())
    }

    fn required(&self, requirement: &Requirement) -> Result<Objective, ObjectiveError> {
        let place = self.place(requirement.that.referenced);
        let line =
            line(&requirement.that.value).map_err(|message| ObjectiveError::Line { place: place.clone(), message })?;
        Ok(Objective {
            name: requirement.name.value.clone(),
            title: requirement.title.clone().unwrap_or(line.title),
            source: requirement.source.clone().unwrap_or(place),
            note: requirement.note.clone(),
            gating: false, // until its gate is applied
            ..line
        })
    }
}

#[cfg(test)]
mod tests;
