//! How many replicas one metric asks for.
//!
//! Follows `pkg/controller/podautoscaler/replica_calculator.go` and `metrics/utilization.go`. Where upstream fills maps
//! of pods, this keeps sums: every rule needs only the totals and the number of pods in each group. Integers wrap and
//! conversions behave as they do in Go on amd64, because some rules show it.

use units::Nanos;

use super::input::{Phase, PodView, Truth};
use crate::{ClusterConfig, Release};

/// What one metric says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// Replicas it asks for; negative where upstream's conversion overflows.
    pub replicas: i32,
    /// Percent of the request, for a target of that kind.
    pub utilization: Option<i32>,
    /// The average per pod, or the value of a metric that has no pods, in thousandths.
    pub usage: i64,
    /// The pods that would meet the target exactly, before rounding and tolerance.
    pub demand: f64,
    /// Pods behind it.
    pub groups: Groups,
}

/// How the pods of the target were sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// With a sample that counts.
    pub counted: u32,
    /// Not ready: sample put aside.
    pub unready: u32,
    /// Without a sample.
    pub missing: u32,
    /// Instant of the oldest sample that counts.
    pub oldest: Option<Nanos>,
}

/// How far a ratio may be from 1 without any change, ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    /// Upstream's own comparison: `(1-down) <= ratio <= (1+up)`. Not a number is within nothing.
    fn within(self, ratio: f64) -> bool {
        ((1.0 - self.down)..=(1.0 + self.up)).contains(&ratio)
    }
}

/// `ReplicaCalculator` with the controller's settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplicaCalculator {
    cpu_initialization: Nanos,
    initial_readiness_delay: Nanos,
    release: Release,
}

/// What a sync looks at for every metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) now: Nanos,
    pub(super) current: i32,
    pub(super) tolerances: Tolerances,
    pub(super) pods: &'a [PodView<'a>],
}

/// A metric that each pod has: its values, and what it is held at.
pub(super) struct PerPod<'a> {
    /// Value of a pod that has one, in thousandths.
    pub(super) value: &'a dyn Fn(&PodView<'_>) -> Option<i64>,
    /// Number and sum of values of pods that are not in the list.
    pub(super) strays: (u32, i64),
    /// Whether the values are of the pods' resource samples.
    pub(super) sampled: bool,
    /// Whether readiness is looked at: only for CPU.
    pub(super) readiness: bool,
    pub(super) target: Target<'a>,
}

/// What a per-pod metric is held at.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Percent of what `requests` says, or why it cannot say it.
    Utilization { percent: i32, requests: &'a dyn Fn(&PodView<'_>) -> Result<i64, String> },
    /// Thousandths per pod.
    Usage(i64),
}

/// Sums over pods, in thousandths of the unit.
#[derive(Clone, Copy, Default)]
struct Sums {
    usage: i64,
    requests: i64,
    pods: u32,
}

impl Sums {
    fn plus(self, pods: u32, usage: i64, requests: i64) -> Self {
        Self {
            usage: self.usage.wrapping_add(usage),
            requests: self.requests.wrapping_add(requests),
            pods: self.pods + pods,
        }
    }
}

/// What a set of values comes to.
#[derive(Clone, Copy)]
struct Measured {
    ratio: f64,
    utilization: Option<i32>,
    average: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Ignored,
    Unready,
    Missing,
    Counted,
}

impl ReplicaCalculator {
    /// With the flags of kube-controller-manager.
    pub(super) fn new(config: &ClusterConfig) -> Self {
        Self {
            cpu_initialization: config.cpu_initialization,
            initial_readiness_delay: config.initial_readiness_delay,
            release: config.kubernetes,
        }
    }

    /// `GetResourceReplicas` and `calcPlainMetricReplicas`: replicas for a metric that each pod has.
    pub(super) fn per_pod(&self, at: Standing<'_>, metric: &PerPod<'_>) -> Result<Proposal, String> {
        if at.pods.is_empty() {
            return Err(NO_PODS.to_owned());
        }
        let (mut groups, mut counted) = (Groups::default(), Sums::default());
        let (mut unready_requests, mut missing_requests, mut missing_fallback) = (0_i64, 0_i64, 0_i64);
        let mut refused = None;
        for pod in at.pods {
            let value = (metric.value)(pod);
            // Every pod of the selector must request the resource, ending ones included; `usage` needs no request.
            let request = match metric.target {
                Target::Utilization { requests, .. } => requests(pod).unwrap_or_else(|why| {
                    refused.get_or_insert(why);
                    0
                }),
                Target::Usage(_) => 0,
            };
            match self.group(at.now, metric.readiness, pod, value) {
                Group::Ignored => {}
                Group::Unready => {
                    groups.unready += 1;
                    unready_requests = unready_requests.wrapping_add(request);
                }
                Group::Missing => {
                    groups.missing += 1;
                    missing_requests = missing_requests.wrapping_add(request);
                    if let Target::Utilization { percent, .. } = metric.target {
                        let fallback = request.wrapping_mul(i64::from(percent.max(100))) / 100;
                        missing_fallback = missing_fallback.wrapping_add(fallback);
                    }
                }
                Group::Counted => {
                    groups.counted += 1;
                    let then = pod.sample.filter(|_| metric.sampled).map(|sample| sample.timestamp);
                    groups.oldest = groups.oldest.map_or(then, |oldest| then.map(|then| then.min(oldest)));
                    counted = counted.plus(1, value.unwrap_or(0), request);
                }
            }
        }
        let (strays, stray_usage) = metric.strays;
        if groups.counted + strays == 0 {
            return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
        }
        if let Some(why) = refused {
            return Err(why);
        }
        // Values of pods that are not in the list count, except where they are compared with requests.
        if let Target::Usage(_) = metric.target {
            counted = counted.plus(strays, stray_usage, 0);
        }
        let first = measure(metric.target, counted)?;
        let ratio = first.ratio;
        let proposal = |replicas, demand| {
            Ok(Proposal { replicas, utilization: first.utilization, usage: first.average, demand, groups })
        };

        let up_with_unready = groups.unready > 0 && ratio > 1.0;
        if !up_with_unready && groups.missing == 0 {
            // Ready pods, not the replicas wanted: pods that are being created do not multiply the demand.
            let demand = ratio * f64::from(groups.counted);
            return proposal(if at.tolerances.within(ratio) { at.current } else { to_i32(libm::ceil(demand)) }, demand);
        }

        let mut assumed = counted;
        let mut entries = groups.counted + strays;
        if groups.missing > 0 && ratio < 1.0 {
            // Going down, a pod without a sample is taken to use all it requests (or the target above 100 %).
            let fallback = match metric.target {
                Target::Utilization { .. } => missing_fallback,
                Target::Usage(target) => target.wrapping_mul(i64::from(groups.missing)),
            };
            assumed = assumed.plus(groups.missing, fallback, missing_requests);
            entries += groups.missing;
        } else if groups.missing > 0 && ratio > 1.0 {
            assumed = assumed.plus(groups.missing, 0, missing_requests);
            entries += groups.missing;
        }
        if up_with_unready {
            assumed = assumed.plus(groups.unready, 0, unready_requests);
            entries += groups.unready;
        }
        let again = measure(metric.target, assumed)?.ratio;
        let demand = again * f64::from(entries);
        let flipped = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        if at.tolerances.within(again) || flipped {
            return proposal(at.current, demand);
        }
        let replicas = to_i32(libm::ceil(demand));
        if (again < 1.0 && replicas > at.current) || (again > 1.0 && replicas < at.current) {
            // The number of pods would turn the direction, as during a rolling update.
            return proposal(at.current, demand);
        }
        proposal(replicas, demand)
    }

    /// `GetObjectMetricReplicas` and `GetExternalMetricReplicas` after the value was read: a total against a total.
    pub(super) fn total(&self, at: Standing<'_>, usage: i64, target: i64) -> Result<Proposal, String> {
        let ratio = usage as f64 / target as f64;
        let proposal =
            |replicas, demand| Ok(Proposal { replicas, utilization: None, usage, demand, groups: Groups::default() });
        if at.current == 0 {
            return proposal(to_i32(libm::ceil(ratio)), ratio);
        }
        if at.tolerances.within(ratio) {
            return proposal(at.current, f64::from(at.current) * ratio);
        }
        if at.pods.is_empty() {
            return Err(format!("unable to calculate ready pods: {NO_PODS}"));
        }
        let is_ready = |pod: &&PodView<'_>| {
            pod.phase == Phase::Running && pod.ready.is_some_and(|ready| ready.status == Truth::True)
        };
        let demand = ratio * at.pods.iter().filter(is_ready).count() as f64;
        let clamps = self.release >= Release::V1_35;
        let replicas = if clamps && demand > f64::from(i32::MAX) { i32::MAX } else { to_i32(libm::ceil(demand)) };
        proposal(replicas, demand)
    }

    /// `GetObjectPerPodMetricReplicas` and `GetExternalPerPodMetricReplicas` after the value was read: a total shared
    /// by `replicas` pods. The external one takes care not to overflow, the other does not.
    pub(super) fn shared(at: Standing<'_>, usage: i64, target: i64, replicas: i32, careful: bool) -> Proposal {
        let ratio = usage as f64 / (target as f64 * f64::from(replicas));
        let demand = usage as f64 / target as f64;
        let wanted = libm::ceil(demand);
        let replicas_wanted = match at.tolerances.within(ratio) {
            true => replicas,
            false if careful && wanted > f64::from(i32::MAX) => i32::MAX,
            false => to_i32(wanted),
        };
        let average = if careful && usage as f64 >= i64::MAX as f64 {
            i64::MAX
        } else {
            to_i64(libm::ceil(usage as f64 / f64::from(replicas)))
        };
        Proposal { replicas: replicas_wanted, utilization: None, usage: average, demand, groups: Groups::default() }
    }

    /// The sum of external series: it wraps before 1.35 and stops at the greatest number since.
    pub(super) fn sum(&self, values: &[i64]) -> i64 {
        let mut sum = 0_i64;
        for &value in values {
            if self.release >= Release::V1_35 && value > 0 && sum > i64::MAX - value {
                return i64::MAX;
            }
            sum = sum.wrapping_add(value);
        }
        sum
    }

    /// `groupPods`. Rounded to seconds, as `metav1.Time` travels, are all instants but `now`.
    fn group(&self, now: Nanos, readiness: bool, pod: &PodView<'_>, value: Option<i64>) -> Group {
        if pod.deleting || pod.phase == Phase::Failed {
            return Group::Ignored;
        }
        if pod.phase == Phase::Pending {
            return Group::Unready;
        }
        if value.is_none() {
            return Group::Missing;
        }
        let Some(sample) = pod.sample.filter(|_| readiness) else {
            return Group::Counted;
        };
        let unready = match (pod.ready, pod.started) {
            (Some(ready), Some(started)) if started + self.cpu_initialization > now => {
                // The sample's window must lie behind the last change of readiness.
                ready.status == Truth::False || sample.timestamp < ready.changed + sample.window
            }
            // Never became ready: its readiness has not changed since it started.
            (Some(ready), Some(started)) => {
                ready.status == Truth::False && started + self.initial_readiness_delay > ready.changed
            }
            _ => true,
        };
        if unready { Group::Unready } else { Group::Counted }
    }
}

/// What all lookups of pods say when there are none.
const NO_PODS: &str = "no pods returned by selector while calculating replica count";

/// `GetResourceUtilizationRatio` and `GetMetricUsageRatio`.
fn measure(target: Target<'_>, sums: Sums) -> Result<Measured, String> {
    match target {
        Target::Utilization { percent, .. } => {
            if sums.requests == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            // Integers: 54.99 % counts as 54 %.
            let utilization = (sums.usage.wrapping_mul(100) / sums.requests) as i32;
            let ratio = f64::from(utilization) / f64::from(percent);
            Ok(Measured { ratio, utilization: Some(utilization), average: sums.usage / i64::from(sums.pods) })
        }
        Target::Usage(target) => {
            let average = sums.usage / i64::from(sums.pods);
            Ok(Measured { ratio: average as f64 / target as f64, utilization: None, average })
        }
    }
}

/// Go's `int32(x)` on amd64: what does not fit becomes the least number. Other machines clamp, and so would sense.
pub(super) fn to_i32(x: f64) -> i32 {
    if x > -2_147_483_649.0 && x < 2_147_483_648.0 { x as i32 } else { i32::MIN }
}

/// Go's `int64(x)` on amd64.
fn to_i64(x: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) { x as i64 } else { i64::MIN }
}
