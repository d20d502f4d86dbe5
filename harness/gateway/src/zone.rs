//! `limit_req`: one zone's leaky buckets, in nginx's integers.
//!
//! Source: nginx `src/http/modules/ngx_http_limit_req_module.c` (1.22 to 1.31 agree). Requests count in thousandths,
//! time in whole milliseconds.

use std::net::IpAddr;

use platform::{LimitMode, LimitUse};
use rustc_hash::FxHashMap;
use units::{Bytes, Nanos, Rate};

/// What shares a bucket: the client's address, or whatever the zone's key says.
///
/// An IPv4 address is itself; everything else is a hash of 63 bits, so that a key takes no memory of its own: among a
/// million keys two are taken for one once in twenty million times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

impl Key {
    /// An IPv4 client.
    pub const fn v4(address: u32) -> Self {
        Self(address as u64)
    }

    /// A client.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address.to_bits()),
            IpAddr::V6(address) => Self::of_bytes(&address.octets()),
        }
    }

    /// Any other key.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // Mixed, as the table that holds keys hashes them again.
        let folded = units::fnv1a(bytes.iter().copied());
        let mixed = (folded ^ (folded >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self((mixed ^ (mixed >> 33)) | 1 << 63)
    }
}

/// How far a bucket is filled, in thousandths of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excess(pub i64);

/// What a zone says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It passes now.
    Now,
    /// It passes after this long.
    After(Nanos),
    /// It is refused; the bucket stays as it was.
    Refused,
}

impl Admission {
    /// Of two zones' answers, the one that holds a request longer.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::After(a), Self::After(b)) => Self::After(a.max(b)),
            (Self::Now, later) | (later, Self::Now) => later,
        }
    }
}

/// One `limit_req_zone` of one gateway pod.
#[derive(Clone, Debug)]
pub struct Zone {
    milli_per_second: i64,
    capacity: usize,
    buckets: Vec<Bucket>, // a slab; `newest`..`oldest` is nginx's LRU queue through it
    index: FxHashMap<Key, u32>,
    newest: u32,
    oldest: u32,
    free: Vec<u32>,
    seen: Excess,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    key: Key,
    excess: Excess,
    last_ms: i64,
    newer: u32,
    older: u32,
}

const NONE: u32 = u32::MAX;
/// A page of the slab that the states live in (`src/core/ngx_slab.c`, 64-bit platforms with pages of 4 KiB).
const PAGE: u64 = 4_096;
/// States of `$binary_remote_addr` in a page: each takes 128 bytes.
const STATES_PER_PAGE: u64 = 32;
/// What describes a page.
const PAGE_ENTRY: u64 = 24;
/// The slab's own head: the pool, nine slots and their statistics.
const SLAB_HEAD: u64 = 700;
/// Idle states may go after this long.
const IDLE_MS: i64 = 60_000;
/// Long enough for any bucket to drain.
const LONG_AGO_MS: i64 = 1 << 40;

impl Zone {
    /// A zone with empty buckets.
    pub fn new(rate: Rate, size: Bytes) -> Self {
        Self {
            milli_per_second: rate.milli() as i64,
            capacity: capacity(size.get()).max(8) as usize,
            buckets: Vec::new(),
            index: FxHashMap::default(),
            newest: NONE,
            oldest: NONE,
            free: Vec::new(),
            seen: Excess(0),
        }
    }

    /// Offers one request of `key` at `now` and charges it if it passes.
    pub fn offer(&mut self, key: Key, limit: &LimitUse, now: Nanos) -> Admission {
        let now_ms = now.as_millis() as i64;
        let Some(&at) = self.index.get(&key) else {
            // A new key starts empty: its first request is free, so burst + 1 pass at once.
            self.seen = Excess(0);
            self.insert(key, now_ms);
            return Admission::Now;
        };
        self.touch(at);
        let excess = self.excess(at, now_ms);
        if excess.0 > i64::from(limit.burst) * 1_000 {
            self.seen = excess;
            return Admission::Refused; // and nothing is stored
        }
        self.charge_at(at, excess, now_ms);
        self.seen = excess;
        self.delay(excess, limit.mode)
    }

    /// Whether `key` would pass, without charging it: what nginx asks every zone but the last.
    pub fn peek(&mut self, key: Key, limit: &LimitUse, now: Nanos) -> Admission {
        let now_ms = now.as_millis() as i64;
        let Some(&at) = self.index.get(&key) else {
            // As if last seen long ago: charging it afterwards still finds the first request free.
            self.seen = Excess(0);
            self.insert(key, now_ms - LONG_AGO_MS);
            return Admission::Now;
        };
        self.touch(at);
        let excess = self.excess(at, now_ms);
        self.seen = excess;
        if excess.0 > i64::from(limit.burst) * 1_000 {
            return Admission::Refused;
        }
        self.delay(excess, limit.mode)
    }

    /// Charges a peeked request, once every zone let it pass (`ngx_http_limit_req_account`).
    pub fn charge(&mut self, key: Key, now: Nanos) {
        let now_ms = now.as_millis() as i64;
        if let Some(&at) = self.index.get(&key) {
            let excess = self.excess(at, now_ms);
            self.charge_at(at, excess, now_ms);
        }
    }

    /// The excess that the last offer or peek found, as nginx logs it: also that of a refusal, which is not stored.
    pub const fn seen(&self) -> Excess {
        self.seen
    }

    /// How full the bucket of `key` was left, if it has one.
    pub fn stored(&self, key: Key) -> Option<Excess> {
        self.index.get(&key).map(|&at| self.buckets[at as usize].excess)
    }

    /// How many keys have a bucket.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no key has a bucket.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn excess(&self, at: u32, now_ms: i64) -> Excess {
        let bucket = &self.buckets[at as usize];
        let passed = match now_ms - bucket.last_ms {
            back if back < -60_000 => 1, // the clock jumped back
            back if back < 0 => 0,
            ms => ms,
        };
        Excess((bucket.excess.0 - self.milli_per_second * passed / 1_000 + 1_000).max(0))
    }

    fn charge_at(&mut self, at: u32, excess: Excess, now_ms: i64) {
        let bucket = &mut self.buckets[at as usize];
        bucket.excess = excess;
        if now_ms != bucket.last_ms {
            bucket.last_ms = now_ms;
        }
    }

    fn delay(&self, excess: Excess, mode: LimitMode) -> Admission {
        let threshold = match mode {
            LimitMode::NoDelay => return Admission::Now,
            LimitMode::Delay(requests) => i64::from(requests) * 1_000,
        };
        // Less than a millisecond is no delay at all.
        match (excess.0 - threshold) * 1_000 / self.milli_per_second {
            ..=0 => Admission::Now,
            ms => Admission::After(Nanos::from_millis(ms as u64)),
        }
    }

    fn insert(&mut self, key: Key, now_ms: i64) {
        // nginx frees up to two states that have been idle for a minute and are empty, then, if the zone is still
        // full, the oldest one by force.
        for _ in 0..2 {
            let Some(oldest) = self.buckets.get(self.oldest as usize) else { break };
            let idle = now_ms - oldest.last_ms;
            if idle < IDLE_MS || oldest.excess.0 - self.milli_per_second * idle / 1_000 > 0 {
                break;
            }
            self.evict_oldest();
        }
        if self.index.len() >= self.capacity {
            self.evict_oldest();
        }
        let bucket = Bucket { key, excess: Excess(0), last_ms: now_ms, newer: NONE, older: NONE };
        let at = if let Some(at) = self.free.pop() {
            self.buckets[at as usize] = bucket;
            at
        } else {
            self.buckets.push(bucket);
            (self.buckets.len() - 1) as u32
        };
        self.index.insert(key, at);
        self.link_newest(at);
    }

    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn evict_oldest(&mut self) {
        let at = self.oldest;
        if at != NONE {
            self.unlink(at);
            self.index.remove(&self.buckets[at as usize].key);
            self.free.push(at);
        }
    }

    fn link_newest(&mut self, at: u32) {
        self.buckets[at as usize].newer = NONE;
        self.buckets[at as usize].older = self.newest;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.buckets[newest as usize].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Bucket { newer, older, .. } = self.buckets[at as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.buckets[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.buckets[older as usize].newer = newer,
        }
    }
}

/// How many states fit into a zone of so many bytes.
fn capacity(size: u64) -> u64 {
    let described = size.saturating_sub(SLAB_HEAD) / (PAGE + PAGE_ENTRY);
    let head = (SLAB_HEAD + described * PAGE_ENTRY).div_ceil(PAGE);
    let pages = described.min((size / PAGE).saturating_sub(head));
    // One page holds the zone's name for the log, and the tree's root takes the room of one state.
    (pages.saturating_sub(1) * STATES_PER_PAGE).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::ZoneId;

    #[test]
    fn a_zone_holds_as_many_states_as_nginx_s() {
        for (size, want) in [(32 << 10, 191), (60 << 10, 415), (1 << 20, 8_095), (10 << 20, 81_375)] {
            assert_eq!(capacity(size), want, "{size} bytes");
        }
    }

    const CLIENT: Key = Key(7);

    fn zone(rate: &str) -> Zone {
        Zone::new(rate.parse().unwrap(), Bytes::from_mebi(10))
    }

    fn limit(burst: u32, mode: LimitMode) -> LimitUse {
        LimitUse { zone: ZoneId(0), burst, mode }
    }

    /// Answers to `n` requests that come `gap` apart.
    fn trace(rate: &str, limit: &LimitUse, n: u64, gap: Nanos) -> Vec<Admission> {
        let mut zone = zone(rate);
        let start = Nanos::from_secs(100);
        (0..n).map(|i| zone.offer(CLIENT, limit, start + gap * i)).collect()
    }

    fn tally(answers: &[Admission]) -> (usize, usize, usize) {
        let count = |f: fn(&Admission) -> bool| answers.iter().filter(|a| f(a)).count();
        (
            count(|a| *a == Admission::Now),
            count(|a| matches!(a, Admission::After(_))),
            count(|a| *a == Admission::Refused),
        )
    }

    /// The rows that nginx 1.22.1 gave when it was asked.
    #[test]
    fn agrees_with_nginx_on_bursts() {
        for (case, mode, want) in [
            ("nodelay admits burst + 1 at once", LimitMode::NoDelay, (21, 0, 9)),
            ("without a word all but the first wait", LimitMode::Delay(0), (1, 20, 9)),
            ("delay=8 lets nine pass, then they wait", LimitMode::Delay(8), (9, 12, 9)),
        ] {
            let answers = trace("10r/s", &limit(20, mode), 30, Nanos::ZERO);
            assert_eq!(tally(&answers), want, "{case}");
        }
        let delayed = trace("10r/s", &limit(20, LimitMode::Delay(8)), 30, Nanos::ZERO);
        assert_eq!(delayed[9], Admission::After(Nanos::from_millis(100)));
        assert_eq!(delayed[20], Admission::After(Nanos::from_millis(1_200)));
    }

    #[test]
    fn a_delay_of_less_than_a_millisecond_is_none() {
        let answers = trace("300r/s", &limit(9, LimitMode::Delay(0)), 3, Nanos::from_millis(3));
        // 0.1, then 0.2 requests too many at 0.3 a millisecond.
        assert_eq!(answers, [Admission::Now; 3]);
    }

    #[test]
    fn agrees_with_nginx_on_spacing_without_a_burst() {
        let limit = limit(0, LimitMode::NoDelay);
        assert_eq!(tally(&trace("10r/s", &limit, 10, Nanos::from_millis(99))), (5, 0, 5));
        assert_eq!(tally(&trace("10r/s", &limit, 10, Nanos::from_millis(100))), (10, 0, 0));
    }

    #[test]
    fn a_clock_that_reads_a_tick_back_drains_nothing() {
        let mut zone = zone("10r/s");
        let limit = limit(1, LimitMode::NoDelay);
        let at = Nanos::from_millis;
        assert_eq!(zone.offer(CLIENT, &limit, at(1_000)), Admission::Now);
        assert_eq!(zone.offer(CLIENT, &limit, at(999)), Admission::Now);
        assert_eq!(zone.offer(CLIENT, &limit, at(998)), Admission::Refused);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut zone = Zone::new(Rate::per_second(1), Bytes::new(1_024));
        let limit = limit(0, LimitMode::NoDelay);
        for key in 0..9 {
            assert_eq!(zone.offer(Key(key), &limit, Nanos::from_millis(key)), Admission::Now);
        }
        assert_eq!(zone.len(), 8);
        assert_eq!(zone.offer(Key(0), &limit, Nanos::from_millis(10)), Admission::Now, "forgotten, so free again");
        assert_eq!(zone.offer(Key(8), &limit, Nanos::from_millis(11)), Admission::Refused, "remembered");
    }

    proptest::proptest! {
        /// Physics: in any window at most burst + 1 + rate × time pass.
        #[test]
        fn admits_no_more_than_burst_and_rate_allow(
            gaps in proptest::collection::vec(0_u64..400, 1..200), burst in 0_u32..30, rate in 1_u64..50,
        ) {
            let mut zone = Zone::new(Rate::per_second(rate), Bytes::from_mebi(1));
            let limit = limit(burst, LimitMode::NoDelay);
            let mut now = 0;
            let mut passed = 0_u64;
            for gap in gaps {
                now += gap;
                passed += u64::from(zone.offer(CLIENT, &limit, Nanos::from_millis(now)) == Admission::Now);
                proptest::prop_assert!(passed * 1_000 <= (u64::from(burst) + 1) * 1_000 + rate * now);
            }
        }
    }
}
