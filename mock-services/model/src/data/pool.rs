//! The connection pool of one process: kept connections, some more under pressure, and a queue with a timeout.
//!
//! Source: `SQLAlchemy`'s `QueuePool`. `size` connections are kept open once opened, `overflow` more are opened under
//! pressure and closed when they come back, and who finds none waits in order for `timeout` and then fails.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use units::Nanos;

/// How many connections a pod may have, and how long a request waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolConfig {
    /// Name of the database, such as `db_transactions`.
    pub database: String,
    /// Connections that stay open.
    pub size: u16,
    /// Connections beyond `size` that are opened under pressure.
    pub overflow: u16,
    /// How long a request waits for a connection before it fails.
    pub timeout: Nanos,
}

/// One process's connections. `T` names who waits for one.
#[derive(Debug)]
pub struct Pool<T> {
    config: PoolConfig,
    open: u32,
    idle: u32,
    waiting: VecDeque<(Nanos, T)>, // with the instant at which it gives up
}

/// What a pool has for who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// An open connection.
    Idle,
    /// Leave to open one.
    Open,
    /// A place in the queue; it is given up at this instant.
    Wait(Nanos),
}

impl<T> Pool<T> {
    /// A pool that has not connected yet.
    pub const fn new(config: PoolConfig) -> Self {
        Self { config, open: 0, idle: 0, waiting: VecDeque::new() }
    }

    /// Connections that it holds, in use or not.
    pub const fn open(&self) -> u32 {
        self.open
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks for a connection.
    pub fn take(&mut self, now: Nanos, who: T) -> Lease {
        if self.idle > 0 {
            self.idle -= 1;
            return Lease::Idle;
        }
        if self.open < u32::from(self.config.size) + u32::from(self.config.overflow) {
            self.open += 1;
            return Lease::Open;
        }
        let until = now + self.config.timeout;
        self.waiting.push_back((until, who));
        Lease::Wait(until)
    }

    /// A working connection comes back. Who gets it next, or else whether it is to be closed.
    pub fn give_back(&mut self) -> Result<T, Close> {
        if let Some((_, next)) = self.waiting.pop_front() {
            return Ok(next);
        }
        let close = self.open > u32::from(self.config.size);
        if close {
            self.open -= 1;
        } else {
            self.idle += 1;
        }
        Err(Close(close))
    }

    /// A connection could not be opened. Who may try next.
    pub fn failed(&mut self) -> Option<T> {
        self.open -= 1;
        let (_, next) = self.waiting.pop_front()?;
        self.open += 1;
        Some(next)
    }

    /// The first in the queue whose patience has ended by `now`.
    pub fn expired(&mut self, now: Nanos) -> Option<T> {
        self.waiting.pop_front_if(|(until, _)| *until <= now).map(|(_, who)| who)
    }

    /// All connections broke: the pool is empty, and whoever waits is told by the caller.
    pub fn broken(&mut self) -> impl Iterator<Item = T> + '_ {
        self.open = 0;
        self.idle = 0;
        self.waiting.drain(..).map(|(_, who)| who)
    }

    /// Connections that nobody uses.
    pub const fn idle(&self) -> u32 {
        self.idle
    }
}

/// Whether a connection that came back is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close(pub bool);

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool<char> {
        Pool::new(PoolConfig { database: "db_x".into(), size: 1, overflow: 1, timeout: Nanos::from_secs(30) })
    }

    #[test]
    fn kept_then_overflow_then_the_queue_in_order() {
        let mut pool = pool();
        let until = Lease::Wait(Nanos::from_secs(31));
        let asked = ['a', 'b', 'c', 'd'].map(|who| pool.take(Nanos::from_secs(1), who));
        assert_eq!(asked, [Lease::Open, Lease::Open, until, until]);
        assert_eq!((pool.give_back(), pool.give_back()), (Ok('c'), Ok('d')));
        assert_eq!((pool.give_back(), pool.open()), (Err(Close(true)), 1), "the overflow is closed");
        assert_eq!((pool.give_back(), pool.idle()), (Err(Close(false)), 1), "the other one is kept");
        assert_eq!(pool.take(Nanos::from_secs(2), 'e'), Lease::Idle);
    }

    #[test]
    fn patience_ends_at_the_timeout_and_not_before() {
        let mut pool = pool();
        for (at, who) in [(0, 'a'), (0, 'b'), (1, 'c'), (2, 'd')] {
            pool.take(Nanos::from_secs(at), who);
        }
        assert_eq!(pool.expired(Nanos::from_secs(31) - Nanos::new(1)), None);
        assert_eq!(pool.expired(Nanos::from_secs(31)), Some('c'));
        assert_eq!((pool.expired(Nanos::from_secs(31)), pool.waiting()), (None, 1));
    }

    #[test]
    fn a_connection_that_fails_lets_the_next_one_try() {
        let mut pool = pool();
        for who in ['a', 'b', 'c'] {
            pool.take(Nanos::ZERO, who);
        }
        assert_eq!((pool.failed(), pool.open()), (Some('c'), 2));
        assert_eq!((pool.failed(), pool.open()), (None, 1));
    }
}
