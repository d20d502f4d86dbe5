//! Evaluation and rendering of a run folder.
//!
//! Knows nothing of how a run was played: [`conclude`] judges what was recorded, [`compare`] holds a live run against
//! its simulation, [`render`] writes `report.html`, `summary.md` and `junit.xml` from the files of a run folder, so
//! that last month's run can be told again, and [`terminal`] says the same in a terminal.

mod evaluate;
mod html;
mod junit;
mod render;
mod sentences;
mod statistics;
mod summary;
mod terminal;
mod told;
mod twin;
mod validity;
mod words;

pub use evaluate::{Played, conclude};
pub use render::{Rendered, ReportError, render};
pub use terminal::terminal;
pub use twin::{Twin, TwinQuantile, TwinRow, compare};
pub use validity::validity;

#[cfg(test)]
mod fixture;
