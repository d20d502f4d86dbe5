//! HorizontalPodAutoscaler `autoscaling/v2`, to the letter of Kubernetes 1.34, 1.35 and 1.36.
//!
//! Owns one autoscaler's memory and its sync: `reconcileAutoscaler` and `computeReplicasForMetrics` of
//! `pkg/controller/podautoscaler/horizontal.go`. What it looks at arrives as [`Observed`]; when it syncs is the
//! cluster's business. `kind-config/oracle` runs Kubernetes' own controller on the same cases.

mod calculator;
mod conditions;
mod forecast;
mod input;
mod metric;
pub mod series;
mod stabilization;

pub use calculator::{Groups, Proposal};
pub use input::{
    Amounts, ContainerAmounts, CustomMetric, CustomValues, ExternalMetric, FedMetrics, Observed, Phase, PodRequests,
    PodView, Ready, Sample, Scale, SelectorState, Truth,
};

pub(crate) use input::no_scale;

use platform::{Autoscaler, Behavior};
use record::{MetricReading, ScalingCondition, ScalingDecision};
use units::Nanos;

use calculator::{ReplicaCalculator, Standing, Tolerances};
use conditions::{Conditions, Kind};
use forecast::Forecaster;
use metric::Source;
use stabilization::{Bounds, Memory};

use crate::{ClusterConfig, Release};

/// One autoscaler.
#[derive(Clone, Debug)]
pub struct Hpa {
    name: String,
    workload: String,
    min: i32,
    max: i32,
    metrics: Vec<Source>,
    behavior: Option<Behavior>,
    tolerances: Tolerances,
    flags: Flags,
    calculator: ReplicaCalculator,
    memory: Memory,
    conditions: Conditions,
    forecaster: Option<Forecaster>,
}

/// What the controller was started with.
#[derive(Clone, Copy, Debug)]
struct Flags {
    release: Release,
    tolerance: f64,
    configurable_tolerance: bool,
    scale_to_zero: bool,
    downscale: Nanos,
}

/// What the metrics came to.
struct Asked {
    replicas: i32,
    demand: f64,
}

/// What one sync came to, before it is told.
#[derive(Clone, Copy, Default)]
struct Course {
    proposed: i32,
    stabilized: Option<i32>,
    forecast: Option<i32>,
    desired: i32,
}

impl Hpa {
    /// As declared, for the workload called `workload`.
    pub fn new(declared: &Autoscaler, workload: &str, config: &ClusterConfig) -> Self {
        let release = config.kubernetes;
        let flags = Flags {
            release,
            tolerance: config.tolerance,
            configurable_tolerance: config.gates.configurable_tolerance.unwrap_or(release >= Release::V1_35),
            scale_to_zero: config.gates.scale_to_zero.unwrap_or(false),
            downscale: config.downscale_stabilization,
        };
        let mut hpa = Self {
            name: String::new(),
            workload: workload.to_owned(),
            min: 0,
            max: 0,
            metrics: Vec::new(),
            behavior: None,
            tolerances: Tolerances { down: 0.0, up: 0.0 },
            flags,
            calculator: ReplicaCalculator::new(config),
            memory: Memory::default(),
            conditions: Conditions::default(),
            forecaster: config.forecast.map(Forecaster::new),
        };
        hpa.declare(declared);
        hpa
    }

    /// Somebody applied another specification. What is remembered stays.
    pub fn declare(&mut self, declared: &Autoscaler) {
        self.name.clone_from(&declared.name);
        self.min = declared.min.cast_signed();
        self.max = declared.max.cast_signed();
        self.metrics = declared.metrics.iter().map(|metric| Source::new(metric, &declared.namespace)).collect();
        self.behavior.clone_from(&declared.behavior);
        let own = |rules: fn(&Behavior) -> Option<platform::Tolerance>| {
            let declared = declared.behavior.as_ref().filter(|_| self.flags.configurable_tolerance).and_then(rules);
            declared.map_or(self.flags.tolerance, platform::Tolerance::ratio)
        };
        self.tolerances = Tolerances { down: own(|b| b.down.tolerance), up: own(|b| b.up.tolerance) };
    }

    /// Conditions that its status has before the first sync.
    pub fn recall_conditions(&mut self, conditions: Vec<ScalingCondition>) {
        self.conditions = Conditions::new(conditions);
    }

    /// A recommendation from before the first sync, unstabilized.
    pub fn recall_recommendation(&mut self, then: Nanos, replicas: i32) {
        self.memory.recall_recommendation(then, replicas);
    }

    /// A change of the replicas by this autoscaler from before the first sync.
    pub fn recall_change(&mut self, then: Nanos, from: i32, to: i32) {
        self.memory.recall_change(then, from, to);
    }

    /// One sync: reads the scale, asks the metrics, and decides.
    ///
    /// Outside the bounds it goes to the bound at once, past metrics, stabilization and policies. With some metrics
    /// failing it scales up on those that work, and never down.
    pub fn sync(&mut self, now: Nanos, observed: &Observed<'_>) -> ScalingDecision {
        let current = match observed.scale {
            Ok(scale) => scale.spec,
            Err(why) => {
                let message = format!("the HPA controller was unable to get the target's current scale: {why}");
                self.conditions.set(Kind::AbleToScale, false, "FailedGetScale", message);
                return self.tell(0, Course::default(), Vec::new());
            }
        };
        let got = "the HPA controller was able to get the target's current scale";
        self.conditions.set(Kind::AbleToScale, true, "SucceededGetScale", got);
        self.memory.begin(now, current);

        let mut readings = Vec::new();
        let zeroed = self.flags.release >= Release::V1_36
            && self.flags.scale_to_zero
            && self.conditions.holds(Kind::ScaledToZero);
        let bound = |desired| Course { proposed: desired, desired, ..Course::default() };
        let mut course = if current == 0 && !self.works_from_zero(zeroed) {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.conditions.set(Kind::ScalingActive, false, "ScalingDisabled", message);
            if self.flags.release >= Release::V1_36 && !self.flags.scale_to_zero {
                self.conditions.remove(Kind::ScaledToZero);
            }
            bound(0)
        } else if current > self.max {
            bound(self.max)
        } else if current != 0 && current < self.min {
            bound(self.min)
        } else {
            match self.ask_metrics(now, current, observed, &mut readings) {
                Some(asked) => self.normalize(now, current, &asked, zeroed),
                None => bound(current),
            }
        };
        if course.desired != current {
            course.desired = self.rescale(now, current, course.desired, observed.update_error);
        }
        self.tell(current, course, readings)
    }

    /// Whether metrics are asked with no replicas at all. Up to 1.35 a minimum of 0 is enough; from 1.36 the
    /// autoscaler must have gone to zero by itself (`shouldComputeMetricsForZeroReplicas`).
    fn works_from_zero(&self, zeroed: bool) -> bool {
        if self.flags.release < Release::V1_36 {
            return self.min == 0;
        }
        zeroed && (self.min != 0 || self.metrics.iter().any(Source::is_from_outside))
    }

    fn normalize(&mut self, now: Nanos, current: i32, asked: &Asked, zeroed: bool) -> Course {
        let forecast = self.forecaster.as_mut().and_then(|forecaster| forecaster.look(now, asked.demand));
        // Upstream begins with 0 wanted: a negative proposal counts as none.
        let proposed = asked.replicas.max(0);
        let forecast = forecast.filter(|replicas| *replicas > proposed);
        let bounds = Bounds { now, current, min: self.min, max: self.max, downscale: self.flags.downscale };
        let normalized = self.memory.normalize(bounds, forecast.unwrap_or(proposed), self.behavior.as_ref());
        self.conditions.set(Kind::AbleToScale, true, normalized.able.0, normalized.able.1);
        let limited = normalized.desired != normalized.stabilized;
        self.conditions.set(Kind::ScalingLimited, limited, normalized.limited.0, normalized.limited.1);
        let raised = current == 0 && zeroed && normalized.desired < self.min;
        let desired = if raised { self.min } else { normalized.desired };
        Course { proposed, stabilized: Some(normalized.stabilized), forecast, desired }
    }

    /// Writes the scale; answers what it is afterwards.
    fn rescale(&mut self, now: Nanos, current: i32, desired: i32, error: Option<&str>) -> i32 {
        if let Some(why) = error {
            let message = format!("the HPA controller was unable to update the target scale: {why}");
            self.conditions.set(Kind::AbleToScale, false, "FailedUpdateScale", message);
            return current;
        }
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        self.conditions.set(Kind::AbleToScale, true, "SucceededRescale", message);
        self.memory.scaled(now, current, desired, self.behavior.as_ref());
        if self.flags.release >= Release::V1_36 {
            match (self.flags.scale_to_zero, desired) {
                (false, _) => self.conditions.remove(Kind::ScaledToZero),
                (true, 0) => {
                    let message = "the HPA controller scaled the workload to zero";
                    self.conditions.set(Kind::ScaledToZero, true, "ScaledToZero", message);
                }
                (true, _) => {
                    let message = "the HPA controller did not scale the workload to zero";
                    self.conditions.set(Kind::ScaledToZero, false, "NotScaledToZero", message);
                }
            }
        }
        desired
    }

    /// `computeReplicasForMetrics`: the highest proposal, or `None` where nothing may be concluded.
    fn ask_metrics(
        &mut self,
        now: Nanos,
        current: i32,
        observed: &Observed<'_>,
        readings: &mut Vec<MetricReading>,
    ) -> Option<Asked> {
        if !self.may_use(observed.selector) {
            return None;
        }
        let at = Standing { now, current, tolerances: self.tolerances, pods: observed.pods };
        readings.reserve_exact(self.metrics.len());
        let (mut highest, mut demand, mut name) = (0, 0.0_f64, "");
        let (mut failures, mut first_failure) = (0, None);
        for metric in &self.metrics {
            let outcome = metric.ask(&self.calculator, self.flags.release, at, observed);
            match &outcome {
                Ok(proposal) => {
                    if highest == 0 || proposal.replicas > highest {
                        (highest, name) = (proposal.replicas, &metric.name);
                    }
                    demand = demand.max(proposal.demand);
                }
                Err(failed) => {
                    failures += 1;
                    first_failure.get_or_insert_with(|| failed.clone());
                }
            }
            readings.push(metric.reading(now, outcome.map_err(|failed| failed.why)));
        }
        if let Some(failed) = first_failure.filter(|_| failures >= self.metrics.len() || highest < current) {
            let message = format!("the HPA was unable to compute the replica count: {}", failed.why);
            self.conditions.set(Kind::ScalingActive, false, failed.reason, message);
            return None;
        }
        let message = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.conditions.set(Kind::ScalingActive, true, "ValidMetricFound", message);
        Some(Asked { replicas: highest, demand })
    }

    /// `validateAndParseSelector`.
    fn may_use(&mut self, selector: SelectorState<'_>) -> bool {
        let (reason, message) = match selector {
            SelectorState::Usable => return true,
            SelectorState::Missing => ("InvalidSelector", "the HPA target's scale is missing a selector".to_owned()),
            SelectorState::Invalid(why) => (
                "InvalidSelector",
                format!("couldn't convert selector into a corresponding internal selector object: {why}"),
            ),
            SelectorState::Ambiguous { selector, autoscalers } => {
                // Upstream lists them in the order of a map; here it is that of their names.
                let all = autoscalers.iter().map(|(name, namespace)| format!("{namespace}/{name}"));
                let all = all.collect::<Vec<_>>().join(" ");
                let message = format!("pods by selector {selector} are controlled by multiple HPAs: [{all}]");
                ("AmbiguousSelector", message)
            }
        };
        self.conditions.set(Kind::ScalingActive, false, reason, message);
        false
    }

    fn tell(&self, current: i32, course: Course, metrics: Vec<MetricReading>) -> ScalingDecision {
        let count = |replicas: i32| replicas.max(0).cast_unsigned();
        ScalingDecision {
            autoscaler: self.name.clone(),
            workload: self.workload.clone(),
            current: count(current),
            proposed: count(course.proposed),
            desired: count(course.desired),
            metrics,
            able_to_scale: self.conditions.reason(Kind::AbleToScale).to_owned(),
            scaling_active: self.conditions.reason(Kind::ScalingActive).to_owned(),
            scaling_limited: self.conditions.reason(Kind::ScalingLimited).to_owned(),
            stabilized: course.stabilized.map(count),
            forecast: course.forecast.map(count),
            conditions: self.conditions.all().to_vec(),
        }
    }
}

/// As `metav1.Time` travels: without fractions of a second.
pub(crate) fn whole_seconds(at: Nanos) -> Nanos {
    Nanos::from_secs(at.as_secs())
}

#[cfg(test)]
mod tests;
