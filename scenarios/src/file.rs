//! The scenario file as written, and how it becomes a load plan.

use std::collections::{BTreeMap, BTreeSet};

use record::{PhaseKind, StepId};
use serde::{Deserialize, Deserializer};
use units::{Distribution, Nanos, Rate, Seed};

use crate::{ArrivalLaw, JourneyPlan, LoadPlan, Phase, Segment, Step, Stream};

/// A scenario as its file states it, checked for what can be checked without a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where it was read from.
    pub file: String,
    /// Its name.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// First 12 hexadecimal digits of a hash over its text.
    pub digest: String,
    spec: Spec,
}

/// Why a scenario cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The YAML is broken, or a key or value is none that a scenario has.
    #[error("{file}: {reason}")]
    Parse {
        /// Which file.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// The parts do not fit each other.
    #[error("{file}: {what}")]
    Impossible {
        /// Which file.
        file: String,
        /// What, and what would do.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    question: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// Virtual host of every request.
    host: String,
    /// When a client gives up.
    timeout: Nanos,
    phases: Vec<PhaseFile>,
    journeys: BTreeMap<String, JourneyFile>,
    load: Vec<StreamFile>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseFile {
    name: String,
    kind: PhaseKind,
    duration: Nanos,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct JourneyFile {
    flow: String,
    #[serde(default)]
    think: Nanos,
    steps: Vec<StepFile>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    name: String,
    /// `GET /path`.
    request: String,
    #[serde(default = "once")]
    times: u16,
}

const fn once() -> u16 {
    1
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamFile {
    journey: String,
    #[serde(default)]
    arrivals: ArrivalLaw,
    clients: u32,
    /// Rate by phase; a phase that is not named has none.
    rate: BTreeMap<String, Ramp>,
}

/// `8/s`, or `8/s to 20/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ramp {
    from: Rate,
    to: Rate,
}

impl<'de> Deserialize<'de> for Ramp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parse = |part: &str| part.trim().parse::<Rate>().map_err(serde::de::Error::custom);
        match text.split_once(" to ") {
            Some((first, second)) => Ok(Self { from: parse(first)?, to: parse(second)? }),
            None => parse(&text).map(|rate| Self { from: rate, to: rate }),
        }
    }
}

impl Scenario {
    /// Reads a scenario and refuses what cannot be played whatever the platform is.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let parse = |reason: String| ScenarioError::Parse { file: file.into(), reason };
        let document: Document = serde_saphyr::from_str(text).map_err(|error| parse(error.to_string()))?;
        if document.api_version != "rehearse/v1" || document.kind != "Scenario" {
            return Err(parse("a scenario begins with `apiVersion: rehearse/v1` and `kind: Scenario`".into()));
        }
        let scenario = Self {
            file: file.into(),
            name: document.metadata.name,
            question: document.metadata.question,
            digest: digest(text),
            spec: document.spec,
        };
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let impossible = |what: String| Err(ScenarioError::Impossible { file: self.file.clone(), what });
        let spec = &self.spec;
        let phases: BTreeSet<&str> = spec.phases.iter().map(|p| p.name.as_str()).collect();
        if phases.len() < spec.phases.len() {
            return impossible("two phases have the same name: rename one".into());
        }
        if let Some(phase) = spec.phases.iter().find(|p| p.duration == Nanos::ZERO) {
            return impossible(format!("phase `{}` lasts no time: give it a duration", phase.name));
        }
        let mut names = BTreeSet::new();
        for (name, journey) in &spec.journeys {
            if journey.steps.is_empty() {
                return impossible(format!("journey `{name}` has no steps"));
            }
            for step in &journey.steps {
                if !names.insert(&step.name) {
                    return impossible(format!(
                        "two steps are called `{}`: reports could not tell them apart",
                        step.name
                    ));
                }
                if step.times == 0 {
                    return impossible(format!("step `{}` happens 0 times: leave it out", step.name));
                }
                if step.request.split_once(' ').is_none_or(|(_, path)| !path.starts_with('/')) {
                    return impossible(format!(
                        "step `{}`: request `{}` is not of the form `GET /path`",
                        step.name, step.request
                    ));
                }
            }
        }
        for stream in &spec.load {
            if !spec.journeys.contains_key(&stream.journey) {
                let hint = nearest(&stream.journey, spec.journeys.keys().map(String::as_str));
                return impossible(format!("load uses journey `{}`, which is not there{hint}", stream.journey));
            }
            if stream.clients == 0 {
                return impossible(format!(
                    "the load of `{}` comes from 0 clients: give it at least 1",
                    stream.journey
                ));
            }
            if let Some(phase) = stream.rate.keys().find(|phase| !phases.contains(phase.as_str())) {
                let hint = nearest(phase, phases.iter().copied());
                return impossible(format!("load gives a rate for phase `{phase}`, which is not there{hint}"));
            }
        }
        let arrivals: f64 = self.load(Seed::new(0)).streams.iter().flat_map(|s| &s.rate).map(Segment::arrivals).sum();
        if arrivals < 1.0 {
            return impossible("nobody ever arrives: give a stream a rate above 0".into());
        }
        Ok(())
    }

    /// The load plan of this scenario under `seed`.
    pub fn load(&self, seed: Seed) -> LoadPlan {
        let spec = &self.spec;
        let mut start = Nanos::ZERO;
        let mut phases = Vec::new();
        for phase in &spec.phases {
            let end = start + phase.duration;
            phases.push(Phase { name: phase.name.clone(), kind: phase.kind, start, end });
            start = end;
        }
        let (mut journeys, mut steps) = (Vec::new(), Vec::new());
        for (name, journey) in &spec.journeys {
            let mut order = Vec::new();
            for step in &journey.steps {
                let id = StepId(steps.len() as u16);
                let (method, path) = step.request.split_once(' ').unwrap_or_default();
                steps.push(Step {
                    flow: journey.flow.clone(),
                    name: step.name.clone(),
                    method: method.into(),
                    host: spec.host.clone(),
                    path: path.into(),
                    think: Distribution::Constant(journey.think),
                });
                order.extend(std::iter::repeat_n(id, usize::from(step.times)));
            }
            journeys.push(JourneyPlan { name: name.clone(), steps: order });
        }
        let mut clients = 0;
        let mut streams = Vec::new();
        for stream in &spec.load {
            let segment = |phase: &PhaseFile| {
                let ramp = stream.rate.get(&phase.name).copied().unwrap_or(Ramp { from: Rate::ZERO, to: Rate::ZERO });
                Segment { duration: phase.duration, from: ramp.from, to: ramp.to }
            };
            streams.push(Stream {
                journey: spec.journeys.keys().position(|name| *name == stream.journey).unwrap_or_default() as u16,
                law: stream.arrivals,
                first_client: clients,
                clients: stream.clients,
                rate: spec.phases.iter().map(segment).collect(),
            });
            clients += stream.clients;
        }
        LoadPlan { seed, phases, streams, journeys, steps, clients, timeout: spec.timeout }
    }
}

/// `: did you mean …?` with the candidate that is fewest edits away, if it is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let best = candidates.map(|c| (edits(word, c), c)).min();
    match best {
        Some((distance, name)) if distance <= 1 + word.len() / 3 => format!(": did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// FNV-1a, 48 bits of it: enough to tell two files apart, and the same everywhere.
fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{:012x}", hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOKE: &str = include_str!("../library/smoke.yaml");

    #[test]
    fn what_cannot_be_played_is_refused_with_place_and_reason() {
        for (case, from, to, want) in [
            ("unknown key", "timeout: 10s", "timeuot: 10s", "timeuot"),
            ("no unit", "duration: 45s", "duration: 45", "`45` is no duration"),
            ("negative", "warm-up: 6/s", "warm-up: -6/s", "`-6/s` is no rate"),
            ("not a number", "step: 24/s", "step: NaN/s", "`NaN/s` is no rate"),
            ("unknown journey", "journey: core-flow", "journey: core-flwo", "did you mean `core-flow`?"),
            ("unknown phase", "{warm-up: 6/s", "{warmup: 6/s", "did you mean `warm-up`?"),
            ("no clients", "clients: 400", "clients: 0", "at least 1"),
            ("no path", "POST /auth/token", "POST token", "not of the form `GET /path`"),
            ("the same step twice", "name: token", "name: register", "two steps"),
            ("no time at all", "duration: 8s", "duration: 0s", "lasts no time"),
            ("another kind", "kind: Scenario", "kind: Gate", "kind: Scenario"),
        ] {
            assert!(SMOKE.contains(from), "{case}: the test is out of date");
            let error = Scenario::parse(&SMOKE.replacen(from, to, 1), "smoke.yaml").unwrap_err().to_string();
            assert!(error.starts_with("smoke.yaml: ") && error.contains(want), "{case}: {error}");
        }
        let silent = SMOKE.replace("6/s", "0/s").replace("24/s", "0/s").replace("60/s", "0/s");
        assert!(Scenario::parse(&silent, "x").unwrap_err().to_string().contains("nobody ever arrives"));
    }

    #[test]
    fn each_milestone_is_told_once_even_between_seconds() {
        let text = SMOKE.replace("duration: 45s", "duration: 45500ms");
        let plan = Scenario::parse(&text, "smoke.yaml").unwrap().load(Seed::new(1));
        let start = Nanos::from_secs(13);
        let told = |second| plan.milestones(start, Nanos::from_secs(second)).len();
        let seconds: Vec<_> = (0..100).filter(|second| told(*second) > 0).collect();
        // Warm-up, step at 10 s, probe at 55.5 s, the end at 63.5 s.
        assert_eq!(seconds, [13, 23, 69, 77]);
    }

    #[test]
    fn smoke_becomes_the_plan_it_describes() {
        let plan = Scenario::parse(SMOKE, "smoke.yaml").unwrap().load(Seed::new(1));
        assert_eq!(plan.end(), Nanos::from_secs(63));
        assert_eq!(plan.clients, 401);
        assert_eq!(plan.journeys[0].steps.len(), 6);
        let sessions = 6.0 * 10.0 + 24.0 * 53.0;
        assert!((plan.expected_requests() - (sessions * 6.0 + 480.0)).abs() < 1e-6);
    }
}
