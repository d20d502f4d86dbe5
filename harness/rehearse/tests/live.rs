//! `rehearse run` with real sockets, a real driver child and real signals.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Smoke, shortened: stand-up, two seconds of warm-up and four to be judged.
fn short() -> String {
    scenarios::find("smoke")
        .unwrap()
        .text
        .replace("name: warm-up, kind: warm-up, duration: 10s", "name: warm-up, kind: warm-up, duration: 2s")
        .replace("duration: 45s", "duration: 10s")
        .replace("duration: 8s", "duration: 3s")
}

/// The shipped platform without the seconds that its probes wait at first.
fn quick() -> String {
    let rendered = include_str!("../../../kind-config/platform/rendered/production.yaml");
    assert!(rendered.contains("initialDelaySeconds: 5"), "the test is out of date");
    rendered.replace("initialDelaySeconds: 5", "initialDelaySeconds: 0")
}

struct Live {
    folder: TempDir,
    child: Child,
    said: Vec<String>,
}

impl Live {
    /// Starts `rehearse run short.yaml` in a folder of its own, through a shell that may lower a limit first.
    fn start(before: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("short.yaml"), short()).unwrap();
        fs::write(folder.path().join("quick.yaml"), quick()).unwrap();
        let script = format!("{before} exec \"$0\" run short.yaml --platform quick.yaml --errors tell");
        let child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_rehearse")])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child, said: Vec::new() }
    }

    /// Reads standard error up to a line that contains `word`.
    fn until(&mut self, word: &str) {
        let stderr = self.child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr);
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "`{word}` never came: {:?}", self.said);
            let found = line.contains(word);
            self.said.push(line);
            if found {
                break;
            }
        }
        self.child.stderr = Some(lines.into_inner());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit code (`None`: killed), standard output, standard error.
    fn end(mut self) -> (Option<i32>, String, String, TempDir) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut rest).unwrap();
        let mut out = String::new();
        std::io::Read::read_to_string(&mut self.child.stdout.take().unwrap(), &mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, out, self.said.concat() + &rest, self.folder)
    }
}

fn run_folder(folder: &Path) -> PathBuf {
    fs::read_dir(folder.join("rehearsals")).unwrap().next().unwrap().unwrap().path()
}

/// Processes whose parent is `pid`, or that were left to init, and that are load drivers of ours.
fn drivers_of(pid: u32) -> Vec<u32> {
    let children = |entry: fs::DirEntry| -> Option<u32> {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let parent: u32 = status.lines().find_map(|l| l.strip_prefix("PPid:"))?.trim().parse().ok()?;
        (parent == pid).then_some(child)
    };
    fs::read_dir("/proc").unwrap().filter_map(|e| children(e.unwrap())).collect()
}

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// Waits, with a long limit, until none of `pids` lives.
#[expect(clippy::disallowed_methods, reason = "a test polls another process, whose end no clock of ours knows")]
fn gone(pids: &[u32]) -> bool {
    for _ in 0..500 {
        if !pids.iter().any(|pid| lives(*pid)) {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

#[test]
fn a_live_run_passes_and_its_twin_agrees() {
    // Somebody already listens on the services' port on every address: pods take another one and say so.
    let taken = TcpListener::bind("0.0.0.0:8000");
    let mut live = Live::start("");
    live.until("load has ended");
    let (code, out, err, folder) = live.end();
    let run = run_folder(folder.path());
    let report = fs::read_to_string(run.join("twin.json")).unwrap_or_default();
    // An overloaded machine makes a run invalid, which is the right answer there; anything else is a failure.
    assert!(matches!(code, Some(0 | 92)), "{code:?}\n{out}{err}");
    assert!(out.starts_with(if code == Some(0) { "PASS" } else { "INVALID" }), "{out}");
    let twin: reports::Twin = serde_json::from_str(&report).unwrap();
    assert_eq!((twin.n_live, twin.matched), (twin.n_simulated, twin.n_live), "the same requests in both");
    // All requests together: a step alone has too few of them here, and the whole platform shares two cores with
    // other tests. A longer run is compared step by step, by hand.
    let all = &twin.rows[0];
    assert_eq!(all.step, None);
    assert!(code == Some(92) || all.quantiles.iter().all(|quantile| quantile.within), "{report}");
    if taken.is_ok() {
        assert!(err.contains("port 8000 of") && err.contains("another process"), "{err}");
    }
}

#[test]
fn one_address_is_enough_for_everybody() {
    let (code, out, err, folder) = Live::start("export REHEARSE_ONE_ADDRESS=1;").end();
    assert!(matches!(code, Some(0 | 92)), "{code:?}\n{out}{err}");
    assert!(err.contains("ports of 127.0.0.1"), "it is told: {err}");
    let result: record::RunResult = record::RunFolder::read_json(&run_folder(folder.path()), "result.json").unwrap();
    let limited = |flow: &str| -> (u64, u64) {
        let steps = || result.steps.iter().filter(|step| step.flow == flow);
        (steps().filter_map(|s| s.failed.get(&record::Cause::Limited)).sum(), steps().map(|step| step.n).sum())
    };
    // Clients are told apart by what the driver says of them: one is greedy, and nobody else pays for it.
    assert!(limited("probe").0 > 0, "{err}");
    assert!(limited("core").0 == 0 && limited("core").1 > 100, "{:?}", limited("core"));
}

#[test]
fn an_interrupted_run_keeps_what_it_measured_and_leaves_nothing_running() {
    let mut live = Live::start("");
    live.until("phase step");
    let drivers = drivers_of(live.child.id());
    assert_eq!(drivers.len(), 1, "one load driver");
    live.signal(Signal::INT);
    let (code, out, err, folder) = live.end();
    assert_eq!(code, Some(130), "{out}{err}");
    assert!(out.starts_with("INTERRUPTED"), "{out}");
    let result: record::RunResult = record::RunFolder::read_json(&run_folder(folder.path()), "result.json").unwrap();
    assert!(result.steps.iter().map(|step| step.n).sum::<u64>() > 0, "something was measured");
    assert!(run_folder(folder.path()).join("report.html").exists());
    assert!(gone(&drivers), "the driver still runs");
}

#[test]
fn an_interrupt_before_load_leaves_nothing_running_and_says_so() {
    let mut live = Live::start("");
    live.until("embedded backend");
    live.signal(Signal::INT);
    let pid = live.child.id();
    let (code, _, err, _) = live.end();
    // Before the handler is in place the signal simply ends the process.
    assert!(code == Some(130) || code.is_none(), "{code:?} {err}");
    assert!(gone(&drivers_of(pid)));
}

#[test]
fn the_driver_dies_with_its_parent_and_events_are_kept() {
    let mut live = Live::start("");
    live.until("phase step");
    let drivers = drivers_of(live.child.id());
    live.signal(Signal::KILL);
    let (code, _, _, folder) = live.end();
    assert_eq!(code, None);
    assert!(gone(&drivers), "the driver outlived its parent");
    let events = fs::read_to_string(run_folder(folder.path()).join("events.jsonl")).unwrap();
    assert!(events.lines().count() > 10 && events.contains("\"phase\":\"step\""), "{events}");
}

#[test]
fn a_killed_driver_makes_the_run_invalid_and_it_is_repeated_once() {
    let mut live = Live::start("");
    live.until("phase step");
    let drivers = drivers_of(live.child.id());
    kill_process(Pid::from_raw(drivers[0].cast_signed()).unwrap(), Signal::KILL).unwrap();
    let (code, out, err, _) = live.end();
    assert!(err.contains("the run is invalid and kept in"), "{err}");
    // Nobody kills the driver of the second one; an overloaded machine may make it invalid, too.
    assert!(matches!(code, Some(0 | 92)), "{code:?}\n{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn too_few_open_files_are_refused_with_the_number_that_would_do() {
    let (code, out, err, _) = Live::start("ulimit -n 256 &&").end();
    assert_eq!((code, out.as_str()), (Some(30), ""), "{err}");
    assert!(err.contains("open files") && err.contains("ulimit -n"), "{err}");
}

#[test]
fn a_disk_that_is_full_loses_no_verdict() {
    // The shell's limit on file sizes stands in for a full disk: no file may grow beyond 8 KiB.
    let (code, out, err, _) = Live::start("trap '' XFSZ; ulimit -f 8;").end();
    assert_eq!(code, Some(30), "{out}{err}");
    assert!(
        ["PASS", "UNDECIDED", "INVALID"].iter().any(|word| out.starts_with(word)),
        "the verdict is told all the same: {out}"
    );
    assert!(err.contains("error: cannot write"), "{err}");
}
