//! The simulator as the place where pods live: what [`cluster::Host`] asks for, done in virtual time.

use std::sync::Arc;

use cluster::{ControlInput, ControlWake, Endpoints, Host, PodId, Question, Usage};
use gateway::{Ask, Exchange};
use model::data::DataInput;
use model::{StationInput, Work};
use platform::{Probe, ProbeAction, WorkloadId};
use record::{EventKind, Hops};
use units::{Nanos, RequestId};

use crate::call::{Call, CallId, Parent};
use crate::place::{Pod, Process};
use crate::world::{Event, World};

impl World<'_> {
    /// Feeds the control side, which answers through [`Host`].
    pub(crate) fn control(&mut self, input: ControlInput) {
        let mut control = self.control.take().expect("the control side is never fed from within");
        control.step(self.now, input, self);
        self.control = Some(control);
    }

    fn gateway_health(&self, path: &str, host: &str) -> bool {
        let Some(gateway) = &self.plan.platform.gateway else { return false };
        let routed = gateway::route(&gateway.config, self.plan.gateway_port, host, path);
        match Exchange::new(routed).begin(&gateway.config) {
            Ask::Reply(reply) => (200..400).contains(&reply.status),
            _ => true, // it proxies its health check: the service behind it answers for it
        }
    }

    /// Schedules the news that a terminating pod has nothing left to do.
    pub(crate) fn drained(&mut self, id: PodId) {
        let Some(pod) = self.pod_mut(id) else { return };
        let idle = match &pod.process {
            Process::Service(station) => station.in_flight() == 0,
            Process::Gateway(_) | Process::None => true,
        };
        if pod.terminating && idle {
            pod.process = Process::None;
            self.queue.schedule(self.now, Event::Drained { pod: id.0 });
            self.data(DataInput::Ended { pod: id.0 });
        }
    }

    pub(crate) fn new_call(&mut self, id: RequestId, parent: Parent, target: scenarios::Call, pod: PodId) -> CallId {
        self.lives = self.lives.wrapping_add(1);
        let call = Call {
            life: self.lives,
            id,
            parent,
            target,
            pod: pod.0,
            next: 0,
            job: None,
            outstanding: 0,
            failed: false,
            calling: Nanos::ZERO,
            hops: Hops::default(),
            reached: self.now,
        };
        CallId { slot: self.calls.insert(Some(call)), life: self.lives }
    }

    /// Something worth keeping happened.
    pub(crate) fn tell_event(&mut self, kind: EventKind) {
        if let Some(referee) = &mut self.referee {
            referee.event(self.now, &kind);
        }
        let event = self.chronicle.note(self.now, kind);
        self.listener.event(event);
    }

    /// A health check reached its pod, and queues there like everything else.
    pub(crate) fn probe_reached(&mut self, call: CallId, pod: u32) {
        self.station(pod, StationInput::Arrive { tag: call.tag(), work: Work::HEALTH });
    }

    pub(crate) fn pod_mut(&mut self, id: PodId) -> Option<&mut Pod> {
        self.pods.get_mut(id.0 as usize)?.as_mut()
    }
}

impl Host for World<'_> {
    fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str) {
        if let Some(audit) = &mut self.audit {
            audit.bound(pod, name);
        }
        let index = pod.0 as usize;
        if self.pods.len() <= index {
            self.pods.resize_with(index + 1, || None);
        }
        self.pods[index] = Some(Pod::new(workload));
    }

    fn start(&mut self, id: PodId) {
        let (plan, now) = (self.plan, self.now);
        if let Some(pod) = self.pod_mut(id) {
            pod.start(plan, now);
            let workload = pod.workload;
            self.data_started(id.0, workload);
        }
    }

    fn terminate(&mut self, id: PodId) {
        if let Some(pod) = self.pod_mut(id) {
            pod.terminating = true;
        }
        self.drained(id);
    }

    /// Whatever was in flight is lost.
    fn kill(&mut self, id: PodId) {
        if let Some(pod) = self.pod_mut(id) {
            pod.process = Process::None;
            pod.terminating = false; // a restarted container accepts again
        }
        self.data(DataInput::Ended { pod: id.0 });
        self.lose_calls_at(id);
    }

    fn reachable(&mut self, id: PodId, reachable: bool) {
        if let Some(pod) = self.pod_mut(id) {
            pod.reached = reachable;
        }
    }

    /// A service answers through its own queue; silence until the timeout is a failure.
    fn probe(&mut self, id: PodId, question: Question, probe: &Probe) {
        let Some(Some(pod)) = self.pods.get(id.0 as usize) else { return };
        let answer = |ok| Event::Probed { pod: id.0, question, ok };
        let there_and_back = self.now + self.settings.hop * 2;
        match (&pod.process, &probe.action) {
            (Process::None, _) => self.queue.schedule(there_and_back, answer(false)),
            (Process::Gateway(_), ProbeAction::Http(http)) => {
                let ok = self.gateway_health(&http.path, http.host.as_deref().unwrap_or_default());
                self.queue.schedule(there_and_back, answer(ok));
            }
            (Process::Service(_), ProbeAction::Http(_)) => {
                let target = scenarios::Call {
                    service: platform::ServiceId(u16::MAX),
                    workload: pod.workload,
                    route: model::RouteId(u16::MAX),
                };
                self.queue.schedule(self.now + probe.timeout, answer(false));
                let identity = RequestId::of_probe(id.0, question.number);
                let call = self.new_call(identity, Parent::Probe(question), target, id);
                self.queue.schedule(self.now + self.settings.hop, Event::Reached { call });
            }
            (
                Process::Service(_) | Process::Gateway(_),
                ProbeAction::Tcp(_) | ProbeAction::Grpc(_) | ProbeAction::Exec,
            ) => {
                self.queue.schedule(there_and_back, answer(true));
            }
        }
    }

    fn usage(&mut self) -> Vec<(PodId, Usage)> {
        let now = self.now;
        let usage = |(index, pod): (usize, &Option<Pod>)| Some((PodId(index as u32), pod.as_ref()?.usage(now)?));
        self.pods.iter().enumerate().filter_map(usage).collect()
    }

    fn publish(&mut self, endpoints: Arc<Endpoints>) {
        self.endpoints = endpoints;
    }

    fn note(&mut self, kind: EventKind) {
        self.tell_event(kind);
    }

    fn wake(&mut self, at: Nanos, wake: ControlWake) {
        self.queue.schedule(at, Event::Control(wake));
    }
}
