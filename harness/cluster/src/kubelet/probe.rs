//! One probe worker: when it asks, and what the answers add up to.
//!
//! Follows `pkg/kubelet/prober/worker.go` and the manual trigger of `prober_manager.go` (`UpdatePodStatus`). A worker
//! asks one question at a time; a tick or a trigger that falls into a question is taken up when it is answered, once.

use platform::{Probe, ProbeAction};
use units::Nanos;

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// `startupProbe`: until it passes, the others are not asked.
    Startup,
    /// `readinessProbe`: whether endpoints list the pod.
    Readiness,
    /// `livenessProbe`: a failure restarts the container.
    Liveness,
}

/// The container as a worker sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Since when it runs, if it does.
    pub(super) running: Option<Nanos>,
    /// Its startup probe has passed, or it has none.
    pub(super) started: bool,
    /// The pod is being deleted.
    pub(super) deleting: bool,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) kind: ProbeKind,
    pub(super) probe: Probe,
    /// What the kubelet believes: liveness begins with success, the others without.
    pub(super) result: bool,
    pub(super) generation: u32,
    last: Option<bool>,
    run: u32,
    on_hold: bool,
    /// The question under way, if any.
    asking: Option<u32>,
    /// What came meanwhile.
    held: Option<Held>,
}

/// What follows from a look at the clock or from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing to do.
    Rest,
    /// Ask now.
    Ask,
}

impl Worker {
    pub(super) fn new(kind: ProbeKind, probe: Probe) -> Self {
        Self {
            kind,
            probe,
            result: kind == ProbeKind::Liveness,
            generation: 0,
            last: None,
            run: 0,
            on_hold: false,
            asking: None,
            held: None,
        }
    }

    /// A new container: the belief starts over, the run of equal answers does not (`worker.go` keeps `lastResult`).
    pub(super) fn new_container(&mut self) {
        self.result = self.kind == ProbeKind::Liveness;
        self.on_hold = false;
        self.asking = None;
        self.held = None;
    }

    /// Whether it runs a command, which mock containers pass while they run.
    pub(super) fn runs_command(&self) -> bool {
        self.probe.action == ProbeAction::Exec
    }

    /// The ticker has ticked.
    pub(super) fn tick(&mut self, now: Nanos, seen: Seen) -> Next {
        if self.asking.is_some() {
            self.held = self.held.or(Some(Held::Tick)); // a Go ticker holds one tick back, not more
            return Next::Rest;
        }
        self.look(now, seen)
    }

    /// Something changed about a started container that is not ready. Whether to ask now and start the ticker anew;
    /// during a question both wait for its answer.
    pub(super) fn trigger(&mut self) -> bool {
        if self.asking.is_some() {
            self.held = Some(Held::Trigger);
            return false;
        }
        true
    }

    /// Whether to ask at `now`: `doProbe` up to its call of the prober.
    pub(super) fn look(&self, now: Nanos, seen: Seen) -> Next {
        let Some(since) = seen.running else { return Next::Rest };
        let ended = seen.deleting && self.kind != ProbeKind::Readiness;
        let early = (now - since).as_secs() < self.probe.initial_delay.as_secs();
        let gated = seen.started == (self.kind == ProbeKind::Startup);
        if self.on_hold || ended || early || gated { Next::Rest } else { Next::Ask }
    }

    pub(super) fn asked(&mut self, number: u32) {
        self.asking = Some(number);
    }

    /// Takes the answer to question `number`. `None` if nobody asked (any more); otherwise whether the belief was
    /// set, which repeats itself on every answer beyond the threshold.
    pub(super) fn answered(&mut self, number: u32, ok: bool) -> Option<bool> {
        if self.asking != Some(number) {
            return None;
        }
        self.asking = None;
        if self.last == Some(ok) {
            self.run = self.run.saturating_add(1);
        } else {
            (self.last, self.run) = (Some(ok), 1);
        }
        let threshold = if ok { self.probe.success_threshold } else { self.probe.failure_threshold };
        if self.run < threshold {
            return Some(false);
        }
        self.result = ok;
        if self.kind == ProbeKind::Startup || (self.kind == ProbeKind::Liveness && !ok) {
            // Decided for this container; no more questions until there is a new one.
            self.on_hold = true;
            self.run = 0;
        }
        Some(true)
    }

    /// What was held back during the question: a trigger (with a new ticker) or a tick.
    pub(super) fn held_back(&mut self) -> Option<Held> {
        self.held.take()
    }
}

/// What a worker was asked to do during a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// To ask and to start its ticker anew; this outweighs a tick.
    Trigger,
    /// To ask.
    Tick,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(delay: u64, success: u32, failure: u32) -> Probe {
        Probe {
            action: ProbeAction::Exec,
            initial_delay: Nanos::from_secs(delay),
            period: Nanos::from_secs(10),
            timeout: Nanos::from_secs(1),
            success_threshold: success,
            failure_threshold: failure,
            grace_period: None,
        }
    }
    const SEEN: Seen = Seen { running: Some(Nanos::from_secs(100)), started: true, deleting: false };

    #[test]
    fn asks_only_when_it_may() {
        use ProbeKind::{Liveness, Readiness, Startup};
        let starting = Seen { started: false, ..SEEN };
        let deleting = Seen { deleting: true, ..SEEN };
        let now = Nanos::from_millis;
        for (case, kind, at, seen, want) in [
            ("no container", Readiness, now(110_000), Seen { running: None, ..SEEN }, Next::Rest),
            ("initial delay, in whole seconds", Readiness, now(104_999), SEEN, Next::Rest),
            ("after it", Readiness, now(105_000), SEEN, Next::Ask),
            ("readiness waits for startup", Readiness, now(110_000), starting, Next::Rest),
            ("liveness waits for startup", Liveness, now(110_000), starting, Next::Rest),
            ("startup while starting", Startup, now(110_000), starting, Next::Ask),
            ("startup no more", Startup, now(110_000), SEEN, Next::Rest),
            ("readiness goes on while the pod ends", Readiness, now(110_000), deleting, Next::Ask),
            ("liveness does not", Liveness, now(110_000), deleting, Next::Rest),
        ] {
            assert_eq!(Worker::new(kind, probe(5, 1, 3)).tick(at, seen), want, "{case}");
        }
    }

    #[test]
    fn thresholds_count_equal_answers_in_a_row() {
        let mut worker = Worker::new(ProbeKind::Readiness, probe(0, 2, 3));
        let mut number = 0;
        for (ok, decided, ready) in [
            (true, false, false),
            (false, false, false),
            (true, false, false),
            (true, true, true),
            (false, false, true),
            (false, false, true),
            (true, false, true),
            (false, false, true),
            (false, false, true),
            (false, true, false),
        ] {
            number += 1;
            worker.asked(number);
            assert_eq!((worker.answered(number, ok), worker.result), (Some(decided), ready), "answer {number}");
        }
        assert_eq!(worker.answered(number, true), None, "nobody asked");
    }

    #[test]
    fn a_failed_liveness_holds_until_the_next_container() {
        let mut worker = Worker::new(ProbeKind::Liveness, probe(0, 1, 1));
        worker.asked(1);
        assert_eq!((worker.answered(1, false), worker.result), (Some(true), false));
        assert_eq!(worker.tick(Nanos::from_secs(200), SEEN), Next::Rest);
        worker.new_container();
        assert!(worker.result);
        assert_eq!(worker.tick(Nanos::from_secs(200), SEEN), Next::Ask);
    }

    #[test]
    fn a_long_question_holds_one_tick_back() {
        let mut worker = Worker::new(ProbeKind::Readiness, probe(0, 1, 3));
        worker.asked(1);
        assert_eq!(worker.tick(Nanos::from_secs(200), SEEN), Next::Rest);
        assert_eq!(worker.tick(Nanos::from_secs(210), SEEN), Next::Rest);
        assert!(!worker.trigger());
        assert_eq!(worker.answered(1, false), Some(false));
        assert_eq!(worker.held_back(), Some(Held::Trigger));
        assert_eq!(worker.held_back(), None);
    }
}
