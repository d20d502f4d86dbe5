//! Where pods live in virtual time: each has a station, or a gateway's state, while its container runs.

use cluster::Usage;
use gateway::{Upstreams, Zones};
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
}

/// What runs in it.
#[derive(Debug)]
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
    pub(crate) upstreams: Upstreams,
    pub(crate) cpu: Nanos,
}

impl Pod {
    pub(crate) const fn new(workload: WorkloadId) -> Self {
        Self { workload, process: Process::None, started: Nanos::ZERO, terminating: false }
    }

    /// Starts its container.
    pub(crate) fn start(&mut self, plan: &Plan, now: Nanos) {
        self.started = now;
        self.process = match &plan.platform.gateway {
            Some(gateway) if gateway.workload == self.workload => Process::Gateway(GatewayProcess {
                zones: Zones::new(&gateway.config),
                upstreams: Upstreams::new(&gateway.config),
                cpu: Nanos::ZERO,
            }),
            _ => {
                let limit = plan.platform.workload(self.workload).containers.first().and_then(|c| c.limits.cpu);
                Process::Service(Station::new(plan.profile(self.workload).station(limit), now))
            }
        };
    }

    /// Whether a new connection to it is accepted.
    pub(crate) fn accepts(&self) -> bool {
        !self.terminating && !matches!(self.process, Process::None)
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
