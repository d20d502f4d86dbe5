//! How often verdicts claim what is not true: the large version of `tests/truth.rs`. Prints a table for
//! `docs/verdicts.md`.
//!
//! ```text
//! cargo run --release -p reports --example truth [RUNS [PART OF A NAME]]
//! ```

#![expect(clippy::print_stdout, reason = "an example prints")]

mod engine;

use engine::{AT_THE_LIMIT, Case, tally};

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(4_000);
    let name = std::env::args().nth(2).unwrap_or_default();
    println!("| requests | true share, of the limit | runs | passed | failed | undecided |");
    println!("|---|---|---|---|---|---|");
    for at_limit in AT_THE_LIMIT.into_iter().filter(|case| case.name.contains(&name)) {
        for share in [0.5, 0.8, 1.0, 1.25, 2.0] {
            let scaled = match at_limit.process {
                engine::Process::Bursts { seconds, time, bad } => {
                    engine::Process::Bursts { seconds, time: (time * share).min(0.5), bad }
                }
                other => other,
            };
            let case = Case { truth: at_limit.truth * share, process: scaled, ..at_limit };
            let (passed, failed) = tally(&case, runs).shares();
            println!(
                "| {}, {} s of {}/s | {share} | {runs} | {:.1} % | {:.1} % | {:.1} % |",
                case.name,
                case.seconds,
                case.rate,
                passed * 100.0,
                failed * 100.0,
                (1.0 - passed - failed) * 100.0
            );
        }
    }
}
