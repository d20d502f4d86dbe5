//! What the platform's Prometheus sees of the simulated platform.

use alerts::{PodSight, Sight, Tell};
use units::{Bytes, Nanos};

use crate::call::{Call, Parent};
use crate::place::Door;
use crate::world::World;

impl World<'_> {
    /// A pod has answered a request: its own counters know. Health checks are left out, as instrumented services do.
    pub(crate) fn count(&mut self, call: &Call, status: u16) {
        let Some(scraper) = &self.scraper else { return };
        if matches!(call.parent, Parent::Probe(_)) {
            return;
        }
        let edges = scraper.edges(call.target.workload);
        let (took, size) = (self.now - call.reached, edges.edges.len() + 1);
        let bucket = edges.bucket(took);
        let Some(pod) = self.pods.get_mut(call.pod as usize).and_then(Option::as_mut) else { return };
        let (buckets, sum) = pod.requests.entry((call.target.route.0, status)).or_default();
        buckets.resize(size, 0);
        buckets[bucket] += 1;
        *sum += took;
    }
}

impl Sight for World<'_> {
    fn pods(&self) -> Vec<PodSight<'_>> {
        let Some(control) = &self.control else { return Vec::new() };
        let here = control.state().pods().filter(|(_, record)| record.started.is_some() && record.gone.is_none());
        here.filter_map(|(id, record)| {
            let pod = self.pods.get(id.0 as usize)?.as_ref()?;
            let usage = pod.usage(self.now);
            Some(PodSight {
                id: id.0,
                name: &record.name,
                workload: record.workload,
                node: record.node,
                answers: pod.door() == Door::Open,
                cpu: usage.map_or(Nanos::ZERO, |usage| usage.cpu),
                memory: usage.map_or(Bytes::ZERO, |usage| usage.memory),
            })
        })
        .collect()
    }

    fn requests(&self, pod: u32, tell: &mut Tell<'_>) {
        let Some(pod) = self.pods.get(pod as usize).and_then(Option::as_ref) else { return };
        let routes = &self.plan.profile(pod.workload).routes;
        for ((route, status), (buckets, sum)) in &pod.requests {
            tell(&routes[usize::from(*route)].route, *status, buckets, *sum);
        }
    }

    fn noise(&self, node: usize) -> f64 {
        self.noise.get(&node).map_or(0.0, |noise| noise.get() as f64 / 1_000.0)
    }
}
