//! The thread that sleeps until the next timer is due, and the queue it serves.
//!
//! The thread sleeps in a read of a timerfd. Whoever inserts an earlier timer re-arms that descriptor, so no second
//! wake-up path is needed; and a timerfd, unlike a futex or epoll, is not subject to the 50 µs of timer slack that
//! Linux grants itself.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;

use rustix::io::Errno;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use units::Nanos;

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
    timer: OwnedFd,
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
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)
            .expect("a clock needs one file descriptor");
        let shared = Arc::new(Shared { epoch, timer, queue: Mutex::default() });
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
        // An all-zero value would disarm it, a negative one is refused.
        let monotonic = self.epoch.saturating_add(at.get()).clamp(1, i64::MAX as u64);
        let value =
            Timespec { tv_sec: (monotonic / 1_000_000_000) as i64, tv_nsec: (monotonic % 1_000_000_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)
            .expect("a valid instant on our own timer");
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
                self.sleep();
            }
            for action in due.drain(..) {
                match action {
                    Action::Wake(waker) => waker.wake(),
                    Action::Call(call) => call(self.now()),
                }
            }
        }
    }

    fn sleep(&self) {
        let mut expirations = [0; 8];
        loop {
            match rustix::io::read(&self.timer, &mut expirations) {
                Err(Errno::INTR) => {}
                read => {
                    read.expect("our own timer is readable");
                    return;
                }
            }
        }
    }
}
