//! Alerts that cannot see what they claim.

use std::collections::{BTreeMap, BTreeSet};

use platform::{Config, Platform};
use serde::Deserialize;
use units::Nanos;

use super::Context;
use crate::{Finding, Rule, Severity};

/// Longer than any scenario but a day's: an alert that must hold for more cannot fire in a rehearsal.
const REHEARSED: Nanos = Nanos::from_secs(20 * 60);

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
}

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    let jobs = jobs(platform);
    let answers_503 = platform.gateway.as_ref().is_some_and(|gateway| {
        let limited = |l: &&platform::Location| !l.limits.is_empty();
        gateway.config.servers.iter().flat_map(|s| &s.locations).filter(limited).any(|l| l.limit_status == 503)
    });
    for (config, key, text) in texts(platform) {
        let Ok(file) = serde_saphyr::from_str::<RuleFile>(text) else { continue };
        for rule in file.groups.into_iter().flat_map(|group| group.rules) {
            let Some(name) = &rule.name else { continue };
            let subject = format!("alert {name}");
            let place = &config.place;
            for job in selected_jobs(&rule.expr) {
                if !jobs.is_empty() && !jobs.contains(job) {
                    let near = crate::nearest(job, jobs.iter().map(String::as_str));
                    found.push(NOBODY_SCRAPES.at(
                        &subject,
                        place,
                        format!("{name} can never fire."),
                        format!(
                            "It selects job `{job}` ({key}), which no scrape_config has{}.",
                            near.map_or(String::new(), |near| format!("; there is `{near}`"))
                        ),
                    ));
                }
            }
            if answers_503 && rule.expr.contains("429") {
                found.push(COUNTS_429.at(
                    &subject,
                    place,
                    format!("{name} can never fire, and rejects are charged to the 5xx budget."),
                    "No limit_req_status is set, so the gateway's limiter answers 503.",
                ));
            }
            if let Some(pending) = rule.pending.as_deref().and_then(duration)
                && pending > REHEARSED
            {
                found.push(LONGER_THAN_REHEARSED.at(
                    &subject,
                    place,
                    format!("No rehearsal can tell whether {name} works."),
                    format!("It must hold for {pending}; scenarios last up to {REHEARSED}."),
                ));
            }
            found.extend(between_buckets(platform, &rule.expr, name, config));
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

fn jobs(platform: &Platform) -> BTreeSet<String> {
    let files = texts(platform).filter(|(_, _, text)| text.contains("scrape_configs"));
    files
        .filter_map(|(_, _, text)| serde_saphyr::from_str::<PrometheusFile>(text).ok())
        .flat_map(|file| file.scrape_configs)
        .map(|scrape| scrape.job_name)
        .collect()
}

/// Values of `job="…"` in an expression; regular expressions are left alone.
fn selected_jobs(expression: &str) -> Vec<&str> {
    let mut jobs = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("job=\"") {
        let bounded = rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let value = &rest[at + 5..];
        let Some(end) = value.find('"') else { break };
        if bounded {
            jobs.push(&value[..end]);
        }
        rest = &value[end..];
    }
    jobs
}

/// Prometheus' durations: `1h30m`, `90s`, `500ms`.
fn duration(text: &str) -> Option<Nanos> {
    let mut total = Nanos::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let value: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += match &rest[..end] {
            "ms" => Nanos::from_millis(value),
            "s" => Nanos::from_secs(value),
            "m" => Nanos::from_secs(value * 60),
            "h" => Nanos::from_secs(value * 3_600),
            "d" => Nanos::from_secs(value * 86_400),
            "w" => Nanos::from_secs(value * 604_800),
            _ => return None,
        };
        rest = &rest[end..];
    }
    Some(total)
}

/// `histogram_quantile(…) > LIMIT`, where recording rules or annotations declare the edges of that histogram.
fn between_buckets(platform: &Platform, expression: &str, name: &str, config: &Config) -> Option<Finding> {
    let at = expression.find("histogram_quantile(")?;
    let inside = &expression[at..];
    let metric =
        inside.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').find(|w| w.ends_with("_bucket"))?;
    let (_, limit) = inside.rsplit_once('>')?;
    let limit: f64 = limit.trim().trim_start_matches('=').split_whitespace().next()?.parse().ok()?;
    let edges = edges(platform).remove(metric.trim_end_matches("_bucket"))?;
    if edges.iter().any(|edge| (edge - limit).abs() <= limit.abs() * 1e-9) {
        return None;
    }
    let below = edges.iter().copied().filter(|edge| *edge < limit).fold(f64::NEG_INFINITY, f64::max);
    let above = edges.iter().copied().filter(|edge| *edge > limit).fold(f64::INFINITY, f64::min);
    Some(NO_BUCKET_EDGE.at(
        format!("alert {name}"),
        &config.place,
        format!("{name} may fire anywhere between {below} and {above}."),
        format!("{metric} has no bucket edge at its limit, {limit}."),
    ))
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
    fn durations_and_jobs_are_read_as_prometheus_writes_them() {
        for (text, want) in [("2m", Some(120)), ("1h30m", Some(5_400)), ("90s", Some(90)), ("soon", None), ("5", None)]
        {
            assert_eq!(duration(text), want.map(Nanos::from_secs), "{text}");
        }
        assert_eq!(selected_jobs(r#"up{job="nginx"} == 0 and x{sub_job="no",job="api"}"#), ["nginx", "api"]);
        assert!(selected_jobs(r#"up{job=~"a|b"}"#).is_empty());
    }
}
