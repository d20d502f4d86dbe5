//! Objectives: OpenSLO v1 documents, and the `Gate` that says which of them decide.
//!
//! Owns how a promise is written down and what of it a recorder must count. How it is judged is `reports`' business.
//! A percentile is kept as the ratio it is: `p95 < 800 ms` means that 95 % of the requests are answered within
//! 800 ms, which an exact binomial bound can decide.

mod document;
mod error;
mod objective;
mod parse;

pub use error::ObjectiveError;
pub use objective::Objective;
pub use parse::parse;

/// The objectives that come with rehearse.
///
/// # Panics
/// Never: a test parses them.
pub fn built_in() -> Vec<Objective> {
    let files = [
        (include_str!("../library/core-latency.yaml"), "built-in core-latency.yaml"),
        (include_str!("../library/ai-latency.yaml"), "built-in ai-latency.yaml"),
    ];
    files.into_iter().flat_map(|(text, file)| parse(text, file).expect("a test parses it")).collect()
}
