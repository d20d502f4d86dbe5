//! The control plane's settings: flags of its components and the delays that manifests do not tell.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use units::{Nanos, Seed};

use crate::Monitoring;

/// The Kubernetes release whose rules are played. Of the rules here only those of the autoscaler and one of
/// Deployments differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Release {
    /// 1.34, compared with 1.34.4.
    #[default]
    #[serde(rename = "1.34")]
    V1_34,
    /// 1.35, compared with 1.35.4. `HPAConfigurableTolerance` is on; an unknown container of a `ContainerResource`
    /// metric is an error; totals of Object and External metrics stop at the greatest number. Ending pods are part of a
    /// ReplicaSet's status (`terminatingReplicas`), so that a Deployment looks again when one has gone.
    #[serde(rename = "1.35")]
    V1_35,
    /// 1.36, compared with 1.36.3. Condition `ScaledToZero`, where the gate `HPAScaleToZero` is on.
    #[serde(rename = "1.36")]
    V1_36,
}

impl Release {
    /// All there are, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_34, Self::V1_35, Self::V1_36];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_34 => "1.34",
            Self::V1_35 => "1.35",
            Self::V1_36 => "1.36",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|release| release.name() == text).ok_or_else(|| UnknownRelease(text.to_owned()))
    }
}

/// No release whose rules are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rules of Kubernetes {0} are not known: choose 1.34, 1.35 or 1.36")]
pub struct UnknownRelease(String);

/// Feature gates of kube-controller-manager that the autoscaler asks. `None`: as the release has them by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// `HPAConfigurableTolerance`: off in 1.34, on from 1.35.
    pub configurable_tolerance: Option<bool>,
    /// `HPAScaleToZero`: off in all of them.
    pub scale_to_zero: Option<bool>,
}

/// Predictive scaling: an addition to Kubernetes. A straight line is laid through what the metrics asked for and
/// followed into the future; where it asks for more than the metrics do now, its word goes on to stabilization and
/// policies. It never asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    /// How far back it looks.
    pub history: Nanos,
    /// How far ahead: about as long as a new pod takes to serve, and one sync.
    pub lead: Nanos,
}

/// Settings of the control plane and the node agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// The run's seed: pod names, ties between nodes, the phase of the first scrape.
    pub seed: Seed,
    /// Which release's rules.
    pub kubernetes: Release,
    /// Feature gates that differ from the release's own.
    pub gates: Gates,
    /// Predictive scaling; `None`, as in Kubernetes: the autoscaler looks at now.
    pub forecast: Option<Forecast>,
    /// From a pod's creation to its binding. Assumed 10 ms: scheduler and API server of an idle cluster.
    pub scheduling_delay: Nanos,
    /// Pulling an image that its node does not hold; a node pulls one at a time, each once. Assumed 0: the nodes
    /// already hold the images.
    pub image_pull: Nanos,
    /// From binding (or the end of a back-off) to a running process: sandbox, network, start. Assumed 800 ms.
    pub container_start: Nanos,
    /// Starting a further container of the same pod, whose sandbox stands. Assumed 200 ms.
    pub next_container: Nanos,
    /// How long an init container runs that ends. Assumed 1 s.
    pub init_container: Nanos,
    /// From a change of readiness to the moment when dialers see it: EndpointSlice controller, watch and kube-proxy
    /// together. Assumed 500 ms.
    pub endpoint_propagation: Nanos,
    /// kube-proxy's `--iptables-min-sync-period`: changes are published this far apart at least. Kubernetes' default is
    /// 1 s; 0 here, because its mean effect is part of the delay above.
    pub proxy_min_sync: Nanos,
    /// Whether probes that run a command are asked of the host; else containers pass them while they run. Mock pods have
    /// no commands to run.
    pub asks_commands: bool,
    /// How long the pods of Jobs run, from the start of their container. Assumed 30 s: mock pods have nothing to do.
    pub job_duration: Nanos,
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
    /// Who answers custom and external metrics; `None`: no adapter is registered, and they fail.
    pub monitoring: Option<Monitoring>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            seed: Seed::default(),
            kubernetes: Release::V1_34,
            gates: Gates::default(),
            forecast: None,
            scheduling_delay: Nanos::from_millis(10),
            image_pull: Nanos::ZERO,
            container_start: Nanos::from_millis(800),
            next_container: Nanos::from_millis(200),
            init_container: Nanos::from_secs(1),
            endpoint_propagation: Nanos::from_millis(500),
            proxy_min_sync: Nanos::ZERO,
            asks_commands: false,
            job_duration: Nanos::from_secs(30),
            hpa_sync: Nanos::from_secs(15),
            downscale_stabilization: Nanos::from_secs(300),
            cpu_initialization: Nanos::from_secs(300),
            initial_readiness_delay: Nanos::from_secs(30),
            tolerance: 0.1,
            metrics_resolution: Nanos::from_secs(15),
            monitoring: Some(Monitoring::default()),
        }
    }
}
