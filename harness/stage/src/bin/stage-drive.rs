//! The load driver for this crate's tests; the product is its own driver.

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "the edge of a process")]
fn main() -> ExitCode {
    match driver::drive() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
