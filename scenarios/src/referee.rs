//! Watches a run for what its scenario expects, live and in virtual time alike.

use record::{Cause, EventKind, Expected, Observation};
use units::Nanos;

use crate::{Bounds, Ending, ExpectationKind, Plan, Requests};

/// What has been seen of each expectation so far.
#[derive(Clone, Debug)]
pub struct Referee {
    load_start: Nanos,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    told: String,
    kind: ExpectationKind,
    /// The fault's beginning, where it goes by one.
    fault: Nanos,
    workload: String,
    /// Flow of each step; empty where it is not asked for.
    steps: Vec<bool>,
    count: u64,
    all: u64,
    most: u32,
    now: u32,
    last_failure: Option<Nanos>,
}

impl Referee {
    /// Nothing was seen yet.
    pub fn new(plan: &Plan, load_start: Nanos) -> Self {
        let seen = |expectation: &crate::Expectation| {
            let (of, fault, workload) = match &expectation.kind {
                ExpectationKind::Requests { of, .. } => (Some(of), Nanos::ZERO, String::new()),
                ExpectationKind::Replicas { workload, .. } => {
                    (None, Nanos::ZERO, plan.platform.workload(*workload).name.clone())
                }
                ExpectationKind::Recovered { of, after, .. } => (Some(of), plan.faults[*after].at, String::new()),
            };
            let meant = |(id, step): (usize, &crate::Step)| match of {
                None => false,
                Some(Requests::All) => true,
                Some(Requests::Flow(flow)) => step.flow == *flow,
                Some(Requests::Step(step)) => usize::from(step.0) == id,
            };
            Seen {
                told: expectation.told.clone(),
                kind: expectation.kind.clone(),
                fault,
                workload,
                steps: plan.load.steps.iter().enumerate().map(meant).collect(),
                count: 0,
                all: 0,
                most: 0,
                now: 0,
                last_failure: None,
            }
        };
        Self { load_start, seen: plan.expectations.iter().map(seen).collect() }
    }

    /// A request has ended.
    pub fn observe(&mut self, observation: &Observation) {
        let due = observation.intended - self.load_start;
        let ended = ending(observation.cause);
        for seen in &mut self.seen {
            if !seen.steps.get(usize::from(observation.step.0)).copied().unwrap_or(false) {
                continue;
            }
            match &seen.kind {
                ExpectationKind::Requests { ended: wanted, due: stretch, .. } => {
                    if stretch.start <= due && due < stretch.end {
                        seen.all += 1;
                        seen.count += u64::from(ended == *wanted);
                    }
                }
                ExpectationKind::Recovered { .. } => {
                    if due >= seen.fault {
                        seen.all += 1;
                        if ended == Ending::Failed {
                            seen.last_failure = seen.last_failure.max(Some(due));
                        }
                    }
                }
                ExpectationKind::Replicas { .. } => {}
            }
        }
    }

    /// Something happened at `now` of the run's clock.
    pub fn event(&mut self, now: Nanos, event: &EventKind) {
        let EventKind::ReplicasChanged { workload, ready, .. } = event else { return };
        let since = now - self.load_start;
        for seen in &mut self.seen {
            let ExpectationKind::Replicas { from, within, .. } = seen.kind else { continue };
            if seen.workload != *workload {
                continue;
            }
            // Until now there were as many as before: that counts if some of that time lay in the stretch.
            if since >= from {
                seen.most = seen.most.max(seen.now);
            }
            if from <= since && since <= from + within {
                seen.most = seen.most.max(*ready);
            }
            seen.now = if since <= from + within { *ready } else { seen.now };
        }
    }

    /// What became of each expectation.
    pub fn finish(self) -> Vec<Expected> {
        self.seen.into_iter().map(Seen::judge).collect()
    }
}

impl Seen {
    fn judge(self) -> Expected {
        let (held, seen) = match self.kind {
            ExpectationKind::Requests { ended, is, .. } => {
                let share = if self.all == 0 { 0.0 } else { self.count as f64 / self.all as f64 * 100.0 };
                let word = match ended {
                    Ending::Answered => "answered",
                    Ending::Rejected => "rejected",
                    Ending::Failed => "failed",
                };
                let seen = match is {
                    Bounds::Count { .. } => format!("{} of {} requests {word}", self.count, self.all),
                    Bounds::Share { .. } => format!("{share:.1} % of {} requests {word}", self.all),
                };
                (is.hold(self.count, self.all), seen)
            }
            ExpectationKind::Replicas { reaches, .. } => {
                let most = self.most.max(self.now);
                (most >= reaches, format!("{most} ready at most"))
            }
            ExpectationKind::Recovered { within, .. } => {
                let since = self.last_failure.map(|last| (last - self.fault).ceil_to_second());
                let seen = match since {
                    None if self.all == 0 => "no request was made after the fault".into(),
                    None => "no request failed".into(),
                    Some(since) => format!("the last failed request was due {since} after the fault began"),
                };
                (self.all > 0 && since.is_none_or(|since| since <= within), seen)
            }
        };
        Expected { told: self.told, held, seen }
    }
}

/// How a request ended that came to `cause`.
pub fn ending(cause: Cause) -> Ending {
    match cause {
        Cause::None => Ending::Answered,
        Cause::Limited => Ending::Rejected,
        _ => Ending::Failed,
    }
}
