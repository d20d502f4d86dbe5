//! The control plane's settings: flags of its components and the delays that manifests do not tell.

use serde::{Deserialize, Serialize};
use units::{Nanos, Seed};

/// The Kubernetes release whose rules are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// 1.34, compared with 1.34.4. `HPAConfigurableTolerance` and `HPAScaleToZero` are off.
    #[default]
    #[serde(rename = "1.34")]
    V1_34,
}

/// Settings of the control plane and the node agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// The run's seed: pod names, ties between nodes, the phase of the first scrape.
    pub seed: Seed,
    /// Which release's rules.
    pub kubernetes: Release,
    /// From a pod's creation to its binding. Assumed 10 ms: scheduler and API server of an idle cluster.
    pub scheduling_delay: Nanos,
    /// Pulling the image, paid once by each pod. Assumed 0: the nodes already hold the images.
    pub image_pull: Nanos,
    /// From binding (or the end of a back-off) to a running process: sandbox, network, start. Assumed 800 ms.
    pub container_start: Nanos,
    /// From a change of readiness to the moment when dialers see it: EndpointSlice controller, watch and kube-proxy
    /// together. Assumed 500 ms; kube-proxy alone may hold a change back for its `minSyncPeriod` of 1 s.
    pub endpoint_propagation: Nanos,
    /// `--horizontal-pod-autoscaler-sync-period`, default 15 s
    /// (`pkg/controller/podautoscaler/config/v1alpha1/defaults.go`, as the next four).
    pub hpa_sync: Nanos,
    /// `--horizontal-pod-autoscaler-downscale-stabilization`, default 5 min.
    pub downscale_stabilization: Nanos,
    /// `--horizontal-pod-autoscaler-cpu-initialization-period`, default 5 min.
    pub cpu_initialization: Nanos,
    /// `--horizontal-pod-autoscaler-initial-readiness-delay`, default 30 s.
    pub initial_readiness_delay: Nanos,
    /// `--horizontal-pod-autoscaler-tolerance`, default 0.1: a ratio this near to 1 changes nothing, ends included.
    pub tolerance: f64,
    /// metrics-server's `--metric-resolution`: 15 s in its released manifest (the flag's own default is 60 s).
    pub metrics_resolution: Nanos,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            seed: Seed::default(),
            kubernetes: Release::V1_34,
            scheduling_delay: Nanos::from_millis(10),
            image_pull: Nanos::ZERO,
            container_start: Nanos::from_millis(800),
            endpoint_propagation: Nanos::from_millis(500),
            hpa_sync: Nanos::from_secs(15),
            downscale_stabilization: Nanos::from_secs(300),
            cpu_initialization: Nanos::from_secs(300),
            initial_readiness_delay: Nanos::from_secs(30),
            tolerance: 0.1,
            metrics_resolution: Nanos::from_secs(15),
        }
    }
}
