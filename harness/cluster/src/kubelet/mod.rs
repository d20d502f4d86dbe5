//! The kubelet as far as one pod sees it: start, probes, restarts, graceful end.
//!
//! Follows `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (`computePodActions`: init containers in order, a sidecar
//! has started before the next one begins) and `kuberuntime_container.go` (`killContainer`: preStop inside the grace
//! period, then SIGTERM with at least 2 s, then SIGKILL; sidecars last, in reverse order),
//! `pkg/kubelet/prober` (probes; see the worker's module) and `client-go/util/flowcontrol/backoff.go` (restarts: at
//! once, then after 10 s, doubling up to 300 s, forgotten after 600 s without one; by container).
//!
//! Simplified: only the serving container, the first main one, is a process where pods live. The others are played
//! here: their probes pass while they run, init containers take [`ClusterConfig::init_container`], all of them end at
//! SIGTERM. The runtime's events arrive without delay. What ends is restarted (`restartPolicy: Always`): a Job's pod
//! is ended from outside.

mod container;
mod ending;
pub(crate) mod images;
mod probe;

use platform::{Container, Probe, Workload};
use units::{Machine, Nanos, Out, Wake};

use container::{BackOff, Role, State, Unit};
pub use probe::ProbeKind;
use probe::{Held, Next};

use crate::{ClusterConfig, Flaw, PodId, PodStatus};

/// Wakes are numbered by container: its own timer, then its probes'.
const SLOTS: u32 = 4;

/// What may happen to a pod on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletInput {
    /// The pod was bound: start it.
    Start,
    /// The pod was deleted: end it within its grace period.
    Stop,
    /// A timer has fired.
    Wake(Wake),
    /// The answer to [`KubeletEffect::Pull`], at the same instant.
    Pulled {
        /// Which container's image.
        container: u32,
        /// When it will be there.
        ready: Nanos,
    },
    /// The answer to a probe. The rim enforces the probe's timeout and answers `false` for it.
    Probed {
        /// Which probe was asked.
        probe: ProbeKind,
        /// Its number, as in [`KubeletEffect::Probe`].
        number: u32,
        /// Whether it passed.
        ok: bool,
    },
    /// The serving process ended by itself after SIGTERM.
    Drained,
    /// The serving process ended without being asked to.
    Crashed {
        /// Why, such as `OOMKilled`.
        reason: String,
    },
}

/// What the kubelet wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletEffect {
    /// Tell when this image will be on the node. Not asked where pulls take no time.
    Pull {
        /// For which container, to be named in the answer.
        container: u32,
        /// Which image.
        image: String,
    },
    /// Run the serving container: it accepts from now on.
    StartContainer,
    /// Ask the serving container now, and answer with [`KubeletInput::Probed`] within [`Kubelet::probe`]'s timeout.
    Probe {
        /// Which probe.
        probe: ProbeKind,
        /// Counts the questions to this pod, of all kinds, from 0.
        number: u32,
    },
    /// SIGTERM: accept nothing new, finish what is in flight, then say [`KubeletInput::Drained`].
    Terminate,
    /// SIGKILL: whatever is in flight is lost.
    Kill,
    /// Tell the cluster.
    Status(PodStatus),
}

/// One pod's kubelet.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition that Kubernetes tells apart")]
pub struct Kubelet {
    pod: PodId,
    config: Figures,
    grace: Nanos,
    /// Init containers and sidecars in order, then the main ones.
    units: Vec<Unit>,
    serving: usize,
    begun: bool,
    /// All main containers have run.
    told_started: bool,
    ready: bool,
    deleting: bool,
    gone: bool,
    asked: u32,
    flaw: Flaw,
}

/// The delays of [`ClusterConfig`] that matter here.
#[derive(Clone, Copy, Debug)]
struct Figures {
    pulls: bool,
    container_start: Nanos,
    next_container: Nanos,
    init_container: Nanos,
    asks_commands: bool,
}

impl Kubelet {
    /// For a pod of `workload` that was bound to a node, from a template with `flaw`.
    pub fn new(pod: PodId, workload: &Workload, config: &ClusterConfig, flaw: Flaw) -> Self {
        let serving = workload.init_containers.len();
        let before = workload
            .init_containers
            .iter()
            .map(|container| Unit::new(container, if container.sidecar { Role::Sidecar } else { Role::Init }, false));
        let main = |(index, container)| Unit::new(container, Role::Main, index == 0);
        let mut units: Vec<_> = before.chain(workload.containers.iter().enumerate().map(main)).collect();
        if workload.containers.is_empty() {
            units.push(Unit::new(&Container::default(), Role::Main, true)); // a platform made by hand may say nothing
        }
        Self {
            pod,
            config: Figures {
                pulls: config.image_pull > Nanos::ZERO,
                container_start: config.container_start,
                next_container: config.next_container,
                init_container: config.init_container,
                asks_commands: config.asks_commands,
            },
            grace: workload.grace_period,
            units,
            serving,
            begun: false,
            told_started: false,
            ready: false,
            deleting: false,
            gone: false,
            asked: 0,
            flaw,
        }
    }

    /// Whose kubelet this is.
    pub fn pod(&self) -> PodId {
        self.pod
    }

    /// A probe of the serving container as declared, for its action and its timeout.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        self.units[self.serving].probe(kind)
    }

    /// Sets the timer of a container's life.
    fn later(&mut self, unit: usize, at: Nanos, out: &mut impl Out<KubeletEffect>) {
        let generation = &mut self.units[unit].generation;
        *generation = generation.wrapping_add(1);
        out.wake(at, Wake { slot: unit as u32 * SLOTS, generation: *generation });
    }

    fn start(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if std::mem::replace(&mut self.begun, true) || self.gone {
            return;
        }
        // Workers tick from the moment the kubelet takes the pod, whenever their container comes.
        for unit in 0..self.units.len() {
            for worker in 0..self.units[unit].workers.len() {
                self.restart_ticker(now, unit, worker, out);
            }
        }
        self.advance(now, out);
    }

    /// Begins the container whose turn it is: one after the other, main ones when all before them have ended or, being
    /// sidecars, started.
    fn advance(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.deleting {
            return;
        }
        for unit in 0..self.units.len() {
            let Unit { role, state, started, ran, .. } = self.units[unit];
            let passed = match (role, state) {
                (_, State::Waiting) => return self.begin(now, unit, out),
                (Role::Init, state) => state == State::Ended,
                (Role::Sidecar, _) => started || self.told_started,
                (Role::Main, _) => ran,
            };
            if !passed {
                return;
            }
        }
    }

    fn begin(&mut self, now: Nanos, unit: usize, out: &mut impl Out<KubeletEffect>) {
        self.units[unit].state = State::Coming;
        if self.flaw == Flaw::ImagePull && unit == self.serving {
            return; // its image never comes
        }
        if self.config.pulls {
            let image = self.units[unit].image.clone();
            out.emit(KubeletEffect::Pull { container: unit as u32, image });
        } else {
            self.pulled(now, unit, now, out);
        }
    }

    /// The image is or will be there; the pod's sandbox is paid for with its first container.
    fn pulled(&mut self, now: Nanos, unit: usize, ready: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.units.get(unit).is_some_and(|unit| unit.state == State::Coming) {
            let Figures { container_start, next_container, .. } = self.config;
            let takes = if unit == 0 { container_start } else { next_container };
            self.later(unit, ready.max(now) + takes, out);
        }
    }

    fn restart_ticker(&mut self, now: Nanos, unit: usize, worker: usize, out: &mut impl Out<KubeletEffect>) {
        let slot = unit as u32 * SLOTS + 1 + worker as u32;
        let worker = &mut self.units[unit].workers[worker];
        worker.generation = worker.generation.wrapping_add(1);
        out.wake(now + worker.probe.period, Wake { slot, generation: worker.generation });
    }

    fn woken(&mut self, now: Nanos, wake: Wake, out: &mut impl Out<KubeletEffect>) {
        let (unit, timer) = ((wake.slot / SLOTS) as usize, (wake.slot % SLOTS) as usize);
        if self.gone || unit >= self.units.len() {
            return;
        }
        if timer == 0 {
            if wake.generation == self.units[unit].generation {
                self.proceed(now, unit, out);
            }
            return;
        }
        let seen = self.units[unit].seen(self.deleting);
        let worker = self.units[unit].workers.get_mut(timer - 1);
        let Some(worker) = worker.filter(|worker| worker.generation == wake.generation) else { return };
        let next = worker.tick(now, seen);
        self.restart_ticker(now, unit, timer - 1, out);
        if next == Next::Ask {
            self.ask(now, unit, timer - 1, out);
        }
    }

    /// The timer of a container's life has fired.
    fn proceed(&mut self, now: Nanos, unit: usize, out: &mut impl Out<KubeletEffect>) {
        match self.units[unit].state {
            State::Coming => self.run(now, unit, out),
            State::Running { .. } if self.units[unit].role == Role::Init => {
                self.units[unit].state = State::Ended;
                self.advance(now, out);
            }
            State::PreStop { since, kill } => self.terminate_in_turn(now, unit, since, kill, out),
            State::Queued { since, kill } => self.terminate(now, unit, since, kill, out),
            State::Terminating { .. } => {
                if self.units[unit].serving {
                    out.emit(KubeletEffect::Kill);
                }
                self.ended(now, unit, out);
            }
            State::Waiting | State::Running { .. } | State::Ended => {}
        }
    }

    fn run(&mut self, now: Nanos, unit: usize, out: &mut impl Out<KubeletEffect>) {
        let Unit { serving, role, .. } = self.units[unit];
        self.units[unit].runs(now);
        if serving {
            out.emit(KubeletEffect::StartContainer);
        }
        if let Some(reason) = self.units[unit].replaced.take() {
            out.emit(KubeletEffect::Status(PodStatus::Restarted { reason }));
        }
        if !self.told_started && self.units[self.serving..].iter().all(|unit| unit.ran) {
            self.told_started = true;
            out.emit(KubeletEffect::Status(PodStatus::Started));
        }
        if serving && self.flaw == Flaw::Crash {
            out.emit(KubeletEffect::Kill);
            self.exited(now, unit, "Error".to_owned(), out);
        } else if role == Role::Init {
            self.later(unit, now + self.config.init_container, out);
        } else if self.units[unit].started {
            self.has_started(now, unit, out);
        }
        self.advance(now, out);
    }

    /// The container counts as started: without a readiness probe it is ready, with one it is asked at once, and from
    /// then on every period.
    fn has_started(&mut self, now: Nanos, unit: usize, out: &mut impl Out<KubeletEffect>) {
        match self.units[unit].worker(ProbeKind::Readiness) {
            None => self.set_ready(unit, true, out),
            Some(worker) => {
                if self.units[unit].workers[worker].trigger() {
                    self.ask_afresh(now, unit, worker, out);
                }
            }
        }
    }

    fn ask_afresh(&mut self, now: Nanos, unit: usize, worker: usize, out: &mut impl Out<KubeletEffect>) {
        self.restart_ticker(now, unit, worker, out);
        self.look(now, unit, worker, out);
    }

    fn look(&mut self, now: Nanos, unit: usize, worker: usize, out: &mut impl Out<KubeletEffect>) {
        let seen = self.units[unit].seen(self.deleting);
        if self.units[unit].workers[worker].look(now, seen) == Next::Ask {
            self.ask(now, unit, worker, out);
        }
    }

    fn ask(&mut self, now: Nanos, unit: usize, worker: usize, out: &mut impl Out<KubeletEffect>) {
        let number = self.asked;
        self.asked += 1;
        let serving = self.units[unit].serving;
        let worker = &mut self.units[unit].workers[worker];
        worker.asked(number);
        let probe = worker.kind;
        if serving && (self.config.asks_commands || !worker.runs_command()) {
            out.emit(KubeletEffect::Probe { probe, number });
        } else {
            self.answered(now, unit, probe, number, true, out);
        }
    }

    fn answered(
        &mut self,
        now: Nanos,
        unit: usize,
        kind: ProbeKind,
        number: u32,
        ok: bool,
        out: &mut impl Out<KubeletEffect>,
    ) {
        let Some(worker) = self.units[unit].worker(kind) else { return };
        let Some(decided) = self.units[unit].workers[worker].answered(number, ok) else { return };
        if decided && self.units[unit].seen(self.deleting).running.is_some() {
            match (kind, ok) {
                (ProbeKind::Readiness, ready) => self.set_ready(unit, ready, out),
                (ProbeKind::Startup, true) => {
                    self.units[unit].started = true;
                    self.has_started(now, unit, out);
                    self.advance(now, out);
                }
                (ProbeKind::Liveness, true) => {}
                (ProbeKind::Startup, false) => self.restart(now, unit, kind, "startup probe failed", out),
                (ProbeKind::Liveness, false) => self.restart(now, unit, kind, "liveness probe failed", out),
            }
        }
        match self.units[unit].workers[worker].held_back() {
            None => {}
            Some(Held::Trigger) => self.ask_afresh(now, unit, worker, out),
            Some(Held::Tick) => self.look(now, unit, worker, out),
        }
    }

    fn set_ready(&mut self, unit: usize, ready: bool, out: &mut impl Out<KubeletEffect>) {
        self.units[unit].ready = ready;
        // Condition Ready: all main containers and sidecars are (`status/generate.go`).
        let all = self.units.iter().all(|unit| unit.role == Role::Init || unit.ready);
        let ready = all && self.flaw != Flaw::NeverReady;
        if self.ready != ready {
            self.ready = ready;
            out.emit(KubeletEffect::Status(PodStatus::Ready(ready)));
        }
    }
}

impl Machine for Kubelet {
    type Input = KubeletInput;
    type Effect = KubeletEffect;

    fn step(&mut self, now: Nanos, input: KubeletInput, out: &mut impl Out<KubeletEffect>) {
        match input {
            KubeletInput::Start => self.start(now, out),
            KubeletInput::Stop => self.stop(now, out),
            KubeletInput::Wake(wake) => self.woken(now, wake, out),
            KubeletInput::Pulled { container, ready } => self.pulled(now, container as usize, ready, out),
            KubeletInput::Probed { probe, number, ok } => self.answered(now, self.serving, probe, number, ok, out),
            KubeletInput::Drained => self.exited(now, self.serving, "Completed".to_owned(), out),
            KubeletInput::Crashed { reason } => self.exited(now, self.serving, reason, out),
        }
    }
}

#[cfg(test)]
mod tests;
