//! Connections that nginx keeps to the servers of an upstream.
//!
//! Source: nginx `src/http/modules/ngx_http_upstream_keepalive_module.c` (1.22). What is kept is a connection, and where
//! the server is a Service, a connection leads to one pod: requests on it never meet another, however many come after.

use std::collections::VecDeque;

use platform::{GatewayConfig, Location, UpstreamId};
use units::Nanos;

use crate::Peer;

/// `keepalive_timeout` of an upstream, its default.
const TIMEOUT: Nanos = Nanos::from_secs(60);
/// `keepalive_requests` of an upstream, its default.
const REQUESTS: u32 = 1_000;

/// The idle connections of one nginx to its upstreams. `T` is what a connection leads to.
///
/// Each worker keeps its own, and which worker has a request is the kernel's affair: they are taken for one with room for
/// all.
#[derive(Debug)]
pub struct Kept<T> {
    upstreams: Vec<Cache<T>>,
}

#[derive(Debug)]
struct Cache<T> {
    most: usize,
    /// The one that was used last comes first.
    idle: VecDeque<Idle<T>>,
}

#[derive(Debug)]
struct Idle<T> {
    server: u16,
    to: T,
    since: Nanos,
    served: u32,
}

/// Whether a location's requests go over connections that its upstream keeps: over HTTP/1.1, and without `close` in
/// `Connection`, which nginx says unless it is told otherwise.
pub fn keeps(config: &GatewayConfig, location: &Location, upstream: UpstreamId) -> bool {
    if config.upstream(upstream).keepalive == 0 || !location.http11 {
        return false;
    }
    let said = location.set_headers.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let closes = said.is_none_or(|(_, value)| {
        value.parts.iter().any(|part| matches!(part, platform::Part::Text(text) if text.eq_ignore_ascii_case("close")))
    });
    !closes
}

impl<T> Kept<T> {
    /// Of so many workers, none yet.
    pub fn new(config: &GatewayConfig, workers: u32) -> Self {
        let cache = |upstream: &platform::Upstream| Cache {
            most: upstream.keepalive.saturating_mul(workers.max(1)) as usize,
            idle: VecDeque::new(),
        };
        Self { upstreams: config.upstreams.iter().map(cache).collect() }
    }

    /// An idle connection to a server at `now`, of those that are still `open`, with how many requests it has served.
    pub fn take(&mut self, peer: Peer, now: Nanos, open: impl Fn(&T) -> bool) -> Option<(T, u32)> {
        let idle = &mut self.upstreams.get_mut(usize::from(peer.upstream.0))?.idle;
        idle.retain(|one| now < one.since + TIMEOUT && open(&one.to));
        let at = idle.iter().position(|one| one.server == peer.server)?;
        idle.remove(at).map(|one| (one.to, one.served))
    }

    /// A connection is idle again after its answer, having served so many requests. The one that was idle longest is
    /// closed if there is no room, and this one if it has served enough.
    pub fn give(&mut self, peer: Peer, now: Nanos, to: T, served: u32) {
        let Some(cache) = self.upstreams.get_mut(usize::from(peer.upstream.0)) else { return };
        if cache.most == 0 || served >= REQUESTS {
            return;
        }
        cache.idle.truncate(cache.most - 1);
        cache.idle.push_front(Idle { server: peer.server, to, since: now, served });
    }
}

#[cfg(test)]
mod tests {
    use platform::{Part, Template, Upstream};

    use super::*;

    fn config(keepalive: u32) -> GatewayConfig {
        GatewayConfig { upstreams: vec![Upstream { keepalive, ..Upstream::default() }], ..GatewayConfig::default() }
    }

    const fn peer(server: u16) -> Peer {
        Peer { upstream: UpstreamId(0), server }
    }

    #[test]
    fn the_last_one_goes_first_and_the_oldest_makes_room() {
        let mut kept = Kept::new(&config(2), 1);
        let at = Nanos::from_secs;
        for (secs, to) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            kept.give(peer(0), at(secs), to, 1);
        }
        let mut take = |secs| kept.take(peer(0), at(secs), |_| true).map(|(to, _)| to);
        assert_eq!([take(4), take(4), take(4)], [Some('c'), Some('b'), None]);
    }

    #[test]
    fn servers_times_and_counts_are_told_apart() {
        let mut kept = Kept::new(&config(8), 1);
        kept.give(peer(0), Nanos::ZERO, 'a', 1);
        assert_eq!(kept.take(peer(1), Nanos::ZERO, |_| true), None, "another server");
        assert_eq!(kept.take(peer(0), Nanos::ZERO, |_| false), None, "closed meanwhile");
        kept.give(peer(0), Nanos::ZERO, 'b', 1);
        assert_eq!(kept.take(peer(0), TIMEOUT, |_| true), None, "idle for too long");
        kept.give(peer(0), Nanos::ZERO, 'c', REQUESTS);
        assert_eq!(kept.take(peer(0), Nanos::ZERO, |_| true), None, "it has served enough");
        let mut none = Kept::new(&config(0), 4);
        none.give(peer(0), Nanos::ZERO, 'd', 1);
        assert_eq!(none.take(peer(0), Nanos::ZERO, |_| true), None, "nothing is kept");
    }

    #[test]
    fn http11_and_no_close_are_needed() {
        let text = |text: &str| Template { text: text.into(), parts: vec![Part::Text(text.into())] };
        for (case, http11, connection, most, want) in [
            ("as it should be written", true, Some(Template::default()), 4, true),
            ("nginx closes by default", true, None, 4, false),
            ("close, in words", true, Some(text("close")), 4, false),
            ("HTTP/1.0", false, Some(Template::default()), 4, false),
            ("nothing to keep them in", true, Some(Template::default()), 0, false),
        ] {
            let set_headers = connection.into_iter().map(|value| ("Connection".to_owned(), value)).collect();
            let location = Location { http11, set_headers, ..Location::default() };
            assert_eq!(keeps(&config(most), &location, UpstreamId(0)), want, "{case}");
        }
    }
}
