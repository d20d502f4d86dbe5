//! A platform that stands live: control, place and edge, and the loop that feeds the control side. No load yet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clock::Clock;
use cluster::{ClusterConfig, ControlInput, ControlPlane, Host, PodId};
use driver::Door;
use record::{Chronicle, EventKind, Listener};
use scenarios::{Deed, FaultEdge, Plan};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use units::Nanos;

use crate::fabric::Fabric;
use crate::host::LiveHost;
use crate::news::{Feed, News};
use crate::place::Place;
use crate::{AddressLease, StageError};

/// How long the platform may take to become ready.
pub(crate) const READY_WITHIN: Nanos = Nanos::from_secs(180);

/// A platform of pods that listen on leased addresses. Dropping it takes everything down.
///
/// Its control side acts only inside [`Self::ready`] and [`Self::during`]; its pods answer at any time.
pub struct Standing<'a> {
    control: ControlPlane,
    pub(crate) host: LiveHost<'a>,
    pub(crate) inputs: UnboundedReceiver<News>,
    pub(crate) clock: Clock,
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
}

impl<'a> Standing<'a> {
    /// Leases addresses and applies the manifests. Needs a tokio runtime.
    pub fn begin(plan: Arc<Plan>, cluster: &ClusterConfig, listener: &'a mut dyn Listener) -> Result<Self, StageError> {
        let lease = AddressLease::take()?;
        if plan.load.clients > lease.clients() {
            return Err(StageError::TooManyClients { clients: plan.load.clients, most: lease.clients() });
        }
        let clock = Clock::start();
        let config = ClusterConfig { seed: plan.load.seed, ..cluster.clone() };
        let control = ControlPlane::new(Arc::clone(&plan.platform), plan.nodes.clone(), config);
        let (feed, inputs) = unbounded_channel();
        let feed = Feed(feed);
        let fabric = Arc::new(Fabric::new(Arc::clone(&plan), clock.clone()));
        let place = Place::new(Arc::clone(&plan), lease, clock.clone(), Arc::clone(&fabric), feed.clone());
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
        let mut standing = Self { control, host, inputs, clock };
        standing.feed(ControlInput::Start)?;
        Ok(standing)
    }

    /// Feeds the control side until every workload is ready and the dialers know.
    pub async fn ready(&mut self) -> Result<(), StageError> {
        while !self.control.settled() {
            let patience = self.clock.until(READY_WITHIN);
            tokio::select! {
                news = self.inputs.recv() => self.hear(heard(news))?,
                _ = patience => return Err(self.never_ready()),
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
            News::OutOfMemory(..) => {} // it was killed by somebody else before
        }
        Ok(())
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
        for deed in plan.deeds(edge.fault, edge.over, self.control.state()) {
            match deed {
                Deed::Act(action) => self.feed(ControlInput::Act(action))?,
                Deed::Data(input) => self.host.place.data().tell(input),
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
        self.host.failure.take().map_or(Ok(()), Err)
    }

    /// Kills a pod's container, as the kernel does when its memory is used up. Its kubelet starts it again.
    pub fn crash(&mut self, pod: PodId, reason: &str) -> Result<(), StageError> {
        self.host.place.kill(pod);
        self.feed(ControlInput::Crashed { pod, reason: reason.to_owned() })
    }

    /// The gateway pods that a client is sent to now.
    pub fn doors(&self) -> Vec<Door> {
        let Some(gateway) = &self.host.plan.platform.gateway else { return Vec::new() };
        let door = |(pod, addr): (PodId, _)| Door { pod: pod.0 as u16 + 1, addr };
        self.host.fabric.behind(gateway.service).into_iter().map(door).collect()
    }

    /// The pods whose containers run, in the order of their creation.
    pub fn pods(&self) -> Vec<StandingPod> {
        self.host.place.pods()
    }

    /// An address for the `index`-th client.
    pub fn client(&self, index: u32) -> Ipv4Addr {
        self.host.place.lease().client(index)
    }

    /// What happened so far.
    pub fn chronicle(&self) -> &Chronicle {
        &self.host.chronicle
    }

    fn never_ready(&self) -> StageError {
        let why = match self.host.chronicle.unschedulable() {
            Some((pod, reason)) => format!("pod {pod}: {reason}"),
            None => "its pods started, but did not all pass their readiness probes".into(),
        };
        StageError::NeverReady { within: READY_WITHIN, why }
    }
}

/// The host keeps a sender as long as anybody listens.
pub(crate) fn heard(news: Option<News>) -> News {
    news.expect("the host keeps a sender")
}
