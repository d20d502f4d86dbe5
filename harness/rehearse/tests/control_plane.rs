//! `rehearse run --backend control-plane` as a user has it: what is refused, what it plays, and what is left of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use record::{Conclusion, RunFolder, RunResult};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testing::{Need, needs};

fn rehearse(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = rehearse(folder, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn what_it_cannot_play_is_refused_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let nodes = "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nstatus: {allocatable: {cpu: 64, memory: 256Gi}}\n---\n\
                 apiVersion: rehearse/v1\nkind: NodeGroup\nmetadata: {name: pool}\nspec: {max: 3, provisionSeconds: 60, \
                 template: {status: {allocatable: {cpu: 16, memory: 64Gi}}}}\n";
    fs::write(folder.path().join("nodes.yaml"), nodes).unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let real = ["run", "smoke", "--backend", "control-plane", "--errors", "tell"];
    for (case, more, code, words) in [
        ("no programs", &["--kube-bin-dir", "empty"][..], 30, &["etcd is not found", "empty", "--kube-bin-dir"][..]),
        ("node groups", &["--nodes", "nodes.yaml"], 2, &["node groups", "no cluster autoscaler"]),
    ] {
        let (ended, out, err) = ended(folder.path(), &[&real[..], more].concat());
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{case}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{case}: {err}");
    }
}

/// A run of the production overlay whose probes wait for nothing, and which nobody scales.
struct Live {
    folder: TempDir,
    child: Child,
    said: BufReader<std::process::ChildStderr>,
    all: String,
}

impl Live {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let rendered = include_str!("../../../kind-config/platform/rendered/production.yaml");
        let documents = rendered.split("\n---\n").filter(|text| !text.contains("kind: HorizontalPodAutoscaler"));
        let text = documents.collect::<Vec<_>>().join("\n---\n");
        let quick: String = text
            .lines()
            .map(|line| match line.split_once("initialDelaySeconds: ") {
                Some((indent, _)) => format!("{indent}initialDelaySeconds: 0\n"),
                None => format!("{line}\n"),
            })
            .collect();
        fs::write(folder.path().join("quick.yaml"), quick).unwrap();
        let args = ["run", "smoke", "--backend", "control-plane", "--platform", "quick.yaml", "--errors", "tell"];
        let mut child = rehearse(folder.path(), &args).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { folder, child, said, all: String::new() }
    }

    /// Reads standard error up to a line that contains `word`.
    fn until(&mut self, word: &str) {
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "`{word}` never came: {}", self.all);
            self.all += &line;
            if line.contains(word) {
                return;
            }
        }
    }

    /// Children that are called so.
    fn children(&self, of: &str) -> Vec<Pid> {
        let child = |entry: fs::DirEntry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let is = |key: &str, want: &str| {
                status.lines().find_map(|line| line.strip_prefix(key)).is_some_and(|value| value.trim() == want)
            };
            (is("PPid:", &self.child.id().to_string()) && is("Name:", of)).then(|| Pid::from_raw(pid))?
        };
        fs::read_dir("/proc").unwrap().filter_map(|entry| child(entry.unwrap())).collect()
    }
}

#[test]
fn a_lost_component_voids_the_run_and_nothing_is_left() {
    if !needs("a_lost_component_voids_the_run_and_nothing_is_left", Need::ControlPlane) {
        return;
    }
    let mut live = Live::start();
    live.until("phase step");
    let etcd = live.children("etcd");
    assert_eq!(etcd.len(), 1, "{}", live.all);
    kill_process(etcd[0], Signal::KILL).unwrap();
    live.until("the run is invalid and kept in");
    live.until("objects applied"); // it is repeated, once
    kill_process(Pid::from_child(&live.child), Signal::INT).unwrap();
    live.said.read_to_string(&mut live.all).unwrap();
    assert_eq!(live.child.wait().unwrap().code(), Some(130), "{}", live.all);
    let folders = fs::read_dir(live.folder.path().join("rehearsals")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    let result: RunResult = RunFolder::read_json(&folders[0], "result.json").unwrap();
    assert_eq!(result.conclusion, Conclusion::Invalid);
    let lost = result.checks.iter().find(|check| check.name == "the control plane ran to the end").unwrap();
    assert!(!lost.ok && lost.measured.contains("etcd ended (signal: 9"), "{}", lost.measured);
    let events = fs::read_to_string(folders[0].join("events.jsonl")).unwrap();
    assert!(events.contains("\"event\":\"pod-scheduled\""), "the watches brought what the scheduler did");
    let (_, left, _) = ended(live.folder.path(), &["clean", "--dry-run"]);
    assert!(!left.contains(&format!("/{}-", live.child.id())), "{left}");
}
