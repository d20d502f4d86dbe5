//! The data layer in virtual time: what stations ask of databases and caches, and the answers.

use model::StationInput;
use model::data::{
    Asker, CacheConfig, DataConfig, DataEffect, DataInput, DataLayer, DataNote, DatabaseConfig, Replication, Standby,
};
use platform::{Platform, WorkloadId, WorkloadKind};
use record::EventKind;
use units::{Machine, Nanos, Seed};

use crate::world::{Event, Sink, World};

/// A manager such as Patroni promotes when the primary's lease of 30 s has run out; streaming replication within a
/// zone pair is about this far behind. Assumed: no document says who promotes.
const STANDBY: Standby = Standby {
    promotion: Nanos::from_secs(30),
    replication: Replication::Asynchronous { lag: Nanos::from_millis(100) },
};

/// The servers of a platform. A platform without PostgreSQL or without Redis keeps its data elsewhere, where nothing
/// is known to queue.
pub(crate) fn layer(platform: &Platform, seed: Seed) -> DataLayer {
    let limits = |id| platform.workload(id).containers.first().map(|container| container.limits).unwrap_or_default();
    let database = platform.database().map_or(DatabaseConfig::UNBOUNDED, |id| DatabaseConfig {
        max_connections: platform.max_connections(id),
        // As many backends run at once as the limit has cores; what a node has beyond that the quota takes back.
        cores: limits(id).cpu.map_or(DatabaseConfig::DOCUMENTED.cores, |limit| limit.get().div_ceil(1_000) as u16),
        limit: limits(id).cpu,
        // A second pod of a StatefulSet, or a second workload of the same image, can take over.
        standby: standby(platform, id).then_some(STANDBY),
        ..DatabaseConfig::DOCUMENTED
    });
    let cache = platform
        .cache()
        .map_or(CacheConfig::UNBOUNDED, |id| CacheConfig { limit: limits(id).cpu, ..CacheConfig::DOCUMENTED });
    DataLayer::new(DataConfig { database, cache }, seed.child("data"), Nanos::ZERO)
}

fn standby(platform: &Platform, database: WorkloadId) -> bool {
    let primary = platform.workload(database);
    let image = |workload: &platform::Workload| workload.containers.first().map(|container| container.image.clone());
    let another = |workload: &platform::Workload| {
        !std::ptr::eq(workload, primary) && workload.namespace == primary.namespace && image(workload) == image(primary)
    };
    let replicated = matches!(primary.kind, WorkloadKind::StatefulSet { .. }) && primary.replicas.unwrap_or(1) > 1;
    replicated || platform.workloads.iter().any(another)
}

impl World<'_> {
    /// A container has started: it has a pool, and a database without a standby is back with its pod.
    pub(crate) fn data_started(&mut self, pod: u32, workload: WorkloadId) {
        let plan = self.plan;
        let pool = plan.profile(workload).pool.clone();
        self.data(DataInput::Started { pod, pool });
        if plan.platform.database() == Some(workload) && !standby(&plan.platform, workload) {
            self.data(DataInput::PrimaryBack);
        }
    }

    /// Feeds the data layer and brings its answers to those who asked.
    pub(crate) fn data(&mut self, input: DataInput) {
        let Some(data) = &mut self.data else { return };
        let mut effects = std::mem::take(&mut self.data_effects);
        let mut sink = Sink { queue: &mut self.queue, effects: &mut effects, event: |wake| Event::Data { wake } };
        data.step(self.now, input, &mut sink);
        for effect in effects.drain(..) {
            match effect {
                DataEffect::Called(Asker { pod, job, .. }) => self.station(pod, StationInput::Called(job)),
                DataEffect::Failed(Asker { pod, job, .. }, _) => self.station(pod, StationInput::Failed(job)),
                DataEffect::Note(note) => self.tell_data(note),
            }
        }
        self.data_effects = effects;
    }

    fn tell_data(&mut self, note: DataNote) {
        let what = match note {
            DataNote::PrimaryLost { lost_writes: 0 } => "the database's primary is lost".to_owned(),
            DataNote::PrimaryLost { lost_writes } => {
                format!("the database's primary is lost, and with it {lost_writes} acknowledged writes")
            }
            DataNote::PrimaryUp => "the database has a primary again".to_owned(),
            DataNote::CacheLost => "the cache is lost".to_owned(),
            DataNote::CacheUp => "the cache answers again".to_owned(),
        };
        self.tell_event(EventKind::DataChanged { what });
    }
}
