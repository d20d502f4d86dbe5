//! The rules, by what they are about. Each stands beside its code; the catalogue lists them all.

pub(crate) mod autoscaling;
pub(crate) mod build;
pub(crate) mod data;
pub(crate) mod disruption;
pub(crate) mod gateway;
pub(crate) mod ingress;
pub(crate) mod lifecycle;
pub(crate) mod observability;
pub(crate) mod placement;
pub(crate) mod reach;
pub(crate) mod start;
pub(crate) mod traffic;

use platform::{Node, Platform, Workload};

use crate::Finding;
use crate::drift::Provided;

/// What rules look at.
pub(crate) struct Context<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) nodes: &'a [Node],
    pub(crate) provided: &'a [Provided],
}

impl Context<'_> {
    /// The most pods a workload can have: its autoscaler's maximum, or what it declares.
    pub(crate) fn most_pods(&self, workload: &Workload) -> u32 {
        let autoscaled = self.platform.autoscalers.iter().filter(|a| {
            a.target.is_some_and(|target| {
                let target = self.platform.workload(target);
                target.name == workload.name && target.namespace == workload.namespace && target.kind == workload.kind
            })
        });
        autoscaled.map(|a| a.max).max().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }

    /// The fewest pods it has by intention.
    pub(crate) fn fewest_pods(&self, workload: &Workload) -> u32 {
        let autoscaled = self.platform.autoscalers.iter().filter(|a| {
            a.target.is_some_and(|target| {
                let target = self.platform.workload(target);
                target.name == workload.name && target.namespace == workload.namespace && target.kind == workload.kind
            })
        });
        autoscaled.map(|a| a.min).min().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }
}

/// `Kind/name` of a workload.
pub(crate) fn name_of(workload: &Workload) -> String {
    format!("{}/{}", workload.kind.name(), workload.name)
}

/// A rule's code.
pub(crate) type Check = fn(&Context<'_>, &mut Vec<Finding>);
