//! Backends: what they are called, and what each can play. A scenario is refused before anything starts, and never silently played without a part.

use std::sync::Arc;

use clap::ValueEnum as _;
use scenarios::{FaultKind, Party, Plan, Scenario};
use units::Seed;

use crate::failure::Failure;

/// Where a rehearsal is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    /// Servers in this process, under our own rules
    #[default]
    Embedded,
    /// The same servers, as pods of Kubernetes' own API server, controllers and scheduler
    ControlPlane,
    /// Real nginx, PostgreSQL and Redis, and mock services, in Docker; the rules that decide are ours
    Containers,
    /// A whole cluster: one that kind makes (--kind), or one that there is (--context)
    Kubernetes,
    /// Virtual time, under our own rules: what `simulate` does
    Simulated,
}

/// How a backend plays a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// As it would happen: the same cause, the same signs.
    Native,
    /// The same signs from another cause, which is told.
    Emulated(&'static str),
    /// Not at all, which is why.
    Refused(&'static str),
}

impl Backend {
    /// Its name in results, messages and on the command line.
    pub(crate) const fn named(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::ControlPlane => "control-plane",
            Self::Containers => "containers",
            Self::Kubernetes => "kubernetes",
            Self::Simulated => "simulated",
        }
    }

    /// All of them that play in real time, by name.
    pub(crate) fn live() -> String {
        let live = |backend: &&Self| **backend != Self::Simulated;
        Self::value_variants().iter().filter(live).map(|backend| backend.named()).collect::<Vec<_>>().join(", ")
    }

    /// How it plays such a fault. Exhaustive, so that a new kind has to be decided here.
    pub(crate) const fn support(self, kind: &FaultKind) -> Support {
        use Support::{Emulated, Native, Refused};
        match (self, kind) {
            (
                _,
                FaultKind::PodKill { .. }
                | FaultKind::GatewayLoss { .. }
                | FaultKind::NodeDrain { .. }
                | FaultKind::RollingUpdate { .. }
                | FaultKind::BadImage { .. }
                | FaultKind::Rollback { .. }
                | FaultKind::AutoscalerEdit { .. }
                | FaultKind::Quota(_),
            )
            | (Self::Containers, FaultKind::ConnectionsTaken { .. } | FaultKind::DiskFull)
            | (Self::Simulated, _) => Native,
            (Self::Kubernetes, FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. }) => {
                Emulated("kind's node, a container, is paused: all its processes stand still")
            }
            (Self::Kubernetes, FaultKind::RedisLoss { .. }) => {
                Emulated("its pod is deleted by force and comes back empty; nobody fails over")
            }
            (Self::Kubernetes, FaultKind::Partition { .. }) => {
                Emulated("all packets are dropped at the interface of kind's node, a container")
            }
            (
                Self::Kubernetes,
                FaultKind::Blackhole { from: Party::Clients, .. } | FaultKind::Blackhole { to: Party::Gateway, .. },
            ) => Refused("a NetworkPolicy that keeps some out of the gateway keeps all clients out"),
            (Self::Kubernetes, FaultKind::Blackhole { .. }) => {
                Emulated("a NetworkPolicy, after a pod of ours has shown that the cluster's network heeds one")
            }
            (
                Self::Kubernetes,
                FaultKind::Latency { .. }
                | FaultKind::Errors { .. }
                | FaultKind::Reset { .. }
                | FaultKind::PacketLoss { .. }
                | FaultKind::DnsFailure { .. },
            ) => Refused("connections are the cluster's own, and nobody is in between"),
            (Self::Kubernetes, FaultKind::NoisyNeighbour { .. }) => {
                Refused("CPU is accounted inside of the pods, where nobody tells it to be scarce")
            }
            (
                Self::Kubernetes,
                FaultKind::DatabaseLoss { .. }
                | FaultKind::DiskFull
                | FaultKind::ConnectionsTaken { .. }
                | FaultKind::Backup { .. }
                | FaultKind::Restore,
            ) => Refused("nobody speaks to the cluster's PostgreSQL from here"),
            (Self::ControlPlane, FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. }) => {
                Emulated("its lease is renewed no more; sockets of its pods stay open and nobody serves them")
            }
            (Self::ControlPlane, FaultKind::Partition { .. }) => {
                Emulated("its lease is renewed no more; connections of its pods rest")
            }
            (Self::Containers, FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. }) => {
                Emulated("its containers are killed, and what is sent to them by a Service gets no answer")
            }
            (Self::Containers, FaultKind::DatabaseLoss { .. }) => Emulated(
                "its container is killed and kept away; rehearse promotes the standby after 30 s, as a manager would, and has \
                 the old primary follow it when it is back",
            ),
            (Self::Containers, FaultKind::RedisLoss { .. }) => Emulated(
                "the master's container is killed, and kept away where real sentinels have a replica to promote; else it \
                     comes back with its append-only file",
            ),
            (
                Self::Containers,
                FaultKind::Latency { from: Party::Clients, .. }
                | FaultKind::Errors { from: Party::Clients, .. }
                | FaultKind::Reset { from: Party::Clients, .. }
                | FaultKind::PacketLoss { from: Party::Clients, .. }
                | FaultKind::Blackhole { from: Party::Clients, .. },
            ) => Refused("clients connect to nginx itself, and nobody is in between"),
            (Self::Containers, FaultKind::Latency { .. }) => Emulated("the Service's balancer holds requests back"),
            (Self::Containers, FaultKind::Errors { .. }) => {
                Emulated("the Service's balancer answers in place of the called")
            }
            (Self::Containers, FaultKind::Reset { .. }) => {
                Emulated("the Service's balancer resets the caller's connection")
            }
            (Self::Containers, FaultKind::PacketLoss { .. }) => {
                Emulated("the Service's balancer holds requests back for as long as TCP needs to send them again")
            }
            (Self::Containers, FaultKind::Blackhole { .. }) => {
                Emulated("the Service's balancer takes what is sent and passes nothing on")
            }
            (Self::Containers, FaultKind::Partition { .. }) => {
                Refused("a container that is cut off could not be probed from its own node, as its kubelet does")
            }
            (Self::Containers, FaultKind::DnsFailure { .. }) => {
                Refused("names are in the containers' hosts files, which no DNS failure reaches")
            }
            (Self::Containers, FaultKind::NoisyNeighbour { .. }) => {
                Refused("CPU is accounted inside of the containers, where nobody tells it to be scarce")
            }
            (Self::Embedded, FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. }) => {
                Emulated("sockets of its pods stay open and nobody serves them")
            }
            (Self::Embedded, FaultKind::Partition { .. }) => {
                Emulated("connections of its pods rest; the kernel still shakes hands")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::Latency { .. }) => {
                Emulated("requests wait after they have connected")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::Errors { .. }) => {
                Emulated("answered in place of the called, who never sees it")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::Reset { .. }) => {
                Emulated("reset in place of the called, who never sees it")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::PacketLoss { .. }) => {
                Emulated("requests wait for as long as TCP needs to send them again")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::Blackhole { .. } | FaultKind::DnsFailure { .. }) => {
                Emulated("no connection is opened, and the caller waits until its timeout")
            }
            (Self::Containers, FaultKind::Restore) => Refused(
                "the data of the run would be gone for its rest; `backup` restores beside the server and times it",
            ),
            (Self::Containers, FaultKind::Backup { .. }) => Emulated(
                "pg_dump of every database, once and as fast as it goes, then pg_restore beside them: how long both take and \
                 what was written since is told",
            ),
            (
                Self::Embedded | Self::ControlPlane,
                FaultKind::ConnectionsTaken { .. }
                | FaultKind::Backup { .. }
                | FaultKind::Restore
                | FaultKind::DiskFull,
            ) => Emulated("the database is a model in this process"),
            (Self::Embedded | Self::ControlPlane, FaultKind::DatabaseLoss { .. } | FaultKind::RedisLoss { .. }) => {
                Emulated("the servers are a model in this process; their pods are real listeners")
            }
            (Self::Embedded | Self::ControlPlane, FaultKind::NoisyNeighbour { .. }) => {
                Emulated("CPU is accounted, and pods of the node are given less of it")
            }
        }
    }
}

/// Why `backend` does not play a plan, and what to do instead.
pub(crate) struct Refusal {
    pub(crate) why: String,
    instead: &'static str,
}

/// What keeps `backend` from playing all of `plan`; nothing if it plays all of it.
pub(crate) fn refusal(plan: &Plan, backend: Backend) -> Option<Refusal> {
    if plan.ingress.is_some() && backend != Backend::Simulated {
        return Some(Refusal {
            why: "it goes through the ingress controller, which is not played there".into(),
            instead: "simulate it, or give its steps a host that the gateway takes",
        });
    }
    if !plan.platform.node_groups.is_empty() && matches!(backend, Backend::ControlPlane | Backend::Kubernetes) {
        return Some(Refusal {
            why: "the nodes file has node groups, and no cluster autoscaler runs there".into(),
            instead: "declare the nodes one by one",
        });
    }
    let refused = |fault: &scenarios::Fault| match backend.support(&fault.kind) {
        Support::Refused(why) => Some(format!("`{}` ({why})", fault.name)),
        Support::Native | Support::Emulated(_) => None,
    };
    let faults: Vec<_> = plan.faults.iter().filter_map(refused).collect();
    (!faults.is_empty()).then(|| Refusal {
        why: format!("it has faults that are not played there: {}", faults.join(", ")),
        instead: "leave them out, or choose another backend",
    })
}

/// Refuses what `backend` does not play.
pub(crate) fn check(plan: &Plan, backend: Backend) -> Result<(), Failure> {
    let Some(Refusal { why, instead }) = refusal(plan, backend) else { return Ok(()) };
    let (name, scenario) = (backend.named(), &plan.scenario.name);
    Err(Failure::usage(format!("the {name} backend does not play scenario {scenario}: {why}; {instead}")))
}

/// Which backends play all of a scenario: names of their commands.
pub(crate) fn commands(scenario: &Scenario) -> Result<Vec<&'static str>, Failure> {
    let platform = Arc::new(manifests::load(&manifests::Source::BuiltIn, "production")?.platform);
    let nodes = manifests::load_nodes(None)?;
    let plan = Plan::resolve(scenario, platform, nodes, &model::shipped()?, Seed::default())?;
    let plays =
        |backend: Backend| plan.faults.iter().all(|fault| !matches!(backend.support(&fault.kind), Support::Refused(_)));
    let all = [("run", Backend::Embedded), ("simulate", Backend::Simulated)];
    Ok(all.into_iter().filter(|(_, backend)| plays(*backend)).map(|(command, _)| command).collect())
}

#[cfg(test)]
mod tests {
    use platform::{ServiceId, WorkloadId};
    use scenarios::Party;
    use units::{Distribution, Millicores, Nanos};

    use super::*;

    /// One of each kind, under its name in a scenario file, in the order of its documentation.
    fn kinds() -> Vec<(&'static str, FaultKind)> {
        let (workload, node, service) = (WorkloadId(0), 0, ServiceId(0));
        let (from, to) = (Party::Gateway, Party::Workload(workload));
        let quota = platform::Quota {
            name: String::new(),
            namespace: String::new(),
            requests: platform::Resources::default(),
            limits: platform::Resources::default(),
            pods: None,
            place: platform::Place::default(),
        };
        vec![
            ("podKill", FaultKind::PodKill { workload, pods: 1, forced: false }),
            ("nodeDrain", FaultKind::NodeDrain { node }),
            ("nodeLoss", FaultKind::NodeLoss { node }),
            ("zoneLoss", FaultKind::ZoneLoss { zone: String::new(), nodes: Vec::new() }),
            ("partition", FaultKind::Partition { node }),
            ("rollingUpdate", FaultKind::RollingUpdate { workload }),
            ("badImage", FaultKind::BadImage { workload }),
            ("rollback", FaultKind::Rollback { workload }),
            ("latency", FaultKind::Latency { from, to, add: Distribution::Constant(Nanos::ZERO) }),
            ("errors", FaultKind::Errors { from, to, share: 1.0, status: 500 }),
            ("reset", FaultKind::Reset { from, to, share: 1.0 }),
            ("packetLoss", FaultKind::PacketLoss { from, to, share: 1.0 }),
            ("blackhole", FaultKind::Blackhole { from, to }),
            ("databaseLoss", FaultKind::DatabaseLoss { workload }),
            ("redisLoss", FaultKind::RedisLoss { workload }),
            ("connectionsTaken", FaultKind::ConnectionsTaken { connections: 1 }),
            ("backup", FaultKind::Backup { cpu: Millicores::new(1) }),
            ("restore", FaultKind::Restore),
            ("diskFull", FaultKind::DiskFull),
            ("gatewayLoss", FaultKind::GatewayLoss { pods: 1 }),
            ("noisyNeighbour", FaultKind::NoisyNeighbour { node, cpu: Millicores::new(1) }),
            ("dnsFailure", FaultKind::DnsFailure { service }),
            ("autoscalerEdit", FaultKind::AutoscalerEdit { workload, edit: cluster::AutoscalerEdit::default() }),
            ("quota", FaultKind::Quota(quota)),
        ]
    }

    /// The table of docs/scenarios.md.
    fn table() -> String {
        let word = |support| match support {
            Support::Native => "native".to_owned(),
            Support::Emulated(how) => format!("emulated: {how}"),
            Support::Refused(why) => format!("refused: {why}"),
        };
        let row = |(key, kind): &(&str, FaultKind)| {
            let all = [
                Backend::Embedded,
                Backend::ControlPlane,
                Backend::Containers,
                Backend::Kubernetes,
                Backend::Simulated,
            ];
            let [live, real, containers, kubernetes, simulated] = all.map(|backend| word(backend.support(kind)));
            format!("| `{key}` | {live} | {real} | {containers} | {kubernetes} | {simulated} |\n")
        };
        let rows: String = kinds().iter().map(row).collect();
        let head = "| fault | `run` (embedded) | `run --backend control-plane` | `run --backend containers` | `run --kind` | `simulate` |";
        format!("{head}\n|---|---|---|---|---|---|\n{rows}")
    }

    #[test]
    fn the_documentation_says_how_each_backend_plays_each_fault() {
        let docs = include_str!("../../../docs/scenarios.md");
        assert!(docs.contains(&table()), "put this into docs/scenarios.md:\n{}", table());
        let schema = scenarios::schema().to_string();
        for (key, _) in kinds() {
            assert!(schema.contains(&format!("\"{key}\"")), "`{key}` is no fault of a scenario file");
        }
    }
}
