//! A plan on the shipped platform, and a client that speaks plain HTTP.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cluster::ClusterConfig;
use manifests::Source;
use platform::Platform;
use scenarios::{Plan, Scenario};
use stage::{Standing, StandingPod};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use units::{Nanos, Seed};

pub(crate) const HOST: &str = "api.selfmonitor.app";

/// The core flow at `rate` sessions a second: 3 s of warm-up and 6 s that count.
pub(crate) fn scenario(rate: u32) -> String {
    format!(
        "apiVersion: rehearse/v1
kind: Scenario
metadata: {{name: short, question: Does the live stage do what the simulator says?}}
spec:
  host: {HOST}
  timeout: 5s
  phases:
    - {{name: warm-up, kind: warm-up, duration: 3s}}
    - {{name: steady, kind: steady, duration: 6s}}
  journeys:
    core-flow:
      flow: core
      think: 50ms
      steps:
        - {{name: token, request: POST /auth/token}}
        - {{name: profile, request: GET /users/me}}
        - {{name: create transaction, request: POST /transactions/}}
  load:
    - {{journey: core-flow, arrivals: poisson, clients: 50, rate: {{warm-up: {rate}/s, steady: {rate}/s}}}}
"
    )
}

/// The shipped platform without waiting: a test must not take the half minute that probes are given.
pub(crate) fn plan(text: &str, seed: u64, change: impl Fn(&mut Platform)) -> Arc<Plan> {
    let mut platform = manifests::load(&Source::BuiltIn, "production").unwrap().platform;
    for container in platform.workloads.iter_mut().flat_map(|workload| &mut workload.containers) {
        container.startup = None; // the other probes would begin a whole period after it
        for probe in [&mut container.readiness, &mut container.liveness].into_iter().flatten() {
            probe.initial_delay = Nanos::ZERO;
        }
    }
    change(&mut platform);
    let scenario = Scenario::parse(text, "short.yaml").unwrap();
    let nodes = manifests::load_nodes(None).unwrap();
    let profiles = model::shipped().unwrap();
    Arc::new(Plan::resolve(&scenario, Arc::new(platform), nodes, &profiles, Seed::new(seed)).unwrap())
}

/// A control plane that never waits.
pub(crate) fn at_once() -> ClusterConfig {
    ClusterConfig {
        scheduling_delay: Nanos::ZERO,
        container_start: Nanos::ZERO,
        endpoint_propagation: Nanos::ZERO,
        ..ClusterConfig::default()
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request on a connection of its own, with whatever else stands in `more` (header lines, a body).
pub(crate) async fn ask(from: Ipv4Addr, to: SocketAddr, line: &str, more: &str) -> std::io::Result<Answer> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let mut stream = socket.connect(to).await?;
    let more = if more.contains("\r\n\r\n") { more.to_owned() } else { format!("{more}\r\n") };
    stream.write_all(format!("{line} HTTP/1.1\r\nconnection: close\r\n{more}").as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.get(9..12).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// A request to the API, from client `index`, to the first gateway pod.
pub(crate) async fn api(standing: &mut Standing<'_>, index: u32, line: &str, more: &str) -> Answer {
    let (from, to) = (standing.client(index), standing.doors()[0].addr);
    let more = format!("host: {HOST}\r\nauthorization: {}\r\n{more}", standing.bearer(index));
    standing.during(ask(from, to, line, &more)).await.unwrap().unwrap()
}

pub(crate) fn pods_of(standing: &Standing<'_>, workload: &str) -> Vec<StandingPod> {
    standing.pods().into_iter().filter(|pod| pod.workload == workload).collect()
}

/// Between two looks at something that is about to happen.
#[expect(clippy::disallowed_methods, reason = "a millisecond more does not matter to a poll")]
pub(crate) async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
}
