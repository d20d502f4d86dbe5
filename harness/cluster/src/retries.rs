//! How soon a controller's queue hands out a key that was added with a rate limit.
//!
//! Follows `DefaultTypedControllerRateLimiter` (`client-go/util/workqueue/default_rate_limiters.go`, 1.34.4): 5 ms, and
//! for all keys of a controller together a bucket of a hundred that gains ten a second. Left out: the doubling for a key
//! that fails several times in a row, which a Deployment never does here.

use units::Nanos;

/// The first delay of a key.
const FIRST: Nanos = Nanos::from_millis(5);

/// The bucket gains one in this time.
const GAIN: Nanos = Nanos::from_millis(100);

/// How many the bucket holds.
const BURST: u64 = 100;

/// The rate limiter of one controller.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// When the bucket is full again, should nothing be taken before. It may be in debt: who comes then waits longer.
    full_at: Nanos,
}

impl Retries {
    /// When a key that is added now is handed out.
    pub(crate) fn take(&mut self, now: Nanos) -> Nanos {
        self.full_at = self.full_at.max(now) + GAIN;
        (self.full_at - GAIN * BURST).max(now + FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_come_soon_and_then_ten_a_second() {
        let mut retries = Retries::default();
        let millis = Nanos::from_millis;
        let mut now = millis(1_000);
        for _ in 0..100 {
            assert_eq!(retries.take(now), now + FIRST);
            now += FIRST;
        }
        // At 1500 ms five have come back.
        for _ in 0..5 {
            now = retries.take(now);
        }
        assert_eq!(now, millis(1_525));
        assert_eq!(retries.take(now), millis(1_600), "in step with the first one");
        assert_eq!(retries.take(now), millis(1_700), "a debt");
        assert_eq!(retries.take(millis(2_000)), millis(2_005));
        assert_eq!(retries.take(millis(60_000)), millis(60_005), "full again, and no more than that");
    }
}
