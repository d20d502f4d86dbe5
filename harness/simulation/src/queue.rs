//! The event queue: earliest first, and of equal instants the one that was scheduled first.

use units::Nanos;

/// A four-ary heap: half as deep as a binary one, and the four children share a cache line or two.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: Vec<Entry<E>>,
    scheduled: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    at: Nanos,
    order: u64,
    event: E,
}

impl<E: Copy> Entry<E> {
    fn before(&self, other: &Self) -> bool {
        (self.at, self.order) < (other.at, other.order)
    }
}

const ARITY: usize = 4;

impl<E: Copy> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy> EventQueue<E> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: Vec::with_capacity(1_024), scheduled: 0 }
    }

    /// Schedules `event` at `at`.
    pub fn schedule(&mut self, at: Nanos, event: E) {
        let entry = Entry { at, order: self.scheduled, event };
        self.scheduled += 1;
        let mut hole = self.heap.len();
        self.heap.push(entry);
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if !entry.before(&self.heap[parent]) {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = entry;
    }

    /// Takes the earliest event.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        let last = self.heap.pop()?;
        let Some(&first) = self.heap.first() else { return Some((last.at, last.event)) };
        let length = self.heap.len();
        let mut hole = 0;
        loop {
            let child = hole * ARITY + 1;
            if child >= length {
                break;
            }
            let mut earliest = child;
            for other in child + 1..(child + ARITY).min(length) {
                if self.heap[other].before(&self.heap[earliest]) {
                    earliest = other;
                }
            }
            if !self.heap[earliest].before(&last) {
                break;
            }
            self.heap[hole] = self.heap[earliest];
            hole = earliest;
        }
        self.heap[hole] = last;
        Some((first.at, first.event))
    }

    /// How many events were ever scheduled.
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pops_in_order_of_time_then_of_scheduling(instants in proptest::collection::vec(0_u64..50, 0..400)) {
            let mut queue = EventQueue::new();
            let mut want = Vec::new();
            // Interleaved with pops, so that the heap is exercised at every size.
            let mut got = Vec::new();
            for (order, at) in instants.iter().enumerate() {
                queue.schedule(Nanos::new(at + 50 * (order as u64 / 40)), order);
                want.push((at + 50 * (order as u64 / 40), order));
                if order % 40 == 39 {
                    while let Some((at, event)) = queue.pop() {
                        got.push((at.get(), event));
                    }
                }
            }
            while let Some((at, event)) = queue.pop() {
                got.push((at.get(), event));
            }
            want.sort_unstable();
            proptest::prop_assert_eq!(got, want);
        }
    }
}
