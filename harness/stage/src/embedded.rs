//! The embedded backend: control, place and edge in this process, load from a child.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clock::Clock;
use cluster::{ClusterConfig, ControlInput, ControlPlane, ControlWake, Endpoints, Host, PodId, Question, Usage};
use driver::{Door, Driver, DriverError, Orders, Report, Summary, Update};
use platform::{Probe, WorkloadId};
use record::{Check, Chronicle, EventKind, Listener, Observation, Observed, Recorder, RecorderPlan, Second, Watch};
use scenarios::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use units::Nanos;

use crate::fabric::Fabric;
use crate::place::Place;
use crate::{AddressLease, StageError, budget};

/// What a live run needs beyond the plan.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// The program whose `drive` subcommand is the load driver: usually this one.
    pub driver: PathBuf,
    /// The control plane's delays.
    pub cluster: ClusterConfig,
    /// Keep every observation, for comparison with the twin.
    pub keep_observations: bool,
    /// How many files this process may have open.
    pub open_files: u64,
}

/// How long the platform may take to become ready.
const READY_WITHIN: Nanos = Nanos::from_secs(180);

/// Stands the platform up, plays the plan and takes everything down again. `interrupt` counts how often somebody
/// asked to stop: once ends the load and keeps what was measured, twice ends at once.
pub async fn play(
    plan: Arc<Plan>,
    watches: Vec<Watch>,
    settings: EmbeddedSettings,
    listener: &mut dyn Listener,
    mut interrupt: watch::Receiver<u32>,
) -> Result<Observed, StageError> {
    let needed = budget::open_files_needed(&plan);
    if needed > settings.open_files {
        return Err(StageError::OpenFiles { needed, limit: settings.open_files });
    }
    let lease = AddressLease::take()?;
    if plan.load.clients > lease.clients() {
        return Err(StageError::TooManyClients { clients: plan.load.clients, most: lease.clients() });
    }
    let clock = Clock::start();
    let orders = Orders {
        plan: plan.load.clone(),
        epoch_ns: clock.epoch(),
        clients: (0..plan.load.clients).map(|index| IpAddr::V4(lease.client(index))).collect(),
        workers: None,
    };
    let driver = Driver::spawn(&settings.driver, &orders).await?;
    let config = ClusterConfig { seed: plan.load.seed, ..settings.cluster };
    let mut control = ControlPlane::new(Arc::clone(&plan.platform), plan.nodes.clone(), config);
    let mut stage = Stage::new(Arc::clone(&plan), lease, clock, listener, settings.keep_observations);
    control.step(stage.clock.now(), ControlInput::Start, &mut stage.host);
    let mut run = Run { control, driver, stage, watches };
    run.until_ready(&mut interrupt).await?;
    run.load(&mut interrupt).await
}

struct Run<'a> {
    control: ControlPlane,
    driver: Driver,
    stage: Stage<'a>,
    watches: Vec<Watch>,
}

struct Stage<'a> {
    clock: Clock,
    host: LiveHost<'a>,
    inputs: UnboundedReceiver<ControlInput>,
    observations: Vec<Observation>,
    keep: bool,
}

impl<'a> Stage<'a> {
    fn new(plan: Arc<Plan>, lease: AddressLease, clock: Clock, listener: &'a mut dyn Listener, keep: bool) -> Self {
        let (feed, inputs) = unbounded_channel();
        let fabric = Arc::new(Fabric::new(plan.load.seed, plan.platform.services.len()));
        let place = Place::new(Arc::clone(&plan), lease, clock.clone(), Arc::clone(&fabric));
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
        Self { clock, host, inputs, observations: Vec::new(), keep }
    }
}

impl Run<'_> {
    /// Feeds the control side until the platform is ready for load.
    async fn until_ready(&mut self, interrupt: &mut watch::Receiver<u32>) -> Result<(), StageError> {
        while !self.control.settled() {
            let patience = self.stage.clock.until(READY_WITHIN);
            tokio::select! {
                input = self.stage.inputs.recv() => self.feed(input)?,
                _ = patience => return Err(self.never_ready()),
                _ = interrupt.changed() => return Err(StageError::Interrupted),
            }
        }
        Ok(())
    }

    fn feed(&mut self, input: Option<ControlInput>) -> Result<(), StageError> {
        let input = input.expect("the host keeps a sender");
        self.control.step(self.stage.clock.now(), input, &mut self.stage.host);
        self.stage.host.failure.take().map_or(Ok(()), Err)
    }

    fn never_ready(&self) -> StageError {
        let events = self.stage.host.chronicle.events().iter().rev();
        let pending = events.into_iter().find_map(|event| match &event.kind {
            EventKind::PodUnschedulable { pod, reason } => Some(format!("pod {pod}: {reason}")),
            _ => None,
        });
        let why = pending.unwrap_or_else(|| "its pods started, but did not all pass their readiness probes".into());
        StageError::NeverReady { within: READY_WITHIN, why }
    }

    /// Plays the load to its end, or to the end somebody gives it.
    async fn load(mut self, interrupt: &mut watch::Receiver<u32>) -> Result<Observed, StageError> {
        let clock = self.stage.clock.clone();
        let load = self.stage.host.plan.load.clone();
        // The same instant as in virtual time: the first whole second after the platform has been ready for one.
        let load_start = clock.now().ceil_to_second() + Nanos::from_secs(1);
        let load_end = load_start + load.end();
        self.stage.host.note(EventKind::PlatformReady);
        self.driver.update(&Update::Doors(self.stage.host.doors())).await?;
        self.stage.host.doors_changed = false;
        self.driver.update(&Update::Start { load_start }).await?;
        let mut recorder = Recorder::new(RecorderPlan {
            steps: load.step_plans(),
            phases: load.phase_spans(load_start),
            watches: std::mem::take(&mut self.watches),
        });
        let mut ending = Ending::default();
        let mut second = clock.now().ceil_to_second();
        let mut intervals = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = interrupt.changed() => {
                    if *interrupt.borrow() > 1 {
                        ending.interrupted = Some(clock.now());
                        break;
                    }
                    ending.interrupted.get_or_insert(clock.now());
                    if let Err(error) = self.driver.update(&Update::Stop).await {
                        ending.driver = Some(error);
                        break;
                    }
                }
                input = self.stage.inputs.recv() => {
                    self.feed(input)?;
                    if std::mem::take(&mut self.stage.host.doors_changed)
                        && let Err(error) = self.driver.update(&Update::Doors(self.stage.host.doors())).await
                    {
                        ending.driver = Some(error);
                        break;
                    }
                }
                now = clock.until(second) => {
                    self.stage.host.phases(&load, load_start, second);
                    recorder.drain_intervals(now, &mut intervals);
                    let (offered, failed) = recorder.totals();
                    self.stage.host.listener.second(&Second { now: second, offered, failed, intervals: &intervals });
                    intervals.clear();
                    second += Nanos::from_secs(1);
                }
                report = self.driver.next() => match report {
                    Ok(Some(Report::Observation(observation))) => {
                        recorder.observe(&observation);
                        if self.stage.keep {
                            self.stage.observations.push(observation);
                        }
                    }
                    Ok(Some(Report::Summary(summary))) => {
                        ending.summary = Some(summary);
                        break;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        ending.driver = Some(error);
                        break;
                    }
                },
            }
        }
        recorder.drain_intervals(clock.now() + Nanos::from_secs(1), &mut intervals);
        let (offered, failed) = recorder.totals();
        let last = Second { now: clock.now(), offered, failed, intervals: &intervals };
        self.stage.host.listener.second(&last);
        Ok(Observed {
            chronicle: self.stage.host.chronicle,
            recording: recorder.finish(),
            load_start,
            load_end: ending.interrupted.map_or(load_end, |at| at.min(load_end)),
            observations: self.stage.observations,
            checks: ending.checks(),
            interrupted: ending.interrupted.is_some(),
        })
    }
}

/// How the load came to its end.
#[derive(Default)]
struct Ending {
    summary: Option<Summary>,
    driver: Option<DriverError>,
    interrupted: Option<Nanos>,
}

impl Ending {
    fn checks(&self) -> Vec<Check> {
        let ended = match (&self.summary, &self.driver) {
            (_, Some(error)) => error.to_string(),
            (Some(_), None) => "it said so".to_owned(),
            (None, None) => "it was cut off".to_owned(),
        };
        let mut checks = vec![Check {
            name: "the load driver ended by itself".into(),
            ok: self.summary.is_some(),
            measured: ended,
            limit: "its own word".into(),
        }];
        if let Some(summary) = &self.summary {
            checks.push(Check {
                name: "a worker was free for every request".into(),
                ok: summary.busy_max < summary.workers,
                measured: format!("{} busy at most", summary.busy_max),
                limit: format!("{} workers", summary.workers),
            });
        }
        checks
    }
}

/// What the control side needs done, done here.
struct LiveHost<'a> {
    plan: Arc<Plan>,
    clock: Clock,
    fabric: Arc<Fabric>,
    place: Place,
    feed: UnboundedSender<ControlInput>,
    chronicle: Chronicle,
    listener: &'a mut dyn Listener,
    failure: Option<StageError>,
    doors_changed: bool,
}

impl LiveHost<'_> {
    /// The gateway pods that take connections now.
    fn doors(&self) -> Vec<Door> {
        let Some(gateway) = &self.plan.platform.gateway else { return Vec::new() };
        let door = |(pod, addr): (PodId, _)| Door { pod: pod.0 as u16 + 1, addr };
        self.fabric.behind(gateway.service).into_iter().map(door).collect()
    }

    fn phases(&mut self, load: &scenarios::LoadPlan, load_start: Nanos, second: Nanos) {
        if let Some(phase) = load.phases.iter().find(|phase| load_start + phase.start == second) {
            self.note(EventKind::PhaseStarted { phase: phase.name.clone() });
        }
        if second == (load_start + load.end()).ceil_to_second() {
            self.note(EventKind::LoadEnded);
        }
    }

    /// Says `input` later, unless the run is over by then.
    fn say(&self, input: ControlInput) -> impl FnOnce() + Send + use<> {
        let feed = self.feed.clone();
        move || drop(feed.send(input))
    }
}

impl Host for LiveHost<'_> {
    fn bound(&mut self, pod: PodId, workload: WorkloadId, name: &str) {
        self.place.bound(pod, workload, name);
    }

    fn start(&mut self, pod: PodId) {
        match self.place.start(pod) {
            Ok(None) => {}
            Ok(Some(substituted)) => self.note(substituted),
            Err(error) => self.failure = Some(error),
        }
    }

    fn terminate(&mut self, pod: PodId) {
        let (ended, say) = (self.place.terminate(pod), self.say(ControlInput::Drained(pod)));
        tokio::spawn(async move {
            ended.await;
            say();
        });
    }

    fn kill(&mut self, pod: PodId) {
        self.place.kill(pod);
    }

    fn probe(&mut self, pod: PodId, question: Question, probe: &Probe) {
        let (answer, feed) = (self.place.probe(pod, question, probe), self.feed.clone());
        tokio::spawn(async move {
            let ok = answer.await;
            drop(feed.send(ControlInput::Probed { pod, question, ok }));
        });
    }

    fn usage(&mut self) -> Vec<(PodId, Usage)> {
        self.place.usage()
    }

    fn publish(&mut self, endpoints: Arc<Endpoints>) {
        self.fabric.publish(endpoints);
        self.doors_changed = true;
    }

    fn note(&mut self, kind: EventKind) {
        let event = self.chronicle.note(self.clock.now(), kind);
        self.listener.event(event);
    }

    fn wake(&mut self, at: Nanos, wake: ControlWake) {
        let say = self.say(ControlInput::Wake(wake));
        self.clock.call_at(at, move |_| say());
    }
}
