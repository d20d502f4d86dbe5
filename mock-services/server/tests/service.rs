//! A mock service over HTTP: what its clients and Prometheus see.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use clock::Clock;
use hyper::header::HeaderValue;
use model::{CallProfile, ErrorProfile, Profile, Station, shipped};
use server::{Alone, Answer, Listening, LiveStation, Metrics, MockService, Outbound, Records, Unreachable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use units::{RequestId, Seed};

/// Everybody answers at once.
struct Others;

impl Outbound for Others {
    fn call<'a>(
        &'a self,
        _: &'a CallProfile,
        _: RequestId,
        _: Option<&'a HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'a>> {
        Box::pin(async { Ok(Answer { status: 200, hops: record::Hops::default() }) })
    }
}

async fn serve(profile: Profile) -> (Listening, SocketAddr) {
    let clock = Clock::start();
    let station = Station::new(profile.station(None, None), clock.now());
    let service = MockService {
        number: 1,
        profile: Arc::new(profile),
        health: vec!["/health".into()],
        seed: Seed::new(1),
        station: LiveStation::new(station, clock, Arc::new(Alone)),
        metrics: Metrics::default(),
        behind_gateway: false,
        records: Arc::new(Records::default()),
        outbound: Arc::new(Others),
    };
    let listener = TcpListener::bind(("127.79.0.1", 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    (Listening::serve(listener, Arc::new(service), None), at)
}

/// The whole answer to one request, as text.
async fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_streams_its_tokens_and_is_counted() {
    let (_pod, at) = serve(shipped().unwrap()["ai-agent-service"].clone()).await;
    let answer = ask(at, "POST /ai/chat/stream").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for want in ["content-type: text/event-stream", "transfer-encoding: chunked", "\"token\":0,", "data: [DONE]"] {
        assert!(answer.contains(want), "no `{want}` in {answer}");
    }
    let metrics = ask(at, "GET /metrics").await;
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0"), "{metrics}");
    let labels = "service=\"ai-agent-service\",method=\"POST\",path=\"/ai/chat/stream\",status=\"200\"";
    assert!(metrics.contains(&format!("http_requests_total{{{labels}}} 1\n")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_always_fails_answers_its_status() {
    let mut profile = shipped().unwrap()["auth-service"].clone();
    for route in &mut profile.routes {
        route.errors = Some(ErrorProfile { rate: 1.0, status: 503 });
    }
    let (_pod, at) = serve(profile).await;
    for (request, status) in
        [("POST /auth/token", 503), ("GET /health", 200), ("GET /auth/nothing", 404), ("GET /auth/verify", 503)]
    {
        let answer = ask(at, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
}
