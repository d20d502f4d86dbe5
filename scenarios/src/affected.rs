//! How many pods faults may hit at one time: a bound that holds whatever the scheduler does.
//!
//! Owns the counting only. It is asked before anything is made, so it takes every workload at its largest and every node
//! as full of pods as their requests allow.

use platform::{Node, WorkloadId, WorkloadKind};
use units::{Bytes, Nanos};

use crate::{Fault, FaultKind, Party, Plan};

/// A pod that was deleted counts as hit for so long: by then another one has its place.
const REPLACED: Nanos = Nanos::from_secs(60);

/// The instant at which most pods are hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// How many pods there may be.
    pub pods: u32,
    /// Which faults hit them, each with its own number.
    pub by: Vec<(String, u32)>,
}

impl Plan {
    /// The instant at which the faults may hit most pods, where pods request `share` of the CPU that the manifests say.
    pub fn most_affected(&self, share: f64) -> Affected {
        let hits = |fault: &Fault| (fault.name.clone(), self.hit(&fault.kind, share));
        let end = self.load.end();
        let until = |fault: &Fault| match (fault.lasts, &fault.kind) {
            (Some(lasts), _) => fault.at + lasts,
            (None, FaultKind::PodKill { .. } | FaultKind::GatewayLoss { .. }) => fault.at + REPLACED,
            (None, _) => end,
        };
        let at = |instant: Nanos| {
            let by: Vec<_> =
                self.faults.iter().filter(|fault| (fault.at..until(fault)).contains(&instant)).map(hits).collect();
            let sum = by.iter().map(|(_, pods)| *pods).sum::<u32>();
            Affected { pods: sum.min(self.all_pods()), by }
        };
        // Most are hit when one more begins.
        let all = self.faults.iter().map(|fault| at(fault.at));
        all.max_by_key(|affected| affected.pods).unwrap_or(Affected { pods: 0, by: Vec::new() })
    }

    /// How many pods a fault may hit.
    fn hit(&self, kind: &FaultKind, share: f64) -> u32 {
        let nodes = |nodes: &[usize]| {
            let room = |index: &usize| self.nodes.get(*index).map_or(0, |node| self.room(node, share));
            nodes.iter().map(room).sum::<u32>().min(self.all_pods())
        };
        let gateway = || self.platform.gateway.as_ref().map_or(0, |gateway| self.pods_of(gateway.workload));
        match kind {
            FaultKind::PodKill { workload, pods, .. } => self.pods_of(*workload).min(*pods),
            FaultKind::GatewayLoss { pods } => gateway().min(*pods),
            FaultKind::NodeDrain { node }
            | FaultKind::NodeLoss { node }
            | FaultKind::Partition { node }
            | FaultKind::NoisyNeighbour { node, .. } => nodes(&[*node]),
            FaultKind::ZoneLoss { nodes: all, .. } => nodes(all),
            // It keeps pods from being made, and those that are there stay.
            FaultKind::Quota(_) => 0,
            FaultKind::AutoscalerEdit { workload, .. }
            | FaultKind::RollingUpdate { workload }
            | FaultKind::BadImage { workload }
            | FaultKind::Rollback { workload } => self.pods_of(*workload),
            FaultKind::Latency { to, .. }
            | FaultKind::Errors { to, .. }
            | FaultKind::Reset { to, .. }
            | FaultKind::PacketLoss { to, .. }
            | FaultKind::Blackhole { to, .. } => match to {
                Party::Workload(workload) => self.pods_of(*workload),
                Party::Gateway => gateway(),
                Party::Clients => 0,
            },
            FaultKind::DnsFailure { service } => {
                let behind = self.platform.selected_by(self.platform.service(*service));
                behind.map(|workload| self.pods_of(workload)).sum()
            }
            FaultKind::DatabaseLoss { .. }
            | FaultKind::RedisLoss { .. }
            | FaultKind::ConnectionsTaken { .. }
            | FaultKind::Backup { .. }
            | FaultKind::DiskFull
            | FaultKind::Restore => 1,
        }
    }

    /// The most pods that a workload has.
    fn pods_of(&self, id: WorkloadId) -> u32 {
        let workload = self.platform.workload(id);
        if workload.kind == WorkloadKind::DaemonSet {
            return self.nodes.len() as u32;
        }
        let scaler = self.platform.autoscalers.iter().find(|scaler| scaler.target == Some(id));
        let edited = self.faults.iter().filter_map(|fault| match &fault.kind {
            FaultKind::AutoscalerEdit { workload, edit } if *workload == id => edit.max,
            _ => None,
        });
        edited.chain(scaler.map(|scaler| scaler.max)).max().unwrap_or(0).max(workload.replicas.unwrap_or(1))
    }

    fn all_pods(&self) -> u32 {
        self.platform.workload_ids().map(|id| self.pods_of(id)).sum()
    }

    /// How many pods a node has room for: the smallest first, by CPU and by memory, and no more than it allows.
    fn room(&self, node: &Node, share: f64) -> u32 {
        let fitting = |has: u64, of: &dyn Fn(WorkloadId) -> u64| {
            let mut asked: Vec<(u64, u32)> =
                self.platform.workload_ids().map(|id| (of(id), self.pods_of(id))).collect();
            asked.sort_unstable();
            let (mut left, mut pods) = (has, 0);
            for (request, count) in asked {
                let fit = left.checked_div(request).map_or(count, |fit| fit.min(u64::from(count)) as u32);
                (left, pods) = (left - request * u64::from(fit), pods + fit);
            }
            pods
        };
        let requests = |id| self.platform.workload(id).requests();
        let cpu = |id| requests(id).cpu.map_or(0, |cpu| (cpu.get() as f64 * share) as u64);
        let memory = |id| requests(id).memory.map_or(0, Bytes::get);
        fitting(node.cpu.get(), &cpu).min(fitting(node.memory.get(), &memory)).min(node.pods)
    }
}
