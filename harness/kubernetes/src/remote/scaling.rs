//! Autoscalers: each status that differs from the one before is a decision, told as the rules tell theirs.
//!
//! What kube-controller-manager does not write down is not made up: how many pods counted, what was proposed before
//! stabilization.

use cluster::Host;
use platform::{Autoscaler, MetricSource, MetricTarget};
use record::{EventKind, MetricReading, ScalingCondition, ScalingDecision};

use super::Remote;
use crate::view::{CurrentMetric, Scaler, ScalerStatus, Seen, condition, milli};

impl Remote {
    pub(super) fn scaler_seen(&mut self, seen: &Seen<Scaler>, host: &mut dyn Host) {
        let key = seen.key();
        let is = |declared: &&Autoscaler| (declared.namespace.as_str(), declared.name.as_str()) == (&*key.0, &*key.1);
        let Some(declared) = self.platform.autoscalers.iter().find(is) else { return };
        let status = &seen.body.status;
        if status.conditions.is_empty() || self.scalers.get(&key) == Some(status) {
            return; // it has not looked yet, or sees what it saw
        }
        let workload = declared.target.map(|id| self.platform.workload(id).name.clone());
        let workload = workload.unwrap_or_else(|| declared.reference.name.clone());
        let edit = declared.target.and_then(|id| self.edits.get(&id)).copied().unwrap_or_default();
        host.note(EventKind::Scaling(decision(&edit.applied(declared), workload, status)));
        self.scalers.insert(key, status.clone());
    }
}

/// A status as a decision.
pub(crate) fn decision(declared: &Autoscaler, workload: String, status: &ScalerStatus) -> ScalingDecision {
    let reason = |kind: &str| condition(&status.conditions, kind).map(|c| c.reason.clone()).unwrap_or_default();
    let current = status.current_metrics.as_deref().unwrap_or_default();
    let metrics = declared.metrics.iter().enumerate();
    // Of several metrics that cannot be read it tells about one.
    let failed = condition(&status.conditions, "ScalingActive").filter(|active| active.status == "False");
    let failed = failed.map(|active| active.message.clone());
    let metrics = metrics.map(|(index, metric)| {
        let mut reading = reading(metric, current.get(index));
        reading.error = failed.clone().filter(|_| reading.value.is_none());
        reading
    });
    let metrics = metrics.collect();
    let told = |c: &crate::view::Condition| ScalingCondition {
        kind: c.kind.clone().into(),
        status: c.status.clone().into(),
        reason: c.reason.clone().into(),
        message: c.message.clone().into(),
    };
    ScalingDecision {
        autoscaler: declared.name.clone(),
        workload,
        current: status.current_replicas,
        proposed: status.desired_replicas,
        desired: status.desired_replicas,
        metrics,
        able_to_scale: reason("AbleToScale"),
        scaling_active: reason("ScalingActive"),
        scaling_limited: reason("ScalingLimited"),
        stabilized: None,
        forecast: None,
        conditions: status.conditions.iter().map(told).collect(),
    }
}

fn reading(metric: &platform::Metric, seen: Option<&CurrentMetric>) -> MetricReading {
    let (name, in_bytes) = match &metric.source {
        MetricSource::Resource { resource } => (resource.clone(), resource == "memory"),
        MetricSource::ContainerResource { resource, container } => {
            (format!("{resource} of {container}"), resource == "memory")
        }
        MetricSource::Pods(id) => (format!("pods metric {}", id.name), false),
        MetricSource::Object { object, metric } => (format!("{} metric {}", object.kind, metric.name), false),
        MetricSource::External(id) => (format!("external metric {}", id.name), false),
    };
    let current = seen.and_then(CurrentMetric::current);
    let average = current.and_then(|current| milli(current.average_value.as_ref().or(current.value.as_ref())?));
    let per = if in_bytes { 1_000 } else { 1 };
    let (target, unit, value) = match metric.target {
        MetricTarget::Utilization(percent) => {
            (u64::from(percent), "%", current.and_then(|current| current.average_utilization))
        }
        MetricTarget::Missing => (0, "", None),
        MetricTarget::AverageValue(target) | MetricTarget::Value(target) => {
            let target = target.get().unsigned_abs() / per;
            (target, if in_bytes { "B" } else { "m" }, average.map(|average| average.unsigned_abs() / per))
        }
    };
    MetricReading {
        metric: name,
        value,
        target,
        unit: unit.to_owned(),
        proposal: None,
        pods_counted: 0,
        pods_unready: 0,
        pods_missing: 0,
        sample_age_us: 0,
        error: None,
        average_milli: average,
    }
}
