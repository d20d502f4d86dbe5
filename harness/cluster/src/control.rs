//! The control side of a rehearsal: the cluster with the kubelets of its pods, fed until they have nothing more to
//! say at this instant.
//!
//! Owns the order in which one thing leads to another: a decision to a pod, a pod to its probes, a probe to an
//! endpoint. Where pods live and how time passes is the [`Host`]'s: the simulator and the live stage are two of them.

use std::collections::VecDeque;
use std::sync::Arc;

use platform::{Node, Platform, Probe, WorkloadId};
use record::EventKind;
use units::{Machine, Nanos, Wake};

use crate::kubelets::{Bound, Collected, Kubelets, Said};
use crate::{
    Action, Cluster, ClusterConfig, Effect, Endpoints, Input, KubeletInput, PodId, PodRecord, ProbeKind, Usage,
};

/// What the control side needs done where pods live.
pub trait Host {
    /// A pod was bound to a node: its container will be started later.
    fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str);
    /// Start its container.
    fn start(&mut self, pod: PodId);
    /// SIGTERM: accept nothing new, finish what is in flight, then say [`ControlInput::Drained`].
    fn terminate(&mut self, pod: PodId);
    /// SIGKILL, or its node lost its power: its connections break at once.
    fn kill(&mut self, pod: PodId);
    /// Its node is cut off (`false`), or reached again. While it is cut off the pod goes on, its own connections and
    /// those to it get no answer, and its probes, which come from its own node, work. A host that cannot do that does
    /// nothing: then dialers see a node loss only through the endpoints.
    fn reachable(&mut self, pod: PodId, reachable: bool) {
        let _ = (pod, reachable);
    }
    /// Ask a container how it is, and say [`ControlInput::Probed`] at the latest when the probe's timeout is over.
    fn probe(&mut self, pod: PodId, question: Question, probe: &Probe);
    /// Cumulative usage of every pod whose container runs.
    fn usage(&mut self) -> Vec<(PodId, Usage)>;
    /// New connections use these endpoints from now on.
    fn publish(&mut self, endpoints: Arc<Endpoints>);
    /// Something worth keeping happened.
    fn note(&mut self, kind: EventKind);
    /// Say [`ControlInput::Wake`] at `at`.
    fn wake(&mut self, at: Nanos, wake: ControlWake);
}

/// A timer of the control side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlWake {
    /// Of the cluster.
    Cluster(Wake),
    /// Of a pod's kubelet.
    Kubelet(PodId, Wake),
}

/// One question of a probe, to be named in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which probe.
    pub probe: ProbeKind,
    /// Which of its questions.
    pub number: u32,
}

/// What the control side is told.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlInput {
    /// The manifests are applied. Once.
    Start,
    /// A timer fired.
    Wake(ControlWake),
    /// A probe was answered, or its timeout is over.
    Probed {
        /// By which pod.
        pod: PodId,
        /// Which question.
        question: Question,
        /// How.
        ok: bool,
    },
    /// A terminating pod has finished.
    Drained(PodId),
    /// Somebody, or some accident, acts on the cluster.
    Act(Action),
    /// A container ended by itself.
    Crashed {
        /// In which pod.
        pod: PodId,
        /// Why.
        reason: String,
    },
    /// A control plane that decides elsewhere has been heard of. Nothing to the rules.
    Heard,
}

/// Who decides about pods: the rules of this crate, or a control plane elsewhere that is told and watched.
pub trait ControlSide {
    /// Takes in one input and everything that follows from it at this instant.
    fn step(&mut self, now: Nanos, input: ControlInput, host: &mut dyn Host);
    /// Whether every workload that serves has its replicas ready and the dialers know.
    fn settled(&self) -> bool;
    /// All pods there have been, by their ids.
    fn records(&self) -> &[PodRecord];
    /// What the platform still waits for, in words, where that is known.
    fn waits_for(&self) -> Option<String> {
        None
    }
    /// Why the platform will never be ready, once that is plain.
    fn never(&self, _now: Nanos) -> Option<String> {
        None
    }
    /// Why it decides no more, once it does not.
    fn lost(&self) -> Option<&str> {
        None
    }
}

enum Control {
    Cluster(Input),
    Kubelet(PodId, KubeletInput),
}

/// The cluster and its kubelets.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    kubelets: Kubelets,
}

impl ControlPlane {
    /// A cluster of `nodes` to which nothing is applied yet.
    pub fn new(platform: Arc<Platform>, nodes: Vec<Node>, config: ClusterConfig) -> Self {
        let cluster = Cluster::new(Arc::clone(&platform), nodes, config.clone());
        Self { cluster, kubelets: Kubelets::new(platform, config) }
    }

    /// Whether every workload has its replicas ready and the published endpoints say so.
    pub fn settled(&self) -> bool {
        self.cluster.settled()
    }

    /// The control plane without its kubelets: what it knows of pods and nodes.
    pub fn state(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes in one input and everything that follows from it at this instant.
    pub fn step(&mut self, now: Nanos, input: ControlInput, host: &mut (impl Host + ?Sized)) {
        let first = match input {
            ControlInput::Start => Some(Control::Cluster(Input::Start)),
            ControlInput::Wake(ControlWake::Cluster(wake)) => Some(Control::Cluster(Input::Wake(wake))),
            ControlInput::Act(action) => Some(Control::Cluster(Input::Act(action))),
            ControlInput::Heard => None,
            ControlInput::Wake(ControlWake::Kubelet(..))
            | ControlInput::Probed { .. }
            | ControlInput::Drained(_)
            | ControlInput::Crashed { .. } => {
                self.kubelets.meant(input).map(|(pod, input)| Control::Kubelet(pod, input))
            }
        };
        let mut todo = VecDeque::from_iter(first);
        while let Some(next) = todo.pop_front() {
            match next {
                Control::Cluster(input) => self.cluster(now, input, host, &mut todo),
                Control::Kubelet(pod, input) => {
                    let said = self.kubelets.step(now, pod, input, host).into_iter();
                    todo.extend(said.map(|said| match said {
                        Said::Status(pod, status) => Control::Cluster(Input::Pod(pod, status)),
                        Said::Next(pod, input) => Control::Kubelet(pod, input),
                    }));
                }
            }
        }
    }

    fn cluster(&mut self, now: Nanos, input: Input, host: &mut (impl Host + ?Sized), todo: &mut VecDeque<Control>) {
        let mut out = Collected::default();
        self.cluster.step(now, input, &mut out);
        out.wakes.into_iter().for_each(|(at, wake)| host.wake(at, ControlWake::Cluster(wake)));
        for effect in out.effects {
            match effect {
                Effect::RunPod { pod, workload, node, name, template, flaw } => {
                    self.kubelets.bind(Bound { pod, workload, node, name: &name, template, flaw }, host);
                    todo.push_back(Control::Kubelet(pod, KubeletInput::Start));
                }
                Effect::LosePod { pod } => self.kubelets.lose(pod, host),
                Effect::Reach { pod, reachable } => host.reachable(pod, reachable),
                Effect::StopPod { pod } => todo.push_back(Control::Kubelet(pod, KubeletInput::Stop)),
                Effect::Endpoints(endpoints) => host.publish(endpoints),
                Effect::Scrape(scraper) => todo.push_back(Control::Cluster(Input::Usage(scraper, host.usage()))),
                Effect::Note(kind) => host.note(kind),
            }
        }
    }
}

impl ControlSide for ControlPlane {
    fn step(&mut self, now: Nanos, input: ControlInput, host: &mut dyn Host) {
        Self::step(self, now, input, host);
    }
    fn settled(&self) -> bool {
        Self::settled(self)
    }
    fn records(&self) -> &[PodRecord] {
        self.cluster.records()
    }
}
