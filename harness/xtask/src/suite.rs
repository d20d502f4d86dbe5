//! `cargo xtask test`: builds what tests look for, runs every test, tells what did not run and why.

use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};

use crate::libtest::{Reader, Tally};
use crate::shell::{Scope, Workspace, arguments};

/// Runs the tests of `scope`; `required` is a comma list of needs, or `all`. True if nothing failed.
pub(crate) fn run(workspace: &Workspace, required: &str, scope: &Scope) -> Result<bool> {
    let mut tally = Tally::default();
    if binary_is_ready(workspace, scope)? {
        tally = tests(workspace, required, scope)?;
    } else {
        tally.fail("the binary `rehearse`, which tests start, did not build".to_owned());
    }
    if required.split(',').any(|name| name.trim() == "all") {
        refuse_skips(&mut tally);
    }
    println!();
    for failure in &tally.failures {
        println!("FAILED {failure}");
    }
    for skip in &tally.skips {
        println!("SKIP {}: {}", skip.test, skip.reason);
    }
    println!("{}", tally.summary());
    Ok(tally.failed == 0)
}

/// Where everything is required, a skip that its test does not know to be refusable is a failure as well.
fn refuse_skips(tally: &mut Tally) {
    for skip in std::mem::take(&mut tally.skips) {
        tally.fail(format!("{} was skipped and everything is required: {}", skip.test, skip.reason));
    }
}

/// Tests of other crates start the real command from the target folder; cargo builds it for none of them.
///
/// With the features of the whole workspace, as the tests have: `-p rehearse` alone would build the dependencies twice.
fn binary_is_ready(workspace: &Workspace, scope: &Scope) -> Result<bool> {
    if !scope.has("rehearse") {
        return Ok(true);
    }
    let mut build = workspace.cargo();
    build.args(["build", "--workspace", "--bins"]);
    println!("+ cargo {}", arguments(&build));
    Ok(build.status().context("cannot start cargo")?.success())
}

fn tests(workspace: &Workspace, required: &str, scope: &Scope) -> Result<Tally> {
    let mut command = workspace.cargo();
    command.arg("test").args(scope.options()).args(["--no-fail-fast", "--", "--show-output"]);
    println!("+ cargo {}", arguments(&command));
    // One pipe for both streams: cargo's headings and libtest's lists must stay in order.
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.env("CARGO_TERM_COLOR", "never").env(testing::REQUIRE, required);
    command.stdout(writer.try_clone().context("cannot make a pipe")?).stderr(writer);
    let mut child = command.spawn().context("cannot start cargo")?;
    // It holds the pipe's writing ends, and the reader would wait for them for ever.
    drop(command);

    let mut parser = Reader::new();
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).context("cannot read what cargo says")? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\n', '\r']);
        if parser.line(line) {
            println!("{line}");
        }
        bytes.clear();
    }
    let status = child.wait().context("cannot wait for cargo")?;
    Ok(parser.finish(status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::Skip;

    #[test]
    fn a_skip_fails_where_everything_is_required() {
        let skip = Skip { test: "slow".to_owned(), reason: "takes an hour".to_owned() };
        let mut tally = Tally { passed: 3, skips: vec![skip], ..Tally::default() };
        refuse_skips(&mut tally);
        assert_eq!(tally.summary(), "3 passed, 1 failed, 0 skipped");
        assert_eq!(tally.failures, ["slow was skipped and everything is required: takes an hour"]);
    }
}
