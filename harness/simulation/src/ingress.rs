//! The ingress controller in front, where a plan goes through it: an nginx of its own, which dials pods and not
//! Services.
//!
//! Owns its state and what it holds of each session while the gateway has the request. Its rules are those of
//! [`gateway::ingress`]. Assumed: one pod, as its own manifests have, which nothing befalls.

use cluster::PodId;
use gateway::{Answer, Exchange, Key, Peer, Reply, ReplyFrom, Routed};
use platform::{Balance, GatewayConfig, LocationId, ServiceId};
use units::{Nanos, RequestId};

use crate::call::Parent;
use crate::calls::Dialled;
use crate::client::Nginx;
use crate::place::{Door, NginxProcess, Pod};
use crate::world::{Event, World};

/// Endpoints that it tries before it gives up: `proxy-next-upstream-tries`.
const TRIES: usize = 3;

/// Its state.
#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) process: NginxProcess,
    turns: usize,
    /// By session.
    waiting: Vec<Waiting>,
}

/// What it holds of a session's request while the gateway has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) exchange: Exchange,
    held: Option<LocationId>,
    open: bool,
    /// Who answered at the gateway.
    from: ReplyFrom,
}

const NOTHING: Waiting =
    Waiting { exchange: Exchange::new(Routed::Nothing), held: None, open: false, from: ReplyFrom::Upstream };

impl Ingress {
    pub(crate) fn new(config: &GatewayConfig) -> Self {
        Self { process: NginxProcess::new(config, 1), turns: 0, waiting: Vec::new() }
    }

    /// What it waits with for the gateway's answer to a session's request.
    pub(crate) fn peek(&self, session: u32) -> Option<Exchange> {
        self.waiting.get(session as usize).map(|waiting| waiting.exchange)
    }

    pub(crate) fn waiting(&mut self, session: u32) -> &mut Waiting {
        let index = session as usize;
        if self.waiting.len() <= index {
            self.waiting.resize(index + 1, NOTHING);
        }
        &mut self.waiting[index]
    }
}

impl World<'_> {
    /// The ingress controller sends a session's request on at `at`.
    pub(crate) fn forward_from_ingress(&mut self, session: u32, at: Nanos, peer: Peer) -> Dialled {
        let plan = self.plan;
        let s = self.sessions[session];
        let target = plan.target(s.step);
        let Some(config) = &plan.ingress else { return Dialled::Refused };
        let hashed = match &config.upstream(peer.upstream).balance {
            Balance::Hash { key, .. } => self.seen(&s).map(|seen| Key::of_bytes(seen.value(key).as_bytes()).0),
            _ => None,
        };
        if target.gateway.is_some() {
            let Some(gateway) = &plan.platform.gateway else { return Dialled::Refused };
            let Some((pod, door)) = self.endpoint(gateway.service, hashed) else { return Dialled::Refused };
            if door == Door::Silent {
                return Dialled::Silent;
            }
            self.await_read(session, at);
            let Some(ingress) = &mut self.ingress else { return Dialled::Refused };
            *ingress.waiting(session) = Waiting { exchange: s.exchange, held: s.held, open: s.open, ..NOTHING };
            let over = &mut self.sessions[session];
            (over.at, over.gateway) = (Nginx::Gateway, pod);
            (over.exchange, over.held, over.open) = (NOTHING.exchange, None, false);
            self.queue.schedule(at, Event::Entered { session, generation: s.generation });
            return Dialled::Passed;
        }
        let Some(call) = target.behind else { return Dialled::Refused };
        match self.endpoint(call.service, hashed) {
            Some((pod, Door::Open)) => {
                let parent = Parent::Gateway { session, generation: s.generation };
                Dialled::Call(self.new_call(first_call(s.id), parent, call, pod), Nanos::ZERO)
            }
            Some((_, Door::Silent)) => Dialled::Silent,
            _ => Dialled::Refused,
        }
    }

    /// A pod that takes a connection: by the client's hash, or in turn; the next one where it is refused.
    fn endpoint(&mut self, service: ServiceId, hashed: Option<u64>) -> Option<(PodId, Door)> {
        let ready = self.endpoints.ready(service);
        let turns = &mut self.ingress.as_mut()?.turns;
        let door = |pod: PodId| self.pods[pod.0 as usize].as_ref().map_or(Door::Refuses, Pod::door);
        let mut order: Vec<PodId> = ready.to_vec();
        if let Some(key) = hashed {
            // Rendezvous hashing: as even and as stable as the controller's own ring, whose order nobody can know.
            order.sort_by_key(|pod| std::cmp::Reverse(mixed(key, pod.0)));
        } else if !order.is_empty() {
            *turns = (*turns + 1) % order.len();
            order.rotate_left(*turns);
        }
        let met: Vec<(PodId, Door)> = order.into_iter().take(TRIES).map(|pod| (pod, door(pod))).collect();
        let takes = met.iter().position(|(_, door)| *door != Door::Refuses);
        for (pod, _) in &met[..takes.map_or(met.len(), |at| at + 1)] {
            self.chose(*pod);
        }
        takes.map(|at| met[at])
    }

    /// The gateway has answered at `at`, or its answer is given up: the ingress controller has the request again.
    pub(crate) fn back_at_ingress(&mut self, session: u32, at: Nanos, answer: Answer, from: ReplyFrom) {
        self.leave_nginx(session, at);
        let Some(ingress) = &mut self.ingress else { return };
        let waiting = ingress.waiting(session);
        waiting.from = from;
        let Waiting { exchange, held, open, .. } = *waiting;
        let over = &mut self.sessions[session];
        (over.at, over.exchange, over.held, over.open) = (Nginx::Ingress, exchange, held, open);
        self.exchange(session, Some(answer), at);
    }

    /// What the ingress controller passes on was said by whoever said it first.
    pub(crate) fn said_first(&mut self, session: u32, reply: Reply) -> ReplyFrom {
        match (&mut self.ingress, reply.from) {
            (Some(ingress), ReplyFrom::Upstream) => ingress.waiting(session).from,
            (_, from) => from,
        }
    }

    /// A session's request ends while the gateway has it: the ingress controller lets go of it, too.
    pub(crate) fn leave_ingress(&mut self, session: u32, at: Nanos) {
        let over = &mut self.sessions[session];
        if over.at == Nginx::Gateway
            && let Some(ingress) = &mut self.ingress
        {
            let Waiting { exchange, held, open, .. } = std::mem::replace(ingress.waiting(session), NOTHING);
            (over.at, over.exchange, over.held, over.open) = (Nginx::Ingress, exchange, held, open);
            self.leave_nginx(session, at);
        }
    }
}

/// The first call behind an nginx.
pub(crate) fn first_call(id: RequestId) -> RequestId {
    id.call(0)
}

fn mixed(key: u64, pod: u32) -> u64 {
    let mut x = key ^ (u64::from(pod) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
