//! When Redis Sentinel has a new master.
//!
//! Source: Redis 7.2 `src/sentinel.c`. A master that crashes closes its connections, so each sentinel connects again at
//! its next tick and pings at once (`sentinelReconnectInstance`); it holds the master for down when a ping has not been
//! answered for `down-after-milliseconds` (`sentinelCheckSubjectivelyDown`). From then on it asks the others every second
//! (`SENTINEL_ASK_PERIOD`), and with `quorum` of them agreed (`sentinelCheckObjectivelyDown`) it asks for their votes at
//! once and needs a majority (`sentinelGetLeader`). The leader tells a replica to be master and sees that it is one in
//! its next INFO. It asks for that every ten seconds, and every second once the replica has said that it lost its
//! master, or the quorum has agreed (`sentinelSendPeriodicCommands`). Clients are told the new address from then on
//! (`sentinelGetCurrentMasterAddress`). `failover-timeout` bounds the stages after the election.
//!
//! `rehearse calibrate redis` holds these times against real sentinels.

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

/// `SENTINEL_ASK_PERIOD`, and INFO's period during a failover.
const SECOND: Nanos = Nanos::from_secs(1);
/// INFO's period before (`sentinel_info_period`).
const INFO: Nanos = Nanos::from_secs(10);
/// The timer's longest and shortest period: `hz` is drawn from 10 to 19 each time, to spread elections.
const TICK: (u64, u64) = (53, 100);

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
    let mut drawn = 0;
    let mut unit = || {
        drawn += 1;
        seed.draw_nth(drawn, Purpose::Phase).unit()
    };
    let up_to = |most: Nanos, unit: f64| Nanos::new((unit * most.get() as f64) as u64);
    let tick = |unit: f64| Nanos::from_millis(TICK.0) + up_to(Nanos::from_millis(TICK.1 - TICK.0), unit);
    // Each sentinel finds its connection closed at its next tick, and looks at its clock at every tick.
    let longest = Nanos::from_millis(TICK.1);
    let mut down: Vec<Nanos> =
        (0..config.alive).map(|_| config.down_after + up_to(longest, unit()) + up_to(longest, unit())).collect();
    down.sort_unstable();
    let enough = down[usize::from(config.quorum.max(1)) - 1];
    // Who suspects asks at once and then every second, and hears "yes" from those who suspect as well.
    let mut agreed = |own: Nanos| own + SECOND * (enough - own).get().div_ceil(SECOND.get()) + tick(unit());
    let agreed = down.iter().map(|own| agreed(*own)).min()?;
    let elected = agreed + tick(unit()); // votes are asked for at once, and counted at the next tick
    let told = elected + tick(unit()); // the replica is told that it is no replica any more
    // When the replica is asked first after the loss: what it says then has it asked every second.
    let asked = up_to(INFO, unit()).min(agreed + tick(unit()));
    let again = SECOND + tick(unit()); // at the first tick after a second
    let promoted = asked + again * (told - asked).get().div_ceil(again.get());
    (promoted - elected <= config.failover_timeout).then_some(Failover {
        suspected: down[0],
        agreed,
        elected,
        promoted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_master_is_known_between_five_and_seven_seconds_after_the_loss() {
        let all: Vec<_> = (0..500)
            .map(|nth| failover(&SentinelConfig::DOCUMENTED, Seed::new(1), nth).expect("two of three suffice"))
            .collect();
        for f in &all {
            assert!(f.suspected >= Nanos::from_secs(5) && f.suspected <= f.agreed && f.agreed < f.elected, "{f:?}");
            assert!(f.elected < f.promoted && f.promoted <= Nanos::from_secs(7), "{f:?}");
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
