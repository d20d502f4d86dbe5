//! All limit zones of one gateway pod.

use std::sync::{Mutex, PoisonError};

use platform::{GatewayConfig, LimitUse};
use units::Nanos;

use crate::{Admission, Excess, Key, Zone};

/// The zones that one nginx shares among its workers. A second gateway pod has its own: the effective limit grows
/// with the replicas.
///
/// One plain mutex per zone: held for a few nanoseconds and never across a wait, so sharding would gain nothing.
#[derive(Debug)]
pub struct Zones {
    zones: Vec<Mutex<Zone>>,
}

impl Zones {
    /// Empty zones as configured.
    pub fn new(config: &GatewayConfig) -> Self {
        Self { zones: config.zones.iter().map(|z| Mutex::new(Zone::new(z.rate, z.size))).collect() }
    }

    /// Offers one request of one key to every limit in force. `now` is read under each zone's lock.
    pub fn offer(&self, limits: &[LimitUse], key: Key, now: impl Fn() -> Nanos) -> Admission {
        self.offer_each(limits, |_| Some(key), now, |_, _| {})
    }

    /// The same where each zone has a key of its own: a limit without a key (an empty one) is skipped. `told` hears the
    /// excess that each zone found.
    ///
    /// As nginx does it: every zone but the last is only peeked at, the first refusal ends it with no zone charged,
    /// and when all agree the peeked ones are charged. The longest delay counts.
    pub fn offer_each(
        &self,
        limits: &[LimitUse],
        key: impl Fn(&LimitUse) -> Option<Key>,
        now: impl Fn() -> Nanos,
        mut told: impl FnMut(&LimitUse, Excess),
    ) -> Admission {
        let mut admission = Admission::Now;
        for (index, limit) in limits.iter().enumerate() {
            let Some(key) = key(limit) else { continue };
            let last = index + 1 == limits.len();
            let (answer, excess) = self.with(limit, |zone| {
                let answer = if last { zone.offer(key, limit, now()) } else { zone.peek(key, limit, now()) };
                (answer, zone.seen())
            });
            told(limit, excess);
            admission = admission.stricter(answer);
            if admission == Admission::Refused {
                return admission;
            }
        }
        // The last one is charged by its offer, unless it was skipped.
        for limit in limits.iter().rev().skip(1) {
            if let Some(key) = key(limit) {
                self.with(limit, |zone| zone.charge(key, now()));
            }
        }
        admission
    }

    /// How full a zone's bucket of `key` was left, if it has one.
    pub fn stored(&self, limit: &LimitUse, key: Key) -> Option<Excess> {
        self.with(limit, |zone| zone.stored(key))
    }

    fn with<T>(&self, limit: &LimitUse, act: impl FnOnce(&mut Zone) -> T) -> T {
        // A bucket is valid after every statement, so a panic elsewhere cannot have left it half written.
        act(&mut self.zones[usize::from(limit.zone.0)].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{LimitMode, LimitZone, Place, ZoneId};
    use units::{Bytes, Rate};

    #[test]
    fn the_first_zone_that_refuses_keeps_all_uncharged() {
        let zone = |name: &str| LimitZone {
            name: name.into(),
            key: platform::LimitKey::Peer,
            rate: Rate::per_second(10),
            size: Bytes::from_mebi(1),
            place: Place::default(),
        };
        let config = GatewayConfig { zones: vec![zone("wide"), zone("narrow")], ..GatewayConfig::default() };
        let limit = |zone, burst| LimitUse { zone: ZoneId(zone), burst, mode: LimitMode::NoDelay };
        let zones = Zones::new(&config);
        let now = || Nanos::from_secs(5);
        // As nginx answered for burst 50 and burst 2: three pass, three do not.
        let both = [limit(0, 50), limit(1, 2)];
        let passed = (0..6).filter(|_| zones.offer(&both, Key(1), now) == Admission::Now).count();
        assert_eq!(passed, 3);
        // The wide zone was charged three times only (its first request was free): 48 more fit.
        let wide = [limit(0, 50)];
        let more = (0..60).filter(|_| zones.offer(&wide, Key(1), now) == Admission::Now).count();
        assert_eq!(more, 48);
    }
}
