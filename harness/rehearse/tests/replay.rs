//! An access log of the real nginx, replayed by `rehearse gateway` at nginx's own instants: what passed, what was
//! delayed and what was refused are the same sets, within a millisecond.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// What a user puts into an own nginx.conf, and one word more: nginx's verdict, taken out again before the replay.
const LOG: &str = r#"log_format rehearse escape=json '{"t":$msec,"request_time":$request_time,"client":"$remote_addr",'
  '"host":"$http_host","method":"$request_method","path":"$request_uri","verdict":"$limit_req_status"}';
"#;

/// Path, its burst and mode, and gaps between bursts in milliseconds with the size of the bursts.
const TRAFFIC: [(&str, &[(u64, usize)]); 4] = [
    ("/now/", &[(0, 30), (700, 12), (330, 3), (1_270, 20), (90, 1), (90, 1), (90, 1), (500, 9)]),
    ("/wait/", &[(0, 30), (900, 6), (450, 9), (1_330, 25)]),
    ("/some/", &[(0, 30), (1_100, 14), (370, 4), (370, 4), (900, 22)]),
    ("/two/", &[(0, 12), (640, 5), (230, 2), (230, 2), (1_000, 9), (300, 1)]),
];

fn configuration(address: Ipv4Addr, port: u16) -> String {
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
    format!(
        "worker_processes 1;\nerror_log error.log crit;\nevents {{ worker_connections 1024; }}\nhttp {{\n{temporary}{LOG}\
         access_log access.log rehearse;\n\
         limit_req_zone $arg_who zone=now:1m rate=10r/s;\nlimit_req_zone $arg_who zone=wait:1m rate=20r/s;\n\
         limit_req_zone $arg_who zone=some:1m rate=15r/s;\nlimit_req_zone $arg_who zone=wide:1m rate=30r/s;\n\
         limit_req_zone $arg_who zone=narrow:1m rate=5r/s;\n\
         server {{ listen {address}:{port}; server_name shop.test;\n\
         location /now/ {{ limit_req zone=now burst=20 nodelay; stub_status; }}\n\
         location /wait/ {{ limit_req zone=wait burst=12; stub_status; }}\n\
         location /some/ {{ limit_req zone=some burst=20 delay=8; stub_status; }}\n\
         location /two/ {{ limit_req zone=wide burst=9 nodelay; limit_req zone=narrow burst=3 nodelay; limit_req_status 429; stub_status; }}\n\
         }} }}\n"
    )
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("our own child can be killed");
    }
}

fn start(folder: &Path, address: Ipv4Addr, port: u16) -> Nginx {
    let child = Command::new("nginx")
        .args(["-p", &format!("{}/", folder.display()), "-c", "nginx.conf", "-e", "error.log"])
        .args(["-g", "daemon off; master_process off; pid nginx.pid;"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let nginx = Nginx(child);
    for _ in 0..1_000 {
        if TcpStream::connect((address, port)).is_ok() {
            return nginx;
        }
        pause(10);
    }
    panic!("nginx does not listen after 10 s: {:?}", std::fs::read_to_string(folder.join("error.log")));
}

#[expect(clippy::disallowed_methods, reason = "paces requests whose instants nginx tells")]
fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

fn ask(address: Ipv4Addr, port: u16, target: &str) {
    let mut stream = TcpStream::connect((address, port)).unwrap();
    write!(stream, "GET {target} HTTP/1.0\r\nHost: shop.test\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// Two clients on each path, all at once; each burst on connections of its own.
fn play(address: Ipv4Addr, port: u16) -> usize {
    std::thread::scope(|scope| {
        for (path, bursts) in TRAFFIC {
            for who in ["a", "b"] {
                scope.spawn(move || {
                    for (gap, count) in bursts {
                        pause(*gap + u64::from(who == "b") * 37);
                        for nth in 0..*count {
                            scope.spawn(move || ask(address, port, &format!("{path}?who={who}&n={nth}")));
                        }
                    }
                });
            }
        }
    });
    TRAFFIC.iter().flat_map(|(_, bursts)| bursts.iter()).map(|(_, count)| count * 2).sum()
}

/// What the command says of each line, in the words of `$limit_req_status`.
fn replayed(folder: &Path, lines: &[Value]) -> Vec<String> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.join("requests.jsonl"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.arg("gateway").arg("--config").arg(folder.join("nginx.conf"));
    let output =
        command.arg("--requests").arg(folder.join("requests.jsonl")).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdict = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let word = match line["decision"].as_str().unwrap() {
            "admitted" => "PASSED",
            "delayed" => "DELAYED",
            _ => "REJECTED",
        };
        word.to_owned()
    };
    String::from_utf8_lossy(&output.stdout).lines().map(verdict).collect()
}

/// Start of a logged request in milliseconds, and whose it is.
fn start_and_key(line: &Value) -> (i64, String) {
    let millis = |field: &str| (line[field].as_f64().unwrap() * 1e3).round() as i64;
    let target = line["path"].as_str().unwrap();
    (millis("t") - millis("request_time"), target.split("&n=").next().unwrap().to_owned())
}

/// Requests of one key that came within a millisecond of each other are a set: the log does not tell their order.
fn clusters(lines: &[Value]) -> Vec<Vec<usize>> {
    let mut by_key: BTreeMap<String, Vec<(i64, usize)>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        let (start, key) = start_and_key(line);
        by_key.entry(key).or_default().push((start, index));
    }
    let mut clusters = Vec::new();
    for mut requests in by_key.into_values() {
        requests.sort_unstable();
        let mut before = i64::MIN;
        for (start, index) in requests {
            if start.saturating_sub(before) > 1 {
                clusters.push(Vec::new());
            }
            clusters.last_mut().unwrap().push(index);
            before = start;
        }
    }
    clusters
}

#[test]
fn an_access_log_is_replayed_at_nginx_own_instants() {
    if !testing::needs("an_access_log_is_replayed_at_nginx_own_instants", testing::Need::Nginx) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = Ipv4Addr::new(127, 77, 3, 1);
    let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
    std::fs::write(folder.path().join("nginx.conf"), configuration(address, port)).unwrap();
    let nginx = start(folder.path(), address, port);
    let count = play(address, port);
    let log = || std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    // A request is logged after its answer was sent.
    for _ in 0..1_000 {
        if log().lines().count() >= count {
            break;
        }
        pause(10);
    }
    drop(nginx);
    let mut lines: Vec<Value> = log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), count);
    let theirs: Vec<String> = lines
        .iter_mut()
        .map(|line| line.as_object_mut().unwrap().remove("verdict").unwrap().as_str().unwrap().to_owned())
        .collect();
    let clusters = clusters(&lines);
    let set = |verdicts: &[String], cluster: &[usize]| {
        let mut set: Vec<String> = cluster.iter().map(|index| verdicts[*index].clone()).collect();
        set.sort_unstable();
        set
    };
    // The wall clock of the log and the clock of the limits tick apart: a request may have come a millisecond earlier
    // or later than its line says. Few need that.
    let first = |lines: &[Value]| {
        let ours = replayed(folder.path(), lines);
        clusters.iter().position(|cluster| set(&ours, cluster) != set(&theirs, cluster)).unwrap_or(clusters.len())
    };
    let mut moved = 0;
    let mut agreed = first(&lines);
    while agreed < clusters.len() {
        let cluster = &clusters[agreed];
        let near = clusters[..agreed].iter().rev().take(2).chain([cluster]).flatten().copied();
        let better = near.flat_map(|index| [0.001, -0.001].map(|by| (index, by))).find_map(|(index, by)| {
            let mut tried = lines.clone();
            tried[index]["t"] = (tried[index]["t"].as_f64().unwrap() + by).into();
            let reached = first(&tried);
            (reached > agreed).then_some((tried, reached))
        });
        let Some((tried, reached)) = better else {
            let ours = set(&replayed(folder.path(), &lines), cluster);
            let told: Vec<_> = cluster.iter().map(|index| lines[*index].to_string()).collect();
            panic!("nginx {:?}, ours {ours:?}, also a millisecond apart:\n{}", set(&theirs, cluster), told.join("\n"));
        };
        (lines, agreed, moved) = (tried, reached, moved + 1);
    }
    let counts = ["PASSED", "DELAYED", "REJECTED"].map(|word| theirs.iter().filter(|one| *one == word).count());
    println!(
        "access log: {count} requests in {} sets, {counts:?} passed, delayed, refused; {moved} moved by 1 ms",
        clusters.len()
    );
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    assert!(moved * 20 <= count, "{moved} of {count} requests had to be moved");
}
