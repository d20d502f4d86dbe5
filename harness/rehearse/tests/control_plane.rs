//! `rehearse run --backend control-plane` as a user has it: what is refused, what it plays, and what is left of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use record::{Conclusion, RunFolder, RunResult};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testing::{Need, needs};
use units::{Purpose, Seed};

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
    /// The shop, for six seconds, with a folder for temporary files of its own.
    fn of_shop() -> Self {
        let folder = TempDir::new().unwrap();
        let documents = include_str!("kind/shop.yaml").split("\n---\n");
        let documents = documents.filter(|text| !text.contains("kind: HorizontalPodAutoscaler")).collect::<Vec<_>>();
        fs::write(folder.path().join("shop.yaml"), documents.join("\n---\n")).unwrap();
        let week = include_str!("kind/week.yaml").replace("duration: 60s", "duration: 6s");
        let week = week.lines().filter(|line| !line.contains("name: rollout")).collect::<Vec<_>>().join("\n");
        fs::write(folder.path().join("week.yaml"), week).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let args = ["run", "week.yaml", "--backend", "control-plane", "--platform", "shop.yaml", "--errors", "tell"];
        let mut command = rehearse(folder.path(), &[&args[..], &["--no-tui"]].concat());
        let mut child = command.env("TMPDIR", folder.path().join("tmp")).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { folder, child, said, all: String::new() }
    }

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

/// What names the folder of a run on its command line.
fn processes(folder: &Path) -> Vec<String> {
    let line = |entry: fs::DirEntry| {
        let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        line.contains(&folder.join("tmp").display().to_string()).then_some(line)
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| line(entry.ok()?)).collect()
}

/// A few of many instants and victims; `KILLS=50` tries more.
#[test]
fn whoever_is_killed_whenever_nothing_is_left() {
    if !needs("whoever_is_killed_whenever_nothing_is_left", Need::ControlPlane) {
        return;
    }
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3);
    let seed = Seed::new(8);
    for nth in 0..kills {
        let victims = ["rehearse", "kube-apiserver", "kube-controller-manager", "etcd", "kube-scheduler"];
        let victim = victims[nth as usize % victims.len()];
        let after = Duration::from_millis(500 + seed.draw_nth(nth, Purpose::Phase).below(9_000) as u64);
        let mut live = Live::of_shop();
        sleep(after);
        let case = format!("{victim} after {} ms", after.as_millis());
        let hit = match victim {
            "rehearse" => Some(Pid::from_child(&live.child)),
            // Comm has 15 characters.
            component => live.children(&component[..component.len().min(15)]).pop(),
        };
        let hit = hit.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
        let mut line = String::new();
        while live.said.read_line(&mut line).unwrap() > 0 {
            if line.contains("it is repeated once") {
                kill_process(Pid::from_child(&live.child), Signal::INT).unwrap();
            }
            live.all += &std::mem::take(&mut line);
        }
        let (code, said) = (live.child.wait().unwrap().code(), &live.all);
        match code {
            None => assert_eq!(victim, "rehearse", "{case}: {said}"),
            Some(30) => assert!(hit && said.contains(&format!("{victim} ended")), "{case}: {said}"),
            Some(130) => marked(live.folder.path(), victim, &case),
            // It was not there yet, or the run was over.
            Some(code) => assert!([0, 91, 92, 99].contains(&code), "{case}: {code}: {said}"),
        }
        let clean = |words: &[&str]| {
            let mut command = rehearse(live.folder.path(), words);
            let output = command.env("TMPDIR", live.folder.path().join("tmp")).output().unwrap();
            assert!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let mut waits = 0;
        while !processes(live.folder.path()).is_empty() {
            assert!(waits < 100, "{case}: {:?}", processes(live.folder.path()));
            waits += 1;
            sleep(Duration::from_millis(100));
        }
        let (would, did) = (clean(&["clean", "--dry-run"]), clean(&["clean"]));
        assert_eq!(would.replace("would remove", "removed"), did, "{case}");
        assert_eq!(did.contains("removed folder"), code.is_none(), "{case}: {did}");
        // The files that addresses are leased by stay; the locks on them do not.
        let roots = fs::read_dir(live.folder.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path());
        let left = roots.filter(|root| !root.display().to_string().contains("rehearse-leases-"));
        let left: Vec<_> =
            left.flat_map(|root| fs::read_dir(root).unwrap()).map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{case}: {left:?}");
    }
}

/// The run that lost a component is marked, and what it measured is kept.
fn marked(folder: &Path, victim: &str, case: &str) {
    let folders = fs::read_dir(folder.join("rehearsals")).unwrap().map(|entry| entry.unwrap().path());
    let first = folders.min().unwrap();
    let result: RunResult = RunFolder::read_json(&first, "result.json").unwrap();
    assert_eq!(result.conclusion, Conclusion::Invalid, "{case}");
    let lost = result.checks.iter().find(|check| check.name == "the control plane ran to the end").unwrap();
    assert!(!lost.ok && lost.measured.contains(&format!("{victim} ended")), "{case}: {}", lost.measured);
    assert!(fs::metadata(first.join("events.jsonl")).unwrap().len() > 0, "{case}");
}

#[expect(clippy::disallowed_methods, reason = "another process goes on meanwhile, and nothing is measured by it")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}
