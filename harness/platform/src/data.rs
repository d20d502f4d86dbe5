//! Databases and caches among the workloads, told by their images and settings.

use crate::{Config, Platform, ReferenceKind, Workload, WorkloadId};

/// PostgreSQL's own default (`max_connections`).
const DEFAULT_MAX_CONNECTIONS: u32 = 100;

impl Platform {
    /// The first workload that runs PostgreSQL.
    pub fn database(&self) -> Option<WorkloadId> {
        self.workload_ids().find(|id| runs(self.workload(*id), &["postgres", "postgresql"]))
    }

    /// Another workload of the database's image, beside it: its standby.
    pub fn standby(&self) -> Option<WorkloadId> {
        let database = self.database()?;
        let image = |id| self.workload(id).containers.first().map(|container| &container.image);
        let beside = |id| self.workload(id).namespace == self.workload(database).namespace;
        self.workload_ids().find(|id| *id != database && beside(*id) && image(*id) == image(database))
    }

    /// The first workload that runs Redis or a server that speaks like it.
    pub fn cache(&self) -> Option<WorkloadId> {
        self.workload_ids().find(|id| runs(self.workload(*id), &["redis", "valkey"]))
    }

    /// `max_connections` of a PostgreSQL workload: from its command line, else from a configuration file that its pods
    /// mount, else PostgreSQL's default of 100.
    pub fn max_connections(&self, database: WorkloadId) -> u32 {
        let database = self.workload(database);
        let command = database.containers.iter().flat_map(|container| &container.command);
        let told = command.filter_map(|word| setting(word)).next_back();
        let in_files = || {
            let mounted = |config: &&Config| {
                config.namespace == database.namespace
                    && database.references.iter().any(|r| r.kind == ReferenceKind::ConfigMap && r.name == config.name)
            };
            let texts = self.configs.iter().filter(mounted).flat_map(|config| config.entries.values());
            texts.flat_map(|text| text.lines()).filter_map(setting).next_back()
        };
        told.or_else(in_files).unwrap_or(DEFAULT_MAX_CONNECTIONS)
    }
}

/// Whether the serving container's image is called so; exporters and the like are not meant.
fn runs(workload: &Workload, names: &[&str]) -> bool {
    let image = |image: &str| {
        let name = image.rsplit('/').next().unwrap_or(image).split([':', '@']).next().unwrap_or_default();
        names.iter().any(|wanted| name == *wanted || name.starts_with(&format!("{wanted}-")))
            && !name.contains("exporter")
            && !name.contains("sentinel")
    };
    workload.kind.is_service() && workload.containers.first().is_some_and(|container| image(&container.image))
}

/// `max_connections = 200`, also inside of a longer argument.
fn setting(line: &str) -> Option<u32> {
    let line = line.split('#').next().unwrap_or(line);
    let (_, rest) = line.split_once("max_connections")?;
    let value = rest.trim_start().strip_prefix('=').unwrap_or(rest).trim().trim_matches(['\'', '"']);
    value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Container;

    #[test]
    fn max_connections_is_read_wherever_it_is_written() {
        for (line, want) in [
            ("max_connections = 200", Some(200)),
            ("max_connections=200  # documented", Some(200)),
            ("# max_connections = 100", None),
            ("max_connections='150'", Some(150)),
            ("shared_buffers = 1GB", None),
        ] {
            assert_eq!(setting(line), want, "{line}");
        }
    }

    #[test]
    fn servers_are_told_by_their_image() {
        for (image, database, cache) in [
            ("postgres:15.5", true, false),
            ("registry.example.com/bitnami/postgresql:16", true, false),
            ("redis:7.2-alpine", false, true),
            ("oliver006/redis_exporter:1", false, false),
            ("prometheuscommunity/postgres-exporter:1", false, false),
            ("web:1", false, false),
        ] {
            let container = Container { image: image.into(), ..Container::default() };
            let workload = Workload { containers: vec![container], ..Workload::default() };
            let platform = Platform { workloads: vec![workload], ..Platform::default() };
            assert_eq!((platform.database().is_some(), platform.cache().is_some()), (database, cache), "{image}");
        }
    }
}
