//! The wall clock as Kubernetes writes it, at instants of the run's clock.
//!
//! API times are labels here: what is decided follows the instant at which something was heard. The one clock is read
//! once, so that both run alike.

use std::time::SystemTime;

use clock::Clock;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use units::Nanos;

/// Which time of day the run's epoch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    epoch: Timestamp,
}

impl Wall {
    #[expect(clippy::disallowed_methods, reason = "Kubernetes compares what we write with its own wall clock")]
    pub(crate) fn of(clock: &Clock) -> Self {
        let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { epoch: now - Self::since(clock.now()) }
    }

    /// The same time of day for a clock whose epoch is so much later.
    pub(crate) fn later(&self, offset: Nanos) -> Self {
        Self { epoch: self.epoch + Self::since(offset) }
    }

    fn since(at: Nanos) -> SignedDuration {
        SignedDuration::from_nanos(at.get().cast_signed())
    }

    /// RFC 3339 in whole seconds, cut off: `metav1.Time`.
    pub(crate) fn time(&self, at: Nanos) -> String {
        let instant = self.epoch + Self::since(at);
        Timestamp::from_second(instant.as_second()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
    }

    /// RFC 3339 in microseconds: `metav1.MicroTime`.
    pub(crate) fn micro_time(&self, at: Nanos) -> String {
        let instant = self.epoch + Self::since(at);
        format!("{instant:.6}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        let wall = Wall { epoch: "2026-11-30T12:00:00.75Z".parse().unwrap() };
        assert_eq!(wall.time(Nanos::from_millis(200)), "2026-11-30T12:00:00Z");
        assert_eq!(wall.time(Nanos::from_millis(250)), "2026-11-30T12:00:01Z");
        assert_eq!(wall.micro_time(Nanos::from_millis(250)), "2026-11-30T12:00:01.000000Z");
    }
}
