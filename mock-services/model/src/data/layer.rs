//! The data layer: every pod's pool, one PostgreSQL server and one Redis, behind one machine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use units::{Machine, Nanos, Out, Seed, Wake};

use super::cache::{Cache, CacheConfig, CacheEvent};
use super::database::{Database, DatabaseConfig, DatabaseEvent};
use super::pool::{Close, Lease, Pool, PoolConfig};
use super::{Asker, DataEffect, DataError, DataInput, DataNote, DataOp, QueryUse};

/// The servers of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataConfig {
    /// Its PostgreSQL.
    pub database: DatabaseConfig,
    /// Its Redis.
    pub cache: CacheConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { database: DatabaseConfig::DOCUMENTED, cache: CacheConfig::DOCUMENTED }
    }
}

impl Default for PoolConfig {
    /// `SQLAlchemy`'s defaults.
    fn default() -> Self {
        Self { database: String::new(), size: 5, overflow: 10, timeout: Nanos::from_secs(30) }
    }
}

/// What was asked and answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataCounts {
    /// Queries that were asked for.
    pub queries: u64,
    /// Cache operations that were asked for.
    pub operations: u64,
    /// Writes that were acknowledged and then lost with a primary.
    pub lost_writes: u64,
    /// The most connections that were open at once.
    pub connections: u32,
    /// What could not be done, by reason.
    pub failed: BTreeMap<DataError, u64>,
}

/// All servers and all pools.
#[derive(Debug)]
pub struct DataLayer {
    database: Database,
    cache: Cache,
    pools: Vec<Option<PodPool>>,
    started: u32,
    asks: Vec<Option<Ask>>,
    free: Vec<u32>,
    expiries: BinaryHeap<Reverse<(Nanos, u32)>>, // when a pool's queue is to be looked at
    counts: DataCounts,
    planned: Nanos,
    generation: u32,
}

#[derive(Debug)]
struct PodPool {
    life: u32,
    pool: Pool<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    asker: Asker,
    /// Of the container that asked; another one in the same pod has nothing to do with it.
    life: u32,
    query: Option<QueryUse>,
}

impl DataLayer {
    /// Servers that are up. `seed` decides the phases of the sentinels.
    pub fn new(config: DataConfig, seed: Seed, start: Nanos) -> Self {
        Self {
            database: Database::new(config.database, start),
            cache: Cache::new(config.cache, seed, start),
            pools: Vec::new(),
            started: 0,
            asks: Vec::new(),
            free: Vec::new(),
            expiries: BinaryHeap::new(),
            counts: DataCounts::default(),
            planned: Nanos::MAX,
            generation: 0,
        }
    }

    /// Its PostgreSQL.
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Its Redis.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What was asked and answered so far.
    pub const fn counts(&self) -> &DataCounts {
        &self.counts
    }

    /// Requests that wait for an answer, those of pods that have ended included.
    pub fn under_way(&self) -> usize {
        self.asks.len() - self.free.len()
    }

    fn start(&mut self, pod: u32, config: PoolConfig) -> u32 {
        let index = pod as usize;
        if self.pools.len() <= index {
            self.pools.resize_with(index + 1, || None);
        }
        self.started += 1;
        self.pools[index] = Some(PodPool { life: self.started, pool: Pool::new(config) });
        self.started
    }

    fn end(&mut self, pod: u32) {
        let Some(mut ended) = self.pools.get_mut(pod as usize).and_then(Option::take) else { return };
        self.database.disconnect(ended.pool.idle());
        let waiting: Vec<u32> = ended.pool.broken().collect();
        for id in waiting {
            self.forget(id);
        }
    }

    fn pool(&mut self, pod: u32) -> Option<&mut PodPool> {
        self.pools.get_mut(pod as usize)?.as_mut()
    }

    fn remember(&mut self, ask: Ask) -> u32 {
        if let Some(id) = self.free.pop() {
            self.asks[id as usize] = Some(ask);
            return id;
        }
        self.asks.push(Some(ask));
        (self.asks.len() - 1) as u32
    }

    fn forget(&mut self, id: u32) {
        if self.asks[id as usize].take().is_some() {
            self.free.push(id);
        }
    }

    fn ask(&mut self, now: Nanos, asker: Asker, op: DataOp, out: &mut impl Out<DataEffect>) {
        let life = match self.pool(asker.pod) {
            Some(pool) => pool.life,
            None => self.start(asker.pod, PoolConfig::default()),
        };
        match op {
            DataOp::Cache(cache) => {
                self.counts.operations += u64::from(cache.operations);
                let id = self.remember(Ask { asker, life, query: None });
                if !self.cache.ask(now, id, cache.time) {
                    self.fail(id, DataError::NoCache, out);
                }
            }
            DataOp::Query(query) => {
                self.counts.queries += u64::from(query.queries);
                let id = self.remember(Ask { asker, life, query: Some(query) });
                let Some(PodPool { pool, .. }) = self.pool(asker.pod) else { return };
                match pool.take(now, id) {
                    Lease::Idle => self.database.query(now, id, query.time),
                    Lease::Open => self.open(now, id, out),
                    Lease::Wait(until) => self.expiries.push(Reverse((until, asker.pod))),
                }
            }
        }
    }

    /// Opens a connection for `id`; when that is refused, whoever waits in its pool tries as well.
    fn open(&mut self, now: Nanos, id: u32, out: &mut impl Out<DataEffect>) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(Ask { asker, .. }) = self.asks[id as usize] else { return };
            match self.database.connect(now, id) {
                Ok(()) => {
                    self.counts.connections = self.counts.connections.max(self.database.connections());
                    return;
                }
                Err(error) => {
                    self.fail(id, error, out);
                    next = self.pool(asker.pod).and_then(|pod| pod.pool.failed());
                }
            }
        }
    }

    fn fail(&mut self, id: u32, error: DataError, out: &mut impl Out<DataEffect>) {
        if let Some(ask) = self.asks[id as usize]
            && self.pool(ask.asker.pod).is_some_and(|pod| pod.life == ask.life)
        {
            *self.counts.failed.entry(error).or_default() += 1;
            out.emit(DataEffect::Failed(ask.asker, error));
        }
        self.forget(id);
    }

    /// The query is done, or refused: its connection goes to who waits for one, or back.
    fn finish(&mut self, now: Nanos, id: u32, refused: Option<DataError>, out: &mut impl Out<DataEffect>) {
        let Some(ask) = self.asks[id as usize] else { return };
        self.forget(id);
        let Some(PodPool { pool, .. }) = self.pool(ask.asker.pod).filter(|pod| pod.life == ask.life) else {
            return self.database.disconnect(1);
        };
        match pool.give_back() {
            Ok(next) => self.query(now, next),
            Err(Close(true)) => self.database.disconnect(1),
            Err(Close(false)) => {}
        }
        out.emit(match refused {
            None => DataEffect::Called(ask.asker),
            Some(error) => {
                *self.counts.failed.entry(error).or_default() += 1;
                DataEffect::Failed(ask.asker, error)
            }
        });
    }

    fn query(&mut self, now: Nanos, id: u32) {
        if let Some(Ask { query: Some(query), .. }) = self.asks[id as usize] {
            self.database.query(now, id, query.time);
        }
    }

    fn happened(&mut self, now: Nanos, event: DatabaseEvent, out: &mut impl Out<DataEffect>) {
        match event {
            DatabaseEvent::Promoted => out.emit(DataEffect::Note(DataNote::PrimaryUp)),
            DatabaseEvent::Committed(id) => self.finish(now, id, None, out),
            DatabaseEvent::Computed(id) => {
                let writes = self.asks[id as usize].and_then(|ask| ask.query).is_some_and(|query| query.writes);
                if writes && self.database.is_full() {
                    self.finish(now, id, Some(DataError::DiskFull), out);
                } else if !writes || self.database.commit(now, id) {
                    self.finish(now, id, None, out);
                }
            }
            DatabaseEvent::Connected(id) => {
                let Some(ask) = self.asks[id as usize] else { return };
                if self.pool(ask.asker.pod).is_some_and(|pod| pod.life == ask.life) {
                    self.query(now, id);
                } else {
                    self.database.disconnect(1);
                    self.forget(id);
                }
            }
        }
    }

    /// What has become due by `now`.
    fn advance(&mut self, now: Nanos, out: &mut impl Out<DataEffect>) {
        while let Some(event) = self.database.poll(now) {
            self.happened(now, event, out);
        }
        while let Some(event) = self.cache.poll(now) {
            match event {
                CacheEvent::Back => out.emit(DataEffect::Note(DataNote::CacheUp)),
                CacheEvent::Done(id) => {
                    if let Some(ask) = self.asks[id as usize]
                        && self.pool(ask.asker.pod).is_some_and(|pod| pod.life == ask.life)
                    {
                        out.emit(DataEffect::Called(ask.asker));
                    }
                    self.forget(id);
                }
            }
        }
        while let Some(Reverse((_, pod))) = self.expiries.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.expiries.pop();
            while let Some(id) = self.pool(pod).and_then(|pod| pod.pool.expired(now)) {
                self.fail(id, DataError::PoolTimeout, out);
            }
        }
    }

    /// Every connection is broken, and whoever had one or waits for one fails.
    fn without_primary(&mut self, out: &mut impl Out<DataEffect>) {
        for pod in self.pools.iter_mut().flatten() {
            pod.pool.broken().for_each(drop); // they are all told below
        }
        self.fail_all(DataError::NoPrimary, out);
    }

    /// Every request of one kind fails.
    fn fail_all(&mut self, error: DataError, out: &mut impl Out<DataEffect>) {
        for id in 0..self.asks.len() as u32 {
            let wanted = error == DataError::NoPrimary;
            if self.asks[id as usize].is_some_and(|ask| ask.query.is_some() == wanted) {
                self.fail(id, error, out);
            }
        }
    }
}

impl Machine for DataLayer {
    type Input = DataInput;
    type Effect = DataEffect;

    fn step(&mut self, now: Nanos, input: DataInput, out: &mut impl Out<DataEffect>) {
        self.advance(now, out);
        match input {
            DataInput::Started { pod, pool } => {
                self.end(pod);
                self.start(pod, pool.unwrap_or_default());
            }
            DataInput::Ended { pod } => self.end(pod),
            DataInput::Ask { asker, op } => self.ask(now, asker, op, out),
            DataInput::PrimaryLost => {
                let lost_writes = self.database.lose(now);
                self.counts.lost_writes += lost_writes;
                out.emit(DataEffect::Note(DataNote::PrimaryLost { lost_writes }));
                self.without_primary(out);
            }
            DataInput::TakenOffline => {
                self.database.take_offline(now);
                out.emit(DataEffect::Note(DataNote::TakenOffline));
                self.without_primary(out);
            }
            DataInput::PrimaryBack => {
                if !self.database.is_up() {
                    self.database.back();
                    out.emit(DataEffect::Note(DataNote::PrimaryUp));
                }
            }
            DataInput::ConnectionsTaken(wanted) => {
                let got = self.database.take(wanted);
                self.counts.connections = self.counts.connections.max(self.database.connections());
                out.emit(DataEffect::Note(DataNote::ConnectionsTaken { got, wanted }));
            }
            DataInput::ConnectionsGivenBack => {
                self.database.give_back();
                out.emit(DataEffect::Note(DataNote::ConnectionsGivenBack));
            }
            DataInput::DiskFills => {
                self.database.fill(true);
                out.emit(DataEffect::Note(DataNote::DiskFull));
            }
            DataInput::DiskFreed => {
                if self.database.is_full() {
                    self.database.fill(false);
                    out.emit(DataEffect::Note(DataNote::DiskFreed));
                }
            }
            DataInput::BackupBegins(cpu) => self.database.occupy(now, Some(cpu)),
            DataInput::BackupEnds => self.database.occupy(now, None),
            DataInput::CacheLost => {
                self.cache.lose(now);
                out.emit(DataEffect::Note(DataNote::CacheLost));
                self.fail_all(DataError::NoCache, out);
            }
            DataInput::CacheBack => {
                if !self.cache.is_up() {
                    self.cache.back();
                    out.emit(DataEffect::Note(DataNote::CacheUp));
                }
            }
            DataInput::Wake(wake) => {
                // To advance was all it is for. What is asked at this very instant may want another one now.
                if wake.generation == self.generation {
                    self.planned = Nanos::MAX;
                }
            }
        }
        let patience = self.expiries.peek().map(|Reverse((at, _))| *at);
        let next = [self.database.next(), self.cache.next(), patience].into_iter().flatten().min();
        if let Some(next) = next
            && next != self.planned
        {
            self.planned = next;
            self.generation = self.generation.wrapping_add(1);
            out.wake(next, Wake { slot: 0, generation: self.generation });
        }
    }
}
