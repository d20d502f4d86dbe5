//! One metric of an autoscaler: reads its values from what is observed, asks the calculator, and words the outcome.
//!
//! Follows `computeReplicasForMetric` and the `computeStatusFor…` functions of
//! `pkg/controller/podautoscaler/horizontal.go`, with the errors of `metrics/client.go`.

use platform::{Metric, MetricId, MetricSource, MetricTarget, ObjectRef, Operator, Selector};
use record::MetricReading;
use units::Nanos;

use super::calculator::{PerPod, Proposal, ReplicaCalculator, Standing, Target};
use super::input::{Amounts, CustomValues, Observed, PodView, Sample};
use crate::Release;

/// What the custom and external metrics clients say where no adapter is registered.
const NO_CUSTOM_API: &str = "no custom metrics API (custom.metrics.k8s.io) registered";

/// Why a metric said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// Reason of condition `ScalingActive`.
    pub(super) reason: &'static str,
    /// What the condition's message ends with.
    pub(super) why: String,
}

/// One metric with everything that does not change between syncs.
#[derive(Clone, Debug)]
pub(super) struct Source {
    metric: Metric,
    namespace: String,
    /// As condition `ValidMetricFound` names it.
    pub(super) name: String,
    /// As reports name it.
    short: String,
    query: String,
}

impl Source {
    pub(super) fn new(metric: &Metric, namespace: &str) -> Self {
        let utilization = matches!(metric.target, MetricTarget::Utilization(_));
        let with_selector =
            |id: &MetricId| format!("external metric {}({})", id.name, go_selector(id.selector.as_ref()));
        let (name, short, query) = match &metric.source {
            MetricSource::Resource { resource } if utilization => {
                (format!("{resource} resource utilization (percentage of request)"), resource.clone(), String::new())
            }
            MetricSource::ContainerResource { resource, container } if utilization => (
                format!("{resource} container resource utilization (percentage of request)"),
                format!("{resource} of {container}"),
                String::new(),
            ),
            MetricSource::Resource { resource } => (format!("{resource} resource"), resource.clone(), String::new()),
            MetricSource::ContainerResource { resource, container } => {
                (format!("{resource} resource"), format!("{resource} of {container}"), String::new())
            }
            MetricSource::Pods(id) => {
                let name = format!("pods metric {}", id.name);
                (name.clone(), name, id.label_query())
            }
            MetricSource::Object { object, metric: id } => {
                let short = format!("{} metric {}", object.kind, id.name);
                let name = match metric.target {
                    // Upstream says `external metric` for an object's average, too.
                    MetricTarget::AverageValue(_) => with_selector(id),
                    _ => short.clone(),
                };
                (name, short, id.label_query())
            }
            MetricSource::External(id) => (with_selector(id), format!("external metric {}", id.name), id.label_query()),
        };
        Self { metric: metric.clone(), namespace: namespace.to_owned(), name, short, query }
    }

    /// Whether it has a value without any pod.
    pub(super) fn is_from_outside(&self) -> bool {
        matches!(self.metric.source, MetricSource::Object { .. } | MetricSource::External(_))
    }

    /// What it asks for.
    pub(super) fn ask(
        &self,
        calculator: &ReplicaCalculator,
        release: Release,
        at: Standing<'_>,
        observed: &Observed<'_>,
    ) -> Result<Proposal, Failed> {
        let (reason, outcome) = match &self.metric.source {
            MetricSource::Resource { resource } => {
                ("FailedGetResourceMetric", self.resource(calculator, release, at, observed, (resource, None)))
            }
            MetricSource::ContainerResource { resource, container } => {
                let of = (resource.as_str(), Some(container.as_str()));
                ("FailedGetContainerResourceMetric", self.resource(calculator, release, at, observed, of))
            }
            MetricSource::Pods(id) => ("FailedGetPodsMetric", self.pods(calculator, at, observed, id)),
            MetricSource::Object { object, metric } => {
                ("FailedGetObjectMetric", self.object(calculator, at, observed, object, metric))
            }
            MetricSource::External(id) => ("FailedGetExternalMetric", self.external(calculator, at, observed, id)),
        };
        outcome.map_err(|why| Failed { reason, why })
    }

    fn resource(
        &self,
        calculator: &ReplicaCalculator,
        release: Release,
        at: Standing<'_>,
        observed: &Observed<'_>,
        of: (&str, Option<&str>),
    ) -> Result<Proposal, String> {
        let (resource, container) = of;
        let kind = if matches!(self.metric.target, MetricTarget::Utilization(_)) { "utilization" } else { "usage" };
        let failed = |why: &str| format!("failed to get {resource} {kind}: {why}");
        let unread = |why: &str| failed(&format!("unable to get metrics for resource {resource}: {why}"));
        if let Some(why) = observed.resource_error {
            return Err(unread(&format!("unable to fetch metrics from resource metrics API: {why}")));
        }
        if observed.strays.is_empty() && observed.pods.iter().all(|pod| pod.sample.is_none()) {
            return Err(unread("no metrics returned from resource metrics API"));
        }
        let strays = observed.strays.iter().filter_map(|sample| used(sample, resource, container));
        let strays = strays.fold((0, 0_i64), |(pods, sum), value| (pods + 1, sum.wrapping_add(value)));
        let requests = |pod: &PodView<'_>| requested(pod, resource, container, release);
        let target = match self.metric.target {
            MetricTarget::Utilization(percent) => {
                Target::Utilization { percent: percent.cast_signed(), requests: &requests }
            }
            MetricTarget::AverageValue(value) | MetricTarget::Value(value) => Target::Usage(value.get()),
            MetricTarget::Missing => {
                return Err(
                    "invalid resource metric source: neither an average utilization target nor an average value \
                            (usage) target was set"
                        .to_owned(),
                );
            }
        };
        let value = |pod: &PodView<'_>| pod.sample.as_ref().and_then(|sample| used(sample, resource, container));
        let metric = PerPod { value: &value, strays, sampled: true, readiness: resource == "cpu", target };
        calculator.per_pod(at, &metric).map_err(|why| failed(&why))
    }

    fn pods(
        &self,
        calculator: &ReplicaCalculator,
        at: Standing<'_>,
        observed: &Observed<'_>,
        id: &MetricId,
    ) -> Result<Proposal, String> {
        let unread = |why: &str| format!("unable to get metric {}: {why}", id.name);
        let values = self.custom(observed, id, None).map_err(|why| unread(&why))?;
        let CustomValues::Pods(values) = values else { return Err(unread(&from_api(NO_CUSTOM_API))) };
        if values.is_empty() {
            return Err(unread("no metrics returned from custom metrics API"));
        }
        let find = |name: &str| values.iter().rev().find(|(pod, _)| pod == name).map(|(_, value)| *value);
        let strays = values.iter().filter(|(name, _)| !at.pods.iter().any(|pod| pod.name == name));
        let strays = strays.fold((0, 0_i64), |(pods, sum), (_, value)| (pods + 1, sum.wrapping_add(*value)));
        let value = |pod: &PodView<'_>| find(pod.name);
        let target = Target::Usage(self.target());
        calculator.per_pod(at, &PerPod { value: &value, strays, sampled: false, readiness: false, target })
    }

    fn object(
        &self,
        calculator: &ReplicaCalculator,
        at: Standing<'_>,
        observed: &Observed<'_>,
        object: &ObjectRef,
        id: &MetricId,
    ) -> Result<Proposal, String> {
        let read = || match self.custom(observed, id, Some(object)) {
            Ok(CustomValues::Object { value, .. }) => Ok(*value),
            Ok(_) => Err(from_api(NO_CUSTOM_API)),
            Err(why) => Err(why),
        };
        let unread = |why: String| {
            // Upstream hands its arguments over in another order than its sentence has them.
            format!("unable to get metric {}: {} on {} {}/{why}", id.name, object.kind, self.namespace, object.name)
        };
        match self.metric.target {
            MetricTarget::Value(target) => {
                let usage = read().map_err(unread)?;
                calculator.total(at, usage, target.get())
            }
            MetricTarget::AverageValue(target) => {
                let usage = read().map_err(unread)?;
                let replicas = observed.scale.map_or(0, |scale| scale.status);
                Ok(ReplicaCalculator::shared(at, usage, target.get(), replicas, false))
            }
            MetricTarget::Utilization(_) | MetricTarget::Missing => {
                Err("invalid object metric source: neither a value target nor an average value target was set"
                    .to_owned())
            }
        }
    }

    fn external(
        &self,
        calculator: &ReplicaCalculator,
        at: Standing<'_>,
        observed: &Observed<'_>,
        id: &MetricId,
    ) -> Result<Proposal, String> {
        let known = observed.fed.external.iter().find(|fed| fed.name == id.name && fed.selector == self.query);
        let read = || match known.map(|fed| &fed.values) {
            None => Err(format!(
                "unable to fetch metrics from external metrics API: the server could not find the requested resource \
                 (get {}.external.metrics.k8s.io)",
                id.name
            )),
            Some(Err(why)) => Err(format!("unable to fetch metrics from external metrics API: {why}")),
            Some(Ok(values)) if values.is_empty() => Err("no metrics returned from external metrics API".to_owned()),
            Some(Ok(values)) => Ok(values),
        };
        let unread = |why: String| {
            let selector = go_selector(id.selector.as_ref());
            format!("unable to get external metric {}/{}/{selector}: {why}", self.namespace, id.name)
        };
        if let MetricTarget::AverageValue(target) = self.metric.target {
            let values = read().map_err(unread)?;
            // Upstream sees an overflow in the sign of the sum.
            let mut usage = 0_i64;
            for value in values {
                usage = usage.wrapping_add(*value);
                if usage < 0 {
                    usage = i64::MAX;
                    break;
                }
            }
            let replicas = observed.scale.map_or(0, |scale| scale.status);
            return Ok(ReplicaCalculator::shared(at, usage, target.get(), replicas, true));
        }
        calculator.total(at, calculator.sum(read().map_err(unread)?), self.target())
    }

    /// The values of a custom metric, of pods or of an object.
    fn custom<'a>(
        &self,
        observed: &Observed<'a>,
        id: &MetricId,
        object: Option<&ObjectRef>,
    ) -> Result<&'a CustomValues, String> {
        let mut known = observed.fed.custom.iter().filter(|fed| fed.name == id.name && fed.selector == self.query);
        let answers = |values: &CustomValues| match (values, object) {
            (CustomValues::Error(_), _) | (CustomValues::Pods(_), None) => true,
            (CustomValues::Object { kind, name, .. }, Some(object)) => (kind, name) == (&object.kind, &object.name),
            _ => false,
        };
        match known.find(|fed| answers(&fed.values)).map(|fed| &fed.values) {
            None => Err(from_api(NO_CUSTOM_API)),
            Some(CustomValues::Error(why)) => Err(from_api(why)),
            Some(values) => Ok(values),
        }
    }

    fn target(&self) -> i64 {
        match self.metric.target {
            MetricTarget::AverageValue(value) | MetricTarget::Value(value) => value.get(),
            MetricTarget::Utilization(percent) => percent.into(),
            MetricTarget::Missing => 0,
        }
    }

    /// What is kept of it.
    pub(super) fn reading(&self, now: Nanos, outcome: Result<Proposal, String>) -> MetricReading {
        let in_bytes = match &self.metric.source {
            MetricSource::Resource { resource } | MetricSource::ContainerResource { resource, .. } => {
                resource == "memory"
            }
            _ => false,
        };
        let (target, unit, per) = match self.metric.target {
            MetricTarget::Utilization(percent) => (u64::from(percent), "%", 1),
            _ if in_bytes => (self.target().unsigned_abs() / 1_000, "B", 1_000),
            _ => (self.target().unsigned_abs(), "m", 1),
        };
        let (proposal, error) = match outcome {
            Ok(proposal) => (Some(proposal), None),
            Err(why) => (None, Some(why)),
        };
        let groups = proposal.map(|p| p.groups).unwrap_or_default();
        let value = |p: Proposal| p.utilization.map_or(p.usage / per, i64::from).max(0).cast_unsigned();
        MetricReading {
            metric: self.short.clone(),
            value: proposal.map(value),
            target,
            unit: unit.to_owned(),
            proposal: proposal.map(|p| p.replicas.max(0).cast_unsigned()),
            pods_counted: groups.counted,
            pods_unready: groups.unready,
            pods_missing: groups.missing,
            sample_age_us: groups.oldest.map_or(0, |oldest| (now - oldest).as_micros()),
            error,
            average_milli: proposal.map(|p| p.usage),
        }
    }
}

fn from_api(why: &str) -> String {
    format!("unable to fetch metrics from custom metrics API: {why}")
}

/// `getPodMetrics` and `getContainerMetrics`: a container that lacks the resource makes the whole pod lack it.
fn used(sample: &Sample<'_>, resource: &str, container: Option<&str>) -> Option<i64> {
    if let Some(name) = container {
        return sample.containers.iter().find(|c| c.name == name)?.amounts.get(resource);
    }
    let (first, others) = sample.containers.split_first()?;
    let sum = first.amounts.get(resource)?;
    others.iter().try_fold(sum, |sum, container| Some(sum.wrapping_add(container.amounts.get(resource)?)))
}

/// `calculateRequests`: the pod's own request, or the sum of its containers', or that of one container.
fn requested(pod: &PodView<'_>, resource: &str, container: Option<&str>, release: Release) -> Result<i64, String> {
    if let (Some(own), None) = (pod.requests.pod_level(), container) {
        return own
            .get(resource)
            .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {}", pod.name));
    }
    let of = |name: &str, amounts: &Amounts| {
        let missing = || format!("missing request for {resource} in container {name} of Pod {}", pod.name);
        amounts.get(resource).ok_or_else(missing)
    };
    let mut sum = 0_i64;
    let mut found = false;
    for c in pod.requests.containers().iter().filter(|c| container.is_none_or(|name| name == c.name)) {
        sum = sum.wrapping_add(of(&c.name, &c.amounts)?);
        found = true;
    }
    match container {
        // Before 1.35 an unknown container requested nothing, without a word.
        Some(name) if !found && release >= Release::V1_35 => {
            Err(format!("container {name} not found in Pod {}", pod.name))
        }
        _ => Ok(sum),
    }
}

/// A label selector as Go prints it in messages (`%+v`).
fn go_selector(selector: Option<&Selector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.labels.iter().map(|(key, value)| format!("{key}: {value},")).collect::<String>();
    let expression = |requirement: &platform::Requirement| {
        let (operator, values) = match &requirement.operator {
            Operator::In(values) => ("In", values.join(" ")),
            Operator::NotIn(values) => ("NotIn", values.join(" ")),
            Operator::Exists => ("Exists", String::new()),
            Operator::DoesNotExist | Operator::Gt(_) | Operator::Lt(_) => ("DoesNotExist", String::new()),
        };
        format!("LabelSelectorRequirement{{Key:{},Operator:{operator},Values:[{values}],}},", requirement.key)
    };
    let expressions = selector.expressions.iter().map(expression).collect::<String>();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
