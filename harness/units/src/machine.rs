//! How a rule is fed with time: a state machine that never asks what time it is.

use crate::Nanos;

/// A rule of the platform as a state machine. The live rim and the simulator drive the same one.
pub trait Machine {
    /// What may happen to it.
    type Input;
    /// What it wants done about it.
    type Effect;
    /// Takes one input at `now` and emits what follows from it. `now` never runs backwards for one machine,
    /// except by the tick by which racing tasks may misread their clocks; then the later instant rules.
    fn step(&mut self, now: Nanos, input: Self::Input, out: &mut impl Out<Self::Effect>);
}

/// Where a machine puts its effects and its wishes to be woken.
pub trait Out<E> {
    /// Wants `effect` done, now.
    fn emit(&mut self, effect: E);
    /// Wants to be stepped again at `at` with this `wake`.
    fn wake(&mut self, at: Nanos, wake: Wake);
}

/// A reason to be woken. Nothing ever cancels a timer: a machine ignores a generation that is no longer its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wake {
    /// Which of the machine's timers this is.
    pub slot: u32,
    /// Counts how often that timer was set.
    pub generation: u32,
}
