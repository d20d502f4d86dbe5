//! Where pods live: in this process, each a listener on its own loopback address, or in containers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use cluster::{PodId, ProbeKind, Question, Traffic, Usage};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use model::data::DataInput;
use model::{CallProfile, LIBRARY_CONNECT, Station, StationInput};
use platform::{Container, GatewayConfig, HttpProbe, PortRef, Probe, ProbeAction, WorkloadId};
use record::{EventKind, Hops, wire};
use scenarios::Plan;
use server::{Answer, Listening, LiveStation, MockService, Outbound, Records, Unreachable};
use tokio::net::{TcpListener, TcpSocket};
use units::{Bytes, Millicores, Nanos, RequestId};

use crate::data::{Around, LiveData};
use crate::edge::{Edge, Port};
use crate::fabric::{Fabric, Origin, PodAddress, Within, connect, exchange, timeout};
use crate::news::{Feed, News};
use crate::{
    AddressLease, BackedUp, ContainerRuntime, Followed, Follows, Later, PodStart, Promoted, StageError, StandingPod,
};

/// All pods of the run.
pub(crate) struct Place {
    plan: Arc<Plan>,
    lease: Arc<AddressLease>,
    /// Where pods run that do not run in this process: then all do.
    runtime: Option<Arc<dyn ContainerRuntime>>,
    clock: Clock,
    fabric: Arc<Fabric>,
    feed: Feed,
    data: Arc<LiveData>,
    records: Arc<Records>,
    /// Whose containers do not start now: all of a workload's, or of one of its pods.
    held: Vec<(WorkloadId, Option<String>)>,
    /// A workload whose pods were the primary, and whom they follow since another one was promoted.
    deposed: Option<(WorkloadId, Follows)>,
    /// The gateway's configuration, once there is a pod that has it.
    gateway: Option<Arc<GatewayConfig>>,
    pods: BTreeMap<PodId, Pod>,
}

struct Pod {
    workload: WorkloadId,
    name: String,
    running: Option<Running>,
    /// Its node lost its power: sockets that nobody serves, until the node is back.
    vanished: Option<Listening>,
    /// Whether packets get to its node.
    reached: bool,
}

struct Running {
    life: Life,
    started: Nanos,
}

/// How a pod runs.
enum Life {
    /// It listens in this process.
    Here(Listening, Accounts),
    /// In a container.
    Container {
        runtime: Arc<dyn ContainerRuntime>,
        pod: PodId,
        port: u16,
        /// It was told to end.
        ending: bool,
        /// It was not made yet, for a fault keeps it from that.
        held: bool,
    },
}

impl Running {
    /// Cumulative usage; `None` while nothing is known of it.
    fn usage(&self) -> Option<Usage> {
        let (cpu, memory, traffic) = match &self.life {
            Life::Here(_, accounts) => {
                let (cpu, memory) = accounts.usage();
                (cpu, memory, accounts.traffic())
            }
            Life::Container { runtime, pod, .. } => {
                let usage = runtime.usage(*pod)?;
                (usage.cpu, usage.memory, usage.traffic)
            }
        };
        Some(Usage { cpu, memory, started: self.started, traffic })
    }

    /// What listens for it in this process.
    fn listening(&self) -> Option<&Listening> {
        match &self.life {
            Life::Here(listening, _) => Some(listening),
            Life::Container { .. } => None,
        }
    }

    /// Whether it was told to end.
    fn ending(&self) -> bool {
        match &self.life {
            Life::Here(listening, _) => listening.ending(),
            Life::Container { ending, .. } => *ending,
        }
    }
}

/// Who accounts for a pod's CPU.
enum Accounts {
    Service(Arc<MockService>),
    Gateway(Arc<Edge>),
}

impl Accounts {
    /// Cumulative CPU time and working set now.
    fn usage(&self) -> (Nanos, Bytes) {
        match self {
            Self::Service(service) => service.station.usage(),
            Self::Gateway(edge) => (edge.cpu(), model::GATEWAY_MEMORY),
        }
    }

    /// What its own metrics tell of its requests.
    fn traffic(&self) -> Traffic {
        match self {
            Self::Service(service) => Traffic {
                answered: service.metrics.answered(),
                waiting: service.station.waiting(),
                in_flight: service.station.in_flight(),
            },
            // Each request costs the gateway the same.
            Self::Gateway(edge) => {
                Traffic { answered: edge.cpu().get() / model::GATEWAY_CPU.get(), ..Traffic::default() }
            }
        }
    }
}

impl Place {
    pub(crate) fn new(
        plan: Arc<Plan>,
        lease: Arc<AddressLease>,
        runtime: Option<Arc<dyn ContainerRuntime>>,
        clock: Clock,
        fabric: Arc<Fabric>,
        feed: Feed,
    ) -> Self {
        let data = LiveData::new(&plan, clock.clone(), feed.clone());
        let (records, gateway, pods) = (Arc::default(), None, BTreeMap::new());
        if let Some(runtime) = &runtime {
            let feed = feed.clone();
            runtime.attach(Arc::new(move |pod, started, news| feed.tell(News::Container(pod, started, news))));
        }
        Self {
            plan,
            lease,
            runtime,
            clock,
            fabric,
            feed,
            data,
            records,
            held: Vec::new(),
            deposed: None,
            gateway,
            pods,
        }
    }

    /// Whether pods live in containers, and the servers that the platform keeps its data in are real ones.
    pub(crate) const fn is_real(&self) -> bool {
        self.runtime.is_some()
    }

    /// Containers of this workload, or of one pod of it, do not start until they are released.
    pub(crate) fn hold(&mut self, workload: WorkloadId, pod: Option<String>) {
        self.held.push((workload, pod));
    }

    /// Starts what was held of a workload: which pods those are.
    pub(crate) fn release(&mut self, workload: WorkloadId) -> Vec<PodId> {
        self.held.retain(|(held, _)| *held != workload);
        let waiting = |pod: &Pod| {
            let life = pod.running.as_ref().map(|running| &running.life);
            pod.workload == workload && matches!(life, Some(Life::Container { held: true, .. }))
        };
        let pods: Vec<PodId> = self.pods.iter().filter(|(_, pod)| waiting(pod)).map(|(id, _)| *id).collect();
        for pod in &pods {
            self.start(*pod).ok(); // nothing that could fail is done here: containers tell later
        }
        pods
    }

    /// Containers of this workload were the primary, and follow another one from now on.
    pub(crate) fn depose(&mut self, workload: WorkloadId, heir: WorkloadId) {
        self.deposed = Some((workload, Follows(heir)));
    }

    /// Whether containers of this workload follow another one.
    pub(crate) fn is_deposed(&self, workload: WorkloadId) -> bool {
        self.deposed.is_some_and(|(deposed, _)| deposed == workload)
    }

    /// Listens to the sentinels of the cache. `None`: there are no real ones.
    pub(crate) fn follow_failover(&self) -> Option<Later<Result<Followed, String>>> {
        self.runtime.as_ref()?.follow_failover()
    }

    /// Waits until the server in a pod follows. `None`: there are no real servers.
    pub(crate) fn rejoined(&self, pod: PodId) -> Option<Later<Result<String, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.rejoined(pod))
    }

    /// Promotes the standby in a pod. `None`: there are no real servers.
    pub(crate) fn promote(&self, pod: PodId) -> Option<Later<Result<Promoted, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.promote(pod))
    }

    /// Backs up the database in a pod. `None`: there are no real servers.
    pub(crate) fn back_up(&self, pod: PodId) -> Option<Later<Result<BackedUp, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.back_up(pod))
    }

    /// Fills the disk of the database in a pod, or frees it. `None`: there are no real servers.
    pub(crate) fn fill_disk(&self, pod: PodId, full: bool) -> Option<Later<Result<Bytes, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.fill_disk(pod, full))
    }

    /// Others take connections of the database in a pod. `None`: there are no real servers.
    pub(crate) fn take_connections(&self, pod: PodId, wanted: u32) -> Option<Later<Result<u32, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.take_connections(pod, wanted))
    }

    /// They close them.
    pub(crate) fn give_connections_back(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.give_connections_back();
        }
    }

    /// Something happens to the model of the servers that the platform keeps its data in.
    pub(crate) fn tell_model(&self, input: DataInput) {
        self.data.tell(input);
    }

    pub(crate) fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str) {
        let pod_here = Pod { workload, name: name.to_owned(), running: None, vanished: None, reached: true };
        self.pods.insert(pod, pod_here);
    }

    /// Starts a pod's container. If its port cannot be had, it listens on another one, which is told.
    pub(crate) fn start(&mut self, id: PodId) -> Result<Option<EventKind>, StageError> {
        let node = self.node();
        let Some(pod) = self.pods.get_mut(&id) else { return Ok(None) };
        (pod.running, pod.vanished) = (None, None); // a container that was here before has ended: its port is free
        let workload = self.plan.platform.workload(pod.workload);
        let gateway = self.plan.platform.gateway.as_ref().filter(|gateway| gateway.workload == pod.workload);
        let wanted = match gateway {
            Some(_) => self.plan.gateway_port,
            None => workload.containers.first().map_or(8_000, serving_port),
        };
        if let Some(runtime) = &self.runtime {
            let started = self.clock.now();
            let edges = alerts::Edges::of(&self.plan.platform, workload).edges;
            let follows = self.deposed.filter(|(deposed, _)| *deposed == pod.workload).map(|(_, follows)| follows);
            let name = pod.name.clone();
            let start = PodStart { id, name, workload: pod.workload, port: wanted, started, edges, follows };
            let is_held = |(workload, name): &(WorkloadId, Option<String>)| {
                *workload == pod.workload && name.as_ref().is_none_or(|name| *name == pod.name)
            };
            let held = self.held.iter().any(is_held);
            if !held {
                runtime.start(start);
            }
            let life = Life::Container { runtime: Arc::clone(runtime), pod: id, port: wanted, ending: false, held };
            pod.running = Some(Running { life, started });
            return Ok(None);
        }
        let address = self.lease.pod(id.0);
        let listen_error =
            |source| StageError::Listen { pod: pod.name.clone(), addr: SocketAddr::from((address, wanted)), source };
        // With one address for everybody its port is what a pod is known by.
        let (address, port) = if self.lease.is_one() { (Ipv4Addr::LOCALHOST, 0) } else { (address, wanted) };
        let (listener, substituted) = listen(address, port).map_err(listen_error)?;
        let bind = listener.local_addr().map_err(listen_error)?;
        let label = Ipv4Addr::new(10, 244, (id.0 / 250) as u8, (1 + id.0 % 250) as u8);
        self.fabric.place(id, &pod.name, pod.workload, PodAddress { label, bind });
        let started = self.clock.now();
        let (listening, accounts) = if let Some(gateway) = gateway {
            let config = Arc::clone(self.gateway.get_or_insert_with(|| Arc::new(gateway.config.clone())));
            let edge = Edge::new(config, &self.plan.platform, Origin::Pod(id), Arc::clone(&self.fabric));
            let edge = Arc::new(edge);
            let port = Port { edge: Arc::clone(&edge), number: self.plan.gateway_port, tls: false };
            (Listening::serve(listener, Arc::new(port), node), Accounts::Gateway(edge))
        } else {
            let profile = Arc::clone(self.plan.profile(pod.workload));
            let limits = workload.containers.first().map(|container| container.limits).unwrap_or_default();
            let station = Station::new(profile.station(limits.cpu, limits.memory), started);
            let around = Around { pod: id, started, data: Arc::clone(&self.data), feed: self.feed.clone() };
            let station = LiveStation::new(station, self.clock.clone(), Arc::new(around));
            let edges = alerts::Edges::of(&self.plan.platform, workload).edges;
            let service = MockService {
                number: id.0 as u16 + 1,
                profile,
                health: workload.containers.first().map(health_paths).unwrap_or_default(),
                seed: self.plan.load.seed,
                behind_gateway: false, // the embedded one reads ids
                station,
                metrics: server::Metrics::new(edges),
                records: Arc::clone(&self.records),
                outbound: Arc::new(PodOutbound {
                    plan: Arc::clone(&self.plan),
                    fabric: Arc::clone(&self.fabric),
                    pod: id,
                }),
            };
            let service = Arc::new(service);
            (Listening::serve(listener, Arc::clone(&service), node), Accounts::Service(service))
        };
        let station = match &accounts {
            Accounts::Service(service) => Some(service.station.clone()),
            Accounts::Gateway(_) => None,
        };
        self.data.started(id, self.plan.profile(pod.workload).pool.clone(), station);
        if self.plan.brings_database_back(pod.workload) {
            self.data.tell(DataInput::PrimaryBack);
        }
        listening.cut_off(!pod.reached);
        pod.running = Some(Running { life: Life::Here(listening, accounts), started });
        Ok(substituted.map(|why| EventKind::Substituted {
            what: format!("port {wanted} of {}", pod.name),
            by: format!("port {}: {why}", bind.port()),
        }))
    }

    /// Where kubelets ask from, if that can be told from others.
    fn node(&self) -> Option<IpAddr> {
        (!self.lease.is_one()).then_some(self.lease.node().into())
    }

    /// A container runs, and is at this address. Its kubelet finds out by its probes.
    pub(crate) fn runs_at(&mut self, id: PodId, started: Nanos, address: Ipv4Addr) {
        let running = self.pods.get(&id).and_then(|pod| pod.running.as_ref());
        if let Some(Running { life: Life::Container { port, .. }, .. }) = running {
            self.reached_at(id, started, SocketAddr::from((address, *port)));
        }
    }

    /// The same, at this address and port.
    pub(crate) fn reached_at(&mut self, id: PodId, started: Nanos, bind: SocketAddr) {
        let Some(pod) = self.pods.get(&id) else { return };
        let since = pod.running.as_ref().map(|running| running.started);
        if let (true, IpAddr::V4(label)) = (since == Some(started), bind.ip()) {
            self.fabric.place(id, &pod.name, pod.workload, PodAddress { label, bind });
        }
    }

    /// Which pod it is that tells this number of itself.
    pub(crate) fn number(&self, told: u16) -> u16 {
        self.runtime.as_ref().map_or(told, |runtime| runtime.number(told))
    }

    /// A pod's workload.
    pub(crate) fn workload(&self, id: PodId) -> Option<WorkloadId> {
        self.pods.get(&id).map(|pod| pod.workload)
    }

    /// A pod's name, for people.
    pub(crate) fn name(&self, id: PodId) -> &str {
        self.pods.get(&id).map_or("?", |pod| &pod.name)
    }

    /// SIGTERM. The future ends when the pod has finished what is in flight.
    pub(crate) fn terminate(&mut self, id: PodId) -> Later<()> {
        match self.pods.get_mut(&id).and_then(|pod| pod.running.as_mut()).map(|running| &mut running.life) {
            Some(Life::Here(listening, _)) => Box::pin(listening.terminate()),
            Some(Life::Container { runtime, pod, ending, .. }) => {
                *ending = true;
                runtime.terminate(*pod)
            }
            None => Box::pin(async {}),
        }
    }

    /// SIGKILL: nobody listens there when this returns, and its connections are reset. If its node cannot be reached,
    /// nobody hears of it.
    pub(crate) fn kill(&mut self, id: PodId) {
        if let Some(pod) = self.pods.get_mut(&id)
            && let Some(Running { life, .. }) = pod.running.take()
        {
            match life {
                Life::Here(listening, accounts) => {
                    if let Accounts::Service(service) = accounts {
                        service.station.kill();
                    }
                    if !pod.reached {
                        listening.vanish();
                        pod.vanished = Some(listening);
                    }
                }
                Life::Container { runtime, .. } => runtime.kill(id),
            }
        }
        self.data.ended(id);
        self.fabric.ended(id);
    }

    /// A pod's node is cut off or without power, or is back.
    pub(crate) fn reach(&mut self, id: PodId, reached: bool) {
        self.fabric.reach(id, reached);
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.reached = reached;
            if let Some(listening) = pod.running.as_ref().and_then(Running::listening) {
                listening.cut_off(!reached);
            }
            if reached {
                pod.vanished = None; // its node is up again and resets what it does not know
            }
        }
    }

    /// What a pod's node leaves to it.
    pub(crate) fn share(&self, id: PodId, share: Option<Millicores>) {
        let running = self.pods.get(&id).and_then(|pod| pod.running.as_ref());
        if let Some(Running { life: Life::Here(_, Accounts::Service(service)), .. }) = running {
            service.station.tell(StationInput::Share(share));
        }
    }

    /// Whether the container that was started then still runs.
    pub(crate) fn runs(&self, id: PodId, started: Nanos) -> bool {
        let running = self.pods.get(&id).and_then(|pod| pod.running.as_ref());
        running.is_some_and(|running| running.started == started)
    }

    /// A container that was terminated has finished. One that has been started since in its place is left alone.
    pub(crate) fn drained(&mut self, id: PodId) {
        let running = self.pods.get(&id).and_then(|pod| pod.running.as_ref());
        if running.is_some_and(Running::ending) {
            self.kill(id);
        }
    }

    pub(crate) fn lease(&self) -> &Arc<AddressLease> {
        &self.lease
    }

    /// Every pod whose container runs.
    pub(crate) fn pods(&self) -> Vec<StandingPod> {
        let standing = |(id, pod): (&PodId, &Pod)| {
            let cpu = pod.running.as_ref()?.usage().map_or(Nanos::ZERO, |usage| usage.cpu);
            let address = self.fabric.address(*id)?;
            Some(StandingPod {
                id: *id,
                name: pod.name.clone(),
                workload: self.plan.platform.workload(pod.workload).name.clone(),
                label: address.label,
                address: address.bind,
                cpu,
                node: None,
            })
        };
        self.pods.iter().filter_map(standing).collect()
    }

    /// Whether a pod answers new connections, and its usage so far.
    pub(crate) fn seen(&self, id: PodId) -> Option<(bool, Nanos, Bytes)> {
        let pod = self.pods.get(&id)?;
        let running = pod.running.as_ref()?;
        let Usage { cpu, memory, .. } = running.usage()?;
        Some((pod.reached && !running.ending(), cpu, memory))
    }

    /// What a pod's process counted of its requests.
    pub(crate) fn requests(&self, id: PodId, tell: &mut alerts::Tell<'_>) {
        match self.pods.get(&id).and_then(|pod| pod.running.as_ref()).map(|running| &running.life) {
            Some(Life::Here(_, Accounts::Service(service))) => service.metrics.each(tell),
            Some(Life::Container { runtime, pod, .. }) => runtime.requests(*pod, tell),
            Some(Life::Here(_, Accounts::Gateway(_))) | None => {}
        }
    }

    /// Asks a container how it is, from its node. The future ends within the probe's timeout.
    pub(crate) fn probe(&self, id: PodId, question: Question, probe: &Probe) -> Later<bool> {
        let address = self.fabric.address(id);
        // With one address nothing tells a kubelet's connection from others, which are cut off: the pod goes on.
        let unheard = self.lease.is_one() && self.pods.get(&id).is_some_and(|pod| !pod.reached);
        if unheard {
            return Box::pin(async { true });
        }
        // Nobody asks a container that is still being made whether it lives.
        let making = self.runtime.is_some() && address.is_none() && question.probe == ProbeKind::Liveness;
        if making {
            return Box::pin(async { true });
        }
        let container = self
            .pods
            .get(&id)
            .and_then(|pod| pod.running.as_ref().and(self.plan.platform.workload(pod.workload).containers.first()));
        let (Some(address), Some(_)) = (address, container) else { return Box::pin(async { false }) };
        let (limit, node) = (Duration::from_nanos(probe.timeout.get()), self.lease.node());
        match &probe.action {
            ProbeAction::Http(http) => {
                let (http, to) = (http.clone(), (node, address.bind));
                Box::pin(async move { timeout(limit, http_probe(id, question, http, to)).await == Ok(true) })
            }
            ProbeAction::Exec => match &self.runtime {
                None => Box::pin(async { true }),
                Some(runtime) => {
                    let asked = runtime.is_ready(id);
                    Box::pin(async move { timeout(limit, asked).await == Ok(true) })
                }
            },
            ProbeAction::Tcp(_) | ProbeAction::Grpc(_) => {
                Box::pin(async move { matches!(timeout(limit, connect(node, address.bind)).await, Ok(Ok(_))) })
            }
        }
    }

    /// Cumulative usage of every pod whose container runs.
    pub(crate) fn usage(&self) -> Vec<(PodId, Usage)> {
        let usage = |(id, pod): (&PodId, &Pod)| Some((*id, pod.running.as_ref()?.usage()?));
        self.pods.iter().filter_map(usage).collect()
    }
}

async fn http_probe(id: PodId, question: Question, probe: HttpProbe, (node, to): (Ipv4Addr, SocketAddr)) -> bool {
    let request = Request::get(&probe.path)
        .header(HOST, probe.host.unwrap_or_else(|| to.to_string()))
        .header(wire::REQUEST, RequestId::of_probe(id.0, question.number).to_string())
        .body(Full::default());
    let (Ok(request), Ok(stream)) = (request, connect(node, to).await) else { return false };
    exchange(stream, request).await.is_ok_and(|response| (200..400).contains(&response.status().as_u16()))
}

/// The port that a container serves on: the first it declares.
fn serving_port(container: &Container) -> u16 {
    container.ports.first().map_or(8_000, |port| port.port)
}

fn health_paths(container: &Container) -> Vec<String> {
    let path = |probe: &Option<Probe>| match probe.as_ref().map(|probe| &probe.action) {
        Some(ProbeAction::Http(HttpProbe { path, port, .. })) => {
            let serves = container.port(port).is_none_or(|port| port == serving_port(container));
            (serves || matches!(port, PortRef::Name(_))).then(|| path.clone())
        }
        _ => None,
    };
    [&container.startup, &container.readiness, &container.liveness].into_iter().filter_map(path).collect()
}

/// Connections that may wait to be accepted: what `net.core.somaxconn` allows by default. With a short queue the
/// kernel drops what does not fit, and those clients come back exactly one second later.
const BACKLOG: u32 = 4_096;

/// Listens on the wanted port, or on a free one if that is taken by somebody else or needs a privilege.
pub(crate) fn listen(address: Ipv4Addr, port: u16) -> io::Result<(TcpListener, Option<&'static str>)> {
    let open = |port| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((address, port)))?;
        socket.listen(BACKLOG)
    };
    match open(port) {
        Ok(listener) => Ok((listener, None)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok((open(0)?, Some("ports below 1024 need a privilege that this process does not have")))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok((open(0)?, Some("another process listens on it, on every address")))
        }
        Err(error) => Err(error),
    }
}

/// How a pod reaches other services: through the fabric, from its own address, on a connection per call (as an HTTP
/// client that is made for each request; assumed).
struct PodOutbound {
    plan: Arc<Plan>,
    fabric: Arc<Fabric>,
    pod: PodId,
}

impl Outbound for PodOutbound {
    fn call<'a>(
        &'a self,
        call: &'a CallProfile,
        id: RequestId,
        authorization: Option<&'a HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'a>> {
        Box::pin(async move {
            let service = self.plan.platform.service_named(&call.service).ok_or(Unreachable)?;
            let (method, path) = call.request.split_once(' ').ok_or(Unreachable)?;
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, &call.service)
                .header(wire::REQUEST, id.to_string())
                .body(Full::default())
                .map_err(|_| Unreachable)?;
            request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
            // It waits long for an answer; whoever asked gives up earlier.
            let within = Within {
                connect: Duration::from_nanos(LIBRARY_CONNECT.get()),
                answer: Duration::from_mins(1),
                silence: Some(LIBRARY_CONNECT),
            };
            let from = Origin::Pod(self.pod);
            let asked = self.fabric.ask(from, service, id, request, within, true, None).await;
            let (answered, _) = asked.map_err(|_| Unreachable)?;
            let hops = answered.headers().get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
            Ok(Answer { status: answered.status(), hops: hops.unwrap_or_default() })
        })
    }
}
