//! The event queue: earliest first, and of equal instants the one that was scheduled first.

use units::Nanos;

/// A four-ary heap of keys: half as deep as a binary one, and four children fit a cache line. The events lie still
/// beside it.
///
/// What is popped leaves its place vacant until the next call. As nearly every event schedules another one, that one
/// usually takes the place, and one way down the heap serves both.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: Vec<Key>,
    vacant: bool, // the root was popped
    events: Vec<E>,
    free: Vec<u32>,
    scheduled: u64,
}

/// From the top: instant (64 bits), order of scheduling (40), place of the event (24). No two are equal.
type Key = u128;

const PLACE_BITS: u32 = 24;
const ORDER_BITS: u32 = 40;
const ARITY: usize = 4;

impl<E: Copy> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy> EventQueue<E> {
    /// An empty queue.
    pub fn new() -> Self {
        let (heap, events, free) = (Vec::with_capacity(1_024), Vec::with_capacity(1_024), Vec::with_capacity(1_024));
        Self { heap, vacant: false, events, free, scheduled: 0 }
    }

    /// Schedules `event` at `at`. Panics beyond 2⁴⁰ events in all (ten years of load at 500 requests a second) and
    /// beyond 2²⁴ pending ones.
    pub fn schedule(&mut self, at: Nanos, event: E) {
        assert!(self.scheduled < 1 << ORDER_BITS, "more events than the queue can put in order");
        let key = u128::from(at.get()) << 64 | u128::from(self.scheduled << PLACE_BITS | self.place(event));
        self.scheduled += 1;
        if self.vacant {
            self.vacant = false;
            self.sink(key);
        } else {
            self.rise(key);
        }
    }

    /// Takes the earliest event.
    pub fn pop(&mut self) -> Option<(Nanos, E)> {
        if self.vacant {
            self.vacant = false;
            let last = self.heap.pop()?;
            if self.heap.is_empty() {
                return None; // the last one was the vacant place itself
            }
            self.sink(last);
        }
        let first = *self.heap.first()?;
        self.vacant = true;
        let place = first as u32 & ((1 << PLACE_BITS) - 1);
        self.free.push(place);
        Some((Nanos::new((first >> 64) as u64), self.events[place as usize]))
    }

    /// How many events were ever scheduled.
    pub fn scheduled(&self) -> u64 {
        self.scheduled
    }

    fn place(&mut self, event: E) -> u64 {
        if let Some(place) = self.free.pop() {
            self.events[place as usize] = event;
            return u64::from(place);
        }
        assert!(self.events.len() < 1 << PLACE_BITS, "more pending events than the queue has places");
        self.events.push(event);
        self.events.len() as u64 - 1
    }

    /// Adds `key` at the bottom.
    fn rise(&mut self, key: Key) {
        let mut hole = self.heap.len();
        self.heap.push(key);
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.heap[parent] <= key {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = key;
    }

    /// Puts `key` in the place of the root.
    fn sink(&mut self, key: Key) {
        let mut hole = 0;
        while let Some((child, earliest)) = self.earliest_child(hole).filter(|(_, earliest)| *earliest < key) {
            self.heap[hole] = earliest;
            hole = child;
        }
        self.heap[hole] = key;
    }

    fn earliest_child(&self, parent: usize) -> Option<(usize, Key)> {
        let first = parent * ARITY + 1;
        let children = self.heap.get(first..)?;
        if let Some([a, b, c, d]) = children.first_chunk::<ARITY>() {
            // As a tournament, so that the compiler needs no branch that nobody can predict.
            let (left, right) = (usize::from(b < a), 2 + usize::from(d < c));
            let (earlier_left, earlier_right) = (*a.min(b), *c.min(d));
            let right_wins = earlier_right < earlier_left;
            let child = if right_wins { right } else { left };
            return Some((first + child, earlier_left.min(earlier_right)));
        }
        children.iter().enumerate().map(|(child, key)| (first + child, *key)).min_by_key(|(_, key)| *key)
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

        /// Each step pops one event and schedules none to two, as a simulation does.
        #[test]
        fn follow_ups_take_their_turn(follow_ups in proptest::collection::vec((0_usize..3, 0_u64..9), 1..300)) {
            let mut queue = EventQueue::new();
            let mut want = std::collections::BTreeSet::from([(0, 0), (0, 1), (3, 2)]);
            for (at, order) in &want {
                queue.schedule(Nanos::new(*at), *order);
            }
            for (count, delay) in follow_ups {
                let popped = queue.pop().map(|(at, order)| (at.get(), order));
                proptest::prop_assert_eq!(popped, want.pop_first());
                let now = popped.map_or(0, |(at, _)| at);
                for at in (0..count as u64).map(|nth| now + delay * nth) {
                    want.insert((at, queue.scheduled()));
                    queue.schedule(Nanos::new(at), queue.scheduled());
                }
            }
            while let Some(next) = want.pop_first() {
                proptest::prop_assert_eq!(queue.pop().map(|(at, order)| (at.get(), order)), Some(next));
            }
            proptest::prop_assert_eq!(queue.pop(), None);
            proptest::prop_assert_eq!(queue.pop(), None);
        }
    }
}
