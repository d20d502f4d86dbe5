//! Workloads and what their pods are made of.

use units::{Bytes, Millicores, Nanos};

use crate::{Labels, Place, PodAffinity, Reference, Requirement, Selector, SpreadConstraint, Toleration};

/// Something that makes pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    /// What makes them.
    pub kind: WorkloadKind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `spec.replicas`; Kubernetes' default is 1. An autoscaled workload should not set it. `None` for a DaemonSet.
    pub replicas: Option<u32>,
    /// `spec.selector`: which pods it takes for its own.
    pub selector: Selector,
    /// Labels of its pods.
    pub labels: Labels,
    /// Annotations of its pods.
    pub annotations: Labels,
    /// `initContainers` in order, sidecars (`restartPolicy: Always`) among them.
    pub init_containers: Vec<Container>,
    /// Main containers. The first one serves.
    pub containers: Vec<Container>,
    /// Requests of the pod as a whole (`spec.resources`): what they name counts instead of the containers' sum.
    pub pod_requests: Resources,
    /// How an update replaces pods.
    pub strategy: Strategy,
    /// `minReadySeconds`: how long a pod is ready before it counts as available.
    pub min_ready: Nanos,
    /// `progressDeadlineSeconds`, default 600 s. `None`: none, as for anything but a Deployment.
    pub progress_deadline: Option<Nanos>,
    /// `revisionHistoryLimit` of a Deployment: how many old ReplicaSets are kept. `None`: Kubernetes' default, 10.
    pub revision_history: Option<u32>,
    /// `terminationGracePeriodSeconds`, default 30 s.
    pub grace_period: Nanos,
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// `affinity.nodeAffinity.required…`: alternatives, each with requirements that hold together. Empty: any node.
    pub node_affinity: Vec<Vec<Requirement>>,
    /// `affinity.nodeAffinity.preferred…`: weight (1 to 100) and requirements that hold together.
    pub preferred_nodes: Vec<(u32, Vec<Requirement>)>,
    /// `affinity.podAffinity` and `podAntiAffinity`.
    pub pod_affinity: Vec<PodAffinity>,
    /// `topologySpreadConstraints`.
    pub spread: Vec<SpreadConstraint>,
    /// `tolerations`.
    pub tolerations: Vec<Toleration>,
    /// Value of its PriorityClass, 0 without one.
    pub priority: i32,
    /// What its pods need to start that is declared elsewhere: configuration, secrets, claims, a service account.
    pub references: Vec<Reference>,
    /// Where it was declared.
    pub place: Place,
}

/// What makes the pods of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    #[default]
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet {
        /// `serviceName`: the headless Service that names its pods.
        service: String,
        /// `podManagementPolicy: Parallel`; otherwise pods come and go one after the other.
        parallel: bool,
        /// `updateStrategy.rollingUpdate.partition`: pods with a lower ordinal stay as they are.
        partition: u32,
        /// `updateStrategy.type: OnDelete`: an update waits for somebody to delete the pods.
        on_delete: bool,
    },
    /// `apps/v1` DaemonSet: one pod on each node that admits it.
    DaemonSet,
    /// `batch/v1` Job.
    Job {
        /// `completions`, default 1.
        completions: u32,
        /// `parallelism`, default 1.
        parallelism: u32,
    },
    /// `batch/v1` CronJob.
    CronJob {
        /// `schedule` in cron's five fields.
        schedule: String,
    },
    /// A bare `v1` Pod: nobody replaces it.
    Pod,
}

impl WorkloadKind {
    /// As manifests write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet { .. } => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job { .. } => "Job",
            Self::CronJob { .. } => "CronJob",
            Self::Pod => "Pod",
        }
    }
    /// Whether its pods stay up to serve: all but Jobs, which end, and CronJobs, which have none most of the time.
    pub const fn is_service(&self) -> bool {
        !matches!(self, Self::Job { .. } | Self::CronJob { .. })
    }
}

impl Workload {
    /// What the scheduler fits: the main containers and sidecars together, or the neediest init container beside the
    /// sidecars that started before it, whichever is more; what the pod requests as a whole counts instead
    /// (`k8s.io/component-helpers/resource`, `PodRequests`).
    pub fn requests(&self) -> Resources {
        let mut sidecars = Resources::default();
        let mut starting = Resources::default();
        for container in &self.init_containers {
            if container.sidecar {
                sidecars = sidecars.plus(container.requests);
                starting = starting.max(sidecars);
            } else {
                starting = starting.max(sidecars.plus(container.requests));
            }
        }
        let sum = self.containers.iter().map(|c| c.requests).fold(sidecars, Resources::plus).max(starting);
        Resources { cpu: self.pod_requests.cpu.or(sum.cpu), memory: self.pod_requests.memory.or(sum.memory) }
    }
    /// Sidecars and main containers: what runs for the pod's whole life.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().filter(|c| c.sidecar).chain(&self.containers)
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
    fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }
}

/// One container of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image, tag included.
    pub image: String,
    /// An init container that runs on (`restartPolicy: Always`).
    pub sidecar: bool,
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
    /// `env` with literal values, in order: where pool sizes and addresses of other services are told. Values that
    /// come from a Secret or ConfigMap are not here.
    pub env: Vec<(String, String)>,
    /// `command` and `args` in one list.
    pub command: Vec<String>,
    /// `securityContext` of the container over that of the pod.
    pub security: Security,
}

/// What a container may do, as far as the documents promise something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// `runAsNonRoot`.
    pub run_as_non_root: Option<bool>,
    /// `readOnlyRootFilesystem`.
    pub read_only_root: Option<bool>,
}

/// A declared port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port the process listens on.
    pub port: u16,
    /// `protocol`, default TCP.
    pub protocol: Protocol,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
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
    /// `terminationGracePeriodSeconds` of the probe: instead of the pod's when this probe ends the container.
    pub grace_period: Option<Nanos>,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAction {
    /// An HTTP GET; 200 to 399 passes.
    Http(HttpProbe),
    /// Opens a TCP connection.
    Tcp(PortRef),
    /// Asks `grpc.health.v1`.
    Grpc(u16),
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
    /// `scheme: HTTPS`.
    pub tls: bool,
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
