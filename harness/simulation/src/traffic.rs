//! The traffic side: a session's request through the gateway to its service, and its answer.

use std::net::IpAddr;

use cluster::PodId;
use cluster::service_proxy::Caller;
use gateway::{Answer, Ask, Broken, Choice, Exchange, Key, Peer, Reply, ReplyFrom, Routed};
use record::{Cause, Hops, Observation, StepId};
use scenarios::{Arrival, Ending, Journey, Next, Party, Verdict};
use units::{Nanos, Purpose, RequestId};

use crate::call::Parent;
use crate::calls::Dialled;
use crate::client::Session;
use crate::place::{Door, Process};
use crate::world::{Event, World};

impl World<'_> {
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let mut journey = Journey::new(arrival);
        let Next::Request { step, id, intended } = journey.begin(&self.plan.load, self.load_start) else { return };
        let session = self.sessions.insert(Session {
            journey,
            generation: 0,
            step,
            id,
            intended,
            gateway: PodId(0),
            pod: 0,
            hops: Hops::default(),
            exchange: Exchange::new(Routed::Nothing),
            held: None,
        });
        self.send(session);
    }

    /// A session's request is due, and a client is never late here.
    pub(crate) fn send(&mut self, session: u32) {
        self.requests = self.requests.wrapping_add(1);
        let generation = self.requests;
        let (id, client) = {
            let session = &mut self.sessions[session];
            session.generation = generation;
            (session.id, session.journey.arrival.client.address)
        };
        if let Some(expires) = self.timeouts.begin(self.now, (session, generation)) {
            self.queue.schedule(expires, Event::ClientTimeouts);
        }
        let delay = match self.way_in(id) {
            Verdict::Pass { delay } => delay,
            Verdict::Answer { status } => {
                let cause = if status < 500 { Cause::ClientError } else { Cause::ServerError };
                return self.complete(session, self.now + self.settings.hop * 2, status, cause);
            }
            Verdict::Lost => return, // the client waits until it gives up
            Verdict::Unresolved => return self.complete(session, self.now + self.settings.hop, 0, Cause::Refused),
        };
        let (pod, door) = self.connect_to_gateway(client, id);
        match door {
            Door::Open => {}
            Door::Refuses => return self.complete(session, self.now + self.settings.hop, 0, Cause::Refused),
            Door::Silent => return,
        }
        self.sessions[session].gateway = pod;
        if let Some(Process::Gateway(process)) = self.process_mut(pod) {
            process.cpu += model::GATEWAY_CPU;
        }
        if delay == Nanos::ZERO {
            self.exchange(session, None);
        } else {
            self.queue.schedule(self.now + delay, Event::Entered { session, generation });
        }
    }

    pub(crate) fn entered(&mut self, session: u32, generation: u32) {
        if self.sessions[session].generation == generation {
            self.exchange(session, None);
        }
    }

    /// What the network does to a request of a client.
    fn way_in(&self, id: RequestId) -> Verdict {
        if self.network.is_calm() {
            return Verdict::UNDISTURBED;
        }
        let since = self.now - self.load_start;
        self.network.verdict(since, Party::Clients, Party::Gateway, None, self.plan.load.seed, id)
    }

    /// A gateway pod for a client's request, by a connection that is kept or a new one, and what it meets there.
    fn connect_to_gateway(&mut self, client: u32, id: RequestId) -> (PodId, Door) {
        let Some(gateway) = &self.plan.platform.gateway else { return (PodId(0), Door::Refuses) };
        let (pods, service) = (&self.pods, gateway.service);
        let door = |pod: PodId| pods[pod.0 as usize].as_ref().map_or(Door::Refuses, super::place::Pod::door);
        // A kept connection to a pod that vanished without a word is only found out by using it.
        if let Some(pod) = self.connections.take(client, |pod| door(pod) != Door::Refuses) {
            return (pod, door(pod));
        }
        let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
        let (to, caller) = ((service, self.plan.platform.service(service)), Caller::Outside(client));
        match self.affinities.choose(self.now, to, caller, self.endpoints.ready(service), draw) {
            Some(pod) => (pod, door(pod)),
            None => (PodId(0), Door::Refuses),
        }
    }

    fn process_mut(&mut self, pod: PodId) -> Option<&mut Process> {
        self.pods[pod.0 as usize].as_mut().map(|pod| &mut pod.process)
    }

    /// Drives a session's exchange at its gateway pod until it has to wait.
    pub(crate) fn exchange(&mut self, session: u32, mut answer: Option<Answer>) {
        let plan = self.plan;
        let Some(gateway) = &plan.platform.gateway else { return };
        let s = self.sessions[session];
        let mut exchange = match answer {
            None => Exchange::new(Routed::To(plan.target(s.step).location))
                .by(&plan.load.steps[usize::from(s.step.0)].method),
            Some(_) => s.exchange,
        };
        let key = Key::v4(s.journey.arrival.client.address);
        let at_gateway = self.now + self.settings.hop;
        loop {
            let ask = match answer {
                None => exchange.begin(&gateway.config),
                Some(answer) => exchange.proceed(&gateway.config, at_gateway, answer),
            };
            self.sessions[session].exchange = exchange;
            let Some(Process::Gateway(process)) = self.process_mut(s.gateway) else {
                return self.complete(session, at_gateway, 0, Cause::Reset);
            };
            answer = Some(match ask {
                Ask::Offer(location) => {
                    let limits = &gateway.config.location(location).limits;
                    Answer::Offered(process.zones.offer(limits, key, || at_gateway))
                }
                Ask::Hold(location) => {
                    let limits = &gateway.config.location(location).conn_limits;
                    let held = process.connections.hold(limits, |_| Some(key)).is_ok();
                    self.sessions[session].held = held.then_some(location);
                    Answer::Held(held)
                }
                Ask::Pick(upstream) => {
                    let client = IpAddr::V4(s.journey.arrival.client.address.into());
                    let address = s.journey.arrival.client.address.to_be_bytes();
                    // A hash of whatever key spreads clients: no header is known here.
                    let choice =
                        Choice { tried: exchange.tried(), client, key: &address, draw: key.0, now: at_gateway };
                    Answer::Picked(process.upstreams.pick(upstream, &choice))
                }
                Ask::Free(peer, failed) => {
                    process.upstreams.free(peer, failed, at_gateway);
                    Answer::Freed
                }
                Ask::Until(at) => {
                    let delay = (at - at_gateway).as_micros() as u32;
                    self.sessions[session].hops.limiter_us += delay;
                    let released = Event::Released { session, generation: s.generation };
                    return self.queue.schedule(at, released);
                }
                Ask::Send(peer) => match self.forward(session, at_gateway, peer) {
                    Dialled::Call(..) => return,
                    Dialled::Refused => Answer::Broken(Broken::Connect),
                    Dialled::Answer(status) => Answer::Replied(status),
                    Dialled::Silent => {
                        let location = gateway.config.location(plan.target(s.step).location);
                        let given_up = Event::GivenUp { session, generation: s.generation, connecting: true };
                        return self.queue.schedule(at_gateway + location.connect_timeout, given_up);
                    }
                },
                Ask::Reply(reply) => return self.reply(session, reply),
            });
        }
    }

    pub(crate) fn released(&mut self, session: u32, generation: u32) {
        if self.sessions[session].generation == generation {
            self.exchange(session, Some(Answer::Waited));
        }
    }

    /// Sends a session's request to the service behind its location.
    fn forward(&mut self, session: u32, at_gateway: Nanos, peer: Peer) -> Dialled {
        let s = self.sessions[session];
        let Some(target) = self.plan.target(s.step).behind.and_then(|first| self.at_server(first, peer)) else {
            return Dialled::Refused;
        };
        let parent = Parent::Gateway { session, generation: s.generation };
        let dialled = self.dial(s.id.call(0), parent, target);
        if let Dialled::Call(call, delay) = dialled {
            self.sessions[session].pod = self.call(call).map_or(0, |call| call.pod as u16 + 1);
            self.queue.schedule(at_gateway + self.settings.hop + delay, Event::Reached { call });
        }
        dialled
    }

    /// The step's call at another server of its upstream, which has the same routes.
    fn at_server(&self, first: scenarios::Call, peer: Peer) -> Option<scenarios::Call> {
        let platform = &self.plan.platform;
        if peer.server == 0 {
            return Some(first);
        }
        let config = &platform.gateway.as_ref()?.config;
        let server = &config.upstream(peer.upstream).servers[usize::from(peer.server)];
        let service = platform.service_named(&server.host)?;
        let workload = platform.selected_by(platform.service(service)).next()?;
        let same = usize::from(first.route.0) < self.plan.profile(workload).routes.len();
        same.then_some(scenarios::Call { service, workload, ..first })
    }

    /// The peer of a session's request does not answer: the gateway gives up on it after its read timeout, counted from
    /// now for want of the last packet's instant.
    pub(crate) fn give_up_later(&mut self, session: u32, generation: u32) {
        let plan = self.plan;
        let Some(gateway) = &plan.platform.gateway else { return };
        let location = gateway.config.location(plan.target(self.sessions[session].step).location);
        self.queue
            .schedule(self.now + location.read_timeout, Event::GivenUp { session, generation, connecting: false });
    }

    pub(crate) fn given_up(&mut self, session: u32, generation: u32, connecting: bool) {
        let s = self.sessions[session];
        if s.generation == generation && s.exchange.at_peer().is_some() {
            let how = if connecting { Broken::ConnectTimeout } else { Broken::Timeout };
            self.exchange(session, Some(Answer::Broken(how)));
        }
    }

    fn reply(&mut self, session: u32, reply: Reply) {
        let cause = match reply.from {
            ReplyFrom::Limit => Cause::Limited,
            ReplyFrom::BadGateway => Cause::Gateway,
            ReplyFrom::Upstream | ReplyFrom::Itself => match reply.status {
                0..400 => Cause::None,
                400..500 => Cause::ClientError,
                500.. => Cause::ServerError,
            },
        };
        // From the service the answer takes two hops to the client; what the gateway says itself, one there and one
        // back.
        self.complete(session, self.now + self.settings.hop * 2, reply.status, cause);
    }

    /// A session's request has ended; its journey goes on.
    fn complete(&mut self, session: u32, done: Nanos, status: u16, cause: Cause) {
        let s = self.sessions[session];
        let cause = self.plan.load.step(s.step).judge(status, cause);
        let client = s.journey.arrival.client.address;
        let config = self.plan.platform.gateway.as_ref().map(|gateway| &gateway.config);
        if let (Some(config), Some(Process::Gateway(process))) = (config, self.process_mut(s.gateway)) {
            if let Some(at) = s.held {
                process.connections.release(&config.location(at).conn_limits, |_| Some(Key::v4(client)));
            }
            // The client is gone: its connection behind the gateway closes, too.
            if let Some(peer) = s.exchange.at_peer() {
                process.upstreams.free(peer, false, done);
            }
        }
        let over = &mut self.sessions[session];
        (over.exchange, over.held) = (Exchange::new(Routed::Nothing), None);
        let kept = !matches!(cause, Cause::Refused | Cause::Reset | Cause::Timeout);
        if kept {
            self.connections.give(client, s.gateway);
        }
        let observation = Observation {
            arrival: s.journey.arrival.number,
            step: s.step,
            client,
            intended: s.intended,
            sent: s.intended,
            done,
            status,
            cause,
            gateway_pod: s.gateway.0 as u16 + 1,
            pod: s.pod,
            hops: s.hops,
        };
        self.observe(&observation);
        self.sessions[session].generation = 0; // nothing that still comes for this request is heard
        let mut journey = s.journey;
        match journey.proceed(&self.plan.load, done, cause) {
            Next::Request { step, id, intended } => self.schedule_request(session, journey, step, id, intended),
            Next::End => self.sessions.release(session),
        }
    }

    fn schedule_request(&mut self, session: u32, journey: Journey, step: StepId, id: RequestId, intended: Nanos) {
        let s = &mut self.sessions[session];
        *s = Session { journey, step, id, intended, pod: 0, hops: Hops::default(), ..*s };
        self.queue.schedule(intended, Event::Due { session });
    }

    fn observe(&mut self, observation: &Observation) {
        if let Some(recorder) = &mut self.recorder {
            recorder.observe(observation);
        }
        if let Some(referee) = &mut self.referee {
            referee.observe(observation);
        }
        self.ended[match scenarios::ending(observation.cause) {
            Ending::Answered => 0,
            Ending::Rejected => 1,
            Ending::Failed => 2,
        }] += 1;
        if self.settings.keep_observations {
            self.observations.push(*observation);
        }
    }

    /// Clients give up on what has taken too long.
    pub(crate) fn expire(&mut self) {
        while let Some((session, generation)) = self.timeouts.expired(self.now) {
            if self.sessions[session].generation == generation {
                self.complete(session, self.now, 0, Cause::Timeout);
            }
        }
        let sessions = &self.sessions;
        if let Some(next) = self.timeouts.next(|(session, generation)| sessions[session].generation != generation) {
            self.queue.schedule(next, Event::ClientTimeouts);
        }
    }
}
