//! The monotonic clock and the one timer queue of a live process.
//!
//! Owns the only place that reads `CLOCK_MONOTONIC` and the thread that wakes whoever waits for an instant. Model
//! instants live here and not on `tokio::time`, which is a millisecond late at the median; see `docs/experiments.md`
//! for the figures. Knows nothing of virtual time: machines take their `now` as an argument.
//!
//! Made for Linux, whose timerfd it sleeps on; elsewhere a condition variable takes its place, with more slack.

mod alarm;
mod dispatcher;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use units::Nanos;

use dispatcher::{Handle, Key};

/// A clock that counts from the run's epoch, with its timers. Clones share both.
///
/// Its thread ends when the last clone, and the last [`Until`] made from one, is dropped; calls that are not due by
/// then never run.
#[derive(Clone)]
pub struct Clock {
    handle: Arc<Handle>,
}

impl Clock {
    /// A clock whose epoch is now.
    ///
    /// # Panics
    /// If the process has no file descriptor or no thread left for it.
    pub fn start() -> Self {
        Self::with_epoch(dispatcher::monotonic())
    }

    /// A clock whose epoch is this reading of `CLOCK_MONOTONIC`, in nanoseconds. That clock is the same in all
    /// processes of a machine, so that a child counts as its parent does.
    ///
    /// # Panics
    /// If the process has no file descriptor or no thread left for it.
    pub fn with_epoch(monotonic_ns: u64) -> Self {
        Self { handle: Arc::new(Handle::start(monotonic_ns)) }
    }

    /// The epoch as a reading of `CLOCK_MONOTONIC`, for [`with_epoch`](Self::with_epoch) in another process.
    pub fn epoch(&self) -> u64 {
        self.handle.epoch()
    }

    /// Now; zero before the epoch.
    pub fn now(&self) -> Nanos {
        self.handle.now()
    }

    /// Waits until `at`. The output is the instant at which the waiting task ran again, never before `at`, so that
    /// output − `at` is how late the caller was. May be dropped at any time; nothing of it remains in the queue.
    pub fn until(&self, at: Nanos) -> Until {
        Until { clock: self.clone(), at, key: None }
    }

    /// Runs `call` at `at`, with the instant it began. It runs on the clock's own thread and delays every other
    /// timer while it does: it must be short and must not block. Calls for one instant run in the order they came.
    pub fn call_at(&self, at: Nanos, call: impl FnOnce(Nanos) + Send + 'static) {
        self.handle.call(at, Box::new(call));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// Waits for an instant; see [`Clock::until`].
#[must_use = "a future does nothing unless awaited"]
#[derive(Debug)]
pub struct Until {
    clock: Clock,
    at: Nanos,
    key: Option<Key>,
}

impl Future for Until {
    type Output = Nanos;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Nanos> {
        let now = self.clock.now();
        if now >= self.at {
            return Poll::Ready(now); // the entry, if any, goes with the future
        }
        self.key = Some(self.clock.handle.wake(self.at, self.key, context.waker()));
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.handle.cancel(key);
        }
    }
}
