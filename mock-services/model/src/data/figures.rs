//! Figures of the servers, as somebody measured them: where they are, they take the place of the assumed ones.

use serde::{Deserialize, Serialize};
use units::{Bytes, Distribution, Nanos};

use super::{CacheConfig, DatabaseConfig, Recovery};
use crate::Profile;
use crate::profile::quantity;

/// What a file of figures begins with.
pub const FIGURES: (&str, &str) = ("rehearse/v1", "DataFigures");

/// A file of figures, as `rehearse calibrate postgres` and `rehearse calibrate redis` write it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Figures {
    /// `rehearse/v1`.
    pub api_version: String,
    /// `DataFigures`.
    pub kind: String,
    /// Of PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresFigures>,
    /// Of Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisFigures>,
}

/// What was measured of a PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgresFigures {
    /// What was measured, and where.
    pub source: String,
    /// To open a connection that is opened alone.
    pub connect: Nanos,
    /// What of that is CPU of the server; none if left out.
    #[serde(default)]
    pub connect_cpu: Nanos,
    /// What a commit waits for its disk.
    pub flush: Nanos,
    /// CPU of reading a row by its key: where it is, every query of an assumed profile costs that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Nanos>,
    /// CPU of writing a row: where it is, the last query of an assumed route that writes costs that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Nanos>,
}

/// What was measured of a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisFigures {
    /// What was measured, and where.
    pub source: String,
    /// From the start of its process until it answers, if it has nothing to load.
    pub start: Nanos,
    /// How much of its append-only file it loads in a second.
    #[serde(with = "quantity")]
    pub loaded_per_second: Bytes,
    /// One operation on its thread: where it is, every operation of an assumed profile costs that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Nanos>,
}

impl Figures {
    /// Without any.
    pub fn new() -> Self {
        let (api_version, kind) = (FIGURES.0.to_owned(), FIGURES.1.to_owned());
        Self { api_version, kind, ..Self::default() }
    }

    /// Reads a file; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let figures: Self = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
        if (figures.api_version.as_str(), figures.kind.as_str()) == FIGURES {
            Ok(figures)
        } else {
            Err(format!("it begins with `apiVersion: {}` and `kind: {}`", FIGURES.0, FIGURES.1))
        }
    }

    /// As a file.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("figures are made of texts and numbers")
    }

    /// A database with what was measured of it.
    pub fn of_database(&self, config: DatabaseConfig) -> DatabaseConfig {
        let Some(PostgresFigures { connect, connect_cpu, flush, .. }) = self.postgres else { return config };
        DatabaseConfig { connect, connect_cpu, flush, ..config }
    }

    /// A cache with what was measured of it. How long a node takes to start its process again, nobody measured.
    pub fn of_cache(&self, config: CacheConfig) -> CacheConfig {
        let (Some(figures), Recovery::Restart { start, size, .. }) = (&self.redis, config.recovery) else {
            return config;
        };
        let (start, per_second) = (start + figures.start, figures.loaded_per_second);
        CacheConfig { recovery: Recovery::Restart { start, size, per_second }, ..config }
    }

    /// What a profile that is assumed costs by these figures; one that somebody measured stays as it is.
    pub fn apply(&self, profile: &mut Profile) {
        if !profile.assumed() {
            return;
        }
        let postgres = self.postgres.as_ref();
        let (read, write) = (postgres.and_then(|of| of.read), postgres.and_then(|of| of.write));
        for route in &mut profile.routes {
            let writes = !matches!(route.method(), "GET" | "HEAD");
            if let (Some(database), Some(read)) = (&mut route.database, read) {
                let queries = u64::from(database.queries);
                let last = if database.writes.unwrap_or(writes) { write.unwrap_or(read) } else { read };
                database.time = Distribution::Constant((read * (queries - 1) + last) / queries);
            }
            if let (Some(cache), Some(operation)) = (&mut route.cache, self.redis.as_ref().and_then(|of| of.operation))
            {
                cache.time = Distribution::Constant(operation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::shipped;

    const FILE: &str = "apiVersion: rehearse/v1\nkind: DataFigures\npostgres:\n  source: measured\n  connect: 2ms\n  connectCpu: 1ms\n  \
                        flush: 1.5ms\n  read: 40us\n  write: 90us\nredis:\n  source: measured\n  start: 30ms\n  \
                        loadedPerSecond: 50Mi\n  operation: 12us\n";

    #[test]
    fn a_file_is_read_as_it_is_written_and_refused_as_another() {
        let figures = Figures::parse(FILE).unwrap();
        assert_eq!(Figures::parse(&figures.to_yaml()), Ok(figures));
        for (text, want) in [
            (FILE.replace("DataFigures", "Scenario"), "kind: DataFigures"),
            (FILE.replace("flush:", "flash:"), "flash"),
            (FILE.replace("2ms", "2"), "unit"),
        ] {
            let error = Figures::parse(&text).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn assumed_costs_give_way_and_measured_ones_do_not() {
        let figures = Figures::parse(FILE).unwrap();
        let mut profile = shipped().unwrap()["auth-service"].clone();
        let measured = Profile { source: "access.log".into(), ..profile.clone() };
        figures.apply(&mut profile);
        let us = |us| Distribution::Constant(Nanos::from_micros(us));
        let register = profile.routes[0].database.unwrap();
        assert_eq!((register.queries, register.time), (2, us(65)), "it reads, then writes");
        assert_eq!(profile.routes[1].cache.unwrap().time, us(12));
        let mut same = measured.clone();
        figures.apply(&mut same);
        assert_eq!(same, measured);
    }

    #[test]
    fn servers_take_what_was_measured_of_them() {
        let figures = Figures::parse(FILE).unwrap();
        let database = figures.of_database(DatabaseConfig::DOCUMENTED);
        assert_eq!((database.connect, database.connect_cpu), (Nanos::from_millis(2), Nanos::from_millis(1)));
        assert_eq!(database.flush, Nanos::from_micros(1_500));
        assert_eq!(database.max_connections, DatabaseConfig::DOCUMENTED.max_connections);
        assert_eq!(Figures::new().of_database(DatabaseConfig::DOCUMENTED), DatabaseConfig::DOCUMENTED);
        let (size, slow) = (Bytes::from_mebi(100), Bytes::from_mebi(10));
        let restart = |start, per_second| Recovery::Restart { start: Nanos::from_millis(start), size, per_second };
        let cache = CacheConfig { recovery: restart(1_000, slow), ..CacheConfig::DOCUMENTED };
        assert_eq!(figures.of_cache(cache).recovery, restart(1_030, Bytes::from_mebi(50)));
        assert_eq!(figures.of_cache(CacheConfig::DOCUMENTED), CacheConfig::DOCUMENTED, "sentinels load nothing");
    }
}
