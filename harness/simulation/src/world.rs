//! One simulated run: its state, its event loop and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use alerts::Scraper;
use cluster::{
    ClusterConfig, ControlInput, ControlPlane, ControlWake, Endpoints, Forecast, Host, PodId, Question, service_proxy,
};
use model::data::{DataEffect, DataInput, DataLayer};
use record::{Chronicle, EventKind, Listener, Observed, Recorder, RecorderPlan, Sample, Second, Watch};
use scenarios::{Arrival, Arrivals, Ending, Network, Plan, Referee, Watchdog};
use units::{Millicores, Nanos, Out, Wake};

use crate::audit::Audit;
use crate::call::{Call, CallId};
use crate::client::{Connections, Session};
use crate::ingress::Ingress;
use crate::place::Pod;
use crate::queue::EventQueue;
use crate::reads::Reads;
use crate::slab::Slab;
use crate::timeouts::Timeouts;

/// What virtual time needs beyond the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The control plane's delays.
    pub cluster: ClusterConfig,
    /// One way between two parties, connection set-up included. On loopback it was seen to be about this long; on a
    /// real pod network it is of the same order.
    pub hop: Nanos,
    /// Keep every observation, for comparison with a live run.
    pub keep_observations: bool,
    /// Keep what a check of the simulator needs: [`Simulated::audit`].
    pub audit: bool,
    /// Play databases and caches with their connections, queues and losses. Without it their time is a plain wait, as
    /// mock pods of a live run have it.
    pub data_layer: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: ClusterConfig::default(),
            hop: Nanos::from_micros(150),
            keep_observations: false,
            audit: false,
            data_layer: true,
        }
    }
}

/// The forecast that stands beside autoscalers where one is asked for: a line through the last three minutes, followed for
/// one. Assumed: a new pod serves within a minute.
const FORECAST: Forecast = Forecast { history: Nanos::from_secs(180), lead: Nanos::from_secs(60) };

impl Settings {
    /// The same with a forecast beside the autoscalers.
    #[must_use]
    pub fn predictive(mut self) -> Self {
        self.cluster.forecast = Some(FORECAST);
        self
    }
}

/// What a simulated run gave.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// As from any stage.
    pub observed: Observed,
    /// Events of the queue: the measure of the work done.
    pub events: u64,
    /// Facts from within, if [`Settings::audit`] asks for them.
    pub audit: Option<Audit>,
}

/// Why a simulated run has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The platform was never ready for load.
    #[error("the platform was not ready within {within} of its start: {why}")]
    NeverReady {
        /// How long it was given.
        within: Nanos,
        /// What is known of the reason.
        why: String,
    },
}

/// How long the platform may take to become ready, beside what its probes wait for.
const READY_WITHIN: Nanos = Nanos::from_secs(600);

/// What can be due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Control(ControlWake),
    Probed {
        pod: u32,
        question: Question,
        ok: bool,
    },
    Drained {
        pod: u32,
    },
    Station {
        pod: u32,
        wake: Wake,
    },
    Arrival,
    /// A session's request is due.
    Due {
        session: u32,
    },
    /// A limiter lets a session's request go on.
    Released {
        session: u32,
        generation: u32,
    },
    /// A session's request reaches its gateway later than usual.
    Entered {
        session: u32,
        generation: u32,
    },
    /// The gateway gives up on a peer that does not answer.
    GivenUp {
        session: u32,
        generation: u32,
        connecting: bool,
    },
    /// A call reaches its pod.
    Reached {
        call: CallId,
    },
    /// The answer to a call's own call comes back to it, or none does.
    Returned {
        call: CallId,
    },
    Data {
        wake: Wake,
    },
    /// A container ended by itself: it took more memory than it may have.
    OutOfMemory {
        pod: u32,
    },
    Fault {
        index: u16,
        over: bool,
    },
    ClientTimeouts,
    /// Of an nginx and its peers.
    ReadTimeouts {
        row: u16,
    },
    Second,
}

pub(crate) struct World<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) settings: &'a Settings,
    pub(crate) listener: &'a mut dyn Listener,
    pub(crate) now: Nanos,
    pub(crate) queue: EventQueue<Event>,
    pub(crate) control: Option<ControlPlane>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) affinities: service_proxy::Sessions,
    pub(crate) pods: Vec<Option<Pod>>,
    pub(crate) sessions: Slab<Session>,
    pub(crate) connections: Connections,
    pub(crate) timeouts: Timeouts<(u32, u32)>,
    pub(crate) reads: Reads,
    /// The controller in front, if the plan goes through one.
    pub(crate) ingress: Option<Ingress>,
    pub(crate) requests: u32,
    pub(crate) calls: Slab<Option<Call>>,
    /// How many calls there have been.
    pub(crate) lives: u32,
    pub(crate) station_effects: Vec<model::StationEffect>,
    /// Databases and caches; `None`: their time is part of what requests wait.
    pub(crate) data: Option<DataLayer>,
    pub(crate) data_effects: Vec<DataEffect>,
    pub(crate) network: Network,
    pub(crate) referee: Option<Referee>,
    watchdog: Option<Watchdog>,
    /// Requests that ended in this second, by ending.
    pub(crate) ended: [u64; 3],
    aborted: Option<String>,
    pub(crate) chronicle: Chronicle,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) observations: Sample,
    /// The platform's Prometheus, if it is played.
    pub(crate) scraper: Option<&'a mut Scraper>,
    /// CPU that something else takes on a node.
    pub(crate) noise: BTreeMap<usize, Millicores>,
    pub(crate) audit: Option<Audit>,
    /// Requests that clients have under way.
    pub(crate) under_way: u32,
    watches: Vec<Watch>,
    arrivals: Arrivals<'a>,
    next_arrival: Option<Arrival>,
    pub(crate) load_start: Nanos,
    intervals: Vec<u8>,
}

/// Plays `plan` in virtual time, counting what `watches` ask for.
pub fn simulate(
    plan: &Plan,
    watches: Vec<Watch>,
    settings: &Settings,
    listener: &mut dyn Listener,
) -> Result<Simulated, SimulationError> {
    simulate_scraped(plan, watches, settings, listener, None)
}

/// The same with the platform's Prometheus, which scrapes from the stand-up on.
pub fn simulate_scraped(
    plan: &Plan,
    watches: Vec<Watch>,
    settings: &Settings,
    listener: &mut dyn Listener,
    scraper: Option<&mut Scraper>,
) -> Result<Simulated, SimulationError> {
    let config = ClusterConfig { seed: plan.load.seed, ..settings.cluster.clone() };
    let mut world = World {
        plan,
        settings,
        listener,
        now: Nanos::ZERO,
        queue: EventQueue::new(),
        control: Some(ControlPlane::new(Arc::clone(&plan.platform), plan.nodes.clone(), config)),
        endpoints: Arc::new(Endpoints::empty(plan.platform.services.len())),
        affinities: service_proxy::Sessions::default(),
        pods: Vec::new(),
        sessions: Slab::new(),
        connections: Connections::new(plan.load.clients),
        timeouts: Timeouts::new(plan.load.timeout),
        reads: Reads::new(plan),
        ingress: plan.ingress.as_deref().map(Ingress::new),
        requests: 0,
        calls: Slab::new(),
        lives: 0,
        station_effects: Vec::new(),
        data: settings
            .data_layer
            .then(|| DataLayer::new(plan.data_config(), plan.load.seed.child("data"), Nanos::ZERO)),
        data_effects: Vec::new(),
        network: Network::new(&plan.faults),
        referee: None,
        watchdog: plan.abort.map(Watchdog::new),
        ended: [0; 3],
        aborted: None,
        chronicle: Chronicle::default(),
        recorder: None,
        observations: Sample::default(),
        scraper,
        noise: BTreeMap::new(),
        audit: settings.audit.then(Audit::default),
        under_way: 0,
        watches,
        arrivals: Arrivals::new(&plan.load),
        next_arrival: None,
        load_start: Nanos::MAX,
        intervals: Vec::new(),
    };
    world.play()?;
    Ok(world.finish())
}

impl World<'_> {
    fn play(&mut self) -> Result<(), SimulationError> {
        self.control(ControlInput::Start);
        self.queue.schedule(Nanos::from_secs(1), Event::Second);
        let within = self.ready_within();
        while self.recorder.is_none() {
            self.step().filter(|()| self.now <= within).ok_or_else(|| self.never_ready())?;
            if self.control.as_ref().is_some_and(ControlPlane::settled) {
                self.begin_load();
            }
        }
        let end = (self.load_start + self.plan.load.end()).ceil_to_second();
        while self.now < end || self.sessions.len() > 0 {
            if self.aborted.is_some() || self.step().is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Load begins at the first whole second after the platform has been ready for one: the same instant live and
    /// here, unless it was ready on the very second.
    fn begin_load(&mut self) {
        self.load_start = self.now.ceil_to_second() + Nanos::from_secs(1);
        if let Some(scraper) = &mut self.scraper {
            scraper.load_begins(self.load_start);
        }
        let mut referee = Referee::new(self.plan, self.load_start);
        for event in self.chronicle.events() {
            referee.event(Nanos::from_micros(event.at_us), &event.kind); // what stands when load begins
        }
        self.referee = Some(referee);
        self.plan_faults();
        self.note(EventKind::PlatformReady);
        let plan = RecorderPlan {
            steps: self.plan.load.step_plans(),
            phases: self.plan.load.phase_spans(self.load_start),
            watches: std::mem::take(&mut self.watches),
        };
        let recorder = Recorder::new(plan);
        self.recorder = Some(if self.listener.hears() { recorder } else { recorder.without_intervals() });
        self.next_arrival = self.arrivals.next();
        self.schedule_arrival();
    }

    fn schedule_arrival(&mut self) {
        if let Some(arrival) = &self.next_arrival {
            self.queue.schedule(self.load_start + arrival.due, Event::Arrival);
        }
    }

    /// The next event. `None`: there is none.
    fn step(&mut self) -> Option<()> {
        let (now, event) = self.queue.pop()?;
        self.now = now;
        match event {
            Event::Control(wake) => self.control(ControlInput::Wake(wake)),
            Event::Probed { pod, question, ok } => {
                self.control(ControlInput::Probed { pod: PodId(pod), question, ok });
            }
            Event::Drained { pod } => self.control(ControlInput::Drained(PodId(pod))),
            Event::Station { pod, wake } => self.station(pod, model::StationInput::Wake(wake)),
            Event::Arrival => {
                if let Some(arrival) = self.next_arrival.take() {
                    self.arrive(arrival);
                    self.next_arrival = self.arrivals.next();
                    self.schedule_arrival();
                }
            }
            Event::Due { session } => self.send(session),
            Event::Released { session, generation } => self.released(session, generation),
            Event::Entered { session, generation } => self.entered(session, generation),
            Event::GivenUp { session, generation, connecting } => self.given_up(session, generation, connecting),
            Event::Reached { call } => self.reached(call),
            Event::Data { wake } => self.data(DataInput::Wake(wake)),
            Event::OutOfMemory { pod } => {
                self.kill(PodId(pod));
                self.control(ControlInput::Crashed { pod: PodId(pod), reason: "OOMKilled".into() });
            }
            Event::Fault { index, over } => self.fault(index, over),
            Event::Returned { call } => self.returned(call),
            Event::ClientTimeouts => self.expire(),
            Event::ReadTimeouts { row } => self.read_timeouts(row),
            Event::Second => self.second(),
        }
        Some(())
    }

    fn second(&mut self) {
        self.queue.schedule(self.now + Nanos::from_secs(1), Event::Second);
        if self.load_start < Nanos::MAX {
            self.plan.load.milestones(self.load_start, self.now).into_iter().for_each(|kind| self.note(kind));
            self.watch();
            if let Some(audit) = &mut self.audit {
                audit.under_way.push((self.now, self.under_way));
            }
        }
        if let Some(scraper) = self.scraper.take() {
            scraper.second(self.now, self);
            self.scraper = Some(scraper);
        }
        self.tell();
    }

    /// Gives the run up if its abort rule says so.
    fn watch(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        let Some((watchdog, rule)) = self.watchdog.as_mut().zip(self.plan.abort) else { return };
        let of = |ending| match ending {
            Ending::Answered => ended[0],
            Ending::Rejected => ended[1],
            Ending::Failed => ended[2],
        };
        if watchdog.second(of(rule.ended), ended.iter().sum()) {
            let reason = rule.to_string();
            self.note(EventKind::LoadAborted { reason: reason.clone() });
            self.aborted = Some(reason);
        }
    }

    /// Tells the listener how far the run is.
    fn tell(&mut self) {
        if let Some(recorder) = self.recorder.as_mut().filter(|_| self.listener.hears()) {
            recorder.drain_intervals(self.now, &mut self.intervals);
            let (offered, failed) = recorder.totals();
            self.listener.second(&Second {
                now: self.now,
                offered,
                failed,
                intervals: &self.intervals,
                frames: &[],
                recorder,
                driver: None,
            });
            self.intervals.clear();
        }
    }

    fn ready_within(&self) -> Nanos {
        READY_WITHIN + self.plan.slowest_start()
    }

    fn never_ready(&self) -> SimulationError {
        let why = format!("{}{}", self.chronicle.unready(), self.plan.starved());
        SimulationError::NeverReady { within: self.ready_within(), why }
    }

    fn finish(mut self) -> Simulated {
        self.tell();
        let recorder = self.recorder.take().expect("load has begun, or there would be an error");
        let observed = Observed {
            chronicle: self.chronicle,
            recording: recorder.finish(),
            load_start: self.load_start,
            load_end: if self.aborted.is_some() { self.now } else { self.load_start + self.plan.load.end() },
            observations: self.observations,
            expectations: {
                let mut expectations = self.plan.contract_by_rules();
                expectations.extend(self.referee.map(Referee::finish).unwrap_or_default());
                expectations
            },
            aborted: self.aborted,
            checks: Vec::new(),
            interrupted: false,
            limited_by: None,
        };
        Simulated { observed, events: self.queue.scheduled(), audit: self.audit }
    }
}

/// Gives a machine's effects a list and its wakes a place in the queue.
pub(crate) struct Sink<'a, E, F> {
    pub(crate) queue: &'a mut EventQueue<Event>,
    pub(crate) effects: &'a mut Vec<E>,
    pub(crate) event: F,
}

impl<E, F: Fn(Wake) -> Event> Out<E> for Sink<'_, E, F> {
    fn emit(&mut self, effect: E) {
        self.effects.push(effect);
    }
    fn wake(&mut self, at: Nanos, wake: Wake) {
        self.queue.schedule(at, (self.event)(wake));
    }
}
