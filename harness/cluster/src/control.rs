//! The control side of a rehearsal: the cluster with the kubelets of its pods, fed until they have nothing more to
//! say at this instant.
//!
//! Owns the order in which one thing leads to another: a decision to a pod, a pod to its probes, a probe to an
//! endpoint. Where pods live and how time passes is the [`Host`]'s: the simulator and the live stage are two of them.

use std::collections::VecDeque;
use std::sync::Arc;

use platform::{Node, Platform, Probe, WorkloadId};
use record::EventKind;
use units::{Machine, Nanos, Out, Wake};

use crate::{
    Action, Cluster, ClusterConfig, Effect, Endpoints, Input, Kubelet, KubeletEffect, KubeletInput, PodId, ProbeKind,
    Usage,
};

/// What the control side needs done where pods live.
pub trait Host {
    /// A pod was bound to a node: its container will be started later.
    fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str);
    /// Start its container.
    fn start(&mut self, pod: PodId);
    /// SIGTERM: accept nothing new, finish what is in flight, then say [`ControlInput::Drained`].
    fn terminate(&mut self, pod: PodId);
    /// SIGKILL.
    fn kill(&mut self, pod: PodId);
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
}

enum Control {
    Cluster(Input),
    Kubelet(PodId, KubeletInput),
}

/// The cluster and its kubelets.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    kubelets: Vec<Option<Kubelet>>,
    platform: Arc<Platform>,
    config: ClusterConfig,
}

impl ControlPlane {
    /// A cluster of `nodes` to which nothing is applied yet.
    pub fn new(platform: Arc<Platform>, nodes: Vec<Node>, config: ClusterConfig) -> Self {
        let cluster = Cluster::new(Arc::clone(&platform), nodes, config.clone());
        Self { cluster, kubelets: Vec::new(), platform, config }
    }

    /// Whether every workload has its replicas ready and the published endpoints say so.
    pub fn settled(&self) -> bool {
        self.cluster.settled()
    }

    /// Takes in one input and everything that follows from it at this instant.
    pub fn step(&mut self, now: Nanos, input: ControlInput, host: &mut impl Host) {
        let mut todo = VecDeque::from([match input {
            ControlInput::Start => Control::Cluster(Input::Start),
            ControlInput::Wake(ControlWake::Cluster(wake)) => Control::Cluster(Input::Wake(wake)),
            ControlInput::Wake(ControlWake::Kubelet(pod, wake)) => Control::Kubelet(pod, KubeletInput::Wake(wake)),
            ControlInput::Probed { pod, question: Question { probe, number }, ok } => {
                Control::Kubelet(pod, KubeletInput::Probed { probe, number, ok })
            }
            ControlInput::Act(action) => Control::Cluster(Input::Act(action)),
            ControlInput::Drained(pod) => Control::Kubelet(pod, KubeletInput::Drained),
            ControlInput::Crashed { pod, reason } => Control::Kubelet(pod, KubeletInput::Crashed { reason }),
        }]);
        while let Some(next) = todo.pop_front() {
            match next {
                Control::Cluster(input) => self.cluster(now, input, host, &mut todo),
                Control::Kubelet(pod, input) => self.kubelet(now, pod, input, host, &mut todo),
            }
        }
    }

    fn cluster(&mut self, now: Nanos, input: Input, host: &mut impl Host, todo: &mut VecDeque<Control>) {
        let mut out = Collected::default();
        self.cluster.step(now, input, &mut out);
        out.wakes.into_iter().for_each(|(at, wake)| host.wake(at, ControlWake::Cluster(wake)));
        for effect in out.effects {
            match effect {
                Effect::RunPod { pod, workload, name, .. } => {
                    let index = pod.0 as usize;
                    if self.kubelets.len() <= index {
                        self.kubelets.resize_with(index + 1, || None);
                    }
                    self.kubelets[index] = Some(Kubelet::new(pod, self.platform.workload(workload), &self.config));
                    host.bound(pod, workload, &name);
                    todo.push_back(Control::Kubelet(pod, KubeletInput::Start));
                }
                Effect::StopPod { pod } => todo.push_back(Control::Kubelet(pod, KubeletInput::Stop)),
                Effect::Endpoints(endpoints) => host.publish(endpoints),
                Effect::Scrape => todo.push_back(Control::Cluster(Input::Usage(host.usage()))),
                Effect::Note(kind) => host.note(kind),
            }
        }
    }

    fn kubelet(
        &mut self,
        now: Nanos,
        pod: PodId,
        input: KubeletInput,
        host: &mut impl Host,
        todo: &mut VecDeque<Control>,
    ) {
        let Some(Some(kubelet)) = self.kubelets.get_mut(pod.0 as usize) else { return };
        let mut out = Collected::default();
        kubelet.step(now, input, &mut out);
        out.wakes.into_iter().for_each(|(at, wake)| host.wake(at, ControlWake::Kubelet(pod, wake)));
        for effect in out.effects {
            match effect {
                KubeletEffect::StartContainer => host.start(pod),
                KubeletEffect::Terminate => host.terminate(pod),
                KubeletEffect::Kill => host.kill(pod),
                KubeletEffect::Probe { probe, number } => {
                    if let Some(spec) = kubelet.probe(probe) {
                        host.probe(pod, Question { probe, number }, spec);
                    }
                }
                KubeletEffect::Status(status) => todo.push_back(Control::Cluster(Input::Pod(pod, status))),
            }
        }
    }
}

/// A machine's effects and wakes of one step.
struct Collected<E> {
    effects: Vec<E>,
    wakes: Vec<(Nanos, Wake)>,
}

impl<E> Default for Collected<E> {
    fn default() -> Self {
        Self { effects: Vec::new(), wakes: Vec::new() }
    }
}

impl<E> Out<E> for Collected<E> {
    fn emit(&mut self, effect: E) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push((at, wake));
    }
}
