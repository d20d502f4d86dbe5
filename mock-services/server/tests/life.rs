//! How a pod's listener ends, seen from its clients.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use server::{Handler, Listening, plain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Answers `/slow` when it is let, and panics at `/bug`.
struct Gate(Semaphore);

impl Handler for Gate {
    type Body = Full<Bytes>;
    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/slow" => drop(self.0.acquire().await.unwrap()),
            "/bug" => panic!("a bug of the handler"),
            _ => {}
        }
        plain(StatusCode::OK, "done")
    }
}

fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(16)
}

fn serve() -> (Listening, Arc<Gate>, SocketAddr) {
    let listener = listen(SocketAddr::from(([127, 78, 0, 1], 0))).unwrap();
    let at = listener.local_addr().unwrap();
    let gate = Arc::new(Gate(Semaphore::new(0)));
    (Listening::serve(listener, Arc::clone(&gate), None), gate, at)
}

async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
}

async fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut buffer = [0; 1_024];
    let read = stream.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminating_closes_what_is_idle_and_finishes_what_is_not() {
    let (pod, gate, at) = serve();
    let (mut idle, mut fresh, mut busy) = (
        TcpStream::connect(at).await.unwrap(),
        TcpStream::connect(at).await.unwrap(),
        TcpStream::connect(at).await.unwrap(),
    );
    ask(&mut idle, "/").await;
    assert!(answer(&mut idle).await.unwrap().ends_with("done"));
    ask(&mut busy, "/slow").await;
    waits(&mut busy).await;
    assert!(!pod.ending());
    let mut ended = Box::pin(pod.terminate());
    assert!(pod.ending());
    assert_eq!(TcpStream::connect(at).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    for (case, stream) in [("kept alive", &mut idle), ("never used", &mut fresh)] {
        let closed = tokio::time::timeout(SOON, answer(stream)).await.expect(case).unwrap();
        assert_eq!(closed, "", "{case}");
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut ended).await.is_err(), "one is in flight");
    gate.0.add_permits(1);
    assert!(answer(&mut busy).await.unwrap().ends_with("done"));
    tokio::time::timeout(SOON, ended).await.expect("nothing is in flight any more");
}

/// Gives the server time to read what was sent: the peer has nothing to say yet.
async fn waits(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(20), stream.readable()).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_resets_and_leaves_the_port_free_at_once() {
    let (pod, _gate, at) = serve();
    let mut busy = TcpStream::connect(at).await.unwrap();
    ask(&mut busy, "/slow").await;
    waits(&mut busy).await;
    let ended = pod.terminate();
    pod.kill();
    drop(listen(at).expect("the port is free when kill returns"));
    let error = tokio::time::timeout(SOON, answer(&mut busy)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    tokio::time::timeout(SOON, ended).await.expect("a kill ends the termination");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_does_not_hold_up_the_end() {
    let (pod, _gate, at) = serve();
    let mut unlucky = TcpStream::connect(at).await.unwrap();
    ask(&mut unlucky, "/bug").await;
    assert!(!matches!(answer(&mut unlucky).await.as_deref(), Ok(text) if !text.is_empty()), "no answer");
    tokio::time::timeout(SOON, pod.terminate()).await.expect("its connection is not counted any more");
}
