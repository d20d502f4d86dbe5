//! Nodes: what pods are scheduled to.

use units::{Bytes, Millicores};

use crate::Labels;

/// A node's name.
pub type NodeName = String;

/// A node with what it can hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Labels, `topology.kubernetes.io/zone` among them.
    pub labels: Labels,
    /// Allocatable CPU.
    pub cpu: Millicores,
    /// Allocatable memory.
    pub memory: Bytes,
    /// Allocatable pods, 110 by default.
    pub pods: u32,
    /// Taints.
    pub taints: Vec<Taint>,
}

/// Keeps pods away that do not tolerate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// New pods stay away.
    NoSchedule,
    /// New pods stay away if they can.
    PreferNoSchedule,
    /// Running pods leave, too.
    NoExecute,
}

/// Lets a pod bear a taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// `None` tolerates every key.
    pub key: Option<String>,
    /// `None` (operator `Exists`) tolerates every value.
    pub value: Option<String>,
    /// `None` tolerates every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// `k8s.io/component-helpers/scheduling/corev1/helpers.go`, `TolerationsTolerateTaint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}
