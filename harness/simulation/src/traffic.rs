//! The traffic side: a session's request through the gateway to its service, the calls that one makes, and the way
//! back.

use cluster::{PodId, service_proxy};
use gateway::{Answer, Ask, Broken, Exchange, Key, Reply, ReplyFrom, Routed};
use model::{Spent, StationEffect, StationInput};
use record::{Cause, Hops, Observation, StepId};
use scenarios::{Arrival, Journey, Next};
use units::{Machine, Nanos, Purpose, RequestId};

use crate::call::{Call, Parent};
use crate::client::Session;
use crate::place::Process;
use crate::world::{Event, Sink, World};

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
        let Some(pod) = self.connect_to_gateway(client, id) else {
            return self.complete(session, self.now + self.settings.hop, 0, Cause::Refused);
        };
        self.sessions[session].gateway = pod;
        if let Some(Process::Gateway(process)) = self.process_mut(pod) {
            process.cpu += model::GATEWAY_CPU;
        }
        self.exchange(session, None);
    }

    fn connect_to_gateway(&mut self, client: u32, id: RequestId) -> Option<PodId> {
        let service = self.plan.platform.gateway.as_ref()?.service;
        let pods = &self.pods;
        let accepts = |pod: PodId| pods[pod.0 as usize].as_ref().is_some_and(super::place::Pod::accepts);
        self.connections.take(client, accepts).or_else(|| {
            let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
            service_proxy::choose(self.endpoints.ready(service), draw).filter(|pod| accepts(*pod))
        })
    }

    fn process_mut(&mut self, pod: PodId) -> Option<&mut Process> {
        self.pods[pod.0 as usize].as_mut().map(|pod| &mut pod.process)
    }

    /// Drives a session's exchange at its gateway pod until it has to wait.
    fn exchange(&mut self, session: u32, mut answer: Option<Answer>) {
        let plan = self.plan;
        let Some(gateway) = &plan.platform.gateway else { return };
        let s = self.sessions[session];
        let exchange = Exchange::new(Routed::To(plan.target(s.step).location));
        let at_gateway = self.now + self.settings.hop;
        loop {
            let ask = match answer {
                None => exchange.begin(&gateway.config),
                Some(answer) => exchange.proceed(&gateway.config, at_gateway, answer),
            };
            let Some(Process::Gateway(process)) = self.process_mut(s.gateway) else {
                return self.complete(session, at_gateway, 0, Cause::Reset);
            };
            answer = Some(match ask {
                Ask::Offer(location) => {
                    let limits = &gateway.config.location(location).limits;
                    let key = Key(s.journey.arrival.client.address);
                    Answer::Offered(process.zones.offer(limits, key, || at_gateway))
                }
                Ask::Pick(upstream) => Answer::Picked(process.upstreams.pick(upstream)),
                Ask::Until(at) => {
                    let delay = (at - at_gateway).as_micros() as u32;
                    self.sessions[session].hops.limiter_us += delay;
                    let released = Event::Released { session, generation: s.generation };
                    return self.queue.schedule(at, released);
                }
                Ask::Send(_) => match self.forward(session, at_gateway) {
                    Some(()) => return,
                    None => Answer::Broken(Broken::Connect),
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

    /// Sends a session's request to the service behind its location. `None`: nobody takes it.
    fn forward(&mut self, session: u32, at_gateway: Nanos) -> Option<()> {
        let s = self.sessions[session];
        let target = self.plan.target(s.step).behind?;
        let parent = Parent::Gateway { session, generation: s.generation };
        let call = self.dial(s.id.call(0), parent, target)?;
        self.sessions[session].pod = self.calls[call].map_or(0, |call| call.pod as u16 + 1);
        self.queue.schedule(at_gateway + self.settings.hop, Event::Reached { call });
        Some(())
    }

    /// Opens a connection to a Service: an endpoint is chosen, and refuses if its pod does.
    fn dial(&mut self, id: RequestId, parent: Parent, target: scenarios::Call) -> Option<u32> {
        let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
        let pod = service_proxy::choose(self.endpoints.ready(target.service), draw)?;
        self.pods[pod.0 as usize].as_ref().filter(|pod| pod.accepts())?;
        Some(self.new_call(id, parent, target, pod))
    }

    pub(crate) fn reached(&mut self, call: u32) {
        let Some(Call { id, parent, target, pod, .. }) = self.calls[call] else { return };
        if matches!(parent, Parent::Probe(_)) {
            return self.probe_reached(call, pod);
        }
        let route = &self.plan.profile(target.workload).routes[usize::from(target.route.0)];
        let work = route.work(self.plan.load.seed, id);
        self.station(pod, StationInput::Arrive { tag: u64::from(call), work });
    }

    /// Feeds a pod's station and does what it wants.
    pub(crate) fn station(&mut self, pod: u32, input: StationInput) {
        let Some(Process::Service(station)) = self.pods[pod as usize].as_mut().map(|pod| &mut pod.process) else {
            if let StationInput::Arrive { tag, .. } = input {
                self.lose(tag as u32); // the pod went away while the request was on its way
            }
            return;
        };
        let mut effects = std::mem::take(&mut self.station_effects);
        let mut sink =
            Sink { queue: &mut self.queue, effects: &mut effects, event: |wake| Event::Station { pod, wake } };
        station.step(self.now, input, &mut sink);
        for effect in effects.drain(..) {
            match effect {
                StationEffect::Call { tag, job } => {
                    if let Some(call) = &mut self.calls[tag as u32] {
                        call.job = Some(job);
                        self.make_next_call(tag as u32);
                    }
                }
                StationEffect::Done { tag, spent } => self.served(tag as u32, spent),
                StationEffect::Refused { tag } => self.answer(tag as u32, 503),
            }
        }
        self.station_effects = effects; // it may have been used within, and is empty again
        if self.pods[pod as usize].as_ref().is_some_and(|pod| pod.terminating) {
            self.drained(PodId(pod));
        }
    }

    /// Makes the next of a call's own calls, or lets it go on when there is none left.
    pub(crate) fn make_next_call(&mut self, parent: u32) {
        while let Some(call) = &mut self.calls[parent] {
            let (id, target, pod, index) = (call.id, call.target, call.pod, call.next);
            call.next += 1;
            let Some(next) = self.plan.calls(target.workload, target.route).get(usize::from(index)) else {
                let job = call.job.take();
                if let Some(job) = job {
                    self.station(pod, StationInput::Called(job));
                }
                return;
            };
            if let Some(child) = self.dial(id.call(u32::from(index)), Parent::Call(parent), *next) {
                return self.queue.schedule(self.now + self.settings.hop, Event::Reached { call: child });
            }
            self.call_failed(parent);
        }
    }

    fn call_failed(&mut self, parent: u32) {
        if let Some(call) = &mut self.calls[parent] {
            call.failed = true;
        }
    }

    fn served(&mut self, call: u32, spent: Spent) {
        let Some(served) = &mut self.calls[call] else { return };
        let micros = |nanos: Nanos| nanos.as_micros() as u32;
        served.hops = served.hops.plus(Hops {
            queue_us: micros(spent.queue),
            cpu_us: micros(spent.cpu),
            wait_us: micros(spent.wait),
            limiter_us: 0,
        });
        // A service that could not reach another one answers 500.
        let status = if served.failed { 500 } else { 200 };
        self.answer(call, status);
    }

    /// The answer of a pod goes back to who asked.
    fn answer(&mut self, call: u32, status: u16) {
        let Some(call) = self.release(call) else { return };
        match call.parent {
            Parent::Gateway { session, generation } => {
                if self.sessions[session].generation == generation {
                    let hops = &mut self.sessions[session].hops;
                    *hops = hops.plus(call.hops);
                    self.exchange(session, Some(Answer::Replied(status)));
                }
            }
            Parent::Call(parent) => {
                if let Some(waiting) = &mut self.calls[parent] {
                    waiting.hops = waiting.hops.plus(call.hops);
                    waiting.failed |= status >= 400;
                    self.queue.schedule(self.now + self.settings.hop, Event::Returned { call: parent });
                }
            }
            Parent::Probe(question) => {
                let answered = Event::Probed { pod: call.pod, question, ok: status < 400 };
                self.queue.schedule(self.now + self.settings.hop, answered);
            }
        }
    }

    /// A call's connection broke.
    fn lose(&mut self, call: u32) {
        let Some(call) = self.release(call) else { return };
        match call.parent {
            Parent::Gateway { session, generation } => {
                if self.sessions[session].generation == generation {
                    self.exchange(session, Some(Answer::Broken(Broken::Reset)));
                }
            }
            Parent::Call(parent) => {
                self.call_failed(parent);
                self.queue.schedule(self.now + self.settings.hop, Event::Returned { call: parent });
            }
            Parent::Probe(question) => {
                let answered = Event::Probed { pod: call.pod, question, ok: false };
                self.queue.schedule(self.now + self.settings.hop, answered);
            }
        }
    }

    /// A pod was killed: every call it was serving is lost.
    pub(crate) fn lose_calls_at(&mut self, pod: PodId) {
        let lost: Vec<u32> =
            self.calls.iter().filter(|(_, call)| call.is_some_and(|c| c.pod == pod.0)).map(|c| c.0).collect();
        for call in lost {
            self.lose(call);
        }
    }

    fn release(&mut self, call: u32) -> Option<Call> {
        let released = self.calls[call].take()?;
        self.calls.release(call);
        Some(released)
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
        let client = s.journey.arrival.client.address;
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
        match journey.proceed(&self.plan.load, done, observation.ok()) {
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
