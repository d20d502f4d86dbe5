//! A real Prometheus on loopback over given series, for tests that need [`Need::Prometheus`](crate::Need).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long it may take to start on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// Labels and value of each series of an instant.
pub type Vector = Vec<(BTreeMap<String, String>, f64)>;

/// A server that ends with its value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Loads an `OpenMetrics` text into blocks, and starts a server on them.
    ///
    /// # Panics
    /// If it does not come up.
    #[expect(clippy::disallowed_methods, reason = "a program that starts is waited for on the wall clock")]
    pub fn start(text: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("series.om"), text).unwrap();
        std::fs::write(at("prometheus.yml"), "").unwrap();
        let loaded = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([at("series.om"), at("data")])
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _folder: folder };
        let begun = Instant::now();
        while !server.get("/-/ready").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")) {
            assert!(begun.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// What an expression is at an instant, in seconds: labels and value of each series; the error as the server words it.
    ///
    /// # Errors
    /// What the server says of an expression that it refuses.
    ///
    /// # Panics
    /// If it does not answer, or not as its API says.
    pub fn query(&self, text: &str, at: i64) -> Result<Vector, String> {
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?time={at}&query={escaped}")).expect("the server answers");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        if json["status"] != "success" {
            return Err(json["error"].to_string());
        }
        let number = |value: &Value| match value.as_str().unwrap() {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            other => other.parse().unwrap(),
        };
        if json["data"]["resultType"] == "scalar" {
            return Ok(vec![(BTreeMap::new(), number(&json["data"]["result"][1]))]);
        }
        let sample = |sample: &Value| {
            let metric = sample["metric"].as_object().unwrap();
            let labels = metric.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()));
            (labels.collect(), number(&sample["value"][1]))
        };
        Ok(json["data"]["result"].as_array().unwrap().iter().map(sample).collect())
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}
