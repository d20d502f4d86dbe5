//! What services keep their data in, as pure machines: pools, PostgreSQL, Redis and its sentinels.
//!
//! One [`DataLayer`] per run holds them all. A [`Station`](crate::Station) says what it needs with
//! [`StationEffect::Data`](crate::StationEffect::Data); whoever hosts both passes it on and brings the answer back:
//!
//! | the host hears | and tells |
//! |---|---|
//! | a container starts | [`DataInput::Started`] with its profile's pool |
//! | a container ends, however | [`DataInput::Ended`]: its connections close, its requests are forgotten |
//! | [`StationEffect::Data`](crate::StationEffect::Data) | [`DataInput::Ask`] |
//! | [`DataEffect::Called`] | [`StationInput::Called`](crate::StationInput::Called) to that pod's station |
//! | [`DataEffect::Failed`] | [`StationInput::Failed`](crate::StationInput::Failed) to that pod's station |
//! | the primary or the cache is lost, or is back | [`DataInput::PrimaryLost`] and its like |
//! | a wake that it asked for is due | [`DataInput::Wake`] |
//!
//! An answer may come within the step that asked. A platform without such servers gets [`DatabaseConfig::UNBOUNDED`]
//! and [`CacheConfig::UNBOUNDED`], or its requests are [`Work::folded`](crate::Work::folded). Weaviate is no part of this: it is an
//! HTTP service with a profile like any other, which its callers name in their `calls`.
//!
//! ```
//! use model::data::{Asker, DataConfig, DataEffect, DataInput, DataLayer, PoolConfig, QueryUse};
//! use model::{Discipline, Station, StationConfig, StationEffect, StationInput, Work};
//! use units::{Bytes, Machine, Nanos, Out, Seed, Wake};
//!
//! /// A host with nothing but a list of what is to be done.
//! struct Host<E>(Vec<E>, Vec<(Nanos, Wake)>);
//! impl<E> Out<E> for Host<E> {
//!     fn emit(&mut self, effect: E) {
//!         self.0.push(effect);
//!     }
//!     fn wake(&mut self, at: Nanos, wake: Wake) {
//!         self.1.push((at, wake));
//!     }
//! }
//!
//! let config = StationConfig {
//!     discipline: Discipline::Fcfs,
//!     workers: 1,
//!     limit: None,
//!     backlog: 100,
//!     memory: Bytes::from_mebi(100),
//!     memory_per_request: Bytes::from_mebi(1),
//!     memory_limit: None,
//! };
//! let (mut station, mut pod) = (Station::new(config, Nanos::ZERO), Host(vec![], vec![]));
//! let mut data = DataLayer::new(DataConfig::default(), Seed::new(1), Nanos::ZERO);
//! let mut servers = Host(vec![], vec![]);
//! data.step(Nanos::ZERO, DataInput::Started { pod: 7, pool: Some(PoolConfig::default()) }, &mut servers);
//!
//! // A request that only needs two queries of 3 ms together.
//! let query = QueryUse { queries: 2, time: Nanos::from_millis(3), writes: false };
//! let work = Work { query: Some(query), ..Work::default() };
//! station.step(Nanos::ZERO, StationInput::Arrive { tag: 1, work }, &mut pod);
//! let Some(StationEffect::Data { tag, job, op }) = pod.0.pop() else { panic!("it asks its database") };
//! data.step(Nanos::ZERO, DataInput::Ask { asker: Asker { pod: 7, tag, job }, op }, &mut servers);
//!
//! // The host plays the data layer's wakes, at their time.
//! let mut now = Nanos::ZERO;
//! while let Some((at, wake)) = servers.1.pop() {
//!     now = at;
//!     data.step(now, DataInput::Wake(wake), &mut servers);
//! }
//! let Some(DataEffect::Called(asker)) = servers.0.pop() else { panic!("it is answered") };
//! station.step(now, StationInput::Called(asker.job), &mut pod);
//! assert!(matches!(pod.0.pop(), Some(StationEffect::Done { tag: 1, failed: None, .. })));
//! assert_eq!(now, Nanos::from_millis(5 + 3)); // it had to connect
//! ```

mod cache;
mod database;
mod figures;
mod layer;
mod pool;
mod sentinel;

pub use cache::{Cache, CacheConfig, CacheEvent, Recovery};
pub use database::{Database, DatabaseConfig, DatabaseEvent, Replication, Standby};
pub use figures::{FIGURES, Figures, PostgresFigures, RedisFigures};
pub use layer::{DataConfig, DataCounts, DataLayer};
pub use pool::{Close, Lease, Pool, PoolConfig};
pub use sentinel::{Failover, SentinelConfig, failover};

use std::fmt;

use units::{Millicores, Nanos, Wake};

use crate::Job;

/// What a request asks of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUse {
    /// How many operations.
    pub operations: u16,
    /// How long all of them take the server's thread.
    pub time: Nanos,
    /// The cache has what is wanted, so that the database is not asked.
    pub hit: bool,
}

/// What a request asks of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryUse {
    /// How many queries, one after the other on one connection.
    pub queries: u16,
    /// How much of the server's CPU all of them take.
    pub time: Nanos,
    /// Something is written, and committed at the end.
    pub writes: bool,
}

/// One thing that a request wants of the data layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataOp {
    /// Operations on the cache.
    Cache(CacheUse),
    /// Queries in the database.
    Query(QueryUse),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The host's number of the pod.
    pub pod: u32,
    /// The host's name for the request.
    pub tag: u64,
    /// The station's name for it.
    pub job: Job,
}

/// What may happen to the data layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataInput {
    /// A container starts, with an empty pool. `None`: [`PoolConfig::default`] when it asks its database after all.
    Started {
        /// The host's number of the pod.
        pod: u32,
        /// Its connection pool.
        pool: Option<PoolConfig>,
    },
    /// A container has ended. What it waits for is never answered; a query that runs keeps its connection until it ends.
    Ended {
        /// The host's number of the pod.
        pod: u32,
    },
    /// A request wants something.
    Ask {
        /// Who asks.
        asker: Asker,
        /// What.
        op: DataOp,
    },
    /// The primary is lost; a standby takes over if there is one.
    PrimaryLost,
    /// The database is taken offline, as for a restore: nobody takes over.
    TakenOffline,
    /// The primary is back.
    PrimaryBack,
    /// Others than services open so many connections to the database, or as many as there are left.
    ConnectionsTaken(u32),
    /// They close them.
    ConnectionsGivenBack,
    /// The disk of the database is full.
    DiskFills,
    /// It has space again.
    DiskFreed,
    /// A backup begins, and takes so much of the database's CPU.
    BackupBegins(Millicores),
    /// It ends.
    BackupEnds,
    /// The cache is lost; it comes back as it is configured to.
    CacheLost,
    /// The cache is back.
    CacheBack,
    /// A timer of the data layer fired.
    Wake(Wake),
}

/// What the data layer wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEffect {
    /// It is done.
    Called(Asker),
    /// It could not be done.
    Failed(Asker, DataError),
    /// Something that a rehearsal should tell.
    Note(DataNote),
}

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DataError {
    /// PostgreSQL's own words (`src/backend/storage/lmgr/proc.c`).
    #[error("sorry, too many clients already: the pools of all pods may open more than max_connections")]
    TooManyClients,
    /// The pool was exhausted for its whole timeout.
    #[error("the connection pool's timeout ended before a connection was free")]
    PoolTimeout,
    /// What was to be written has no place (PostgreSQL's class 53, `disk_full`).
    #[error("could not extend file: no space left on device")]
    DiskFull,
    /// The primary is lost, and with it what was under way.
    #[error("there is no primary: the connection broke or was refused")]
    NoPrimary,
    /// The cache is lost, and with it what was under way.
    #[error("there is no cache: the connection broke or was refused")]
    NoCache,
}

/// What happened to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataNote {
    /// The primary was lost, and with it writes that had been acknowledged.
    PrimaryLost {
        /// How many; 0 with synchronous replication.
        lost_writes: u64,
    },
    /// It was taken offline for a restore.
    TakenOffline,
    /// There is a primary again.
    PrimaryUp,
    /// Others hold connections of the database.
    ConnectionsTaken {
        /// How many they got.
        got: u32,
        /// How many they wanted.
        wanted: u32,
    },
    /// They have closed them.
    ConnectionsGivenBack,
    /// The disk of the database is full.
    DiskFull,
    /// It has space again.
    DiskFreed,
    /// The cache was lost.
    CacheLost,
    /// The cache answers again.
    CacheUp,
}

/// As a rehearsal tells it.
impl fmt::Display for DataNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrimaryLost { lost_writes: 0 } => f.write_str("the database's primary is lost"),
            Self::PrimaryLost { lost_writes } => {
                write!(f, "the database's primary is lost, and with it {lost_writes} acknowledged writes")
            }
            Self::TakenOffline => f.write_str("the database's primary is lost to a restore, and nobody takes over"),
            Self::PrimaryUp => f.write_str("the database has a primary again"),
            Self::ConnectionsTaken { got, wanted } => {
                write!(f, "others hold {got} connections of the database, and wanted {wanted}")
            }
            Self::ConnectionsGivenBack => f.write_str("others have closed their connections of the database"),
            Self::DiskFull => f.write_str("the database's disk is full: what is written fails"),
            Self::DiskFreed => f.write_str("the database's disk has space again"),
            Self::CacheLost => f.write_str("the cache is lost"),
            Self::CacheUp => f.write_str("the cache answers again"),
        }
    }
}
