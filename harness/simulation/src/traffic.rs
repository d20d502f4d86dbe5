//! The traffic side: a session's request through the gateway to its service, and its answer.

use cluster::PodId;
use cluster::service_proxy::Caller;
use gateway::{Answer, Ask, Broken, Choice, Exchange, Kept, Key, Peer, Reply, ReplyFrom, Routed};
use platform::{Balance, GatewayConfig};
use record::{Cause, Hops, Observation, StepId};
use scenarios::{Arrival, Ending, Journey, Next, OnTheWay, Party, Verdict};
use units::{Nanos, Purpose, RequestId};

use crate::call::Parent;
use crate::calls::Dialled;
use crate::client::{Nginx, Session};
use crate::place::{Door, NginxProcess, Pod, Process};
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
            at: Nginx::Gateway,
            open: false,
            streaming: false,
            pod: 0,
            hops: Hops::default(),
            served: 0,
            first_sent: Nanos::ZERO,
            exchange: Exchange::new(Routed::Nothing),
            held: None,
        });
        self.send(session);
    }

    /// A session's request is due, and a client is never late here.
    pub(crate) fn send(&mut self, session: u32) {
        self.requests = self.requests.wrapping_add(1);
        self.under_way += 1;
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
            Verdict::Reset => return self.complete(session, self.now + self.settings.hop * 2, 0, Cause::Reset),
            Verdict::Lost => return, // the client waits until it gives up
            Verdict::Unresolved => return self.complete(session, self.now + self.settings.hop, 0, Cause::Refused),
        };
        if self.ingress.is_some() && self.enter_ingress(session, generation, delay) {
            return;
        }
        let (pod, door) = self.connect_to_gateway(client, id);
        match door {
            Door::Open => {}
            Door::Refuses => return self.complete(session, self.now + self.settings.hop, 0, Cause::Refused),
            Door::Silent => return,
        }
        self.sessions[session].gateway = pod;
        if let Some(Pod { process: Process::Gateway(process), answered, .. }) = self.pod_mut(pod) {
            process.cpu += model::GATEWAY_CPU;
            *answered += 1;
            if !process.open() {
                return self.complete(session, self.now + self.settings.hop * 2, 0, Cause::Reset);
            }
            self.sessions[session].open = true;
        }
        if delay == Nanos::ZERO {
            self.exchange(session, None, self.now + self.settings.hop);
        } else {
            self.queue.schedule(self.now + delay, Event::Entered { session, generation });
        }
    }

    pub(crate) fn entered(&mut self, session: u32, generation: u32) {
        if self.sessions[session].generation == generation {
            let (at, gateway) = (self.sessions[session].at, self.sessions[session].gateway);
            // Through the ingress controller it is a new connection to this gateway.
            let new = at == Nginx::Gateway && !self.sessions[session].open;
            if new && !self.accept(session, gateway) {
                let answer = Answer::Broken(Broken::Reset);
                return self.back_at_ingress(session, self.now + self.settings.hop, answer, ReplyFrom::BadGateway);
            }
            self.exchange(session, None, self.now + self.settings.hop);
        }
    }

    /// A gateway pod takes a connection of the ingress controller.
    fn accept(&mut self, session: u32, gateway: PodId) -> bool {
        let room = match self.pod_mut(gateway) {
            Some(Pod { process: Process::Gateway(process), answered, .. }) => {
                process.cpu += model::GATEWAY_CPU;
                *answered += 1;
                process.open()
            }
            _ => false,
        };
        self.sessions[session].open = room;
        room
    }

    /// A session's request goes to the ingress controller, if its step does.
    fn enter_ingress(&mut self, session: u32, generation: u32, delay: Nanos) -> bool {
        let s = &mut self.sessions[session];
        if self.plan.target(s.step).ingress.is_none() {
            s.at = Nginx::Gateway;
            return false;
        }
        (s.at, s.gateway) = (Nginx::Ingress, PodId(0));
        let room = self.ingress.as_mut().is_some_and(|ingress| {
            ingress.process.cpu += model::GATEWAY_CPU;
            ingress.process.open()
        });
        self.sessions[session].open = room;
        if !room {
            self.complete(session, self.now + self.settings.hop * 2, 0, Cause::Reset);
        } else if delay == Nanos::ZERO {
            self.exchange(session, None, self.now + self.settings.hop);
        } else {
            self.queue.schedule(self.now + delay, Event::Entered { session, generation });
        }
        true
    }

    /// What the network does to a request of a client.
    fn way_in(&self, id: RequestId) -> Verdict {
        if self.network.is_calm() {
            return Verdict::UNDISTURBED;
        }
        let since = self.now - self.load_start;
        // A client keeps its connection: what it opens it by is not lost.
        let (from, to) = (Party::Clients, Party::Gateway);
        let sent = OnTheWay { since, from, to, service: None, opens: false, id };
        self.network.verdict(&sent, self.plan.load.seed)
    }

    /// A gateway pod for a client's request, by a connection that is kept or a new one, and what it meets there.
    fn connect_to_gateway(&mut self, client: u32, id: RequestId) -> (PodId, Door) {
        let Some(gateway) = &self.plan.platform.gateway else { return (PodId(0), Door::Refuses) };
        let (pods, service) = (&self.pods, gateway.service);
        let door = |pod: PodId| pods[pod.0 as usize].as_ref().map_or(Door::Refuses, Pod::door);
        // A kept connection to a pod that vanished without a word is only found out by using it.
        if let Some(pod) = self.connections.take(client, |pod| door(pod) != Door::Refuses) {
            return (pod, door(pod));
        }
        let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
        let (to, caller) = ((service, self.plan.platform.service(service)), Caller::Outside(client));
        match self.affinities.choose(self.now, to, caller, self.endpoints.ready(service), draw) {
            Some(pod) => {
                let met = door(pod);
                self.chose(pod);
                (pod, met)
            }
            None => (PodId(0), Door::Refuses),
        }
    }

    /// The nginx that has a request.
    fn nginx(&mut self, at: Nginx, gateway: PodId) -> Option<&mut NginxProcess> {
        match at {
            Nginx::Ingress => self.ingress.as_mut().map(|ingress| &mut ingress.process),
            Nginx::Gateway => match self.pods.get_mut(gateway.0 as usize)?.as_mut()?.process {
                Process::Gateway(ref mut process) => Some(process),
                _ => None,
            },
        }
    }

    /// Drives a session's exchange at the nginx that has it, where it is now `at_gateway`, until it has to wait.
    pub(crate) fn exchange(&mut self, session: u32, mut answer: Option<Answer>, at_gateway: Nanos) {
        let plan = self.plan;
        let s = self.sessions[session];
        let target = plan.target(s.step);
        let (config, routed) = match s.at {
            Nginx::Gateway => (plan.platform.gateway.as_ref().map(|gateway| &gateway.config), target.gateway),
            Nginx::Ingress => (plan.ingress.as_deref(), target.ingress),
        };
        let (Some(config), Some(routed)) = (config, routed) else { return };
        let mut exchange = match answer {
            None => Exchange::new(routed).by(&plan.load.steps[usize::from(s.step.0)].method),
            Some(_) => s.exchange,
        };
        let Some(seen) = self.seen(&s) else { return };
        loop {
            let ask = match answer {
                None => exchange.begin(config),
                Some(answer) => exchange.proceed(config, at_gateway, answer),
            };
            self.sessions[session].exchange = exchange;
            let Some(process) = self.nginx(s.at, s.gateway) else {
                if target.ingress.is_some() {
                    let answer = Answer::Broken(Broken::Reset);
                    return self.back_at_ingress(session, at_gateway, answer, ReplyFrom::BadGateway);
                }
                return self.complete(session, at_gateway, 0, Cause::Reset);
            };
            answer = Some(match ask {
                Ask::Offer(location) => {
                    let limits = &config.location(location).limits;
                    Answer::Offered(process.zones.offer_each(
                        limits,
                        |limit| seen.limit_key(limit),
                        || at_gateway,
                        |_, _| {},
                    ))
                }
                Ask::Hold(location) => {
                    let limits = &config.location(location).conn_limits;
                    let held = process.connections.hold(limits, |limit| seen.conn_key(*limit)).is_ok();
                    self.sessions[session].held = held.then_some(location);
                    Answer::Held(held)
                }
                Ask::Pick(upstream) => {
                    let (key, draw) = match &config.upstream(upstream).balance {
                        Balance::Hash { key, .. } => (seen.value(key), 0),
                        // As the live gateway, which knows the request by its header.
                        Balance::Random { .. } => (String::new(), Key::of_bytes(s.id.to_string().as_bytes()).0),
                        _ => (String::new(), 0),
                    };
                    let (tried, client) = (exchange.tried(), seen.client());
                    let choice = Choice { tried, client, key: key.as_bytes(), draw, now: at_gateway };
                    Answer::Picked(process.upstreams.pick(upstream, &choice))
                }
                Ask::Free(peer, failed) => {
                    process.upstreams.free(peer, failed, at_gateway);
                    process.close();
                    if !failed && s.at == Nginx::Gateway && keeps(config, routed, peer) && s.pod > 0 {
                        process.kept.give(peer, at_gateway, PodId(u32::from(s.pod) - 1), s.served + 1);
                    }
                    Answer::Freed
                }
                Ask::Until(at) => {
                    let delay = (at - at_gateway).as_micros() as u32;
                    self.sessions[session].hops.limiter_us += delay;
                    let released = Event::Released { session, generation: s.generation };
                    return self.queue.schedule(at, released);
                }
                // nginx cannot even open a socket: 500.
                Ask::Send(peer) if !process.open() => {
                    process.upstreams.free(peer, false, at_gateway);
                    self.sessions[session].exchange = Exchange::new(Routed::Nothing);
                    let reply = Reply { status: 500, from: ReplyFrom::Itself };
                    return self.reply(session, reply, at_gateway);
                }
                Ask::Send(peer) => match self.forward(session, at_gateway, peer) {
                    Dialled::Call(..) => return self.await_read(session, at_gateway),
                    Dialled::Passed => return,
                    Dialled::Refused => Answer::Broken(Broken::Connect),
                    Dialled::Answer(status) => Answer::Replied(status),
                    Dialled::Reset => Answer::Broken(Broken::Reset),
                    Dialled::Silent => {
                        let connect = self.location(&s).map_or(Nanos::ZERO, |location| location.connect_timeout);
                        let given_up = Event::GivenUp { session, generation: s.generation, connecting: true };
                        return self.queue.schedule(at_gateway + connect, given_up);
                    }
                },
                Ask::Reply(reply) => return self.reply(session, reply, at_gateway),
            });
        }
    }

    pub(crate) fn released(&mut self, session: u32, generation: u32) {
        if self.sessions[session].generation == generation {
            self.exchange(session, Some(Answer::Waited), self.now + self.settings.hop);
        }
    }

    /// Sends a session's request to the service behind its location.
    fn forward(&mut self, session: u32, at_gateway: Nanos, peer: Peer) -> Dialled {
        let s = self.sessions[session];
        let dialled = if s.at == Nginx::Ingress {
            self.forward_from_ingress(session, at_gateway, peer)
        } else {
            let Some(target) = self.plan.server(s.step, peer.server) else { return Dialled::Refused };
            let kept = self.take_kept(&s, peer, at_gateway);
            let tries = &mut self.sessions[session];
            tries.served = kept.map_or(0, |(_, served)| served);
            if s.first_sent == Nanos::ZERO {
                tries.first_sent = at_gateway;
            } else {
                tries.hops.retry_us = (at_gateway - s.first_sent).as_micros() as u32;
            }
            let parent = Parent::Gateway { session, generation: s.generation };
            self.dial(s.id.call(0), parent, target, kept.map(|(pod, _)| pod))
        };
        if let Dialled::Call(call, delay) = dialled {
            self.sessions[session].pod = self.call(call).map_or(0, |call| call.pod as u16 + 1);
            self.queue.schedule(at_gateway + self.settings.hop + delay, Event::Reached { call });
        }
        dialled
    }

    /// A connection that a session's gateway keeps to a server, and how many requests it has served. One to a pod that
    /// has ended is closed; one to a pod that vanished without a word is only found out by using it.
    fn take_kept(&mut self, s: &Session, peer: Peer, now: Nanos) -> Option<(PodId, u32)> {
        let config = &self.plan.platform.gateway.as_ref()?.config;
        if !keeps(config, self.plan.target(s.step).gateway?, peer) {
            return None;
        }
        let Process::Gateway(process) = &mut self.pods.get_mut(s.gateway.0 as usize)?.as_mut()?.process else {
            return None;
        };
        let mut kept = std::mem::replace(&mut process.kept, Kept::new(&GatewayConfig::default(), 0));
        let open = |pod: &PodId| self.pods[pod.0 as usize].as_ref().is_some_and(|pod| pod.door() != Door::Refuses);
        let taken = kept.take(peer, now, open);
        if let Some(process) = self.nginx(Nginx::Gateway, s.gateway) {
            process.kept = kept;
        }
        taken
    }

    /// The peer of a session's request does not answer: the gateway gives up on it after its read timeout, counted from
    /// now for want of the last packet's instant.
    pub(crate) fn give_up_later(&mut self, session: u32, generation: u32) {
        let s = self.sessions[session];
        let Some(patience) = self.location(&s).map(|location| location.read_timeout) else { return };
        self.queue.schedule(self.now + patience, Event::GivenUp { session, generation, connecting: false });
    }

    pub(crate) fn given_up(&mut self, session: u32, generation: u32, connecting: bool) {
        let s = self.sessions[session];
        if s.generation == generation && s.exchange.at_peer().is_some() {
            // What has begun cannot be answered with 504 any more: the connection is closed in its middle.
            if s.streaming {
                return self.complete(session, self.now + self.settings.hop * 2, 0, Cause::Reset);
            }
            let how = if connecting { Broken::ConnectTimeout } else { Broken::Timeout };
            self.exchange(session, Some(Answer::Broken(how)), self.now + self.settings.hop);
        }
    }

    /// The nginx that has a session's request answers it at `at`.
    fn reply(&mut self, session: u32, reply: Reply, at: Nanos) {
        let s = &self.sessions[session];
        let through = self.plan.target(s.step).ingress.is_some();
        if through && s.at == Nginx::Gateway {
            let at = at + self.settings.hop;
            return self.back_at_ingress(session, at, Answer::Replied(reply.status), reply.from);
        }
        let cause = match if through { self.said_first(session, reply) } else { reply.from } {
            ReplyFrom::Limit => Cause::Limited,
            ReplyFrom::BadGateway => Cause::Gateway,
            ReplyFrom::Upstream | ReplyFrom::Itself => match reply.status {
                0..400 => Cause::None,
                400..500 => Cause::ClientError,
                500.. => Cause::ServerError,
            },
        };
        self.complete(session, at + self.settings.hop, reply.status, cause);
    }

    /// A session's request has ended; its journey goes on.
    fn complete(&mut self, session: u32, done: Nanos, status: u16, cause: Cause) {
        let s = self.sessions[session];
        let cause = self.plan.load.step(s.step).judge(status, cause);
        let client = s.journey.arrival.client.address;
        let target = self.plan.target(s.step);
        self.leave_nginx(session, done);
        if target.ingress.is_some() {
            self.leave_ingress(session, done);
        }
        let kept = !matches!(cause, Cause::Refused | Cause::Reset | Cause::Timeout);
        if kept && target.ingress.is_none() {
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
            gateway_pod: if target.gateway.is_some() { s.gateway.0 as u16 + 1 } else { 0 },
            pod: s.pod,
            hops: s.hops,
            first_byte_us: 0,
            gap_us: 0,
        };
        self.observe(&observation);
        self.under_way -= 1;
        self.sessions[session].generation = 0; // nothing that still comes for this request is heard
        let mut journey = s.journey;
        match journey.proceed(&self.plan.load, done, cause) {
            Next::Request { step, id, intended } => self.schedule_request(session, journey, step, id, intended),
            Next::End => self.sessions.release(session),
        }
    }

    /// The nginx that has a session's request lets go of it: what it counted, and the connections it used.
    pub(crate) fn leave_nginx(&mut self, session: u32, at: Nanos) {
        let s = self.sessions[session];
        let over = &mut self.sessions[session];
        (over.exchange, over.held, over.open) = (Exchange::new(Routed::Nothing), None, false);
        let plan = self.plan;
        let seen = s.held.and_then(|_| self.seen(&s));
        let config = match s.at {
            Nginx::Gateway => plan.platform.gateway.as_ref().map(|gateway| &gateway.config),
            Nginx::Ingress => plan.ingress.as_deref(),
        };
        if let (Some(config), Some(process)) = (config, self.nginx(s.at, s.gateway)) {
            if let Some((held, seen)) = s.held.zip(seen) {
                process.connections.release(&config.location(held).conn_limits, |limit| seen.conn_key(*limit));
            }
            // If the client is gone, the connection behind closes, too.
            if let Some(peer) = s.exchange.at_peer() {
                process.upstreams.free(peer, false, at);
                process.close();
            }
            if s.open {
                process.close();
            }
        }
    }

    fn schedule_request(&mut self, session: u32, journey: Journey, step: StepId, id: RequestId, intended: Nanos) {
        let s = &mut self.sessions[session];
        *s = Session {
            journey,
            step,
            id,
            intended,
            pod: 0,
            streaming: false,
            hops: Hops::default(),
            first_sent: Nanos::ZERO,
            ..*s
        };
        self.queue.schedule(intended, Event::Due { session });
    }

    fn observe(&mut self, observation: &Observation) {
        if let Some(recorder) = &mut self.recorder {
            recorder.observe(observation);
        }
        if let Some(referee) = &mut self.referee {
            referee.observe(observation);
        }
        if let Some(scraper) = &mut self.scraper {
            scraper.answered(observation);
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

/// Whether requests at a location go over connections that its upstream keeps.
fn keeps(config: &GatewayConfig, routed: Routed, peer: Peer) -> bool {
    matches!(routed, Routed::To(id) if gateway::keeps(config, config.location(id), peer.upstream))
}
