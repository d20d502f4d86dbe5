//! Whom a pod may push aside.
//!
//! Follows `pkg/scheduler/framework/preemption/preemption.go` and `plugins/defaultpreemption`. On each node that fewer
//! pods could open: without all pods of lower priority the pod has to fit; then as many of them as possible are let
//! stay, those first whose disruption budget would be violated, the more important first. The node with the fewest
//! violations wins, then the one with the least important victims, the smallest sum, the fewest, the youngest.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::filter::{Refusal, check_beside};
use super::inventory::{Candidate, Inventory, Placed};
use crate::PodId;

/// A node that would do, and at what price.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) node: usize,
    /// Most important first.
    pub(super) victims: Vec<Placed>,
    violations: usize,
}

/// Looks for victims on one node: `SelectVictimsOnNode`. The inventory is as before afterwards. `allowed` tells how
/// many disruptions each budget of the platform still allows; `guests` are pods that the node is promised to.
pub(super) fn offer(
    inventory: &mut Inventory,
    candidate: &Candidate,
    guests: &[Candidate],
    node: usize,
    allowed: &[u32],
) -> Result<Offer, Refusal> {
    let priority = inventory.priority(candidate);
    let lower = |placed: &&Placed| inventory.priority(&placed.candidate) < priority;
    let ids: Vec<_> = inventory.places[node].pods.values().filter(lower).map(|placed| placed.candidate.pod).collect();
    if ids.is_empty() {
        return Err(Refusal::for_good("No preemption victims found for incoming pod"));
    }
    let mut potential: Vec<_> = ids.into_iter().filter_map(|pod| inventory.remove(node, pod)).collect();
    if let Err(refusal) = check_beside(inventory, candidate, guests, node) {
        for placed in potential {
            inventory.place(node, placed);
        }
        return Err(refusal);
    }
    potential.sort_by_key(|placed| importance(inventory, placed));
    let (violating, others) = by_budget(inventory, potential, allowed);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (placed, violates) in
        violating.into_iter().map(|placed| (placed, true)).chain(others.into_iter().map(|placed| (placed, false)))
    {
        inventory.place(node, placed.clone());
        if check_beside(inventory, candidate, guests, node).is_err() {
            inventory.remove(node, placed.candidate.pod);
            victims.push(placed);
            violations += usize::from(violates);
        }
    }
    victims.sort_by_key(|placed| importance(inventory, placed));
    for placed in &victims {
        inventory.place(node, placed.clone());
    }
    Ok(Offer { node, victims, violations })
}

/// `MoreImportantPod`: priority, then age.
fn importance(inventory: &Inventory, placed: &Placed) -> impl Ord + use<> {
    (Reverse(inventory.priority(&placed.candidate)), placed.since, placed.candidate.pod)
}

/// `filterPodsWithPDBViolation`: each pod takes one off the budgets that select it; an empty selector selects nothing
/// here.
fn by_budget(inventory: &Inventory, pods: Vec<Placed>, allowed: &[u32]) -> (Vec<Placed>, Vec<Placed>) {
    let budgets = &inventory.platform.budgets;
    let mut left: Vec<i64> = (0..budgets.len()).map(|i| allowed.get(i).map_or(0, |left| i64::from(*left))).collect();
    let violates = |placed: &Placed| {
        let labels = &placed.candidate.labels;
        let namespace = &inventory.workload(&placed.candidate).namespace;
        let mut violated = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let selector = budget.selector.as_ref().filter(|selector| !selector.is_empty());
            if budget.namespace == *namespace && selector.is_some_and(|selector| selector.selects(labels)) {
                *left -= 1;
                violated |= *left < 0;
            }
        }
        violated
    };
    pods.into_iter().partition(violates)
}

/// `pickOneNodeForPreemption`. Between equals the first node wins.
pub(super) fn best(inventory: &Inventory, offers: Vec<Offer>) -> Option<Offer> {
    let price = |offer: &Offer| {
        let priorities = offer.victims.iter().map(|placed| i64::from(inventory.priority(&placed.candidate)));
        let highest = priorities.clone().max();
        let sum: i64 = priorities.map(|priority| priority + i64::from(i32::MAX) + 1).sum();
        let dearest = offer.victims.iter().filter(|p| Some(i64::from(inventory.priority(&p.candidate))) == highest);
        let oldest = dearest.map(|placed| placed.since).min();
        (offer.violations, highest, sum, offer.victims.len(), Reverse(oldest), offer.node)
    };
    offers.into_iter().min_by_key(price)
}

/// Why preemption helps on none of the nodes.
pub(super) fn in_vain(nodes: usize, refusals: &[Refusal]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in refusals.iter().flat_map(|refusal| &refusal.reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    if nodes > refusals.len() {
        *reasons.entry("Preemption is not helpful for scheduling").or_default() += nodes - refusals.len();
    }
    super::message::fit_error(nodes, &reasons)
}

/// Whether a pod that was preempted for `candidate` is still on its way out of a node.
pub(super) fn waits_for_victims(inventory: &Inventory, candidate: &Candidate, node: usize) -> bool {
    let priority = inventory.priority(candidate);
    let leaving = |placed: &Placed| placed.preempted && inventory.priority(&placed.candidate) < priority;
    inventory.places[node].pods.values().any(leaving)
}

/// The ids of an offer's victims.
pub(super) fn ids(offer: &Offer) -> Vec<PodId> {
    offer.victims.iter().map(|placed| placed.candidate.pod).collect()
}
