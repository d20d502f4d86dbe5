//! The program `mock-service` as its users see it: processes, signals, privileges.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mock-service");

struct Service {
    child: Child,
    at: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Service {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut words = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut words).unwrap();
        let at = words.split("listens on ").nth(1).and_then(|rest| rest.split(',').next()).expect(&words).to_owned();
        Self { child, at }
    }

    /// Sends a request; the answer is still to be read.
    fn send(&self, request: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, request: &str, headers: &str, body: &str) -> (u16, String) {
        let mut text = String::new();
        self.send(request, headers, body).read_to_string(&mut text).unwrap();
        (text[9..12].parse().unwrap(), text)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "waits for a process of its own, with a long limit")]
    fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn it_becomes_a_service_by_its_profile_and_ends_gracefully() {
    let mut auth = Service::start(&["auth-service"]);
    let (status, token) = auth.ask("POST /auth/token", "", r#"{"username":"ada@example.com"}"#);
    assert!(status == 200 && token.contains("access_token"), "{token}");
    assert_eq!(auth.ask("GET /auth/verify", "", "").0, 401);
    assert_eq!(auth.ask("GET /health", "", "").0, 200);
    let (status, metrics) = auth.ask("GET /metrics", "", "");
    assert!(status == 200 && metrics.contains("path=\"/auth/token\",status=\"200\"} 1"), "{metrics}");
    assert_eq!(auth.ask("PUT /_mock/fault", "", "{\"hang\":true}").0, 404, "no hooks without a token");

    // Another service calls this one, and passes on what it is told.
    let at = format!("auth-service={}", auth.at);
    let profile = Service::start(&["user-profile-service", "--at", &at]);
    assert_eq!(profile.ask("GET /users/me", "", "").0, 401);
    let bearer = token.split("access_token\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (status, me) = profile.ask("GET /users/me", &format!("authorization: Bearer {bearer}\r\n"), "");
    assert_eq!(status, 200, "{me}");

    // SIGTERM: what is in flight is answered, what is new is refused.
    let mut slow = auth.send("POST /auth/register", "", "{}");
    while !auth.ask("GET /metrics", "", "").1.contains("http_requests_in_flight{service=\"auth-service\"} 1") {
        if auth.ask("GET /metrics", "", "").1.contains("path=\"/auth/register\"") {
            break; // it was faster than we
        }
    }
    auth.signal(Signal::TERM);
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(auth.end().code(), Some(0));
}

#[test]
fn hooks_open_to_their_token_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "open sesame\n").unwrap();
    let mut service = Service::start(&["auth-service", "--hooks-token", path.to_str().unwrap()]);
    let hook = |request: &str, token: &str, body: &str| {
        service.ask(request, &format!("authorization: Bearer {token}\r\n"), body)
    };
    let good = "open sesame";
    for wrong in ["", "open", "open sesamf", "open sesame!"] {
        assert_eq!(hook("PUT /_mock/fault", wrong, "{\"unhealthy\":true}").0, 401, "`{wrong}`");
    }
    assert_eq!(hook("PUT /_mock/fault", good, "{\"errorShare\":2}").0, 400);
    assert_eq!(hook("PUT /_mock/fault", good, "{\"delya\":\"1s\"}").0, 400, "a word that is none");
    assert_eq!(hook("PUT /_mock/fault", good, "{\"errorShare\":1,\"errorStatus\":503,\"unhealthy\":true}").0, 200);
    assert_eq!(service.ask("GET /auth/verify", "", "").0, 503);
    assert_eq!(service.ask("GET /health", "", "").0, 503);
    assert_eq!(hook("DELETE /_mock/fault", good, "").0, 200);
    assert_eq!(service.ask("GET /health", "", "").0, 200);
    assert_eq!(hook("POST /_mock/crash", good, "").0, 202);
    assert_eq!(service.end().code(), Some(1));
}

#[test]
fn too_much_memory_ends_it_as_the_kernel_would() {
    let mut service = Service::start(&["auth-service", "--memory-limit", "120Mi"]);
    // Whoever asks stays: a request whose client has gone before it is read is nobody's.
    let asked = service.send("POST /auth/token", "", "{}");
    assert_eq!(service.end().code(), Some(137));
    drop(asked);
}

/// Of a process: CPU time, and what of it is in memory.
fn used(child: &Child) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // Behind the name in brackets, which may hold anything: utime and stime in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    ((ticks(11) + ticks(12)) / 100.0, resident.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1_024.0)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "waits for a process of its own, with a long limit")]
fn what_burns_uses_what_it_accounts_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.yaml");
    let text = "workload: shop\nsource: assumed\ndiscipline: fcfs\nworkers: 2\nbacklog: 64\nmemory: 96Mi\n\
                memoryPerRequest: 64Ki\nroutes:\n  - {route: \"* /*\", cpu: {constant: 50ms}, request: 0, response: 64}\n";
    std::fs::write(&path, text).unwrap();
    let start = |more: &[&str]| Service::start(&[&["--profile", path.to_str().unwrap()], more].concat());
    let told = |metrics: &str, name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.trim().parse::<f64>().unwrap()
    };
    let load = |service: &Service| {
        let asked: Vec<_> = (0..24).map(|_| service.send("GET /orders", "", "")).collect();
        for mut stream in asked {
            stream.read_to_string(&mut String::new()).unwrap();
        }
        service.ask("GET /metrics", "", "").1
    };
    let burns = start(&["--burn"]);
    let metrics = load(&burns);
    let accounted = told(&metrics, "process_cpu_seconds_total");
    assert!((accounted - 1.2).abs() < 0.001, "{metrics}");
    let within = |used: f64, told: f64| (0.8..1.3).contains(&(used / told));
    let settled = || {
        let (cpu, memory) = used(&burns.child);
        let unburnt = told(&burns.ask("GET /metrics", "", "").1, "process_cpu_unburnt_seconds_total");
        let memory_told = told(&metrics, "process_resident_memory_bytes");
        (within(cpu + unburnt, accounted) && within(memory, memory_told), format!("{cpu} s, {memory} bytes: {metrics}"))
    };
    let began = Instant::now();
    while !settled().0 {
        assert!(began.elapsed() < Duration::from_mins(1), "{}", settled().1);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(300)); // as many looks as would burn it all once more
    assert!(settled().0, "{}", settled().1);

    let accounts = start(&[]);
    load(&accounts);
    let (cpu, memory) = used(&accounts.child);
    assert!(cpu < 0.5 * accounted && memory < 48.0 * 1_048_576.0, "without the flag: {cpu} s, {memory} bytes");
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    for (case, args, want) in [
        ("no such profile", vec!["auth"], "there is no profile `auth`"),
        ("no such file", vec!["--profile", "/nowhere.yaml"], "cannot read /nowhere.yaml"),
        ("nothing", vec![], "<WORKLOAD>"),
        ("no place", vec!["auth-service", "--at", "x"], "SERVICE=HOST:PORT"),
    ] {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && words.contains(want), "{case}: {words}");
    }
}

/// As nobody where the test may become somebody else, without any capability, and where every write to a file fails.
#[test]
fn it_needs_no_privilege_and_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("mock-service");
    std::fs::copy(PROGRAM, &program).unwrap(); // the build may be where nobody may look
    for path in [folder.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all";
    let become_nobody = if rustix::process::getuid().is_root() { nobody } else { "" };
    let script =
        format!("cd /; ulimit -f 0; exec {become_nobody} {} auth-service --listen 127.0.0.1:0", program.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin");
    let mut service = Service::spawn(command);
    assert_eq!(service.ask("POST /auth/token", "", "{}").0, 200);
    service.signal(Signal::TERM);
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn a_route_for_every_path_leaves_its_metrics_alone() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.yaml");
    let text = "workload: shop\nsource: assumed\ndiscipline: fcfs\nworkers: 1\nbacklog: 16\nmemory: 16Mi\n\
                memoryPerRequest: 64Ki\nroutes:\n  - {route: \"* /*\", cpu: {constant: 1ms}, request: 0, response: 64}\n";
    std::fs::write(&profile, text).unwrap();
    let service = Service::start(&["--profile", profile.to_str().unwrap(), "--pod-ip", "10.244.1.7"]);
    let (status, answer) = service.ask("GET /orders", "", "");
    assert_eq!(status, 200);
    // 1 * 256 + 7
    assert!(answer.contains("x-rehearse-pod: 263"), "{answer}");
    let (status, metrics) = service.ask("GET /metrics", "", "");
    assert_eq!(status, 200);
    assert!(metrics.contains("process_cpu_seconds_total 0.001"), "{metrics}");
}
