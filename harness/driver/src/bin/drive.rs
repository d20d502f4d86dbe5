//! `rehearse drive` alone.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "the edge of a process")]
fn main() -> ExitCode {
    match driver::drive() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("{error}{source}");
            ExitCode::FAILURE
        }
    }
}
