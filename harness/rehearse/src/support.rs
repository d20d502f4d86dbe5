//! What a backend can play. A scenario is refused before anything starts, and never silently played without a part.

use scenarios::{FaultKind, Plan};

use crate::failure::Failure;

/// Refuses faults that `backend` does not play.
pub(crate) fn check(plan: &Plan, backend: &str) -> Result<(), Failure> {
    let refused = |fault: &&scenarios::Fault| !plays(backend, &fault.kind);
    let names: Vec<_> = plan.faults.iter().filter(refused).map(|fault| format!("`{}`", fault.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "scenario {} has faults that the {backend} backend does not play: {}; leave them out, or choose another backend",
        plan.scenario.name,
        names.join(", ")
    )))
}

/// Whether `backend` plays such a fault. Exhaustive, so that a new kind has to be decided here.
fn plays(backend: &str, kind: &FaultKind) -> bool {
    let virtual_time = backend == "simulated";
    match kind {
        FaultKind::PodKill { .. }
        | FaultKind::NodeDrain { .. }
        | FaultKind::NodeLoss { .. }
        | FaultKind::ZoneLoss { .. }
        | FaultKind::Partition { .. }
        | FaultKind::RollingUpdate { .. }
        | FaultKind::BadImage { .. }
        | FaultKind::Rollback { .. }
        | FaultKind::Latency { .. }
        | FaultKind::Errors { .. }
        | FaultKind::Blackhole { .. }
        | FaultKind::DatabaseLoss { .. }
        | FaultKind::RedisLoss { .. }
        | FaultKind::GatewayLoss { .. }
        | FaultKind::NoisyNeighbour { .. }
        | FaultKind::DnsFailure { .. } => virtual_time,
    }
}
