//! HorizontalPodAutoscaler `autoscaling/v2` for Resource metrics, to the letter of Kubernetes 1.34.4.
//!
//! Owns one autoscaler's memory and its sync: `reconcileAutoscaler` and `computeReplicasForMetrics` of
//! `pkg/controller/podautoscaler/horizontal.go`. Pods and samples arrive as [`PodView`]s; when it syncs is the
//! cluster's business. Object, Pods, External and `ContainerResource` metrics are not played.

mod calculator;
mod stabilization;

pub(crate) use calculator::whole_seconds;
pub use calculator::{Groups, PodView, Proposal, ReplicaCalculator, Sample};

use platform::{Autoscaler, Behavior, MetricTarget, ResourceMetric};
use record::{MetricReading, ScalingDecision};
use stabilization::{Memory, Standing};
use units::Nanos;

use crate::ClusterConfig;

/// One autoscaler.
#[derive(Clone, Debug)]
pub struct Hpa {
    name: String,
    workload: String,
    min: u32,
    max: u32,
    metrics: Vec<ResourceMetric>,
    behavior: Option<Behavior>,
    contested: bool,
    downscale: Nanos,
    calculator: ReplicaCalculator,
    memory: Memory,
    conditions: Conditions,
}

/// Reasons of the three conditions. They stay in the status until a sync sets them anew; empty is never set.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    able: &'static str,
    active: &'static str,
    limited: &'static str,
}

impl Hpa {
    /// As declared, for the workload called `workload`.
    pub fn new(declared: &Autoscaler, workload: &str, config: &ClusterConfig) -> Self {
        Self {
            name: declared.name.clone(),
            workload: workload.to_owned(),
            min: declared.min,
            max: declared.max,
            metrics: declared.metrics.clone(),
            behavior: declared.behavior.clone(),
            contested: false,
            downscale: config.downscale_stabilization,
            calculator: ReplicaCalculator::new(config),
            memory: Memory::default(),
            conditions: Conditions::default(),
        }
    }

    /// Marks that another autoscaler selects the same pods: then neither scales (`AmbiguousSelector`).
    #[must_use]
    pub fn contested(self, contested: bool) -> Self {
        Self { contested, ..self }
    }

    /// One sync with `current` replicas wanted now and all pods that the target selects, ending ones included.
    ///
    /// Outside the bounds it goes to the bound at once, past metrics, stabilization and policies. With some metrics
    /// failing it scales up on those that work, and never down.
    pub fn sync(&mut self, now: Nanos, current: u32, pods: &[PodView<'_>]) -> ScalingDecision {
        self.conditions.able = "SucceededGetScale";
        self.memory.begin(now, current);
        let mut metrics = Vec::new();
        let (proposed, desired) = if current == 0 && self.min != 0 {
            self.conditions.active = "ScalingDisabled";
            (current, current)
        } else if current > self.max {
            (self.max, self.max)
        } else if current < self.min {
            (self.min, self.min)
        } else {
            match self.ask_metrics(now, current, pods, &mut metrics) {
                None => (current, current),
                Some(proposed) => {
                    let at = Standing { now, current, min: self.min, max: self.max, downscale: self.downscale };
                    let normalized = self.memory.normalize(at, proposed, self.behavior.as_ref());
                    self.conditions.able = normalized.able;
                    self.conditions.limited = normalized.limited;
                    (proposed, normalized.desired)
                }
            }
        };
        if desired != current {
            self.conditions.able = "SucceededRescale";
            self.memory.scaled(now, current, desired, self.behavior.as_ref());
        }
        ScalingDecision {
            autoscaler: self.name.clone(),
            workload: self.workload.clone(),
            current,
            proposed,
            desired,
            metrics,
            able_to_scale: self.conditions.able.to_owned(),
            scaling_active: self.conditions.active.to_owned(),
            scaling_limited: self.conditions.limited.to_owned(),
        }
    }

    /// `computeReplicasForMetrics`: the highest proposal, or `None` where nothing may be concluded.
    fn ask_metrics(
        &mut self,
        now: Nanos,
        current: u32,
        pods: &[PodView<'_>],
        readings: &mut Vec<MetricReading>,
    ) -> Option<u32> {
        if self.contested {
            self.conditions.active = "AmbiguousSelector";
            return None;
        }
        readings.reserve_exact(self.metrics.len());
        let (mut highest, mut failures) = (0, 0);
        for metric in &self.metrics {
            let outcome = self.calculator.replicas(now, current, metric, pods);
            match &outcome {
                Ok(proposal) => highest = highest.max(proposal.replicas),
                Err(_) => failures += 1,
            }
            readings.push(reading(now, metric, outcome));
        }
        if failures >= self.metrics.len() || (failures > 0 && highest < current) {
            self.conditions.active = "FailedGetResourceMetric";
            return None;
        }
        self.conditions.active = "ValidMetricFound";
        Some(highest)
    }
}

fn reading(now: Nanos, metric: &ResourceMetric, outcome: Result<Proposal, String>) -> MetricReading {
    // Usage comes in thousandths of the unit; memory is told in bytes.
    let (target, unit, per) = match metric.target {
        MetricTarget::Utilization(percent) => (u64::from(percent), "%", 1),
        MetricTarget::AverageCpu(cpu) => (cpu.get(), "m", 1),
        MetricTarget::AverageMemory(memory) => (memory.get(), "B", 1_000),
    };
    let (proposal, error) = match outcome {
        Ok(proposal) => (Some(proposal), None),
        Err(why) => (None, Some(why)),
    };
    let groups = proposal.map(|p| p.groups).unwrap_or_default();
    MetricReading {
        metric: metric.resource.name().to_owned(),
        value: proposal.map(|p| p.usage / per),
        target,
        unit: unit.to_owned(),
        proposal: proposal.map(|p| p.replicas),
        pods_counted: groups.counted,
        pods_unready: groups.unready,
        pods_missing: groups.missing,
        sample_age_us: groups.oldest.map_or(0, |oldest| (now - oldest).as_micros()),
        error,
    }
}

#[cfg(test)]
mod tests;
