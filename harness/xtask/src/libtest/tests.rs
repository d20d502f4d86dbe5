//! Sample outputs, as cargo 1.95 prints them.

use super::*;

fn read(output: &str, succeeded: bool) -> (Tally, String) {
    let mut reader = Reader::new();
    let shown: Vec<&str> = output.lines().filter(|line| reader.line(line)).collect();
    (reader.finish(succeeded), shown.join("\n"))
}

fn skip(test: &str, reason: &str) -> Skip {
    Skip { test: test.to_owned(), reason: reason.to_owned() }
}

const GOOD: &str = "\
   Compiling units v0.1.0
    Finished `test` profile [optimized] target(s) in 0.10s
     Running unittests src/lib.rs (target/debug/deps/units-01)

running 3 tests
test quantity::a_quarter ... ok
test quantity::b ... ok
test slow ... ignored, takes an hour

successes:

---- quantity::a_quarter stdout ----
test result: this line is not one
chatter


successes:
    quantity::a_quarter
    quantity::b

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests units

running 1 test
test harness/units/src/lib.rs - units::Millicores (line 7) ... ok

successes:

successes:
    harness/units/src/lib.rs - units::Millicores (line 7)

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.21s

running 1 test
test harness/units/src/lib.rs - units (line 1) - compile fail ... ok

successes:

successes:
    harness/units/src/lib.rs - units (line 1) - compile fail

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.03s
";

#[test]
fn passed_and_ignored_tests_are_counted_and_their_output_stays_away() {
    let (tally, shown) = read(GOOD, true);
    assert_eq!(tally.summary(), "4 passed, 0 failed, 1 skipped");
    assert_eq!(tally.skips, [skip("slow", "takes an hour")]);
    assert!(shown.contains("Compiling units") && shown.contains("Doc-tests units"), "{shown}");
    assert!(!shown.contains("chatter") && !shown.contains("a_quarter"), "{shown}");
}

const SKIPPED: &str = "\
     Running tests/manifests/main.rs (target/debug/deps/manifests-02)

running 3 tests
test fresh ... ok
test plain ... ok
test valid ... ok

successes:

---- fresh stdout ----
SKIP the_name_it_gave_itself: there is no kustomize or kubectl on PATH
SKIP fresh: told twice

---- valid stdout ----
looking for nginx
SKIP valid: there is no nginx on PATH: sorry


successes:
    fresh
    plain
    valid

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

#[test]
fn a_skip_is_taken_from_the_passed_ones_once() {
    let (tally, _) = read(SKIPPED, true);
    let want =
        [skip("fresh", "there is no kustomize or kubectl on PATH"), skip("valid", "there is no nginx on PATH: sorry")];
    assert_eq!((tally.summary().as_str(), tally.skips.as_slice()), ("1 passed, 0 failed, 2 skipped", want.as_slice()));
}

const FAILED: &str = "\
     Running unittests src/lib.rs (target/debug/deps/gateway-03)

running 3 tests
test good ... ok
test bad ... FAILED
test chatty ... ok

successes:

---- chatty stdout ----
hidden


successes:
    chatty
    good

failures:

---- bad stdout ----
SKIP bad: said before it failed

thread 'bad' panicked at src/lib.rs:9:5:
assertion failed: false


failures:
    bad

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass `-p gateway --lib`
";

#[test]
fn a_failed_test_is_counted_named_and_shown_in_full() {
    let (tally, shown) = read(FAILED, false);
    assert_eq!(tally.summary(), "2 passed, 1 failed, 0 skipped");
    assert_eq!(tally.failures, ["bad"]);
    for line in
        ["test bad ... FAILED", "SKIP bad: said before it failed", "assertion failed: false", "error: test failed"]
    {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    assert!(!shown.contains("hidden") && !shown.contains("chatty"), "{shown}");
}

#[test]
fn what_tells_no_result_is_a_failure() {
    let crash = "     Running unittests src/lib.rs (target/debug/deps/model-04)\n\nrunning 2 tests\ntest fine ... ok\n";
    let signal =
        "error: test failed, to rerun pass `-p model --lib`\n\nCaused by:\n  process didn't exit successfully\n";
    for (case, output, succeeded, summary, failures) in [
        (
            "a crash at the end",
            format!("{crash}{signal}"),
            false,
            "0 passed, 1 failed, 0 skipped",
            vec!["unittests src/lib.rs (target/debug/deps/model-04) ended without a result"],
        ),
        (
            "a crash before other binaries, whose results count",
            format!("{crash}{signal}{GOOD}"),
            false,
            "4 passed, 1 failed, 1 skipped",
            vec!["unittests src/lib.rs (target/debug/deps/model-04) ended without a result"],
        ),
        (
            "a binary that left by exit(0)",
            crash.to_owned(),
            true,
            "0 passed, 1 failed, 0 skipped",
            vec!["unittests src/lib.rs (target/debug/deps/model-04) ended without a result"],
        ),
        (
            "two crates do not compile",
            "error[E0425]: cannot find value `x`\n\nerror: could not compile `stage` (lib) due to 1 previous error\n\
             warning: build failed, waiting for other jobs to finish...\n\
             error: could not compile `reports` (lib test) due to 2 previous errors\n"
                .to_owned(),
            false,
            "0 passed, 2 failed, 0 skipped",
            vec![
                "could not compile `stage` (lib) due to 1 previous error",
                "could not compile `reports` (lib test) due to 2 previous errors",
            ],
        ),
        (
            "cargo itself fails",
            "error: no matching package named `x` found\n".to_owned(),
            false,
            "0 passed, 1 failed, 0 skipped",
            vec!["cargo test ended with an error of its own"],
        ),
        ("nothing to do", String::new(), true, "0 passed, 0 failed, 0 skipped", vec![]),
    ] {
        let (tally, _) = read(&output, succeeded);
        assert_eq!(
            (tally.summary().as_str(), tally.failures),
            (summary, failures.iter().map(|&f| f.to_owned()).collect()),
            "{case}"
        );
    }
}

#[test]
fn a_line_that_a_child_process_broke_does_not_lose_its_count() {
    let output = "     Running tests/child/main.rs (target/debug/deps/child-05)\n\nrunning 2 tests\ntest one ... child says\nok\n\
                  test two ... ok\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";
    let (tally, shown) = read(output, true);
    assert_eq!(tally.summary(), "2 passed, 0 failed, 0 skipped");
    assert!(shown.contains("child says"), "{shown}");
}
