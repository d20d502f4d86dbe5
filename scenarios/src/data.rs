//! The servers that a platform keeps its data in, from its manifests: one reading, live and in virtual time.

use model::data::{CacheConfig, DataConfig, DatabaseConfig, Replication, Standby};
use platform::{Platform, Workload, WorkloadId, WorkloadKind};
use units::Nanos;

use crate::Plan;

/// A manager such as Patroni promotes when the primary's lease of 30 s has run out; streaming replication within a
/// zone pair is about this far behind. Assumed: no document says who promotes.
const STANDBY: Standby = Standby {
    promotion: Nanos::from_secs(30),
    replication: Replication::Asynchronous { lag: Nanos::from_millis(100) },
};

impl Plan {
    /// The servers of the platform. One without PostgreSQL or without Redis keeps its data elsewhere, where nothing is
    /// known to queue.
    pub fn data_config(&self) -> DataConfig {
        let platform = &self.platform;
        let limits =
            |id| platform.workload(id).containers.first().map(|container| container.limits).unwrap_or_default();
        let database = platform.database().map_or(DatabaseConfig::UNBOUNDED, |id| DatabaseConfig {
            max_connections: platform.max_connections(id),
            // As many backends run at once as the limit has cores; what a node has beyond that the quota takes back.
            cores: limits(id).cpu.map_or(DatabaseConfig::DOCUMENTED.cores, |limit| limit.get().div_ceil(1_000) as u16),
            limit: limits(id).cpu,
            standby: has_standby(platform, id).then_some(STANDBY),
            ..DatabaseConfig::DOCUMENTED
        });
        let cache = platform
            .cache()
            .map_or(CacheConfig::UNBOUNDED, |id| CacheConfig { limit: limits(id).cpu, ..CacheConfig::DOCUMENTED });
        DataConfig { database, cache }
    }

    /// Whether the database is back with a container of this workload: it is the primary's, and nothing takes over.
    pub fn brings_database_back(&self, workload: WorkloadId) -> bool {
        self.platform.database() == Some(workload) && !has_standby(&self.platform, workload)
    }
}

/// A second pod of a StatefulSet, or a second workload of the same image, can take over.
fn has_standby(platform: &Platform, database: WorkloadId) -> bool {
    let primary = platform.workload(database);
    let image = |workload: &Workload| workload.containers.first().map(|container| container.image.clone());
    let another = |workload: &Workload| {
        !std::ptr::eq(workload, primary) && workload.namespace == primary.namespace && image(workload) == image(primary)
    };
    let replicated = matches!(primary.kind, WorkloadKind::StatefulSet { .. }) && primary.replicas.unwrap_or(1) > 1;
    replicated || platform.workloads.iter().any(another)
}
