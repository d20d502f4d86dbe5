//! One HTTP/1.1 connection, polled by whoever uses it.
//!
//! Hyper's usual way is a task per connection, which costs two task switches a request. Here the exchange that uses
//! the connection polls it, and an idle connection is polled by nobody: one that the server closed is noticed when
//! it is taken up again.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use clock::Clock;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use units::Nanos;

/// A connection to a gateway pod.
#[derive(Debug)]
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    /// Boxed: a connection of several hundred bytes changes hands four times a request.
    link: Box<Link>,
    /// Which gateway pod is at the other end.
    pub(crate) door: u16,
}

#[derive(Debug)]
struct Link {
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
    open: bool,
}

/// A complete answer, and when its parts came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) parts: Parts,
}

/// When the parts of a body came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    first: Option<Nanos>,
    last: Nanos,
    gap: Nanos,
}

impl Parts {
    /// A part of the body came at `now`.
    pub(crate) fn came(&mut self, now: Nanos) {
        if self.first.is_some() {
            self.gap = self.gap.max(now - self.last);
        }
        self.first.get_or_insert(now);
        self.last = now;
    }

    /// The first part; of an answer without a body its end, `done`.
    pub(crate) fn first(&self, done: Nanos) -> Nanos {
        self.first.unwrap_or(done)
    }

    /// The longest wait between two parts.
    pub(crate) const fn gap(&self) -> Nanos {
        self.gap
    }
}

/// Why there is no complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection was gone before any of the request was written: another may carry it.
    BeforeSending,
    /// It broke later.
    Later,
}

impl Wire {
    pub(crate) async fn open(stream: TcpStream, door: u16) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, link: Box::new(Link { connection, open: true }), door })
    }

    /// Whether it can take a request now. Needs a task's context, because it asks the socket.
    pub(crate) async fn usable(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.link.poll(context);
            Poll::Ready(self.link.open && self.sender.is_ready())
        })
        .await
    }

    /// Sends a request and reads its answer to the last byte. The body is discarded, but read: a connection whose
    /// body was not read cannot be used again.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>, clock: &Clock) -> Result<Answer, Broken> {
        let sent = self.link.drive(self.sender.send_request(request)).await.ok_or(Broken::Later)?;
        let response = sent.map_err(|error| if error.is_canceled() { Broken::BeforeSending } else { Broken::Later })?;
        let (head, mut body) = response.into_parts();
        let parts = self.drain(&mut body, clock).await?;
        Ok(Answer { head: Response::from_parts(head, ()), parts })
    }

    async fn drain(&mut self, body: &mut Incoming, clock: &Clock) -> Result<Parts, Broken> {
        let mut parts = Parts::default();
        while let Some(frame) = self.link.drive(body.frame()).await.ok_or(Broken::Later)? {
            if frame.map_err(|_| Broken::Later)?.is_data() {
                parts.came(clock.now());
            }
        }
        Ok(parts)
    }
}

impl Link {
    fn poll(&mut self, context: &mut Context<'_>) {
        if self.open && Pin::new(&mut self.connection).poll(context).is_ready() {
            self.open = false;
        }
    }

    /// Runs `future`, which makes progress only through this connection. `None`: the connection ended and left it
    /// waiting.
    async fn drive<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(move |context| {
            // Only polling the connection moves the future, so it needs no waker of its own; with one, each answer
            // would wake this very task once more. First it says what it wants, then the connection acts on that.
            let mut deaf = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = future.as_mut().poll(&mut deaf) {
                return Poll::Ready(Some(output));
            }
            self.poll(context);
            match future.as_mut().poll(&mut deaf) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if self.open => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }
}
