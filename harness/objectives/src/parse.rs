//! From YAML documents to objectives.

use record::PhaseKind;
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};
use units::Nanos;

use crate::document::{Gate, Head, Query, Slo};
use crate::error::nearest;
use crate::{Objective, ObjectiveError};

/// How sure a verdict must be where no gate says so.
const CONFIDENCE: f64 = 0.95;
const SOURCE: &str = "rehearse/source";
const WINDOW: &str = "rehearse/window";
const OVERRULED: &str = "rehearse/overruled";

/// Reads every `SLO` and `Gate` of `text`. `file` is how messages call it.
///
/// # Errors
/// On unknown keys, impossible values, and gates that name no SLO of the same text; each with `file:line`.
pub fn parse(text: &str, file: &str) -> Result<Vec<Objective>, ObjectiveError> {
    let mut objectives: Vec<Objective> = Vec::new();
    let mut gates: Vec<Gate> = Vec::new();
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
            (_, "SLO") => {
                return Err(reader.impossible("apiVersion", &head.api_version, "an SLO is of openslo/v1"));
            }
            (_, "Gate") => {
                return Err(reader.impossible("apiVersion", &head.api_version, "a Gate is of rehearse/v1"));
            }
            _ => return Err(reader.impossible("kind", &head.kind, "write SLO (openslo/v1) or Gate (rehearse/v1)")),
        }
    }
    for gate in gates {
        reader.apply(&gate, &mut objectives)?;
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
            let known = [SOURCE, WINDOW, OVERRULED].map(str::to_owned);
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
        for metric in [&ratio.good, &ratio.total] {
            let kind = &metric.metric_source.kind;
            if kind.value != "harness" {
                return Err(self.impossible("metricSource.type", kind, "only `harness` is measured here"));
            }
        }
        let (good, total) = (&ratio.good.metric_source.spec, &ratio.total.metric_source.spec);
        let limit = self.limit(good)?;
        if total.metric.value != "requests" {
            return Err(self.impossible("total.metric", &total.metric, "the total is of `requests`"));
        }
        if let Some(le) = &total.le {
            return Err(self.impossible("total.le", le, "the total counts every request; put the limit on `good`"));
        }
        let flow = self.flow(good)?;
        if self.flow(total)? != flow {
            return Err(self.impossible("total.where", &total.filter, "good and total must look at the same flow"));
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
            flow,
            limit,
            target: target.target.value,
            window: self.window(slo)?,
            source: annotation(SOURCE).unwrap_or_else(|| self.place(slo.metadata.name.referenced)),
            gating: false,
            confidence: CONFIDENCE,
            phases: vec![PhaseKind::Steady],
            note: annotation(OVERRULED),
        })
    }

    fn limit(&self, good: &Query) -> Result<Option<Nanos>, ObjectiveError> {
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

    fn flow(&self, query: &Query) -> Result<String, ObjectiveError> {
        let flow = query.filter.value.strip_prefix("flow=").map(str::trim).filter(|flow| !flow.is_empty());
        flow.map(str::to_owned).ok_or_else(|| self.impossible("where", &query.filter, "write `flow=NAME`"))
    }

    /// The annotation rules over `timeWindow`: it may name a window that OpenSLO cannot write.
    fn window(&self, slo: &Slo) -> Result<Option<String>, ObjectiveError> {
        let windows = slo.spec.time_window.iter().map(|window| &window.duration);
        let Some(window) = slo.metadata.annotations.get(WINDOW).into_iter().chain(windows).next() else {
            return Ok(None);
        };
        // OpenSLO v1, duration-shorthand.
        let number = window.value.trim_end_matches(['s', 'm', 'h', 'd', 'w', 'M', 'Q', 'Y']);
        if window.value.len() == number.len() + 1 && number.parse::<u32>().is_ok_and(|n| n > 0) {
            Ok(Some(window.value.clone()))
        } else {
            Err(self.impossible("duration", window, "write a count above 0 and a unit, such as 10m or 30d"))
        }
    }

    fn apply(&self, gate: &Gate, objectives: &mut [Objective]) -> Result<(), ObjectiveError> {
        let spec = &gate.spec;
        if let Some(confidence) = spec.confidence.as_ref().filter(|c| !(c.value > 0.5 && c.value < 1.0)) {
            return Err(self.impossible("confidence", confidence, "it lies above 0.5 and below 1, such as 0.95"));
        }
        if let Some(phases) = spec.phases.as_ref().filter(|phases| phases.value.is_empty()) {
            let (place, found) = (self.place(phases.referenced), "[]".into());
            return Err(ObjectiveError::Impossible { place, what: "phases", found, rule: "name at least one kind" });
        }
        for name in &spec.slos {
            let known: Vec<String> = objectives.iter().map(|o| o.name.clone()).collect();
            let Some(objective) = objectives.iter_mut().find(|o| o.name == name.value) else {
                return Err(ObjectiveError::NoSuchSlo {
                    place: self.place(name.referenced),
                    name: name.value.clone(),
                    nearest: nearest(&name.value, &known),
                    known,
                });
            };
            if objective.gating {
                let place = self.place(name.referenced);
                return Err(ObjectiveError::Twice { place, name: name.value.clone(), claim: "gated" });
            }
            objective.gating = true;
            objective.confidence = spec.confidence.as_ref().map_or(CONFIDENCE, |c| c.value);
            if let Some(phases) = &spec.phases {
                objective.phases.clone_from(&phases.value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
