//! What the cluster means to do later, in one order that never depends on chance.

use std::collections::BTreeMap;

use units::{Nanos, Wake};

/// Tasks by due instant; those of one instant keep the order in which they were planned.
///
/// The outside holds one timer only: the earliest task's. Setting it anew raises the generation, which makes every
/// older wake stale.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    tasks: BTreeMap<(Nanos, u64), T>,
    planned: u64,
    armed: Option<Nanos>,
    generation: u32,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { tasks: BTreeMap::new(), planned: 0, armed: None, generation: 0 }
    }

    pub(crate) fn plan(&mut self, at: Nanos, task: T) {
        self.tasks.insert((at, self.planned), task);
        self.planned += 1;
    }

    /// The next task that is due at `now`, with the instant for which it was planned.
    pub(crate) fn due(&mut self, now: Nanos) -> Option<(Nanos, T)> {
        let entry = self.tasks.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, _), task) = entry.remove_entry();
        Some((at, task))
    }

    /// Whether `wake` is the timer that is set; if so it has fired and is set no more.
    pub(crate) fn fires(&mut self, wake: Wake) -> bool {
        let current = wake.generation == self.generation && self.armed.is_some();
        if current {
            self.armed = None;
        }
        current
    }

    /// The timer to set, unless the one that is set still serves.
    pub(crate) fn arm(&mut self) -> Option<(Nanos, Wake)> {
        let at = self.tasks.first_key_value()?.0.0;
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        self.generation = self.generation.wrapping_add(1);
        Some((at, Wake { slot: 0, generation: self.generation }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_sets_one_timer() {
        let mut agenda = Agenda::new();
        agenda.plan(Nanos::new(5), 'b');
        let (at, first) = agenda.arm().unwrap();
        assert_eq!(at, Nanos::new(5));
        agenda.plan(Nanos::new(5), 'c');
        assert_eq!(agenda.arm(), None, "the timer that is set serves both");
        agenda.plan(Nanos::new(2), 'a');
        let (_, second) = agenda.arm().unwrap();
        assert!(!agenda.fires(first), "replaced by an earlier one");
        assert!(agenda.fires(second));
        assert!(!agenda.fires(second), "fires once");
        assert_eq!(agenda.due(Nanos::new(4)), Some((Nanos::new(2), 'a')));
        assert_eq!(agenda.due(Nanos::new(4)), None);
        let rest: String = std::iter::from_fn(|| agenda.due(Nanos::new(9))).map(|(_, task)| task).collect();
        assert_eq!(rest, "bc");
    }
}
