//! Raw requests from chosen addresses, so that any bytes can be sent, and an upstream that tells what it was asked.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::child::ADDRESS;

/// A response, in as much detail as the tests look at.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(named).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

/// A GET, ready to be written; an empty host makes it one of HTTP/1.0 without the header.
pub(crate) fn get(host: &str, target: &str) -> Vec<u8> {
    match host {
        "" => format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        host => format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    }
    .into_bytes()
}

/// A connection from `from` to `port`.
pub(crate) async fn connect(from: Ipv4Addr, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
    socket.connect(SocketAddrV4::new(ADDRESS, port).into()).await.unwrap()
}

/// Sends a request and reads one response.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Response {
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            let response = Response { status, head: head.to_owned(), body: body.to_owned() };
            let whole = match response.header("content-length") {
                Some(length) => response.body.len() >= length.parse().unwrap(),
                None => response.body.ends_with("0\r\n\r\n") && response.header("transfer-encoding").is_some(),
            };
            if whole || read == 0 {
                return response;
            }
        }
        assert!(read > 0, "the connection ended within a response: {text:?}");
    }
}

/// Targets that upstreams of this process were asked for.
static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Waits until an upstream was asked for a target, which nobody else asks for.
pub(crate) async fn until_asked(target: &str) {
    while !ASKED.lock().unwrap().contains(target) {
        pause(Duration::from_millis(5)).await;
    }
}

/// An upstream that answers 200 with the target it was asked for; 500 where that contains `fail`, and where it contains
/// `reset` it hangs up. `slow` takes 0.4 s, `linger` 3 s.
pub(crate) async fn upstream() -> u16 {
    let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !is_whole(&bytes) {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&bytes);
                let target = text.split(' ').nth(1).unwrap_or_default();
                ASKED.lock().unwrap().insert(target.to_owned());
                if target.contains("reset") {
                    return;
                }
                if target.contains("slow") {
                    pause(Duration::from_millis(400)).await;
                }
                if target.contains("linger") {
                    pause(Duration::from_secs(3)).await;
                }
                let status = if target.contains("fail") { "500 Failed" } else { "200 OK" };
                let length = target.len();
                let answer = format!("HTTP/1.0 {status}\r\nContent-Length: {length}\r\n\r\n{target}");
                // nginx may have gone away: its side tells what came of it.
                stream.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    port
}

/// Whether a request has come with its body.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// Our own clock, for what takes whole seconds.
#[expect(clippy::disallowed_methods, reason = "nginx does not tell these instants")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits; how exactly does not matter, since nginx tells its own instants.
#[expect(clippy::disallowed_methods, reason = "paces requests whose instants nginx tells")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// An upstream that keeps its connections as long as it is not told to close them, or spoken to in HTTP/1.0. Its answers
/// name the connection, counted from 1, in `X-Connection`; `linger` takes 0.3 s.
pub(crate) async fn keeping_upstream() -> u16 {
    let listener = TcpListener::bind((ADDRESS, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(async move {
                loop {
                    let mut bytes = Vec::new();
                    while !is_whole(&bytes) {
                        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    ASKED.lock().unwrap().insert(target.clone());
                    if target.contains("linger") {
                        pause(Duration::from_millis(300)).await;
                    }
                    let parts =
                        text.contains(" HTTP/1.0\r\n") || text.to_ascii_lowercase().contains("connection: close");
                    let connection = if parts { "close" } else { "keep-alive" };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Connection: {number}\r\nConnection: {connection}\r\n\r\n"
                    );
                    if stream.write_all(head.as_bytes()).await.is_err() || parts {
                        return;
                    }
                }
            });
        }
    });
    port
}
