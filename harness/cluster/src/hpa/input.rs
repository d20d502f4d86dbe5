//! What one sync of an autoscaler reads: the target's scale, its pods, and the answers of the three metrics APIs.
//!
//! Owns no rule. Amounts are thousandths of the resource's unit (`MilliValue()`), instants have whole seconds, as both
//! travel through Kubernetes' API.

use platform::{Container, ObjectRef, Workload};
use units::Nanos;

/// Everything that one sync reads.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The target's scale, or why it could not be read, as the API words it.
    pub scale: Result<Scale, &'a str>,
    /// Pods that the scale's selector selects, ending ones included.
    pub pods: &'a [PodView<'a>],
    /// Resource samples of pods that are not among `pods`, such as those of a pod that is just gone.
    pub strays: &'a [Sample<'a>],
    /// Why the resource metrics API does not answer.
    pub resource_error: Option<&'a str>,
    /// Custom and external metrics.
    pub fed: &'a FedMetrics,
    /// Whether the selector can be used.
    pub selector: SelectorState<'a>,
    /// Why the scale could not be written, should that be tried.
    pub update_error: Option<&'a str>,
}

impl<'a> Observed<'a> {
    /// Where the scale cannot be read, nothing else is looked at.
    pub fn without_target(why: &'a str) -> Self {
        Self {
            scale: Err(why),
            pods: &[],
            strays: &[],
            resource_error: None,
            fed: &NOTHING_FED,
            selector: SelectorState::Usable,
            update_error: None,
        }
    }
}

static NOTHING_FED: FedMetrics = FedMetrics { custom: Vec::new(), external: Vec::new() };

/// What the API says about the scale of a target that is not there, or of a kind that has none.
pub(crate) fn no_scale(reference: &ObjectRef) -> String {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, reference.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") => {
            format!("{}s.apps \"{}\" not found", reference.kind.to_lowercase(), reference.name)
        }
        _ => format!("no matches for kind \"{}\" in group \"{group}\"", reference.kind),
    }
}

/// The scale subresource of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub spec: i32,
    /// `status.replicas`.
    pub status: i32,
}

/// What is known of the scale's selector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectorState<'a> {
    /// It selects the pods, and no other autoscaler does.
    #[default]
    Usable,
    /// It is empty.
    Missing,
    /// It cannot be read, with the reason.
    Invalid(&'a str),
    /// Pods that it selects are selected by other autoscalers, too.
    Ambiguous {
        /// The selector, as `kubectl -l` takes it.
        selector: &'a str,
        /// Every autoscaler that selects them with its namespace, this one included.
        autoscalers: &'a [(String, String)],
    },
}

/// What an autoscaler sees of a pod of its target.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// What its containers request.
    pub requests: &'a PodRequests,
    /// Has a deletion timestamp. Its sample is put aside.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: Phase,
    /// Condition Ready; `None` before a kubelet set one.
    pub ready: Option<Ready>,
    /// `status.startTime`; `None` before a kubelet took it.
    pub started: Option<Nanos>,
    /// Its usage, if the metrics API has it.
    pub sample: Option<Sample<'a>>,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Its containers never ran all. Counts as unready.
    Pending,
    /// Runs.
    #[default]
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly. Its sample is put aside.
    Failed,
    /// Its node does not answer.
    Unknown,
}

/// Condition Ready of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its status.
    pub status: Truth,
    /// `lastTransitionTime`.
    pub changed: Nanos,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// What the resource metrics API says about a pod.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// When it was scraped.
    pub timestamp: Nanos,
    /// How long before `timestamp` the average begins.
    pub window: Nanos,
    /// Usage of each container.
    pub containers: &'a [ContainerAmounts],
}

/// Amounts of one container, requested or used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerAmounts {
    /// The container's name.
    pub name: String,
    /// How much of what.
    pub amounts: Amounts,
}

/// Thousandths of each resource. `None`: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// `cpu`.
    pub cpu: Option<i64>,
    /// `memory`.
    pub memory: Option<i64>,
    /// Others by name, such as `ephemeral-storage`.
    pub other: Vec<(String, i64)>,
}

impl Amounts {
    /// Of one resource.
    pub fn get(&self, resource: &str) -> Option<i64> {
        match resource {
            "cpu" => self.cpu,
            "memory" => self.memory,
            _ => self.other.iter().find(|(name, _)| name == resource).map(|(_, amount)| *amount),
        }
    }

    /// Puts the amount of a resource.
    pub fn set(&mut self, resource: &str, amount: i64) {
        match resource {
            "cpu" => self.cpu = Some(amount),
            "memory" => self.memory = Some(amount),
            _ => {
                self.other.retain(|(name, _)| name != resource);
                self.other.push((resource.to_owned(), amount));
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let known = [("cpu", self.cpu), ("memory", self.memory)];
        let known = known.into_iter().filter(|(_, amount)| amount.is_some()).map(|(name, _)| name);
        known.chain(self.other.iter().map(|(name, _)| name.as_str()))
    }

    fn join(&mut self, with: &Self, join: impl Fn(i64, i64) -> i64) {
        for name in with.names() {
            let (ours, theirs) = (self.get(name), with.get(name).unwrap_or(0));
            self.set(name, ours.map_or(theirs, |ours| join(ours, theirs)));
        }
    }
}

/// What the containers of a pod request, as far as an autoscaler looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    /// Main containers, then restartable init containers.
    containers: Vec<ContainerAmounts>,
    /// The pod's own requests with what its containers say of other resources; `None` without requests of its own.
    pod_level: Option<Amounts>,
}

impl PodRequests {
    /// From the containers, the init containers with whether each is restartable, `spec.resources.requests` and
    /// `spec.overhead` (`k8s.io/component-helpers/resource`, `PodRequests` and `IsPodLevelRequestsSet`).
    pub fn new(
        main: Vec<ContainerAmounts>,
        init: Vec<(ContainerAmounts, bool)>,
        own: Option<&Amounts>,
        overhead: &Amounts,
    ) -> Self {
        let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
        let pod_level = own.filter(|own| own.names().any(supported)).map(|own| {
            let (mut sum, mut starting, mut sidecars) = (Amounts::default(), Amounts::default(), Amounts::default());
            main.iter().for_each(|container| sum.join(&container.amounts, i64::wrapping_add));
            for (container, restartable) in &init {
                let mut together = container.amounts.clone();
                if *restartable {
                    sum.join(&container.amounts, i64::wrapping_add);
                    sidecars.join(&container.amounts, i64::wrapping_add);
                    together = sidecars.clone();
                } else {
                    together.join(&sidecars, i64::wrapping_add);
                }
                starting.join(&together, i64::max);
            }
            sum.join(&starting, i64::max);
            own.names().filter(|name| supported(name)).for_each(|name| sum.set(name, own.get(name).unwrap_or(0)));
            sum.join(overhead, i64::wrapping_add);
            sum
        });
        let sidecars = init.into_iter().filter(|(_, restartable)| *restartable).map(|(container, _)| container);
        Self { containers: main.into_iter().chain(sidecars).collect(), pod_level }
    }

    /// Of the pods of a workload.
    pub fn of(workload: &Workload) -> Self {
        let amounts = |container: &Container| ContainerAmounts {
            name: container.name.clone(),
            amounts: Amounts {
                cpu: container.requests.cpu.map(|cpu| cpu.get().cast_signed()),
                memory: container.requests.memory.map(|memory| memory.get().saturating_mul(1_000).cast_signed()),
                other: Vec::new(),
            },
        };
        let main = workload.containers.iter().map(amounts).collect();
        let init = workload.init_containers.iter().map(|container| (amounts(container), container.sidecar)).collect();
        Self::new(main, init, None, &Amounts::default())
    }

    /// Main containers, then restartable init containers.
    pub fn containers(&self) -> &[ContainerAmounts] {
        &self.containers
    }

    pub(super) fn pod_level(&self) -> Option<&Amounts> {
        self.pod_level.as_ref()
    }
}

/// What the custom and the external metrics API answer. Empty: no adapter is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FedMetrics {
    /// `custom.metrics.k8s.io`.
    pub custom: Vec<CustomMetric>,
    /// `external.metrics.k8s.io`.
    pub external: Vec<ExternalMetric>,
}

/// One custom metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomMetric {
    /// Its name.
    pub name: String,
    /// The selector it answers to, in the form of [`platform::MetricId::label_query`].
    pub selector: String,
    /// Its values.
    pub values: CustomValues,
}

/// Values of a custom metric, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomValues {
    /// Of pods, by their names.
    Pods(Vec<(String, i64)>),
    /// Of one object, by kind and name.
    Object {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The value.
        value: i64,
    },
    /// The API refuses, in these words; for whoever asks.
    Error(String),
}

/// One external metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalMetric {
    /// Its name.
    pub name: String,
    /// The selector it answers to, in the form of [`platform::MetricId::label_query`].
    pub selector: String,
    /// Every series that matches, in thousandths; or the API's refusal.
    pub values: Result<Vec<i64>, String>,
}
