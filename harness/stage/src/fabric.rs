//! The pod network: who is where, and every connection between pods.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use cluster::service_proxy::{Caller, Sessions};
use cluster::{Endpoints, PodId};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use platform::{ServiceId, WorkloadId};
use scenarios::{FaultKind, Network, OnTheWay, Party, Plan, Verdict, party};
use tokio::net::{TcpSocket, TcpStream};
use units::{Nanos, Purpose, RequestId};

/// Where pods listen, which endpoints a new connection may go to, and what disturbs it.
#[derive(Debug)]
pub(crate) struct Fabric {
    plan: Arc<Plan>,
    clock: Clock,
    endpoints: RwLock<Arc<Endpoints>>,
    /// Services whose connections go to the pods of another one: those of a primary that was lost.
    taken_over: RwLock<BTreeMap<ServiceId, ServiceId>>,
    affinities: Mutex<Sessions>,
    /// The pod that has a name now.
    named: RwLock<BTreeMap<String, PodId>>,
    pods: RwLock<Vec<Option<Placed>>>,
    network: Network,
    /// Whose pods are behind each Service.
    parties: Vec<Option<Party>>,
    /// What proves that the driver says whose request it is, where there is one address for everybody.
    proof: Option<String>,
    /// When load starts, nanoseconds of the clock; [`u64::MAX`] until that is known.
    load_start: AtomicU64,
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
    party: Party,
    runs: bool,
    /// Whether packets get to its node: neither cut off nor without power.
    reached: bool,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No endpoint, or nobody accepted.
    Connect,
    /// Nobody answered while it connected.
    ConnectTimeout,
    /// The connection broke.
    Reset,
    /// It took too long.
    Timeout,
}

impl Fabric {
    pub(crate) fn new(plan: Arc<Plan>, clock: Clock, one_address: bool) -> Self {
        let platform = &plan.platform;
        let gateway = platform.gateway.as_ref().map(|gateway| gateway.workload);
        let behind = |service| Some(party(platform.selected_by(service).next()?, gateway));
        Self {
            clock,
            endpoints: RwLock::new(Arc::new(Endpoints::empty(platform.services.len()))),
            taken_over: RwLock::default(),
            affinities: Mutex::new(Sessions::default()),
            named: RwLock::default(),
            pods: RwLock::new(Vec::new()),
            network: Network::new(&plan.faults),
            parties: platform.services.iter().map(behind).collect(),
            proof: one_address.then(proof),
            load_start: AtomicU64::new(u64::MAX),
            plan,
        }
    }

    /// The clock of the run.
    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the driver shows so that it is believed; `None` where clients have addresses of their own.
    pub(crate) fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }

    /// Whose request it is by the word of the driver, and of nobody else.
    pub(crate) fn client(&self, said: Option<&str>) -> Option<IpAddr> {
        let (address, proof) = said?.split_once(' ')?;
        if self.proof.as_deref() == Some(proof) { address.parse().ok() } else { None }
    }

    /// The address that a peer would have in a cluster: that of its pod, its node, or a client outside. Rules about
    /// private addresses would otherwise take everybody in.
    #[expect(clippy::unused_self, reason = "the fabric knows who is who")]
    pub(crate) fn stands_for(&self, peer: IpAddr) -> IpAddr {
        let IpAddr::V4(address) = peer else { return peer };
        match address.octets() {
            [127, 0, 0, 1] => Ipv4Addr::new(10, 0, 0, 1).into(),
            [127, _, third, fourth] if third < 128 => Ipv4Addr::new(10, 244, third, fourth).into(),
            // RFC 2544's block, which is nobody's.
            [127, _, third, fourth] => Ipv4Addr::new(198, 18, third - 128, fourth).into(),
            _ => peer,
        }
    }

    /// Load starts at this instant: from here the disturbances of the scenario are counted.
    pub(crate) fn load_starts(&self, at: Nanos) {
        self.load_start.store(at.get(), Ordering::Relaxed);
    }

    /// New connections use these endpoints from now on.
    pub(crate) fn publish(&self, endpoints: Arc<Endpoints>) {
        *self.endpoints.write().unwrap_or_else(PoisonError::into_inner) = endpoints;
    }

    /// Connections to Services of `lost` go to pods of `heir` from now on. `false`: no Service leads to those.
    pub(crate) fn take_over(&self, lost: WorkloadId, heir: WorkloadId) -> bool {
        let platform = &self.plan.platform;
        let of = |workload| {
            let leads =
                move |id: &ServiceId| platform.selected_by(platform.service(*id)).any(|behind| behind == workload);
            platform.service_ids().filter(leads)
        };
        let Some(to) = of(heir).next() else { return false };
        let mut taken_over = self.taken_over.write().unwrap_or_else(PoisonError::into_inner);
        taken_over.extend(of(lost).filter(|service| *service != to).map(|service| (service, to)));
        true
    }

    /// The pods behind a Service, as dialers see them, with where they listen. One that was killed is among them until
    /// the endpoints say otherwise.
    pub(crate) fn behind(&self, service: ServiceId) -> Vec<(PodId, SocketAddr)> {
        let endpoints = Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner));
        let pods = endpoints.ready(service).iter();
        pods.filter_map(|pod| Some((*pod, self.placed(*pod)?.address.bind))).collect()
    }

    /// A pod of `workload` has an address.
    pub(crate) fn place(&self, pod: PodId, name: &str, workload: WorkloadId, address: PodAddress) {
        self.named.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), pod);
        let gateway = self.plan.platform.gateway.as_ref().map(|gateway| gateway.workload);
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let index = pod.0 as usize;
        if pods.len() <= index {
            pods.resize(index + 1, None);
        }
        let reached = pods[index].is_none_or(|before| before.reached);
        pods[index] = Some(Placed { address, party: party(workload, gateway), runs: true, reached });
    }

    /// A pod's container has ended. Nobody is to connect there: somebody else might listen by now.
    pub(crate) fn ended(&self, pod: PodId) {
        self.change(pod, |placed| placed.runs = false);
    }

    /// The pod that has this address, where each has its own.
    pub(crate) fn at(&self, address: Ipv4Addr) -> Option<PodId> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let here = |placed: &Option<Placed>| {
            placed.as_ref().is_some_and(|placed| placed.runs && placed.address.bind.ip() == IpAddr::V4(address))
        };
        pods.iter().position(here).map(|index| PodId(index as u32))
    }

    /// Whether packets get to a pod's node.
    pub(crate) fn reached(&self, pod: PodId) -> bool {
        self.placed(pod).is_none_or(|placed| placed.reached)
    }

    /// Whether nothing of the scenario disturbs a connection, nor cuts off a node.
    pub(crate) fn is_calm(&self) -> bool {
        self.network.is_calm() && self.plan.faults.iter().all(|fault| !cuts_off(&fault.kind))
    }

    /// A pod's node is cut off, or reached again.
    pub(crate) fn reach(&self, pod: PodId, reached: bool) {
        self.change(pod, |placed| placed.reached = reached);
    }

    fn change(&self, pod: PodId, change: impl FnOnce(&mut Placed)) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(placed)) = pods.get_mut(pod.0 as usize) {
            change(placed);
        }
    }

    /// Where a pod listens.
    pub(crate) fn address(&self, pod: PodId) -> Option<PodAddress> {
        self.placed(pod).filter(|placed| placed.runs).map(|placed| placed.address)
    }

    fn placed(&self, pod: PodId) -> Option<Placed> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(pod.0 as usize).copied().flatten()
    }

    fn choose(&self, from: Origin, to: ServiceId, id: RequestId) -> Option<PodId> {
        let endpoints = Arc::clone(&self.endpoints.read().unwrap_or_else(PoisonError::into_inner));
        let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
        let to = self.taken_over.read().unwrap_or_else(PoisonError::into_inner).get(&to).copied().unwrap_or(to);
        let service = self.plan.platform.service(to);
        let mut affinities = self.affinities.lock().unwrap_or_else(PoisonError::into_inner);
        let (pod, caller) = match from {
            Origin::Pod(pod) => (Some(pod), Caller::Pod(pod)),
            Origin::Outside(address) => (None, Caller::Outside(address.to_bits())),
        };
        affinities.choose(self.clock.now(), (to, service), caller, endpoints.reachable(to, pod), draw)
    }

    /// What the network does to a client's request on its way to the gateway.
    pub(crate) fn way_in(&self, id: RequestId) -> Verdict {
        // A client keeps its connection: what it opens it by is not lost.
        self.verdict(Party::Clients, Party::Gateway, None, false, id)
    }

    /// What it does to a pod's request to a Service. nginx resolves names when it starts, so a failing DNS is nothing
    /// to a gateway that runs.
    fn way_on(&self, from: Placed, to: ServiceId, opens: bool, id: RequestId) -> Verdict {
        if !from.reached {
            return Verdict::Lost;
        }
        let asked = (from.party != Party::Gateway).then_some(to);
        match self.parties[usize::from(to.0)] {
            Some(party) => self.verdict(from.party, party, asked, opens, id),
            None => Verdict::UNDISTURBED,
        }
    }

    fn verdict(&self, from: Party, to: Party, service: Option<ServiceId>, opens: bool, id: RequestId) -> Verdict {
        let (now, start) = (self.clock.now(), Nanos::new(self.load_start.load(Ordering::Relaxed)));
        if self.network.is_calm() || now < start {
            return Verdict::UNDISTURBED;
        }
        let sent = OnTheWay { since: now - start, from, to, service, opens, id };
        self.network.verdict(&sent, self.plan.load.seed)
    }

    /// Whether a connection to a pod would still stand: it neither ended nor refuses. One that vanished without a word is
    /// only found out by using it.
    pub(crate) fn stands(&self, pod: PodId) -> bool {
        self.placed(pod).is_some_and(|placed| placed.runs || !placed.reached)
    }

    /// Opens a connection to a Service: to the pod whose connection is `kept`, or by kube-proxy's choice, drawn for this
    /// request, so that the simulator makes the same one.
    async fn dial(
        &self,
        from: Origin,
        source: Ipv4Addr,
        to: ServiceId,
        id: RequestId,
        kept: Option<PodId>,
    ) -> Result<(TcpStream, PodId), NoAnswer> {
        let pod = kept.or_else(|| self.choose(from, to, id)).ok_or(NoAnswer::Connect)?;
        match self.placed(pod) {
            Some(placed) if !placed.reached => std::future::pending().await,
            Some(placed) if placed.runs => Ok((connect(source, placed.address.bind).await?, pod)),
            _ => Err(NoAnswer::Connect),
        }
    }

    /// The same to another port of the pod.
    pub(crate) async fn dial_port(
        &self,
        from: Origin,
        source: Ipv4Addr,
        to: ServiceId,
        port: u16,
        id: RequestId,
    ) -> Result<(TcpStream, PodId), NoAnswer> {
        let pod = self.choose(from, to, id).ok_or(NoAnswer::Connect)?;
        self.dial_pod(source, pod, port).await
    }

    /// The same to the pod that has a name now, whether it is ready or not.
    pub(crate) async fn dial_named(
        &self,
        source: Ipv4Addr,
        name: &str,
        port: u16,
    ) -> Result<(TcpStream, PodId), NoAnswer> {
        let pod = self.named.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        self.dial_pod(source, pod.ok_or(NoAnswer::Connect)?, port).await
    }

    async fn dial_pod(&self, source: Ipv4Addr, pod: PodId, port: u16) -> Result<(TcpStream, PodId), NoAnswer> {
        match self.placed(pod) {
            Some(placed) if !placed.reached => std::future::pending().await,
            Some(placed) if placed.runs => {
                Ok((connect(source, SocketAddr::new(placed.address.bind.ip(), port)).await?, pod))
            }
            _ => Err(NoAnswer::Connect),
        }
    }

    /// What the network does to what somebody sends to a Service, on a connection that `opens` for it or stood before.
    pub(crate) fn on_the_way_to(&self, from: Origin, to: ServiceId, opens: bool, id: RequestId) -> Verdict {
        let placed = match from {
            Origin::Pod(pod) => self.placed(pod),
            Origin::Outside(_) => None,
        };
        placed.map_or(Verdict::UNDISTURBED, |placed| self.way_on(placed, to, opens, id))
    }

    /// Sends one request to a Service on a connection of its own, and reads the answer: to its end if it is `whole`. Tells
    /// which pod it met, if it met one. Where a connection is `kept`, it goes to that pod: what is kept is where it leads.
    #[expect(clippy::too_many_arguments, reason = "each is a part of one question")]
    pub(crate) async fn ask(
        &self,
        from: Origin,
        to: ServiceId,
        id: RequestId,
        request: Request<Full<Bytes>>,
        within: Within,
        whole: bool,
        kept: Option<PodId>,
    ) -> Result<(Answered, Option<PodId>), NoAnswer> {
        let (source, verdict) = match from {
            Origin::Outside(address) => (address, Verdict::UNDISTURBED),
            Origin::Pod(pod) => {
                let placed = self.placed(pod).ok_or(NoAnswer::Connect)?;
                let IpAddr::V4(source) = placed.address.bind.ip() else { return Err(NoAnswer::Connect) };
                (source, self.way_on(placed, to, kept.is_none(), id))
            }
        };
        let delay = match verdict {
            Verdict::Pass { delay } => delay,
            Verdict::Answer { status } => return Ok((Answered::Whole(answered(status)), None)),
            Verdict::Reset => return Err(NoAnswer::Reset),
            Verdict::Lost | Verdict::Unresolved => {
                return timeout(within.connect, std::future::pending()).await.map_err(|_| NoAnswer::ConnectTimeout)?;
            }
        };
        let dialled = timeout(within.connect, self.dial(from, source, to, id, kept)).await;
        let (stream, pod) = dialled.map_err(|_| NoAnswer::ConnectTimeout)??;
        if delay > Nanos::ZERO {
            self.clock.until(self.clock.now() + delay).await;
        }
        if !whole {
            return timeout(within.answer, begin(stream, request))
                .await?
                .map(|(head, rest)| (Answered::Passed(head, rest), Some(pod)));
        }
        let answer = timeout(within.answer, exchange(stream, request));
        match within.silence {
            None => answer.await?,
            Some(patience) => {
                tokio::select! {
                    answer = answer => answer?,
                    () = self.silent(pod, patience) => Err(NoAnswer::Timeout),
                }
            }
        }
        .map(|whole| (Answered::Whole(whole), Some(pod)))
    }

    /// Ends when a pod has not been reached for so long.
    async fn silent(&self, pod: PodId, patience: Nanos) {
        loop {
            self.clock.until(self.clock.now() + patience).await;
            if self.placed(pod).is_none_or(|placed| !placed.reached) {
                return;
            }
        }
    }
}

/// Whether a fault takes nodes away from the network.
const fn cuts_off(kind: &FaultKind) -> bool {
    matches!(kind, FaultKind::Partition { .. } | FaultKind::NodeLoss { .. } | FaultKind::ZoneLoss { .. })
}

/// 128 bits that nobody can know.
fn proof() -> String {
    let random = || std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
    format!("{:016x}{:016x}", std::hash::Hasher::finish(&random()), std::hash::Hasher::finish(&random()))
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A pod, from its own address.
    Pod(PodId),
    /// Somebody else, from this address.
    Outside(Ipv4Addr),
}

/// An answer of a Service.
#[derive(Debug)]
pub(crate) enum Answered {
    /// To its end.
    Whole(Response<Bytes>),
    /// Its head, and a body that comes as long as its connection is driven.
    Passed(Response<Incoming>, Driven),
}

impl Answered {
    /// HTTP status.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Whole(response) => response.status().as_u16(),
            Self::Passed(response, _) => response.status().as_u16(),
        }
    }

    /// Its headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Whole(response) => response.headers(),
            Self::Passed(response, _) => response.headers(),
        }
    }
}

/// A client's connection, until it is done.
#[derive(Debug)]
#[expect(clippy::type_complexity, reason = "a name for it is what this is")]
pub(crate) struct Driven(Option<Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>>);

impl Driven {
    /// Lets it read and write. How it ends shows in the body that it carries.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }
}

/// What somebody in between answers.
fn answered(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Bounds of a request from a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    /// Until it stands.
    pub(crate) connect: Duration,
    /// From then to the answer's end, or to its head where it is passed on.
    pub(crate) answer: Duration,
    /// How long a peer is waited for that cannot be reached any more, about; `None`: as long as for an answer.
    pub(crate) silence: Option<Nanos>,
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
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
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

/// The same up to the answer's head; the rest comes while the connection is driven.
async fn begin(stream: TcpStream, mut request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Driven), NoAnswer> {
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let broken = |_: hyper::Error| NoAnswer::Reset;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = Driven(Some(Box::pin(connection)));
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = poll_fn(|context| {
        connection.drive(context);
        answer.as_mut().poll(context)
    });
    Ok((response.await.map_err(broken)?, connection))
}
