//! Where pods live in virtual time: each has a station, or a gateway's state, while its container runs.

use cluster::Usage;
use gateway::{Connections, Upstreams, Zones};
use model::Station;
use platform::WorkloadId;
use scenarios::Plan;
use units::Nanos;

/// A pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) workload: WorkloadId,
    pub(crate) process: Process,
    pub(crate) started: Nanos,
    /// It was asked to end and finishes what it has.
    pub(crate) terminating: bool,
    /// Whether packets get to its node: neither cut off nor without power.
    pub(crate) reached: bool,
}

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
    Gateway(GatewayProcess),
}

/// One nginx: its own limit zones, its own turns, and the CPU it has used.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    pub(crate) zones: Zones,
    pub(crate) connections: Connections,
    pub(crate) upstreams: Upstreams,
    pub(crate) cpu: Nanos,
}

impl Pod {
    pub(crate) const fn new(workload: WorkloadId) -> Self {
        Self { workload, process: Process::None, started: Nanos::ZERO, terminating: false, reached: true }
    }

    /// Starts its container.
    pub(crate) fn start(&mut self, plan: &Plan, now: Nanos) {
        self.started = now;
        self.process = match &plan.platform.gateway {
            Some(gateway) if gateway.workload == self.workload => Process::Gateway(GatewayProcess {
                zones: Zones::new(&gateway.config),
                connections: Connections::new(&gateway.config),
                upstreams: Upstreams::new(&gateway.config),
                cpu: Nanos::ZERO,
            }),
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
        let (cpu, memory) = match &self.process {
            Process::None => return None,
            Process::Service(station) => (station.cpu_used(now), station.memory()),
            Process::Gateway(process) => (process.cpu, model::GATEWAY_MEMORY),
        };
        Some(Usage { cpu, memory, started: self.started })
    }
}
