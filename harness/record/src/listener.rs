//! Who wants to know while a run is going on.

use units::Nanos;

use crate::{Event, Recorder};

/// Told what happens, as it happens: the run folder and the terminal listen so.
pub trait Listener {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// A second of the run's clock has passed.
    fn second(&mut self, second: &Second<'_>);
    /// Whether it is told anything at all: what only a listener gets need not be made for one who does not hear.
    fn hears(&self) -> bool {
        true
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Second<'a> {
    /// The run's clock.
    pub now: Nanos,
    /// Requests that were due so far.
    pub offered: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Lines for `intervals.hlog`.
    pub intervals: &'a [u8],
    /// Frames for `observations.bin`: what was observed in the second; nothing in virtual time.
    pub frames: &'a [u8],
    /// All that was seen so far, for whoever shows it.
    pub recorder: &'a Recorder,
    /// How the load driver is, if there is one.
    pub driver: Option<DriverState>,
}

/// The load driver about itself, as of a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DriverState {
    /// Requests that became due so far.
    pub due: u64,
    /// Requests that wait for a worker.
    pub waiting: u32,
    /// Workers with a request under way.
    pub busy: u32,
    /// Workers there are.
    pub workers: u32,
    /// CPU time of its process so far, microseconds.
    pub cpu_us: u64,
    /// The most that its own clock was late since it began, microseconds.
    pub late_max_us: u64,
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Listener for Deaf {
    fn event(&mut self, _: &Event) {}
    fn second(&mut self, _: &Second<'_>) {}
    fn hears(&self) -> bool {
        false
    }
}
