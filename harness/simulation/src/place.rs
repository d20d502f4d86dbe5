//! Where pods live in virtual time: each has a station, or a gateway's state, while its container runs.

use std::collections::BTreeMap;

use cluster::{PodId, Traffic, Usage};
use gateway::{Connections, Kept, Upstreams, Zones};
use model::Station;
use platform::{GatewayConfig, WorkloadId};
use scenarios::Plan;
use units::Nanos;

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) workload: WorkloadId,
    pub(crate) process: Process,
    pub(crate) started: Nanos,
    /// Requests that its container has answered, health checks left out.
    pub(crate) answered: u64,
    /// It was asked to end and finishes what it has.
    pub(crate) terminating: bool,
    /// Whether packets get to its node: neither cut off nor without power.
    pub(crate) reached: bool,
    /// The requests that its process has answered: what it shows a Prometheus.
    pub(crate) requests: Requests,
}

/// Requests by route and status: counts by bucket, and their time.
pub(crate) type Requests = BTreeMap<(u16, u16), (Vec<u64>, Nanos)>;

/// What a new connection to a pod meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Somebody accepts.
    Open,
    /// Nobody listens, and the node says so.
    Refuses,
    /// Nobody answers at all.
    Silent,
}

/// What runs in it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are services, and a box would cost each event a miss")]
pub(crate) enum Process {
    /// Nothing (yet, or any more).
    None,
    /// A mock service.
    Service(Station),
    /// nginx.
    Gateway(NginxProcess),
}

/// One nginx: its own limit zones, its own turns, its connections, and the CPU it has used.
#[derive(Debug)]
pub(crate) struct NginxProcess {
    pub(crate) zones: Zones,
    pub(crate) connections: Connections,
    pub(crate) upstreams: Upstreams,
    /// Connections that it keeps to pods behind its upstreams' Services.
    pub(crate) kept: Kept<PodId>,
    pub(crate) cpu: Nanos,
    /// Connections in use, of clients and to peers. Idle ones are closed when their place is needed
    /// (`ngx_drain_connections`).
    used: u32,
    /// How many there may be.
    most: u32,
}

impl NginxProcess {
    /// A process that has just started, with so many cores for `worker_processes auto`.
    pub(crate) fn new(config: &GatewayConfig, cores: u32) -> Self {
        let workers = if config.worker_processes == 0 { cores } else { config.worker_processes };
        Self {
            zones: Zones::new(config),
            connections: Connections::new(config),
            upstreams: Upstreams::new(config),
            kept: Kept::new(config, workers),
            cpu: Nanos::ZERO,
            used: 0,
            most: gateway::room(config, workers),
        }
    }

    /// Takes a connection into use; `false`: `worker_connections are not enough`.
    pub(crate) fn open(&mut self) -> bool {
        let room = self.used < self.most;
        self.used += u32::from(room);
        room
    }

    /// A connection is in use no more. One from before a restart is none of this process.
    pub(crate) fn close(&mut self) {
        self.used = self.used.saturating_sub(1);
    }
}

impl Pod {
    pub(crate) const fn new(workload: WorkloadId) -> Self {
        Self {
            workload,
            process: Process::None,
            started: Nanos::ZERO,
            answered: 0,
            terminating: false,
            reached: true,
            requests: Requests::new(),
        }
    }

    /// Starts its container.
    pub(crate) fn start(&mut self, plan: &Plan, now: Nanos) {
        (self.started, self.answered) = (now, 0);
        self.requests.clear();
        self.process = match &plan.platform.gateway {
            Some(gateway) if gateway.workload == self.workload => {
                Process::Gateway(NginxProcess::new(&gateway.config, cores(plan)))
            }
            _ => {
                let limits =
                    plan.platform.workload(self.workload).containers.first().map(|c| c.limits).unwrap_or_default();
                Process::Service(Station::new(plan.profile(self.workload).station(limits.cpu, limits.memory), now))
            }
        };
    }

    /// What a new connection to it meets.
    pub(crate) fn door(&self) -> Door {
        match self.process {
            _ if !self.reached => Door::Silent,
            Process::Service(_) | Process::Gateway(_) if !self.terminating => Door::Open,
            _ => Door::Refuses,
        }
    }

    /// What metrics-server reads; nothing while no container runs.
    pub(crate) fn usage(&self, now: Nanos) -> Option<Usage> {
        let answered = self.answered;
        let (cpu, memory, traffic) = match &self.process {
            Process::None => return None,
            Process::Service(station) => {
                let traffic = Traffic { answered, waiting: station.waiting(), in_flight: station.in_flight() };
                (station.cpu_used(now), station.memory(), traffic)
            }
            Process::Gateway(process) => {
                (process.cpu, model::GATEWAY_MEMORY, Traffic { answered, ..Traffic::default() })
            }
        };
        Some(Usage { cpu, memory, started: self.started, traffic })
    }
}

/// What `worker_processes auto` finds: the cores of a node, whatever the container's limit is. The smallest node's.
fn cores(plan: &Plan) -> u32 {
    plan.nodes.iter().map(|node| node.cpu.get() / 1_000).min().unwrap_or(1).max(1) as u32
}
