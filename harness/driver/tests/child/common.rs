//! A server that misbehaves on request, and plans to drive it with.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clock::Clock;
use driver::{Door, Driver, Orders, Report, Sender, Summary, Update};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use record::{Observation, StepId, wire};
use scenarios::{ArrivalLaw, JourneyPlan, LoadPlan, Part, Segment, Step, Stream};
use tokio::net::TcpListener;
use units::{Distribution, Nanos, Rate, Seed};

/// What the server saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// A server in the test's own runtime. Its paths: `/ok`, `/status/N`, `/limited`, `/gateway`, `/cut`,
/// `/never`, `/stream`.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
    stall: Arc<Mutex<(Nanos, Nanos)>>,
    clock: Clock,
}

impl Server {
    pub(crate) async fn start(clock: &Clock, ip: [u8; 4]) -> Self {
        let listener = TcpListener::bind(SocketAddr::new(Ipv4Addr::from(ip).into(), 0)).await.unwrap();
        let server = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::default(),
            stall: Arc::default(),
            clock: clock.clone(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let server = accepting.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| server.clone().answer(peer, request));
                    let served =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    drop(served.await); // `/cut` breaks it on purpose
                });
            }
        });
        server
    }

    /// Answers nothing from `from` to `to`.
    pub(crate) fn stall(&self, from: Nanos, to: Nanos) {
        *self.stall.lock().unwrap() = (from, to);
    }

    /// By request id.
    pub(crate) fn seen(&self) -> BTreeMap<String, Vec<Seen>> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(self, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Answer>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let text =
            |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let seen = Seen { peer, method: head.method.to_string(), host: text("host"), path: path.clone(), body };
        self.seen.lock().unwrap().entry(text(wire::REQUEST)).or_default().push(seen);
        let (from, to) = *self.stall.lock().unwrap();
        if (from..to).contains(&self.clock.now()) {
            self.clock.until(to).await;
        }
        let response = Response::builder().header(wire::HOPS, "1,2,3,4,5,0,0,0").header(wire::POD, "7");
        let response = match path.as_str() {
            "/never" => std::future::pending().await,
            "/stream" => {
                let (events, body) = tokio::sync::mpsc::channel(1);
                tokio::spawn(stream(self.clock.clone(), events));
                let response = response.header("content-type", "text/event-stream");
                return Ok(response.body(Answer::Stream(body)).unwrap());
            }
            "/cut" => return Err(std::io::Error::other("cut")),
            "/limited" => response.status(503).header(wire::CAUSE, wire::LIMITED),
            "/gateway" => response.status(502).header(wire::CAUSE, wire::GATEWAY),
            path => response.status(path.strip_prefix("/status/").map_or(200, |code| code.parse().unwrap())),
        };
        Ok(response.body(Answer::Whole(Some("0123456789".repeat(100).into()))).unwrap())
    }
}

/// Three events: after 40 ms, 10 ms and 120 ms.
async fn stream(clock: Clock, events: tokio::sync::mpsc::Sender<Bytes>) {
    for pause in [40, 10, 120] {
        clock.until(clock.now() + Nanos::from_millis(pause)).await;
        if events.send("data: word\n\n".into()).await.is_err() {
            return;
        }
    }
}

/// A body at once or event by event.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Stream(tokio::sync::mpsc::Receiver<Bytes>),
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let data = match self.get_mut() {
            Self::Whole(bytes) => std::task::Poll::Ready(bytes.take()),
            Self::Stream(events) => events.poll_recv(context),
        };
        data.map(|bytes| bytes.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(bytes) => hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream(_) => hyper::body::SizeHint::default(),
        }
    }
}

pub(crate) fn step(method: &str, path: &str) -> Step {
    Step {
        flow: "core".to_owned(),
        name: format!("{method} {path}"),
        method: method.to_owned(),
        host: "shop.example".to_owned(),
        path: path.to_owned(),
        think: Distribution::NONE,
        expect: vec![],
        limit: None,
        payload: None,
    }
}

/// Sessions that take all `steps`, at `rate` for `millis`.
pub(crate) fn plan(steps: Vec<Step>, clients: u32, rate: u64, millis: u64) -> LoadPlan {
    LoadPlan {
        seed: Seed::new(5),
        phases: vec![],
        streams: vec![Stream {
            journey: 0,
            law: ArrivalLaw::Poisson,
            first_client: 0,
            clients,
            rate: vec![Segment::constant(Nanos::from_millis(millis), Rate::per_second(rate))],
            times: vec![],
            retry: None,
        }],
        crowds: vec![],
        journeys: vec![JourneyPlan {
            name: "buy".to_owned(),
            steps: (0..steps.len()).map(|index| StepId(index as u16)).collect(),
        }],
        steps,
        clients,
        timeout: Nanos::from_secs(5),
    }
}

pub(crate) fn drive() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_drive"))
}

pub(crate) fn orders(clock: &Clock, plan: LoadPlan, third: u8) -> Orders {
    let address = |index: u32| IpAddr::from(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 77, third, 1)) + index));
    Orders {
        clients: (0..plan.clients).map(address).collect(),
        plan,
        part: Part::default(),
        epoch_ns: clock.epoch(),
        workers: None,
        proof: None,
        sender: Sender::Hyper,
    }
}

/// Spawns a driver, opens `doors`, and starts load a little later.
pub(crate) async fn begin(clock: &Clock, orders: &Orders, doors: &[SocketAddr]) -> (Driver, Nanos) {
    let mut driver = Driver::spawn(drive(), orders).await.unwrap();
    let doors = (1..).zip(doors).map(|(pod, addr)| Door { pod, addr: *addr }).collect();
    driver.update(&Update::Doors(doors)).await.unwrap();
    let load_start = clock.now() + Nanos::from_millis(20);
    driver.update(&Update::Start { load_start }).await.unwrap();
    (driver, load_start)
}

/// Everything it reports until its end.
pub(crate) async fn collect(driver: &mut Driver) -> (Vec<Observation>, Summary) {
    let mut observations = Vec::new();
    loop {
        match driver.next().await.unwrap().expect("a summary comes last") {
            Report::Observation(observation) => observations.push(observation),
            Report::Pulse(pulse) => assert!(pulse.ended <= pulse.due, "{pulse:?}"),
            Report::Summary(summary) => {
                assert_eq!(driver.next().await.unwrap(), None);
                assert_eq!(summary.requests, observations.len() as u64);
                return (observations, summary);
            }
        }
    }
}
