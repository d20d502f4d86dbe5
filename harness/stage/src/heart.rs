//! Whether this process ran at all. A platform that stood still because its process was stopped, or had no CPU, says
//! nothing about the platform.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use clock::Clock;
use units::Nanos;

/// Between two beats.
const PERIOD: Nanos = Nanos::from_millis(50);
/// A beat that is late by less is chance: a neighbour's time slices, a large allocation.
pub(crate) const STALL: Nanos = Nanos::from_millis(250);

/// Beats on the clock's thread until it is dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    stalls: Arc<Mutex<Vec<Nanos>>>,
}

impl Heart {
    pub(crate) fn start(clock: &Clock) -> Self {
        let stalls = Arc::default();
        beat(clock.clone(), Arc::downgrade(&stalls), clock.now() + PERIOD);
        Self { stalls }
    }

    /// How long each stall was that ended since this was last asked.
    pub(crate) fn stalls(&self) -> Vec<Nanos> {
        std::mem::take(&mut *self.stalls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn beat(clock: Clock, stalls: Weak<Mutex<Vec<Nanos>>>, at: Nanos) {
    clock.clone().call_at(at, move |now| {
        let Some(known) = stalls.upgrade() else { return };
        if now - at > STALL {
            known.lock().unwrap_or_else(PoisonError::into_inner).push(now - at);
        }
        beat(clock, stalls, now + PERIOD);
    });
}
