//! The pod network: who is where, and every connection between pods.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use cluster::service_proxy::{Caller, Sessions};
use cluster::{Endpoints, PodId};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use platform::{Platform, ServiceId};
use tokio::net::{TcpSocket, TcpStream};
use units::{Purpose, RequestId, Seed};

/// Where pods listen and which endpoints a new connection may go to.
#[derive(Debug)]
pub(crate) struct Fabric {
    seed: Seed,
    platform: Arc<Platform>,
    clock: Clock,
    endpoints: RwLock<Arc<Endpoints>>,
    affinities: Mutex<Sessions>,
    pods: RwLock<Vec<Option<Placed>>>,
}

/// A pod's two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PodAddress {
    /// What Kubernetes would show: an address of the pod network.
    pub(crate) label: Ipv4Addr,
    /// Where it really listens.
    pub(crate) bind: SocketAddr,
}

/// Where a pod is, or was: what was told of it stays told until somebody hears otherwise.
#[derive(Clone, Copy, Debug)]
struct Placed {
    address: PodAddress,
    runs: bool,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No endpoint, or nobody accepted.
    Connect,
    /// The connection broke.
    Reset,
    /// It took too long.
    Timeout,
}

impl Fabric {
    pub(crate) fn new(seed: Seed, platform: Arc<Platform>, clock: Clock) -> Self {
        Self {
            seed,
            clock,
            endpoints: RwLock::new(Arc::new(Endpoints::empty(platform.services.len()))),
            affinities: Mutex::new(Sessions::default()),
            pods: RwLock::new(Vec::new()),
            platform,
        }
    }

    /// New connections use these endpoints from now on.
    pub(crate) fn publish(&self, endpoints: Arc<Endpoints>) {
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = endpoints;
    }

    /// The pods behind a Service, as dialers see them, with where they listen. One that was killed is among them until
    /// the endpoints say otherwise.
    pub(crate) fn behind(&self, service: ServiceId) -> Vec<(PodId, SocketAddr)> {
        let endpoints = Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner));
        let pods = endpoints.ready(service).iter();
        pods.filter_map(|pod| Some((*pod, self.placed(*pod)?.address.bind))).collect()
    }

    /// A pod has an address.
    pub(crate) fn place(&self, pod: PodId, address: PodAddress) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let index = pod.0 as usize;
        if pods.len() <= index {
            pods.resize(index + 1, None);
        }
        pods[index] = Some(Placed { address, runs: true });
    }

    /// A pod's container has ended. Nobody is to connect there: somebody else might listen by now.
    pub(crate) fn ended(&self, pod: PodId) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(placed)) = pods.get_mut(pod.0 as usize) {
            placed.runs = false;
        }
    }

    /// Where a pod listens.
    pub(crate) fn address(&self, pod: PodId) -> Option<PodAddress> {
        self.placed(pod).filter(|placed| placed.runs).map(|placed| placed.address)
    }

    fn placed(&self, pod: PodId) -> Option<Placed> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(pod.0 as usize).copied().flatten()
    }

    fn choose(&self, from: Ipv4Addr, to: ServiceId, id: RequestId) -> Option<PodId> {
        let endpoints = Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner));
        let draw = self.seed.draw(id, Purpose::Endpoint);
        let caller = self.pod_at(from);
        let service = self.platform.service(to);
        let by = caller.map_or_else(|| Caller::Outside(from.to_bits()), Caller::Pod);
        let mut affinities = self.affinities.lock().unwrap_or_else(PoisonError::into_inner);
        affinities.choose(self.clock.now(), (to, service), by, endpoints.reachable(to, caller), draw)
    }

    /// The pod that dials from an address.
    fn pod_at(&self, from: Ipv4Addr) -> Option<PodId> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let is = |placed: Placed| placed.address.label == from || placed.address.bind.ip() == from;
        // Addresses are used again: the pod that came last has it.
        pods.iter().rposition(|placed| placed.is_some_and(is)).map(|index| PodId(index as u32))
    }

    /// Opens a connection from a pod to a Service: kube-proxy's choice, drawn for this request, so that the simulator
    /// makes the same one.
    pub(crate) async fn dial(&self, from: Ipv4Addr, to: ServiceId, id: RequestId) -> Result<TcpStream, NoAnswer> {
        let address = self.choose(from, to, id).and_then(|pod| self.address(pod)).ok_or(NoAnswer::Connect)?;
        connect(from, address.bind).await
    }

    /// Sends one request to a Service on a connection of its own, and reads the answer to its end. `within` bounds
    /// each of connecting and answering.
    pub(crate) async fn ask(
        &self,
        from: Ipv4Addr,
        to: ServiceId,
        id: RequestId,
        request: Request<Full<Bytes>>,
        within: Within,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let stream = timeout(within.connect, self.dial(from, to, id)).await??;
        timeout(within.answer, exchange(stream, request)).await?
    }
}

/// Bounds of a request behind the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) connect: Duration,
    pub(crate) answer: Duration,
}

/// Timeouts of seconds: the runtime's timer, a millisecond coarse, is exact enough for them.
pub(crate) async fn timeout<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, NoAnswer> {
    tokio::time::timeout(limit, work).await.map_err(|_| NoAnswer::Timeout)
}

/// A connection from a given source address.
pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream, NoAnswer> {
    let open = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    open.await.map_err(|_| NoAnswer::Connect)
}

/// One request and its answer on a fresh connection, which closes afterwards.
///
/// The peer closes first, since it was told to: its sockets wait in `TIME_WAIT` and not those of `from`, whose ports
/// would be used up by 28,000 of them.
pub(crate) async fn exchange(
    stream: TcpStream,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, NoAnswer> {
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let broken = |_: hyper::Error| NoAnswer::Reset;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let response: Response<Incoming> = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    // The connection is driven here instead of in a task of its own: one wake-up less on every hop.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It may end first: the peer closes as soon as it has written the last byte.
        _ = &mut connection => answer.await,
    }
}
