//! One container of a pod as its kubelet keeps it: its probes, its restarts, how far its end is.

use platform::{Container, Probe};
use units::Nanos;

use super::probe::{ProbeKind, Seen, Worker};

const FIRST_BACK_OFF: Nanos = Nanos::from_secs(10);
const LONGEST_BACK_OFF: Nanos = Nanos::from_secs(300);

/// When a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Before the main ones, once, to its end.
    Init,
    /// Before the main ones and beside them (an init container with `restartPolicy: Always`).
    Sidecar,
    /// For the pod's whole life.
    Main,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its turn has not come.
    Waiting,
    /// Its image, its start or its back-off is under way.
    Coming,
    Running {
        since: Nanos,
    },
    /// Its hook runs; SIGTERM comes with the next timer, SIGKILL at `kill`.
    PreStop {
        since: Nanos,
        kill: Nanos,
    },
    /// A sidecar that waits for the main containers, and for the sidecars behind it, to end; until `kill` at most.
    Queued {
        since: Nanos,
        kill: Nanos,
    },
    /// SIGTERM was sent; SIGKILL comes with the next timer.
    Terminating {
        since: Nanos,
    },
    /// It runs no more.
    Ended,
}

/// One container.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition that Kubernetes tells apart")]
pub(super) struct Unit {
    pub(super) role: Role,
    /// The one that is a process where pods live; the others are played here.
    pub(super) serving: bool,
    pub(super) image: String,
    pub(super) pre_stop: Option<Nanos>,
    pub(super) workers: Vec<Worker>,
    pub(super) state: State,
    /// It has run once at least.
    pub(super) ran: bool,
    /// Its startup probe has passed, or it runs and has none.
    pub(super) started: bool,
    pub(super) ready: bool,
    /// Why the container that is being replaced ended; `None` before the first one.
    pub(super) replaced: Option<String>,
    pub(super) back_off: Option<BackOff>,
    /// Of its timer.
    pub(super) generation: u32,
}

impl Unit {
    pub(super) fn new(container: &Container, role: Role, serving: bool) -> Self {
        let probes = [
            (ProbeKind::Startup, &container.startup),
            (ProbeKind::Readiness, &container.readiness),
            (ProbeKind::Liveness, &container.liveness),
        ];
        // An init container that ends has no probes (`validation.go` forbids them).
        let probes = probes.into_iter().filter(|_| role != Role::Init);
        Self {
            role,
            serving,
            image: container.image.clone(),
            pre_stop: container.pre_stop.filter(|_| role != Role::Init),
            workers: probes.filter_map(|(kind, probe)| Some(Worker::new(kind, probe.clone()?))).collect(),
            state: State::Waiting,
            ran: false,
            started: false,
            ready: false,
            replaced: None,
            back_off: None,
            generation: 0,
        }
    }

    pub(super) fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        self.workers.iter().find(|worker| worker.kind == kind).map(|worker| &worker.probe)
    }

    pub(super) fn worker(&self, kind: ProbeKind) -> Option<usize> {
        self.workers.iter().position(|worker| worker.kind == kind)
    }

    pub(super) fn seen(&self, deleting: bool) -> Seen {
        let running = match self.state {
            State::Running { since }
            | State::PreStop { since, .. }
            | State::Queued { since, .. }
            | State::Terminating { since } => Some(since),
            State::Waiting | State::Coming | State::Ended => None,
        };
        Seen { running, started: self.started, deleting }
    }

    /// A new container of it runs.
    pub(super) fn runs(&mut self, now: Nanos) {
        self.state = State::Running { since: now };
        self.ran = true;
        self.workers.iter_mut().for_each(Worker::new_container);
        self.started = self.worker(ProbeKind::Startup).is_none();
        self.ready = false;
    }
}

/// How long the next restart waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    wait: Nanos,
    updated: Nanos,
}

impl BackOff {
    /// The wait for a container that ended now: `Backoff.IsInBackOffSince` and `Next`, counted from the end of the
    /// last one.
    pub(super) fn next(known: &mut Option<Self>, now: Nanos) -> Nanos {
        let recent = known.filter(|known| now - known.updated <= LONGEST_BACK_OFF * 2);
        let (wait, next) = match recent {
            None => (Nanos::ZERO, FIRST_BACK_OFF),
            Some(known) => (known.wait, (known.wait * 2).min(LONGEST_BACK_OFF)),
        };
        *known = Some(Self { wait: next, updated: now + wait });
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_ends_at_five_minutes_and_is_forgotten_after_ten() {
        let (mut known, mut now) = (None, Nanos::ZERO);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                let wait = BackOff::next(&mut known, now);
                now += wait + Nanos::from_secs(1);
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(BackOff::next(&mut known, now + Nanos::from_secs(599)).as_secs(), 300);
        assert_eq!(BackOff::next(&mut known, now + Nanos::from_secs(1_501)).as_secs(), 0, "more than 600 s of health");
    }
}
