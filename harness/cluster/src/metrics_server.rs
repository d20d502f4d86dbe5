//! metrics-server: turns cumulative CPU time into the usage that an autoscaler reads.
//!
//! Follows metrics-server `pkg/storage/pod.go`: usage is the difference of the last two scrapes, stamped with the
//! last, and needs two points. A container that is 10 s old but younger than a resolution at its first scrape gets a
//! made-up zero point at its start. A container that restarted, and a pod that was not scraped, has no sample.
//! Not played: the kubelet's own housekeeping (cAdvisor), which ages a point by up to 10 s more; and sidecars, whose
//! usage nobody models.

use std::collections::BTreeMap;

use units::{Bytes, Millicores, Nanos, Purpose, Seed};

use crate::hpa::{Amounts, ContainerAmounts, PodRequests, whole_seconds};
use crate::{PodId, Usage};

/// `freshContainerMinMetricsResolution` in `pkg/storage/pod.go`.
const FRESH_CONTAINER_MIN: Nanos = Nanos::from_secs(10);

/// What the metrics API says about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// CPU in use, averaged over `window`.
    pub(crate) cpu: Millicores,
    /// Working set at `timestamp`.
    pub(crate) memory: Bytes,
    /// When it was scraped. The API carries whole seconds.
    pub(crate) timestamp: Nanos,
    /// How long before `timestamp` the average begins.
    pub(crate) window: Nanos,
}

impl Sample {
    /// Split over the containers of the pod: the first one serves and does all the work, the others are idle.
    pub(crate) fn containers(&self, requests: &PodRequests) -> Vec<ContainerAmounts> {
        let idle = |container: &ContainerAmounts| ContainerAmounts {
            name: container.name.clone(),
            amounts: Amounts { cpu: Some(0), memory: Some(0), other: Vec::new() },
        };
        let mut containers: Vec<_> = requests.containers().iter().map(idle).collect();
        if let Some(first) = containers.first_mut() {
            first.amounts.cpu = Some(self.cpu.get().cast_signed());
            first.amounts.memory = Some(self.memory.get().saturating_mul(1_000).cast_signed());
        }
        containers
    }

    /// As the autoscaler sees it.
    pub(crate) fn view<'a>(&self, containers: &'a [ContainerAmounts]) -> crate::hpa::Sample<'a> {
        crate::hpa::Sample { timestamp: whole_seconds(self.timestamp), window: self.window, containers }
    }
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at: Nanos,
    usage: Usage,
}

#[derive(Debug)]
struct Series {
    last: Point,
    previous: Option<Point>,
}

/// The last scrapes of all pods.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    resolution: Nanos,
    pods: BTreeMap<PodId, Series>,
}

impl MetricsServer {
    pub(crate) fn new(resolution: Nanos) -> Self {
        Self { resolution, pods: BTreeMap::new() }
    }

    /// When the first scrape happens: between 1 s and 1 s before the resolution, drawn in steps of 100 ms, and 50 ms
    /// beside them, so that in virtual time a scrape never meets a sync of an autoscaler.
    pub(crate) fn first_scrape(&self, seed: Seed) -> Nanos {
        let step = Nanos::from_millis(100);
        let steps = (self.resolution - Nanos::from_secs(2)).get() / step.get();
        let draw = seed.child("metrics-server").draw_nth(0, Purpose::Phase);
        Nanos::from_secs(1) + step * draw.below(steps.max(1) as usize) as u64 + Nanos::from_millis(50)
    }

    /// Stores one scrape of all running pods.
    pub(crate) fn store(&mut self, now: Nanos, scraped: &[(PodId, Usage)]) {
        let mut known = std::mem::take(&mut self.pods);
        for &(pod, usage) in scraped {
            let last = Point { at: now, usage };
            let age = now - usage.started;
            let previous = if age >= FRESH_CONTAINER_MIN && age < self.resolution {
                let usage = Usage { cpu: Nanos::ZERO, ..usage };
                Some(Point { at: usage.started, usage })
            } else {
                let before = known.remove(&pod);
                before
                    .filter(|series| usage.started < series.last.at)
                    .and_then(|series| if now > series.last.at { Some(series.last) } else { series.previous })
            };
            self.pods.insert(pod, Series { last, previous });
        }
    }

    /// What `metrics.k8s.io` answers about a pod; `None` where it has no item for it.
    pub(crate) fn sample(&self, pod: PodId) -> Option<Sample> {
        let series = self.pods.get(&pod)?;
        let (last, previous) = (series.last, series.previous?);
        if last.usage.cpu < previous.usage.cpu {
            return None; // a counter that ran backwards: upstream refuses the pod
        }
        let window = last.at - previous.at;
        let used = u128::from((last.usage.cpu - previous.usage.cpu).get());
        let nanocores = used * 1_000_000_000 / u128::from(window.get().max(1));
        let milli = u64::try_from(nanocores.div_ceil(1_000_000)).unwrap_or(u64::MAX); // MilliValue() rounds up
        Some(Sample { cpu: Millicores::new(milli), memory: last.usage.memory, timestamp: last.at, window })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodId = PodId(0);
    fn at(secs: u64) -> Nanos {
        Nanos::from_secs(secs)
    }
    fn used(cpu_ms: u64, started: Nanos) -> [(PodId, Usage); 1] {
        let (cpu, memory) = (Nanos::from_millis(cpu_ms), Bytes::new(cpu_ms));
        [(POD, Usage { cpu, memory, started, traffic: crate::Traffic::default() })]
    }
    fn server() -> MetricsServer {
        MetricsServer::new(at(15))
    }

    #[test]
    fn usage_is_the_difference_of_the_last_two_scrapes_rounded_up() {
        let mut server = server();
        server.store(at(105), &used(1_000, at(0)));
        assert_eq!(server.sample(POD), None, "one point is no rate");
        server.store(at(120), &used(4_001, at(0)));
        let sample = server.sample(POD).unwrap();
        assert_eq!(sample.cpu, Millicores::new(201), "3001 ms in 15 s are 200.07 m");
        assert_eq!((sample.timestamp, sample.window, sample.memory), (at(120), at(15), Bytes::new(4_001)));
    }

    #[test]
    fn a_fresh_container_gets_a_zero_point_at_its_start() {
        for (case, age, milli) in
            [("too young", 9, None), ("just old enough", 10, Some(100)), ("as old as the resolution", 15, None)]
        {
            let mut server = server();
            server.store(at(100), &used(1_000, at(100 - age)));
            assert_eq!(server.sample(POD).map(|s| s.cpu.get()), milli, "{case}");
        }
    }

    #[test]
    fn a_restart_or_a_missed_scrape_drops_the_pod() {
        let mut server = server();
        server.store(at(15), &used(1_000, at(0)));
        server.store(at(30), &used(2_000, at(25)));
        assert_eq!(server.sample(POD), None, "restarted 5 s ago, and busier than before");
        server.store(at(45), &used(2_200, at(25)));
        assert_eq!(server.sample(POD).unwrap().cpu, Millicores::new(14));
        server.store(at(60), &[]);
        server.store(at(75), &used(2_900, at(25)));
        assert_eq!(server.sample(POD), None, "the point before was not kept");
    }

    #[test]
    fn first_scrape_is_beside_every_sync_whatever_the_seed() {
        for seed in 0..500 {
            let first = server().first_scrape(Seed::new(seed));
            assert!((at(1)..at(14)).contains(&first), "{first}");
            assert_eq!(first.as_millis() % 100, 50);
        }
    }
}
