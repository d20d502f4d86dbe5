//! What the examples share: the roles of their processes, a minimal server, and plans.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use clock::Clock;
use driver::{Door, Driver, Orders, Report, Summary, Update};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use record::{Observation, StepId};
use scenarios::{ArrivalLaw, JourneyPlan, LoadPlan, Segment, Step, Stream};
use units::{Distribution, Nanos, Rate, Seed};

/// Runs `conduct`, unless this process was started as one of its children.
pub(crate) fn play<F: Future<Output = ()>>(conduct: impl FnOnce(Vec<String>) -> F) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("drive") => driver::drive().expect("a driver that drives"),
        Some("serve") => runtime(2).block_on(serve()),
        _ => runtime(1).block_on(conduct(arguments)),
    }
}

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("threads")
}

/// Hyper, 13 bytes, kept alive. Prints its address.
async fn serve() {
    // `TcpListener::bind` lets 128 connections wait. A burst of new clients overflows that, and Linux drops what is
    // beyond: the client sends its SYN again a second later, and the server's queue is seen as its latency.
    let socket = tokio::net::TcpSocket::new_v4().expect("a descriptor");
    socket.bind(([127, 77, 220, 1], 0).into()).expect("an address of ours");
    let listener = socket.listen(4_096).expect("a bound socket");
    println!("{}", listener.local_addr().expect("bound"));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit, maximum: limit },
    )
    .expect("up to the hard limit");
    loop {
        let (stream, _) = listener.accept().await.expect("descriptors left");
        stream.set_nodelay(true).expect("a TCP socket");
        tokio::spawn(async move {
            let hello = service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"Hello, world!"))))
            });
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), hello).await);
        });
    }
}

/// The server as a child process; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        let exe = std::env::current_exe().expect("our own path");
        let mut child = Command::new(exe).arg("serve").stdout(Stdio::piped()).spawn().expect("our own binary");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        Self { child, addr: line.trim().parse().expect("an address") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
    }
}

/// `GET /` at an even or random `rate` for `secs`, from `clients` addresses.
pub(crate) fn plan(law: ArrivalLaw, rate: u64, secs: u64, clients: u32) -> LoadPlan {
    let duration = Nanos::from_secs(secs);
    LoadPlan {
        seed: Seed::new(1),
        phases: vec![scenarios::Phase {
            name: "steady".to_owned(),
            kind: record::PhaseKind::Steady,
            start: Nanos::ZERO,
            end: duration,
        }],
        streams: vec![Stream {
            journey: 0,
            law,
            first_client: 0,
            clients,
            rate: vec![Segment::constant(duration, Rate::per_second(rate))],
            times: vec![],
            retry: None,
        }],
        crowds: vec![],
        journeys: vec![JourneyPlan { name: "hello".to_owned(), steps: vec![StepId(0)] }],
        steps: vec![Step {
            flow: "bench".to_owned(),
            name: "hello".to_owned(),
            method: "GET".to_owned(),
            host: "bench.local".to_owned(),
            path: "/".to_owned(),
            think: Distribution::NONE,
            expect: vec![],
            limit: None,
            payload: None,
        }],
        clients,
        timeout: Nanos::from_secs(60),
    }
}

/// Spawns our driver against `server` and starts load 50 ms from now.
pub(crate) async fn begin(clock: &Clock, plan: LoadPlan, workers: Option<usize>, server: &Server) -> (Driver, Nanos) {
    let address = |index| IpAddr::from(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 224, 1)) + index));
    let clients = (0..plan.clients).map(address).collect();
    let orders = Orders { plan, epoch_ns: clock.epoch(), clients, workers, proof: None };
    let exe = std::env::current_exe().expect("our own path");
    let mut driver = Driver::spawn(&exe, &orders).await.expect("a driver");
    driver.update(&Update::Doors(vec![Door { pod: 1, addr: server.addr }])).await.expect("it listens");
    let load_start = clock.now() + Nanos::from_millis(50);
    driver.update(&Update::Start { load_start }).await.expect("it listens");
    (driver, load_start)
}

/// Hands every observation to `see` until it says stop or the driver is done.
pub(crate) async fn watch(driver: &mut Driver, mut see: impl FnMut(&Observation) -> bool) -> Option<Summary> {
    loop {
        match driver.next().await.expect("a driver that lives") {
            Some(Report::Observation(observation)) if see(&observation) => {}
            Some(Report::Summary(summary)) => return Some(summary),
            Some(Report::Observation(_)) | None => return None,
        }
    }
}
