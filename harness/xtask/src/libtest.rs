//! Reads what `cargo test -- --show-output` prints, line by line: what to count and what to show. Pure.
//!
//! libtest has no stable machine format, so this reads the human one:
//!
//! ```text
//!      Running unittests src/lib.rs (target/debug/deps/units-0123)      (cargo)
//! running 2 tests
//! test a ... ok
//! test b ... FAILED
//!
//! successes:                                                           (--show-output)
//!
//! ---- a stdout ----
//! SKIP a: there is no nginx on PATH
//!
//!
//! successes:
//!     a
//!
//! failures:
//!
//! ---- b stdout ----
//! ...
//! failures:
//!     b
//!
//! test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
//! ```
//!
//! Counts come from `test result`, for a child process may write into the middle of a `test … ok` line. A binary that
//! ends without its result has crashed (or left by `exit`): one failure. So does every test target with a harness of
//! its own; there is none here.

use testing::SKIP;

/// A test that did not run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) test: String,
    pub(crate) reason: String,
}

/// What a run of tests amounted to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that ran and passed. Skips are not among them.
    pub(crate) passed: usize,
    /// Failed tests, and binaries that crashed or did not compile.
    pub(crate) failed: usize,
    /// What failed, as far as it told its name.
    pub(crate) failures: Vec<String>,
    /// Tests that said `SKIP`, and ignored ones.
    pub(crate) skips: Vec<Skip>,
}

impl Tally {
    /// The last line of every run.
    pub(crate) fn summary(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips.len())
    }

    /// One more failure that no test told.
    pub(crate) fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
    }
}

/// Where in the output of one test binary a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Cargo speaks.
    Outside,
    /// A binary has been started and lists its tests.
    Tests,
    /// What passed tests printed.
    Successes,
    /// The names of passed tests, told again.
    PassedNames,
    /// What failed tests printed, and their names told again.
    Failures,
}

/// Takes the lines of one `cargo test`, in order.
#[derive(Debug)]
pub(crate) struct Reader {
    tally: Tally,
    place: Place,
    /// The binary that runs now, in cargo's words, until it tells its result.
    running: Option<String>,
    /// The passed test whose output is being read, until it says `SKIP`.
    block: Option<String>,
    /// How many of the running binary's passed tests said `SKIP`.
    skipped: usize,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { tally: Tally::default(), place: Place::Outside, running: None, block: None, skipped: 0 }
    }

    /// Counts a line. Answers whether it is worth showing: everything of cargo and of failed tests is, what passed
    /// tests say is not.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        match self.place {
            Place::Successes => {
                if line == "successes:" {
                    self.place = Place::PassedNames;
                } else {
                    self.passed_output(line);
                }
                return false;
            }
            Place::PassedNames if line.is_empty() || line.starts_with("    ") => return false,
            Place::Outside | Place::Tests | Place::PassedNames | Place::Failures => {}
        }
        if let Some(counts) = Counts::read(line) {
            self.result(counts);
            return counts.passed + counts.failed + counts.ignored > 0;
        }
        if let Some(binary) = started(line) {
            self.crashed();
            self.running = Some(binary.to_owned());
            self.place = Place::Tests;
            return true;
        }
        match (self.place, line) {
            (Place::Tests, "successes:") => {
                self.place = Place::Successes;
                return false;
            }
            (Place::Tests | Place::PassedNames, "failures:") => self.place = Place::Failures,
            (Place::Tests, _) => return self.listed(line),
            // Merged and single documentation tests each tell a result: one heading, several lists.
            (Place::Outside, _) if line.starts_with("running ") => {
                self.place = Place::Tests;
                return false;
            }
            (Place::Outside, _) if line.starts_with("error: could not compile `") => {
                self.tally.fail(line.trim_start_matches("error: ").to_owned());
            }
            _ => {}
        }
        true
    }

    /// The end of the output. `succeeded` is what cargo's exit code says: a failure that no line told is one, too.
    pub(crate) fn finish(mut self, succeeded: bool) -> Tally {
        self.crashed();
        if !succeeded && self.tally.failed == 0 {
            self.tally.fail("cargo test ended with an error of its own".to_owned());
        }
        self.tally
    }

    /// A line in the list of tests.
    fn listed(&mut self, line: &str) -> bool {
        let Some((test, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            return !line.is_empty() && !line.starts_with("running ");
        };
        match outcome.split_once(", ").unwrap_or((outcome, "")) {
            ("ok", _) => false,
            ("FAILED", _) => {
                self.tally.failures.push(test.to_owned());
                true
            }
            ("ignored", reason) => {
                let reason = if reason.is_empty() { "ignored" } else { reason };
                self.tally.skips.push(Skip { test: test.to_owned(), reason: reason.to_owned() });
                false
            }
            _ => true,
        }
    }

    /// A line that a passed test printed.
    fn passed_output(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.block = Some(test.to_owned());
        } else if let Some((_, reason)) =
            line.strip_prefix(SKIP).and_then(|rest| rest.strip_prefix(' ')?.split_once(": "))
            && let Some(test) = self.block.take()
        {
            self.tally.passed -= 1_usize.min(self.tally.passed);
            self.skipped += 1;
            self.tally.skips.push(Skip { test, reason: reason.to_owned() });
        }
    }

    fn result(&mut self, counts: Counts) {
        self.tally.passed += counts.passed.saturating_sub(self.skipped);
        self.tally.failed += counts.failed;
        (self.running, self.block, self.skipped) = (None, None, 0);
        self.place = Place::Outside;
    }

    /// If a binary was still running, it will not tell its result any more.
    fn crashed(&mut self) {
        if let Some(binary) = self.running.take() {
            self.tally.fail(format!("{binary} ended without a result"));
        }
        (self.block, self.skipped) = (None, 0);
        self.place = Place::Outside;
    }
}

/// The binary that cargo says it starts.
fn started(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let binary = line.strip_prefix("Running ").filter(|rest| rest.ends_with(')'));
    binary.or_else(|| line.starts_with("Doc-tests ").then_some(line))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Counts {
    /// Of a `test result` line.
    fn read(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut counts = counts.split("; ");
        let mut next = |what: &str| counts.next()?.strip_suffix(what)?.trim().parse().ok();
        Some(Self { passed: next("passed")?, failed: next("failed")?, ignored: next("ignored")? })
    }
}

#[cfg(test)]
mod tests;
