//! A Redis server: one thread for all, and what happens when its master is lost.
//!
//! While there is no master, every operation fails at once: the Service has no endpoint, or the server answers
//! `LOADING`. With sentinels a replica takes over ([`super::sentinel`]); without, the server starts again and reads its
//! append-only file before it answers (Redis documentation, *Persistence*).

use units::{Bytes, Millicores, Nanos, Seed};

use super::sentinel::{SentinelConfig, failover};
use crate::cpu::{Burst, Cpu, Discipline};

/// What the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// CPUs that it can use at once: Redis executes commands on one thread.
    pub cores: u16,
    /// CPU limit of its container; `None`: no quota.
    pub limit: Option<Millicores>,
    /// How it comes back when it is lost.
    pub recovery: Recovery,
}

/// How a lost cache comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// A replica is promoted by sentinels.
    Sentinel(SentinelConfig),
    /// The server starts again and loads its append-only file.
    Restart {
        /// Until the process runs.
        start: Nanos,
        /// What it loads.
        size: Bytes,
        /// How much of it in a second.
        per_second: Bytes,
    },
    /// When somebody says that it is back.
    Told,
}

impl CacheConfig {
    /// The platform's Redis 7.2 with its sentinels.
    pub const DOCUMENTED: Self =
        Self { cores: 1, limit: None, recovery: Recovery::Sentinel(SentinelConfig::DOCUMENTED) };
    /// A cache without any bound, such as one outside the platform: nothing ever queues for it.
    pub const UNBOUNDED: Self = Self { cores: u16::MAX, limit: None, recovery: Recovery::Told };
}

/// One server, or the one that took over from it.
#[derive(Debug)]
pub struct Cache {
    config: CacheConfig,
    seed: Seed,
    cpu: Cpu,
    state: State,
    losses: u64,
    ended: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Until then, or until somebody brings it back.
    Down(Option<Nanos>),
}

impl Cache {
    /// A server that is up.
    pub fn new(config: CacheConfig, seed: Seed, start: Nanos) -> Self {
        let cpu = Cpu::new(Discipline::Fcfs, config.cores, config.limit, start);
        Self { config, seed, cpu, state: State::Up, losses: 0, ended: Vec::new() }
    }

    /// Whether it answers.
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Cumulative CPU time until `now`.
    pub fn cpu_used(&self, now: Nanos) -> Nanos {
        self.cpu.used(now)
    }

    /// Runs the operations `id`, which take `time` of its thread. Refused at once when it is down.
    pub fn ask(&mut self, now: Nanos, id: u32, time: Nanos) -> bool {
        if self.is_up() {
            self.cpu.add(Burst { job: id, demand: time.max(Nanos::new(1)), since: now });
        }
        self.is_up()
    }

    /// The master is lost with everything that it was doing.
    pub fn lose(&mut self, now: Nanos) {
        self.cpu.clear(now);
        let after = match &self.config.recovery {
            Recovery::Sentinel(config) => failover(config, self.seed, self.losses).map(|failover| failover.promoted),
            Recovery::Restart { start, size, per_second } => {
                let load = size.get() as f64 / per_second.get().max(1) as f64;
                Some(*start + Nanos::from_secs_f64(load))
            }
            Recovery::Told => None,
        };
        self.losses += 1;
        self.state = State::Down(after.map(|after| now + after));
    }

    /// It answers again.
    pub fn back(&mut self) {
        self.state = State::Up;
    }

    /// When something happens next, if nothing is asked until then.
    pub fn next(&self) -> Option<Nanos> {
        let back = match self.state {
            State::Down(until) => until,
            State::Up => None,
        };
        self.cpu.next().into_iter().chain(back).min()
    }

    /// What has happened by `now`, one at a time: operations that are done, or that it is back.
    pub fn poll(&mut self, now: Nanos) -> Option<CacheEvent> {
        if matches!(self.state, State::Down(Some(until)) if until <= now) {
            self.state = State::Up;
            return Some(CacheEvent::Back);
        }
        let ended = &mut self.ended;
        self.cpu.advance(now, |burst, _| ended.push(burst.job));
        if self.ended.is_empty() { None } else { Some(CacheEvent::Done(self.ended.remove(0))) }
    }
}

/// What happened at a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheEvent {
    /// These operations are done.
    Done(u32),
    /// There is a master again.
    Back,
}
