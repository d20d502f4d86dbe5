//! What one request draws from its route's profile: a pure function of the seed and its identity.

use units::{Distribution, Nanos, Purpose, RequestId, Seed};

use super::{RouteProfile, StreamProfile};
use crate::Work;
use crate::data::{CacheUse, QueryUse};

impl RouteProfile {
    /// What this request costs.
    pub fn work(&self, seed: Seed, id: RequestId) -> Work {
        let cpu = self.cpu.sample(seed.draw(id, Purpose::Cpu));
        let mut wait = self.wait.sample(seed.draw(id, Purpose::Wait));
        let cache = self.cache.map(|cache| CacheUse {
            operations: cache.operations,
            time: total(cache.time, cache.operations, seed, id, Purpose::Cache),
            hit: seed.draw(id, Purpose::Hit).unit() < cache.hit,
        });
        let query = self.database.map(|database| QueryUse {
            queries: database.queries,
            time: total(database.time, database.queries, seed, id, Purpose::Query),
            writes: database.writes.unwrap_or(!matches!(self.method(), "GET" | "HEAD")),
        });
        if let Some(stream) = self.stream {
            wait += stream.first.sample(seed.draw(id.call(0), Purpose::Wait));
        }
        // Parsing and checking come before the calls and the database, serialising after: half each, for want of a
        // measurement. A stream's last piece is the end of its answer, and all its CPU comes before.
        let divided = self.stream.is_none()
            && (wait > Nanos::ZERO || !self.calls.is_empty() || cache.is_some() || query.is_some());
        let cpu_after = if divided { cpu / 2 } else { Nanos::ZERO };
        let fails = self.errors.filter(|errors| seed.draw(id, Purpose::Failure).unit() < errors.rate);
        Work {
            cpu_before: cpu - cpu_after,
            calls: !self.calls.is_empty(),
            cache,
            query,
            wait,
            stream: self.stream.map(|stream| stream.gaps(seed, id).sum()),
            cpu_after,
            memory: self.memory,
            fails: fails.map(|errors| errors.status),
        }
    }
}

impl StreamProfile {
    /// The times between this request's tokens: one less than there are tokens.
    pub fn gaps(self, seed: Seed, id: RequestId) -> impl Iterator<Item = Nanos> {
        let law =
            Distribution::LogNormal { median: Nanos::new(u64::from(self.tokens.median)), sigma: self.tokens.sigma };
        let tokens = law.sample(seed.draw(id, Purpose::Pieces)).get().clamp(1, MOST_TOKENS);
        (1..tokens as u32).map(move |index| self.gap.sample(seed.draw(id.call(index), Purpose::Piece)))
    }
}

/// What a language model's answer is cut off at, as a bound for laws with a long tail.
const MOST_TOKENS: u64 = 4_096;

fn total(law: Distribution, count: u16, seed: Seed, id: RequestId, purpose: Purpose) -> Nanos {
    (0..u32::from(count)).map(|index| law.sample(seed.draw(id.call(index), purpose))).sum()
}

impl Work {
    /// A health check: half a millisecond of CPU, through the same queue as everything else, as in an async service
    /// with one event loop. Assumed.
    pub const HEALTH: Self = Self {
        cpu_before: Nanos::from_micros(500),
        calls: false,
        cache: None,
        query: None,
        wait: Nanos::ZERO,
        stream: None,
        cpu_after: Nanos::ZERO,
        memory: units::Bytes::ZERO,
        fails: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::profile::shipped;

    fn route(workload: &str, request: &str) -> RouteProfile {
        let profile: &Profile = &shipped().unwrap()[workload];
        let (method, path) = request.split_once(' ').unwrap();
        profile.routes[usize::from(profile.route(method, path).unwrap().0)].clone()
    }

    #[test]
    fn a_request_costs_the_same_whoever_asks() {
        let route = route("transactions-service", "POST /transactions/");
        let id = RequestId::of_step(9, 3);
        let work = |seed| route.work(Seed::new(seed), id);
        assert_eq!(work(1), work(1));
        assert_ne!(work(1), work(2));
        assert!(work(1).calls && work(1).cpu_after > Nanos::ZERO && work(1).query.is_some_and(|query| query.writes));
    }

    #[test]
    fn a_stream_takes_as_long_as_its_gaps() {
        let route = route("ai-agent-service", "POST /ai/chat/stream");
        let stream = route.stream.expect("it streams");
        for arrival in 0..20 {
            let id = RequestId::of_step(arrival, 0);
            let work = route.work(Seed::new(1), id);
            assert_eq!(work.stream, Some(stream.gaps(Seed::new(1), id).sum()));
            assert!(work.wait > Nanos::ZERO && work.cpu_after == Nanos::ZERO);
        }
        let counts = (0..1_000).map(|n| stream.gaps(Seed::new(1), RequestId::of_step(n, 0)).count() + 1);
        let fewer = counts.filter(|count| *count < stream.tokens.median as usize).count();
        assert!((440..560).contains(&fewer), "the median is the median: {fewer} of 1000 are below");
    }

    #[test]
    fn hits_and_errors_come_as_often_as_they_should() {
        let mut dashboard = route("analytics-service", "GET /analytics/dashboard");
        dashboard.errors = Some(crate::ErrorProfile { rate: 0.02, status: 503 });
        let hit = dashboard.cache.expect("it has a cache").hit;
        let works: Vec<_> = (0..20_000).map(|n| dashboard.work(Seed::new(5), RequestId::of_step(n, 0))).collect();
        let share = |count: usize| count as f64 / works.len() as f64;
        // Four standard errors of 20,000 draws.
        let near = |got: f64, want: f64| (got - want).abs() < 4.0 * (want * (1.0 - want) / 20_000.0).sqrt();
        let hits = share(works.iter().filter(|work| work.cache.is_some_and(|cache| cache.hit)).count());
        assert!(near(hits, hit), "{hits} instead of {hit}");
        let failures = share(works.iter().filter(|work| work.fails == Some(503)).count());
        assert!(near(failures, 0.02), "{failures}");
    }
}
