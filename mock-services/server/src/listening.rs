//! A pod's listener: accepts connections, serves them, and ends them gracefully or not.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::server::TlsStream;

use crate::tls::Acceptor;

/// Answers the requests of a pod.
pub trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
    /// Answers one request that came from `peer`.
    fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// As an extension of an answer: the connection is reset in its place.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is reset")]
pub struct Reset;

/// Where kubelets ask from, where everybody has an address of their own.
pub const NODE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A pod that serves. Dropping it kills it.
#[derive(Debug)]
pub struct Listening {
    open: Arc<Open>,
    state: watch::Sender<State>,
}

/// What is open: the listener and the connections that came from it.
#[derive(Debug)]
struct Open {
    /// Taken out, and so closed at once, when the pod ends: its port must be free when its container starts again.
    listener: Mutex<Option<TcpListener>>,
    count: AtomicU32,
    none: Notify,
    node: Option<IpAddr>,
}

/// What its connections are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    life: Life,
    /// Its node is cut off.
    cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Serving,
    Terminating,
    Vanished,
    Killed,
}

impl Listening {
    /// Serves on `listener` until it is told otherwise. `node`: where its own node asks from, which nothing cuts off
    /// from it.
    pub fn serve(listener: TcpListener, handler: Arc<impl Handler>, node: Option<IpAddr>) -> Self {
        Self::serve_with(listener, handler, node, None)
    }

    /// The same over TLS.
    pub fn serve_tls(listener: TcpListener, handler: Arc<impl Handler>, node: Option<IpAddr>, tls: Acceptor) -> Self {
        Self::serve_with(listener, handler, node, Some(tls))
    }

    fn serve_with(
        listener: TcpListener,
        handler: Arc<impl Handler>,
        node: Option<IpAddr>,
        tls: Option<Acceptor>,
    ) -> Self {
        let (listener, count) = (Mutex::new(Some(listener)), AtomicU32::new(0));
        let open = Arc::new(Open { listener, count, none: Notify::new(), node });
        let (state, told) = watch::channel(State { life: Life::Serving, cut: false });
        tokio::spawn(accept(Arc::clone(&open), handler, tls, told));
        Self { open, state }
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

    /// Its node loses its power: nothing is served any more, and nobody is told. Who connects or waits hears nothing
    /// until this is dropped.
    pub fn vanish(&self) {
        self.live(Life::Vanished);
    }

    /// Its node is cut off, or reached again. Meanwhile nothing that is sent arrives on either side, but for what comes
    /// from the node itself; it arrives later, as TCP sends it again.
    pub fn cut_off(&self, cut: bool) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.cut, cut) != cut);
    }

    /// Whether it accepts no longer.
    pub fn ending(&self) -> bool {
        self.state.borrow().life != Life::Serving
    }

    fn end(&self, how: Life) {
        drop(self.open.listener().take()); // new connections are refused
        self.live(how);
    }

    fn live(&self, life: Life) {
        self.state.send_if_modified(|state| {
            let before = state.life;
            state.life = life.max(before);
            before < life
        });
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

async fn accept(open: Arc<Open>, handler: Arc<impl Handler>, tls: Option<Acceptor>, mut told: watch::Receiver<State>) {
    loop {
        let state = *told.borrow_and_update();
        let accepted = match state.life {
            Life::Serving => tokio::select! {
                biased;
                changed = told.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                accepted = poll_fn(|context| open.poll_accept(context)) => accepted,
            },
            // The kernel still shakes hands, as far as the backlog goes; nobody will answer.
            Life::Vanished if told.changed().await.is_ok() => continue,
            Life::Terminating | Life::Vanished | Life::Killed => return,
        };
        match accepted {
            Some(Ok((stream, peer, counted))) => {
                let (handler, told) = (Arc::clone(&handler), told.clone());
                match tls.clone() {
                    None => drop(tokio::spawn(connection(counted, stream, peer.ip(), handler, told))),
                    Some(tls) => drop(tokio::spawn(async move {
                        // Whoever cannot shake hands is told so by TLS itself.
                        if let Ok(stream) = tls.accept(stream).await {
                            connection(counted, stream, peer.ip(), handler, told).await;
                        }
                    })),
                }
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {} // that peer has gone already
            Some(Err(_)) => pause().await, // out of file descriptors or memory
            None => return,
        }
    }
}

/// A connection, plain or not.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    /// What it is made of.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn connection(
    counted: Counted,
    stream: impl Socket,
    peer: IpAddr,
    handler: Arc<impl Handler>,
    mut told: watch::Receiver<State>,
) {
    // Loopback without Nagle. It fails only on a socket that is gone, which serving will notice.
    stream.tcp().set_nodelay(true).ok();
    let service = service_fn(|request| async {
        let answer = handler.answer(peer, request).await;
        if answer.extensions().get::<Reset>().is_some() { Err(Reset) } else { Ok(answer) }
    });
    let mut serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut ending = false;
    loop {
        let State { life, cut } = *told.borrow_and_update();
        match life {
            Life::Serving => {}
            Life::Terminating => {
                if !std::mem::replace(&mut ending, true) {
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                }
            }
            // What was being served ends here, and its socket stays as it is.
            Life::Vanished => {
                let stream = serving.into_parts().io.into_inner();
                while told.changed().await.is_ok() && told.borrow_and_update().life == Life::Vanished {}
                stream.tcp().set_zero_linger().ok();
                break;
            }
            // The client sees a reset: a closed connection could pass for the end of an answer. It fails only if the
            // client was faster.
            Life::Killed => {
                serving.into_parts().io.into_inner().tcp().set_zero_linger().ok();
                break;
            }
        }
        let silent = cut && Some(peer) != counted.0.node;
        tokio::select! {
            biased;
            // Whoever held the pod has dropped it, which kills it.
            changed = told.changed() => if changed.is_err() {
                serving.into_parts().io.into_inner().tcp().set_zero_linger().ok();
                break;
            },
            // While nothing arrives, nothing is read, answered or asked of others on its behalf.
            ended = &mut serving, if !silent => {
                // Any other error is the client's: it went away or spoke no HTTP.
                if ended.is_err_and(|error| error.is_user()) {
                    serving.into_parts().io.into_inner().tcp().set_zero_linger().ok();
                }
                break;
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
