//! What the examples share: the roles of their processes, a minimal server, and plans.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use clock::Clock;
use driver::{Door, Driver, Orders, Report, Sender, Summary, Update};
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
        Some("serve") => runtime(2).block_on(serve(arguments.get(1).map(|text| text.parse().expect("an epoch")))),
        Some("goose") => runtime(2).block_on(goose(&arguments[1], &arguments[2], &arguments[3])),
        _ => runtime(1).block_on(conduct(arguments)),
    }
}

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("threads")
}

/// Goose as its book has it: 50 users who ask again and again. Prints its rate by the metrics it keeps.
async fn goose(url: &str, secs: &str, users: &str) {
    use goose::prelude::*;
    let hello: TransactionFunction = std::sync::Arc::new(|user| {
        Box::pin(async move {
            let answer = user.get("").await?;
            if let Ok(answer) = answer.response {
                drop(answer.bytes().await); // a body that is not read closes the connection
            }
            Ok(())
        })
    });
    let mut configuration = goose::config::GooseConfiguration::default();
    configuration.host = Some(url.to_owned());
    configuration.users = users.parse().ok();
    configuration.increase_rate = Some("1000".to_owned());
    configuration.run_time = Some(secs.to_owned());
    (configuration.quiet, configuration.no_telnet, configuration.no_websocket) = (3, true, true);
    configuration.no_print_metrics = true;
    let attack = GooseAttack::initialize_with_config(configuration).expect("a configuration");
    let scenario = Scenario::new("hello").register_transaction(Transaction::new(hello));
    let metrics = Box::pin(attack.register_scenario(scenario).execute()).await.expect("an attack");
    let requests: usize = metrics.requests.values().map(|request| request.raw_data.counter).sum();
    println!("Requests/sec: {}", requests as f64 / secs.parse::<f64>().expect("seconds"));
}

/// Between two stalls, and how long each is.
const PERIOD: Nanos = Nanos::from_secs(10);
const STALL: Nanos = Nanos::from_secs(1);

/// For how long a server that stalls from `epoch` on says nothing at `at`, both of the monotonic clock.
fn stall_left(epoch: u64, at: u64) -> Nanos {
    let phase = Nanos::new(at.saturating_sub(epoch) % PERIOD.get());
    STALL - phase // saturates
}

/// Hyper, 13 bytes, kept alive. Prints its address. With an epoch it stalls.
async fn serve(stalls: Option<u64>) {
    let clock = Clock::with_epoch(0);
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
        let clock = clock.clone();
        tokio::spawn(async move {
            let hello = service_fn(|_| async {
                if let Some(epoch) = stalls {
                    let now = clock.now();
                    clock.until(now + stall_left(epoch, now.get())).await;
                }
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
    epoch: u64,
}

#[allow(dead_code, reason = "each example uses a part of this file")]
impl Server {
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// One that says nothing in the first second of every ten, from now on.
    pub(crate) fn start_stalling() -> Self {
        Self::serve(Some(Clock::start().epoch()))
    }

    /// For how many seconds it says nothing at this reading of the monotonic clock.
    pub(crate) fn stall_left(&self, at: u64) -> f64 {
        stall_left(self.epoch, at).as_secs_f64()
    }

    fn serve(stalls: Option<u64>) -> Self {
        let exe = std::env::current_exe().expect("our own path");
        let mut command = Command::new(exe);
        command.arg("serve").args(stalls.map(|epoch| epoch.to_string()));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("our own binary");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        Self { child, addr: line.trim().parse().expect("an address"), epoch: stalls.unwrap_or(0) }
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
#[allow(dead_code, reason = "each example uses a part of this file")]
pub(crate) async fn begin(clock: &Clock, plan: LoadPlan, workers: Option<usize>, server: &Server) -> (Driver, Nanos) {
    begin_by(clock, plan, workers, server, Sender::Hyper).await
}

/// The same by another sender.
pub(crate) async fn begin_by(
    clock: &Clock,
    plan: LoadPlan,
    workers: Option<usize>,
    server: &Server,
    sender: Sender,
) -> (Driver, Nanos) {
    let address = |index| IpAddr::from(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, 224, 1)) + index));
    let clients = (0..plan.clients).map(address).collect();
    let orders = Orders {
        plan,
        part: scenarios::Part::default(),
        epoch_ns: clock.epoch(),
        clients,
        workers,
        proof: None,
        sender,
    };
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
            Some(Report::Pulse(_)) => {}
            Some(Report::Observation(observation)) if see(&observation) => {}
            Some(Report::Summary(summary)) => return Some(summary),
            Some(Report::Observation(_)) | None => return None,
        }
    }
}
