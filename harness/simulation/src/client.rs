//! Clients: sessions under way and the connections they keep.

use cluster::PodId;
use gateway::Exchange;
use platform::LocationId;
use record::{Hops, StepId};
use scenarios::Journey;
use units::{Nanos, RequestId};

/// A session. It has at most one request in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) journey: Journey,
    /// Counts its requests and those of earlier sessions in this place: an answer to an older one is not heard.
    pub(crate) generation: u32,
    pub(crate) step: StepId,
    pub(crate) id: RequestId,
    pub(crate) intended: Nanos,
    pub(crate) gateway: PodId,
    /// Which nginx has its request.
    pub(crate) at: Nginx,
    /// Its connection there counts as used.
    pub(crate) open: bool,
    /// Pieces of its answer have begun to come.
    pub(crate) streaming: bool,
    pub(crate) pod: u16,
    pub(crate) hops: Hops,
    /// How many requests the connection has served that its request goes over behind the gateway.
    pub(crate) served: u32,
    /// When its request first went to a server behind the gateway; zero before.
    pub(crate) first_sent: Nanos,
    /// Its request at that nginx.
    pub(crate) exchange: Exchange,
    /// Where `limit_conn` counts it.
    pub(crate) held: Option<LocationId>,
}

/// Which nginx has a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nginx {
    /// A gateway pod.
    #[default]
    Gateway,
    /// The ingress controller in front.
    Ingress,
}

/// The kept-alive connections of each client address to gateway pods. The most recently used idle one is taken.
#[derive(Debug)]
pub(crate) struct Connections {
    idle: Vec<Vec<PodId>>,
}

impl Connections {
    pub(crate) fn new(clients: u32) -> Self {
        Self { idle: vec![Vec::new(); clients as usize] }
    }

    /// An idle connection of `client` to a pod that still lives.
    pub(crate) fn take(&mut self, client: u32, lives: impl Fn(PodId) -> bool) -> Option<PodId> {
        let idle = &mut self.idle[client as usize];
        std::iter::from_fn(|| idle.pop()).find(|pod| lives(*pod))
    }

    /// The connection is idle again.
    pub(crate) fn give(&mut self, client: u32, pod: PodId) {
        self.idle[client as usize].push(pod);
    }
}
