//! Drift: what the documents say, what the manifests declare, and what comes of it, side by side.

mod amount;
mod facts;
mod field;
mod nginx;

use manifests::{Loaded, Object};
use platform::{Config, Place, ReferenceKind};
use serde_json::Value;

pub use facts::{AcceptedDrift, Documented, Fact, Facts, FactsError, Provided, Subject};

use crate::{Accepted, Finding, Rule, Severity};
use amount::Dialect;

pub(crate) static DRIFT: Rule = Rule {
    id: "drift",
    severity: Severity::Error,
    title: "the manifests say something else than the documents",
    explanation: "A documented figure is a promise to operators and users. Where the manifests declare another one, \
        either of them is wrong, and whoever relies on the document is misled. Every documented figure is in the facts \
        file, with its source.",
    fix: "Correct the manifest or the document; or accept the drift by its fact's id, with the reason, in the facts file.",
};

pub(crate) static SUBJECT_MISSING: Rule = Rule {
    id: "documented-but-missing",
    severity: Severity::Error,
    title: "the documents describe something that the manifests do not have",
    explanation: "A fact names an object, a container, a location or an alert that is not among the manifests: it was \
        renamed, forgotten, or lives elsewhere.",
    fix: "Add it, or correct the facts file.",
};

/// One documented figure beside what is declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The fact's id.
    pub id: String,
    /// The document that says so.
    pub source: String,
    /// What it is about, in words.
    pub subject: String,
    /// The field.
    pub field: String,
    /// What the document says.
    pub documented: String,
    /// What the manifests declare; `None`: nothing.
    pub declared: Option<String>,
    /// What comes of it, where that is something else.
    pub effective: Option<String>,
    /// Where it is declared.
    pub place: Place,
    /// How the two stand to each other.
    pub state: State,
}

/// How a documented and a declared figure stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They agree.
    Agrees,
    /// They differ.
    Differs,
    /// They differ, and somebody lives with it: why.
    Accepted(String),
    /// What the fact is about is not there.
    Missing,
    /// No manifest declares it: runs judge it.
    Judged,
}

/// Every fact that holds for `overlay`, which a tree without overlays is said to be.
pub fn drift(loaded: &Loaded, overlay: &str, facts: &Facts) -> Vec<Row> {
    let reader = Reader::new(loaded);
    let holds = |fact: &&Fact| fact.overlays.iter().any(|name| name == overlay);
    facts.facts.iter().filter(holds).flat_map(|fact| reader.rows(fact, facts)).collect()
}

/// The drifts as findings. Accepted ones say why.
pub fn findings(rows: &[Row]) -> Vec<Finding> {
    let told = |row: &Row| {
        let (rule, consequence, because) = match &row.state {
            State::Agrees | State::Judged => return None,
            State::Missing => (
                &SUBJECT_MISSING,
                format!("The {} describes {}, which is not there.", row.source, row.subject),
                format!("Fact {}: {} = {}.", row.id, row.field, row.documented),
            ),
            State::Differs | State::Accepted(_) => (
                &DRIFT,
                format!("Documented is {}, declared {}.", row.documented, row.declared.as_deref().unwrap_or("nothing")),
                format!("Fact {} ({}): {}.", row.id, row.source, row.field),
            ),
        };
        let mut finding = rule.at(format!("{} {}", row.subject, row.field), &row.place, consequence, because);
        if let State::Accepted(reason) = &row.state {
            finding.severity = Severity::Note;
            finding.accepted = Some(reason.clone());
        }
        Some(finding)
    };
    rows.iter().filter_map(told).collect()
}

/// Findings whose id is a fact's may be accepted in the facts file, too.
pub fn accepted(facts: &Facts) -> Vec<Accepted> {
    let entry =
        |entry: &AcceptedDrift| Accepted { id: entry.id.clone(), subject: "*".into(), reason: entry.reason.clone() };
    facts.accepted.iter().filter(|entry| crate::rule(&entry.id).is_ok()).map(entry).collect()
}

struct Reader<'a> {
    loaded: &'a Loaded,
    nginx: Option<(&'a Config, &'a str, Vec<nginx::Directive>)>,
    alerts: Vec<(Value, Place)>,
}

/// What a lookup gave.
struct Declared {
    subject: String,
    value: Option<Value>,
    place: Place,
    missing: bool,
}

impl<'a> Reader<'a> {
    fn new(loaded: &'a Loaded) -> Self {
        let texts = || {
            let configs = loaded.platform.configs.iter().filter(|config| config.kind == ReferenceKind::ConfigMap);
            configs
                .flat_map(|config| config.entries.iter().map(move |(key, text)| (config, key.as_str(), text.as_str())))
        };
        let is_nginx = |text: &str| text.contains("http {") && text.contains("server {");
        let nginx = texts()
            .find(|(_, _, text)| is_nginx(text))
            .map(|(config, key, text)| (config, key, nginx::directives(text)));
        let mut alerts = Vec::new();
        for (config, _, text) in texts().filter(|(_, _, text)| text.contains("alert:")) {
            let Ok(file) = serde_saphyr::from_str::<Value>(text) else { continue };
            let rules = file["groups"].as_array().into_iter().flatten().filter_map(|group| group["rules"].as_array());
            alerts.extend(rules.flatten().map(|rule| (rule.clone(), config.place.clone())));
        }
        Self { loaded, nginx, alerts }
    }

    fn rows(&self, fact: &Fact, facts: &Facts) -> Vec<Row> {
        let dialect = match fact.subject.kind.as_str() {
            "nginx" => Dialect::Nginx,
            _ if fact.field.contains("nginx.ingress.kubernetes.io") => Dialect::Nginx,
            _ if fact.field.contains("milliseconds") || fact.field.contains("failover-timeout") => {
                Dialect::Milliseconds
            }
            _ => Dialect::Kubernetes,
        };
        let accepted = facts.accepted.iter().find(|entry| entry.id == fact.id).map(|entry| entry.reason.clone());
        let row = |declared: Declared, state: State| Row {
            id: fact.id.clone(),
            source: facts.sources.get(&fact.source).cloned().unwrap_or_default(),
            effective: self.effective(fact, &declared),
            subject: declared.subject,
            field: fact.field.clone(),
            documented: amount::documented(&fact.value),
            declared: declared.value.as_ref().map(amount::told),
            place: declared.place,
            state,
        };
        if fact.subject.kind == "objective" {
            let subject = format!("objective {}", fact.subject.name);
            let judged = Declared { subject, value: None, place: Place::default(), missing: false };
            return vec![row(judged, State::Judged)];
        }
        self.declared(fact)
            .into_iter()
            .map(|declared| {
                let state = if declared.missing && fact.value != Documented::Absent(true) {
                    accepted.clone().map_or(State::Missing, State::Accepted)
                } else if amount::keeps(&fact.value, declared.value.as_ref(), dialect) {
                    State::Agrees
                } else {
                    accepted.clone().map_or(State::Differs, State::Accepted)
                };
                row(declared, state)
            })
            .collect()
    }

    /// One entry for each subject that is meant; one that says `missing` if there is none.
    fn declared(&self, fact: &Fact) -> Vec<Declared> {
        let subject = &fact.subject;
        match subject.kind.as_str() {
            "nginx" => vec![self.in_nginx(subject, &fact.field)],
            "alert" => vec![self.in_alert(&subject.name, &fact.field)],
            _ => self.in_objects(subject, &fact.field),
        }
    }

    fn in_nginx(&self, subject: &Subject, field: &str) -> Declared {
        let part = [
            ("location", &subject.location),
            ("limit zone", &subject.zone),
            ("upstream", &subject.upstream),
            ("block", &subject.block),
        ];
        let name = part.iter().find_map(|(word, name)| name.as_ref().map(|name| format!("{word} {name}")));
        let subject_name = format!("nginx {}", name.unwrap_or_default());
        let Some((config, key, all)) = &self.nginx else {
            return Declared { subject: subject_name, value: None, place: Place::default(), missing: true };
        };
        let file = |line| {
            let object = self.loaded.objects.iter().find(|o| o.kind == "ConfigMap" && o.name == config.name);
            match object.and_then(|object| object.file_of(key)) {
                Some(file) => Place { file: file.to_owned(), line },
                None => config.place.clone(),
            }
        };
        let (value, place) = match nginx::look(all, subject, field) {
            Some((value, line)) => (Some(value), file(line)),
            None => (None, file(0)),
        };
        let missing = value.is_none() && subject.block.is_none();
        Declared { subject: subject_name, value, place, missing }
    }

    fn in_alert(&self, name: &str, field: &str) -> Declared {
        let subject = format!("alert {name}");
        let Some((rule, place)) = self.alerts.iter().find(|(rule, _)| rule["alert"] == name) else {
            return Declared { subject, value: None, place: Place::default(), missing: true };
        };
        let value = match field {
            "expr.limit" => rule["expr"].as_str().and_then(limit).map(Value::from),
            other => field::look(rule, other).map(|found| found.value),
        };
        Declared { subject, value, place: place.clone(), missing: false }
    }

    fn in_objects(&self, subject: &Subject, field: &str) -> Vec<Declared> {
        let named =
            |object: &&Object| object.kind == subject.kind && (subject.name == "*" || is_called(object, &subject.name));
        let objects: Vec<&Object> = self.loaded.objects.iter().filter(named).collect();
        if objects.is_empty() {
            let subject = format!("{}/{}", subject.kind, subject.name);
            return vec![Declared { subject, value: None, place: Place::default(), missing: true }];
        }
        objects.into_iter().flat_map(|object| in_object(object, subject, field)).collect()
    }

    /// What comes of a declared figure, where that is not the figure itself.
    fn effective(&self, fact: &Fact, declared: &Declared) -> Option<String> {
        let platform = &self.loaded.platform;
        if fact.field == "spec.replicas" {
            let scaled = platform.autoscalers.iter().find(|a| a.reference.name == fact.subject.name)?;
            return Some(format!("{} to {}, by its autoscaler", scaled.min, scaled.max));
        }
        let gateway = platform.gateway.as_ref()?;
        match fact.field.as_str() {
            "limit_req_zone.rate" => {
                let pods = platform.workload(gateway.workload).replicas.unwrap_or(1);
                let rate = amount::told(declared.value.as_ref()?);
                (pods > 1).then(|| format!("{pods} × {rate} for one client, over {pods} gateway pods"))
            }
            "limit_req_status" if declared.value.is_none() => Some("503, nginx's default".into()),
            "servers" => {
                let lone = declared.value.as_ref()?.as_array().is_some_and(|servers| servers.len() == 1);
                lone.then(|| "max_fails and fail_timeout have no effect: one server".into())
            }
            _ => None,
        }
    }
}

/// Its name, or that name with the hash of a generator.
fn is_called(object: &Object, name: &str) -> bool {
    let hashed = |rest: &str| {
        rest.strip_prefix('-').is_some_and(|hash| hash.len() == 10 && hash.chars().all(|c| c.is_ascii_alphanumeric()))
    };
    object.name == name
        || (matches!(object.kind.as_str(), "ConfigMap" | "Secret")
            && object.name.strip_prefix(name).is_some_and(hashed))
}

fn in_object(object: &Object, subject: &Subject, field: &str) -> Vec<Declared> {
    let document = object.to_json();
    if let Some(key) = &subject.key {
        let text = document["data"][key.as_str()].as_str();
        let yaml = [".yaml", ".yml"].iter().any(|extension| key.ends_with(extension));
        let read = |text: &str| {
            let parsed = if yaml { serde_saphyr::from_str::<Value>(text).ok() } else { None };
            match parsed {
                Some(document) => field::look(&document, field).map(|found| found.value),
                None => field::in_text(text, field),
            }
        };
        return vec![Declared {
            subject: format!("{object} {key}"),
            value: text.and_then(read),
            place: object.place.clone(),
            missing: text.is_none(),
        }];
    }
    let Some(container) = &subject.container else {
        let found = field::look(&document, field);
        let place = found.as_ref().map_or_else(|| object.place.clone(), |found| object.place_of(&found.path));
        return vec![Declared {
            subject: object.to_string(),
            value: found.map(|found| found.value),
            place,
            missing: false,
        }];
    };
    let Some(pod) = ["spec.template.spec", "spec.jobTemplate.spec.template.spec", "spec"]
        .into_iter()
        .find(|path| field::look(&document, path).is_some_and(|found| found.value.get("containers").is_some()))
    else {
        return vec![Declared { subject: object.to_string(), value: None, place: object.place.clone(), missing: true }];
    };
    let mut all = Vec::new();
    for list in ["initContainers", "containers"] {
        let path = format!("{pod}.{list}");
        let declared = field::look(&document, &path).and_then(|found| found.value.as_array().cloned());
        for (index, one) in declared.into_iter().flatten().enumerate() {
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            if container != "*" && *container != name {
                continue;
            }
            let found = field::look(&one, field);
            let place = match &found {
                Some(found) => object.place_of(&format!("{path}[{index}].{}", found.path)),
                None => object.place_of(&format!("{path}[{index}]")),
            };
            all.push(Declared {
                subject: format!("{object} container {name}"),
                value: found.map(|found| found.value),
                place,
                missing: false,
            });
        }
    }
    if all.is_empty() {
        let subject = format!("{object} container {container}");
        all.push(Declared { subject, value: None, place: object.place.clone(), missing: true });
    }
    all
}

/// The number behind the last comparison of an expression.
fn limit(expression: &str) -> Option<f64> {
    let at = expression.rfind(['>', '<']).max(expression.rfind("=="))?;
    let rest = expression[at + 1..].trim_start_matches('=').trim();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == 'e' || c == '-')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
