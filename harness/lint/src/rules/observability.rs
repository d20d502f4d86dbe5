//! Alerts that cannot see what they claim.

use std::collections::{BTreeMap, BTreeSet};

use platform::{Config, Platform};
use serde::Deserialize;
use units::Nanos;

use super::Context;
use crate::{Finding, Rule, Severity};

/// The longest scenario that is shipped, but for the day, in which nothing breaks.
const REHEARSED: Nanos = Nanos::from_secs(16 * 60);

pub(crate) static NOBODY_SCRAPES: Rule = Rule {
    id: "alert-job-unscraped",
    severity: Severity::Error,
    title: "an alert goes by a job that nobody scrapes",
    explanation: "`job` is the name of a scrape configuration. A rule that selects a job which no scrape_config has \
        sees no series at all, and an expression over nothing never fires.",
    fix: "Correct the job's name, or scrape it.",
};

pub(crate) static COUNTS_429: Rule = Rule {
    id: "alert-counts-429",
    severity: Severity::Warning,
    title: "an alert counts 429 while the limiter answers 503",
    explanation: "nginx answers a request over its limit with limit_req_status, 503 unless it is set. An alert on 429 \
        then never fires, and every reject is charged to the 5xx budget.",
    fix: "Set `limit_req_status 429;` (and `limit_conn_status 429;`) at http level.",
};

pub(crate) static LONGER_THAN_REHEARSED: Rule = Rule {
    id: "alert-for-too-long",
    severity: Severity::Note,
    title: "an alert must hold for longer than anything that is rehearsed",
    explanation: "`for` starts anew whenever the expression is false for one evaluation. An alert whose `for` is longer \
        than every scenario stays pending in all of them: no rehearsal says anything about it.",
    fix: "Rehearse it with a scenario that is long enough, or keep in mind that it is untested.",
};

pub(crate) static NO_BUCKET_EDGE: Rule = Rule {
    id: "alert-between-buckets",
    severity: Severity::Warning,
    title: "an alert's limit lies between two bucket edges",
    explanation: "histogram_quantile interpolates linearly within a bucket: with no edge at the limit, the figure that \
        is compared is a guess between the edges around it, and an alert fires early or late.",
    fix: "Give the histogram a bucket edge at the limit.",
};

#[derive(Deserialize)]
struct RuleFile {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    rules: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    #[serde(rename = "alert")]
    name: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    pending: Option<String>,
}

#[derive(Deserialize)]
struct PrometheusFile {
    #[serde(default)]
    scrape_configs: Vec<Scrape>,
}

#[derive(Deserialize)]
struct Scrape {
    job_name: String,
    #[serde(default)]
    relabel_configs: Vec<Relabel>,
}

#[derive(Deserialize)]
struct Relabel {
    target_label: Option<String>,
}

/// Edges of a histogram that nobody sets, in seconds: those of the Python client, among them all of the Go client's.
const DEFAULT_EDGES: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    let (jobs, edges) = (jobs(platform), edges(platform));
    let answers_503 = platform.gateway.as_ref().is_some_and(|gateway| {
        let limited = |l: &&platform::Location| !l.limits.is_empty();
        gateway.config.servers.iter().flat_map(|s| &s.locations).filter(limited).any(|l| l.limit_status == 503)
    });
    for (config, key, text) in texts(platform) {
        let Ok(file) = serde_saphyr::from_str::<RuleFile>(text) else { continue };
        for rule in file.groups.into_iter().flat_map(|group| group.rules) {
            let (kind, name) = match (&rule.name, &rule.record) {
                (Some(alert), _) => ("alert", alert),
                (None, Some(record)) => ("recording rule", record),
                (None, None) => continue,
            };
            let subject = format!("{kind} {name}");
            let place = &config.place;
            for job in jobs.iter().flat_map(|jobs| unscraped(&rule.expr, jobs)) {
                let near = crate::nearest(job, jobs.iter().flatten().map(String::as_str));
                found.push(NOBODY_SCRAPES.at(
                    &subject,
                    place,
                    if kind == "alert" { format!("{name} can never fire.") } else { format!("{name} has no values.") },
                    format!(
                        "It selects job `{job}` ({key}), which no scrape_config has{}.",
                        near.map_or(String::new(), |near| format!("; there is `{near}`"))
                    ),
                ));
            }
            if answers_503 && rule.name.is_some() && rule.expr.contains("429") {
                found.push(COUNTS_429.at(
                    &subject,
                    place,
                    format!("{name} can never fire, and rejects are charged to the 5xx budget."),
                    "No limit_req_status is set, so the gateway's limiter answers 503.",
                ));
            }
            if let Some(pending) = rule.pending.as_deref().and_then(|text| text.parse::<Nanos>().ok())
                && pending > REHEARSED
            {
                found.push(LONGER_THAN_REHEARSED.at(
                    &subject,
                    place,
                    format!("No rehearsal can tell whether {name} works."),
                    format!("It must hold for {pending}; scenarios with a failure last up to {REHEARSED}."),
                ));
            }
            for (metric, limit) in quantile_limit(&rule.expr).into_iter().chain(edge_limits(&rule.expr)) {
                found.extend(between_edges(&edges, metric, limit, &subject, config));
            }
        }
    }
}

/// Every text of a ConfigMap.
fn texts(platform: &Platform) -> impl Iterator<Item = (&Config, &str, &str)> {
    platform
        .configs
        .iter()
        .flat_map(|config| config.entries.iter().map(move |(key, text)| (config, key.as_str(), text.as_str())))
}

/// The jobs that are scraped. `None`: nobody says, or a relabelling gives targets other jobs than their configuration's.
fn jobs(platform: &Platform) -> Option<BTreeSet<String>> {
    let files = texts(platform).filter(|(_, _, text)| text.contains("scrape_configs"));
    let files = files.filter_map(|(_, _, text)| serde_saphyr::from_str::<PrometheusFile>(text).ok());
    let scrapes: Vec<Scrape> = files.flat_map(|file| file.scrape_configs).collect();
    let renames = |scrape: &Scrape| scrape.relabel_configs.iter().any(|r| r.target_label.as_deref() == Some("job"));
    let known = !scrapes.is_empty() && !scrapes.iter().any(renames);
    known.then(|| scrapes.into_iter().map(|scrape| scrape.job_name).collect())
}

/// Jobs in `job="…"` and `job=~"…"` that are not scraped; an expression is taken as a whole.
fn unscraped<'a>(expression: &'a str, jobs: &BTreeSet<String>) -> Vec<&'a str> {
    let is_there = |pattern: &str| {
        let regex = fancy_regex::Regex::new(&format!("^(?:{pattern})$"));
        regex.is_ok_and(|regex| jobs.iter().any(|job| regex.is_match(job).unwrap_or(true)))
    };
    let exact = matchers(expression, "job", "=\"").into_iter().filter(|job| !job.is_empty() && !jobs.contains(*job));
    let pattern = matchers(expression, "job", "=~\"").into_iter().filter(|pattern| !is_there(pattern));
    exact.chain(pattern).collect()
}

/// What stands behind `LABEL` and an operator with its quote, in every selector of an expression.
fn matchers<'a>(expression: &'a str, label: &str, operator: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mark = format!("{label}{operator}");
    let mut rest = expression;
    while let Some(at) = rest.find(&mark) {
        let bounded = rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let value = &rest[at + mark.len()..];
        let Some(end) = value.find('"') else { break };
        if bounded {
            found.push(&value[..end]);
        }
        rest = &value[end..];
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// `histogram_quantile(…) > LIMIT`: the histogram and the limit that is compared with.
fn quantile_limit(expression: &str) -> Option<(&str, f64)> {
    let inside = &expression[expression.find("histogram_quantile(")?..];
    let metric = inside.split(|c: char| !is_name(c)).find_map(|word| word.strip_suffix("_bucket"))?;
    let (_, limit) = inside.rsplit_once('>')?;
    Some((metric, limit.trim().trim_start_matches('=').split_whitespace().next()?.parse().ok()?))
}

/// `METRIC_bucket{le="LIMIT"}`, as shares of fast requests are written.
fn edge_limits(expression: &str) -> Vec<(&str, f64)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("_bucket{") {
        let metric = expression[..at].rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
        let selector = expression[at..].split('}').next().unwrap_or_default();
        let limit = matchers(selector, "le", "=\"").first().and_then(|limit| limit.parse::<f64>().ok());
        found.extend(limit.filter(|limit| limit.is_finite()).map(|limit| (metric, limit)));
    }
    found
}

/// A finding if a histogram has no edge at a limit. Edges that nobody declares are taken to be the client's own.
fn between_edges(
    edges: &BTreeMap<String, Vec<f64>>,
    metric: &str,
    limit: f64,
    subject: &str,
    config: &Config,
) -> Option<Finding> {
    let declared = edges.get(metric);
    // The defaults are meant for seconds.
    let assumed = metric.ends_with("_seconds").then_some(&DEFAULT_EDGES[..]);
    let edges = declared.map(Vec::as_slice).or(assumed)?;
    if edges.iter().any(|edge| (edge - limit).abs() <= limit.abs() * 1e-9) {
        return None;
    }
    let below = edges.iter().copied().filter(|edge| *edge < limit).fold(0.0, f64::max);
    let above = edges.iter().copied().filter(|edge| *edge > limit).fold(f64::INFINITY, f64::min);
    let mut finding = NO_BUCKET_EDGE.at(
        subject,
        &config.place,
        format!("It may go off anywhere between {below} and {above}."),
        match declared {
            Some(_) => format!("{metric} has no bucket edge at its limit, {limit}."),
            None => format!(
                "{metric} has no edge at {limit} unless its service sets buckets of its own: none is declared \
                 (annotation rehearse.dev/buckets), and Prometheus' clients bring none there."
            ),
        },
    );
    if declared.is_none() {
        finding.severity = Severity::Note;
    }
    Some(finding)
}

/// Bucket edges that pods declare by annotation `rehearse.dev/buckets: metric=0.1,0.5,…`, one metric a line.
fn edges(platform: &Platform) -> BTreeMap<String, Vec<f64>> {
    let declared = platform.workloads.iter().filter_map(|w| w.annotations.get("rehearse.dev/buckets"));
    declared
        .flat_map(|text| text.lines())
        .filter_map(|line| line.split_once('='))
        .map(|(metric, edges)| {
            (metric.trim().to_owned(), edges.split(',').filter_map(|edge| edge.trim().parse().ok()).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_as_prometheus_writes_them() {
        let jobs = ["services", "api"].map(str::to_owned).into_iter().collect();
        for (expression, want) in [
            (r#"up{job="nginx"} == 0 and x{sub_job="no",job="api"}"#, vec!["nginx"]),
            (r#"up{job=~"a.i|b"}"#, vec![]),
            (r#"up{job=~"a|b", x="y"}"#, vec!["a|b"]),
            (r#"up{job!="nginx"}"#, vec![]),
            (r#"absent(up{job=""})"#, vec![]),
        ] {
            assert_eq!(unscraped(expression, &jobs), want, "{expression}");
        }
    }

    #[test]
    fn limits_of_histograms_are_found() {
        let quantile = "histogram_quantile(0.95, sum by (le) (rate(a_seconds_bucket{job=\"x\"}[5m]))) > 0.8";
        assert_eq!(quantile_limit(quantile), Some(("a_seconds", 0.8)));
        assert_eq!(quantile_limit("rate(a_seconds_sum[5m]) > 0.8"), None);
        let ratio =
            "sum(rate(b_seconds_bucket{job=\"x\",le=\"0.3\"}[5m])) / sum(rate(b_seconds_bucket{le=\"+Inf\"}[5m]))";
        assert_eq!(edge_limits(ratio), [("b_seconds", 0.3)]);
        assert!(edge_limits("a{job=\"x\"} > 1").is_empty());
    }

    #[test]
    fn nothing_that_is_shipped_and_breaks_something_lasts_longer() {
        let length = |shipped: &scenarios::Shipped| {
            let scenario = scenarios::Scenario::parse(shipped.text, shipped.file).unwrap();
            scenario.load(units::Seed::new(1)).end()
        };
        let longest = scenarios::LIBRARY.iter().filter(|shipped| shipped.name != "day").map(length).max();
        assert_eq!(longest, Some(REHEARSED));
    }
}
