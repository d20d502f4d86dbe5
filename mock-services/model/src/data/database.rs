//! A PostgreSQL server: connections with a bound, queries on its own CPU, and the loss of its primary.
//!
//! Sources: PostgreSQL 15 documentation, 20.3 *Connections and Authentication* (`max_connections`, and
//! `superuser_reserved_connections`, which ordinary users cannot have), 20.6 *Replication* and 27.2.8 *Synchronous
//! Replication* (what a commit waits for). Promotion is an operator's or a person's act, so its delay is configured.
//!
//! A query's whole time is taken to be CPU of the server (data in memory); its backends share that CPU.

use std::collections::VecDeque;

use units::{Millicores, Nanos};

use super::DataError;
use crate::cpu::{Burst, Cpu, Discipline};

/// What the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections`: of those, services get none of these.
    pub reserved: u32,
    /// Time to open a connection that is opened alone: a process is forked, its caches are filled, the password is checked.
    pub connect: Nanos,
    /// What of that is CPU of the server, at most all of it: many at once wait for each other there. The rest passes at the
    /// client and on the way.
    pub connect_cpu: Nanos,
    /// What a commit waits for its disk, after its CPU time: commits that wait share a flush, so none waits for another.
    pub flush: Nanos,
    /// CPUs that its processes can use at once, at least 1.
    pub cores: u16,
    /// CPU limit of its container; `None`: no quota.
    pub limit: Option<Millicores>,
    /// Who takes over when the primary is lost; `None`: nobody, until it is back.
    pub standby: Option<Standby>,
}

/// A standby server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standby {
    /// From the loss of the primary until the standby accepts connections.
    pub promotion: Nanos,
    /// What it has by then.
    pub replication: Replication,
}

/// How a standby follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// `synchronous_commit = local`, or no synchronous standby: a commit waits for nobody, and what was committed within
    /// the lag before the loss is gone although its client was told.
    Asynchronous {
        /// How far behind the standby is.
        lag: Nanos,
    },
    /// `synchronous_commit = on` with a synchronous standby: each write waits for it, and nothing is lost.
    Synchronous {
        /// There and back, and the flush there.
        round_trip: Nanos,
    },
}

impl DatabaseConfig {
    /// PostgreSQL's defaults where it has any, and the platform's 200 connections. What it takes to connect was measured of
    /// PostgreSQL 15 (docs/fidelity.md), and rounded.
    pub const DOCUMENTED: Self = Self {
        max_connections: 200,
        reserved: 3,
        connect: Nanos::from_millis(5),
        connect_cpu: Nanos::from_millis(4),
        flush: Nanos::ZERO,
        cores: 2,
        limit: None,
        standby: None,
    };

    /// A server without any bound, such as one outside the platform: nothing ever queues for it.
    pub const UNBOUNDED: Self = Self {
        max_connections: u32::MAX,
        reserved: 0,
        connect: Nanos::ZERO,
        connect_cpu: Nanos::ZERO,
        flush: Nanos::ZERO,
        cores: u16::MAX,
        limit: None,
        standby: None,
    };
}

/// One server with all its databases.
#[derive(Debug)]
pub struct Database {
    config: DatabaseConfig,
    cpu: Cpu,
    state: State,
    connections: u32,
    taken: u32,                         // of those, by others than services
    full: bool,                         // its disk
    opening: Vec<u32>,                  // connections on the CPU
    connecting: VecDeque<(Nanos, u32)>, // in order, as each takes equally long from there
    committing: VecDeque<(Nanos, u32)>,
    acknowledged: VecDeque<Nanos>, // writes that an asynchronous standby does not have yet
    ended: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Until then, or until somebody brings it back.
    Down(Option<Nanos>),
}

/// What happened to a query, by the name that the caller gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseEvent {
    /// Its connection is open.
    Connected(u32),
    /// Its CPU time is over. A write may have a commit to wait for: [`Database::commit`].
    Computed(u32),
    /// It is committed.
    Committed(u32),
    /// The standby has been promoted.
    Promoted,
}

impl Database {
    /// A server that is up.
    pub fn new(config: DatabaseConfig, start: Nanos) -> Self {
        Self {
            cpu: Cpu::new(Discipline::Ps, config.cores, config.limit, start),
            config,
            state: State::Up,
            connections: 0,
            taken: 0,
            full: false,
            opening: Vec::new(),
            connecting: VecDeque::new(),
            committing: VecDeque::new(),
            acknowledged: VecDeque::new(),
            ended: Vec::new(),
        }
    }

    /// Open connections.
    pub const fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether it accepts connections.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Cumulative CPU time until `now`.
    pub fn cpu_used(&self, now: Nanos) -> Nanos {
        self.cpu.used(now)
    }

    /// Opens a connection for query `id`, which is heard of when that is done. Refused at once when there are too many,
    /// and when there is no primary: a Service without endpoints refuses.
    pub fn connect(&mut self, now: Nanos, id: u32) -> Result<(), DataError> {
        if !self.is_up() {
            return Err(DataError::NoPrimary);
        }
        if self.connections >= self.config.max_connections.saturating_sub(self.config.reserved) {
            return Err(DataError::TooManyClients);
        }
        self.connections += 1;
        if self.config.connect_cpu > Nanos::ZERO {
            self.opening.push(id);
            self.query(now, id, self.config.connect_cpu);
        } else {
            self.connecting.push_back((now + self.config.connect, id));
        }
        Ok(())
    }

    /// Others open as many connections as they want, or as there are left: how many they get. They keep them until
    /// [`Self::give_back`], whatever is freed meanwhile is not theirs.
    pub fn take(&mut self, wanted: u32) -> u32 {
        let left = self.config.max_connections.saturating_sub(self.config.reserved).saturating_sub(self.connections);
        let got = if self.is_up() { wanted.min(left) } else { 0 };
        self.connections += got;
        self.taken += got;
        got
    }

    /// They close them.
    pub fn give_back(&mut self) {
        self.disconnect(self.taken);
        self.taken = 0;
    }

    /// Its disk is full, or has space again. What is written then fails; what is read does not.
    pub const fn fill(&mut self, full: bool) {
        self.full = full;
    }

    /// Whether its disk is full.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Something that is no query takes so much of the server's CPU from `now` on, to which it must have been polled;
    /// `None`: nothing any more.
    pub fn occupy(&mut self, now: Nanos, taken: Option<Millicores>) {
        let cores = Millicores::from_cores(u64::from(self.config.cores));
        let all = self.config.limit.map_or(cores, |limit| limit.min(cores)).get();
        let left = |taken: Millicores| Millicores::new(all.saturating_sub(taken.get()).max(1));
        self.cpu.set_share(now, taken.map(left));
    }

    /// Closes a connection.
    pub fn disconnect(&mut self, count: u32) {
        self.connections = self.connections.saturating_sub(count);
    }

    /// Runs query `id` for `time` of CPU on an open connection.
    pub fn query(&mut self, now: Nanos, id: u32, time: Nanos) {
        self.cpu.add(Burst { job: id, demand: time.max(Nanos::new(1)), since: now });
    }

    /// A write has had its CPU time. Whether it is committed now; else it is heard of when it is.
    pub fn commit(&mut self, now: Nanos, id: u32) -> bool {
        let replication = self.config.standby.map(|standby| standby.replication);
        let wait = match replication {
            Some(Replication::Synchronous { round_trip }) => self.config.flush + round_trip,
            _ => self.config.flush,
        };
        if let Some(Replication::Asynchronous { lag }) = replication {
            while self.acknowledged.pop_front_if(|at| *at + lag <= now).is_some() {}
            self.acknowledged.push_back(now + wait);
        }
        if wait > Nanos::ZERO {
            self.committing.push_back((now + wait, id));
        }
        wait == Nanos::ZERO
    }

    /// The primary is lost with every connection and query. How many writes are gone that were acknowledged.
    pub fn lose(&mut self, now: Nanos) -> u64 {
        let standby = self.config.standby;
        self.state = State::Down(standby.map(|standby| now + standby.promotion));
        self.cpu.clear(now);
        self.occupy(now, None);
        self.full = false; // a standby has a disk of its own
        (self.connections, self.taken) = (0, 0);
        self.opening.clear();
        self.connecting.clear();
        self.committing.clear();
        let lag = match standby.map(|standby| standby.replication) {
            Some(Replication::Asynchronous { lag }) => lag,
            _ => Nanos::ZERO, // synchronous: nothing; nobody takes over: its disk has everything
        };
        // What its disk does not have yet was not acknowledged either.
        self.acknowledged.drain(..).filter(|at| *at <= now && *at + lag > now).count() as u64
    }

    /// It is taken offline with every connection and query, and nobody takes over: [`Self::back`] ends it.
    pub fn take_offline(&mut self, now: Nanos) {
        self.lose(now);
        self.state = State::Down(None);
    }

    /// The primary is back, with all that it had.
    pub fn back(&mut self) {
        self.state = State::Up;
    }

    /// When something happens next, if nothing is asked until then.
    pub fn next(&self) -> Option<Nanos> {
        let up = match self.state {
            State::Down(until) => until,
            State::Up => None,
        };
        let front = |queue: &VecDeque<(Nanos, u32)>| queue.front().map(|(at, _)| *at);
        [self.cpu.next(), front(&self.connecting), front(&self.committing), up].into_iter().flatten().min()
    }

    /// What has happened by `now`, one at a time; the caller does what follows from it before it asks again.
    pub fn poll(&mut self, now: Nanos) -> Option<DatabaseEvent> {
        if matches!(self.state, State::Down(Some(until)) if until <= now) {
            self.state = State::Up;
            return Some(DatabaseEvent::Promoted);
        }
        let ended = &mut self.ended;
        self.cpu.advance(now, |burst, _| ended.push(burst.job));
        while !self.ended.is_empty() {
            let id = self.ended.remove(0);
            let Some(place) = self.opening.iter().position(|opening| *opening == id) else {
                return Some(DatabaseEvent::Computed(id));
            };
            self.opening.swap_remove(place);
            let rest = self.config.connect - self.config.connect_cpu;
            self.connecting.push_back((now + rest, id));
        }
        let mut due =
            |queue: fn(&mut Self) -> &mut VecDeque<(Nanos, u32)>| queue(self).pop_front_if(|(at, _)| *at <= now);
        due(|s| &mut s.committing)
            .map(|(_, id)| DatabaseEvent::Committed(id))
            .or_else(|| due(|s| &mut s.connecting).map(|(_, id)| DatabaseEvent::Connected(id)))
    }
}
