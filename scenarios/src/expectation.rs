//! What a scenario provokes on purpose, and what must be true of it. Whoever plays the scenario evaluates it.

use platform::WorkloadId;
use record::StepId;
use serde::{Deserialize, Serialize};
use units::Nanos;

/// One expectation, bound to phases, faults, workloads and flows.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As the file states it, on one line: for reports.
    pub told: String,
    /// What must be true.
    pub kind: ExpectationKind,
}

/// What must be true.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectationKind {
    /// So many of the requests that were due in a stretch of time ended so.
    Requests {
        /// Which ending is counted.
        ended: Ending,
        /// Which requests.
        of: Requests,
        /// When they were due.
        due: Stretch,
        /// How many.
        is: Bounds,
    },
    /// A workload has at least so many ready replicas, soon enough.
    Replicas {
        /// Which workload.
        workload: WorkloadId,
        /// How many, at least 1.
        reaches: u32,
        /// Counted from when, after the start of load.
        from: Nanos,
        /// How soon after that.
        within: Nanos,
    },
    /// After a fault, requests succeed again and go on doing so: from some second on that is at most `within` after
    /// the fault's beginning, no request fails until the end of load.
    Recovered {
        /// Which requests.
        of: Requests,
        /// Index into [`Plan::faults`](crate::Plan::faults).
        after: usize,
        /// How soon.
        within: Nanos,
    },
}

/// How a request can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It succeeded.
    Answered,
    /// A rate limiter refused it.
    Rejected,
    /// It did not succeed, for any reason but a rate limiter.
    Failed,
}

/// Which requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requests {
    /// All.
    All,
    /// Those of a flow.
    Flow(String),
    /// Those of a step.
    Step(StepId),
}

/// From `start` up to and without `end`, counted from the start of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its beginning.
    pub start: Nanos,
    /// Its end.
    pub end: Nanos,
}

/// From where to where, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bounds {
    /// A number of requests.
    Count {
        /// Not fewer.
        min: u64,
        /// Not more.
        max: u64,
    },
    /// A share of the requests, 0 to 1.
    Share {
        /// Not less.
        min: f64,
        /// Not more.
        max: f64,
    },
}

impl Bounds {
    /// Whether `count` of `all` keeps them. Of no requests at all no share keeps anything: nothing was seen.
    pub fn hold(self, count: u64, all: u64) -> bool {
        match self {
            Self::Count { min, max } => (min..=max).contains(&count),
            Self::Share { min, max } => all > 0 && (min..=max).contains(&(count as f64 / all as f64)),
        }
    }
}

/// When a run is given up early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// Which ending is watched.
    pub ended: Ending,
    /// Above which share of a second's requests, 0 to 1.
    pub above: f64,
    /// For how many seconds in a row, at least 1.
    pub seconds: u32,
}

/// As a reason: `more than 50 % of requests failed for 10 s`.
impl std::fmt::Display for Abort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.ended {
            Ending::Answered => "were answered",
            Ending::Rejected => "were rejected",
            Ending::Failed => "failed",
        };
        write!(f, "more than {} % of requests {word} for {} s in a row", self.above * 100.0, self.seconds)
    }
}

/// Watches the seconds of a run for its abort rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watchdog {
    rule: Abort,
    bad: u32,
}

impl Watchdog {
    /// Nothing has been seen yet.
    pub const fn new(rule: Abort) -> Self {
        Self { rule, bad: 0 }
    }

    /// A second has passed in which `all` requests ended, `count` of them in the watched way. Returns whether the run
    /// is to be given up. A second without requests says nothing and changes nothing.
    pub fn second(&mut self, count: u64, all: u64) -> bool {
        if all > 0 {
            self.bad = if count as f64 > self.rule.above * all as f64 { self.bad + 1 } else { 0 };
        }
        self.bad >= self.rule.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_their_ends() {
        let share = Bounds::Share { min: 0.05, max: 0.6 };
        let none = Bounds::Count { min: 0, max: 0 };
        for (case, bounds, count, all, want) in [
            ("just enough", share, 5, 100, true),
            ("too few", share, 4, 100, false),
            ("just not too many", share, 60, 100, true),
            ("too many", share, 61, 100, false),
            ("a share of nothing", share, 0, 0, false),
            ("none of nothing", none, 0, 0, true),
            ("one is not none", none, 1, 1_000, false),
        ] {
            assert_eq!(bounds.hold(count, all), want, "{case}");
        }
    }

    #[test]
    fn a_run_is_given_up_only_after_bad_seconds_in_a_row() {
        let mut watchdog = Watchdog::new(Abort { ended: Ending::Failed, above: 0.5, seconds: 3 });
        let seconds = [(6, 10), (6, 10), (5, 10), (10, 10), (0, 0), (10, 10), (9, 10), (0, 0)];
        let told: Vec<_> = seconds.map(|(count, all)| watchdog.second(count, all)).into();
        assert_eq!(told, [false, false, false, false, false, false, true, true]);
    }
}
