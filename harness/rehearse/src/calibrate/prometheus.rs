//! What a Prometheus has seen of each route: its rate, and its times as far as the buckets of a histogram tell them.
//!
//! A service counts its own routes, and load enters through the gateway. So a route is calibrated if a step of the
//! scenario leads to it; the others are told.

use std::collections::BTreeMap;

use scenarios::Plan;
use serde_json::Value;
use units::Nanos;

use super::load::{FEWEST, Load, Route};

/// What a Prometheus is asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PrometheusArgs {
    /// The last so much of what it has seen
    #[arg(long, value_name = "DURATION", default_value = "1h", requires = "prometheus")]
    pub(super) window: Nanos,
    /// The histogram of request times, in seconds
    #[arg(long, value_name = "NAME", default_value = "http_request_duration_seconds", requires = "prometheus")]
    pub(super) metric: String,
}

/// Names under which exporters tell the service, the path and the method.
const SERVICE: [&str; 4] = ["service", "app", "app_kubernetes_io_name", "job"];
const PATH: [&str; 5] = ["path", "handler", "route", "endpoint", "uri"];
/// As many points of a distribution as a route is fitted by.
const POINTS: usize = 1_000;

/// A route of a service, with its buckets: upper edge in seconds, and how many answers up to it.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    buckets: Vec<(f64, f64)>,
    all: f64,
}

type Key = (String, String, String);

/// Asks, and sorts what is said by the steps of the plan.
pub(super) fn load(url: &str, args: &PrometheusArgs, plan: &Plan) -> Result<Load, String> {
    let seconds = args.window.as_secs_f64();
    if seconds < 1.0 {
        return Err("--window: take a second at least".into());
    }
    let window = format!("{}s", seconds as u64);
    let ask = |text: String| super::http::query(url, &text);
    // Errors are quick or slow for reasons of their own; where exporters tell no status, all count.
    let good = ask(format!("increase({}_bucket{{status!~\"[45]..\",code!~\"[45]..\"}}[{window}]) > 0", args.metric))?;
    let all = ask(format!("increase({}_count[{window}]) > 0", args.metric))?;
    of(&good, &all, seconds, plan)
}

fn of(good: &Value, all: &Value, seconds: f64, plan: &Plan) -> Result<Load, String> {
    let mut seen: BTreeMap<Key, Seen> = BTreeMap::new();
    for (labels, value) in samples(all) {
        if let Some(key) = key(&labels) {
            seen.entry(key).or_default().all += value;
        }
    }
    for (labels, value) in samples(good) {
        let edge = labels.get("le").and_then(|le| if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() });
        let (Some(key), Some(edge)) = (key(&labels), edge) else { continue };
        let buckets = &mut seen.entry(key).or_default().buckets;
        match buckets.iter_mut().find(|(known, _)| known.total_cmp(&edge).is_eq()) {
            Some((_, count)) => *count += value,
            None => buckets.push((edge, value)),
        }
    }
    if seen.is_empty() {
        return Err(
            "it has no such histogram, or its series tell no service and path: name the right one with --metric".into(),
        );
    }
    let total: f64 = seen.values().map(|seen| seen.all).sum();
    let (mut routes, mut taken) = (Vec::new(), Vec::new());
    for (index, step) in plan.load.steps.iter().enumerate() {
        let Some(call) = plan.target(record::StepId(index as u16)).behind else { continue };
        let service = &plan.platform.service(call.service).name;
        let workload = &plan.platform.workload(call.workload).name;
        let of_step = |key: &&Key| {
            (key.0 == *service || key.0 == *workload)
                && plan.profile(call.workload).route(&key.1, &key.2) == Some(call.route)
        };
        // Two steps to one route share what was seen of it: the first has it.
        let keys: Vec<&Key> = seen.keys().filter(of_step).filter(|key| !taken.contains(key)).collect();
        let mut merged = Seen::default();
        for key in &keys {
            merged.all += seen[*key].all;
            for (edge, count) in &seen[*key].buckets {
                match merged.buckets.iter_mut().find(|(known, _)| known.total_cmp(edge).is_eq()) {
                    Some((_, sum)) => *sum += count,
                    None => merged.buckets.push((*edge, *count)),
                }
            }
        }
        taken.extend(keys);
        let took = took(&mut merged.buckets);
        if merged.all >= FEWEST as f64 && took.len() >= FEWEST {
            routes.push(Route {
                name: format!("{} {}", step.method, step.path.split('?').next().unwrap_or(&step.path)),
                method: step.method.clone(),
                path: step.path.clone(),
                n: merged.all as usize,
                rate: merged.all / seconds,
                took,
            });
        }
    }
    let mut left: Vec<(&Key, f64)> =
        seen.iter().filter(|(key, _)| !taken.contains(key)).map(|(key, seen)| (key, seen.all)).collect();
    left.sort_by(|one, other| other.1.total_cmp(&one.1));
    let mut told = vec![format!("{total:.0} requests in {seconds:.0} s, {:.1} a second", total / seconds)];
    if let Some(((service, method, path), n)) = left.first() {
        told.push(format!(
            "{} of its routes have no step of this scenario before them, {:.0} requests; the busiest is {method} {path} of \
             {service} ({n:.0})",
            left.len(),
            left.iter().map(|(_, n)| n).sum::<f64>()
        ));
    }
    let few = total - routes.iter().map(|route| route.n as f64).sum::<f64>();
    let host = plan.load.steps.first().map(|step| step.host.clone()).unwrap_or_default();
    Ok(Load::new(routes, few.max(0.0) as usize, plan.load.clients as usize, told, host))
}

/// `increase` of a histogram as times, by linear interpolation within a bucket as `histogram_quantile` has it. What lies
/// beyond the last edge is taken to lie on it.
fn took(buckets: &mut [(f64, f64)]) -> Vec<u64> {
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    let points = POINTS.min(total as usize);
    let point = |index: usize| {
        let wanted = (index as f64 + 0.5) / points as f64 * total;
        let at = buckets.iter().position(|(_, count)| *count >= wanted).unwrap_or(buckets.len() - 1);
        let (low, before) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
        let (high, count) = buckets[at];
        let within = if count > before { (wanted - before) / (count - before) } else { 1.0 };
        let time = if high.is_finite() { low + (high - low) * within } else { low };
        (time * 1e6) as u64
    };
    (0..points).map(point).collect()
}

/// Labels and value of each series of an instant vector.
fn samples(answer: &Value) -> impl Iterator<Item = (BTreeMap<String, String>, f64)> {
    let all = answer["data"]["result"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(|sample| {
        let labels = sample["metric"].as_object()?;
        let labels = labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        Some((labels.collect(), sample["value"][1].as_str()?.parse().ok()?))
    })
}

/// Service, method and path.
fn key(labels: &BTreeMap<String, String>) -> Option<Key> {
    let first = |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).cloned();
    Some((first(&SERVICE)?, labels.get("method").cloned().unwrap_or_else(|| "GET".into()), first(&PATH)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lie_within_their_buckets() {
        let mut buckets = [(f64::INFINITY, 100.0), (0.1, 50.0), (0.2, 90.0)];
        let took = took(&mut buckets);
        assert_eq!((took.len(), took.is_sorted()), (100, true));
        let below = |us: u64| took.iter().filter(|time| **time <= us).count();
        assert_eq!((below(50_000), below(100_000), below(150_000), below(200_000)), (25, 50, 70, 100));
        assert_eq!(super::took(&mut []), Vec::<u64>::new());
    }
}
