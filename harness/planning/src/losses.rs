//! With something gone for good: one pod of what binds, a node, a zone.
//!
//! What is asked is the balance afterwards, not the moment of the loss: that is a drill.

use std::collections::BTreeSet;

use record::Loss;

use crate::asker::{Asker, FIXED, SCALED};
use crate::questions::Known;
use crate::{CapacityError, Change, Resource};

const ZONE: &str = "topology.kubernetes.io/zone";
/// Pods are taken from so many of the workloads that bind first.
const WORKLOADS: usize = 3;

/// What is gone.
#[derive(Debug)]
pub(crate) struct Gone {
    /// In words.
    what: String,
    changes: Vec<Change>,
    /// Whether nobody scales the rest.
    fixed: bool,
}

/// Everything whose loss is asked about.
pub(crate) fn candidates(known: &Known<'_>) -> Vec<Gone> {
    let plan = &known.question.plan;
    let mut all = Vec::new();
    let mut fixed = plan.clone();
    Change::NoAutoscalers.apply(&mut fixed);
    let binding = known.bounds.iter().filter_map(|bound| match bound.resource {
        Resource::Pods(workload) => Some(workload),
        _ => None,
    });
    for workload in binding.take(WORKLOADS) {
        let declared = fixed.platform.workload(workload);
        let replicas = declared.replicas.unwrap_or(1);
        if replicas > 1 {
            let what = format!("one of {replicas} pods of {}, autoscaling off", declared.name);
            let changes = vec![Change::NoAutoscalers, Change::Replicas(workload, replicas - 1)];
            all.push(Gone { what, changes, fixed: true });
        }
    }
    // The node that is the largest: on it most can be.
    let largest = plan.nodes.iter().filter(|node| node.taints.is_empty()).max_by_key(|node| node.cpu);
    if let Some(node) = largest {
        let changes = vec![Change::WithoutNodes(vec![node.name.clone()])];
        all.push(Gone { what: format!("node {}", node.name), changes, fixed: false });
    }
    let zones: BTreeSet<&String> = plan.nodes.iter().filter_map(|node| node.labels.get(ZONE)).collect();
    if zones.len() > 1 {
        for zone in zones {
            let names = plan.nodes.iter().filter(|node| node.labels.get(ZONE) == Some(zone));
            let names: Vec<String> = names.map(|node| node.name.clone()).collect();
            let what = format!("zone {zone} with {} nodes", names.len());
            all.push(Gone { what, changes: vec![Change::WithoutNodes(names)], fixed: false });
        }
    }
    all
}

/// What the rest carries.
pub(crate) fn without(asker: &Asker<'_>, gone: &Gone, known: &Known<'_>) -> Loss {
    let (shape, start) = if gone.fixed { (FIXED, known.fixed.keeps) } else { (SCALED, known.declared.keeps) };
    let (keeps, why) = match asker.largest(&gone.changes, shape, start) {
        Ok(capacity) => (capacity.keeps, capacity.broken_by),
        Err(CapacityError::NeverReady(why) | CapacityError::BrokenAtZero { why, .. }) => (0.0, Some(why)),
        Err(CapacityError::NoDemand) => (0.0, None),
    };
    Loss { what: gone.what.clone(), keeps, enough: keeps >= known.asked, why }
}
