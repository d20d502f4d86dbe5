//! What the dispatcher's thread sleeps on: a timerfd on Linux, a condition variable elsewhere.
//!
//! A timerfd, unlike a futex or epoll, is not subject to the 50 µs of timer slack that Linux grants itself. The other
//! one is always compiled for tests, so that it keeps working where nobody looks.

#[cfg(target_os = "linux")]
pub(crate) use timerfd::Alarm;

#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Alarm;

#[cfg(target_os = "linux")]
mod timerfd {
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

    /// Rings at an instant.
    #[derive(Debug)]
    pub(crate) struct Alarm(OwnedFd);

    impl Alarm {
        /// One that is not set. Panics without a file descriptor.
        pub(crate) fn new() -> Self {
            let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
            Self(timer.expect("a clock needs one file descriptor"))
        }

        /// Rings when `CLOCK_MONOTONIC` reads this many nanoseconds, and no more at any instant set before.
        pub(crate) fn set(&self, monotonic: u64) {
            // An all-zero value would disarm it, a negative one is refused.
            let at = monotonic.clamp(1, i64::MAX as u64);
            let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once)
                .expect("a valid instant on our own timer");
        }

        /// Sleeps until it rings.
        pub(crate) fn sleep(&self) {
            let mut expirations = [0; 8];
            loop {
                match rustix::io::read(&self.0, &mut expirations) {
                    Err(Errno::INTR) => {}
                    read => {
                        read.expect("our own timer is readable");
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    use crate::dispatcher::monotonic;

    /// Rings at an instant.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        at: Mutex<u64>,
        set: Condvar,
    }

    impl Alarm {
        /// One that is not set.
        pub(crate) fn new() -> Self {
            Self { at: Mutex::new(u64::MAX), set: Condvar::new() }
        }

        /// Rings when `CLOCK_MONOTONIC` reads this many nanoseconds, and no more at any instant set before.
        pub(crate) fn set(&self, monotonic: u64) {
            *self.at.lock().unwrap_or_else(PoisonError::into_inner) = monotonic;
            self.set.notify_one();
        }

        /// Sleeps until it rings.
        pub(crate) fn sleep(&self) {
            /// Of a wait for ever.
            const MOST: Duration = Duration::from_hours(1);
            let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let now = monotonic();
                if *at <= now {
                    *at = u64::MAX;
                    return;
                }
                let rest = Duration::from_nanos(*at - now).min(MOST);
                at = self.set.wait_timeout(at, rest).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::sync::Arc;

        use super::*;

        #[test]
        fn it_rings_at_its_instant_and_an_earlier_one_wakes_it() {
            let alarm = Arc::new(Alarm::new());
            let began = monotonic();
            alarm.set(began + 20_000_000);
            alarm.sleep();
            assert!(monotonic() >= began + 20_000_000);
            alarm.set(began + 3_600_000_000_000);
            let waker = Arc::clone(&alarm);
            let thread = std::thread::spawn(move || waker.set(0)); // before it sleeps or while it does
            alarm.sleep();
            thread.join().unwrap();
        }
    }
}
