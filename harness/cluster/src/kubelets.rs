//! The kubelets of all pods, wherever their control plane is.
//!
//! Owns which kubelet an input is meant for: one whose node lost its power is gone, and words meant for it are void.

use std::sync::Arc;

use platform::{Platform, WorkloadId};
use units::{Machine, Nanos, Out, Wake};

use crate::control::{ControlInput, ControlWake, Host, Question};
use crate::kubelet::images::Images;
use crate::{ClusterConfig, Flaw, Kubelet, KubeletEffect, KubeletInput, PodId, PodStatus};

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

/// A pod that was bound to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<'a> {
    /// Which pod.
    pub pod: PodId,
    /// The workload it belongs to.
    pub workload: WorkloadId,
    /// Index of its node.
    pub node: usize,
    /// Its name.
    pub name: &'a str,
    /// Which of its workload's templates it is made of, counted from 0.
    pub template: u32,
    /// What is wrong with that template.
    pub flaw: Flaw,
}

/// What comes of a kubelet's step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// For the control plane.
    Status(PodId, PodStatus),
    /// For the kubelet itself, at the same instant, after what has been said before.
    Next(PodId, KubeletInput),
}

/// All kubelets.
#[derive(Debug)]
pub struct Kubelets {
    slots: Vec<Option<Slot>>,
    images: Images,
    platform: Arc<Platform>,
    config: ClusterConfig,
}

impl Kubelets {
    /// None yet.
    pub fn new(platform: Arc<Platform>, config: ClusterConfig) -> Self {
        Self { slots: Vec::new(), images: Images::default(), platform, config }
    }

    fn life(&self, pod: PodId) -> u32 {
        self.slots.get(pod.0 as usize).and_then(Option::as_ref).map_or(0, |slot| slot.life)
    }

    /// Whose kubelet an input is for, and what it is told; `None` for what is no kubelet's, or one's that is no more.
    pub fn meant(&self, input: ControlInput) -> Option<(PodId, KubeletInput)> {
        match input {
            ControlInput::Wake(ControlWake::Kubelet(pod, wake)) => {
                let wake = (wake.slot / SLOTS_A_LIFE == self.life(pod))
                    .then_some(Wake { slot: wake.slot % SLOTS_A_LIFE, ..wake })?;
                Some((pod, KubeletInput::Wake(wake)))
            }
            ControlInput::Probed { pod, question: Question { probe, number }, ok } => {
                let number = (number / NUMBERS_A_LIFE == self.life(pod)).then_some(number % NUMBERS_A_LIFE)?;
                Some((pod, KubeletInput::Probed { probe, number, ok }))
            }
            ControlInput::Drained(pod) => Some((pod, KubeletInput::Drained)),
            ControlInput::Crashed { pod, reason } => Some((pod, KubeletInput::Crashed { reason })),
            ControlInput::Start
            | ControlInput::Act(_)
            | ControlInput::Heard
            | ControlInput::Wake(ControlWake::Cluster(_)) => None,
        }
    }

    /// A pod was bound, or its node has its power again: it has a kubelet, which waits for [`KubeletInput::Start`].
    pub fn bind(&mut self, bound: Bound<'_>, host: &mut (impl Host + ?Sized)) {
        let Bound { pod, workload, node, name, template, flaw } = bound;
        let index = pod.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        let kubelet = Some(Kubelet::new(pod, self.platform.workload(workload), &self.config, flaw));
        match &mut self.slots[index] {
            Some(slot) => slot.kubelet = kubelet,
            none => {
                *none = Some(Slot { kubelet, life: 0, node, template });
                host.bound(pod, workload, name);
            }
        }
    }

    /// A pod's node lost its power.
    pub fn lose(&mut self, pod: PodId, host: &mut (impl Host + ?Sized)) {
        if let Some(Some(slot)) = self.slots.get_mut(pod.0 as usize) {
            (slot.kubelet, slot.life) = (None, slot.life + 1);
            host.kill(pod);
        }
    }

    /// One input of one kubelet.
    pub fn step(&mut self, now: Nanos, pod: PodId, input: KubeletInput, host: &mut (impl Host + ?Sized)) -> Vec<Said> {
        let Some(Some(Slot { kubelet: Some(kubelet), life, node, template })) = self.slots.get_mut(pod.0 as usize)
        else {
            return Vec::new();
        };
        let mut out = Collected::default();
        let mut said = Vec::new();
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
                    said.push(Said::Next(pod, KubeletInput::Pulled { container, ready }));
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
                KubeletEffect::Status(status) => said.push(Said::Status(pod, status)),
            }
        }
        said
    }
}

/// A machine's effects and wakes of one step.
pub(crate) struct Collected<E> {
    pub(crate) effects: Vec<E>,
    pub(crate) wakes: Vec<(Nanos, Wake)>,
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
