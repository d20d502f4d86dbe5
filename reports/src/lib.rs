//! Evaluation and rendering of a run folder.
//!
//! Knows nothing of how a run was played: [`conclude`] judges what was recorded, [`compare`] holds a live run against
//! its simulation, [`render`] writes `report.html`, `summary.md` and `junit.xml` from the files of a run folder, so
//! that last month's run can be told again, and [`terminal`] says the same in a terminal.

mod alerts;
mod capacity;
mod cause;
mod confirmed;
mod evaluate;
mod expectation;
mod extension;
mod faults;
mod happenings;
mod html;
mod junit;
mod openmetrics;
mod release;
mod render;
mod scalings;
mod sentences;
mod statistics;
mod summary;
mod terminal;
mod told;
mod twin;
mod validity;
mod words;

pub use capacity::{capacity_page, capacity_text};
pub use evaluate::{Played, conclude};
pub use extension::extension;
pub use release::{release_page, release_text};
pub use render::{Rendered, ReportError, render, render_beside};
pub use terminal::{terminal, terminal_alerts};
pub use twin::{Twin, TwinQuantile, TwinRow, compare};
pub use validity::{lag_allowed, validity};

#[cfg(test)]
mod fixture;
