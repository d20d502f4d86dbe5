//! A session's way through its steps, and a user's way from session to session.

use record::{Cause, StepId};
use units::{Nanos, Purpose, RequestId};

use crate::arrivals::seed_of;
use crate::{Arrival, LoadPlan, RetryPolicy};

/// A session under way. It is a value, not a task: while its user thinks, it holds no worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// How it began. Of a user of closed load, the session that is under way now.
    pub arrival: Arrival,
    load_start: Nanos,
    next: u16,
    attempt: u8,
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

/// A later attempt at a step is a request of its own: its number begins at this bit of the step's.
const ATTEMPT_SHIFT: u32 = 16;

impl Journey {
    /// A session that begins with `arrival`.
    pub const fn new(arrival: Arrival) -> Self {
        Self { arrival, load_start: Nanos::ZERO, next: 0, attempt: 0 }
    }

    /// Its first request, due when it arrives. `load_start` is the start of load on the caller's clock.
    pub fn begin(&mut self, plan: &LoadPlan, load_start: Nanos) -> Next {
        self.load_start = load_start;
        self.advance(plan, load_start + self.arrival.due)
    }

    /// Its next request after the last one ended at `done` for this cause. A client with a retry policy asks again; a
    /// user who did not get what was asked for goes away; and a user of closed load comes back for another session.
    pub fn proceed(&mut self, plan: &LoadPlan, done: Nanos, cause: Cause) -> Next {
        if let Some(again) = self.retry(plan, done, cause) {
            return again;
        }
        self.attempt = 0;
        let next = if cause == Cause::None { self.advance(plan, done) } else { Next::End };
        if next == Next::End { self.come_back(plan, done, cause == Cause::None) } else { next }
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

    fn retry(&mut self, plan: &LoadPlan, done: Nanos, cause: Cause) -> Option<Next> {
        let policy = plan.retry(self.arrival.number).filter(|policy| policy.on.contains(&cause))?;
        if self.attempt + 1 >= policy.attempts {
            return None;
        }
        let place = self.next.checked_sub(1)?;
        let step = plan.journeys[usize::from(self.arrival.journey)].steps[usize::from(place)];
        self.attempt += 1;
        let id = RequestId::of_step(self.arrival.number, u32::from(place) | u32::from(self.attempt) << ATTEMPT_SHIFT);
        let wait = policy.wait(self.attempt);
        let wait = if policy.jitter {
            Nanos::from_secs_f64(wait.as_secs_f64() * plan.seed.draw(id, Purpose::Think).unit())
        } else {
            wait
        };
        Some(Next::Request { step, id, intended: done + wait })
    }

    fn come_back(&mut self, plan: &LoadPlan, done: Nanos, served: bool) -> Next {
        let next = plan
            .crowd(self.arrival.number)
            .and_then(|crowd| crowd.next_session(seed_of(plan), &self.arrival, done - self.load_start, served));
        let Some(arrival) = next else { return Next::End };
        *self = Self { arrival, next: 0, ..*self };
        self.advance(plan, self.load_start + arrival.due)
    }
}

impl RetryPolicy {
    /// How long a client waits before attempt `attempt`, counted from 1 for the first repetition, without jitter.
    fn wait(&self, attempt: u8) -> Nanos {
        let growth = f64::from(self.growth_milli) / 1e3;
        let grown = (1..attempt).fold(self.backoff.as_secs_f64(), |wait, _| wait * growth);
        Nanos::from_secs_f64(grown).min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;
    use units::Seed;

    fn plan(load: &str) -> LoadPlan {
        let text = format!(
            "apiVersion: rehearse/v1\nkind: Scenario\nmetadata: {{name: t, question: q}}\nspec:\n  host: h\n  \
             timeout: 1s\n  phases: [{{name: all, kind: steady, duration: 60s}}]\n  journeys:\n    j: {{flow: f, \
             steps: [{{name: a, request: GET /a}}, {{name: b, request: GET /b}}]}}\n  load:\n    - {load}\n"
        );
        Scenario::parse(&text, "t.yaml").unwrap().load(Seed::new(1))
    }

    fn intended(next: Next) -> Option<(u16, u64)> {
        match next {
            Next::Request { step, intended, .. } => Some((step.0, intended.as_millis())),
            Next::End => None,
        }
    }

    #[test]
    fn a_client_that_was_not_served_asks_again_and_waits_longer_each_time() {
        let plan = plan(
            "{journey: j, clients: 1, rate: {all: 1/s}, retry: {attempts: 4, on: [5xx], backoff: 100ms, factor: 3, \
             max: 500ms}}",
        );
        let mut journey = Journey::new(crate::Arrivals::new(&plan).next().unwrap());
        let Next::Request { id: first, .. } = journey.begin(&plan, Nanos::ZERO) else { panic!("it begins") };
        let done = Nanos::from_secs(10);
        let Next::Request { id: second, step, intended: at } = journey.proceed(&plan, done, Cause::ServerError) else {
            panic!("it asks again")
        };
        assert_eq!((step.0, at.as_millis()), (0, 10_100));
        assert_ne!(first, second, "each attempt draws for itself");
        assert_eq!(intended(journey.proceed(&plan, done, Cause::ServerError)), Some((0, 10_300)));
        assert_eq!(intended(journey.proceed(&plan, done, Cause::ServerError)), Some((0, 10_500)), "at most 500 ms");
        assert_eq!(intended(journey.proceed(&plan, done, Cause::ServerError)), None, "four attempts in all");
    }

    #[test]
    fn only_the_named_failures_are_tried_again_and_a_success_begins_anew() {
        let plan = plan("{journey: j, clients: 1, rate: {all: 1/s}, retry: {attempts: 2, on: [timeout], backoff: 1s}}");
        let mut journey = Journey::new(crate::Arrivals::new(&plan).next().unwrap());
        journey.begin(&plan, Nanos::ZERO);
        let done = Nanos::from_secs(10);
        assert_eq!(intended(journey.proceed(&plan, done, Cause::Timeout)), Some((0, 11_000)));
        assert_eq!(intended(journey.proceed(&plan, done, Cause::None)), Some((1, 10_000)));
        assert_eq!(intended(journey.proceed(&plan, done, Cause::Timeout)), Some((1, 11_000)));
        let mut other = Journey::new(journey.arrival);
        other.begin(&plan, Nanos::ZERO);
        assert_eq!(intended(other.proceed(&plan, done, Cause::ServerError)), None);
    }

    #[test]
    fn a_user_of_closed_load_takes_session_after_session() {
        let plan = plan("{journey: j, users: {all: 1}, think: 5s}");
        let start = Nanos::from_secs(100);
        let mut journey = Journey::new(crate::Arrivals::new(&plan).next().unwrap());
        let mut next = journey.begin(&plan, start);
        let mut seen = Vec::new();
        while let Next::Request { step, intended, .. } = next {
            seen.push((step.0, intended.as_secs() - 100));
            next = journey.proceed(&plan, intended + Nanos::from_secs(5), Cause::None);
        }
        // 5 s each request, 5 s of rest: a session every 15 s, the last one before the minute is over.
        assert_eq!(seen, [(0, 0), (1, 5), (0, 15), (1, 20), (0, 30), (1, 35), (0, 45), (1, 50)]);
    }
}
