//! The thread that sleeps until the next timer is due, and the queue it serves.
//!
//! Whoever inserts an earlier timer sets the alarm that the thread sleeps on, so no second wake-up path is needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;

use rustix::time::ClockId;
use units::Nanos;

use crate::alarm::Alarm;

/// An entry's place in the queue: its instant, then its number of insertion.
pub(crate) type Key = (Nanos, u64);

/// What becomes due.
enum Action {
    Wake(Waker),
    Call(Box<dyn FnOnce(Nanos) + Send>),
}

/// Keeps the thread alive: it ends when this is dropped.
pub(crate) struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    epoch: u64,
    alarm: Alarm,
    queue: Mutex<Queue>,
}

/// Ordered, so that a cancelled timer can be taken out: with one deadline per request, entries that stay until they
/// are due would outnumber the live ones.
#[derive(Default)]
struct Queue {
    entries: BTreeMap<Key, Action>,
    inserted: u64,
    /// The instant for which the timer is set while the thread sleeps. `None` while it is awake: it looks at the
    /// queue again before it sleeps, so nobody has to re-arm.
    armed: Option<Nanos>,
    stopped: bool,
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    // Counts from boot: neither part is negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Handle {
    pub(crate) fn start(epoch: u64) -> Self {
        let shared = Arc::new(Shared { epoch, alarm: Alarm::new(), queue: Mutex::default() });
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name("clock".to_owned())
            .spawn(move || worker.dispatch())
            .expect("a clock needs one thread");
        Self { shared }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    pub(crate) fn now(&self) -> Nanos {
        self.shared.now()
    }

    pub(crate) fn call(&self, at: Nanos, call: Box<dyn FnOnce(Nanos) + Send>) {
        let mut queue = self.shared.lock();
        self.shared.insert(&mut queue, at, Action::Call(call));
    }

    /// Wakes `waker` at `at`, in place of the waker that was left under `former`.
    pub(crate) fn wake(&self, at: Nanos, former: Option<Key>, waker: &Waker) -> Key {
        let mut queue = self.shared.lock();
        if let Some(key) = former
            && let Some(Action::Wake(known)) = queue.entries.get_mut(&key)
        {
            known.clone_from(waker);
            return key;
        }
        self.shared.insert(&mut queue, at, Action::Wake(waker.clone()))
    }

    pub(crate) fn cancel(&self, key: Key) {
        let entry = self.shared.lock().entries.remove(&key);
        drop(entry); // outside the lock: a waker may run code of its own when dropped
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.stopped = true;
        if queue.armed.is_some() {
            self.shared.arm(&mut queue, Nanos::ZERO);
        }
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        Nanos::new(monotonic().saturating_sub(self.epoch))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock but allocation, which leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, queue: &mut Queue, at: Nanos, action: Action) -> Key {
        let key = (at, queue.inserted);
        queue.inserted += 1;
        queue.entries.insert(key, action);
        if queue.armed.is_some_and(|armed| at < armed) {
            self.arm(queue, at);
        }
        key
    }

    fn arm(&self, queue: &mut Queue, at: Nanos) {
        queue.armed = Some(at);
        self.alarm.set(self.epoch.saturating_add(at.get()));
    }

    fn dispatch(&self) {
        let mut due = Vec::new();
        loop {
            {
                let mut queue = self.lock();
                queue.armed = None;
                if queue.stopped {
                    return;
                }
                let now = self.now();
                while let Some(entry) = queue.entries.first_entry().filter(|entry| entry.key().0 <= now) {
                    due.push(entry.remove());
                }
                if due.is_empty() {
                    let next = queue.entries.first_key_value().map_or(Nanos::MAX, |(key, _)| key.0);
                    self.arm(&mut queue, next);
                }
            }
            if due.is_empty() {
                self.alarm.sleep();
            }
            for action in due.drain(..) {
                match action {
                    Action::Wake(waker) => waker.wake(),
                    Action::Call(call) => call(self.now()),
                }
            }
        }
    }
}
