//! What the metrics APIs answer, for a control plane that asks for it from elsewhere: metrics-server and Prometheus with
//! its adapter, as the rules read them.

use platform::{Platform, WorkloadId};
use units::{Bytes, Millicores, Nanos, Seed};

use crate::hpa::FedMetrics;
use crate::metrics_server::MetricsServer;
use crate::monitoring::Prometheus;
use crate::{ClusterConfig, PodId, Scraper, Usage};

/// What `metrics.k8s.io` says about a pod, whose first container does all the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodSample {
    /// CPU in use, averaged over `window`.
    pub cpu: Millicores,
    /// Working set at `timestamp`.
    pub memory: Bytes,
    /// When it was scraped.
    pub timestamp: Nanos,
    /// How long before `timestamp` the average begins.
    pub window: Nanos,
}

/// Both, fed by scrapes.
#[derive(Debug)]
pub struct Meters {
    seed: Seed,
    resolution: Nanos,
    resources: MetricsServer,
    prometheus: Option<Prometheus>,
}

impl Meters {
    /// For the autoscalers of a platform.
    pub fn new(config: &ClusterConfig, platform: &Platform) -> Self {
        Self {
            seed: config.seed,
            resolution: config.metrics_resolution,
            resources: MetricsServer::new(config.metrics_resolution),
            prometheus: config.monitoring.and_then(|monitoring| Prometheus::new(monitoring, platform)),
        }
    }

    /// When somebody scrapes first, and how often; `None` for one that is not there.
    pub fn schedule(&self, scraper: Scraper) -> Option<(Nanos, Nanos)> {
        match scraper {
            Scraper::MetricsServer => Some((self.resources.first_scrape(self.seed), self.resolution)),
            Scraper::Prometheus => {
                let prometheus = self.prometheus.as_ref()?;
                Some((prometheus.first_scrape(self.seed), prometheus.interval()))
            }
        }
    }

    /// Stores one scrape of all pods that are reached.
    pub fn store(&mut self, now: Nanos, scraper: Scraper, usage: &[(PodId, Usage)], of: impl Fn(PodId) -> WorkloadId) {
        match (scraper, &mut self.prometheus) {
            (Scraper::MetricsServer, _) => self.resources.store(now, usage),
            (Scraper::Prometheus, Some(prometheus)) => prometheus.store(now, usage, of),
            (Scraper::Prometheus, None) => {}
        }
    }

    /// What `metrics.k8s.io` answers about a pod; `None` where it has no item for it.
    pub fn sample(&self, pod: PodId) -> Option<PodSample> {
        let sample = self.resources.sample(pod)?;
        let (cpu, memory, timestamp, window) = (sample.cpu, sample.memory, sample.timestamp, sample.window);
        Some(PodSample { cpu, memory, timestamp, window })
    }

    /// What the custom and external metrics APIs answer to the platform's `index`-th autoscaler, whose pods these are.
    pub fn fed(&self, now: Nanos, index: usize, pods: &[(PodId, &str)]) -> FedMetrics {
        self.prometheus.as_ref().map(|prometheus| prometheus.answer(now, index, pods)).unwrap_or_default()
    }
}
