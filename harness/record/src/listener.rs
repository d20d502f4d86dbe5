//! Who wants to know while a run is going on.

use units::Nanos;

use crate::Event;

/// Told what happens, as it happens: the run folder and the terminal listen so.
pub trait Listener {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// A second of the run's clock has passed.
    fn second(&mut self, second: &Second<'_>);
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
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Listener for Deaf {
    fn event(&mut self, _: &Event) {}
    fn second(&mut self, _: &Second<'_>) {}
}
