//! What goes wrong, and when: resolved faults on the timeline of the load.
//!
//! Owns the vocabulary only. What a fault does is decided where the thing it hits is decided: `cluster` for pods and
//! nodes, `gateway` and the network for requests, the data layer for databases.

use cluster::AutoscalerEdit;
use platform::{Quota, ServiceId, WorkloadId};
use units::{Distribution, Millicores, Nanos};

use crate::Plan;

/// One fault, bound to a platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Its name, unique in the scenario: expectations and reports use it.
    pub name: String,
    /// When it begins, counted from the start of load.
    pub at: Nanos,
    /// How long it lasts. `None`: what it did is not undone, such as a deleted pod.
    pub lasts: Option<Nanos>,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// When it ends; of a fault that is not undone, its beginning.
    pub fn end(&self) -> Nanos {
        self.at + self.lasts.unwrap_or(Nanos::ZERO)
    }
}

/// What happens. Nodes are named by their index in [`Plan::nodes`](crate::Plan::nodes).
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// `kubectl delete pod`.
    PodKill {
        /// Of which workload.
        workload: WorkloadId,
        /// How many of its running pods, at least 1; all of them if there are fewer.
        pods: u32,
        /// `--grace-period=0 --force`.
        forced: bool,
    },
    /// `kubectl drain`: cordoned, then evicted within the disruption budgets; uncordoned at its end.
    NodeDrain {
        /// Which node.
        node: usize,
    },
    /// A node loses its power; it is back at its end.
    NodeLoss {
        /// Which node.
        node: usize,
    },
    /// Every node of a zone loses its power at once.
    ZoneLoss {
        /// Value of `topology.kubernetes.io/zone`.
        zone: String,
        /// Its nodes.
        nodes: Vec<usize>,
    },
    /// A node is cut off from the control plane and from everybody else, and its pods go on.
    Partition {
        /// Which node.
        node: usize,
    },
    /// A new pod template that works.
    RollingUpdate {
        /// Of which workload.
        workload: WorkloadId,
    },
    /// A new pod template whose image cannot be pulled.
    BadImage {
        /// Of which workload.
        workload: WorkloadId,
    },
    /// `kubectl rollout undo`.
    Rollback {
        /// Of which workload.
        workload: WorkloadId,
    },
    /// Connections take longer.
    Latency {
        /// Who connects.
        from: Party,
        /// To whom.
        to: Party,
        /// Added to every request, both ways together.
        add: Distribution,
    },
    /// Requests are answered with an error that the called never sees.
    Errors {
        /// Who asks.
        from: Party,
        /// Whom.
        to: Party,
        /// Which share of the requests, above 0 and up to 1.
        share: f64,
        /// HTTP status of the answer, 400 to 599.
        status: u16,
    },
    /// Requests are cut: whoever asks gets a reset in place of an answer, and the called never sees them.
    Reset {
        /// Who asks.
        from: Party,
        /// Whom.
        to: Party,
        /// Which share of the requests, above 0 and up to 1.
        share: f64,
    },
    /// Packets are lost, and TCP sends them again.
    PacketLoss {
        /// Who connects.
        from: Party,
        /// To whom.
        to: Party,
        /// Which share of the packets, either way, above 0 and up to 1.
        share: f64,
    },
    /// Packets vanish: nobody refuses, nobody answers.
    Blackhole {
        /// Who connects.
        from: Party,
        /// To whom.
        to: Party,
    },
    /// The database's primary is lost; at its end it is back.
    DatabaseLoss {
        /// The workload that runs it.
        workload: WorkloadId,
    },
    /// The Redis primary is lost.
    RedisLoss {
        /// The workload that runs it.
        workload: WorkloadId,
    },
    /// Others than services hold connections of the database: a job that leaks them, or somebody's tool.
    ConnectionsTaken {
        /// How many they want; they get what is left of `max_connections`.
        connections: u32,
    },
    /// The database is backed up while it serves.
    Backup {
        /// What that takes of its CPU.
        cpu: Millicores,
    },
    /// The disk of the database is full; at its end there is space again.
    DiskFull,
    /// The database is offline while a backup is restored; at its end it serves again.
    Restore,
    /// Gateway pods are killed without grace.
    GatewayLoss {
        /// How many.
        pods: u32,
    },
    /// Something else on a node takes its CPU.
    NoisyNeighbour {
        /// Which node.
        node: usize,
        /// How much of it.
        cpu: Millicores,
    },
    /// A Service's name is not resolved.
    DnsFailure {
        /// Which Service.
        service: ServiceId,
    },
    /// `kubectl patch hpa`; at its end the autoscaler is as it was.
    AutoscalerEdit {
        /// Of which workload.
        workload: WorkloadId,
        /// What is set.
        edit: AutoscalerEdit,
    },
    /// A `ResourceQuota` is set; at its end it is gone.
    Quota(Quota),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// All clients of the load.
    Clients,
    /// The gateway's pods.
    Gateway,
    /// Pods of a workload.
    Workload(WorkloadId),
}

impl Plan {
    /// What a fault does, in words for reports.
    pub fn fault_in_words(&self, fault: &Fault) -> String {
        let workload = |id: WorkloadId| self.platform.workload(id).name.as_str();
        let node = |index: usize| self.nodes.get(index).map_or("a node", |node| node.name.as_str());
        let party = |party: Party| match party {
            Party::Clients => "the clients",
            Party::Gateway => "the gateway",
            Party::Workload(id) => workload(id),
        };
        let pods = |count: u32| if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
        match &fault.kind {
            FaultKind::PodKill { workload: id, pods: count, forced } => {
                let how = if *forced { "killed without grace" } else { "deleted" };
                format!("{} of {} {how}", pods(*count), workload(*id))
            }
            FaultKind::NodeDrain { node: index } => format!("node {} is drained", node(*index)),
            FaultKind::NodeLoss { node: index } => format!("node {} loses its power", node(*index)),
            FaultKind::ZoneLoss { zone, nodes } => format!("zone {zone} with {} nodes loses its power", nodes.len()),
            FaultKind::Partition { node: index } => format!("node {} is cut off", node(*index)),
            FaultKind::RollingUpdate { workload: id } => format!("{} gets a new template", workload(*id)),
            FaultKind::BadImage { workload: id } => format!("{} gets an image that cannot be pulled", workload(*id)),
            FaultKind::Rollback { workload: id } => format!("{} is rolled back", workload(*id)),
            FaultKind::Latency { from, to, .. } => format!("{} to {} takes longer", party(*from), party(*to)),
            FaultKind::Errors { from, to, share, status } => {
                format!("{:.0} % of what {} asks {} ends as {status}", share * 100.0, party(*from), party(*to))
            }
            FaultKind::Reset { from, to, share } => {
                format!("{:.0} % of what {} asks {} is reset", share * 100.0, party(*from), party(*to))
            }
            FaultKind::PacketLoss { from, to, share } => {
                format!("{:.0} % of the packets between {} and {} are lost", share * 100.0, party(*from), party(*to))
            }
            FaultKind::Blackhole { from, to } => format!("packets from {} to {} vanish", party(*from), party(*to)),
            FaultKind::DatabaseLoss { .. } => "the database's primary is lost".into(),
            FaultKind::RedisLoss { .. } => "the Redis primary is lost".into(),
            FaultKind::ConnectionsTaken { connections } => format!("others take {connections} database connections"),
            FaultKind::DiskFull => "the database's disk is full".into(),
            FaultKind::Restore => "the database is offline while a backup is restored".into(),
            FaultKind::Backup { cpu } => format!("the database is backed up, which takes {cpu} CPU"),
            FaultKind::GatewayLoss { pods: count } => format!("{} of the gateway killed without grace", pods(*count)),
            FaultKind::NoisyNeighbour { node: index, cpu } => {
                format!("something else on node {} takes {cpu} CPU", node(*index))
            }
            FaultKind::DnsFailure { service } => {
                format!("the name of {} is not resolved", self.platform.service(*service).name)
            }
            FaultKind::AutoscalerEdit { workload: id, edit } => {
                let set =
                    [("minReplicas", edit.min), ("maxReplicas", edit.max), ("averageUtilization of CPU", edit.cpu)];
                let set = set.iter().filter_map(|(key, value)| value.map(|value| format!("{key} {value}")));
                format!("the autoscaler of {} is edited: {}", workload(*id), set.collect::<Vec<_>>().join(", "))
            }
            FaultKind::Quota(quota) => {
                let set = [
                    quota.pods.map(|pods| format!("{pods} pods")),
                    quota.requests.cpu.map(|cpu| format!("{cpu} CPU")),
                    quota.requests.memory.map(|memory| format!("{memory} of memory")),
                ];
                let set: Vec<_> = set.into_iter().flatten().collect();
                format!("a quota allows {} in namespace {}", set.join(" and "), quota.namespace)
            }
        }
    }
}
