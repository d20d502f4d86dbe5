//! The same bytes everywhere: what two shipped scenarios come to in virtual time, held to committed digests. Whoever builds it, in whichever profile and with whichever features, gets these bytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use record::RunResult;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Scenarios: what is usual, and what fails, is limited and scales.
const RUNS: [&str; 2] = ["smoke", "nightly"];
const FILES: [&str; 2] = ["result.json", "events.jsonl"];
/// What was committed.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");
/// Set to write the digests anew instead of holding the runs to them.
const BLESS: &str = "REHEARSE_BLESS";

/// A line in figures for people, then a digest of each file.
fn play(scenario: &str) -> String {
    let folder = TempDir::new().unwrap();
    let args = ["simulate", scenario, "--quiet", "--format", "json", "--out", "."];
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).args(args).current_dir(folder.path()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let within =
        fs::read_dir(folder.path()).unwrap().next().unwrap_or_else(|| panic!("{scenario} was not played: {err}"));
    let within = within.unwrap().path();
    let read = |file: &str| fs::read(within.join(file)).unwrap();
    let result: RunResult = serde_json::from_slice(&read("result.json")).unwrap();
    let events = String::from_utf8(read("events.jsonl")).unwrap().lines().count();
    let offered: u64 = result.timeline.windows.iter().map(|window| window.offered).sum();
    let p95 = result.percentile(95.0).unwrap_or_default();
    let mut told = format!("{scenario}: {offered} requests, {events} events, p95 {p95} us\n");
    for file in FILES {
        let digest = Sha256::digest(read(file));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(told, "{scenario}: {file} {hex}").unwrap();
    }
    told
}

#[test]
fn the_shipped_scenarios_come_to_the_same_bytes_on_every_machine() {
    let got: String = RUNS.iter().map(|scenario| play(scenario)).collect();
    if std::env::var_os(BLESS).is_some() {
        fs::write(Path::new(GOLDEN), &got).unwrap();
        return;
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    let differ: Vec<_> = golden.lines().zip(got.lines()).filter(|(golden, got)| golden != got).collect();
    let told: String = differ.iter().map(|(golden, got)| format!("  {golden}\n  {got} (now)\n")).collect();
    assert!(
        golden == got,
        "what virtual time comes to has changed, and not the machine: no clock, core or map order enters these bytes, \
         only code, manifests, scenarios, profiles and objectives.\n{told}If it was meant, say why in the commit, and \
         write the digests anew: {BLESS}=1 cargo test -p rehearse --test golden. If nothing was changed, what comes out \
         depends on the build, which is a bug: compare the two files of a debug and a release build."
    );
}
