//! Who is scheduled next, and who waits for something to change.
//!
//! Follows `pkg/scheduler/backend/queue`: pods that were not tried, or for which something may have changed, are
//! taken by priority, then by how long they wait (`PrioritySort`). A pod that was refused waits until an event moves
//! it. Its back-off (1 s, doubling up to 10 s) only orders it behind others: since 1.33 (`SchedulerPopFromBackoffQ`) a
//! scheduler with nothing else to do takes pods out of their back-off at once.
//!
//! Every event moves all that wait; upstream asks each plugin first whether the event could help
//! (`SchedulerQueueingHints`), which spares attempts and changes no decision. The flush of leftovers after 5 min finds
//! nothing here: events only are what helps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use units::Nanos;

use crate::PodId;

/// `podInitialBackoffSeconds` and `podMaxBackoffSeconds`.
const FIRST_BACK_OFF: Nanos = Nanos::from_secs(1);
const LONGEST_BACK_OFF: Nanos = Nanos::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Waiting {
    priority: i32,
    /// When it was added or tried last.
    since: Nanos,
    refusals: u32,
}

/// The order within a queue: when its back-off ends (a second's window), priority, age.
type Turn = (Nanos, Reverse<i32>, Nanos, PodId);

/// Pods without a node.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pods: BTreeMap<PodId, Waiting>,
    turns: BTreeSet<Turn>,
}

impl Queue {
    /// A pod was created.
    pub(crate) fn add(&mut self, now: Nanos, pod: PodId, priority: i32) {
        let waiting = Waiting { priority, since: now, refusals: 0 };
        self.pods.insert(pod, waiting);
        self.turns.insert((Nanos::ZERO, Reverse(priority), now, pod));
    }

    /// The next pod to try. It has left the queue unless it is [refused](Self::refused).
    pub(crate) fn pop(&mut self) -> Option<PodId> {
        self.turns.pop_first().map(|(.., pod)| pod)
    }

    /// No node would do: it waits for an event.
    pub(crate) fn refused(&mut self, now: Nanos, pod: PodId) {
        if let Some(waiting) = self.pods.get_mut(&pod) {
            waiting.since = now;
            waiting.refusals += 1;
        }
    }

    /// It has a node, or nobody wants it any more.
    pub(crate) fn forget(&mut self, pod: PodId) {
        self.pods.remove(&pod);
        self.turns.retain(|(.., other)| *other != pod);
    }

    /// Something changed that may help: all that wait are tried again. Whether there are any.
    pub(crate) fn moved(&mut self, now: Nanos) -> bool {
        for (pod, waiting) in &self.pods {
            let ends = waiting.since + back_off(waiting.refusals);
            // Windows of one second; those whose back-off is over stand in front.
            let window = if ends <= now { Nanos::ZERO } else { Nanos::from_secs(ends.as_secs()) };
            let queued = self.turns.iter().any(|(.., other)| other == pod);
            if !queued {
                self.turns.insert((window, Reverse(waiting.priority), waiting.since, *pod));
            }
        }
        !self.turns.is_empty()
    }
}

/// `calculateBackoffDuration`.
fn back_off(refusals: u32) -> Nanos {
    match refusals {
        0 => Nanos::ZERO,
        refusals => (FIRST_BACK_OFF * (1 << (refusals.min(5) - 1))).min(LONGEST_BACK_OFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: fn(u64) -> Nanos = Nanos::from_secs;

    #[test]
    fn back_off_doubles_from_one_second_to_ten() {
        let secs: Vec<_> = (0..7).map(|refusals| back_off(refusals).as_secs()).collect();
        assert_eq!(secs, [0, 1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn priority_first_then_age() {
        let mut queue = Queue::default();
        for (pod, at, priority) in [(0, 5, 0), (1, 4, 0), (2, 9, 100), (3, 6, -10)] {
            queue.add(SEC(at), PodId(pod), priority);
        }
        queue.forget(PodId(3));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|pod| pod.0).collect();
        assert_eq!(order, [2, 1, 0]);
    }

    #[test]
    fn a_refused_pod_comes_back_with_an_event_and_behind_those_whose_back_off_is_over() {
        let mut queue = Queue::default();
        queue.add(SEC(0), PodId(0), 0);
        queue.add(SEC(0), PodId(1), 0);
        assert_eq!(queue.pop(), Some(PodId(0)));
        queue.refused(SEC(0), PodId(0));
        assert_eq!(queue.pop(), Some(PodId(1)));
        queue.refused(SEC(20), PodId(1));
        assert_eq!(queue.pop(), None, "both wait for an event");
        queue.add(SEC(20), PodId(2), -5);
        assert!(queue.moved(SEC(20)));
        assert!(queue.moved(SEC(20)), "nobody is queued twice");
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|pod| pod.0).collect();
        assert_eq!(order, [0, 2, 1], "pod 1 backs off for a second, and is taken when nothing else is left");
        queue.forget(PodId(0));
        queue.forget(PodId(1));
        queue.forget(PodId(2));
        assert!(!queue.moved(SEC(30)));
    }
}
