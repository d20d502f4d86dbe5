//! `rehearse gateway` as a user calls it: the rows that nginx gave, and what is told of a wrong file.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

const CONF: &str = "events {}\nhttp {\n  limit_req_zone $binary_remote_addr zone=one:1m rate=10r/s;\n  upstream up { server \
                    a:80; server b:81; }\n  server {\n    listen 80;\n    server_name shop.test;\n    location /now/ { \
                    limit_req zone=one burst=20 nodelay; proxy_pass http://up/v1/; }\n    location /wait/ { limit_req \
                    zone=one burst=20 delay=8; limit_req_status 429; proxy_pass http://up; }\n  }\n}\n";

fn ask(conf: &str, requests: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_rehearse"));
    command.arg("gateway").arg("--config").arg(file("nginx.conf", conf));
    command.arg("--requests").arg(file("requests.jsonl", requests)).args(more).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn thirty(path: &str) -> String {
    format!("{{\"timestamp\": 7.5, \"client\": \"10.0.0.1\", \"host\": \"shop.test\", \"path\": \"{path}\"}}\n")
        .repeat(30)
}

#[test]
fn thirty_at_once_give_the_golden_rows() {
    for (case, path, more, want) in [
        ("nodelay", "/now/x?q=1", &["--format", "json"][..], [21, 0, 9]),
        ("delay=8", "/wait/x", &["--format", "json"], [9, 12, 9]),
        ("two pods", "/now/x", &["--format", "json", "--replicas", "2"], [30, 0, 0]),
    ] {
        let told = lines(&ask(CONF, &thirty(path), more));
        let count = |decision: &str| told.iter().filter(|line| line["decision"] == decision).count();
        assert_eq!([count("admitted"), count("delayed"), count("rejected")], want, "{case}");
    }
    let told = lines(&ask(CONF, &thirty("/wait/x"), &["--format", "json"]));
    assert_eq!((&told[9]["delay_ms"], &told[20]["delay_ms"]), (&100.into(), &1_200.into()));
    assert_eq!((&told[29]["status"], &told[29]["zone"]), (&429.into(), &"one".into()));
    let told = lines(&ask(CONF, &thirty("/now/x?q=1"), &["--format", "json"]));
    assert_eq!((&told[0]["upstream_path"], &told[0]["server"]), (&"/v1/x?q=1".into(), &"shop.test".into()));
    assert_eq!((&told[1]["tries"][0]["server"], &told[1]["location"]), (&"b:81".into(), &"/now/".into()));
}

#[test]
fn requests_are_put_in_order_unless_they_are_not() {
    let requests =
        "{\"t\": 2, \"path\": \"/now/\"}\n{\"t\": 1, \"path\": \"/now/\"}\n{\"t\": 1.05, \"path\": \"/now/\"}\n";
    let excess = |more: &[&str]| {
        let told = lines(&ask(CONF, requests, more));
        told.iter().map(|line| line["excess"]["one"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(excess(&["--format", "json"]), [0.0, 0.0, 0.5]);
    assert_eq!(
        excess(&["--format", "json", "--order", "file"]),
        [0.0, 1.0, 1.5],
        "a clock that goes back drains nothing"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (conf, requests, wants) in [
        ("http {\n  foo\n}\n", "", &["nginx.conf:2: the directive `foo` does not end", "  foo"][..]),
        (
            CONF,
            "{\"t\": 1, \"metod\": \"GET\"}",
            &["requests.jsonl:1: there is no field `metod`; did you mean `method`?"],
        ),
    ] {
        let output = ask(conf, requests, &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && wants.iter().all(|want| told.contains(want)), "{told}");
    }
    let told = ask(CONF, &thirty("/wait/x"), &[]).stdout;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("shop.test /wait/") && told.contains("delayed by 100 ms"), "{told}");
}
