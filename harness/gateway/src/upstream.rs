//! Which server of an upstream gets a request, and which are left out for a while.
//!
//! Sources: nginx `src/http/ngx_http_upstream_round_robin.c` and `src/http/modules/ngx_http_upstream_{least_conn,
//! ip_hash,hash,random}_module.c` (1.22). Failures are counted in whole seconds. One server alone is never left out and
//! never retried (`single`): behind the cluster address of a Service failover is the endpoints' affair. The state is one
//! worker's; with `zone` all workers of nginx share it.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use platform::{Balance, GatewayConfig, Upstream, UpstreamId, UpstreamServer};
use units::Nanos;

use crate::hashing::{Ring, crc32};

/// A server of an upstream, by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which upstream.
    pub upstream: UpstreamId,
    /// Index into its servers.
    pub server: u16,
}

/// What a choice may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Servers that this request has tried, a bit each.
    pub tried: u128,
    /// The client, for `ip_hash`.
    pub client: IpAddr,
    /// The value of `hash`'s key.
    pub key: &'a [u8],
    /// For `random`: drawn for this request.
    pub draw: u64,
    /// Now.
    pub now: Nanos,
}

impl Choice<'_> {
    /// A choice for a first try that depends on nothing but the turn.
    pub const fn at(now: Nanos) -> Self {
        Self { tried: 0, client: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), key: &[], draw: 0, now }
    }
}

/// The upstreams of one gateway pod.
#[derive(Debug)]
pub struct Upstreams {
    groups: Vec<Mutex<Group>>,
}

#[derive(Debug)]
struct Group {
    balance: Balance,
    single: bool,
    ring: Ring,
    peers: Vec<State>,
}

#[derive(Debug)]
struct State {
    declared: UpstreamServer,
    current: i64,
    effective: i64,
    conns: u32,
    fails: u32,
    accessed: u64,
    checked: u64,
}

impl State {
    fn weight(&self) -> i64 {
        i64::from(self.declared.weight)
    }

    fn eligible(&self, index: usize, choice: &Choice<'_>) -> bool {
        let declared = &self.declared;
        let tried = index < 128 && choice.tried >> index & 1 == 1;
        let waits = declared.max_fails > 0
            && self.fails >= declared.max_fails
            && choice.now.as_secs().saturating_sub(self.checked) <= declared.fail_timeout.as_secs();
        let full = declared.max_conns > 0 && self.conns >= declared.max_conns;
        !(tried || declared.down || waits || full)
    }

    /// Chosen: one request in each `fail_timeout` tries whether it is back.
    fn take(&mut self, now: Nanos) {
        if now.as_secs().saturating_sub(self.checked) > self.declared.fail_timeout.as_secs() {
            self.checked = now.as_secs();
        }
        self.conns += 1;
    }
}

/// Tries of `ip_hash` and `hash` before they take turns (`ngx_http_upstream_ip_hash_module.c`).
const HASH_TRIES: u32 = 20;

impl Upstreams {
    /// Upstreams as configured.
    pub fn new(config: &GatewayConfig) -> Self {
        Self { groups: config.upstreams.iter().map(|upstream| Mutex::new(Group::new(upstream))).collect() }
    }

    /// The server for a request; `None` if none is live. Whoever was picked has to be [freed](Self::free).
    pub fn pick(&self, upstream: UpstreamId, choice: &Choice<'_>) -> Option<Peer> {
        let server = self.with(upstream, |group| group.pick(choice))?;
        Some(Peer { upstream, server: server as u16 })
    }

    /// A try has ended (`ngx_http_upstream_free_round_robin_peer`).
    pub fn free(&self, peer: Peer, failed: bool, now: Nanos) {
        self.with(peer.upstream, |group| group.free(usize::from(peer.server), failed, now));
    }

    /// How many tries a request has: one for each server that is not down.
    pub fn tries(&self, upstream: UpstreamId) -> u32 {
        self.with(upstream, |group| group.peers.iter().filter(|peer| !peer.declared.down).count() as u32)
    }

    /// Requests in progress at a server.
    pub fn in_progress(&self, peer: Peer) -> u32 {
        self.with(peer.upstream, |group| group.peers[usize::from(peer.server)].conns)
    }

    fn with<T>(&self, upstream: UpstreamId, act: impl FnOnce(&mut Group) -> T) -> T {
        act(&mut self.groups[usize::from(upstream.0)].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Group {
    fn new(upstream: &Upstream) -> Self {
        let state = |declared: &UpstreamServer| State {
            effective: i64::from(declared.weight),
            declared: declared.clone(),
            current: 0,
            conns: 0,
            fails: 0,
            accessed: 0,
            checked: 0,
        };
        let consistent = matches!(upstream.balance, Balance::Hash { consistent: true, .. });
        Self {
            balance: upstream.balance.clone(),
            single: upstream.servers.len() == 1,
            ring: if consistent { Ring::new(&upstream.servers) } else { Ring::default() },
            peers: upstream.servers.iter().map(state).collect(),
        }
    }

    fn pick(&mut self, choice: &Choice<'_>) -> Option<usize> {
        let found = if self.single {
            let peer = &self.peers[0];
            let full = peer.declared.max_conns > 0 && peer.conns >= peer.declared.max_conns;
            (!peer.declared.down && !full).then_some(0)
        } else {
            let by_hash = match &self.balance {
                Balance::RoundRobin | Balance::LeastConn => None,
                Balance::IpHash => self.ip_hash(choice),
                Balance::Hash { consistent: false, .. } => self.hash(choice),
                Balance::Hash { consistent: true, .. } => self.consistent(choice),
                Balance::Random { two } => self.random(choice, *two),
            };
            let least = self.balance == Balance::LeastConn;
            by_hash.or_else(|| self.turn(choice, false, least)).or_else(|| self.turn(choice, true, least))
        };
        self.peers[found?].take(choice.now);
        found
    }

    /// Smooth weighted round robin among the primary or the backup servers; with `least`, among those with the fewest
    /// connections for their weight.
    fn turn(&mut self, choice: &Choice<'_>, backup: bool, least: bool) -> Option<usize> {
        let eligible =
            |(index, peer): &(usize, &State)| peer.declared.backup == backup && peer.eligible(*index, choice);
        let peers = || self.peers.iter().enumerate().filter(eligible);
        let mut among: Option<(u64, u64)> = None;
        if least {
            // connections ÷ weight, compared without dividing
            let load = |(_, peer): (usize, &State)| (u64::from(peer.conns), u64::from(peer.declared.weight));
            let fewer = |a: (u64, u64), b: (u64, u64)| if b.0 * a.1 < a.0 * b.1 { b } else { a };
            let fewest = peers().map(load).reduce(fewer)?;
            let ties = peers().filter(|peer| load(*peer).0 * fewest.1 == fewest.0 * load(*peer).1);
            // A lone one keeps its turn as it was.
            let mut ties = ties.map(|(index, _)| index);
            let first = ties.next()?;
            if ties.next().is_none() {
                return Some(first);
            }
            among = Some(fewest);
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..self.peers.len() {
            let peer = &self.peers[index];
            let load = (u64::from(peer.conns), u64::from(peer.declared.weight));
            let ties = among.is_none_or(|fewest| load.0 * fewest.1 == fewest.0 * load.1);
            if !eligible(&(index, peer)) || !ties {
                continue;
            }
            let peer = &mut self.peers[index];
            peer.current += peer.effective;
            total += peer.effective;
            if peer.effective < peer.weight() {
                peer.effective += 1;
            }
            if best.is_none_or(|best| self.peers[index].current > self.peers[best].current) {
                best = Some(index);
            }
        }
        self.peers[best?].current -= total;
        best
    }

    /// The server that a number falls to, by weight.
    fn by_weight(&self, number: u64) -> usize {
        let total: u64 = self.peers.iter().map(|peer| u64::from(peer.declared.weight)).sum();
        let mut left = number % total.max(1);
        for (index, peer) in self.peers.iter().enumerate() {
            let weight = u64::from(peer.declared.weight);
            if left < weight {
                return index;
            }
            left -= weight;
        }
        0
    }

    fn ip_hash(&self, choice: &Choice<'_>) -> Option<usize> {
        let bytes = match choice.client {
            IpAddr::V4(address) => address.octets()[..3].to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let mut hash = 89_u64;
        for _ in 0..=HASH_TRIES {
            hash = bytes.iter().fold(hash, |hash, byte| (hash * 113 + u64::from(*byte)) % 6_271);
            let index = self.by_weight(hash);
            if self.peers[index].eligible(index, choice) {
                return Some(index);
            }
        }
        None
    }

    /// As the memcached client of Perl has it.
    fn hash(&self, choice: &Choice<'_>) -> Option<usize> {
        if choice.key.is_empty() {
            return None;
        }
        let mut sum = 0_u64;
        for again in 0..=HASH_TRIES {
            let prefix = if again == 0 { String::new() } else { again.to_string() };
            let crc = crc32(&[prefix.as_bytes(), choice.key]);
            sum += u64::from(crc >> 16 & 0x7fff);
            let index = self.by_weight(sum);
            if self.peers[index].eligible(index, choice) {
                return Some(index);
            }
        }
        None
    }

    fn consistent(&self, choice: &Choice<'_>) -> Option<usize> {
        if choice.key.is_empty() {
            return None;
        }
        let points = self.ring.from(crc32(&[choice.key]));
        points.take(HASH_TRIES as usize + 1).find(|index| self.peers[*index].eligible(*index, choice))
    }

    fn random(&self, choice: &Choice<'_>, two: bool) -> Option<usize> {
        // A different draw for each try, from the one of the request.
        let draw = |nth: u64| {
            let mixed = (choice.draw ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 31)
        };
        let mut first: Option<usize> = None;
        for nth in 0..=u64::from(HASH_TRIES) {
            let index = self.by_weight(draw(nth));
            if !self.peers[index].eligible(index, choice) || first == Some(index) {
                continue;
            }
            match first {
                None if two => first = Some(index),
                None => return Some(index),
                Some(other) => {
                    let (a, b) = (&self.peers[other], &self.peers[index]);
                    let fewer = u64::from(b.conns) * u64::from(a.declared.weight)
                        < u64::from(a.conns) * u64::from(b.declared.weight);
                    return Some(if fewer { index } else { other });
                }
            }
        }
        first
    }

    fn free(&mut self, index: usize, failed: bool, now: Nanos) {
        let single = self.single;
        let peer = &mut self.peers[index];
        peer.conns = peer.conns.saturating_sub(1);
        if single {
            peer.fails = 0;
        } else if failed {
            peer.fails += 1;
            (peer.accessed, peer.checked) = (now.as_secs(), now.as_secs());
            if let Some(share) = peer.declared.weight.checked_div(peer.declared.max_fails) {
                peer.effective = (peer.effective - i64::from(share)).max(0);
            }
        } else if peer.accessed < peer.checked {
            peer.fails = 0;
        }
    }
}

#[cfg(test)]
mod tests;
