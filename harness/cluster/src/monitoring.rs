//! Prometheus and the adapter behind `custom.metrics.k8s.io` and `external.metrics.k8s.io`: what an autoscaler reads
//! beside CPU and memory.
//!
//! Owns the scrapes of the pods' own counters, the rates and the forecast that recording rules make of them, and which
//! metric of which autoscaler means which of these. Pods tell what they count in [`crate::Traffic`]; a live run and a
//! run in virtual time are read the same way.
//!
//! Sources: Prometheus `promql/functions.go` (`extrapolatedRate`, `predict_linear`); prometheus-adapter
//! `pkg/custom-provider/provider.go` (values of existing pods only, cut off to thousandths). What nobody can know from
//! manifests is assumed and stands in [`Monitoring`]: windows, and the meaning of a metric's name.

use std::collections::{BTreeMap, VecDeque};

use platform::{Autoscaler, MetricSource, ObjectRef, Platform, Selector, WorkloadId};
use serde::{Deserialize, Serialize};
use units::{Nanos, Purpose, Seed};

use crate::hpa::{CustomMetric, CustomValues, ExternalMetric, FedMetrics};
use crate::{PodId, Usage};

/// How Prometheus and the adapter are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Monitoring {
    /// `scrape_interval` and `evaluation_interval`; 15 s, as the platform documents.
    pub interval: Nanos,
    /// Range of the rate that the adapter asks for. Assumed 2 min, as in the adapter's walkthrough.
    pub rate_over: Nanos,
    /// Range of the rate that the forecast is made from: `service:http_requests:rate5m`.
    pub rule_over: Nanos,
    /// How far back the forecast looks: the `[30m]` of `service:http_requests:forecast10m`.
    pub history: Nanos,
    /// How far ahead it looks: its 600 s.
    pub ahead: Nanos,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            interval: Nanos::from_secs(15),
            rate_over: Nanos::from_secs(120),
            rule_over: Nanos::from_secs(300),
            history: Nanos::from_secs(1_800),
            ahead: Nanos::from_secs(600),
        }
    }
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Requests answered per second.
    Rate,
    /// Requests in the pod that wait for a thread.
    Waiting,
    /// Requests in the pod.
    InFlight,
    /// Where the rate leads.
    Forecast,
}

impl Quantity {
    /// By the words of a metric's name, for no manifest says what a name means. `None`: nothing that a pod counts here.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["duration", "latency", "bytes", "size", "error", "failed", "lag"]) {
            None
        } else if has(&["forecast", "predict"]) {
            Some(Self::Forecast)
        } else if has(&["waiting", "queue", "backlog", "pending"]) {
            Some(Self::Waiting)
        } else if has(&["in_flight", "inflight", "in_progress", "active", "concurren"]) {
            Some(Self::InFlight)
        } else if has(&["request", "rps", "qps"]) {
            Some(Self::Rate)
        } else {
            None
        }
    }

    /// As people call it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Rate => "requests a second",
            Self::Waiting => "requests that wait for a thread",
            Self::InFlight => "requests in the pod",
            Self::Forecast => "the forecast request rate",
        }
    }
}

/// One custom or external metric of an autoscaler, and what answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Name of the metric.
    pub metric: String,
    /// The selector it is asked with, see [`platform::MetricId::label_query`].
    selector: String,
    /// What it means; `None`: nothing here counts that, so it fails as it does without an adapter.
    pub quantity: Option<Quantity>,
    /// Whose pods are counted; empty where they are each told for themselves.
    of: Vec<WorkloadId>,
    kind: FeedKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FeedKind {
    Pods,
    Object(ObjectRef),
    External,
}

/// The custom and external metrics of an autoscaler. Others, CPU and memory, are metrics-server's.
pub fn feeds(platform: &Platform, autoscaler: &Autoscaler) -> Vec<Feed> {
    let own: Vec<WorkloadId> = autoscaler.target.into_iter().collect();
    let feed = |metric: &platform::Metric| {
        let (id, kind, of) = match &metric.source {
            MetricSource::Resource { .. } | MetricSource::ContainerResource { .. } => return None,
            MetricSource::Pods(id) => (id, FeedKind::Pods, own.clone()),
            MetricSource::Object { object, metric } => {
                (metric, FeedKind::Object(object.clone()), of_object(platform, &autoscaler.namespace, object))
            }
            MetricSource::External(id) => {
                let named = id.selector.as_ref().map(|selector| of_selector(platform, selector)).unwrap_or_default();
                // A metric from outside that names nobody is taken to be about who is scaled by it.
                (id, FeedKind::External, if named.is_empty() { own.clone() } else { named })
            }
        };
        let quantity = Quantity::of(&id.name).filter(|_| !of.is_empty());
        Some(Feed { metric: id.name.clone(), selector: id.label_query(), quantity, of, kind })
    };
    autoscaler.metrics.iter().filter_map(feed).collect()
}

/// The workloads behind an object: a Service's, an Ingress' Services', or a workload itself.
fn of_object(platform: &Platform, namespace: &str, object: &ObjectRef) -> Vec<WorkloadId> {
    let behind = |name: &str| {
        let service = platform.service_from(namespace, name);
        service.map(|id| platform.selected_by(platform.service(id)).collect::<Vec<_>>()).unwrap_or_default()
    };
    match object.kind.as_str() {
        "Service" => behind(&object.name),
        "Ingress" => {
            let is = |i: &&platform::Ingress| i.name == object.name && i.namespace == namespace;
            let rules = platform.ingresses.iter().filter(is).flat_map(|ingress| &ingress.rules);
            let mut all: Vec<_> = rules.flat_map(|rule| behind(&rule.service)).collect();
            all.sort_unstable();
            all.dedup();
            all
        }
        kind => platform.workload_of(kind, namespace, &object.name).into_iter().collect(),
    }
}

/// The workloads that a label's value names, as `service: transactions-service` does.
fn of_selector(platform: &Platform, selector: &Selector) -> Vec<WorkloadId> {
    let named = |name: &String| {
        let service = platform.service_named(name).map(|id| platform.service(id));
        let selected = service.map(|service| platform.selected_by(service).collect::<Vec<_>>());
        selected.filter(|all| !all.is_empty()).or_else(|| Some(vec![platform.workload_named(name)?]))
    };
    selector.labels.values().find_map(named).unwrap_or_default()
}

/// What was scraped of one pod.
#[derive(Debug)]
struct Series {
    workload: WorkloadId,
    /// Instants and the counter, across restarts of the container; oldest first.
    answered: VecDeque<(Nanos, u64)>,
    /// What the container's own counter said last, and when that container started.
    last: (Nanos, u64),
    waiting: u32,
    in_flight: u32,
    scraped: Nanos,
}

/// One Prometheus with its adapter.
#[derive(Debug)]
pub(crate) struct Prometheus {
    config: Monitoring,
    /// By autoscaler.
    feeds: Vec<Vec<Feed>>,
    pods: BTreeMap<PodId, Series>,
    /// The recorded rate of each workload.
    rates: BTreeMap<WorkloadId, VecDeque<(Nanos, f64)>>,
    scraped: Nanos,
}

impl Prometheus {
    /// `None`: no autoscaler asks for anything that it could tell.
    pub(crate) fn new(config: Monitoring, platform: &Platform) -> Option<Self> {
        let feeds: Vec<_> = platform.autoscalers.iter().map(|declared| feeds(platform, declared)).collect();
        let asked = feeds.iter().flatten().any(|feed| feed.quantity.is_some());
        let (pods, rates) = (BTreeMap::new(), BTreeMap::new());
        asked.then_some(Self { config, feeds, pods, rates, scraped: Nanos::ZERO })
    }

    pub(crate) fn interval(&self) -> Nanos {
        self.config.interval.max(Nanos::from_millis(100))
    }

    /// When the first scrape happens: somewhere in the first interval, and beside every sync of an autoscaler.
    pub(crate) fn first_scrape(&self, seed: Seed) -> Nanos {
        let step = Nanos::from_millis(100);
        let draw = seed.child("prometheus").draw_nth(0, Purpose::Phase);
        step * draw.below((self.interval().get() / step.get()) as usize) as u64 + Nanos::from_millis(25)
    }

    /// Stores one scrape of all running pods, and evaluates the rules.
    pub(crate) fn store(&mut self, now: Nanos, scraped: &[(PodId, Usage)], of: impl Fn(PodId) -> WorkloadId) {
        self.scraped = now;
        for &(pod, usage) in scraped {
            let series = self.pods.entry(pod).or_insert_with(|| Series {
                workload: of(pod),
                answered: VecDeque::new(),
                last: (usage.started, 0),
                waiting: 0,
                in_flight: 0,
                scraped: now,
            });
            let traffic = usage.traffic;
            // Where a counter began anew, all that it says has come since.
            let since = if series.last.0 == usage.started { series.last.1 } else { 0 };
            let sum = series.answered.back().map_or(0, |(_, sum)| *sum) + traffic.answered.saturating_sub(since);
            series.answered.push_back((now, sum));
            series.last = (usage.started, traffic.answered);
            (series.waiting, series.in_flight, series.scraped) = (traffic.waiting, traffic.in_flight, now);
        }
        let kept = now - self.config.rate_over.max(self.config.rule_over).min(now);
        self.pods.retain(|_, series| {
            while series.answered.front().is_some_and(|(at, _)| *at <= kept) {
                series.answered.pop_front();
            }
            !series.answered.is_empty()
        });
        self.evaluate(now);
    }

    fn evaluate(&mut self, now: Nanos) {
        let forecast = |feed: &&Feed| feed.quantity == Some(Quantity::Forecast);
        let mut asked: Vec<WorkloadId> =
            self.feeds.iter().flatten().filter(forecast).flat_map(|feed| feed.of.iter().copied()).collect();
        asked.sort_unstable();
        asked.dedup();
        for workload in asked {
            let Some(rate) = self.total_rate(now, workload, self.config.rule_over) else { continue };
            let rates = self.rates.entry(workload).or_default();
            rates.push_back((now, rate));
            while rates.front().is_some_and(|(at, _)| *at + self.config.history <= now) {
                rates.pop_front();
            }
        }
    }

    /// `sum(rate(http_requests_total[over]))` of a workload; pods that have gone count until their samples are old.
    fn total_rate(&self, now: Nanos, workload: WorkloadId, over: Nanos) -> Option<f64> {
        let own = self.pods.values().filter(|series| series.workload == workload);
        own.filter_map(|series| rate(&series.answered, now, over)).reduce(|sum, rate| sum + rate)
    }

    /// `clamp_min(predict_linear(rate[history], ahead), 0)`.
    fn forecast(&self, now: Nanos, workload: WorkloadId) -> Option<f64> {
        let points = self.rates.get(&workload)?;
        predict_linear(points, now, self.config.ahead).map(|value| value.max(0.0))
    }

    fn of_pod(&self, now: Nanos, pod: PodId, quantity: Quantity) -> Option<f64> {
        let series = self.pods.get(&pod)?;
        // A target that was not there at the last scrape is stale.
        let fresh = series.scraped == self.scraped;
        match quantity {
            Quantity::Rate | Quantity::Forecast => rate(&series.answered, now, self.config.rate_over),
            Quantity::Waiting => fresh.then(|| f64::from(series.waiting)),
            Quantity::InFlight => fresh.then(|| f64::from(series.in_flight)),
        }
    }

    fn of_workload(&self, now: Nanos, workload: WorkloadId, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Forecast => self.forecast(now, workload),
            Quantity::Rate => self.total_rate(now, workload, self.config.rate_over),
            Quantity::Waiting | Quantity::InFlight => {
                let own = self.pods.iter().filter(|(_, series)| series.workload == workload);
                own.filter_map(|(pod, _)| self.of_pod(now, *pod, quantity)).reduce(|sum, value| sum + value)
            }
        }
    }

    /// What both APIs answer to an autoscaler, whose pods these are.
    pub(crate) fn answer(&self, now: Nanos, autoscaler: usize, pods: &[(PodId, &str)]) -> FedMetrics {
        let mut fed = FedMetrics::default();
        for feed in self.feeds.get(autoscaler).into_iter().flatten() {
            let Some(quantity) = feed.quantity else { continue };
            let total = || feed.of.iter().filter_map(|id| self.of_workload(now, *id, quantity)).reduce(|a, b| a + b);
            let custom = |values| CustomMetric { name: feed.metric.clone(), selector: feed.selector.clone(), values };
            match &feed.kind {
                FeedKind::Pods => {
                    let value = |(pod, name): &(PodId, &str)| {
                        Some(((*name).to_owned(), milli(self.of_pod(now, *pod, quantity)?)))
                    };
                    fed.custom.push(custom(CustomValues::Pods(pods.iter().filter_map(value).collect())));
                }
                FeedKind::Object(object) => {
                    let (kind, name) = (object.kind.clone(), object.name.clone());
                    fed.custom.push(custom(match total() {
                        Some(value) => CustomValues::Object { kind, name, value: milli(value) },
                        None => CustomValues::Error(format!(
                            "the server could not find the metric {} for {} {name}",
                            feed.metric,
                            kind.to_lowercase()
                        )),
                    }));
                }
                FeedKind::External => fed.external.push(ExternalMetric {
                    name: feed.metric.clone(),
                    selector: feed.selector.clone(),
                    values: Ok(total().map(milli).into_iter().collect()),
                }),
            }
        }
        fed
    }
}

/// As the adapter makes a quantity of a value: cut off to thousandths.
fn milli(value: f64) -> i64 {
    (value * 1_000.0) as i64
}

/// `rate(counter[over])` at `now`, of a counter without resets: `extrapolatedRate`. The range is open to the left.
fn rate(samples: &VecDeque<(Nanos, u64)>, now: Nanos, over: Nanos) -> Option<f64> {
    let begins = now - over.min(now);
    let mut within = samples.iter().filter(|(at, _)| (*at > begins || over >= now) && *at <= now);
    let first = within.next()?;
    let (mut last, mut count) = (first, 1_u32);
    for sample in within {
        (last, count) = (sample, count + 1);
    }
    if count < 2 {
        return None;
    }
    let seconds = Nanos::as_secs_f64;
    let increase = (last.1 - first.1) as f64;
    let sampled = seconds(last.0 - first.0);
    let average = sampled / f64::from(count - 1);
    let near = |duration: f64| if duration >= average * 1.1 { average / 2.0 } else { duration };
    let mut to_start = near(seconds(first.0) - (seconds(now) - seconds(over)));
    if increase > 0.0 {
        to_start = to_start.min(sampled * first.1 as f64 / increase); // a counter was never below zero
    }
    let to_end = near(seconds(now - last.0));
    Some(increase * ((sampled + to_start + to_end) / sampled) / seconds(over))
}

/// `predict_linear(points[…], ahead)` at `now`: least squares, needs two points.
fn predict_linear(points: &VecDeque<(Nanos, f64)>, now: Nanos, ahead: Nanos) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let x = |at: Nanos| at.as_secs_f64() - now.as_secs_f64();
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(sx, sy), (at, y)| (sx + x(*at), sy + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut products, mut squares) = (0.0, 0.0);
    for (at, y) in points {
        products += (x(*at) - mean_x) * (y - mean_y);
        squares += (x(*at) - mean_x) * (x(*at) - mean_x);
    }
    if squares <= 0.0 {
        return None;
    }
    let slope = products / squares;
    Some(mean_y - slope * mean_x + slope * ahead.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(every: u64, values: &[u64]) -> VecDeque<(Nanos, u64)> {
        (0..).map(|n| Nanos::from_secs(600 + n * every)).zip(values.iter().copied()).collect()
    }

    #[test]
    fn rates_are_extrapolated_as_prometheus_does() {
        let at = |secs| Nanos::from_secs(secs);
        let two_minutes = at(120);
        let steady: Vec<u64> = (0..9).map(|n| 1_000 + 150 * n).collect();
        for (case, values, now, want) in [
            ("ten a second over a full window", &steady[..], 720, Some(10.0)),
            // 600 to 720: nine samples, of which the one at the open left end does not count; the gap is filled.
            ("the same a little later", &steady[..], 727, Some(10.0)),
            ("two samples fill a quarter of the window", &[1_000, 1_150], 615, Some(150.0 * (22.5 / 15.0) / 120.0)),
            ("one sample is no rate", &[1_000], 615, None),
            ("a counter that began at zero goes no further back", &[0, 150], 615, Some(150.0 / 120.0)),
        ] {
            let got = rate(&samples(15, values), at(now), two_minutes);
            let close = match (got, want) {
                (Some(got), Some(want)) => (got - want).abs() < 1e-9,
                (got, want) => got == want,
            };
            assert!(close, "{case}: {got:?} instead of {want:?}");
        }
    }

    #[test]
    fn a_line_is_followed() {
        let points: VecDeque<(Nanos, f64)> =
            (0..5_u32).map(|n| (Nanos::from_secs(u64::from(15 * n)), f64::from(n))).collect();
        let ahead = predict_linear(&points, Nanos::from_secs(60), Nanos::from_secs(600));
        assert!((ahead.unwrap() - 44.0).abs() < 1e-9, "{ahead:?}");
    }

    #[test]
    fn names_say_what_is_counted() {
        for (name, want) in [
            ("http_requests_per_second", Some(Quantity::Rate)),
            ("http_requests", Some(Quantity::Rate)),
            ("http_requests_waiting", Some(Quantity::Waiting)),
            ("queue_depth", Some(Quantity::Waiting)),
            ("http_requests_in_flight", Some(Quantity::InFlight)),
            ("http_requests_forecast", Some(Quantity::Forecast)),
            ("http_request_duration_seconds", None),
            ("kafka_consumergroup_lag", None),
            ("temperature", None),
        ] {
            assert_eq!(Quantity::of(name), want, "{name}");
        }
    }
}
