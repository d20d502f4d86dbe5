//! `rehearse run --backend containers`: real containers, and nothing left of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![expect(clippy::disallowed_methods, reason = "it looks again and again at what other processes do")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testing::{Need, as_root, needs};

/// Tries of a quarter of a second: far more than anything here takes.
const TRIES: u32 = 480;

const REHEARSE: &str = env!("CARGO_BIN_EXE_rehearse");

/// A little load through the real gateway to services that ask the real database and cache.
const SCENARIO: &str = "apiVersion: rehearse/v1
kind: Scenario
metadata: {name: short, question: Does the core flow come through real parts?}
spec:
  host: api.selfmonitor.app
  timeout: 10s
  phases: [{name: steady, kind: steady, duration: 6s}, {name: probe, kind: probe, duration: 2s}]
  journeys:
    core:
      flow: core
      steps: [{name: token, request: POST /auth/token}, {name: create, request: POST /transactions/}]
    hammer: {flow: probe, steps: [{name: profile, request: GET /users/me}]}
  load:
    - {journey: core, arrivals: even, clients: 40, rate: {steady: 8/s, probe: 4/s}}
    - {journey: hammer, arrivals: even, clients: 1, rate: {probe: 60/s}}
";

/// The smallest overlay of the shipped platform.
const DEVELOPMENT: &str = include_str!("../../../kind-config/platform/rendered/development.yaml");
/// One whose database has a standby.
const STAGING: &str = include_str!("../../../kind-config/platform/rendered/staging.yaml");

/// An overlay without the seconds that its probes wait at first.
fn quick(rendered: &str) -> String {
    assert!(rendered.contains("initialDelaySeconds: 5"), "the test is out of date");
    let quick = ["5", "10", "30"].iter().fold(rendered.to_owned(), |text, seconds| {
        text.replace(&format!("initialDelaySeconds: {seconds}\n"), "initialDelaySeconds: 0\n")
    });
    quick.replace("periodSeconds: 10\n", "periodSeconds: 1\n")
}

/// Builds the images, once for all tests.
fn images() {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let built = as_root(REHEARSE).args(["images", "build"]).output().unwrap();
        assert!(built.status.success(), "{}", told(&built));
    });
}

/// One platform at a time: two of them are some sixty containers, and what is late on two cores is not what is tested.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A run in a folder of its own. Its name is in the names of all that it makes.
struct Run {
    folder: TempDir,
    child: Child,
}

impl Run {
    fn start() -> Self {
        Self::of(SCENARIO, DEVELOPMENT)
    }

    fn of(scenario: &str, platform: &str) -> Self {
        images();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("short.yaml"), scenario).unwrap();
        fs::write(folder.path().join("platform.yaml"), quick(platform)).unwrap();
        let child = as_root(REHEARSE)
            .args(["run", "short.yaml", "--backend", "containers", "--platform", "platform.yaml", "--errors", "tell"])
            .args(["--no-tui", "--undecided", "pass"])
            .current_dir(folder.path())
            .env("TMPDIR", folder.path()) // the ledger, apart from those of other tests
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// The run's name, by the folder of its ledger, once containers of it run.
    fn name(&self) -> String {
        for _ in 0..TRIES {
            if let Some(name) = ledgers(self.folder.path()).pop()
                && things(&name).iter().filter(|thing| thing.starts_with("container")).count() > 3
            {
                return name;
            }
            thread::sleep(Duration::from_millis(250));
        }
        panic!("no container of the run was seen");
    }
}

/// The names of the runs whose folders are there.
fn ledgers(folder: &Path) -> Vec<String> {
    let base = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let base = base.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("rehearse-containers-"));
    base.flat_map(|base| fs::read_dir(base).unwrap())
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Everything that the daemon has of a run, by the word of the daemon's own client.
fn things(run: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (kind, arguments) in [
        ("container", vec!["ps", "--all", "--format", "{{.Names}}"]),
        ("network", vec!["network", "ls", "--format", "{{.Name}}"]),
        ("volume", vec!["volume", "ls", "--format", "{{.Name}}"]),
    ] {
        let output = as_root("docker").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        all.extend(names.lines().filter(|name| name.contains(run)).map(|name| format!("{kind} {name}")));
    }
    let routes = Command::new("ip").args(["route", "show", "table", "local"]).output().unwrap();
    let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
    all.extend(routes.lines().filter(|line| line.contains(run)).map(str::to_owned));
    all
}

/// Waits until nothing of a run is there any more.
fn gone(run: &str, folder: &Path) {
    for _ in 0..TRIES {
        if things(run).is_empty() && ledgers(folder).is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(250));
    }
    panic!("left of the run: {:?} {:?}", things(run), ledgers(folder));
}

/// What the pods whose names begin so have said.
fn log(run: &Path, pod: &str) -> String {
    let logs = fs::read_dir(run.join("logs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let of_pod = logs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(pod));
    of_pod.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
}

#[test]
fn a_run_goes_through_real_parts_is_judged_and_leaves_nothing() {
    if !needs("a_run_goes_through_real_parts_is_judged_and_leaves_nothing", Need::Docker) {
        return;
    }
    let _alone = alone();
    let run = Run::start();
    let name = run.name();
    let output = run.child.wait_with_output().unwrap();
    let said = told(&output);
    assert!(things(&name).is_empty() && ledgers(run.folder.path()).is_empty(), "{said}");
    let runs = fs::read_dir(run.folder.path().join("rehearsals")).unwrap_or_else(|_| panic!("{said}"));
    let mut folders: Vec<_> = runs.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let folder = folders.pop().unwrap();
    let result: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("result.json")).unwrap_or_else(|_| panic!("{said}")))
            .unwrap();
    assert_eq!(result["backend"], "containers");
    // What it is made of is told.
    let stand_ins = result["stand_ins"].to_string();
    for word in ["rehearse.invalid/nginx:stand-in", "rehearse.invalid/postgres:stand-in", "rehearse promotes it"] {
        assert!(stand_ins.contains(word), "{word}: {stand_ins}");
    }
    // nginx saw each client, limited the one that asks too often, and passed the others on.
    let access = log(&folder, "nginx-gateway");
    let clients: std::collections::BTreeSet<_> =
        access.lines().filter(|line| line.contains("/auth/token")).filter_map(|line| line.split(' ').next()).collect();
    assert!(clients.len() > 20, "{clients:?}");
    assert!(access.contains("limiting requests, excess"), "nobody was limited:\n{access}");
    assert!(access.lines().any(|line| line.contains("POST /transactions/") && line.contains(" 200 ")), "{access}");
    // The database was really asked, and had the platform's own settings.
    let database = log(&folder, "postgres");
    assert!(database.contains("database system is ready to accept connections"), "{database}");
    assert!(!database.contains("does not exist"), "{database}");
    // Passed, broken, or too late to judge: that is the machine's hour.
    assert!(matches!(output.status.code(), Some(0 | 92 | 99)), "{said}");
}

#[test]
fn a_database_is_filled_up_by_others_lost_and_followed_by_its_standby() {
    if !needs("a_database_is_filled_up_by_others_lost_and_followed_by_its_standby", Need::Docker) {
        return;
    }
    let _alone = alone();
    let faults = "  faults:
    - {name: taken, at: steady + 1s, lasts: 5s, connectionsTaken: {connections: 10000}}
    - {name: backup, at: steady + 7s, lasts: 10s, backup: {}}
    - {name: loss, at: steady + 42s, lasts: 34s, databaseLoss: {}}
  load:\n";
    let scenario = SCENARIO.replace("duration: 6s", "duration: 94s").replace("  load:\n", faults);
    let run = Run::of(&scenario, STAGING);
    let output = run.child.wait_with_output().unwrap();
    let said = told(&output);
    let seconds = |words: &str| {
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"));
        let (minutes, rest) = line.trim_start().split_once(':').unwrap();
        minutes.parse::<u32>().unwrap() * 60 + rest[..2].parse::<u32>().unwrap()
    };
    // Of the manifests' 200 connections services hold some, and three are kept for superusers.
    let taken = said.lines().find(|line| line.contains("others hold")).unwrap_or_else(|| panic!("{said}"));
    let held: u32 = taken.split("others hold ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((100..=197).contains(&held) && taken.contains("wanted 10000"), "{taken}");
    assert!(said.contains("others have closed their connections"), "{said}");
    // It was backed up under load, and the backup was restored beside it: with the rows that each database began with.
    let backup = said.lines().find(|line| line.contains("a backup of")).unwrap_or_else(|| panic!("{said}"));
    let rows: u64 = backup.split("it has ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(rows >= 10_000 && backup.contains("were written since"), "{backup}");
    let (lost, again) = (seconds("the database's primary is lost"), seconds("the database has a primary again"));
    assert!((30..40).contains(&(again - lost)), "as long as a manager's lease: {said}");
    // What the services know to be committed was counted, and so was what the new primary has.
    let promoted = said.lines().find(|line| line.contains("was promoted by rehearse")).unwrap();
    let number = |before: &str| {
        let text = promoted.split(before).next().unwrap().trim_end();
        text.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (has, acknowledged, lost) = (number(" writes,"), number(" were acknowledged"), number(" acknowledged ones"));
    assert!(has > 0 && acknowledged > 0 && lost == acknowledged.saturating_sub(has), "{promoted}");
    // The old primary is no second one: it was rewound to where the new one begins, and follows it.
    let back = said.lines().find(|line| line.contains("is back and follows")).unwrap_or_else(|| panic!("{said}"));
    assert!(back.contains("postgres-0") && back.contains("by pg_rewind"), "{back}");
}

#[test]
fn real_sentinels_promote_a_replica_and_a_disk_is_really_full() {
    if !needs("real_sentinels_promote_a_replica_and_a_disk_is_really_full", Need::Docker) {
        return;
    }
    let _alone = alone();
    let faults = "  faults:
    - {name: cut, at: steady + 1s, lasts: 2s, reset: {from: gateway, to: transactions-service, share: 50 %}}
    - {name: lossy, at: steady + 1s, lasts: 2s, packetLoss: {from: gateway, to: auth-service, share: 50 %}}
    - {name: loss, at: steady + 4s, lasts: 10s, redisLoss: {}}
    - {name: disk, at: steady + 15s, lasts: 12s, diskFull: {}}
  load:\n";
    let scenario = SCENARIO.replace("duration: 6s", "duration: 30s").replace("  load:\n", faults);
    let one = "  replicas: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: redis\n  \
               serviceName: redis\n";
    assert!(DEVELOPMENT.contains(one), "the test is out of date");
    let platform = DEVELOPMENT.replace(one, &one.replacen("replicas: 1", "replicas: 2", 1));
    let run = Run::of(&scenario, &platform);
    let output = run.child.wait_with_output().unwrap();
    let said = told(&output);
    let line =
        |words: &str| said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {said}"));
    // The manifests have them wait for five seconds.
    let promoted = line("redis-1.redis was promoted by sentinel redis-sentinel-0");
    let after = promoted.split("redis-sentinel-0, ").nth(1).unwrap().split(' ').next().unwrap();
    assert!((5.0..9.0).contains(&after.parse::<f64>().unwrap()), "{promoted}");
    line("the cache is lost");
    line("the cache answers again");
    assert!(line("is back and follows").contains("redis-0"), "{said}");
    assert!(line("is back and follows").contains("as a replica of redis-1.redis"), "{said}");
    // Services go on writing until the last page that there is space for is full.
    line("the database's disk is full");
    line("it was filled with");
    line("the database's disk has space again");
    let runs = fs::read_dir(run.folder.path().join("rehearsals")).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<_> = runs.collect();
    let all = |pod| runs.iter().map(|folder| log(folder, pod)).collect::<String>();
    assert!(all("postgres-0").contains("No space left on device"), "{said}");
    // nginx was told that connections to this service were cut, by the kernel, and to no other one.
    let gateway = all("nginx-gateway");
    let cut: Vec<_> = gateway.lines().filter(|line| line.contains("Connection reset by peer")).collect();
    assert!(!cut.is_empty() && cut.iter().all(|line| line.contains("/transactions/")), "{cut:?}");
}

#[test]
fn ctrl_c_and_kill_leave_nothing() {
    if !needs("ctrl_c_and_kill_leave_nothing", Need::Docker) {
        return;
    }
    let _alone = alone();
    for signal in [Signal::INT, Signal::KILL] {
        let mut run = Run::start();
        let name = run.name();
        // Its words are read, so that no full pipe holds it up.
        let stderr = BufReader::new(run.child.stderr.take().unwrap());
        let reader = thread::spawn(move || stderr.lines().map_while(Result::ok).collect::<Vec<_>>());
        let pid = Pid::from_raw(rehearse_pid(&run.child)).unwrap();
        kill_process(pid, signal).unwrap();
        run.child.wait().unwrap();
        gone(&name, run.folder.path());
        drop(run);
        reader.join().unwrap();
    }
}

/// The process itself, where sudo is in between.
fn rehearse_pid(child: &Child) -> i32 {
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let sudo = fs::read_to_string(format!("/proc/{}/comm", child.id())).is_ok_and(|name| name.trim() == "sudo");
    let below = fs::read_to_string(children).unwrap_or_default();
    let below = below.split_whitespace().next().and_then(|pid| pid.parse().ok());
    below.filter(|_| sudo).unwrap_or(child.id() as i32)
}

#[test]
fn what_is_missing_is_told_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let run = |socket: &str| {
        Command::new(REHEARSE)
            .args(["run", "smoke", "--backend", "containers"])
            .env("DOCKER_HOST", socket)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let nowhere = folder.path().join("nowhere.sock");
    let nowhere = format!("unix://{}", nowhere.display());
    for (case, socket, words) in [
        ("nobody listens", nowhere.as_str(), ["Docker", "install"]),
        ("on another machine", "tcp://192.0.2.1:2375", ["DOCKER_HOST is tcp://192.0.2.1:2375", "unset it"]),
    ] {
        let output = run(socket);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(30), "{case}: {said}");
        let installed = said.contains("does not run");
        assert!(
            words.iter().all(|word| said.contains(word)) || installed && said.contains("start it"),
            "{case}: {said}"
        );
        assert!(!folder.path().join("rehearsals").exists(), "{case}: a run folder was made");
    }
}

#[test]
fn without_the_privilege_it_says_which_and_what_to_do() {
    if !needs("without_the_privilege_it_says_which_and_what_to_do", Need::Docker) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let output = as_root("setpriv")
        .args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin", REHEARSE])
        .args(["run", "smoke", "--backend", "containers"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = told(&output);
    assert_eq!(output.status.code(), Some(30), "{said}");
    assert!(said.contains("CAP_NET_ADMIN") && said.contains("sudo"), "{said}");
}

#[test]
fn faults_that_containers_do_not_play_are_refused_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let scenario = SCENARIO.replace(
        "  load:\n",
        "  faults:\n    - {name: dark, at: steady + 2s, lasts: 1s, dnsFailure: {service: auth-service}}\n  load:\n",
    );
    fs::write(folder.path().join("short.yaml"), scenario).unwrap();
    let output = Command::new(REHEARSE)
        .args(["run", "short.yaml", "--backend", "containers", "--errors", "tell"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = told(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`dark`") && said.contains("hosts files"), "{said}");
}
