//! What pods do with the requests that reach them: their stations, the calls they make, and the answers.

use cluster::PodId;
use cluster::service_proxy::Caller;
use gateway::{Answer, Broken};
use model::data::{Asker, DataInput};
use model::{LIBRARY_CONNECT, Spent, StationEffect, StationInput};
use record::Hops;
use scenarios::{OnTheWay, Verdict};
use units::{Machine, Nanos, Purpose, RequestId};

use crate::call::{Call, CallId, Parent};
use crate::place::{Door, Process};
use crate::world::{Event, Sink, World};

/// What came of opening a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// Somebody takes the request; it arrives this much later than usual.
    Call(CallId, Nanos),
    /// Nobody listens, or the Service has no endpoint.
    Refused,
    /// Nobody answers.
    Silent,
    /// Somebody in between answers with this status.
    Answer(u16),
    /// Somebody in between resets it.
    Reset,
    /// Another nginx has it now.
    Passed,
}

impl World<'_> {
    /// Opens a connection to a Service, unless one is `kept`: an endpoint is chosen, and refuses if its pod does.
    pub(crate) fn dial(
        &mut self,
        id: RequestId,
        parent: Parent,
        target: scenarios::Call,
        kept: Option<PodId>,
    ) -> Dialled {
        let from = match parent {
            Parent::Gateway { session, .. } => self.sessions[session].gateway,
            Parent::Call(call) => PodId(self.call(call).map_or(0, |call| call.pod)),
            Parent::Probe(_) => return Dialled::Refused, // a kubelet asks its pod, not a Service
        };
        let delay = match self.disturbance(id, from, target, kept.is_none()) {
            Verdict::Pass { delay } => delay,
            Verdict::Answer { status } => return Dialled::Answer(status),
            Verdict::Reset => return Dialled::Reset,
            Verdict::Lost | Verdict::Unresolved => return Dialled::Silent,
        };
        let Some(pod) = kept.or_else(|| self.choose(id, from, target)) else { return Dialled::Refused };
        match self.pods[pod.0 as usize].as_ref().map_or(Door::Refuses, super::place::Pod::door) {
            Door::Open => Dialled::Call(self.new_call(id, parent, target, pod), delay),
            Door::Refuses => Dialled::Refused,
            Door::Silent => Dialled::Silent,
        }
    }

    /// The endpoint that a new connection goes to.
    fn choose(&mut self, id: RequestId, from: PodId, target: scenarios::Call) -> Option<PodId> {
        let draw = self.plan.load.seed.draw(id, Purpose::Endpoint);
        let to = (target.service, self.plan.platform.service(target.service));
        let endpoints = self.endpoints.reachable(target.service, Some(from));
        let pod = self.affinities.choose(self.now, to, Caller::Pod(from), endpoints, draw)?;
        self.chose(pod);
        Some(pod)
    }

    /// An endpoint was chosen for a new connection.
    pub(crate) fn chose(&mut self, pod: PodId) {
        let now = self.now;
        if let Some(audit) = &mut self.audit {
            audit.dialled.push((now, pod));
        }
    }

    /// What the network does to a request from a pod. nginx resolves names when it starts, so a failing DNS is nothing
    /// to a gateway that runs.
    fn disturbance(&self, id: RequestId, from: PodId, target: scenarios::Call, opens: bool) -> Verdict {
        let Some(from) = self.pods[from.0 as usize].as_ref() else { return Verdict::UNDISTURBED };
        if !from.reached {
            return Verdict::Lost;
        }
        if self.network.is_calm() || self.now < self.load_start {
            return Verdict::UNDISTURBED;
        }
        let gateway = self.plan.platform.gateway.as_ref().map(|gateway| gateway.workload);
        let (from, to) = (scenarios::party(from.workload, gateway), scenarios::party(target.workload, gateway));
        let service = (from != scenarios::Party::Gateway).then_some(target.service);
        let sent = OnTheWay { since: self.now - self.load_start, from, to, service, opens, id };
        self.network.verdict(&sent, self.plan.load.seed)
    }

    pub(crate) fn call(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls[id.slot].as_mut().filter(|call| call.life == id.life)
    }

    pub(crate) fn reached(&mut self, id: CallId) {
        let now = self.now;
        let Some(call) = self.call(id) else { return };
        call.reached = now;
        let Call { id: request, parent, target, pod, .. } = *call;
        if matches!(parent, Parent::Probe(_)) {
            return self.probe_reached(id, pod);
        }
        let route = &self.plan.profile(target.workload).routes[usize::from(target.route.0)];
        let work = route.work(self.plan.load.seed, request);
        let work = if self.data.is_some() { work } else { work.folded() };
        self.station(pod, StationInput::Arrive { tag: id.tag(), work });
    }

    /// Feeds a pod's station and does what it wants.
    pub(crate) fn station(&mut self, pod: u32, input: StationInput) {
        let Some(Process::Service(station)) = self.pods[pod as usize].as_mut().map(|pod| &mut pod.process) else {
            if let StationInput::Arrive { tag, .. } = input {
                self.lose(CallId::tagged(tag)); // the pod went away while the request was on its way
            }
            return;
        };
        let now = self.now;
        let mut effects = std::mem::take(&mut self.station_effects);
        let mut sink =
            Sink { queue: &mut self.queue, effects: &mut effects, event: |wake| Event::Station { pod, wake } };
        station.step(self.now, input, &mut sink);
        for effect in effects.drain(..) {
            match effect {
                StationEffect::Call { tag, job } => {
                    let id = CallId::tagged(tag);
                    if let Some(call) = self.call(id) {
                        (call.job, call.calling) = (Some(job), now);
                        self.make_next_call(id);
                    }
                }
                StationEffect::Data { tag, job, op } => {
                    self.data(DataInput::Ask { asker: Asker { pod, tag, job }, op });
                }
                StationEffect::Done { tag, spent, failed } => self.served(CallId::tagged(tag), spent, failed),
                StationEffect::Refused { tag } => self.answer(CallId::tagged(tag), 503),
                StationEffect::OutOfMemory => self.queue.schedule(self.now, Event::OutOfMemory { pod }),
                StationEffect::Streaming { tag, .. } if self.reads.any() => self.streaming(CallId::tagged(tag)),
                StationEffect::Streaming { .. } => {} // a client waits for the end
            }
        }
        self.station_effects = effects; // it may have been used within, and is empty again
        if self.pods[pod as usize].as_ref().is_some_and(|pod| pod.terminating) {
            self.drained(PodId(pod));
        }
    }

    /// One of a call's own calls has come back.
    pub(crate) fn returned(&mut self, parent: CallId) {
        if let Some(call) = self.call(parent) {
            call.outstanding -= 1;
            self.make_next_call(parent);
        }
    }

    /// Makes the next of a call's own calls, or all of them if its route makes them at once. When there is none left,
    /// and all have come back, it goes on.
    fn make_next_call(&mut self, parent: CallId) {
        let (plan, now) = (self.plan, self.now);
        while let Some(call) = self.call(parent) {
            let (id, target, pod, index) = (call.id, call.target, call.pod, call.next);
            let route = &plan.profile(target.workload).routes[usize::from(target.route.0)];
            if call.outstanding > 0 && !route.parallel {
                return;
            }
            let Some(next) = plan.calls(target.workload, target.route).get(usize::from(index)) else {
                if call.outstanding == 0
                    && let Some(job) = call.job.take()
                {
                    call.hops.downstream_us = (now - call.calling).as_micros() as u32;
                    self.station(pod, StationInput::Called(job));
                }
                return;
            };
            call.next += 1;
            let dialled = self.dial(id.call(u32::from(index)), Parent::Call(parent), *next, None);
            let Some(call) = self.call(parent) else { return };
            let (at, event) = match dialled {
                Dialled::Call(child, delay) => (self.settings.hop + delay, Event::Reached { call: child }),
                Dialled::Refused | Dialled::Passed => {
                    call.failed = true;
                    continue;
                }
                Dialled::Reset => {
                    call.failed = true;
                    (self.settings.hop * 2, Event::Returned { call: parent })
                }
                Dialled::Answer(status) => {
                    call.failed |= status >= 400;
                    (self.settings.hop * 2, Event::Returned { call: parent })
                }
                Dialled::Silent => {
                    call.failed = true;
                    (LIBRARY_CONNECT, Event::Returned { call: parent })
                }
            };
            if let Some(call) = self.call(parent) {
                call.outstanding += 1;
            }
            self.queue.schedule(self.now + at, event);
        }
    }

    /// A pod's answer begins to come, piece by piece.
    fn streaming(&mut self, call: CallId) {
        let plan = self.plan;
        let Some(&mut Call { id, parent: Parent::Gateway { session, generation }, target, .. }) = self.call(call)
        else {
            return;
        };
        let route = &plan.profile(target.workload).routes[usize::from(target.route.0)];
        if let Some(stream) = route.stream {
            self.streams(session, generation, stream.gaps(plan.load.seed, id));
        }
    }

    fn served(&mut self, call: CallId, spent: Spent, failed: Option<u16>) {
        let Some(served) = self.call(call) else { return };
        let micros = |nanos: Nanos| nanos.as_micros() as u32;
        served.hops = Hops {
            queue_us: micros(spent.queue),
            cpu_us: micros(spent.cpu),
            wait_us: micros(spent.wait),
            ..served.hops
        };
        // A service that could not reach another one answers 500.
        let status = failed.unwrap_or(if served.failed { 500 } else { 200 });
        self.answer(call, status);
    }

    /// The answer of a pod goes back to who asked, unless its node is cut off.
    fn answer(&mut self, call: CallId, status: u16) {
        let Some(call) = self.release(call) else { return };
        let heard = self.pods[call.pod as usize].as_mut().is_some_and(|pod| {
            pod.answered += u64::from(!matches!(call.parent, Parent::Probe(_)));
            pod.reached
        });
        self.count(&call, status);
        match call.parent {
            Parent::Gateway { session, generation } => {
                if self.sessions[session].generation != generation {
                    return;
                }
                if !heard {
                    return self.give_up_later(session, generation);
                }
                let hops = &mut self.sessions[session].hops;
                *hops = Hops { limiter_us: hops.limiter_us, retry_us: hops.retry_us, ..call.hops };
                self.exchange(session, Some(Answer::Replied(status)), self.now + self.settings.hop);
            }
            Parent::Call(parent) => {
                if let Some(waiting) = self.call(parent) {
                    waiting.hops = waiting.hops.calling(call.hops);
                    waiting.failed |= status >= 400 || !heard;
                    let wait = if heard { self.settings.hop } else { LIBRARY_CONNECT };
                    self.queue.schedule(self.now + wait, Event::Returned { call: parent });
                }
            }
            // A kubelet asks on its own node.
            Parent::Probe(question) => {
                let answered = Event::Probed { pod: call.pod, question, ok: status < 400 };
                self.queue.schedule(self.now + self.settings.hop, answered);
            }
        }
    }

    /// A call's connection broke; or, where its node lost its power, nothing is heard of it any more.
    fn lose(&mut self, call: CallId) {
        let Some(call) = self.release(call) else { return };
        let told = self.pods[call.pod as usize].as_ref().is_some_and(|pod| pod.reached);
        match call.parent {
            Parent::Gateway { session, generation } => {
                if self.sessions[session].generation == generation {
                    if told {
                        self.exchange(session, Some(Answer::Broken(Broken::Reset)), self.now + self.settings.hop);
                    } else {
                        self.give_up_later(session, generation);
                    }
                }
            }
            Parent::Call(parent) => {
                if let Some(waiting) = self.call(parent) {
                    waiting.failed = true;
                    let wait = if told { self.settings.hop } else { LIBRARY_CONNECT };
                    self.queue.schedule(self.now + wait, Event::Returned { call: parent });
                }
            }
            Parent::Probe(question) => {
                let answered = Event::Probed { pod: call.pod, question, ok: false };
                self.queue.schedule(self.now + self.settings.hop, answered);
            }
        }
    }

    /// A pod was killed: every call it was serving is lost.
    pub(crate) fn lose_calls_at(&mut self, pod: PodId) {
        let at = |(slot, call): (u32, &Option<Call>)| {
            call.filter(|call| call.pod == pod.0).map(|call| CallId { slot, life: call.life })
        };
        let lost: Vec<CallId> = self.calls.iter().filter_map(at).collect();
        for call in lost {
            self.lose(call);
        }
    }

    fn release(&mut self, id: CallId) -> Option<Call> {
        let released = *self.call(id)?;
        self.calls[id.slot] = None;
        self.calls.release(id.slot);
        Some(released)
    }
}
