//! How containers end: by a probe's verdict, by themselves, or with their pod.

use units::{Nanos, Out};

use super::{BackOff, Kubelet, KubeletEffect, ProbeKind, Role, State};
use crate::PodStatus;

/// `minimumGracePeriodInSeconds`: what SIGTERM is given even where preStop took the whole grace period.
const MINIMUM_GRACE: Nanos = Nanos::from_secs(2);

impl Kubelet {
    /// Ends a container to run it again, within the probe's own grace period if it has one.
    pub(super) fn restart(
        &mut self,
        now: Nanos,
        unit: usize,
        kind: ProbeKind,
        reason: &str,
        out: &mut impl Out<KubeletEffect>,
    ) {
        if let State::Running { since } = self.units[unit].state {
            let own = self.units[unit].probe(kind).and_then(|probe| probe.grace_period);
            self.units[unit].replaced = Some(reason.to_owned());
            self.end(now, unit, since, own.unwrap_or(self.grace), out);
        }
    }

    /// The pod was deleted: all hooks run at once, then SIGTERM to all but sidecars.
    pub(super) fn stop(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.gone || std::mem::replace(&mut self.deleting, true) {
            return;
        }
        for unit in &mut self.units {
            if matches!(unit.state, State::Waiting | State::Coming) {
                unit.state = State::Ended;
            }
        }
        for unit in 0..self.units.len() {
            // A restart under way goes on: its deadline is the earlier one, and a grace period can only shrink.
            if let State::Running { since } = self.units[unit].state {
                self.end(now, unit, since, self.grace, out);
            }
        }
        self.after_an_end(now, out);
    }

    fn end(&mut self, now: Nanos, unit: usize, since: Nanos, grace: Nanos, out: &mut impl Out<KubeletEffect>) {
        let kill = now + grace;
        let hook = self.units[unit].pre_stop.filter(|hook| *hook > Nanos::ZERO && grace > Nanos::ZERO);
        match hook {
            Some(hook) => {
                self.units[unit].state = State::PreStop { since, kill };
                self.later(unit, now + hook.min(grace), out);
            }
            None => self.terminate_in_turn(now, unit, since, kill, out),
        }
    }

    /// SIGTERM, unless a sidecar of a pod that ends has to wait for others (`kuberuntime_termination_order.go`).
    pub(super) fn terminate_in_turn(
        &mut self,
        now: Nanos,
        unit: usize,
        since: Nanos,
        kill: Nanos,
        out: &mut impl Out<KubeletEffect>,
    ) {
        if self.deleting && !self.is_its_turn(unit) && now < kill {
            self.units[unit].state = State::Queued { since, kill };
            self.later(unit, kill, out);
        } else {
            self.terminate(now, unit, since, kill, out);
        }
    }

    /// Whether nothing runs for which a sidecar stays: main containers and the sidecars that began after it.
    fn is_its_turn(&self, unit: usize) -> bool {
        let stays_for = |(index, other): (usize, &super::Unit)| {
            other.state != State::Ended && (other.role == Role::Main || (other.role == Role::Sidecar && index > unit))
        };
        self.units[unit].role != Role::Sidecar || !self.units.iter().enumerate().any(stays_for)
    }

    pub(super) fn terminate(
        &mut self,
        now: Nanos,
        unit: usize,
        since: Nanos,
        kill: Nanos,
        out: &mut impl Out<KubeletEffect>,
    ) {
        self.units[unit].state = State::Terminating { since };
        if self.units[unit].serving {
            out.emit(KubeletEffect::Terminate);
            self.later(unit, kill.max(now + MINIMUM_GRACE), out);
        } else {
            self.ended(now, unit, out); // it is only played, and ends at once
        }
    }

    /// The process is no more, asked or not.
    pub(super) fn exited(&mut self, now: Nanos, unit: usize, reason: String, out: &mut impl Out<KubeletEffect>) {
        match self.units[unit].state {
            State::Running { .. } => {
                self.units[unit].replaced = Some(reason);
                self.ended(now, unit, out);
            }
            State::PreStop { .. } | State::Queued { .. } | State::Terminating { .. } => self.ended(now, unit, out),
            State::Waiting | State::Coming | State::Ended => {}
        }
    }

    /// The container has ended: it comes again after its back-off, unless its pod ends.
    pub(super) fn ended(&mut self, now: Nanos, unit: usize, out: &mut impl Out<KubeletEffect>) {
        if self.deleting {
            self.units[unit].state = State::Ended;
            return self.after_an_end(now, out);
        }
        self.set_ready(unit, false, out);
        self.units[unit].started = false;
        self.units[unit].state = State::Coming;
        let wait = BackOff::next(&mut self.units[unit].back_off, now);
        self.later(unit, now + wait + self.config.container_start, out);
    }

    /// Lets the sidecar go whose turn it is now, or the pod, if it was the last container.
    fn after_an_end(&mut self, now: Nanos, out: &mut impl Out<KubeletEffect>) {
        if self.gone {
            return;
        }
        if self.units.iter().all(|unit| unit.state == State::Ended) {
            self.gone = true;
            self.ready = false;
            return out.emit(KubeletEffect::Status(PodStatus::Gone));
        }
        for unit in (0..self.units.len()).rev() {
            if let State::Queued { since, kill } = self.units[unit].state
                && self.is_its_turn(unit)
            {
                return self.terminate(now, unit, since, kill, out);
            }
        }
    }
}
