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

/// The shipped platform with probes that begin at once and ask every second: a test has no time for the real ones.
fn quick() -> String {
    let rendered = include_str!("../../../kind-config/platform/rendered/production.yaml");
    let line = |line: &str| {
        let (key, seconds) = line.split_once("Seconds: ")?;
        seconds.parse::<u32>().ok()?;
        match key.trim_start_matches([' ', '-']) {
            "initialDelay" => Some(format!("{key}Seconds: 0\n")),
            "period" => Some(format!("{key}Seconds: 1\n")),
            _ => None,
        }
    };
    rendered.lines().map(|text| line(text).unwrap_or_else(|| format!("{text}\n"))).collect()
}

struct Live {
    folder: TempDir,
    child: Child,
    said: Vec<String>,
}

impl Live {
    /// Starts `rehearse run short.yaml` in a folder of its own, through a shell that may lower a limit first.
    fn start(before: &str) -> Self {
        Self::with(before, "")
    }

    /// The same with more arguments.
    fn with(before: &str, arguments: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("short.yaml"), short()).unwrap();
        fs::write(folder.path().join("quick.yaml"), quick()).unwrap();
        let script = format!("{before} exec \"$0\" run short.yaml --platform quick.yaml --errors tell {arguments}");
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
    run_folders(folder).swap_remove(0)
}

fn run_folders(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("rehearsals")).unwrap().map(|entry| entry.unwrap().path()).collect()
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
#[expect(clippy::disallowed_methods, reason = "a test polls a file that another process writes")]
fn a_run_that_was_killed_is_finished_from_its_folder_and_loses_a_second_at_most() {
    let mut live = Live::start("");
    live.until("phase step");
    // Requests that were kept so far, as far as frames are whole.
    let kept = |run: &Path| -> u64 {
        let frames = fs::metadata(run.join("observations.bin")).map_or(0, |file| file.len());
        frames / record::Observation::FRAME as u64
    };
    let run = run_folder(live.folder.path());
    for _ in 0..500 {
        if kept(&run) > 50 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    live.signal(Signal::KILL);
    let (code, _, said, folder) = live.end();
    assert_eq!(code, None);
    let whole = kept(&run);
    assert!(run.join("observations.bin").exists() && !run.join("result.json").exists(), "{said}");
    let report = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
        let output = command.arg("report").arg(&run).current_dir(folder.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = report();
    assert_eq!(code, Some(130), "{out}{err}");
    assert!(out.starts_with("INTERRUPTED"), "{out}");
    assert!(err.contains("this run was cut off; finished from what it had kept, up to"), "{err}");
    let result: record::RunResult = record::RunFolder::read_json(&run, "result.json").unwrap();
    let due: u64 = result.steps.iter().map(|step| step.n).sum();
    assert!(due == whole && due > 50, "{due} of {whole}");
    assert!(result.steps.iter().all(|step| step.journey == "core-flow" || step.journey == "hammer"));
    assert!(run.join("report.html").exists() && !run.join("observations.bin").exists());
    let again = report();
    assert_eq!((again.0, again.1), (code, out), "a second time there is nothing to finish");
}

#[test]
fn a_folder_is_not_finished_while_its_run_is_under_way() {
    let mut live = Live::start("");
    live.until("phase warm-up");
    let run = run_folder(live.folder.path());
    let output = Command::new(env!("CARGO_BIN_EXE_rehearse")).arg("report").arg(&run).output().unwrap();
    assert_eq!(output.status.code(), Some(30));
    assert!(String::from_utf8_lossy(&output.stderr).contains("still under way"), "{output:?}");
    live.signal(Signal::INT);
    assert_eq!(live.end().0, Some(130));
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let mut live = Live::start("");
    live.until("phase step");
    let drivers = drivers_of(live.child.id());
    live.signal(Signal::INT);
    live.signal(Signal::TERM); // two of the same kind may be heard as one
    let (code, out, err, folder) = live.end();
    assert_eq!(code, Some(130), "{out}{err}");
    assert!(run_folder(folder.path()).join("result.json").exists(), "what was measured is kept");
    assert!(gone(&drivers), "the driver still runs");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the process must stand still for that long")]
fn a_process_that_stood_still_makes_the_run_invalid_and_says_so() {
    for (case, who) in [("the platform's", "the platform"), ("the driver's", "the load driver")] {
        let mut live = Live::start("");
        live.until("phase step");
        let stopped = match who {
            "the platform" => Pid::from_child(&live.child),
            _ => Pid::from_raw(drivers_of(live.child.id())[0].cast_signed()).unwrap(),
        };
        kill_process(stopped, Signal::STOP).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(2));
        kill_process(stopped, Signal::CONT).unwrap();
        let (code, out, err, folder) = live.end();
        assert!(err.contains(&format!("{who} stood still for")), "{case}: {err}");
        // It is repeated once, and nobody stops that one; an overloaded machine may make it invalid, too.
        assert!(matches!(code, Some(0 | 92)), "{case}: {code:?} {out}{err}");
        assert!(err.contains("the run is invalid and kept in"), "{case}: {err}");
        let invalid = run_folders(folder.path()).into_iter().find(|run| {
            let result: record::RunResult = record::RunFolder::read_json(run, "result.json").unwrap();
            let stood = result.checks.iter().find(|check| check.name.contains("stood still")).unwrap();
            result.conclusion == record::Conclusion::Invalid && !stood.ok
        });
        assert!(invalid.is_some(), "{case}: {out}");
    }
}

#[test]
fn more_than_this_machine_carries_is_refused_at_once_with_what_would_do() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("flood.yaml"), short().replace("step: 24/s", "step: 9000/s")).unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" run flood.yaml --seed 7", env!("CARGO_BIN_EXE_rehearse")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    // So many requests may already need more files than this machine opens, which is told first.
    assert!(matches!(output.status.code(), Some(92 | 30)), "{err}");
    if output.status.code() == Some(92) {
        assert!(err.contains("requests/s at its peak") && err.contains("times its rates"), "{err}");
        assert!(err.contains("rehearse simulate flood.yaml --seed 7"), "{err}");
    }
    assert!(!folder.path().join("rehearsals").exists(), "a run folder was made for nothing");
}

#[test]
fn the_page_shows_the_run_and_goes_with_it() {
    let mut live = Live::with("", "--live");
    live.until("the run as a page: http://");
    let line = live.said.last().unwrap();
    let address = line.trim().rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    let ask = |path: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        stream
    };
    live.until("phase step");
    let mut page = String::new();
    std::io::Read::read_to_string(&mut ask("/"), &mut page).unwrap();
    assert!(page.contains("<!doctype html>") && !page.contains("https://"), "{page}");
    let mut events = BufReader::new(ask("/events"));
    let mut line = String::new();
    while !line.starts_with("data: {") {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0, "the stream ended");
    }
    let state: serde_json::Value = serde_json::from_str(&line["data: ".len()..]).unwrap();
    assert_eq!(state["head"]["scenario"], "smoke");
    assert_eq!(state["stage"], "load");
    assert!(state["replicas"]["transactions-service"].is_array(), "{state}");
    live.signal(Signal::INT);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut events, &mut rest).ok(); // ends with the process
    assert_eq!(live.end().0, Some(130));
}

#[test]
fn goose_itself_can_send_the_load() {
    let mut live = Live::with("", "--driver goose-native");
    live.until("load has ended");
    let (code, out, err, folder) = live.end();
    assert!(matches!(code, Some(0 | 92)), "{code:?}\n{out}{err}");
    let run = run_folder(folder.path());
    let result: record::RunResult = record::RunFolder::read_json(&run, "result.json").unwrap();
    let steps = result.steps.iter().filter(|step| step.phase == "step" && step.journey == "core-flow");
    assert!(steps.clone().count() >= 4, "{out}");
    for step in steps {
        assert!(step.n > 10 && step.first_byte.is_some() && step.statuses.keys().all(|s| *s < 500), "{step:?}");
    }
    assert!(result.pods.iter().any(|pod| pod.pod.starts_with("auth-service-") && pod.n > 0), "{:?}", result.pods);
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
    // The shell's limit on file sizes stands in for a full disk: no file may grow beyond 64 KiB.
    let (code, out, err, _) = Live::start("trap '' XFSZ; ulimit -f 128;").end();
    assert_eq!(code, Some(30), "{out}{err}");
    assert!(
        ["PASS", "UNDECIDED", "INVALID"].iter().any(|word| out.starts_with(word)),
        "the verdict is told all the same: {out}"
    );
    assert!(err.contains("error: cannot write"), "{err}");
}
