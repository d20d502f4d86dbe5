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

use platform::{Autoscaler, Node, Platform, Workload};

use crate::Finding;
use crate::drift::Provided;

/// What rules look at.
pub(crate) struct Context<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) nodes: &'a [Node],
    pub(crate) provided: &'a [Provided],
}

impl Context<'_> {
    /// The most pods a workload can have: its autoscalers' maximum, or what it declares.
    pub(crate) fn most_pods(&self, workload: &Workload) -> u32 {
        self.scalers(workload).map(|scaler| scaler.max).max().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }

    /// The fewest pods it has by intention.
    pub(crate) fn fewest_pods(&self, workload: &Workload) -> u32 {
        self.scalers(workload).map(|scaler| scaler.min).min().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }

    fn scalers(&self, workload: &Workload) -> impl Iterator<Item = &Autoscaler> {
        let scales = |scaler: &&Autoscaler| {
            scaler.target.is_some_and(|target| std::ptr::eq(self.platform.workload(target), workload))
        };
        self.platform.autoscalers.iter().filter(scales)
    }
}

/// `Kind/name` of a workload.
pub(crate) fn name_of(workload: &Workload) -> String {
    format!("{}/{}", workload.kind.name(), workload.name)
}

/// A rule's code.
pub(crate) type Check = fn(&Context<'_>, &mut Vec<Finding>);
