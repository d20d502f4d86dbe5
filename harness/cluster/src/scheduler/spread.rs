//! Topology spread: how evenly a pod's like stand over zones, nodes and other domains.
//!
//! Follows `podtopologyspread/{filtering,scoring,common}.go`. Required constraints filter: matching pods of the domain
//! plus the pod itself, minus the emptiest domain, may not exceed `maxSkew`. Others score. A pod that declares none
//! has the built-in soft ones (zone 5, hostname 3) over the selector of its Services and its owner. Pods that are
//! being deleted are not counted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use platform::{Labels, Selector, SpreadConstraint, WorkloadKind};

use super::filter::{Refusal, admits, keeps_out};
use super::inventory::{Candidate, HOSTNAME, Inventory, Place, ZONE};

/// The label that tells pods of one ReplicaSet from those of the next.
const TEMPLATE_HASH: &str = "pod-template-hash";

struct Constraint<'a> {
    key: &'a str,
    max_skew: i64,
    min_domains: usize,
    honor_affinity: bool,
    honor_taints: bool,
    /// `None` selects nothing.
    selector: Option<Cow<'a, Selector>>,
    keys: &'a [String],
}

impl<'a> Constraint<'a> {
    fn declared(declared: &'a SpreadConstraint) -> Self {
        Self {
            key: &declared.topology_key,
            max_skew: i64::from(declared.max_skew),
            min_domains: declared.min_domains.unwrap_or(1) as usize,
            honor_affinity: declared.honor_affinity,
            honor_taints: declared.honor_taints,
            selector: declared.selector.as_ref().map(Cow::Borrowed),
            keys: &declared.match_label_keys,
        }
    }

    /// `systemDefaultConstraints` in `podtopologyspread/plugin.go`.
    fn built_in(key: &'static str, max_skew: i64, selector: Selector) -> Self {
        Self {
            key,
            max_skew,
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
            selector: Some(Cow::Owned(selector)),
            keys: &[],
        }
    }

    /// Whether it counts pods with these labels; `own` are those of the pod that is scheduled.
    fn selects(&self, labels: &Labels, own: &Labels) -> bool {
        let same = |key: &String| own.get(key).is_none_or(|value| labels.get(key) == Some(value));
        self.selector.as_ref().is_some_and(|selector| selector.selects(labels)) && self.keys.iter().all(same)
    }

    fn count(&self, inventory: &Inventory, candidate: &Candidate, place: &Place) -> i64 {
        let namespace = &inventory.workload(candidate).namespace;
        let counts = place.pods.values().filter(|placed| {
            !placed.ending
                && inventory.workload(&placed.candidate).namespace == *namespace
                && self.selects(&placed.candidate.labels, &candidate.labels)
        });
        counts.count() as i64
    }

    /// `matchNodeInclusionPolicies`: whether a node belongs to the domains at all.
    fn includes(&self, inventory: &Inventory, candidate: &Candidate, place: &Place) -> bool {
        let taints = &place.node.taints;
        (!self.honor_affinity || admits(&place.node, inventory.workload(candidate)))
            && (!self.honor_taints || taints.iter().all(|taint| !keeps_out(taint) || inventory.bears(candidate, taint)))
    }
}

fn has_all(place: &Place, constraints: &[Constraint<'_>]) -> bool {
    constraints.iter().all(|constraint| place.label(constraint.key).is_some())
}

/// The required constraints, counted.
pub(super) struct SpreadFilter<'a> {
    candidate: &'a Candidate,
    constraints: Vec<(Constraint<'a>, BTreeMap<&'a str, i64>)>,
}

impl<'a> SpreadFilter<'a> {
    pub(super) fn new(inventory: &'a Inventory, candidate: &'a Candidate) -> Self {
        let declared = &inventory.workload(candidate).spread;
        let constraints: Vec<_> = declared.iter().filter(|c| c.required).map(Constraint::declared).collect();
        let mut counts = vec![BTreeMap::new(); constraints.len()];
        if !constraints.is_empty() {
            for (_, place) in inventory.present().filter(|(_, place)| has_all(place, &constraints)) {
                for (constraint, counts) in constraints.iter().zip(&mut counts) {
                    if let Some(value) = place.label(constraint.key)
                        && constraint.includes(inventory, candidate, place)
                    {
                        *counts.entry(value).or_default() += constraint.count(inventory, candidate, place);
                    }
                }
            }
        }
        Self { candidate, constraints: constraints.into_iter().zip(counts).collect() }
    }

    pub(super) fn check(&self, place: &Place) -> Result<(), Refusal> {
        for (constraint, counts) in &self.constraints {
            let Some(value) = place.label(constraint.key) else {
                return Err(Refusal::for_good(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let few = counts.len() < constraint.min_domains;
            let emptiest = if few { 0 } else { counts.values().copied().min().unwrap_or(0) };
            let labels = &self.candidate.labels;
            let itself = i64::from(constraint.selects(labels, labels));
            let skew = counts.get(value).copied().unwrap_or(0) + itself - emptiest;
            if skew > constraint.max_skew {
                return Err(Refusal::resolvable("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }
}

/// Scores 0 to 100 of the nodes in `fits`: the fewer of the pod's like in its domains, the better. `None` where the pod
/// has no such constraint.
pub(super) fn score(inventory: &Inventory, candidate: &Candidate, fits: &[usize]) -> Option<Vec<i64>> {
    let declared = &inventory.workload(candidate).spread;
    let system = declared.is_empty();
    let constraints: Vec<_> = if system {
        let selector = default_selector(inventory, candidate);
        if selector.is_empty() {
            return None;
        }
        vec![Constraint::built_in(HOSTNAME, 3, selector.clone()), Constraint::built_in(ZONE, 5, selector)]
    } else {
        declared.iter().filter(|c| !c.required).map(Constraint::declared).collect()
    };
    if constraints.is_empty() {
        return None;
    }
    // A node without one of the labels is ignored, but the built-in ones do without.
    let scored = |place: &Place| system || has_all(place, &constraints);
    let mut sums = vec![0.0; fits.len()];
    for constraint in &constraints {
        let (counts, size) = domains(inventory, candidate, constraint, fits, &scored);
        let weight = libm::log((size + 2) as f64);
        for (sum, node) in sums.iter_mut().zip(fits) {
            let place = &inventory.places[*node];
            let Some(value) = place.label(constraint.key) else { continue };
            let count = if constraint.key == HOSTNAME {
                constraint.count(inventory, candidate, place)
            } else {
                counts.get(&Some(value)).copied().unwrap_or(0)
            };
            *sum += count as f64 * weight + (constraint.max_skew - 1) as f64;
        }
    }
    let raw = fits.iter().zip(&sums);
    let raw: Vec<_> =
        raw.map(|(node, sum)| scored(&inventory.places[*node]).then(|| libm::round(*sum) as i64)).collect();
    let fewest = raw.iter().flatten().copied().min().unwrap_or(i64::MAX);
    let most = raw.iter().flatten().copied().max().unwrap_or(0);
    let normal = |raw: Option<i64>| match raw {
        None => 0,
        Some(_) if most == 0 => 100,
        Some(raw) => 100 * (most + fewest - raw) / most,
    };
    Some(raw.into_iter().map(normal).collect())
}

/// Matching pods by domain, and how many domains the candidates for the pod are in.
fn domains<'a>(
    inventory: &'a Inventory,
    candidate: &Candidate,
    constraint: &Constraint<'_>,
    fits: &[usize],
    scored: &impl Fn(&Place) -> bool,
) -> (BTreeMap<Option<&'a str>, i64>, usize) {
    let chosen = fits.iter().map(|node| &inventory.places[*node]).filter(|place| scored(place));
    if constraint.key == HOSTNAME {
        return (BTreeMap::new(), chosen.count()); // each node is counted by itself
    }
    let mut counts: BTreeMap<_, i64> = chosen.map(|place| (place.label(constraint.key), 0)).collect();
    for (_, place) in inventory.present().filter(|(_, place)| scored(place)) {
        if let Some(count) = counts.get_mut(&place.label(constraint.key))
            && constraint.includes(inventory, candidate, place)
        {
            *count += constraint.count(inventory, candidate, place);
        }
    }
    let size = counts.len();
    (counts, size)
}

/// `helper/spread.go`, `DefaultSelector`: the selectors of the pod's Services and of its owner. A ReplicaSet's has the
/// template's hash in it, so pods of an older template do not count.
fn default_selector(inventory: &Inventory, candidate: &Candidate) -> Selector {
    let workload = inventory.workload(candidate);
    let mut selector = Selector::default();
    for service in &inventory.platform.services {
        let selects = !service.selector.is_empty()
            && service.namespace == workload.namespace
            && service.selector.iter().all(|(key, value)| candidate.labels.get(key) == Some(value));
        if selects {
            selector.labels.extend(service.selector.clone());
        }
    }
    if matches!(workload.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet { .. }) {
        // The API server wants a selector; platforms that are made by hand may leave it to the labels.
        let own = if workload.selector.is_empty() { &workload.labels } else { &workload.selector.labels };
        selector.labels.extend(own.clone());
        selector.expressions.extend(workload.selector.expressions.iter().cloned());
    }
    if workload.kind == WorkloadKind::Deployment
        && let Some(hash) = candidate.labels.get(TEMPLATE_HASH)
    {
        selector.labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
    }
    selector
}
