//! So many who ask one thing after another, in virtual time: the model's own machines, asked as the real servers are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::data::{Cache, CacheConfig, Database, DatabaseConfig, DatabaseEvent};
use units::{Nanos, Seed};

/// Questions of each, of which the first quarter does not count.
const ROUNDS: u32 = 64;
/// A turn of the golden ratio: multiples of it spread over the unit interval as evenly as can be.
const TURN: f64 = 0.618_033_988_749_894_9;

/// A server as one who asks sees it.
trait Asked {
    /// `times`: how many times the mean it costs.
    fn ask(&mut self, now: Nanos, id: u32, times: f64);
    /// When something happens next.
    fn next(&self) -> Option<Nanos>;
    /// Whose question was answered by `now`.
    fn answered(&mut self, now: Nanos) -> Option<u32>;
}

struct Statement {
    server: Database,
    cpu: Nanos,
    writes: bool,
}

impl Asked for Statement {
    fn ask(&mut self, now: Nanos, id: u32, times: f64) {
        self.server.query(now, id, scaled(self.cpu, times));
    }
    fn next(&self) -> Option<Nanos> {
        self.server.next()
    }
    fn answered(&mut self, now: Nanos) -> Option<u32> {
        loop {
            match self.server.poll(now)? {
                DatabaseEvent::Computed(id) if self.writes && !self.server.commit(now, id) => {}
                DatabaseEvent::Computed(id) | DatabaseEvent::Committed(id) => return Some(id),
                DatabaseEvent::Connected(_) | DatabaseEvent::Promoted => {}
            }
        }
    }
}

/// How long a connection takes on average, of so many that are opened at once.
pub(super) fn opened(config: DatabaseConfig, at_once: u32) -> Nanos {
    let mut server = Database::new(config, Nanos::ZERO);
    let mut under_way = (0..at_once).filter(|id| server.connect(Nanos::ZERO, *id).is_ok()).count();
    let (count, mut sum) = (under_way.max(1) as u64, Nanos::ZERO);
    while let Some(now) = server.next().filter(|_| under_way > 0) {
        while server.poll(now).is_some() {
            under_way -= 1;
            sum += now;
        }
    }
    sum / count
}

struct Operation {
    server: Cache,
    time: Nanos,
}

impl Asked for Operation {
    fn ask(&mut self, now: Nanos, id: u32, times: f64) {
        self.server.ask(now, id, scaled(self.time, times));
    }
    fn next(&self) -> Option<Nanos> {
        self.server.next()
    }
    fn answered(&mut self, now: Nanos) -> Option<u32> {
        match self.server.poll(now)? {
            model::data::CacheEvent::Done(id) => Some(id),
            model::data::CacheEvent::Back => None,
        }
    }
}

/// What `at_once` who do nothing else wait for a statement, on average. `cpu`: of the server; `outside`: what passes
/// between an answer and the next question that is not the server's.
pub(super) fn statement(config: DatabaseConfig, cpu: Nanos, writes: bool, at_once: u32, outside: Nanos) -> Nanos {
    let statement = Statement { server: Database::new(config, Nanos::ZERO), cpu, writes };
    mean(statement, at_once, outside)
}

/// The same for an operation on a cache.
pub(super) fn operation(config: CacheConfig, time: Nanos, at_once: u32, outside: Nanos) -> Nanos {
    let server = Cache::new(config, Seed::new(1), Nanos::ZERO);
    mean(Operation { server, time }, at_once, outside)
}

fn scaled(time: Nanos, times: f64) -> Nanos {
    Nanos::new((time.get() as f64 * times) as u64)
}

fn mean(mut server: impl Asked, at_once: u32, outside: Nanos) -> Nanos {
    let mut due: BinaryHeap<Reverse<(Nanos, u32)>> =
        (0..at_once).map(|id| Reverse((Nanos::from_micros(u64::from(id)), id))).collect();
    let mut asked = vec![Nanos::ZERO; at_once as usize];
    let (mut answers, mut counted, mut sum) = (0, 0_u64, Nanos::ZERO);
    let mut place = 0.0_f64;
    while answers < at_once * ROUNDS {
        let own = due.peek().map(|Reverse((at, _))| *at);
        let Some(now) = own.into_iter().chain(server.next()).min() else { break };
        while let Some(id) = server.answered(now) {
            answers += 1;
            if answers > at_once * ROUNDS / 4 {
                counted += 1;
                sum += now - asked[id as usize];
            }
            due.push(Reverse((now + outside, id)));
        }
        while let Some(Reverse((_, id))) = due.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            due.pop();
            asked[id as usize] = now;
            // Costs that were all the same would have everybody come and go in step, and the server idle in between.
            place = (place + TURN).fract();
            server.ask(now, id, 0.5 + place);
        }
    }
    sum / counted.max(1) + outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_alone_waits_for_the_server_and_many_for_each_other() {
        let us = Nanos::from_micros;
        let one = DatabaseConfig { cores: 1, ..DatabaseConfig::DOCUMENTED };
        let near =
            |got: Nanos, want: u64| assert!(got.as_micros().abs_diff(want) <= want / 50 + 1, "{got} for {want} us");
        near(statement(one, us(100), false, 1, us(50)), 150);
        near(statement(one, us(100), false, 8, us(50)), 800); // saturated: eight turns of 100
        near(statement(DatabaseConfig { cores: 2, ..one }, us(100), false, 8, us(50)), 400);
        near(statement(DatabaseConfig { flush: us(900), ..one }, us(100), true, 2, us(50)), 1_050);
        near(statement(DatabaseConfig { flush: us(900), ..one }, us(100), false, 1, us(50)), 150); // nothing to flush
        let costly = DatabaseConfig { connect: us(5_000), connect_cpu: us(2_000), ..one };
        near(opened(costly, 1), 5_000);
        near(opened(costly, 8), 8 * 2_000 + 3_000); // together through the core, then each for itself
        near(operation(CacheConfig::DOCUMENTED, us(10), 32, us(40)), 320);
    }
}
