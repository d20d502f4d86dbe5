//! When Redis Sentinel has a new master.
//!
//! Source: Redis 7.2 `src/sentinel.c`. Each sentinel pings the master every second and holds it for down when a ping
//! has not been answered for `down-after-milliseconds` (`sentinelCheckSubjectivelyDown`); from then on it asks the
//! others every second (`SENTINEL_ASK_PERIOD`), and with `quorum` of them agreed (`sentinelCheckObjectivelyDown`) it
//! asks for their votes and needs a majority (`sentinelGetLeader`). The leader tells a replica to be master and sees
//! that it is one in its next INFO, which it then asks for every second. Clients are told the new address from then
//! on (`sentinelGetCurrentMasterAddress`). `failover-timeout` bounds the stages after the election.

use units::{Nanos, Purpose, Seed};

/// Sentinels and what they were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentinelConfig {
    /// `down-after-milliseconds`.
    pub down_after: Nanos,
    /// `failover-timeout`.
    pub failover_timeout: Nanos,
    /// How many must agree that the master is down.
    pub quorum: u16,
    /// How many are known.
    pub sentinels: u16,
    /// How many of them live.
    pub alive: u16,
    /// Replicas that can be promoted.
    pub replicas: u16,
}

impl SentinelConfig {
    /// The platform's: down after 5 s, failover timeout 10 s, two of three. One replica is assumed.
    pub const DOCUMENTED: Self = Self {
        down_after: Nanos::from_secs(5),
        failover_timeout: Nanos::from_secs(10),
        quorum: 2,
        sentinels: 3,
        alive: 3,
        replicas: 1,
    };
}

/// `SENTINEL_PING_PERIOD`, `SENTINEL_ASK_PERIOD`, and INFO's period during a failover.
const SECOND: Nanos = Nanos::from_secs(1);
/// The timer's period (`hz` 10, which also varies to spread elections).
const TICK: Nanos = Nanos::from_millis(100);

/// A failover, as times after the loss of the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The first sentinel holds the master for down (`+sdown`).
    pub suspected: Nanos,
    /// One of them has the quorum (`+odown`).
    pub agreed: Nanos,
    /// It has been elected (`+elected-leader`).
    pub elected: Nanos,
    /// Clients are told the new master (`+promoted-slave`).
    pub promoted: Nanos,
}

/// The failover after the `nth` loss of a master; `None`: there is none, because too few sentinels live, no replica
/// can be promoted, or the promotion takes longer than it may.
pub fn failover(config: &SentinelConfig, seed: Seed, nth: u64) -> Option<Failover> {
    let majority = config.sentinels / 2 + 1;
    if config.alive < config.quorum.max(majority) || config.replicas == 0 {
        return None;
    }
    let seed = Seed::new(seed.child("sentinel").get() ^ nth);
    let phase = |index: u64| Nanos::new((seed.draw_nth(index, Purpose::Phase).unit() * SECOND.get() as f64) as u64);
    // The first ping that goes unanswered leaves up to a second after the loss, at each sentinel on its own; the timer
    // that looks at it ticks ten times a second.
    let mut down: Vec<Nanos> =
        (0..u64::from(config.alive)).map(|index| tick(phase(index) + config.down_after)).collect();
    down.sort_unstable();
    let enough = down[usize::from(config.quorum.max(1)) - 1];
    // Who suspects asks at once and then every second, and hears "yes" from those who suspect as well.
    let agreed = |own: Nanos| {
        let late = enough - own;
        own + SECOND * late.get().div_ceil(SECOND.get()) + TICK
    };
    let agreed = down.iter().map(|own| agreed(*own)).min()?;
    let elected = agreed + TICK * 2; // votes are asked for at once, and counted at the next tick
    let promoted = elected + TICK + phase(u64::from(u16::MAX));
    (promoted - elected <= config.failover_timeout).then_some(Failover {
        suspected: down[0],
        agreed,
        elected,
        promoted,
    })
}

fn tick(at: Nanos) -> Nanos {
    TICK * at.get().div_ceil(TICK.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_master_is_known_between_five_and_nine_seconds_after_the_loss() {
        let all: Vec<_> = (0..500)
            .map(|nth| failover(&SentinelConfig::DOCUMENTED, Seed::new(1), nth).expect("two of three suffice"))
            .collect();
        for f in &all {
            assert!(f.suspected >= Nanos::from_secs(5) && f.suspected <= f.agreed && f.agreed < f.elected, "{f:?}");
            assert!(f.elected < f.promoted && f.promoted <= Nanos::from_secs(9), "{f:?}");
        }
        let spread = all.iter().map(|f| f.promoted).max().unwrap() - all.iter().map(|f| f.promoted).min().unwrap();
        assert!(spread > SECOND, "the phases of the pings and of INFO are seen: {spread:?}");
    }

    #[test]
    fn there_is_none_without_quorum_majority_or_replica() {
        let own = SentinelConfig::DOCUMENTED;
        for (case, config, want) in [
            ("one sentinel of three has gone", SentinelConfig { alive: 2, ..own }, true),
            ("two have", SentinelConfig { alive: 1, ..own }, false),
            ("a quorum of one still needs a majority", SentinelConfig { alive: 1, quorum: 1, ..own }, false),
            ("a quorum of three needs all", SentinelConfig { alive: 2, quorum: 3, ..own }, false),
            ("no replica", SentinelConfig { replicas: 0, ..own }, false),
            ("no time", SentinelConfig { failover_timeout: Nanos::from_millis(50), ..own }, false),
        ] {
            assert_eq!(failover(&config, Seed::new(3), 0).is_some(), want, "{case}");
        }
    }
}
