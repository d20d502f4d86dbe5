//! Affinity and anti-affinity between pods.
//!
//! Follows `interpodaffinity/{filtering,scoring}.go`. Required terms filter, and required anti-affinity works both
//! ways: a pod keeps those away that its own term selects, and is kept away by those whose term selects it. Preferred
//! terms score, both ways, too; a required affinity of a pod that stands already draws its like with weight 1. Pods
//! that are being deleted count until they have gone.

use std::collections::BTreeMap;

use platform::{Labels, PodAffinity};

use super::filter::Refusal;
use super::inventory::{Candidate, Inventory, Place};

/// `hardPodAffinityWeight`, default.
const HARD_AFFINITY_WEIGHT: i64 = 1;
/// Every namespace bears it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A label and its value: one domain.
type Domain<'a> = (&'a str, &'a str);

/// Whether `term` of `owner` selects `other`.
fn selects(inventory: &Inventory, owner: &Candidate, term: &PodAffinity, other: &Candidate) -> bool {
    let Some(selector) = &term.selector else { return false };
    let (own, its) = (&inventory.workload(owner).namespace, &inventory.workload(other).namespace);
    let by_name = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        own == its
    } else {
        term.namespaces.contains(its)
    };
    let by_label = || {
        term.namespace_selector.as_ref().is_some_and(|selector| {
            let declared = inventory.platform.namespaces.iter().find(|namespace| namespace.name == *its);
            let mut labels: Labels = declared.map(|namespace| namespace.labels.clone()).unwrap_or_default();
            labels.insert(NAMESPACE_NAME.to_owned(), its.clone());
            selector.selects(&labels)
        })
    };
    let same = |key: &String| owner.labels.get(key).is_none_or(|value| other.labels.get(key) == Some(value));
    selector.selects(&other.labels) && term.match_label_keys.iter().all(same) && (by_name || by_label())
}

/// The required terms, counted.
pub(super) struct AffinityFilter<'a> {
    /// Domains in which somebody stands who does not want the pod near.
    unwelcome: BTreeMap<Domain<'a>, u32>,
    /// Domains in which somebody stands whom the pod does not want near.
    unwanted: BTreeMap<Domain<'a>, u32>,
    /// Domains in which pods stand that all of its affinity terms select.
    wanted: BTreeMap<Domain<'a>, u32>,
    near: Vec<&'a PodAffinity>,
    apart: Vec<&'a PodAffinity>,
    /// Its affinity terms all select the pod itself.
    selects_itself: bool,
}

fn required<'a>(
    inventory: &'a Inventory,
    candidate: &Candidate,
    anti: bool,
) -> impl Iterator<Item = &'a PodAffinity> + use<'a> {
    let terms = &inventory.workload(candidate).pod_affinity;
    terms.iter().filter(move |term| term.weight.is_none() && term.anti == anti)
}

impl<'a> AffinityFilter<'a> {
    pub(super) fn new(inventory: &'a Inventory, candidate: &'a Candidate) -> Self {
        let near: Vec<_> = required(inventory, candidate, false).collect();
        let apart: Vec<_> = required(inventory, candidate, true).collect();
        let (mut unwelcome, mut unwanted, mut wanted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (_, place) in inventory.present() {
            let count = |counts: &mut BTreeMap<Domain<'a>, u32>, term: &'a PodAffinity| {
                if let Some(value) = place.label(&term.topology_key) {
                    *counts.entry((&term.topology_key, value)).or_default() += 1;
                }
            };
            for placed in place.pods.values() {
                let other = &placed.candidate;
                for term in required(inventory, other, true).filter(|t| selects(inventory, other, t, candidate)) {
                    count(&mut unwelcome, term);
                }
                for term in apart.iter().filter(|term| selects(inventory, candidate, term, other)) {
                    count(&mut unwanted, term);
                }
                if !near.is_empty() && near.iter().all(|term| selects(inventory, candidate, term, other)) {
                    for term in &near {
                        count(&mut wanted, term);
                    }
                }
            }
        }
        let selects_itself = near.iter().all(|term| selects(inventory, candidate, term, candidate));
        Self { unwelcome, unwanted, wanted, near, apart, selects_itself }
    }

    pub(super) fn check(&self, place: &Place) -> Result<(), Refusal> {
        if !self.is_near(place) {
            return Err(Refusal::for_good("node(s) didn't match pod affinity rules"));
        }
        let stands = |counts: &BTreeMap<Domain<'_>, u32>, key: &str| {
            place.label(key).is_some_and(|value| counts.contains_key(&(key, value)))
        };
        if self.apart.iter().any(|term| stands(&self.unwanted, &term.topology_key)) {
            return Err(Refusal::resolvable("node(s) didn't match pod anti-affinity rules"));
        }
        if self.unwelcome.keys().any(|(key, value)| place.label(key) == Some(*value)) {
            return Err(Refusal::resolvable("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    /// `satisfyPodAffinity`: the first pod of a group that wants to be together may go anywhere.
    fn is_near(&self, place: &Place) -> bool {
        let mut all = true;
        for term in &self.near {
            let Some(value) = place.label(&term.topology_key) else { return false };
            all &= self.wanted.contains_key(&(term.topology_key.as_str(), value));
        }
        all || (self.wanted.is_empty() && self.selects_itself)
    }
}

/// Scores 0 to 100 of the nodes in `fits`, or `None` where nobody prefers anything.
pub(super) fn score(inventory: &Inventory, candidate: &Candidate, fits: &[usize]) -> Option<Vec<i64>> {
    let mut weights: BTreeMap<Domain<'_>, i64> = BTreeMap::new();
    let own = &inventory.workload(candidate).pod_affinity;
    for (_, place) in inventory.present() {
        let mut add = |term: &'_ PodAffinity, weight: i64| {
            let weight = if term.anti { -weight } else { weight };
            // The key is looked up in the node's labels so that it lives as long as the node.
            if let Some((key, value)) = place.node.labels.get_key_value(&term.topology_key) {
                *weights.entry((key, value)).or_default() += weight;
            }
        };
        for placed in place.pods.values() {
            let other = &placed.candidate;
            for (term, weight) in own.iter().filter_map(|term| Some((term, term.weight?))) {
                if selects(inventory, candidate, term, other) {
                    add(term, i64::from(weight));
                }
            }
            for term in &inventory.workload(other).pod_affinity {
                let weight = match term.weight {
                    Some(weight) => i64::from(weight),
                    None if term.anti => continue,
                    None => HARD_AFFINITY_WEIGHT,
                };
                if selects(inventory, other, term, candidate) {
                    add(term, weight);
                }
            }
        }
    }
    if weights.is_empty() {
        return None;
    }
    let sum = |node: &usize| -> i64 {
        let labels = inventory.places[*node].node.labels.iter();
        labels.filter_map(|(key, value)| weights.get(&(key.as_str(), value.as_str()))).sum()
    };
    let raw: Vec<i64> = fits.iter().map(sum).collect();
    let (least, most) = (raw.iter().copied().min()?, raw.iter().copied().max()?);
    let normal = |raw: i64| match most - least {
        0 => 0,
        range => (100.0 * ((raw - least) as f64 / range as f64)) as i64,
    };
    Some(raw.into_iter().map(normal).collect())
}
