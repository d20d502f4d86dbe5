//! The embedded backend: control, place and edge in this process, load from a child.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use alerts::Scraper;
use cluster::{ClusterConfig, Host};
use driver::{Door, Drivers, Pulse, Report, Sender, Update};
use record::{
    Cause, DriverState, EventKind, Expected, Listener, Observation, Observed, Recorder, RecorderPlan, Sample, Second,
    Watch,
};
use scenarios::{Abort, Part, Plan, Referee, Watchdog};
use tokio::sync::watch;
use units::Nanos;

use crate::ending::Ending;
use crate::heart::{Heart, STALL};
use crate::standing::{ControlMaker, Standing, heard, rules};
use crate::{ContainerRuntime, StageError, budget};

/// What a live run needs beyond the plan.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// The program whose `drive` subcommand is the load driver: usually this one.
    pub driver: PathBuf,
    /// How many of them play, each with clients of its own.
    pub drivers: u32,
    /// The control plane's delays.
    pub cluster: ClusterConfig,
    /// Keep every observation, for comparison with the twin.
    pub keep_observations: bool,
    /// How many files this process may have open.
    pub open_files: u64,
    /// Who puts requests on the wire.
    pub sender: Sender,
    /// How late they may be sent, at the 99th percentile, before somebody asks what kept them.
    pub lag_allowed: Nanos,
    /// Where pods live, if not in this process. The gateway is a real one there.
    pub runtime: Option<Arc<dyn ContainerRuntime>>,
}

/// Whether this process may do what the plan asks of it, before anything starts.
pub fn check(plan: &Plan, settings: &EmbeddedSettings) -> Result<(), StageError> {
    let needed = budget::open_files_needed(plan);
    if needed > settings.open_files {
        return Err(StageError::OpenFiles { needed, limit: settings.open_files });
    }
    Ok(())
}

/// Stands the platform up, plays the plan and takes everything down again. `interrupt` counts how often somebody
/// asked to stop: once ends the load and keeps what was measured, twice ends at once.
pub async fn play(
    plan: Arc<Plan>,
    watches: Vec<Watch>,
    settings: EmbeddedSettings,
    listener: &mut dyn Listener,
    interrupt: watch::Receiver<u32>,
) -> Result<Observed, StageError> {
    play_scraped(plan, watches, settings, listener, interrupt, None).await
}

/// The same with the platform's Prometheus, which scrapes from the start of the load on.
pub async fn play_scraped(
    plan: Arc<Plan>,
    watches: Vec<Watch>,
    settings: EmbeddedSettings,
    listener: &mut dyn Listener,
    interrupt: watch::Receiver<u32>,
    scraper: Option<&mut Scraper>,
) -> Result<Observed, StageError> {
    let control = rules(&settings.cluster);
    play_under(plan, watches, settings, control, listener, interrupt, scraper).await
}

/// The same under a control side of one's own.
pub async fn play_under(
    plan: Arc<Plan>,
    watches: Vec<Watch>,
    settings: EmbeddedSettings,
    control: ControlMaker,
    listener: &mut dyn Listener,
    mut interrupt: watch::Receiver<u32>,
    scraper: Option<&mut Scraper>,
) -> Result<Observed, StageError> {
    check(&plan, &settings)?;
    let real_gateway = settings.runtime.is_some();
    let far = settings.runtime.as_ref().and_then(|runtime| runtime.drivers());
    let mut standing = Standing::begin_in(Arc::clone(&plan), control, settings.runtime, listener)?;
    let mut orders = standing.orders(settings.sender, None);
    // The driver starts while the pods do. Whatever ends this early kills it, as it is dropped.
    let driver = async {
        let driver = match &far {
            None => standing.during(Drivers::spawn(&settings.driver, &orders, settings.drivers)).await??,
            Some(far) => {
                // Each sends from the one address that it has there.
                orders.clients.fill(Ipv4Addr::UNSPECIFIED.into());
                let lines = standing.during(far.open()).await?.map_err(StageError::NoDrivers)?;
                let clock = standing.clock.clone();
                standing.during(Drivers::over(lines, &orders, &clock)).await??
            }
        };
        standing.ready().await?;
        let contract = standing.contract().await?;
        Ok((driver, contract))
    };
    let (driver, contract) = tokio::select! {
        driver = driver => driver,
        _ = asked(&mut interrupt) => Err(StageError::Interrupted),
    }?;
    let observations = settings.keep_observations.then(Sample::default);
    let workers = |part| driver::workers_for(&plan.load, part) as u32;
    let drivers = far.as_ref().map_or(settings.drivers, |far| far.count());
    let workers = Part::all(drivers).map(workers).sum();
    let state = DriverState { workers, ..DriverState::default() };
    let lag_allowed = settings.lag_allowed;
    let ending = Ending::default();
    let run = Run {
        plan,
        driver,
        state,
        lag_allowed,
        contract,
        standing,
        watches,
        observations,
        scraper,
        real_gateway,
        door: far.map(|far| far.door()),
        ending,
    };
    run.load(&mut interrupt).await
}

/// How often somebody has asked to stop, when that changes; never, if nobody can ask any more.
async fn asked(interrupt: &mut watch::Receiver<u32>) -> u32 {
    if interrupt.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    *interrupt.borrow_and_update()
}

/// The scenario's abort rule, with what ended in this second.
struct Abortion {
    rule: Abort,
    watchdog: Watchdog,
    wanted: u64,
    all: u64,
}

impl Abortion {
    const fn new(rule: Abort) -> Self {
        Self { rule, watchdog: Watchdog::new(rule), wanted: 0, all: 0 }
    }

    fn ended(&mut self, cause: Cause) {
        self.all += 1;
        self.wanted += u64::from(scenarios::ending(cause) == self.rule.ended);
    }

    /// A second is over. The reason to give up, if there is one.
    fn second(&mut self) -> Option<String> {
        let (wanted, all) = (std::mem::take(&mut self.wanted), std::mem::take(&mut self.all));
        self.watchdog.second(wanted, all).then(|| self.rule.to_string())
    }
}

/// The platform under load.
struct Run<'a> {
    plan: Arc<Plan>,
    driver: Drivers,
    state: DriverState,
    lag_allowed: Nanos,
    /// What became of the clauses that the gateway is held to.
    contract: Vec<Expected>,
    standing: Standing<'a>,
    watches: Vec<Watch>,
    observations: Option<Sample>,
    scraper: Option<&'a mut Scraper>,
    /// It does not say why it refuses.
    real_gateway: bool,
    /// Where load drivers find every gateway that do not stand beside this process.
    door: Option<SocketAddr>,
    ending: Ending,
}

impl Run<'_> {
    /// Plays the load to its end, or to the end somebody gives it.
    async fn load(mut self, interrupt: &mut watch::Receiver<u32>) -> Result<Observed, StageError> {
        let clock = self.standing.clock.clone();
        let load = &Arc::clone(&self.plan).load;
        // The same instant as in virtual time: the first whole second after the platform has been ready for one.
        let load_start = clock.now().ceil_to_second() + Nanos::from_secs(1);
        let load_end = load_start + load.end();
        self.standing.host.note(EventKind::PlatformReady);
        self.standing.host.fabric.load_starts(load_start);
        if let Some(scraper) = &mut self.scraper {
            scraper.load_begins(load_start);
        }
        let mut faults = VecDeque::from(self.plan.fault_edges());
        let doors = self.doors();
        self.driver.update(&doors).await?;
        self.driver.update(&Update::Start { load_start }).await?;
        let watches = std::mem::take(&mut self.watches);
        let mut recorder =
            Recorder::new(RecorderPlan { steps: load.step_plans(), phases: load.phase_spans(load_start), watches });
        let heart = Heart::start(&clock);
        let mut referee = Referee::new(&self.plan, load_start);
        let mut watchdog = self.plan.abort.map(Abortion::new);
        let mut second = clock.now().ceil_to_second();
        let (mut intervals, mut frames) = (Vec::new(), Vec::new());
        // A run lasts as long as its plan, even if the last request is answered earlier: a phase without load is
        // there to see what the platform does after it.
        while !(self.ending.summary.is_some() && (self.ending.is_early() || second > load_end)) {
            let driving = self.ending.summary.is_none();
            let fault_at = faults.front().map_or(Nanos::MAX, |edge| load_start + edge.at);
            tokio::select! {
                biased;
                times = asked(interrupt) => {
                    self.ending.interrupted.get_or_insert(clock.now());
                    if times > 1 {
                        break;
                    }
                    if driving && let Err(error) = self.driver.update(&Update::Stop).await {
                        self.ending.driver = Some(error);
                        break;
                    }
                }
                now = clock.until(fault_at), if fault_at < Nanos::MAX => {
                    let mut due = std::iter::from_fn(|| faults.pop_front_if(|edge| load_start + edge.at <= now));
                    if let Err(error) = due.try_for_each(|edge| self.standing.fault(edge)) {
                        self.ending.stage = Some(error);
                        break;
                    }
                }
                news = self.standing.inputs.recv() => {
                    if let Err(error) = self.standing.hear(heard(news)) {
                        self.ending.stage = Some(error);
                        break;
                    }
                }
                now = clock.until(second) => {
                    load.milestones(load_start, second).into_iter().for_each(|kind| self.standing.host.note(kind));
                    self.stood_still("the platform", &heart.stalls());
                    if let Some(scraper) = &mut self.scraper {
                        scraper.second(second, &self.standing);
                    }
                    recorder.drain_intervals(now, &mut intervals);
                    self.tell(second, &recorder, &intervals, &frames);
                    intervals.clear();
                    frames.clear();
                    if let Some(reason) = watchdog.as_mut().and_then(Abortion::second)
                        && self.ending.aborted.is_none()
                    {
                        self.standing.host.note(EventKind::LoadAborted { reason: reason.clone() });
                        self.ending.aborted = Some(reason);
                        if driving && let Err(error) = self.driver.update(&Update::Stop).await {
                            self.ending.driver = Some(error);
                            break;
                        }
                    }
                    if driving && let Err(error) = self.driver.ask_clocks().await {
                        self.ending.driver = Some(error);
                        break;
                    }
                    second += Nanos::from_secs(1);
                }
                report = self.driver.next(), if driving => match report {
                    Ok(Some(Report::Observation(mut observation))) => {
                        if self.real_gateway {
                            observation.pod = self.standing.host.place.number(observation.pod);
                            observation.cause = refused_by(&self.plan, &observation);
                        }
                        recorder.observe(&observation);
                        frames.extend_from_slice(&observation.encode());
                        referee.observe(&observation);
                        if let Some(scraper) = &mut self.scraper {
                            scraper.answered(&observation);
                        }
                        if let Some(watchdog) = &mut watchdog {
                            watchdog.ended(observation.cause);
                        }
                        if let Some(all) = &mut self.observations {
                            all.push(observation);
                        }
                    }
                    Ok(Some(Report::Pulse(pulse))) => self.pulse(pulse),
                    Ok(Some(Report::Summary(summary))) => self.ending.summary = Some(summary),
                    Ok(None) => break,
                    Err(error) => {
                        self.ending.driver = Some(error);
                        break;
                    }
                },
            }
            if self.ending.summary.is_none() && self.standing.host.doors_changed {
                let doors = self.doors();
                if let Err(error) = self.driver.update(&doors).await {
                    self.ending.driver = Some(error);
                    break;
                }
            }
        }
        let now = clock.now();
        recorder.drain_intervals(now + Nanos::from_secs(1), &mut intervals);
        self.tell(now, &recorder, &intervals, &frames);
        for event in self.standing.host.chronicle.events() {
            referee.event(Nanos::from_micros(event.at_us), &event.kind);
        }
        let ended = self.ending.interrupted.unwrap_or(now).clamp(load_start, load_end);
        let recording = recorder.finish();
        self.ending.judge(&recording, self.lag_allowed, ended - load_start);
        self.ending.clocks = self.driver.clocks();
        Ok(Observed {
            expectations: self.contract.into_iter().chain(referee.finish()).collect(),
            aborted: self.ending.aborted.clone(),
            chronicle: self.standing.host.chronicle,
            recording,
            load_start,
            load_end: ended,
            observations: self.observations.unwrap_or_default(),
            checks: self.ending.checks(),
            interrupted: self.ending.interrupted.is_some(),
            limited_by: self.ending.limited_by,
        })
    }

    /// Tells the listener how far the run is.
    fn tell(&mut self, now: Nanos, recorder: &Recorder, intervals: &[u8], frames: &[u8]) {
        let (offered, failed) = recorder.totals();
        let driver = Some(self.state);
        self.standing.host.listener.second(&Second { now, offered, failed, intervals, frames, recorder, driver });
    }

    /// The driver tells how it is.
    fn pulse(&mut self, pulse: Pulse) {
        let late = Nanos::from_micros(pulse.late_us.into());
        if late > STALL {
            self.stood_still("the load driver", &[late]);
        }
        self.state = DriverState {
            due: pulse.due,
            waiting: pulse.waiting,
            busy: pulse.busy,
            cpu_us: pulse.cpu_us,
            late_max_us: self.state.late_max_us.max(pulse.late_us.into()),
            ..self.state
        };
    }

    /// One of the processes did not run for so long, each time.
    fn stood_still(&mut self, who: &str, stalls: &[Nanos]) {
        for stall in stalls {
            self.ending.stalls.push(*stall);
            let kind = EventKind::Stalled { who: who.to_owned(), stalled_us: stall.as_micros() };
            self.standing.host.note(kind);
        }
    }

    /// The gateway pods as the driver is told of them.
    fn doors(&mut self) -> Update {
        self.standing.host.doors_changed = false;
        let mut doors = self.standing.doors();
        if let Some(addr) = self.door {
            // Behind it kube-proxy chooses, so nobody knows which one it was.
            doors.truncate(1);
            doors.iter_mut().for_each(|door| *door = Door { pod: 0, addr });
        }
        Update::Doors(doors)
    }
}

/// Why a request failed that no pod of the rehearsal answered, where a real nginx is in front, which does not say so:
/// its own answers are those without a pod.
fn refused_by(plan: &Plan, observation: &Observation) -> Cause {
    if observation.cause != Cause::ServerError && observation.cause != Cause::ClientError || observation.pod != 0 {
        return observation.cause;
    }
    let config = plan.platform.gateway.as_ref().map(|gateway| &gateway.config);
    let locations = config.iter().flat_map(|config| &config.servers).flat_map(|server| &server.locations);
    let refuses = |location: &platform::Location, status| {
        !location.limits.is_empty() && location.limit_status == status
            || !location.conn_limits.is_empty() && location.conn_status == status
    };
    let mut limited = locations.map(|location| refuses(location, observation.status));
    match observation.status {
        _ if limited.any(|limited| limited) => Cause::Limited,
        502 | 504 => Cause::Gateway,
        _ => observation.cause,
    }
}
