//! What became of each alert in a run, and why: fired, pending, blind, out of reach, or quiet.

use std::collections::{BTreeMap, BTreeSet};

use record::{AlertPeak, AlertRehearsal, AlertResult, AlertSpell, AlertVerdict};

use crate::evaluation::{Outcome, Times, comparison, evaluate};
use crate::labels::{Compare, Matcher, NAME};
use crate::promql::{Expr, Operator, Release, Selector, bucket_edge, duration_in_words, number};
use crate::rules::{Group, Kind, Rule, makes};
use crate::store::Store;

/// Rules, and what is known of the platform that they watch.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Where the rules are from.
    pub source: String,
    /// Names of the scrape configurations; empty: not known.
    pub jobs: Vec<String>,
    /// Statuses with which the gateway's limits refuse.
    pub limit_statuses: BTreeSet<u16>,
    /// When the server was down, milliseconds.
    pub down: Vec<(i64, i64)>,
    /// Scrapes that failed, of all.
    pub failed_scrapes: (u64, u64),
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// Evaluates all rules over a run's series, which get what the rules record, and says what became of each alert.
pub fn rehearse(
    store: &mut Store,
    groups: &[Group],
    times: Times,
    release: Release,
    watched: &Watched,
) -> AlertRehearsal {
    let outcomes = evaluate(store, groups, times, release, |at| !within(&watched.down, at));
    tell(store, groups, &outcomes, times, release, watched)
}

/// Whether an instant is in one of these spans.
pub(crate) fn within(spans: &[(i64, i64)], at: i64) -> bool {
    spans.iter().any(|(from, until)| (*from..*until).contains(&at))
}

/// Says what became of each alert, from what its evaluation came to.
pub fn tell(
    store: &Store,
    groups: &[Group],
    outcomes: &[Vec<Outcome>],
    times: Times,
    release: Release,
    watched: &Watched,
) -> AlertRehearsal {
    let seen = || store.series().iter().filter(|series| !makes(groups, series.labels.name()));
    let (series, samples) =
        (seen().count(), seen().map(|series| series.times.len() as u64 + series.forgotten).sum::<u64>());
    let scraped: BTreeSet<String> = seen().map(|series| series.labels.get("job").to_owned()).collect();
    let context = Context { store, groups, watched, scraped, length: times.until - times.from };
    let mut alerts = Vec::new();
    let mut notes = watched.notes.clone();
    for (group, outcomes) in groups.iter().zip(outcomes) {
        for (rule, outcome) in group.rules.iter().zip(outcomes) {
            match &rule.kind {
                Kind::Alert { hold, .. } => alerts.push(context.alert(group, rule, *hold, outcome, times)),
                Kind::Record(name) => notes.extend(context.recording(name, rule, outcome)),
            }
        }
    }
    for (from, until) in watched.down.iter().filter(|(_, until)| *until > times.from) {
        let from = (*from).max(times.from) - times.from;
        let span = duration_in_words(until - times.from - from);
        notes.push(format!(
            "Prometheus itself was down for {span} from {} of load on: nothing was scraped and no alert could fire.",
            clock(from)
        ));
    }
    AlertRehearsal {
        source: watched.source.clone(),
        interval_us: micros(times.interval),
        from_us: micros(times.from),
        until_us: micros(times.until),
        series: series as u64,
        samples,
        failed_scrapes: watched.failed_scrapes,
        alerts,
        jobs: watched.jobs.clone(),
        limit_statuses: watched.limit_statuses.iter().copied().collect(),
        down_us: watched.down.iter().map(|(from, until)| (micros(*from), micros(*until))).collect(),
        release: if release == Release::V2 { "2" } else { "3" }.into(),
        notes,
    }
}

struct Context<'a> {
    store: &'a Store,
    groups: &'a [Group],
    watched: &'a Watched,
    /// Jobs of which anything was scraped.
    scraped: BTreeSet<String>,
    length: i64,
}

impl Context<'_> {
    fn alert(&self, group: &Group, rule: &Rule, hold: i64, outcome: &Outcome, times: Times) -> AlertResult {
        let (mut blind, mut because) = (Vec::new(), Vec::new());
        if let Ok(expr) = &rule.expr {
            blind = self.blind(expr);
            because.extend(self.coarse(expr, &mut blind));
        }
        blind.sort();
        blind.dedup();
        let fired: Vec<_> = outcome.instances.iter().filter(|instance| instance.fired.is_some()).collect();
        let longest = outcome.instances.iter().max_by_key(|i| (i.ended.is_none(), i.last - i.active));
        let mut needs = None;
        let (verdict, told) = if let Err(error) = &rule.expr {
            let told = match &error.unsupported {
                Some(what) => format!("is not evaluated: rehearse does not know {what} yet"),
                None => format!("is no valid rule, and Prometheus would not start with it: {error}"),
            };
            (AlertVerdict::Unsupported, told)
        } else if let Some(first) = fired.iter().filter_map(|i| i.fired).min() {
            let on = if fired.len() == 1 { String::new() } else { format!(", for {} label sets in all", fired.len()) };
            let over = match fired.iter().map(|i| i.ended).collect::<Option<Vec<_>>>() {
                Some(ends) => format!(", over at {}", clock(ends.into_iter().max().unwrap_or(0) - times.from)),
                None => ", and still fires at the end".into(),
            };
            (AlertVerdict::Fired, format!("fires at {}{on}{over}", clock(first - times.from)))
        } else if let Some(instance) = longest {
            let held = instance.last - instance.active;
            let told = if instance.ended.is_none() {
                needs = Some(hold - held);
                format!(
                    "is pending since {} and would fire if it held for {} more",
                    clock(instance.active - times.from),
                    duration_in_words(hold - held)
                )
            } else if held == 0 {
                format!(
                    "was true at {} and not one evaluation longer; it must hold for {}",
                    clock(instance.active - times.from),
                    duration_in_words(hold)
                )
            } else {
                format!(
                    "was pending from {} for {} at most, of the {} that it must hold",
                    clock(instance.active - times.from),
                    duration_in_words(held),
                    duration_in_words(hold)
                )
            };
            (AlertVerdict::Pending, told)
        } else if let Some(error) = &outcome.error {
            (AlertVerdict::Unsupported, format!("has no value: {error}"))
        } else if !blind.is_empty() {
            (AlertVerdict::Blind, format!("cannot fire: {}", blind[0]))
        } else if hold > self.length {
            let told = format!(
                "is quiet, and out of reach: it must hold for {}, and this run has {} of load; one of {} would do",
                duration_in_words(hold),
                duration_in_words(self.length),
                duration_in_words(hold + times.interval)
            );
            (AlertVerdict::Unreachable, told)
        } else {
            (AlertVerdict::Quiet, "is quiet".to_owned())
        };
        let idle = matches!(verdict, AlertVerdict::Quiet | AlertVerdict::Unreachable)
            && rule.expr.as_ref().is_ok_and(|expr| expr.selectors().into_iter().any(|s| self.idle(s)));
        if idle {
            because.push("Nothing that it counts happened in this run.".into());
        }
        let told = match &outcome.peak {
            Some(peak) if matches!(verdict, AlertVerdict::Quiet | AlertVerdict::Unreachable) => {
                let most =
                    if matches!(peak.operator, Operator::Greater | Operator::GreaterEqual) { "most" } else { "least" };
                format!("{told}; at {most} {} of {}", short(peak.value), number(peak.limit))
            }
            _ => told,
        };
        because.extend(blind.into_iter().skip(usize::from(verdict == AlertVerdict::Blind)));
        let (name, severity) = (rule.name().to_owned(), rule.labels.get("severity").cloned().unwrap_or_default());
        AlertResult {
            alert: name,
            group: format!("{}: {}", group.file, group.name),
            expr: rule.text.clone(),
            severity,
            for_us: micros(hold),
            verdict,
            told: told + ".",
            because,
            peak: outcome.peak.map(|peak| AlertPeak {
                value: peak.value.is_finite().then_some(peak.value),
                at_us: micros(peak.at),
                limit: peak.limit,
                operator: peak.operator.text().into(),
            }),
            needs_us: needs.map(micros),
            spells: outcome.instances.iter().take(AlertResult::SPELLS).map(spell).collect(),
        }
    }

    /// A rule that recorded nothing, or could not be evaluated.
    fn recording(&self, name: &str, rule: &Rule, outcome: &Outcome) -> Option<String> {
        match &rule.expr {
            Err(error) => Some(format!("{name} is not recorded: {error}.")),
            Ok(_) if outcome.error.is_some() => {
                outcome.error.as_ref().map(|error| format!("{name} could not be recorded: {error}."))
            }
            Ok(expr) if outcome.results == 0 => {
                self.blind(expr).first().map(|why| format!("{name} recorded nothing: {why}."))
            }
            Ok(_) => None,
        }
    }

    /// Why an expression never has a result. Of alternatives all have to be blind; `absent` sees what is not there.
    fn blind(&self, expr: &Expr) -> Vec<String> {
        self.blind_within(expr, 0)
    }

    fn blind_within(&self, expr: &Expr, depth: u32) -> Vec<String> {
        match expr {
            _ if depth > 20 => Vec::new(), // rules that record each other
            Expr::Call("absent" | "absent_over_time" | "vector" | "time", _) | Expr::Number(_) | Expr::Text(_) => {
                Vec::new()
            }
            Expr::Binary(binary) if binary.operator == Operator::Or => {
                let (left, right) = (self.blind_within(&binary.left, depth), self.blind_within(&binary.right, depth));
                if left.is_empty() || right.is_empty() { Vec::new() } else { [left, right].concat() }
            }
            // What stands behind `unless` may be missing.
            Expr::Binary(binary) if binary.operator == Operator::Unless => self.blind_within(&binary.left, depth),
            Expr::Binary(binary) => {
                [self.blind_within(&binary.left, depth), self.blind_within(&binary.right, depth)].concat()
            }
            Expr::Call(_, arguments) => arguments.iter().flat_map(|a| self.blind_within(a, depth)).collect(),
            Expr::Aggregate(aggregate) => self.blind_within(&aggregate.expr, depth),
            Expr::Negate(inner) => self.blind_within(inner, depth),
            Expr::Subquery(subquery) => self.blind_within(&subquery.expr, depth),
            Expr::Instant(selector) | Expr::Range(selector, _) => match self.recorded(selector) {
                Some(expr) => self.blind_within(expr, depth + 1),
                None => self.dead(selector).into_iter().collect(),
            },
        }
    }

    /// The rule that records what a selector selects.
    fn recorded(&self, selector: &Selector) -> Option<&Expr> {
        let name = selector.name()?;
        let rules = self.groups.iter().flat_map(|group| &group.rules);
        let records = |rule: &&Rule| matches!(&rule.kind, Kind::Record(record) if record == name);
        rules.filter(records).find_map(|rule| rule.expr.as_ref().ok())
    }

    /// Why a selector never selects anything, unless the run just had no occasion for it.
    fn dead(&self, selector: &Selector) -> Option<String> {
        if matches!(selector.name(), Some("ALERTS" | "ALERTS_FOR_STATE")) {
            return None;
        }
        let job = selector.matchers.iter().find(|m| m.label == "job" && matches!(m.compare, Compare::Equal));
        if let Some(job) = job
            && !self.scraped.contains(&job.value)
        {
            let jobs = &self.watched.jobs;
            return Some(if jobs.is_empty() || jobs.contains(&job.value) {
                format!("job `{}` has no target in this run", job.value)
            } else {
                format!(
                    "no scrape configuration is called `{}`; there are {}",
                    job.value,
                    listed(jobs.iter().map(String::as_str))
                )
            });
        }
        if self.idle(selector) {
            return None; // its targets are scraped, and count requests as soon as there are some
        }
        if let Some(name) = selector.name().filter(|name| !self.store.has(name)) {
            let of = job.map_or(String::new(), |job| format!(" of job `{}`", job.value));
            return Some(format!("no target{of} shows {name}"));
        }
        // A status that the limits never answer is blind even if no request was refused.
        if let Some(why) = self.limits_are_missed(selector) {
            return Some(why);
        }
        if self.store.select(&selector.matchers).next().is_some() {
            return None;
        }
        let named: Vec<Matcher> = selector.matchers.iter().filter(|m| m.label == NAME).cloned().collect();
        let what = selector.name().unwrap_or("what it names");
        for matcher in selector.matchers.iter().filter(|m| m.label != NAME) {
            let values: BTreeSet<&str> =
                self.store.select(&named).map(|series| series.labels.get(&matcher.label)).collect();
            if values.iter().any(|value| matcher.accepts(value)) {
                continue;
            }
            if values.iter().all(|value| value.is_empty()) {
                return Some(format!("no series of {what} has a label `{}`", matcher.label));
            }
            if is_status(&matcher.label) {
                return None; // no answer had it, which is no fault of the rule
            }
            return Some(format!("no series of {what} has {matcher}; there are {}", listed(values.into_iter())));
        }
        let every: Vec<String> =
            selector.matchers.iter().filter(|m| !is_status(&m.label)).map(Matcher::to_string).collect();
        let others: Vec<Matcher> = selector.matchers.iter().filter(|m| !is_status(&m.label)).cloned().collect();
        if self.store.select(&others).next().is_some() {
            return None;
        }
        Some(format!("no series has all of {}", every.join(", ")))
    }

    /// Whether a selector's targets were scraped and counted nothing.
    fn idle(&self, selector: &Selector) -> bool {
        let of_job = of_job(selector);
        let known = selector.name().is_some_and(|name| ON_REQUEST.iter().any(|prefix| name.starts_with(prefix)));
        known && of_job.len() > 1 && self.store.select(&of_job).next().is_none()
    }

    /// It counts 429, and no limit answers so.
    fn limits_are_missed(&self, selector: &Selector) -> Option<String> {
        let statuses = &self.watched.limit_statuses;
        let status = selector.matchers.iter().find(|m| is_status(&m.label))?;
        let positive = matches!(status.compare, Compare::Equal | Compare::Matches(_));
        let counts_429 = status.accepts("429") && !status.accepts("404") && !status.accepts("200");
        let answered = statuses.iter().any(|answer| status.accepts(&answer.to_string()));
        let seen = self.store.select(&selector.matchers).next().is_some();
        (positive && counts_429 && !statuses.is_empty() && !answered && !seen).then(|| {
            format!(
                "it counts 429, and the gateway's limits answer {} (`limit_req_status` is not set to 429)",
                listed(statuses.iter().map(u16::to_string).collect::<Vec<_>>().iter().map(String::as_str))
            )
        })
    }

    /// A quantile that is compared with a limit between two bucket edges, or beyond all of them.
    fn coarse(&self, expr: &Expr, blind: &mut Vec<String>) -> Vec<String> {
        let Some((value, operator, limit)) = comparison(expr) else { return Vec::new() };
        let mut quantiles = Vec::new();
        value.walk(&mut |inner| {
            if let Expr::Call("histogram_quantile", arguments) = inner {
                quantiles.extend(arguments.get(1));
            }
        });
        let mut found = Vec::new();
        for selector in quantiles.iter().flat_map(|expr| expr.selectors()) {
            let series = self.store.select(&selector.matchers);
            let mut edges: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for series in series {
                let whose = ["service", "job"].map(|label| series.labels.get(label)).join("/");
                edges
                    .entry(whose)
                    .or_default()
                    .extend(bucket_edge(series.labels.get("le")).filter(|edge| edge.is_finite()));
            }
            for edges in edges.values() {
                if edges.iter().any(|edge| (edge - limit).abs() <= limit.abs() * 1e-9) {
                    let most = edges.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    if most <= limit && operator == Operator::Greater {
                        blind.push(format!(
                            "its limit is the last bucket edge, {}, and no quantile is beyond that",
                            number(most)
                        ));
                    }
                    continue;
                }
                let below = edges.iter().copied().filter(|edge| *edge < limit).fold(0.0, f64::max);
                let above = edges.iter().copied().filter(|edge| *edge > limit).fold(f64::INFINITY, f64::min);
                if above.is_finite() {
                    found.push(format!(
                        "No bucket has an edge at {}: its quantile is a guess between {} and {}.",
                        number(limit),
                        number(below),
                        number(above)
                    ));
                } else {
                    blind.push(format!(
                        "its limit, {}, is beyond the last bucket edge, {}",
                        number(limit),
                        number(below)
                    ));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// Metrics that services show once they have served a request.
const ON_REQUEST: [&str; 3] =
    ["http_requests_total", "http_request_duration_seconds", "nginx_ingress_controller_request"];

/// A selector's name and job alone.
fn of_job(selector: &Selector) -> Vec<Matcher> {
    selector.matchers.iter().filter(|m| m.label == NAME || m.label == "job").cloned().collect()
}

fn is_status(label: &str) -> bool {
    matches!(label, "status" | "code" | "status_code" | "status_class")
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
}

fn spell(instance: &crate::evaluation::Instance) -> AlertSpell {
    let mut labels = instance.labels.clone();
    labels.remove("alertname");
    labels.remove("severity");
    let annotations = &instance.annotations;
    let summary =
        annotations.get("summary").or_else(|| annotations.get("description")).or_else(|| annotations.values().next());
    AlertSpell {
        labels: labels.to_string(),
        summary: summary.cloned().unwrap_or_default(),
        pending_us: micros(instance.active),
        firing_us: instance.fired.map(micros),
        ended_us: instance.ended.map(micros),
    }
}

const fn micros(ms: i64) -> u64 {
    if ms < 0 { 0 } else { ms as u64 * 1_000 }
}

/// Minutes and seconds of load: `3:15`.
fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Three significant digits.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return number(value);
    }
    number(format!("{value:.2e}").parse().unwrap_or(value))
}
