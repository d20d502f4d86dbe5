//! Runs held against each other, and what is kept of them.
//!
//! Owns how two runs, or pairs of runs, are compared, the history of runs and its trend. Knows run folders by their
//! files alone: neither how a run was played nor how it is drawn. Sources of the methods stand beside them;
//! `docs/comparison.md` tells users which one is used when, and why.

mod error;
mod figures;
#[cfg(test)]
mod fixture;
mod history;
mod paired;
mod ranks;
mod stored;
mod tell;
mod trend;
mod two;

pub use error::ComparisonError;
pub use figures::Measured;
pub use history::{Accepted, ControlRun, History, Kept};
pub use paired::{PAIRS, paired};
pub use tell::text;
pub use trend::{ChangePoint, Trend, trend};
pub use two::two;

/// A change below this share is nobody's business, if nobody says otherwise.
pub const MINIMUM_EFFECT: f64 = 0.03;
/// How sure intervals are, and how many of the reported changes may be none.
pub(crate) const CONFIDENCE: f64 = 0.95;
