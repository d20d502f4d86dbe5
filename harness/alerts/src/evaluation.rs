//! Rules evaluated at their interval, and the state of each alert over time. After `rules/manager.go`,
//! `rules/alerting.go` and `rules/recording.go`.
//!
//! All groups are evaluated at whole multiples of the interval, in the order of their files. A real server spreads
//! groups over the interval by a hash of their names; `promtool test rules` does as we do.

use std::collections::BTreeMap;

use crate::labels::{Labels, NAME};
use crate::promql::{Evaluator, Expr, Operator, Release, Sample};
use crate::rules::{Group, Kind, Rule};
use crate::store::{STALE, Store};
use crate::template::expand;

/// When rules are evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From this instant on, milliseconds.
    pub from: i64,
    /// Up to this one.
    pub until: i64,
    /// How far apart.
    pub interval: i64,
}

/// What became of one rule.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How often it was evaluated.
    pub evaluations: u32,
    /// How often it had a result.
    pub results: u32,
    /// Why it could not be evaluated, the first time.
    pub error: Option<String>,
    /// Of an alert: each label set that was active, in order of time.
    pub instances: Vec<Instance>,
    /// The value that came closest to the limit it is compared with.
    pub peak: Option<Peak>,
}

/// An alert of one label set, from the first evaluation that held.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its annotations, as they were last.
    pub annotations: BTreeMap<String, String>,
    /// Since when it was pending, milliseconds.
    pub active: i64,
    /// Since when it fired.
    pub fired: Option<i64>,
    /// When it was over: the first evaluation that did not hold.
    pub ended: Option<i64>,
    /// The last evaluation at which it held.
    pub last: i64,
    /// Its value then.
    pub value: f64,
}

/// A value and the limit that it is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The value.
    pub value: f64,
    /// When, milliseconds.
    pub at: i64,
    /// The limit.
    pub limit: f64,
    /// How it is compared.
    pub operator: Operator,
}

/// How long a resolved alert is kept, so that it can be sent (`resolvedRetention`).
const RETENTION: i64 = 15 * 60_000;

#[derive(Debug)]
struct Active {
    instance: usize,
    firing: bool,
    keep_since: Option<i64>,
    resolved: Option<i64>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Outcome,
    active: BTreeMap<Labels, Active>,
    written: Vec<Labels>,
}

/// Evaluates all rules; what they record goes into the store. `runs` says whether the server runs at an instant: while
/// it does not nothing is evaluated, and alerts begin anew afterwards.
pub fn evaluate(
    store: &mut Store,
    groups: &[Group],
    times: Times,
    release: Release,
    runs: impl Fn(i64) -> bool,
) -> Vec<Vec<Outcome>> {
    let mut evaluation = Evaluation::new(groups, times.from, times.interval, release);
    evaluation.advance(store, groups, times.until, runs);
    evaluation.outcomes()
}

/// Rules under evaluation, so far: a long run is evaluated as it goes, and its old samples are forgotten.
#[derive(Debug)]
pub struct Evaluation {
    states: Vec<Vec<State>>,
    interval: i64,
    release: Release,
    /// The next evaluation.
    next: i64,
    /// Whether the server ran at the last one.
    ran: bool,
}

impl Evaluation {
    /// From an instant on, every `interval` milliseconds.
    pub fn new(groups: &[Group], from: i64, interval: i64, release: Release) -> Self {
        let states = groups.iter().map(|group| group.rules.iter().map(|_| State::default()).collect()).collect();
        let begun = from.div_euclid(interval) * interval;
        let next = if begun < from { begun + interval } else { begun };
        Self { states, interval, release, next, ran: true }
    }

    /// Evaluates what is due up to an instant; the store has every sample up to it. As [`evaluate`].
    pub fn advance(&mut self, store: &mut Store, groups: &[Group], until: i64, runs: impl Fn(i64) -> bool) {
        while self.next <= until {
            let now = self.next;
            let running = runs(now);
            if running {
                for (group, states) in groups.iter().zip(&mut self.states) {
                    if now.rem_euclid(group.interval.unwrap_or(self.interval).max(1)) != 0 {
                        continue;
                    }
                    for (rule, state) in group.rules.iter().zip(states) {
                        if !self.ran {
                            state.forget(now);
                        }
                        state.evaluate(store, rule, now, self.interval, self.release);
                    }
                }
            }
            self.ran = running;
            self.next += self.interval;
        }
    }

    /// What became of each rule, group by group.
    pub fn outcomes(self) -> Vec<Vec<Outcome>> {
        self.states.into_iter().map(|group| group.into_iter().map(|state| state.outcome).collect()).collect()
    }
}

impl State {
    fn evaluate(&mut self, store: &mut Store, rule: &Rule, now: i64, step: i64, release: Release) {
        let Ok(expr) = &rule.expr else { return };
        let evaluator = Evaluator::new(store).of(release).every(step);
        self.outcome.evaluations += 1;
        let samples = match evaluator.at(expr, now) {
            Ok(value) => value.into_vector(),
            Err(error) => {
                self.outcome.error.get_or_insert_with(|| error.to_string());
                return;
            }
        };
        self.outcome.results += u32::from(!samples.is_empty());
        let made = match &rule.kind {
            Kind::Record(name) => recorded(name, rule, samples),
            Kind::Alert { name, hold, keep } => {
                self.peak(&evaluator, expr, now);
                self.alert(name, rule, samples, (*hold, *keep), now)
            }
        };
        for gone in std::mem::take(&mut self.written) {
            if !made.iter().any(|sample| sample.labels == gone) {
                store.push(&gone, now, STALE);
            }
        }
        for sample in made {
            store.push(&sample.labels, now, sample.value);
            self.written.push(sample.labels);
        }
    }

    fn peak(&mut self, evaluator: &Evaluator<'_>, expr: &Expr, now: i64) {
        let Some((value, operator, limit)) = comparison(expr) else { return };
        let upwards = matches!(operator, Operator::Greater | Operator::GreaterEqual);
        let closer = |a: f64, b: f64| if upwards { a > b } else { a < b };
        let samples = evaluator.at(value, now).map(crate::promql::Value::into_vector).unwrap_or_default();
        for sample in samples.iter().filter(|sample| !sample.value.is_nan()) {
            if self.outcome.peak.is_none_or(|peak| closer(sample.value, peak.value)) {
                self.outcome.peak = Some(Peak { value: sample.value, at: now, limit, operator });
            }
        }
    }

    fn alert(&mut self, name: &str, rule: &Rule, samples: Vec<Sample>, times: (i64, i64), now: i64) -> Vec<Sample> {
        let (hold, keep) = times;
        let mut holding: BTreeMap<Labels, (f64, BTreeMap<String, String>)> = BTreeMap::new();
        for sample in samples {
            let mut labels = sample.labels.clone().unnamed();
            for (label, text) in &rule.labels {
                labels.set(label.as_str(), expand(text, &sample.labels, sample.value));
            }
            labels.set("alertname", name);
            let annotate = |(key, text): (&String, &String)| (key.clone(), expand(text, &sample.labels, sample.value));
            let annotations = rule.annotations.iter().map(annotate).collect();
            if holding.insert(labels, (sample.value, annotations)).is_some() {
                self.outcome.error.get_or_insert("the alert has the same labels twice after its labels are set".into());
                return Vec::new();
            }
        }
        for (labels, (value, annotations)) in &holding {
            let known = self.active.get(labels).filter(|active| active.resolved.is_none()).map(|a| a.instance);
            let instance = known.unwrap_or_else(|| self.begin(labels, now));
            let instance = &mut self.outcome.instances[instance];
            (instance.value, instance.last) = (*value, now);
            instance.annotations.clone_from(annotations);
        }
        let mut made = Vec::new();
        let instances = &mut self.outcome.instances;
        self.active.retain(|labels, active| {
            let instance = &mut instances[active.instance];
            let mut holds = holding.contains_key(labels);
            if holds {
                active.keep_since = None;
            } else if active.firing && active.resolved.is_none() && keep > 0 {
                holds = now - *active.keep_since.get_or_insert(now) < keep;
            }
            if !holds {
                instance.ended.get_or_insert(now);
                let pending = !active.firing;
                active.resolved.get_or_insert(now);
                return !pending && active.resolved.is_some_and(|at| now - at <= RETENTION);
            }
            if !active.firing && now - instance.active >= hold {
                active.firing = true;
                instance.fired = Some(now);
            }
            let series = |name: &str| {
                let mut series = labels.clone();
                series.set(NAME, name);
                series
            };
            let mut alerts = series("ALERTS");
            alerts.set("alertstate", if active.firing { "firing" } else { "pending" });
            made.push(Sample { labels: alerts, value: 1.0 });
            made.push(Sample { labels: series("ALERTS_FOR_STATE"), value: (instance.active / 1_000) as f64 });
            true
        });
        made
    }

    fn begin(&mut self, labels: &Labels, now: i64) -> usize {
        let instance = self.outcome.instances.len();
        self.outcome.instances.push(Instance {
            labels: labels.clone(),
            annotations: BTreeMap::new(),
            active: now,
            fired: None,
            ended: None,
            last: now,
            value: 0.0,
        });
        let active = Active { instance, firing: false, keep_since: None, resolved: None };
        self.active.insert(labels.clone(), active);
        instance
    }

    /// The server was down: what was pending begins anew.
    fn forget(&mut self, now: i64) {
        for active in std::mem::take(&mut self.active).into_values() {
            let instance = &mut self.outcome.instances[active.instance];
            instance.ended.get_or_insert(now);
        }
        self.written.clear();
    }
}

fn recorded(name: &str, rule: &Rule, samples: Vec<Sample>) -> Vec<Sample> {
    let record = |mut sample: Sample| {
        sample.labels.set(NAME, name);
        rule.labels.iter().for_each(|(label, value)| sample.labels.set(label.as_str(), value.as_str()));
        sample
    };
    samples.into_iter().map(record).collect()
}

/// `VALUE > LIMIT` at the top of an expression, from whichever side it is written.
pub(crate) fn comparison(expr: &Expr) -> Option<(&Expr, Operator, f64)> {
    let Expr::Binary(binary) = expr else { return None };
    match (&binary.left, &binary.right, binary.operator) {
        (left, _, Operator::And | Operator::Unless) => comparison(left),
        (value, Expr::Number(limit), operator) if is_bound(operator) => Some((value, operator, *limit)),
        (Expr::Number(limit), value, operator) if is_bound(operator) => Some((value, mirrored(operator), *limit)),
        _ => None,
    }
}

const fn is_bound(operator: Operator) -> bool {
    matches!(operator, Operator::Greater | Operator::GreaterEqual | Operator::Less | Operator::LessEqual)
}

const fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Greater => Operator::Less,
        Operator::GreaterEqual => Operator::LessEqual,
        Operator::Less => Operator::Greater,
        _ => Operator::GreaterEqual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;

    const RULES: &str = r#"
groups:
  - name: g
    rules:
      - {record: "job:rate", expr: "sum by (job) (rate(answers_total[5m]))"}
      - {alert: Fast, expr: "job:rate > 4", for: 3m}
      - {alert: Later, expr: "max_over_time(job:rate[10m:1m] offset 1m) > 4", for: 1m}
"#;

    #[test]
    fn a_run_that_is_evaluated_as_it_goes_forgets_nothing_that_a_rule_looks_at() {
        let groups = rules::read("rules.yml", RULES).unwrap();
        let reach = rules::reach(&groups).unwrap();
        assert_eq!(reach, 660_000 + 300_000, "a subquery, what it is about, and its offset");
        let labels: Labels = [(NAME, "answers_total"), ("job", "web")].into_iter().collect();
        // Slow, fast for a quarter of an hour, slow again.
        let value = |nth: i64| (nth.min(100) + 6 * (nth - 100).clamp(0, 60) + (nth - 160).max(0)) as f64 * 15.0;
        let samples = (0..400).map(|nth| (nth * 15_000, value(nth)));
        let end = 400 * 15_000;
        let mut store = Store::default();
        samples.clone().for_each(|(at, value)| store.push(&labels, at, value));
        let times = Times { from: 0, until: end, interval: 15_000 };
        let whole = evaluate(&mut store, &groups, times, Release::V3, |_| true);
        let mut evaluation = Evaluation::new(&groups, 0, 15_000, Release::V3);
        let mut store = Store::default();
        for (at, value) in samples {
            store.push(&labels, at, value);
            if at % 60_000 == 0 {
                evaluation.advance(&mut store, &groups, at, |_| true);
                store.forget(at - reach);
            }
        }
        evaluation.advance(&mut store, &groups, end, |_| true);
        assert!(store.series()[0].forgotten > 300);
        for (whole, piecewise) in whole[0].iter().zip(&evaluation.outcomes()[0]) {
            assert_eq!((&whole.instances, whole.peak), (&piecewise.instances, piecewise.peak));
        }
        assert!(whole[0][1].instances[0].fired.is_some() && whole[0][2].instances[0].ended.is_some());
    }
}
