//! Which nodes a pod may go to, and why not to the others.
//!
//! Follows the filters of kube-scheduler's default profile in their order (`pkg/scheduler/apis/config/v1/
//! default_plugins.go`): `NodeUnschedulable`, `TaintToleration`, `NodeAffinity`, `NodeResourcesFit`,
//! `PodTopologySpread`, `InterPodAffinity`. The first that refuses a node says why; only resources may say several
//! things at once.
//!
//! Not played: `NodePorts` (no workload of ours declares host ports) and the volume filters, so a claim that is bound
//! to one zone does not hold its pod there.

use std::collections::BTreeSet;

use platform::{Effect, Node, Operator, Requirement, Taint, Workload};

use super::affinity::AffinityFilter;
use super::inventory::{Asked, Candidate, Inventory, Place, Placed, UNSCHEDULABLE, plain};
use super::spread::SpreadFilter;

/// The field of a node that node affinity can ask for.
const NAME: &str = "metadata.name";

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In upstream's words.
    pub(super) reasons: Vec<&'static str>,
    /// Whether removing pods from it could help (`Unschedulable`, not `UnschedulableAndUnresolvable`).
    pub(super) resolvable: bool,
}

impl Refusal {
    pub(super) fn resolvable(reason: &'static str) -> Self {
        Self { reasons: vec![reason], resolvable: true }
    }
    pub(super) fn for_good(reason: &'static str) -> Self {
        Self { reasons: vec![reason], resolvable: false }
    }
}

/// One pod's question to all nodes, with everything counted that depends on more than one node.
pub(super) struct Filters<'a> {
    inventory: &'a Inventory,
    candidate: &'a Candidate,
    names: Option<BTreeSet<&'a str>>,
    spread: SpreadFilter<'a>,
    affinity: AffinityFilter<'a>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(inventory: &'a Inventory, candidate: &'a Candidate) -> Self {
        Self {
            names: names(inventory, candidate),
            spread: SpreadFilter::new(inventory, candidate),
            affinity: AffinityFilter::new(inventory, candidate),
            inventory,
            candidate,
        }
    }

    /// Whether the pod may go to a node.
    pub(super) fn check(&self, node: usize) -> Result<(), Refusal> {
        let (inventory, candidate) = (self.inventory, self.candidate);
        let (place, asked) = (&inventory.places[node], inventory.asked(candidate));
        if self.names.as_ref().is_some_and(|names| !names.contains(place.node.name.as_str())) {
            // PreFilter of `NodeAffinity` left the node out (`schedule_one.go`).
            return Err(Refusal::for_good("node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        }
        let keeps_it_out = |taint: &&Taint| keeps_out(taint) && !inventory.bears(candidate, taint);
        if place.node.taints.iter().filter(keeps_it_out).any(|taint| taint.key == UNSCHEDULABLE) {
            return Err(Refusal::for_good("node(s) were unschedulable"));
        }
        if place.node.taints.iter().any(|taint| keeps_it_out(&taint)) {
            return Err(Refusal::for_good("node(s) had untolerated taint(s)"));
        }
        if !admits(&place.node, inventory.workload(candidate)) {
            return Err(Refusal::for_good("node(s) didn't match Pod's node affinity/selector"));
        }
        fit(place, asked)?;
        self.spread.check(place)?;
        self.affinity.check(place)
    }
}

/// Whether a pod may go to a node, both with `guests` there, pods for which room is being made on it, and without them
/// (`RunFilterPluginsWithNominatedPods`).
pub(super) fn check_beside(
    inventory: &mut Inventory,
    candidate: &Candidate,
    guests: &[Candidate],
    node: usize,
) -> Result<(), Refusal> {
    if !guests.is_empty() {
        for guest in guests {
            inventory.place(node, Placed::at(units::Nanos::ZERO, guest.clone()));
        }
        let beside = Filters::new(inventory, candidate).check(node);
        for guest in guests {
            inventory.remove(node, guest.pod);
        }
        beside?;
    }
    Filters::new(inventory, candidate).check(node)
}

/// Whether a taint keeps new pods away.
pub(super) fn keeps_out(taint: &Taint) -> bool {
    taint.effect != Effect::PreferNoSchedule
}

/// `nodeSelector` and required node affinity (`component-helpers/scheduling/corev1/nodeaffinity`).
pub(super) fn admits(node: &Node, workload: &Workload) -> bool {
    workload.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && (workload.node_affinity.is_empty() || workload.node_affinity.iter().any(|term| meets(node, term)))
}

/// Whether a node meets all requirements of a term; one without requirements is met by none.
pub(super) fn meets(node: &Node, term: &[Requirement]) -> bool {
    let named = |requirement: &Requirement| match &requirement.operator {
        Operator::In(names) => names.contains(&node.name),
        Operator::NotIn(names) => !names.contains(&node.name),
        _ => false, // fields know no other operators
    };
    let holds = |r: &Requirement| if r.key == NAME { named(r) } else { r.holds(&node.labels) };
    !term.is_empty() && term.iter().all(holds)
}

/// The nodes that are asked for by name, where every alternative does so (`nodeaffinity/node_affinity.go`,
/// `PreFilter`).
fn names<'a>(inventory: &'a Inventory, candidate: &'a Candidate) -> Option<BTreeSet<&'a str>> {
    if let Some(only) = candidate.only {
        return Some(BTreeSet::from([inventory.places[only].node.name.as_str()]));
    }
    let mut all = BTreeSet::new();
    let terms = &inventory.workload(candidate).node_affinity;
    for term in terms {
        let lists = term.iter().filter_map(|requirement| match &requirement.operator {
            Operator::In(names) if requirement.key == NAME => Some(names.iter().map(String::as_str).collect()),
            _ => None,
        });
        all.extend(lists.reduce(|a: BTreeSet<&str>, b| &a & &b)?);
    }
    (!terms.is_empty()).then_some(all)
}

/// `noderesources/fit.go`: requests, not limits and not usage. A pod that asks for nothing needs a place only.
fn fit(place: &Place, asked: &Asked) -> Result<(), Refusal> {
    let (cpu, memory) = plain(asked.requests);
    let (has_cpu, has_memory) = (place.node.cpu.get(), place.node.memory.get());
    let lacks = |asked: u64, used: u64, has: u64| asked > 0 && asked > has.saturating_sub(used);
    let mut reasons = Vec::new();
    if place.pods.len() as u64 + 1 > u64::from(place.node.pods) {
        reasons.push("Too many pods");
    }
    if lacks(cpu, place.cpu, has_cpu) {
        reasons.push("Insufficient cpu");
    }
    if lacks(memory, place.memory, has_memory) {
        reasons.push("Insufficient memory");
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Refusal { reasons, resolvable: cpu <= has_cpu && memory <= has_memory })
}
