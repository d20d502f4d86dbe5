//! Nodes: what pods are scheduled to.

use units::{Bytes, Millicores, Nanos};

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

/// Nodes that come when pods find no room, and go when nobody uses them.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeGroup {
    /// Its name; its nodes are called so with a number behind.
    pub name: String,
    /// What each of its nodes is like; its name does not count.
    pub template: Node,
    /// How many nodes it has at least, from the beginning.
    pub min: u32,
    /// How many nodes it has at most.
    pub max: u32,
    /// From the moment a pod found no room until the new node takes pods.
    pub provision: Nanos,
    /// How long a node carries nothing but DaemonSets before it goes. `None`: it stays.
    pub idle: Option<Nanos>,
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
    /// `tolerationSeconds`: how long a taint of effect `NoExecute` is borne. `None`: for ever.
    pub seconds: Option<Nanos>,
}

impl Toleration {
    /// `k8s.io/component-helpers/scheduling/corev1/helpers.go`, `TolerationsTolerateTaint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}
