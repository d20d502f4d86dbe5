//! How far the clock of a driver is from ours, when it runs on another machine.
//!
//! Owns the estimate: what another clock says lies between the question and its answer (Cristian 1989), so the quickest
//! answer tells most. Readings are of `CLOCK_MONOTONIC`.

use units::Nanos;

/// How far a clock is ahead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// By so many nanoseconds; behind, if negative.
    pub ahead_ns: i64,
    /// As far as that is known: half of the time that the answer took.
    pub within: Nanos,
}

impl Apart {
    /// From an answer: our clock when it was asked for and when it came, and theirs in between.
    pub(crate) const fn of(asked: u64, theirs: u64, heard: u64) -> Self {
        let half = heard.saturating_sub(asked) / 2;
        Self { ahead_ns: theirs.cast_signed() - (asked + half).cast_signed(), within: Nanos::new(half) }
    }

    /// The one that is known better.
    pub(crate) fn or(self, other: Option<Self>) -> Self {
        other.filter(|other| other.within < self.within).unwrap_or(self)
    }

    /// What their clock says when ours says this.
    pub(crate) const fn theirs(&self, ours: u64) -> u64 {
        ours.saturating_add_signed(self.ahead_ns)
    }
}

/// How well the clocks of all drivers are known, at the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// At the start.
    pub within: Nanos,
    /// How much further apart they were at the end, as far as that can be told.
    pub drift: Nanos,
}

/// What is known of one driver's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) first: Apart,
    last: Option<Apart>,
    /// The last question, and our clock when it was asked.
    asked: (u64, u64),
}

impl Watched {
    pub(crate) const fn new(first: Apart) -> Self {
        Self { first, last: None, asked: (0, 0) }
    }

    /// A question is asked now: its number.
    pub(crate) const fn ask(&mut self, now: u64) -> u64 {
        self.asked = (self.asked.0 + 1, now);
        self.asked.0
    }

    /// Its answer. One to an earlier question says nothing any more.
    pub(crate) fn heard(&mut self, question: u64, theirs: u64, now: u64) {
        let (id, asked) = self.asked;
        if id == question {
            // As well known as the start, or the drift would be made of the way alone.
            let this = Apart::of(asked, theirs, now);
            self.last = Some(this.or(self.last.filter(|last| last.within < this.within / 2)));
        }
    }

    pub(crate) fn told(&self) -> Clocks {
        let moved = self.last.map_or(0, |last| (last.ahead_ns - self.first.ahead_ns).unsigned_abs());
        let known = self.first.within + self.last.map_or(Nanos::ZERO, |last| last.within);
        Clocks { within: self.first.within, drift: Nanos::new(moved.saturating_sub(known.get())) }
    }
}

impl Clocks {
    pub(crate) fn worst(self, other: Self) -> Self {
        Self { within: self.within.max(other.within), drift: self.drift.max(other.drift) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_by_its_quickest_answer() {
        let slow = Apart::of(1_000, 5_600, 2_200);
        assert_eq!(slow, Apart { ahead_ns: 4_000, within: Nanos::new(600) });
        let quick = Apart::of(3_000, 7_050, 3_100);
        assert_eq!(quick, Apart { ahead_ns: 4_000, within: Nanos::new(50) });
        assert_eq!(slow.or(Some(quick)), quick);
        assert_eq!(quick.or(Some(slow)), quick);
        assert_eq!(quick.theirs(10_000), 14_000);
        assert_eq!(Apart::of(9_000, 1_000, 9_000).theirs(9_500), 1_500, "a machine that was booted later");
    }

    #[test]
    fn drift_is_what_the_way_does_not_explain() {
        let mut watched = Watched::new(Apart::of(0, 1_000, 100));
        assert_eq!(watched.told(), Clocks { within: Nanos::new(50), drift: Nanos::ZERO });
        let question = watched.ask(10_000);
        watched.heard(question + 1, 99, 10_100);
        assert_eq!(watched.told().drift, Nanos::ZERO, "no answer to that question");
        watched.heard(question, 11_990, 10_100);
        // 11,990 − 10,050 is 990 more than 1,000 − 50; each is known within 50.
        assert_eq!(watched.told().drift, Nanos::new(890));
    }
}
