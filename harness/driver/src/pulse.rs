//! The driver watches itself: how late its schedule runs, and whether it ran at all.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use rustix::time::ClockId;
use units::Nanos;

use crate::exchange::Player;
use crate::protocol::{Frame, Pulse};

/// Between two pulses.
const PERIOD: Nanos = Nanos::from_millis(200);

/// How late arrivals were handed over, by the clock's thread alone: no request can make it late.
#[derive(Debug)]
pub(crate) struct Lateness(Mutex<Histogram<u32>>);

impl Default for Lateness {
    fn default() -> Self {
        Self(Mutex::new(Histogram::new(2).expect("2 digits are valid")))
    }
}

impl Lateness {
    pub(crate) fn record(&self, late: Nanos) {
        let most = u64::from(u32::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.record(late.as_micros().min(most)).expect("an auto-resizing histogram takes an hour");
    }

    /// 99th percentile, microseconds.
    pub(crate) fn p99_us(&self) -> u32 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() { 0 } else { all.value_at_quantile(0.99) as u32 }
    }
}

/// Tells the parent again and again how the driver is, from `at` on.
pub(crate) fn beat(player: &'static Player, at: Nanos) {
    player.clock.call_at(at, move |now| {
        let state = player.backlog.state();
        player.sink.push(Frame::Pulse(Pulse {
            due: player.counts.due.load(Ordering::Relaxed),
            ended: player.counts.requests.load(Ordering::Relaxed),
            cpu_us: cpu_us(),
            busy: state.busy,
            waiting: state.waiting,
            late_us: (now - at).as_micros().min(u64::from(u32::MAX)) as u32,
        }));
        beat(player, now + PERIOD);
    });
}

/// CPU time of the whole process, microseconds.
pub(crate) fn cpu_us() -> u64 {
    let cpu = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    cpu.tv_sec as u64 * 1_000_000 + cpu.tv_nsec as u64 / 1_000
}
