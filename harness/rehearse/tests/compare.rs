//! Runs held against each other, as their callers see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Half a minute of two steps: enough requests to compare, and little to wait for.
const SCENARIO: &str = "\
apiVersion: rehearse/v1
kind: Scenario
metadata: {name: short, question: Does it differ?}
spec:
  host: api.selfmonitor.app
  timeout: 10s
  phases:
    - {name: warm-up, kind: warm-up, duration: 5s}
    - {name: steady, kind: steady, duration: 150s}
  journeys:
    core:
      flow: core
      steps:
        - {name: token, request: POST /auth/token, payload: credentials}
        - {name: create transaction, request: POST /transactions/, payload: transaction}
  load:
    - {journey: core, clients: 300, rate: {warm-up: 5/s, steady: 10/s}}
";

/// Exit code, standard output, standard error.
fn rehearse(folder: &Path, args: &[&str]) -> (i32, String, String) {
    fs::write(folder.join("short.yaml"), SCENARIO).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Simulates, and returns the run folder.
fn run(folder: &Path, out: &str, more: &[&str]) -> PathBuf {
    let args: Vec<&str> =
        ["simulate", "short.yaml", "-q", "--undecided", "pass", "--out", out].iter().chain(more).copied().collect();
    let (code, _, err) = rehearse(folder, &args);
    assert!([0, 90, 99].contains(&code), "{code}: {err}");
    fs::read_dir(folder.join(out)).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn two_runs_in_virtual_time_are_compared_exactly() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let (one, again) = (run(at, "one", &[]), run(at, "again", &[]));
    let text = |path: &PathBuf| path.display().to_string();
    let (code, out, err) = rehearse(at, &["compare", &text(&one), &text(&again)]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("IDENTICAL: "), "{out}");
    // Fewer replicas.
    let small = run(at, "small", &["--overlay", "staging"]);
    let (code, out, _) = rehearse(at, &["compare", &text(&one), &text(&small)]);
    assert_eq!(code, 90, "{out}");
    assert!(out.starts_with("REGRESSION: ") && out.contains("▲ WORSE"), "{out}");
    let (code, out, _) = rehearse(at, &["compare", &text(&small), &text(&one)]);
    assert_eq!(code, 0, "what got better is no regression: {out}");
    let (code, out, err) = rehearse(at, &["compare", &text(&one), &text(&small), "--format", "json"]);
    let comparison: record::Comparison = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {err}"));
    assert_eq!((code, comparison.kind), (90, record::ComparisonKind::Exact));
    let other = run(at, "other", &["--seed", "2"]);
    let (code, out, _) = rehearse(at, &["compare", &text(&one), &text(&other)]);
    assert!(code == 0 && out.contains("--seed 1"), "other seeds only advise: {out}");
    let (code, _, err) = rehearse(at, &["compare", &text(&one), "nowhere"]);
    assert!(code == 2 && err.contains("nowhere"), "{code} {err}");
}

#[test]
fn pairs_are_played_in_turns_and_a_platform_equals_itself() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let (code, out, err) =
        rehearse(at, &["simulate", "short.yaml", "--against", "git-less", "--pairs", "1", "--undecided", "pass"]);
    assert_eq!(code, 20, "a platform that is not there: {out}{err}");
    let (code, out, err) = rehearse(
        at,
        &["simulate", "short.yaml", "--control", "--pairs", "6", "--history", "kept", "--undecided", "pass"],
    );
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("NO REGRESSION: ") && out.contains("control: 0 of 1"), "{out}");
    let control = fs::read_to_string(at.join("kept/short/control.jsonl")).unwrap();
    assert!(control.lines().count() == 1 && control.contains("\"alarm\":false"), "{control}");
}

#[test]
fn a_history_grows_and_an_accepted_run_is_what_later_ones_are_held_against() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let first = run(at, "first", &["--history", "kept", "--objective", "p95<10s for core"]);
    let kept: Vec<_> = fs::read_dir(at.join("kept/short")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].metadata().unwrap().len() < 100_000);
    let path = first.display().to_string();
    let (code, _, err) = rehearse(at, &["baseline", "accept", &path, "--history", "kept", "--reason", " "]);
    assert!(code == 2 && err.contains("--reason is empty"), "{err}");
    let accept = ["baseline", "accept", &path, "--history", "kept", "--reason", "the first", "--even-so"];
    let (code, out, err) = rehearse(at, &accept);
    assert!(code == 0 && out.starts_with("accepted: "), "{out}{err}");
    let (_, out, _) = rehearse(at, &["baseline", "list", "--history", "kept"]);
    assert!(out.contains("the first"), "{out}");
    let second = run(at, "second", &["--history", "kept", "--overlay", "staging"]);
    let comparison = fs::read_to_string(second.join("comparison.json")).unwrap();
    let comparison: record::Comparison = serde_json::from_str(&comparison).unwrap();
    assert_eq!(comparison.conclusion, record::Compared::Regression);
    assert!(comparison.notes.iter().any(|note| note.contains("the first")), "{:?}", comparison.notes);
    let (code, out, _) = rehearse(at, &["history", "kept"]);
    assert!(code == 0 && out.contains("short, simulated") && out.contains("token"), "{out}");
}
