//! A pod's listener: accepts connections, serves them, and ends them gracefully or not.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Answers the requests of a pod.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request that came from `peer`.
    fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// A pod that serves. Dropping it kills it.
#[derive(Debug)]
pub struct Listening {
    open: Arc<Open>,
    life: watch::Sender<Life>,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Open {
    count: AtomicU32,
    none: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    Terminating,
    Killed,
}

impl Listening {
    /// Serves on `listener` until it is told otherwise.
    pub fn serve(listener: TcpListener, handler: Arc<impl Handler>) -> Self {
        let open = Arc::new(Open::default());
        let (life, alive) = watch::channel(Life::Serving);
        tokio::spawn(accept(Arc::clone(&open), listener, handler, alive));
        Self { open, life }
    }

    /// SIGTERM: accepts nothing new and finishes what is in flight. The future ends when that is done, and does not
    /// borrow the pod.
    pub fn terminate(&self) -> impl Future<Output = ()> + Send + use<> {
        self.life.send_replace(Life::Terminating);
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

    /// SIGKILL: every connection is cut.
    pub fn kill(&self) {
        self.life.send_replace(Life::Killed);
    }
}

async fn accept(open: Arc<Open>, listener: TcpListener, handler: Arc<impl Handler>, mut alive: watch::Receiver<Life>) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = alive.changed() => return, // drops the listener: new connections are refused
            accepted = listener.accept() => accepted,
        };
        // Out of file descriptors, or the peer was gone already: the next one may succeed.
        let Ok((stream, peer)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        open.count.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(connection(Arc::clone(&open), stream, peer.ip(), Arc::clone(&handler), alive.clone()));
    }
}

async fn connection(
    open: Arc<Open>,
    stream: TcpStream,
    peer: IpAddr,
    handler: Arc<impl Handler>,
    mut alive: watch::Receiver<Life>,
) {
    // Loopback without Nagle. It fails only on a socket that is gone, which serving will notice.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| async { Ok::<_, Infallible>(handler.answer(peer, request).await) });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            // An error is the client's: it went away or spoke no HTTP.
            _ = serving.as_mut() => break,
            changed = alive.changed() => {
                let life = *alive.borrow();
                match (changed, life) {
                    (Ok(()), Life::Terminating) => serving.as_mut().graceful_shutdown(),
                    (Ok(()), Life::Serving) => {}
                    (Ok(()), Life::Killed) | (Err(_), _) => break,
                }
            }
        }
    }
    if open.count.fetch_sub(1, Ordering::AcqRel) == 1 {
        open.none.notify_waiters();
    }
}

/// A short answer in plain text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}
