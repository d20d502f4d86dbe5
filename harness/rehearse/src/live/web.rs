//! The run as a page on loopback: one document, and its state as server-sent events. Nothing is fetched from anywhere
//! else, and nobody but this machine's users can ask.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::state::Live;

const DOCUMENT: &str = include_str!("page.html");
/// No request of a browser's is longer.
const HEAD_MAX: u64 = 16 * 1024;

/// A page that somebody may look at. Serves until its runtime ends.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) address: SocketAddr,
    state: watch::Sender<Arc<str>>,
}

impl Page {
    /// Serves at `port` of 127.0.0.1, or at any free one for 0. Needs a tokio runtime.
    pub(crate) async fn serve(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (state, receiver) = watch::channel(Arc::from("null"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = receiver.clone();
                tokio::spawn(async move { answer(stream, address, receiver).await.ok() });
            }
        });
        Ok(Self { address, state })
    }

    pub(crate) fn show(&self, live: &Live) {
        if self.state.receiver_count() > 0 {
            let text = serde_json::to_string(live).expect("only text keys");
            self.state.send_replace(text.into());
        }
    }
}

/// One request a connection.
async fn answer(
    mut stream: TcpStream,
    address: SocketAddr,
    mut state: watch::Receiver<Arc<str>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if (&mut stream).take(HEAD_MAX - head.len() as u64).read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !ours(&head, address) {
        return whole(&mut stream, "403 Forbidden", "text/plain", "this page is for this machine alone\n").await;
    }
    match (method, path) {
        ("GET", "/") => whole(&mut stream, "200 OK", "text/html; charset=utf-8", DOCUMENT).await,
        ("GET", "/state.json") => {
            let now = Arc::clone(&state.borrow());
            whole(&mut stream, "200 OK", "application/json", &now).await
        }
        ("GET", "/events") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nconnection: \
                        close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                let now = Arc::clone(&state.borrow_and_update());
                stream.write_all(format!("data: {now}\n\n").as_bytes()).await?;
                if state.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
        _ => whole(&mut stream, "404 Not Found", "text/plain", "there is /, /events and /state.json\n").await,
    }
}

/// Whether a request names this page as its host: a name that somebody else made point here does not.
fn ours(head: &str, address: SocketAddr) -> bool {
    let host = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    host.is_some_and(|host| host == address.to_string() || host == format!("localhost:{}", address.port()))
}

async fn whole(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::super::state::Head;
    use super::*;

    async fn ask(page: &Page, path: &str, host: &str) -> TcpStream {
        let mut stream = TcpStream::connect(page.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn text(page: &Page, path: &str, host: &str) -> String {
        let mut answer = String::new();
        ask(page, path, host).await.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_a_page_that_asks_nobody_else_and_only_to_those_who_mean_it() {
        let page = Page::serve(0).await.unwrap();
        let host = page.address.to_string();
        let document = text(&page, "/", &host).await;
        assert!(document.starts_with("HTTP/1.1 200 OK") && document.contains("/events"), "{document}");
        assert!(!document.contains("https://") && !document.contains("src=\"http"), "everything is in the document");
        assert!(text(&page, "/", "evil.example").await.starts_with("HTTP/1.1 403"));
        assert!(text(&page, "/nothing", &host).await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_reader_sees_each_state() {
        let page = Page::serve(0).await.unwrap();
        let mut events = ask(&page, "/events", &format!("localhost:{}", page.address.port())).await;
        let mut live = Live::new(Head { scenario: "first".into(), ..Head::default() });
        page.show(&live);
        let mut seen = String::new();
        for word in ["first", "second"] {
            while !seen.contains(&format!("\"scenario\":\"{word}\"")) {
                let mut bytes = [0; 4_096];
                let n = events.read(&mut bytes).await.unwrap();
                assert!(n > 0, "it ended before `{word}`: {seen}");
                seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
            live.head.scenario = "second".into();
            page.show(&live);
        }
        assert!(seen.contains("data: {\"head\""), "{seen}");
        assert!(text(&page, "/state.json", &page.address.to_string()).await.contains("\"scenario\":\"second\""));
    }
}
