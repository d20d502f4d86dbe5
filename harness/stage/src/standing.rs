//! A platform that stands live: control, place and edge, and the loop that feeds the control side. No load yet.

mod real;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use alerts::{PodSight, Sight};
use clock::Clock;
use cluster::{Action, ClusterConfig, ControlInput, ControlPlane, ControlSide, Host, PodId};
use driver::{Door, Orders, Sender};
use model::data::DataNote;
use record::{Chronicle, EventKind, Listener};
use scenarios::{Deed, FaultEdge, FaultKind, Part, Plan};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use units::{Bytes, Millicores, Nanos};

use crate::fabric::Fabric;
use crate::front::{Front, FrontDoor};
use crate::host::LiveHost;
use crate::news::{Feed, News};
use crate::place::Place;
use crate::relay::Relays;
use crate::servers::Servers;
use crate::{AddressLease, ContainerNews, ContainerRuntime, Network, StageError};

/// How long the platform may take to become ready.
pub(crate) const READY_WITHIN: Nanos = Nanos::from_secs(180);

/// How often it is looked whether it can become so at all.
const LOOK: Nanos = Nanos::from_secs(2);

/// How a control side tells that it has something to be heard: from any thread, at any time.
pub type Teller = Arc<dyn Fn(ControlInput) + Send + Sync>;

/// Makes the control side of a run, on the clock of the run.
pub type ControlMaker = Box<dyn FnOnce(&Plan, Clock, Teller) -> Box<dyn ControlSide>>;

/// The rules of `cluster` as control side, with these delays and the run's seed.
pub fn rules(cluster: &ClusterConfig) -> ControlMaker {
    let cluster = cluster.clone();
    Box::new(move |plan, _, _| {
        let config = ClusterConfig { seed: plan.load.seed, ..cluster };
        Box::new(ControlPlane::new(Arc::clone(&plan.platform), plan.nodes.clone(), config))
    })
}

/// A platform of pods that listen on leased addresses. Dropping it takes everything down.
///
/// Its control side acts only inside [`Self::ready`] and [`Self::during`]; its pods answer at any time.
pub struct Standing<'a> {
    control: Box<dyn ControlSide>,
    pub(crate) host: LiveHost<'a>,
    pub(crate) inputs: UnboundedReceiver<News>,
    pub(crate) clock: Clock,
    pub(crate) front: Option<Front>,
    /// CPU that something else takes on a node.
    noise: BTreeMap<usize, Millicores>,
    /// What is lost of real servers.
    servers: Servers,
    /// The Services' balancers, where pods live in containers.
    _relays: Option<Relays>,
    /// How long pods may take beyond what those of this process may.
    patience: Nanos,
}

/// A pod whose container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingPod {
    /// Which pod.
    pub id: PodId,
    /// Its name.
    pub name: String,
    /// Its workload's name.
    pub workload: String,
    /// What Kubernetes would show: an address of the pod network.
    pub label: Ipv4Addr,
    /// Where it really listens.
    pub address: SocketAddr,
    /// CPU time accounted so far.
    pub cpu: Nanos,
    /// The node it is on, by its place among the plan's.
    pub node: Option<usize>,
}

impl<'a> Standing<'a> {
    /// Leases addresses and applies the manifests. Needs a tokio runtime.
    pub fn begin(plan: Arc<Plan>, cluster: &ClusterConfig, listener: &'a mut dyn Listener) -> Result<Self, StageError> {
        Self::begin_in(plan, rules(cluster), None, listener)
    }

    /// The same under a control side of one's own, and with pods in containers, if there is a runtime for them.
    pub fn begin_in(
        plan: Arc<Plan>,
        control: ControlMaker,
        runtime: Option<Arc<dyn ContainerRuntime>>,
        listener: &'a mut dyn Listener,
    ) -> Result<Self, StageError> {
        let network = runtime.as_ref().map(|runtime| runtime.network());
        let there = matches!(network, Some(Network::There { .. }));
        let patience = runtime.as_ref().map_or(Nanos::ZERO, |runtime| runtime.patience());
        let lease = match network {
            Some(Network::Here(block) | Network::There { clients: Some(block) }) => AddressLease::of_network(block),
            Some(Network::There { clients: None }) => AddressLease::of_nobody(),
            None => AddressLease::take()?,
        };
        if plan.load.clients > lease.clients() {
            return Err(StageError::TooManyClients { clients: plan.load.clients, most: lease.clients() });
        }
        let clock = Clock::start();
        let (feed, inputs) = unbounded_channel();
        let feed = Feed(feed);
        let teller = feed.clone();
        let control = control(&plan, clock.clone(), Arc::new(move |input| teller.tell(News::Control(input))));
        let fabric = Arc::new(Fabric::new(Arc::clone(&plan), clock.clone(), lease.is_one()));
        let lease = Arc::new(lease);
        let balanced_here = matches!(network, Some(Network::Here(_)));
        let relays = balanced_here.then(|| Relays::open(&plan, &lease, &fabric)).transpose()?;
        let place = Place::new(Arc::clone(&plan), lease, runtime, clock.clone(), Arc::clone(&fabric), feed.clone());
        let host = LiveHost {
            plan,
            clock: clock.clone(),
            fabric,
            place,
            feed,
            chronicle: Chronicle::default(),
            listener,
            failure: None,
            doors_changed: false,
        };
        let front = if there { None } else { Front::open(&host.plan, host.place.lease(), &host.fabric)? };
        let mut standing = Self {
            control,
            host,
            inputs,
            clock,
            front,
            noise: BTreeMap::new(),
            servers: Servers::default(),
            _relays: relays,
            patience,
        };
        if standing.host.place.lease().is_one() && there {
            standing.host.note(EventKind::Substituted {
                what: "an address for each client".to_owned(),
                by: "this machine's own: what counts requests by address takes all clients for one".to_owned(),
            });
        } else if standing.host.place.lease().is_one() {
            standing.host.note(EventKind::Substituted {
                what: "an address for each pod and client".to_owned(),
                by: "ports of 127.0.0.1, and what the load driver says of its clients".to_owned(),
            });
        }
        if let Some(front) = &standing.front {
            let told = front.told();
            standing.host.note(told);
        }
        standing.feed(ControlInput::Start)?;
        Ok(standing)
    }

    /// Feeds the control side until every workload is ready and the dialers know.
    pub async fn ready(&mut self) -> Result<(), StageError> {
        let clock = self.clock.clone();
        // One for all that is heard until then: what would have been woken later stays with the clock.
        let mut look = std::pin::pin!(clock.until(clock.now() + LOOK));
        while !self.control.settled() {
            let now = clock.now();
            if let Some(why) = self.control.never(now) {
                return Err(StageError::NeverReady { within: now, why });
            }
            if now >= self.ready_within() {
                return Err(self.never_ready());
            }
            tokio::select! {
                news = self.inputs.recv() => self.hear(heard(news))?,
                _ = &mut look => look.set(clock.until(now + LOOK)),
            }
        }
        Ok(())
    }

    /// Feeds the control side while `work` is under way.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StageError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                news = self.inputs.recv() => self.hear(heard(news))?,
            }
        }
    }

    /// Takes in what has happened.
    pub(crate) fn hear(&mut self, news: News) -> Result<(), StageError> {
        match news {
            News::Control(input) => return self.feed(input),
            News::Note(kind) => self.host.note(kind),
            News::OutOfMemory(pod, started) if self.host.place.runs(pod, started) => {
                return self.crash(pod, "OOMKilled");
            }
            News::Container(pod, started, news) if self.host.place.runs(pod, started) => {
                return self.hear_container(pod, started, news);
            }
            News::Promote => self.promote(),
            News::Promoted(heir, promoted) => self.promoted(heir, promoted),
            News::LoseMaster(found) => return self.lose_master(found),
            News::FailedOver(done) => self.failed_over(done),
            News::Rejoined(pod, after, how) => self.rejoined(pod, after, how),
            News::Filled(full, done) => self.filled(full, done),
            News::BackedUp(Ok(made)) => self.tell_data(made.to_string()),
            News::BackedUp(Err(why)) => self.tell_data(format!("there is no backup: {why}")),
            News::ConnectionsTaken(wanted, Ok(got)) => self.note_of_data(&DataNote::ConnectionsTaken { got, wanted }),
            News::ConnectionsTaken(_, Err(why)) => self.tell_data(format!("no connection can be taken: {why}")),
            News::OutOfMemory(..) | News::Container(..) => {} // of one that was killed by somebody else before
        }
        Ok(())
    }

    fn hear_container(&mut self, pod: PodId, started: Nanos, news: ContainerNews) -> Result<(), StageError> {
        match news {
            ContainerNews::Runs(address) => {
                self.host.place.runs_at(pod, started, address);
                self.host.doors_changed = true; // a gateway pod that was started again may have another address
                Ok(())
            }
            ContainerNews::ReachedAt(address) => {
                self.host.place.reached_at(pod, started, address);
                self.host.doors_changed = true;
                Ok(())
            }
            ContainerNews::Ended { reason } => self.crash(pod, &reason),
            ContainerNews::Failed(why) => Err(StageError::Container { pod: self.host.place.name(pod).to_owned(), why }),
        }
    }

    /// Load starts now: from here the disturbances of the scenario are counted.
    pub fn load_starts(&self) {
        self.host.fabric.load_starts(self.clock.now());
    }

    /// Now, by the run's clock.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Does what a fault of the plan does at its beginning, or at its end (`over`). One that is not in the plan does
    /// nothing.
    pub fn strike(&mut self, fault: &str, over: bool) -> Result<(), StageError> {
        let known = self.host.plan.faults.iter().position(|planned| planned.name == fault);
        known.map_or(Ok(()), |fault| self.fault(FaultEdge { at: Nanos::ZERO, fault, over }))
    }

    /// A fault begins or ends, and everything that follows from it now.
    pub(crate) fn fault(&mut self, edge: FaultEdge) -> Result<(), StageError> {
        let plan = Arc::clone(&self.host.plan);
        let fault = &plan.faults[edge.fault];
        self.host.note(if edge.over {
            EventKind::FaultEnded { fault: fault.name.clone() }
        } else {
            EventKind::FaultBegan { fault: fault.name.clone(), what: plan.fault_in_words(fault) }
        });
        self.noise.extend(plan.noise(edge.fault, edge.over));
        // A real server crashes; the record of its pod goes as if somebody had forced it out.
        let crashes = self.host.place.is_real()
            && matches!(fault.kind, FaultKind::DatabaseLoss { .. } | FaultKind::RedisLoss { .. });
        let of_cache = matches!(fault.kind, FaultKind::RedisLoss { .. });
        if of_cache && !edge.over && self.fail_over() {
            return Ok(()); // which pod is the master, its sentinels say
        }
        for deed in plan.deeds(edge.fault, edge.over, self.control.records()) {
            match deed {
                Deed::Act(action @ Action::DeletePod { pod, .. }) if crashes => {
                    self.host.place.kill(pod);
                    self.feed(ControlInput::Act(action))?;
                }
                Deed::Act(action) => self.feed(ControlInput::Act(action))?,
                Deed::Data(input) if self.host.place.is_real() => self.tell_real(&input),
                Deed::Data(input) => self.host.place.tell_model(input),
                Deed::Share(pod, share) => self.host.place.share(pod, share),
            }
        }
        Ok(())
    }

    /// One input, and everything that follows from it now.
    pub(crate) fn feed(&mut self, input: ControlInput) -> Result<(), StageError> {
        if let ControlInput::Drained(pod) = &input {
            self.host.place.drained(*pod);
        }
        self.control.step(self.clock.now(), input, &mut self.host);
        if let Some(why) = self.control.lost() {
            return Err(StageError::ControlLost(why.to_owned()));
        }
        let back = self.servers.back(self.control.records());
        back.iter().for_each(|note| self.note_of_data(note));
        self.host.failure.take().map_or(Ok(()), Err)
    }

    fn note_of_data(&mut self, note: &DataNote) {
        self.tell_data(note.to_string());
    }

    fn tell_data(&mut self, what: String) {
        self.host.note(EventKind::DataChanged { what });
    }

    /// Kills a pod's container, as the kernel does when its memory is used up. Its kubelet starts it again.
    pub fn crash(&mut self, pod: PodId, reason: &str) -> Result<(), StageError> {
        self.host.place.kill(pod);
        self.feed(ControlInput::Crashed { pod, reason: reason.to_owned() })
    }

    /// What the load driver is told before anything else.
    pub(crate) fn orders(&self, sender: Sender, workers: Option<usize>) -> Orders {
        let load = &self.host.plan.load;
        Orders {
            plan: load.clone(),
            part: Part::default(),
            epoch_ns: self.clock.epoch(),
            clients: (0..load.clients).map(|index| self.client(index).into()).collect(),
            workers,
            proof: self.host.fabric.proof().map(str::to_owned),
            sender,
        }
    }

    /// The gateway pods that a client is sent to now.
    pub fn doors(&self) -> Vec<Door> {
        let Some(gateway) = &self.host.plan.platform.gateway else { return Vec::new() };
        let door = |(pod, addr): (PodId, _)| Door { pod: pod.0 as u16 + 1, addr };
        self.host.fabric.behind(gateway.service).into_iter().map(door).collect()
    }

    /// The ingress controller in front, if the platform has Ingress objects.
    pub fn front(&self) -> Option<&FrontDoor> {
        self.front.as_ref().map(Front::door)
    }

    /// The pods whose containers run, in the order of their creation.
    pub fn pods(&self) -> Vec<StandingPod> {
        let mut pods = self.host.place.pods();
        for pod in &mut pods {
            pod.node = self.control.records().get(pod.id.0 as usize).and_then(|record| record.node);
        }
        pods
    }

    /// An address for the `index`-th client. It can send from there unless there is [one address](crate::ONE_ADDRESS)
    /// for everybody.
    pub fn client(&self, index: u32) -> Ipv4Addr {
        self.host.place.lease().client(index)
    }

    /// The value of `Authorization` by which a client shows who it is.
    pub fn bearer(&self, client: u32) -> String {
        record::token::bearer(self.host.plan.load.seed, u64::from(client))
    }

    /// What happened so far.
    pub fn chronicle(&self) -> &Chronicle {
        &self.host.chronicle
    }

    fn ready_within(&self) -> Nanos {
        READY_WITHIN + self.host.plan.slowest_start() + self.patience
    }

    fn never_ready(&self) -> StageError {
        let mut why = format!("{}{}", self.host.chronicle.unready(), self.host.plan.starved());
        if let Some(what) = self.control.waits_for() {
            why = format!("{why}; {what}");
        }
        StageError::NeverReady { within: self.ready_within(), why }
    }
}

/// What the platform's Prometheus sees.
impl Sight for Standing<'_> {
    fn pods(&self) -> Vec<PodSight<'_>> {
        let records = self.control.records().iter().enumerate();
        let pods = records.map(|(index, record)| (PodId(index as u32), record));
        let here = pods.filter(|(_, record)| record.started.is_some() && record.gone.is_none());
        here.map(|(id, record)| {
            let (answers, cpu, memory) = self.host.place.seen(id).unwrap_or((false, Nanos::ZERO, Bytes::ZERO));
            PodSight {
                id: id.0,
                name: &record.name,
                workload: record.workload,
                node: record.node,
                answers,
                cpu,
                memory,
            }
        })
        .collect()
    }

    fn requests(&self, pod: u32, tell: &mut alerts::Tell<'_>) {
        self.host.place.requests(PodId(pod), tell);
    }

    fn noise(&self, node: usize) -> f64 {
        self.noise.get(&node).map_or(0.0, |noise| noise.get() as f64 / 1_000.0)
    }
}

/// The host keeps a sender as long as anybody listens.
pub(crate) fn heard(news: Option<News>) -> News {
    news.expect("the host keeps a sender")
}
