//! A session's way through its steps.

use record::StepId;
use units::{Nanos, Purpose, RequestId};

use crate::{Arrival, LoadPlan};

/// A session under way. It is a value, not a task: while its user thinks, it holds no worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// How it began.
    pub arrival: Arrival,
    next: u16,
}

/// What a session does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It makes a request.
    Request {
        /// Which step.
        step: StepId,
        /// Its identity.
        id: RequestId,
        /// When it is due, on the clock that the caller uses.
        intended: Nanos,
    },
    /// It is over.
    End,
}

impl Journey {
    /// A session that begins with `arrival`.
    pub const fn new(arrival: Arrival) -> Self {
        Self { arrival, next: 0 }
    }

    /// Its first request, due when it arrives. `load_start` is the start of load on the caller's clock.
    pub fn begin(&mut self, plan: &LoadPlan, load_start: Nanos) -> Next {
        self.advance(plan, load_start + self.arrival.due)
    }

    /// Its next request after the last one ended at `done`. A user who did not get what was asked for goes away.
    pub fn proceed(&mut self, plan: &LoadPlan, done: Nanos, ok: bool) -> Next {
        if ok { self.advance(plan, done) } else { Next::End }
    }

    fn advance(&mut self, plan: &LoadPlan, from: Nanos) -> Next {
        let steps = &plan.journeys[usize::from(self.arrival.journey)].steps;
        let Some(&step) = steps.get(usize::from(self.next)) else { return Next::End };
        let id = RequestId::of_step(self.arrival.number, u32::from(self.next));
        let think = match self.next {
            0 => Nanos::ZERO,
            _ => plan.step(step).think.sample(plan.seed.draw(id, Purpose::Think)),
        };
        self.next += 1;
        Next::Request { step, id, intended: from + think }
    }
}
