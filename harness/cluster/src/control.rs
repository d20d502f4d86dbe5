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

use crate::kubelet::images::Images;
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
}

enum Control {
    Cluster(Input),
    Kubelet(PodId, KubeletInput),
}

/// A pod on its node.
#[derive(Debug)]
struct Slot {
    /// `None`: its node lost its power.
    kubelet: Option<Kubelet>,
    /// How often it did: words meant for an earlier kubelet are void.
    life: u32,
    node: usize,
    template: u32,
}

/// Probes of a kubelet are numbered from here for each life of its node.
const NUMBERS_A_LIFE: u32 = 1 << 24;
/// Timers of a kubelet likewise.
const SLOTS_A_LIFE: u32 = 1 << 8;

/// The cluster and its kubelets.
#[derive(Debug)]
pub struct ControlPlane {
    cluster: Cluster,
    slots: Vec<Option<Slot>>,
    images: Images,
    platform: Arc<Platform>,
    config: ClusterConfig,
}

impl ControlPlane {
    /// A cluster of `nodes` to which nothing is applied yet.
    pub fn new(platform: Arc<Platform>, nodes: Vec<Node>, config: ClusterConfig) -> Self {
        let cluster = Cluster::new(Arc::clone(&platform), nodes, config.clone());
        Self { cluster, slots: Vec::new(), images: Images::default(), platform, config }
    }

    /// Whether every workload has its replicas ready and the published endpoints say so.
    pub fn settled(&self) -> bool {
        self.cluster.settled()
    }

    /// The control plane without its kubelets: what it knows of pods and nodes.
    pub fn state(&self) -> &Cluster {
        &self.cluster
    }

    fn life(&self, pod: PodId) -> u32 {
        self.slots.get(pod.0 as usize).and_then(Option::as_ref).map_or(0, |slot| slot.life)
    }

    /// Takes in one input and everything that follows from it at this instant.
    pub fn step(&mut self, now: Nanos, input: ControlInput, host: &mut impl Host) {
        let mut todo = VecDeque::from([match input {
            ControlInput::Start => Control::Cluster(Input::Start),
            ControlInput::Wake(ControlWake::Cluster(wake)) => Control::Cluster(Input::Wake(wake)),
            ControlInput::Wake(ControlWake::Kubelet(pod, wake)) => {
                if wake.slot / SLOTS_A_LIFE != self.life(pod) {
                    return;
                }
                let wake = Wake { slot: wake.slot % SLOTS_A_LIFE, ..wake };
                Control::Kubelet(pod, KubeletInput::Wake(wake))
            }
            ControlInput::Probed { pod, question: Question { probe, number }, ok } => {
                if number / NUMBERS_A_LIFE != self.life(pod) {
                    return;
                }
                Control::Kubelet(pod, KubeletInput::Probed { probe, number: number % NUMBERS_A_LIFE, ok })
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
                Effect::RunPod { pod, workload, node, name, template, flaw } => {
                    let index = pod.0 as usize;
                    if self.slots.len() <= index {
                        self.slots.resize_with(index + 1, || None);
                    }
                    let kubelet = Some(Kubelet::new(pod, self.platform.workload(workload), &self.config, flaw));
                    match &mut self.slots[index] {
                        Some(slot) => slot.kubelet = kubelet,
                        none => {
                            *none = Some(Slot { kubelet, life: 0, node, template });
                            host.bound(pod, workload, &name);
                        }
                    }
                    todo.push_back(Control::Kubelet(pod, KubeletInput::Start));
                }
                Effect::LosePod { pod } => {
                    if let Some(Some(slot)) = self.slots.get_mut(pod.0 as usize) {
                        (slot.kubelet, slot.life) = (None, slot.life + 1);
                        host.kill(pod);
                    }
                }
                Effect::Reach { pod, reachable } => host.reachable(pod, reachable),
                Effect::StopPod { pod } => todo.push_back(Control::Kubelet(pod, KubeletInput::Stop)),
                Effect::Endpoints(endpoints) => host.publish(endpoints),
                Effect::Scrape(scraper) => todo.push_back(Control::Cluster(Input::Usage(scraper, host.usage()))),
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
        let Some(Some(Slot { kubelet: Some(kubelet), life, node, template })) = self.slots.get_mut(pod.0 as usize)
        else {
            return;
        };
        let mut out = Collected::default();
        kubelet.step(now, input, &mut out);
        for (at, wake) in out.wakes {
            let wake = Wake { slot: wake.slot + *life * SLOTS_A_LIFE, ..wake };
            host.wake(at, ControlWake::Kubelet(pod, wake));
        }
        for effect in out.effects {
            match effect {
                KubeletEffect::Pull { container, image } => {
                    // A new template means a new image, whatever it is called.
                    let image = format!("{image} of template {template}");
                    let ready = self.images.pull(now, *node, &image, self.config.image_pull);
                    todo.push_back(Control::Kubelet(pod, KubeletInput::Pulled { container, ready }));
                }
                KubeletEffect::StartContainer => host.start(pod),
                KubeletEffect::Terminate => host.terminate(pod),
                KubeletEffect::Kill => host.kill(pod),
                KubeletEffect::Probe { probe, number } => {
                    if let Some(spec) = kubelet.probe(probe) {
                        let number = number + *life * NUMBERS_A_LIFE;
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
