//! The kubelet as far as one pod sees it: start, probes, restarts, graceful end.
//!
//! Follows `pkg/kubelet/kuberuntime/kuberuntime_container.go` (`killContainer`: preStop inside the grace period, then
//! SIGTERM with at least 2 s, then SIGKILL), `pkg/kubelet/prober` (probes; see the worker's module) and
//! `client-go/util/flowcontrol/backoff.go` (restarts: at once, then after 10 s, doubling up to 300 s, forgotten after
//! 600 s without one).
//!
//! Simplified: probes, hook and restarts are those of the first container, the one that serves; the runtime's events
//! arrive without delay; every pod pays the image pull once; probe-level grace periods are not read.

mod probe;

use platform::{Probe, Workload};
use units::{Machine, Nanos, Out, Wake};

pub use probe::ProbeKind;
use probe::{Held, Next, Seen, Worker};

use crate::{ClusterConfig, PodId, PodStatus};

/// `minimumGracePeriodInSeconds`: what SIGTERM is given even where preStop took the whole grace period.
const MINIMUM_GRACE: Nanos = Nanos::from_secs(2);
const FIRST_BACK_OFF: Nanos = Nanos::from_secs(10);
const LONGEST_BACK_OFF: Nanos = Nanos::from_secs(300);

/// What may happen to a pod on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletInput {
    /// The pod was bound: start it.
    Start,
    /// The pod was deleted: end it within its grace period.
    Stop,
    /// A timer has fired.
    Wake(Wake),
    /// The answer to a probe. The rim enforces the probe's timeout and answers `false` for it.
    Probed {
        /// Which probe was asked.
        probe: ProbeKind,
        /// Its number, as in [`KubeletEffect::Probe`].
        number: u32,
        /// Whether it passed.
        ok: bool,
    },
    /// The process ended by itself after SIGTERM.
    Drained,
    /// The process ended without being asked to.
    Crashed {
        /// Why, such as `OOMKilled`.
        reason: String,
    },
}

/// What the kubelet wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeletEffect {
    /// Run the container: it accepts from now on.
    StartContainer,
    /// Ask now, and answer with [`KubeletInput::Probed`] within [`Kubelet::probe`]'s timeout.
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
pub struct Kubelet {
    pod: PodId,
    image_pull: Nanos,
    container_start: Nanos,
    grace: Nanos,
    pre_stop: Option<Nanos>,
    workers: Vec<Worker>,
    phase: Phase,
    /// The container's startup probe has passed, or it has none.
    started: bool,
    ready: bool,
    deleting: bool,
    /// Why the container that is being replaced ended; `None` before the first one.
    replaced: Option<String>,
    back_off: Option<BackOff>,
    asked: u32,
    generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    New,
    /// A container is on its way, or in back-off.
    Starting,
    Running {
        since: Nanos,
    },
    /// The hook runs; SIGTERM comes with the next wake, SIGKILL at `kill`.
    PreStop {
        since: Nanos,
        kill: Nanos,
    },
    /// SIGTERM was sent; SIGKILL comes with the next wake.
    Terminating {
        since: Nanos,
    },
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct BackOff {
    wait: Nanos,
    updated: Nanos,
}

impl Kubelet {
    /// For a pod of `workload` that was bound to a node.
    pub fn new(pod: PodId, workload: &Workload, config: &ClusterConfig) -> Self {
        let container = workload.containers.first();
        let probes = container.into_iter().flat_map(|c| {
            [(ProbeKind::Startup, &c.startup), (ProbeKind::Readiness, &c.readiness), (ProbeKind::Liveness, &c.liveness)]
        });
        Self {
            pod,
            image_pull: config.image_pull,
            container_start: config.container_start,
            grace: workload.grace_period,
            pre_stop: container.and_then(|c| c.pre_stop),
            workers: probes.filter_map(|(kind, probe)| Some(Worker::new(kind, probe.clone()?))).collect(),
            phase: Phase::New,
            started: false,
            ready: false,
            deleting: false,
            replaced: None,
            back_off: None,
            asked: 0,
            generation: 0,
        }
    }

    /// Whose kubelet this is.
    pub fn pod(&self) -> PodId {
        self.pod
    }

    /// A probe as declared, for its action and its timeout.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        self.workers.iter().find(|worker| worker.kind == kind).map(|worker| &worker.probe)
    }

    fn seen(&self) -> Seen {
        let running = match self.phase {
            Phase::Running { since } | Phase::PreStop { since, .. } | Phase::Terminating { since } => Some(since),
            Phase::New | Phase::Starting | Phase::Gone => None,
        };
        Seen { running, started: self.started, deleting: self.deleting }
    }

    /// Sets the timer of the pod's life; slot 0, the workers have the others.
    fn later(&mut self, at: Nanos, out: &mut impl Out<KubeletEffect>) {
        self.generation = self.generation.wrapping_add(1);
        out.wake(at, Wake { slot: 0, generation: self.generation });
    }

    fn start(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.phase != Phase::New {
            return;
        }
        self.phase = Phase::Starting;
        self.later(now + self.image_pull + self.container_start, out);
        // Workers tick from the moment the kubelet takes the pod, whenever its container comes.
        for index in 0..self.workers.len() {
            self.restart_ticker(now, index, out);
        }
    }

    fn restart_ticker(&mut self, now: Nanos, index: usize, out: &mut impl Out<KubeletEffect>) {
        let worker = &mut self.workers[index];
        worker.generation = worker.generation.wrapping_add(1);
        out.wake(now + worker.probe.period, Wake { slot: index as u32 + 1, generation: worker.generation });
    }

    fn woken(&mut self, now: Nanos, wake: Wake, out: &mut impl Out<KubeletEffect>) {
        if self.phase == Phase::Gone {
            return;
        }
        if wake.slot == 0 {
            if wake.generation == self.generation {
                self.proceed(now, out);
            }
            return;
        }
        let index = wake.slot as usize - 1;
        let seen = self.seen();
        let Some(worker) = self.workers.get_mut(index).filter(|worker| worker.generation == wake.generation) else {
            return;
        };
        let next = worker.tick(now, seen);
        self.restart_ticker(now, index, out);
        if next == Next::Ask {
            self.ask(now, index, out);
        }
    }

    /// The timer of the pod's life has fired.
    fn proceed(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        match self.phase {
            Phase::Starting => self.run(now, out),
            Phase::PreStop { since, kill } => self.terminate(since, kill.max(now + MINIMUM_GRACE), out),
            Phase::Terminating { .. } => {
                out.emit(KubeletEffect::Kill);
                self.ended(now, out);
            }
            Phase::New | Phase::Running { .. } | Phase::Gone => {}
        }
    }

    fn run(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        self.phase = Phase::Running { since: now };
        out.emit(KubeletEffect::StartContainer);
        let status = self.replaced.take().map_or(PodStatus::Started, |reason| PodStatus::Restarted { reason });
        out.emit(KubeletEffect::Status(status));
        for worker in &mut self.workers {
            worker.new_container();
        }
        self.started = !self.workers.iter().any(|worker| worker.kind == ProbeKind::Startup);
        if self.started {
            self.has_started(now, out);
        }
    }

    /// The container counts as started: without a readiness probe it is ready, with one it is asked at once, and from
    /// then on every period.
    fn has_started(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        match self.workers.iter().position(|worker| worker.kind == ProbeKind::Readiness) {
            None => self.set_ready(true, out),
            Some(index) => {
                if self.workers[index].trigger() {
                    self.ask_afresh(now, index, out);
                }
            }
        }
    }

    fn ask_afresh(&mut self, now: Nanos, index: usize, out: &mut impl Out<KubeletEffect>) {
        self.restart_ticker(now, index, out);
        self.look(now, index, out);
    }

    fn look(&mut self, now: Nanos, index: usize, out: &mut impl Out<KubeletEffect>) {
        if self.workers[index].look(now, self.seen()) == Next::Ask {
            self.ask(now, index, out);
        }
    }

    fn ask(&mut self, now: Nanos, index: usize, out: &mut impl Out<KubeletEffect>) {
        let number = self.asked;
        self.asked += 1;
        let worker = &mut self.workers[index];
        worker.asked(number);
        let probe = worker.kind;
        if worker.passes_by_itself() {
            self.answered(now, probe, number, true, out);
        } else {
            out.emit(KubeletEffect::Probe { probe, number });
        }
    }

    fn answered(&mut self, now: Nanos, kind: ProbeKind, number: u32, ok: bool, out: &mut impl Out<KubeletEffect>) {
        let Some(index) = self.workers.iter().position(|worker| worker.kind == kind) else { return };
        let Some(decided) = self.workers[index].answered(number, ok) else { return };
        if decided && self.seen().running.is_some() {
            match (kind, ok) {
                (ProbeKind::Readiness, ready) => self.set_ready(ready, out),
                (ProbeKind::Startup, true) => {
                    self.started = true;
                    self.has_started(now, out);
                }
                (ProbeKind::Liveness, true) => {}
                (ProbeKind::Startup, false) => self.restart(now, "startup probe failed", out),
                (ProbeKind::Liveness, false) => self.restart(now, "liveness probe failed", out),
            }
        }
        match self.workers[index].held_back() {
            None => {}
            Some(Held::Trigger) => self.ask_afresh(now, index, out),
            Some(Held::Tick) => self.look(now, index, out),
        }
    }

    fn set_ready(&mut self, ready: bool, out: &mut impl Out<KubeletEffect>) {
        if self.ready != ready {
            self.ready = ready;
            out.emit(KubeletEffect::Status(PodStatus::Ready(ready)));
        }
    }

    /// Ends the container to run it again.
    fn restart(&mut self, now: Nanos, reason: &str, out: &mut impl Out<KubeletEffect>) {
        if let Phase::Running { since } = self.phase {
            self.replaced = Some(reason.to_owned());
            self.end(now, since, out);
        }
    }

    fn stop(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        self.deleting = true;
        match self.phase {
            Phase::New | Phase::Starting => self.gone(out),
            Phase::Running { since } => self.end(now, since, out),
            // A restart is under way: its deadline is the earlier one, and a grace period can only shrink.
            Phase::PreStop { .. } | Phase::Terminating { .. } | Phase::Gone => {}
        }
    }

    fn end(&mut self, now: Nanos, since: Nanos, out: &mut impl Out<KubeletEffect>) {
        let kill = now + self.grace;
        match self.pre_stop.filter(|hook| *hook > Nanos::ZERO && self.grace > Nanos::ZERO) {
            Some(hook) => {
                self.phase = Phase::PreStop { since, kill };
                self.later(now + hook.min(self.grace), out);
            }
            None => self.terminate(since, kill.max(now + MINIMUM_GRACE), out),
        }
    }

    fn terminate(&mut self, since: Nanos, kill: Nanos, out: &mut impl Out<KubeletEffect>) {
        self.phase = Phase::Terminating { since };
        out.emit(KubeletEffect::Terminate);
        self.later(kill, out);
    }

    /// The container has ended.
    fn ended(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.deleting {
            return self.gone(out);
        }
        self.set_ready(false, out);
        self.phase = Phase::Starting;
        let wait = self.wait_before_restart(now);
        self.later(now + wait + self.container_start, out);
    }

    fn gone(&mut self, out: &mut impl Out<KubeletEffect>) {
        self.phase = Phase::Gone;
        self.ready = false;
        out.emit(KubeletEffect::Status(PodStatus::Gone));
    }

    /// `Backoff.IsInBackOffSince` and `Next`: counted from the end of the last container.
    fn wait_before_restart(&mut self, now: Nanos) -> Nanos {
        let known = self.back_off.filter(|known| now - known.updated <= LONGEST_BACK_OFF * 2);
        let (wait, next) = match known {
            None => (Nanos::ZERO, FIRST_BACK_OFF),
            Some(known) => (known.wait, (known.wait * 2).min(LONGEST_BACK_OFF)),
        };
        self.back_off = Some(BackOff { wait: next, updated: now + wait });
        wait
    }

    /// The process is no more, asked or not.
    fn exited(&mut self, now: Nanos, reason: String, out: &mut impl Out<KubeletEffect>) {
        match self.phase {
            Phase::Running { .. } => {
                self.replaced = Some(reason);
                self.ended(now, out);
            }
            Phase::PreStop { .. } | Phase::Terminating { .. } => self.ended(now, out),
            Phase::New | Phase::Starting | Phase::Gone => {}
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
            KubeletInput::Probed { probe, number, ok } => self.answered(now, probe, number, ok, out),
            KubeletInput::Drained => self.exited(now, "Completed".to_owned(), out),
            KubeletInput::Crashed { reason } => self.exited(now, reason, out),
        }
    }
}

#[cfg(test)]
mod tests;
