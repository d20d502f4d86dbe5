//! With something gone for good: one pod of what binds, a node, a zone.
//!
//! What is asked is the balance afterwards, not the moment of the loss: that is a drill.

use std::collections::BTreeSet;

use record::{Capacity, Loss};
use simulation::in_order;

use crate::capacity::{Asker, CapacityError, FIXED, SCALED};
use crate::{Bound, Change, Resource};

const ZONE: &str = "topology.kubernetes.io/zone";
/// Pods are taken from so many of the workloads that bind first.
const WORKLOADS: usize = 3;

/// Everything whose loss is asked about.
fn candidates(asker: &Asker<'_>, bounds: &[Bound]) -> Vec<(String, Vec<Change>, bool)> {
    let plan = &asker.question.plan;
    let mut all = Vec::new();
    let binding = bounds.iter().filter_map(|bound| match bound.resource {
        Resource::Pods(workload) => Some(workload),
        _ => None,
    });
    for workload in binding.take(WORKLOADS) {
        let fixed = asker.trial(&[Change::NoAutoscalers], FIXED).plan_at(1.0);
        let declared = fixed.platform.workload(workload);
        let replicas = declared.replicas.unwrap_or(1);
        if replicas > 1 {
            let what = format!("one of {replicas} pods of {}, autoscaling off", declared.name);
            all.push((what, vec![Change::NoAutoscalers, Change::Replicas(workload, replicas - 1)], true));
        }
    }
    // The node that is the largest: on it most can be.
    let largest = plan.nodes.iter().filter(|node| node.taints.is_empty()).max_by_key(|node| node.cpu);
    if let Some(node) = largest {
        all.push((format!("node {}", node.name), vec![Change::WithoutNodes(vec![node.name.clone()])], false));
    }
    let zones: BTreeSet<&String> = plan.nodes.iter().filter_map(|node| node.labels.get(ZONE)).collect();
    if zones.len() > 1 {
        for zone in zones {
            let names = plan.nodes.iter().filter(|node| node.labels.get(ZONE) == Some(zone));
            let names: Vec<String> = names.map(|node| node.name.clone()).collect();
            let what = format!("zone {zone} with {} nodes", names.len());
            all.push((what, vec![Change::WithoutNodes(names)], false));
        }
    }
    all
}

/// What the rest carries.
pub(crate) fn losses(
    asker: &Asker<'_>,
    bounds: &[Bound],
    declared: &Capacity,
    fixed: &Capacity,
    asked: f64,
) -> Vec<Loss> {
    let candidates = candidates(asker, bounds);
    in_order(candidates.len(), asker.question.threads, |index| {
        let (what, changes, is_fixed) = &candidates[index];
        let (shape, start) = if *is_fixed { (FIXED, fixed.keeps) } else { (SCALED, declared.keeps) };
        let (keeps, why) = match asker.largest(changes, shape, start) {
            Ok(capacity) => (capacity.keeps, capacity.broken_by),
            Err(CapacityError::NeverReady(why) | CapacityError::BrokenAtZero { why, .. }) => (0.0, Some(why)),
            Err(CapacityError::NoDemand) => (0.0, None),
        };
        Loss { what: what.clone(), keeps, enough: keeps >= asked, why }
    })
}
