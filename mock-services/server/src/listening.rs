//! A pod's listener: accepts connections, serves them, and ends them gracefully or not.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Answers the requests of a pod.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error = Infallible> + Send + 'static;
    /// Answers one request that came from `peer`.
    fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A pod that serves. Dropping it kills it.
#[derive(Debug)]
pub struct Listening {
    open: Arc<Open>,
    life: watch::Sender<Life>,
}

/// What is open: the listener and the connections that came from it.
#[derive(Debug)]
struct Open {
    /// Taken out, and so closed at once, when the pod ends: its port must be free when its container starts again.
    listener: Mutex<Option<TcpListener>>,
    count: AtomicU32,
    none: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Serving,
    Terminating,
    Killed,
}

impl Listening {
    /// Serves on `listener` until it is told otherwise.
    pub fn serve(listener: TcpListener, handler: Arc<impl Handler>) -> Self {
        let open =
            Arc::new(Open { listener: Mutex::new(Some(listener)), count: AtomicU32::new(0), none: Notify::new() });
        let (life, alive) = watch::channel(Life::Serving);
        tokio::spawn(accept(Arc::clone(&open), handler, alive));
        Self { open, life }
    }

    /// SIGTERM: accepts nothing new and finishes what is in flight. The future ends when that is done, and does not
    /// borrow the pod.
    pub fn terminate(&self) -> impl Future<Output = ()> + Send + use<> {
        self.end(Life::Terminating);
        let open = Arc::clone(&self.open);
        async move {
            loop {
                let none = open.none.notified();
                if open.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                none.await;
            }
        }
    }

    /// SIGKILL: the port is free when this returns, and every connection is reset.
    pub fn kill(&self) {
        self.end(Life::Killed);
    }

    /// Whether it accepts no longer.
    pub fn ending(&self) -> bool {
        *self.life.borrow() != Life::Serving
    }

    fn end(&self, how: Life) {
        drop(self.open.listener().take()); // new connections are refused
        self.life.send_if_modified(|life| std::mem::replace(life, how.max(*life)) < how);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An accepted connection, counted until it is dropped, however its task ends.
#[derive(Debug)]
struct Counted(Arc<Open>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

type Accepted = (TcpStream, SocketAddr, Counted);

impl Open {
    fn listener(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready with nothing once the listener is closed. A connection is counted under the lock, so that whoever
    /// closes the listener knows of every connection that came through it.
    fn poll_accept(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Accepted>>> {
        let listener = self.listener();
        let Some(listener) = listener.as_ref() else { return Poll::Ready(None) };
        let accepted = ready!(listener.poll_accept(context)).map(|(stream, peer)| {
            self.count.fetch_add(1, Ordering::AcqRel);
            (stream, peer, Counted(Arc::clone(self)))
        });
        Poll::Ready(Some(accepted))
    }
}

/// How long to leave a listener alone that cannot accept. The connections wait in its backlog meanwhile; trying again
/// at once would keep a core busy until a file descriptor is free.
const PAUSE: Duration = Duration::from_millis(10);

#[expect(clippy::disallowed_methods, reason = "no instant of the model: a millisecond more does not matter here")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

async fn accept(open: Arc<Open>, handler: Arc<impl Handler>, mut alive: watch::Receiver<Life>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = alive.changed() => return,
            accepted = poll_fn(|context| open.poll_accept(context)) => accepted,
        };
        match accepted {
            Some(Ok((stream, peer, counted))) => {
                tokio::spawn(connection(counted, stream, peer.ip(), Arc::clone(&handler), alive.clone()));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {} // that peer has gone already
            Some(Err(_)) => pause().await, // out of file descriptors or memory
            None => return,
        }
    }
}

async fn connection(
    counted: Counted,
    stream: TcpStream,
    peer: IpAddr,
    handler: Arc<impl Handler>,
    mut alive: watch::Receiver<Life>,
) {
    // Loopback without Nagle. It fails only on a socket that is gone, which serving will notice.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| async { Ok::<_, Infallible>(handler.answer(peer, request).await) });
    let mut serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    loop {
        tokio::select! {
            // An error is the client's: it went away or spoke no HTTP.
            _ = &mut serving => break,
            changed = alive.changed() => {
                let life = *alive.borrow();
                match (changed, life) {
                    (Ok(()), Life::Terminating) => std::pin::Pin::new(&mut serving).graceful_shutdown(),
                    (Ok(()), Life::Serving) => {}
                    (Ok(()), Life::Killed) | (Err(_), _) => {
                        // What was being served ends here, and the client sees a reset: a closed connection could
                        // pass for the end of an answer. Fails only if the client was faster.
                        serving.into_parts().io.into_inner().set_zero_linger().ok();
                        break;
                    }
                }
            }
        }
    }
    drop(counted);
}

/// A short answer in plain text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
