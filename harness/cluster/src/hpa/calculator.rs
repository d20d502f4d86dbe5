//! How many replicas one metric asks for.
//!
//! Follows `pkg/controller/podautoscaler/replica_calculator.go` (`GetResourceReplicas`, `calcPlainMetricReplicas`,
//! `groupPods`, `calculatePodRequestsFromContainers`) and `metrics/utilization.go`. Where upstream fills maps of pods,
//! this keeps sums: every rule needs only the totals and the number of pods in each group.
//!
//! Version switch: `int32(math.Ceil(x))` beyond the range depends on the machine before 1.36 and clamps since; here it
//! always clamps.

use platform::{Container, MetricTarget, Resource, ResourceMetric};
use units::{Bytes, Millicores, Nanos};

use crate::ClusterConfig;

/// What the metrics API says about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// CPU in use, averaged over `window`.
    pub cpu: Millicores,
    /// Working set at `timestamp`.
    pub memory: Bytes,
    /// When it was scraped. The API carries whole seconds, so comparisons round it down.
    pub timestamp: Nanos,
    /// How long before `timestamp` the average begins.
    pub window: Nanos,
}

/// What an autoscaler sees of a pod of its target.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// Its containers, for their requests.
    pub containers: &'a [Container],
    /// Has a deletion timestamp. Its sample is put aside.
    pub deleting: bool,
    /// Phase Pending: its containers never ran. Counts as unready.
    pub pending: bool,
    /// Condition Ready.
    pub ready: bool,
    /// `status.startTime`, rounded down to the second as the API has it; `None` before a kubelet took it.
    pub started: Option<Nanos>,
    /// `lastTransitionTime` of condition Ready, rounded down likewise.
    pub ready_changed: Nanos,
    /// Its usage, if the metrics API has it.
    pub sample: Option<Sample>,
}

/// What one metric says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Replicas it asks for.
    pub replicas: u32,
    /// Utilisation in percent, or the average in thousandths of the unit.
    pub usage: u64,
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

/// `ReplicaCalculator` with the controller's settings.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaCalculator {
    cpu_initialization: Nanos,
    initial_readiness_delay: Nanos,
    tolerance: f64,
}

/// Sums over pods, in thousandths of the unit.
#[derive(Clone, Copy, Default)]
struct Sums {
    usage: u64,
    requests: u64,
    pods: u32,
}

impl Sums {
    fn plus(self, pods: u32, usage: u64, requests: u64) -> Self {
        Self { usage: self.usage + usage, requests: self.requests + requests, pods: self.pods + pods }
    }
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
    pub fn new(config: &ClusterConfig) -> Self {
        Self {
            cpu_initialization: config.cpu_initialization,
            initial_readiness_delay: config.initial_readiness_delay,
            tolerance: config.tolerance,
        }
    }

    /// Replicas that `metric` asks for with `current` replicas wanted now; or why it cannot be told, as Kubernetes
    /// words it.
    pub fn replicas(
        &self,
        now: Nanos,
        current: u32,
        metric: &ResourceMetric,
        pods: &[PodView<'_>],
    ) -> Result<Proposal, String> {
        let resource = metric.resource;
        let kind = if matches!(metric.target, MetricTarget::Utilization(_)) { "utilization" } else { "usage" };
        let failed = |why: String| format!("failed to get {} {kind}: {why}", resource.name());
        if pods.iter().all(|pod| pod.sample.is_none()) {
            let why = "no metrics returned from resource metrics API";
            return Err(failed(format!("unable to get metrics for resource {}: {why}", resource.name())));
        }

        let (mut groups, mut counted) = (Groups::default(), Sums::default());
        let (mut unready_requests, mut missing_requests, mut missing_fallback) = (0, 0, 0);
        let utilization = match metric.target {
            MetricTarget::Utilization(percent) => Some(u64::from(percent)),
            MetricTarget::AverageCpu(_) | MetricTarget::AverageMemory(_) => None,
        };
        for pod in pods {
            let (group, used) = (self.group(now, resource, pod), used(resource, pod));
            // Every pod of the selector must request the resource, ending ones included; `usage` needs no request.
            let request = match utilization {
                Some(_) => request(resource, pod),
                None => Ok(0),
            };
            match group {
                Group::Ignored => {}
                Group::Unready => groups.unready += 1,
                Group::Missing => groups.missing += 1,
                Group::Counted => {
                    groups.counted += 1;
                    let at = pod.sample.map(|sample| sample.timestamp);
                    groups.oldest = groups.oldest.map_or(at, |oldest| at.map(|at| at.min(oldest)));
                }
            }
            let request = match request {
                Ok(request) => request,
                // The metrics are looked at first: without any that counts, that is the error that is told.
                Err(why) if pods.iter().any(|pod| self.group(now, resource, pod) == Group::Counted) => {
                    return Err(failed(why));
                }
                Err(_) => continue,
            };
            match group {
                Group::Ignored => {}
                Group::Unready => unready_requests += request,
                Group::Missing => {
                    missing_requests += request;
                    missing_fallback += request * utilization.unwrap_or(0).max(100) / 100;
                }
                Group::Counted => counted = counted.plus(1, used, request),
            }
        }
        if groups.counted == 0 {
            return Err(failed("did not receive metrics for targeted pods (pods might be unready)".to_owned()));
        }

        let target = match metric.target {
            MetricTarget::Utilization(percent) => u64::from(percent),
            MetricTarget::AverageCpu(cpu) => cpu.get(),
            MetricTarget::AverageMemory(memory) => memory.get().saturating_mul(1_000),
        };
        let measure = |sums: Sums| -> Option<(f64, u64)> {
            let usage = if utilization.is_some() {
                // Integers: 54.99 % counts as 54 %.
                u64::try_from(u128::from(sums.usage) * 100 / u128::from(Some(sums.requests).filter(|r| *r > 0)?))
                    .unwrap_or(u64::MAX)
            } else {
                sums.usage / u64::from(sums.pods)
            };
            Some((usage as f64 / target as f64, usage))
        };
        let unmatched = || failed("no metrics returned matched known pods".to_owned());
        let (ratio, usage) = measure(counted).ok_or_else(unmatched)?;
        let proposal = |replicas| Ok(Proposal { replicas, usage, groups });

        let up_with_unready = groups.unready > 0 && ratio > 1.0;
        if !up_with_unready && groups.missing == 0 {
            // Ready pods, not the replicas wanted: pods that are being created do not multiply the demand.
            return proposal(if self.within(ratio) { current } else { ceil(ratio, groups.counted) });
        }

        let mut assumed = counted;
        if groups.missing > 0 {
            if ratio < 1.0 {
                // Going down, a pod without a sample is taken to use all it requests (or the target above 100 %).
                let fallback =
                    if utilization.is_some() { missing_fallback } else { target * u64::from(groups.missing) };
                assumed = assumed.plus(groups.missing, fallback, missing_requests);
            } else if ratio > 1.0 {
                assumed = assumed.plus(groups.missing, 0, missing_requests);
            }
        }
        if up_with_unready {
            assumed = assumed.plus(groups.unready, 0, unready_requests);
        }
        let (assumed_ratio, _) = measure(assumed).ok_or_else(unmatched)?;
        let turned = (ratio < 1.0 && assumed_ratio > 1.0) || (ratio > 1.0 && assumed_ratio < 1.0);
        if self.within(assumed_ratio) || turned {
            return proposal(current);
        }
        let replicas = ceil(assumed_ratio, assumed.pods);
        if (assumed_ratio < 1.0 && replicas > current) || (assumed_ratio > 1.0 && replicas < current) {
            return proposal(current); // the number of pods behind the metric would turn the direction
        }
        proposal(replicas)
    }

    /// `Tolerances.isWithin`: both ends included.
    fn within(&self, ratio: f64) -> bool {
        (1.0 - self.tolerance) <= ratio && ratio <= (1.0 + self.tolerance)
    }

    /// `groupPods` for one pod. Only CPU cares about readiness: a pod that starts up burns CPU without serving.
    fn group(&self, now: Nanos, resource: Resource, pod: &PodView<'_>) -> Group {
        if pod.deleting {
            return Group::Ignored;
        }
        if pod.pending {
            return Group::Unready;
        }
        let Some(sample) = pod.sample else {
            return Group::Missing;
        };
        if resource == Resource::Memory {
            return Group::Counted;
        }
        let unready = pod.started.is_none_or(|started| {
            if started + self.cpu_initialization > now {
                // The sample's window must lie behind the last change of readiness.
                !pod.ready || whole_seconds(sample.timestamp) < pod.ready_changed + sample.window
            } else {
                // Never became ready: its readiness has not changed since it started.
                !pod.ready && started + self.initial_readiness_delay > pod.ready_changed
            }
        });
        if unready { Group::Unready } else { Group::Counted }
    }
}

/// As `metav1.Time` travels: without fractions of a second.
pub(crate) fn whole_seconds(at: Nanos) -> Nanos {
    Nanos::from_secs(at.as_secs())
}

fn used(resource: Resource, pod: &PodView<'_>) -> u64 {
    let sample = pod.sample.as_ref();
    match resource {
        Resource::Cpu => sample.map_or(0, |s| s.cpu.get()),
        Resource::Memory => sample.map_or(0, |s| s.memory.get().saturating_mul(1_000)),
    }
}

fn request(resource: Resource, pod: &PodView<'_>) -> Result<u64, String> {
    let mut sum = 0;
    for container in pod.containers {
        let request = match resource {
            Resource::Cpu => container.requests.cpu.map(Millicores::get),
            Resource::Memory => container.requests.memory.map(|bytes| bytes.get().saturating_mul(1_000)),
        };
        let name = resource.name();
        sum += request
            .ok_or_else(|| format!("missing request for {name} in container {} of Pod {}", container.name, pod.name))?;
    }
    Ok(sum)
}

/// `int32(math.Ceil(ratio * pods))`, clamped.
fn ceil(ratio: f64, pods: u32) -> u32 {
    libm::ceil(ratio * f64::from(pods)).min(f64::from(i32::MAX)) as u32
}

#[cfg(test)]
mod tests;
