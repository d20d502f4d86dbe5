//! Where pods want to be: beside or apart from other pods, and spread over domains.

use crate::{Labels, Selector};

/// One term of `podAffinity` or `podAntiAffinity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodAffinity {
    /// `podAntiAffinity`: away from the pods it selects.
    pub anti: bool,
    /// `None`: required. Otherwise the weight of a preference, 1 to 100.
    pub weight: Option<u32>,
    /// Which pods. `None` selects none.
    pub selector: Option<Selector>,
    /// `namespaces`; empty: the pod's own, unless `namespace_selector` is there.
    pub namespaces: Vec<String>,
    /// `namespaceSelector`; an empty one selects every namespace.
    pub namespace_selector: Option<Selector>,
    /// `topologyKey`: nodes with the same value of this label are one place.
    pub topology_key: String,
    /// `matchLabelKeys`: the pod's own values of these are added to the selector.
    pub match_label_keys: Vec<String>,
}

/// One of `topologySpreadConstraints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpreadConstraint {
    /// `maxSkew`, at least 1.
    pub max_skew: u32,
    /// `topologyKey`.
    pub topology_key: String,
    /// `whenUnsatisfiable: DoNotSchedule`; otherwise a preference.
    pub required: bool,
    /// Which pods are counted. `None` selects none.
    pub selector: Option<Selector>,
    /// `minDomains`.
    pub min_domains: Option<u32>,
    /// `nodeAffinityPolicy: Honor`, the default: nodes that the pod may not use are no domains.
    pub honor_affinity: bool,
    /// `nodeTaintsPolicy: Honor`; the default is Ignore.
    pub honor_taints: bool,
    /// `matchLabelKeys`.
    pub match_label_keys: Vec<String>,
}

/// A namespace, as far as selectors see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, those of Pod Security among them.
    pub labels: Labels,
}
