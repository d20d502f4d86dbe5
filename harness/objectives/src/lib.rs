//! Objectives: OpenSLO v1 documents, and the `Gate` that says which of them decide.
//!
//! Owns how a promise is written down, which of several documented figures rules, which promises a scenario can try,
//! and what of a run must be counted for them. How they are judged is `reports`' business. A percentile is kept as the
//! ratio it is: `p95 < 800 ms` means that 95 % of the requests are answered within 800 ms, which an exact binomial
//! bound can decide.

mod document;
mod error;
mod line;
mod objective;
mod parse;
mod resolver;
mod select;

pub use error::ObjectiveError;
pub use line::line;
pub use objective::{Faults, Goal, Objective, Requests, Resource, Subject, Window};
pub use parse::parse;
pub use select::{FaultSpan, Selected, Situation, select};

/// The files of the built-in objectives, by name.
const LIBRARY: [(&str, &str); 6] = [
    ("core.yaml", include_str!("../library/core.yaml")),
    ("ai.yaml", include_str!("../library/ai.yaml")),
    ("hmrc.yaml", include_str!("../library/hmrc.yaml")),
    ("user-flow.yaml", include_str!("../library/user-flow.yaml")),
    ("stress.yaml", include_str!("../library/stress.yaml")),
    ("platform.yaml", include_str!("../library/platform.yaml")),
];

/// The objectives that come with rehearse: every documented one of the platform.
///
/// # Panics
/// Never: a test parses them.
pub fn built_in() -> Vec<Objective> {
    let read = |(file, text): (&str, &str)| parse(text, &format!("built-in {file}")).expect("a test parses it");
    LIBRARY.into_iter().flat_map(read).collect()
}
