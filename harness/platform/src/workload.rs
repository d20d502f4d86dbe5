//! Workloads and what their pods are made of.

use units::{Bytes, Millicores, Nanos};

use crate::{Labels, Place, Toleration};

/// A Deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// `metadata.name`.
    pub name: String,
    /// `spec.replicas`; Kubernetes' default is 1. An autoscaled workload should not set it.
    pub replicas: Option<u32>,
    /// Labels of its pods.
    pub labels: Labels,
    /// Containers that run for the pod's whole life, sidecars included. The first one serves.
    pub containers: Vec<Container>,
    /// How an update replaces pods.
    pub strategy: Strategy,
    /// `minReadySeconds`: how long a pod is ready before it counts as available.
    pub min_ready: Nanos,
    /// `terminationGracePeriodSeconds`, default 30 s.
    pub grace_period: Nanos,
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// Where it was declared.
    pub place: Place,
}

impl Workload {
    /// What its containers request together: what the scheduler fits.
    pub fn requests(&self) -> Resources {
        self.containers.iter().map(|c| c.requests).fold(Resources::default(), Resources::plus)
    }
}

/// CPU and memory. `None` means the manifest does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU.
    pub cpu: Option<Millicores>,
    /// Memory.
    pub memory: Option<Bytes>,
}

impl Resources {
    fn plus(self, other: Self) -> Self {
        fn add<T: std::ops::Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a + b),
                (one, other) => one.or(other),
            }
        }
        Self { cpu: add(self.cpu, other.cpu), memory: add(self.memory, other.memory) }
    }
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image, tag included.
    pub image: String,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// `resources.requests`; where only a limit is set, Kubernetes requests the limit.
    pub requests: Resources,
    /// `resources.limits`.
    pub limits: Resources,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// How long its preStop hook takes, where that can be read from it (`sleep`).
    pub pre_stop: Option<Nanos>,
}

/// A declared port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port the process listens on.
    pub port: u16,
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(String),
}

impl Container {
    /// The port number that `reference` stands for in this container.
    pub fn port(&self, reference: &PortRef) -> Option<u16> {
        match reference {
            PortRef::Number(port) => Some(*port),
            PortRef::Name(name) => self.ports.iter().find(|p| p.name.as_ref() == Some(name)).map(|p| p.port),
        }
    }
}

/// A probe with Kubernetes' defaults filled in (`pkg/apis/core/v1/defaults.go`): period 10 s, timeout 1 s,
/// success 1, failure 3, no initial delay.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// What is asked.
    pub action: ProbeAction,
    /// `initialDelaySeconds`.
    pub initial_delay: Nanos,
    /// `periodSeconds`.
    pub period: Nanos,
    /// `timeoutSeconds`.
    pub timeout: Nanos,
    /// `successThreshold`.
    pub success_threshold: u32,
    /// `failureThreshold`.
    pub failure_threshold: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAction {
    /// An HTTP GET; 200 to 399 passes.
    Http(HttpProbe),
    /// Opens a TCP connection.
    Tcp(PortRef),
    /// Runs a command in the container; mock containers have none, so it passes while the container runs.
    Exec,
}

/// An HTTP probe.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    /// Path, such as `/health`.
    pub path: String,
    /// Port to ask.
    pub port: PortRef,
    /// `Host` header, where the probe sets one.
    pub host: Option<String>,
}

/// How a Deployment replaces its pods. Percentages are of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All old pods go before the first new one comes.
    Recreate,
    /// Rolling, with these bounds as written: a count or a percentage.
    Rolling {
        /// `maxUnavailable`, default 25 %.
        max_unavailable: CountOrPercent,
        /// `maxSurge`, default 25 %.
        max_surge: CountOrPercent,
    },
}

/// An absolute number of pods or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountOrPercent {
    /// That many.
    Count(u32),
    /// That share, in percent.
    Percent(u32),
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Rolling { max_unavailable: CountOrPercent::Percent(25), max_surge: CountOrPercent::Percent(25) }
    }
}
