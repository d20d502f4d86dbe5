//! Where pods live: in this process, each a listener on its own loopback address, or in containers.

mod here;
mod real;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use cluster::{PodId, ProbeKind, Question, Usage};
use http_body_util::Full;
use hyper::Request;
use hyper::header::HOST;
use model::StationInput;
use model::data::DataInput;
use platform::{GatewayConfig, HttpProbe, Probe, ProbeAction, WorkloadId};
use record::{EventKind, wire};
use scenarios::Plan;
use server::{Listening, Records};
use units::{Bytes, Millicores, Nanos, RequestId};

use crate::data::LiveData;
use crate::fabric::{Fabric, PodAddress, connect, exchange, timeout};
use crate::news::{Feed, News};
use crate::{AddressLease, ContainerRuntime, Follows, Later, PodStart, StageError, StandingPod};

use here::Accounts;
pub(crate) use here::listen;

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
        let Some(pod) = self.pods.get_mut(&id) else { return Ok(None) };
        (pod.running, pod.vanished) = (None, None); // a container that was here before has ended: its port is free
        let (of, name) = (pod.workload, pod.name.clone());
        let gateway = self.plan.platform.gateway.as_ref().is_some_and(|gateway| gateway.workload == of);
        let container = self.plan.platform.workload(of).containers.first();
        let wanted = if gateway { self.plan.gateway_port } else { container.map_or(8_000, here::serving_port) };
        let started = self.clock.now();
        if let Some(runtime) = &self.runtime {
            let edges = alerts::Edges::of(&self.plan.platform, self.plan.platform.workload(of)).edges;
            let follows = self.deposed.filter(|(deposed, _)| *deposed == of).map(|(_, follows)| follows);
            let held = self.is_held(of, &name);
            if !held {
                runtime.start(PodStart { id, name, workload: of, port: wanted, started, edges, follows });
            }
            let life = Life::Container { runtime: Arc::clone(runtime), pod: id, port: wanted, ending: false, held };
            self.began(id, Running { life, started });
            return Ok(None);
        }
        let address = self.lease.pod(id.0);
        let listen_error =
            |source| StageError::Listen { pod: name.clone(), addr: SocketAddr::from((address, wanted)), source };
        // With one address for everybody its port is what a pod is known by.
        let (address, port) = if self.lease.is_one() { (Ipv4Addr::LOCALHOST, 0) } else { (address, wanted) };
        let (listener, substituted) = listen(address, port).map_err(listen_error)?;
        let bind = listener.local_addr().map_err(listen_error)?;
        let label = Ipv4Addr::new(10, 244, (id.0 / 250) as u8, (1 + id.0 % 250) as u8);
        self.fabric.place(id, &name, of, PodAddress { label, bind });
        let (listening, accounts) = self.serve(id, of, listener, started);
        let station = match &accounts {
            Accounts::Service(service) => Some(service.station.clone()),
            Accounts::Gateway(_) => None,
        };
        self.data.started(id, self.plan.profile(of).pool.clone(), station);
        if self.plan.brings_database_back(of) {
            self.data.tell(DataInput::PrimaryBack);
        }
        self.began(id, Running { life: Life::Here(listening, accounts), started });
        Ok(substituted.map(|why| EventKind::Substituted {
            what: format!("port {wanted} of {name}"),
            by: format!("port {}: {why}", bind.port()),
        }))
    }

    fn began(&mut self, id: PodId, running: Running) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if let Some(listening) = running.listening() {
            listening.cut_off(!pod.reached);
        }
        pod.running = Some(running);
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
