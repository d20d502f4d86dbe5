//! What a fault does to a platform, as inputs of the machines that it hits: the same list live and in virtual time.
//!
//! Owns which pods and nodes a fault means at its instant. Disturbed connections need no deed: [`crate::Network`] is
//! asked for every request and knows the time.

use cluster::{Action, Flaw, PodId, PodRecord};
use model::data::DataInput;
use platform::{Quota, WorkloadId};
use units::{Millicores, Nanos, Purpose};

use crate::bind::object_name;
use crate::{FaultKind, Party, Plan};

/// One thing to do when a fault begins or ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Tell the control plane.
    Act(Action),
    /// Tell the data layer.
    Data(DataInput),
    /// What a pod's node leaves to it from now on; `None`: enough.
    Share(PodId, Option<Millicores>),
}

/// When a fault begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultEdge {
    /// Counted from the start of load.
    pub at: Nanos,
    /// Index into [`Plan::faults`].
    pub fault: usize,
    /// It ends.
    pub over: bool,
}

impl Plan {
    /// The beginnings and ends of all faults, in order of time.
    pub fn fault_edges(&self) -> Vec<FaultEdge> {
        let mut edges = Vec::new();
        for (fault, planned) in self.faults.iter().enumerate() {
            edges.push(FaultEdge { at: planned.at, fault, over: false });
            if planned.lasts.is_some() {
                edges.push(FaultEdge { at: planned.end(), fault, over: true });
            }
        }
        edges.sort_by_key(|edge| edge.at);
        edges
    }

    /// What is to be done at the beginning or the end (`over`) of a fault, while all pods there have been stand as they do.
    pub fn deeds(&self, fault: usize, over: bool, cluster: &[PodRecord]) -> Vec<Deed> {
        let act = |action| vec![Deed::Act(action)];
        let kill = |workload, pods, forced| self.kill(fault, workload, pods, forced, cluster);
        match (&self.faults[fault].kind, over) {
            (FaultKind::PodKill { workload, pods, forced }, false) => kill(*workload, *pods, *forced).collect(),
            (FaultKind::GatewayLoss { pods }, false) => match &self.platform.gateway {
                Some(gateway) => kill(gateway.workload, *pods, true).collect(),
                None => Vec::new(),
            },
            (FaultKind::NodeDrain { node }, false) => act(Action::Drain(*node)),
            (FaultKind::NodeDrain { node }, true) => act(Action::Uncordon(*node)),
            (FaultKind::NodeLoss { node }, false) => act(Action::LoseNode(*node)),
            (FaultKind::NodeLoss { node } | FaultKind::Partition { node }, true) => act(Action::ReturnNode(*node)),
            (FaultKind::ZoneLoss { nodes, .. }, false) => {
                nodes.iter().map(|node| Deed::Act(Action::LoseNode(*node))).collect()
            }
            (FaultKind::ZoneLoss { nodes, .. }, true) => {
                nodes.iter().map(|node| Deed::Act(Action::ReturnNode(*node))).collect()
            }
            (FaultKind::Partition { node }, false) => act(Action::CutOff(*node)),
            (FaultKind::RollingUpdate { workload }, false) => {
                act(Action::Rollout { workload: *workload, flaw: Flaw::None })
            }
            (FaultKind::BadImage { workload }, false) => {
                act(Action::Rollout { workload: *workload, flaw: Flaw::ImagePull })
            }
            (FaultKind::Rollback { workload }, false) => act(Action::Rollback(*workload)),
            (FaultKind::DatabaseLoss { workload }, false) => {
                std::iter::once(Deed::Data(DataInput::PrimaryLost)).chain(kill(*workload, 1, true)).collect()
            }
            (FaultKind::Restore, false) => vec![Deed::Data(DataInput::TakenOffline)],
            (FaultKind::DatabaseLoss { .. } | FaultKind::Restore, true) => vec![Deed::Data(DataInput::PrimaryBack)],
            (FaultKind::RedisLoss { workload }, false) => {
                std::iter::once(Deed::Data(DataInput::CacheLost)).chain(kill(*workload, 1, true)).collect()
            }
            (FaultKind::RedisLoss { .. }, true) => vec![Deed::Data(DataInput::CacheBack)],
            (FaultKind::DiskFull, false) => vec![Deed::Data(DataInput::DiskFills)],
            (FaultKind::DiskFull, true) => vec![Deed::Data(DataInput::DiskFreed)],
            (FaultKind::ConnectionsTaken { connections }, false) => {
                vec![Deed::Data(DataInput::ConnectionsTaken(*connections))]
            }
            (FaultKind::ConnectionsTaken { .. }, true) => vec![Deed::Data(DataInput::ConnectionsGivenBack)],
            (FaultKind::Backup { cpu }, false) => vec![Deed::Data(DataInput::BackupBegins(*cpu))],
            (FaultKind::Backup { .. }, true) => vec![Deed::Data(DataInput::BackupEnds)],
            (FaultKind::NoisyNeighbour { node, cpu }, false) => self.shares(*node, Some(*cpu), cluster),
            (FaultKind::NoisyNeighbour { node, .. }, true) => self.shares(*node, None, cluster),
            (FaultKind::AutoscalerEdit { workload, edit }, over) => {
                let declared = self.platform.autoscalers.iter().find(|one| one.target == Some(*workload));
                let Some(declared) = declared else { return Vec::new() };
                let edit = if over { edit.undone(declared) } else { *edit };
                act(Action::EditAutoscaler { workload: *workload, edit })
            }
            (FaultKind::Quota(quota), false) => act(Action::SetQuota(quota.clone())),
            (FaultKind::Quota(Quota { namespace, name, .. }), true) => {
                act(Action::DropQuota { namespace: namespace.clone(), name: name.clone() })
            }
            (FaultKind::Blackhole { from, to }, over) => {
                let (Some(from), Some(to)) = (self.of_party(*from), self.of_party(*to)) else { return Vec::new() };
                let name = object_name(&self.faults[fault].name);
                act(if over { Action::Allow { name, to } } else { Action::Deny { name, from, to } })
            }
            // The network asks the scenario's faults itself, by their time.
            (
                FaultKind::Latency { .. }
                | FaultKind::Errors { .. }
                | FaultKind::Reset { .. }
                | FaultKind::PacketLoss { .. }
                | FaultKind::DnsFailure { .. },
                _,
            )
            // What these did is not undone by their end.
            | (
                FaultKind::PodKill { .. }
                | FaultKind::GatewayLoss { .. }
                | FaultKind::RollingUpdate { .. }
                | FaultKind::BadImage { .. }
                | FaultKind::Rollback { .. },
                true,
            ) => Vec::new(),
        }
    }

    /// The workload of a party; clients are none.
    fn of_party(&self, party: Party) -> Option<WorkloadId> {
        match (party, &self.platform.gateway) {
            (Party::Workload(id), _) => Some(id),
            (Party::Gateway, Some(gateway)) => Some(gateway.workload),
            (Party::Gateway, None) | (Party::Clients, _) => None,
        }
    }

    /// Deletes some of a workload's pods that have started and are not ending; which ones, the seed says.
    fn kill(
        &self,
        fault: usize,
        workload: WorkloadId,
        pods: u32,
        forced: bool,
        cluster: &[PodRecord],
    ) -> impl Iterator<Item = Deed> {
        let runs = |record: &PodRecord| record.workload == workload && record.started.is_some() && record.is_active();
        let mut running: Vec<PodId> = by_id(cluster).filter(|(_, record)| runs(record)).map(|(pod, _)| pod).collect();
        let seed = self.load.seed.child("fault").child_nth(fault as u64);
        let count = running.len().min(pods as usize) as u64;
        (0..count).map(move |nth| {
            let pod = running.remove(seed.draw_nth(nth, Purpose::Phase).below(running.len()));
            Deed::Act(Action::DeletePod { pod, forced })
        })
    }

    /// CPU that something else takes on a node from now on, if that is what the fault, or its end, changes.
    pub fn noise(&self, fault: usize, over: bool) -> Option<(usize, Millicores)> {
        match self.faults[fault].kind {
            FaultKind::NoisyNeighbour { node, cpu } => Some((node, if over { Millicores::ZERO } else { cpu })),
            _ => None,
        }
    }

    /// Something else takes `noise` of a node's CPU, or no longer does. What is left is shared in proportion to the
    /// requests of the pods there, as CPU weights are made from them; each keeps at least its request.
    fn shares(&self, node: usize, noise: Option<Millicores>, cluster: &[PodRecord]) -> Vec<Deed> {
        let Some(has) = self.nodes.get(node).map(|node| node.cpu.get()) else { return Vec::new() };
        let left = has.saturating_sub(noise.map_or(0, Millicores::get));
        let request =
            |record: &PodRecord| self.platform.workload(record.workload).requests().cpu.map_or(0, Millicores::get);
        let there = |record: &PodRecord| record.node == Some(node) && record.gone.is_none();
        let pods: Vec<(PodId, u64)> =
            by_id(cluster).filter(|(_, record)| there(record)).map(|(pod, record)| (pod, request(record))).collect();
        let all: u64 = pods.iter().map(|(_, request)| request).sum();
        let share = |own: u64| own.max((u128::from(left) * u128::from(own) / u128::from(all.max(1))) as u64).max(1);
        pods.into_iter().map(|(pod, own)| Deed::Share(pod, noise.map(|_| Millicores::new(share(own))))).collect()
    }
}

fn by_id(pods: &[PodRecord]) -> impl Iterator<Item = (PodId, &PodRecord)> {
    pods.iter().enumerate().map(|(index, record)| (PodId(index as u32), record))
}
