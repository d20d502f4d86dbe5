//! Which node a pod is bound to, or why none will do.
//!
//! Owns the nodes with what stands on them, and one decision at a time. Follows kube-scheduler's default profile
//! (`pkg/scheduler/schedule_one.go` and `pkg/scheduler/framework/plugins`): filters, scores, ties broken by a keyed
//! draw where upstream draws at random, preemption. Each part tells what it leaves out. When to try, and again, is the
//! [queue](queue::Queue)'s; what a node group adds is [`groups`]' part.

mod affinity;
mod filter;
mod groups;
mod inventory;
mod message;
mod preemption;
pub(crate) mod queue;
mod score;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use platform::{Effect, Node, Platform, Taint};
use units::{Draw, Nanos};

use crate::PodId;
use filter::{Filters, Refusal};
use groups::Groups;
pub(crate) use inventory::{Candidate, Place};
use inventory::{Inventory, Placed, UNSCHEDULABLE};

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is bound to this node, and stands there from now on.
    Bound(usize),
    /// No node will do.
    Refused {
        /// As event `FailedScheduling` says it.
        reason: String,
        /// Pods that have to be deleted so that it fits: it is nominated for their node.
        victims: Vec<PodId>,
    },
}

/// The scheduler with its nodes.
#[derive(Debug)]
pub(crate) struct Scheduler {
    inventory: Inventory,
    /// Pods for which room is being made, with their node.
    nominated: BTreeMap<PodId, (usize, Candidate)>,
    groups: Groups,
}

impl Scheduler {
    /// Nodes are known by their index from now on, also when they have gone.
    pub(crate) fn new(platform: Arc<Platform>, nodes: Vec<Node>) -> Self {
        let groups = platform.node_groups.clone();
        let mut inventory = Inventory::new(platform, nodes);
        let groups = Groups::new(groups, &mut inventory);
        Self { inventory, nominated: BTreeMap::new(), groups }
    }

    /// A node with the taints it has now, and what stands on it.
    pub(crate) fn place(&self, node: usize) -> &Place {
        &self.inventory.places[node]
    }

    /// Nodes that are there, with their index.
    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, &Place)> {
        self.inventory.present()
    }

    /// `kubectl cordon` and `uncordon`.
    pub(crate) fn cordon(&mut self, node: usize, cordoned: bool) {
        self.inventory.places[node].cordoned = cordoned;
        if cordoned {
            let taint = Taint { key: UNSCHEDULABLE.to_owned(), value: String::new(), effect: Effect::NoSchedule };
            self.taint(node, taint);
        } else {
            self.untaint(node, UNSCHEDULABLE);
        }
    }

    /// Puts a taint on a node, unless it is there.
    pub(crate) fn taint(&mut self, node: usize, taint: Taint) {
        let taints = &mut self.inventory.places[node].node.taints;
        if !taints.iter().any(|known| known.key == taint.key && known.effect == taint.effect) {
            taints.push(taint);
        }
    }

    /// Takes all taints with this key off a node.
    pub(crate) fn untaint(&mut self, node: usize, key: &str) {
        self.inventory.places[node].node.taints.retain(|taint| taint.key != key);
    }

    /// Whether a DaemonSet is to run a pod on a node: `NodeShouldRunDaemonPod`, which knows names, affinity and taints
    /// and no resources.
    pub(crate) fn wants_daemon(&self, candidate: &Candidate, node: usize) -> bool {
        let place = &self.inventory.places[node];
        place.present
            && filter::admits(&place.node, self.inventory.workload(candidate))
            && place.node.taints.iter().all(|taint| !filter::keeps_out(taint) || self.inventory.bears(candidate, taint))
    }

    /// Tries to bind a pod. `allowed` tells how many disruptions each of the platform's budgets still allows.
    pub(crate) fn schedule(&mut self, now: Nanos, candidate: &Candidate, tie: Draw, allowed: &[u32]) -> Outcome {
        if self.inventory.count() == 0 {
            return Outcome::Refused { reason: "no nodes available to schedule pods".to_owned(), victims: vec![] };
        }
        let nominated = self.nominated.get(&candidate.pod).map(|(node, _)| *node);
        let found = match nominated.map(|node| self.fits(candidate, &[node])) {
            Some((fits, _)) if !fits.is_empty() => (fits, BTreeMap::new()),
            _ => {
                let nodes: Vec<_> = self.inventory.present().map(|(index, _)| index).collect();
                self.fits(candidate, &nodes)
            }
        };
        match found {
            (fits, _) if !fits.is_empty() => {
                let node = self.best(candidate, &fits, tie);
                self.forget(candidate.pod);
                self.inventory.place(node, Placed::at(now, candidate.clone()));
                Outcome::Bound(node)
            }
            (_, refusals) => self.refuse(candidate, &refusals, nominated, allowed),
        }
    }

    /// The nodes among `nodes` that will do, and why the others will not.
    fn fits(&mut self, candidate: &Candidate, nodes: &[usize]) -> (Vec<usize>, BTreeMap<usize, Refusal>) {
        let (mut fits, mut refusals) = (Vec::new(), BTreeMap::new());
        let filters = Filters::new(&self.inventory, candidate);
        for &node in nodes {
            match filters.check(node) {
                Ok(()) => fits.push(node),
                Err(refusal) => drop(refusals.insert(node, refusal)),
            }
        }
        for node in fits.clone() {
            let guests = self.promised(candidate, node);
            if guests.is_empty() {
                continue;
            }
            if let Err(refusal) = filter::check_beside(&mut self.inventory, candidate, &guests, node) {
                fits.retain(|other| *other != node);
                refusals.insert(node, refusal);
            }
        }
        (fits, refusals)
    }

    /// Pods nominated for a node that matter as much as `candidate`, or more.
    fn promised(&self, candidate: &Candidate, node: usize) -> Vec<Candidate> {
        let priority = self.inventory.priority(candidate);
        let matters = |(other, guest): &&(usize, Candidate)| {
            *other == node && guest.pod != candidate.pod && self.inventory.priority(guest) >= priority
        };
        self.nominated.values().filter(matters).map(|(_, guest)| guest.clone()).collect()
    }

    fn best(&self, candidate: &Candidate, fits: &[usize], tie: Draw) -> usize {
        if let [only] = fits {
            return *only;
        }
        let scores = score::scores(&self.inventory, candidate, fits);
        let best = scores.iter().max().expect("one node fits at least");
        let ties = fits.iter().zip(&scores).filter(|(_, score)| *score == best);
        let ties: Vec<_> = ties.map(|(node, _)| *node).collect();
        ties[tie.below(ties.len())]
    }

    fn refuse(
        &mut self,
        candidate: &Candidate,
        refusals: &BTreeMap<usize, Refusal>,
        nominated: Option<usize>,
        allowed: &[u32],
    ) -> Outcome {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in refusals.values().flat_map(|refusal| &refusal.reasons) {
            *reasons.entry(reason).or_default() += 1;
        }
        let error = message::fit_error(self.inventory.count(), &reasons);
        // `PodEligibleToPreemptOthers`
        let waits = nominated.filter(|node| {
            refusals.get(node).is_none_or(|refusal| refusal.resolvable)
                && preemption::waits_for_victims(&self.inventory, candidate, *node)
        });
        if waits.is_some() {
            let why = "not eligible due to a terminating pod on the nominated node.";
            return Outcome::Refused { reason: message::with_preemption(&error, why), victims: vec![] };
        }
        let (mut offers, mut vain) = (Vec::new(), Vec::new());
        for (node, _) in refusals.iter().filter(|(_, refusal)| refusal.resolvable) {
            let guests = self.promised(candidate, *node);
            match preemption::offer(&mut self.inventory, candidate, &guests, *node, allowed) {
                Ok(offer) => offers.push(offer),
                Err(refusal) => vain.push(refusal),
            }
        }
        match preemption::best(&self.inventory, offers) {
            None => {
                self.nominated.remove(&candidate.pod);
                let why = preemption::in_vain(self.inventory.count(), &vain);
                Outcome::Refused { reason: message::with_preemption(&error, &why), victims: vec![] }
            }
            Some(offer) => {
                let victims = preemption::ids(&offer);
                self.nominate(candidate, offer.node);
                for victim in &victims {
                    if let Some(placed) = self.inventory.places[offer.node].pods.get_mut(victim) {
                        placed.preempted = true;
                    }
                }
                Outcome::Refused { reason: error, victims }
            }
        }
    }

    /// Promises a node to a pod; less important pods lose their promise there (`prepareCandidate`).
    fn nominate(&mut self, candidate: &Candidate, node: usize) {
        let (inventory, priority) = (&self.inventory, self.inventory.priority(candidate));
        self.nominated.retain(|_, (other, guest)| *other != node || inventory.priority(guest) >= priority);
        self.nominated.insert(candidate.pod, (node, candidate.clone()));
    }

    /// A bound pod is being deleted: it still holds its room, but spreading looks past it.
    pub(crate) fn ending(&mut self, node: usize, pod: PodId) {
        if let Some(placed) = self.inventory.places[node].pods.get_mut(&pod) {
            placed.ending = true;
        }
    }

    /// A bound pod has gone, or has done its work: its room is free.
    pub(crate) fn release(&mut self, node: usize, pod: PodId) {
        self.inventory.remove(node, pod);
    }

    /// Nobody wants a pod any more that has no node yet.
    pub(crate) fn forget(&mut self, pod: PodId) {
        self.nominated.remove(&pod);
        self.unmean(pod);
    }
}
