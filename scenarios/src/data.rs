//! The servers that a platform keeps its data in, from its manifests: one reading, live and in virtual time.

use std::path::Path;

use model::data::{CacheConfig, DataConfig, DatabaseConfig, Recovery, Replication, SentinelConfig, Standby};
use platform::{Platform, Workload, WorkloadId, WorkloadKind};
use units::{Bytes, Nanos};

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
        let database = if platform.database().is_some() { self.figures.of_database(database) } else { database };
        let cache = platform.cache().map_or(CacheConfig::UNBOUNDED, |id| CacheConfig {
            limit: limits(id).cpu,
            recovery: recovery(platform, id),
            ..CacheConfig::DOCUMENTED
        });
        let cache = self.figures.of_cache(cache);
        DataConfig { database, cache }
    }

    /// Whether the database is back with a container of this workload: it is the primary's, and nothing takes over.
    pub fn brings_database_back(&self, workload: WorkloadId) -> bool {
        self.platform.database() == Some(workload) && !has_standby(&self.platform, workload)
    }
}

/// How much of its append-only file Redis loads in a second. Assumed: simple commands on one core.
const LOADED_PER_SECOND: Bytes = Bytes::from_mebi(100);
/// A forced deletion until the container's process runs again on a node that holds its image. Assumed.
const STARTED_AGAIN: Nanos = Nanos::from_secs(1);

/// How a lost Redis comes back: sentinels promote a replica, if there are both; else its pod starts again and reads its
/// append-only file, which is taken to be as large as `maxmemory` lets it, or else as its container's request.
fn recovery(platform: &Platform, cache: WorkloadId) -> Recovery {
    let primary = platform.workload(cache);
    let pods = |workload: &Workload| workload.replicas.unwrap_or(1) as u16;
    let replicas = pods(primary).saturating_sub(1);
    let watches = |workload: &&Workload| {
        workload.namespace == primary.namespace && workload.kind.is_service() && workload.name.contains("sentinel")
    };
    let sentinels: u16 = platform.workloads.iter().filter(watches).map(pods).sum();
    if replicas > 0 && sentinels > 0 {
        let default = SentinelConfig { sentinels, alive: sentinels, replicas, ..SentinelConfig::DOCUMENTED };
        return Recovery::Sentinel(sentinel_settings(platform, primary, default));
    }
    let serving = primary.containers.first();
    let ready = serving.and_then(|container| container.readiness.as_ref()).map_or(Nanos::ZERO, |p| p.initial_delay);
    let request = serving.and_then(|container| container.requests.memory).unwrap_or(Bytes::from_mebi(100));
    let size = settings(platform, primary, "maxmemory").find_map(|words| bytes(words.first()?)).unwrap_or(request);
    Recovery::Restart { start: STARTED_AGAIN + ready, size, per_second: LOADED_PER_SECOND }
}

/// What the lines `sentinel KEY NAME …` of the namespace's configuration files say.
fn sentinel_settings(platform: &Platform, primary: &Workload, default: SentinelConfig) -> SentinelConfig {
    let mut config = default;
    for words in settings(platform, primary, "sentinel") {
        let last = words.last().and_then(|word| word.parse::<u64>().ok());
        match (words.first().copied(), last) {
            (Some("monitor"), Some(quorum)) => config.quorum = quorum.clamp(1, 1_000) as u16,
            (Some("down-after-milliseconds"), Some(millis)) => config.down_after = Nanos::from_millis(millis),
            (Some("failover-timeout"), Some(millis)) => config.failover_timeout = Nanos::from_millis(millis),
            _ => {}
        }
    }
    config
}

/// What stands behind `key` in the namespace's configuration files that are of Redis, word by word.
fn settings<'a>(platform: &'a Platform, primary: &'a Workload, key: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let own = platform.configs.iter().filter(|config| config.namespace == primary.namespace);
    let files = own
        .flat_map(|config| &config.entries)
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|kind| kind == "conf"));
    files.flat_map(|(_, text)| text.lines()).filter_map(move |line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(key)).then(|| words.collect())
    })
}

/// `400mb`: Redis counts in powers of 1024 with `b` and of 1000 without.
fn bytes(word: &str) -> Option<Bytes> {
    let lower = word.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0).map(Bytes::new)
}

/// A second pod of a StatefulSet, or a second workload of the same image, can take over.
fn has_standby(platform: &Platform, database: WorkloadId) -> bool {
    let primary = platform.workload(database);
    let replicated = matches!(primary.kind, WorkloadKind::StatefulSet { .. }) && primary.replicas.unwrap_or(1) > 1;
    replicated || platform.standby().is_some()
}
