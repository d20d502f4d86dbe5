//! The rules, by what they are about. Each stands beside its code; the catalogue lists them all.

pub(crate) mod autoscaling;
pub(crate) mod build;
pub(crate) mod data;
pub(crate) mod disruption;
pub(crate) mod gateway;
pub(crate) mod ingress;
pub(crate) mod kustomization;
pub(crate) mod lifecycle;
pub(crate) mod observability;
pub(crate) mod placement;
pub(crate) mod reach;
pub(crate) mod start;
pub(crate) mod storage;
pub(crate) mod traffic;

use std::collections::BTreeSet;
use std::ptr;

use platform::{Autoscaler, Node, Platform, Workload};

use crate::Finding;
use crate::drift::Provided;

/// What rules look at.
pub(crate) struct Context<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) nodes: &'a [Node],
    pub(crate) provided: &'a [Provided],
    /// Workloads with a Service in front. Asked once, since each answer looks through all Services and workloads.
    served: BTreeSet<*const Workload>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(platform: &'a Platform, nodes: &'a [Node], provided: &'a [Provided]) -> Self {
        let selected = platform.services.iter().flat_map(|service| platform.selected_by(service));
        let served = selected.map(|id| ptr::from_ref(platform.workload(id))).collect();
        Self { platform, nodes, provided, served }
    }

    /// Whether a Service selects its pods.
    pub(crate) fn is_served(&self, workload: &Workload) -> bool {
        workload.kind.is_service() && self.served.contains(&ptr::from_ref(workload))
    }

    /// The most pods a workload can have: its autoscalers' maximum, or what it declares.
    pub(crate) fn most_pods(&self, workload: &Workload) -> u32 {
        self.scalers(workload).map(|scaler| scaler.max).max().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }

    /// The fewest pods it has by intention.
    pub(crate) fn fewest_pods(&self, workload: &Workload) -> u32 {
        self.scalers(workload).map(|scaler| scaler.min).min().unwrap_or_else(|| workload.replicas.unwrap_or(1))
    }

    /// Something that is not rehearsed and would make pods of its own.
    pub(crate) fn other_maker(&self) -> Option<&str> {
        let makes = |(what, _): &&(String, platform::Place)| what.contains("(would make ");
        self.platform.not_rehearsed.iter().find(makes).map(|(what, _)| what.as_str())
    }

    fn scalers(&self, workload: &Workload) -> impl Iterator<Item = &Autoscaler> {
        let scales = |scaler: &&Autoscaler| {
            scaler.target.is_some_and(|target| ptr::eq(self.platform.workload(target), workload))
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
