//! What a pod's container is, told by its workload.

use platform::{Platform, WorkloadId};

use crate::sentinels::watched;

/// Which program serves for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// nginx, on the manifests' own configuration.
    Gateway,
    /// PostgreSQL that takes writes.
    Primary,
    /// PostgreSQL that follows the primary.
    Standby,
    /// Redis.
    Redis,
    /// Redis as sentinel, by the manifests' own configuration.
    Sentinel,
    /// `mock-service`, by the workload's profile.
    Mock,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Gateway, Self::Primary, Self::Standby, Self::Redis, Self::Sentinel, Self::Mock];

    /// The command by which its server says that it is ready, as the shipped manifests' exec probes have it.
    pub(crate) fn readiness(self, port: u16) -> Option<String> {
        match self {
            Self::Primary | Self::Standby => Some("pg_isready --host=127.0.0.1".to_owned()),
            Self::Redis | Self::Sentinel => Some(format!("redis-cli -p {port} ping")),
            Self::Gateway | Self::Mock => None,
        }
    }

    /// Of a workload.
    pub fn of(platform: &Platform, id: WorkloadId) -> Self {
        let workload = platform.workload(id);
        if platform.gateway.as_ref().is_some_and(|gateway| gateway.workload == id) {
            return Self::Gateway;
        }
        let same_image = |other: Option<WorkloadId>| {
            let image = |id| platform.workload(id).containers.first().map(|container| &container.image);
            other.is_some_and(|other| image(other) == image(id))
        };
        let is_sentinel = workload
            .containers
            .first()
            .is_some_and(|container| container.command.iter().any(|word| word.contains("sentinel")));
        if !workload.kind.is_service() {
            Self::Mock // it works and ends: nobody waits for what it would really do
        } else if platform.database() == Some(id) {
            Self::Primary
        } else if same_image(platform.database()) {
            Self::Standby
        } else if same_image(platform.cache()) && !is_sentinel {
            Self::Redis
        } else if same_image(platform.cache()) && watched(platform).is_some_and(|watch| watch.by == id) {
            Self::Sentinel
        } else {
            Self::Mock
        }
    }
}
