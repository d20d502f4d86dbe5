//! How the load came to its end, and what that says about the run.

use driver::{Clocks, DriverError, Summary};
use record::{Check, Limit, Recording};
use units::Nanos;

use crate::StageError;

/// What is known of the end of the load.
#[derive(Default)]
pub(crate) struct Ending {
    /// The driver's own account: it played everything that was due.
    pub(crate) summary: Option<Summary>,
    /// How it was lost instead.
    pub(crate) driver: Option<DriverError>,
    /// What could not be stood up while load was on.
    pub(crate) stage: Option<StageError>,
    /// When somebody first asked to stop.
    pub(crate) interrupted: Option<Nanos>,
    /// Why the scenario's abort rule gave it up.
    pub(crate) aborted: Option<String>,
    /// How long one of the processes did not run, each time.
    pub(crate) stalls: Vec<Nanos>,
    /// What kept requests from being sent on time.
    pub(crate) limited_by: Option<Limit>,
    /// For how long load was on.
    pub(crate) lasted: Nanos,
    /// How well the clocks of drivers on other machines are known.
    pub(crate) clocks: Option<Clocks>,
}

/// A request that holds its worker for longer is the platform's doing: the pool is made for this.
const PATIENCE: Nanos = Nanos::from_secs(2);
/// How far the clocks of drivers may be off: phases and faults begin by ours. Latencies are not touched, since both ends
/// of each are read from one clock.
const CLOCKS: Nanos = Nanos::from_millis(50);
/// Of the time of the load, as much as the processes may have stood still: one part in so many.
const STALLS: u64 = 100;

/// The name of the check that fails when whoever decides is lost.
pub const CONTROL_LOST: &str = "the control plane ran to the end";

impl Ending {
    /// Whether it ends before its plan does.
    pub(crate) const fn is_early(&self) -> bool {
        self.interrupted.is_some() || self.aborted.is_some()
    }

    /// Finds what kept requests from being sent on time, if they were not: more than `allowed` late at the 99th
    /// percentile, or given up.
    pub(crate) fn judge(&mut self, recording: &Recording, allowed: Nanos, lasted: Nanos) {
        self.lasted = lasted;
        let lag = if recording.lag.is_empty() { 0 } else { recording.lag.value_at_quantile(0.99) };
        let late = lag > allowed.as_micros() || recording.not_sent * 100 > recording.offered;
        let Some(summary) = self.summary.filter(|_| late) else { return };
        let starved = u64::from(summary.starved) * 100 > summary.requests;
        // Held workers: what took longer than they are made for, of all that was sent.
        let slow = |n: u64, p50_us: u64| if p50_us > PATIENCE.as_micros() { n } else { 0 };
        let timeouts = |step: &record::StepResult| step.failed.get(&record::Cause::Timeout).copied().unwrap_or(0);
        let held: u64 = recording.steps.iter().map(|step| slow(step.n, step.service.p50_us).max(timeouts(step))).sum();
        self.limited_by = Some(if !starved {
            Limit::Driver
        } else if held * 4 > recording.offered {
            Limit::Platform
        } else {
            Limit::Pool
        });
    }

    /// What only the stage can know about the run's validity.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let ended = match (&self.summary, &self.driver) {
            (_, Some(error)) => told(error),
            (Some(_), None) => "it said so".to_owned(),
            (None, None) => "it was cut off".to_owned(),
        };
        let mut checks = vec![Check {
            name: "the load driver ended by itself".into(),
            ok: self.summary.is_some() && self.driver.is_none(),
            measured: ended,
            limit: "its own word".into(),
        }];
        if let Some(summary) = &self.summary {
            checks.push(Check {
                name: "what limited the load".into(),
                ok: matches!(self.limited_by, None | Some(Limit::Platform)),
                measured: self.limit(summary),
                limit: "nothing but the plan".into(),
            });
        }
        let stood: Nanos = self.stalls.iter().fold(Nanos::ZERO, |sum, stall| sum + *stall);
        let most = self.lasted / STALLS;
        checks.push(Check {
            name: "time in which a process of the run stood still".into(),
            ok: stood <= most,
            measured: format!("{:.1} s", stood.as_secs_f64()),
            limit: format!("at most {:.1} s (1 % of the load)", most.as_secs_f64()),
        });
        if let Some(Clocks { within, drift }) = self.clocks {
            checks.push(Check {
                name: "clocks of the load drivers".into(),
                ok: within + drift <= CLOCKS,
                measured: format!("known within {within}, {drift} further apart at the end"),
                limit: format!("at most {CLOCKS} together"),
            });
        }
        if let Some(error) = &self.stage {
            let (name, limit) = match error {
                StageError::ControlLost(_) => (CONTROL_LOST, "until then"),
                _ => ("every pod could be started", "all of them"),
            };
            checks.push(Check { name: name.into(), ok: false, measured: told(error), limit: limit.into() });
        }
        checks
    }
}

impl Ending {
    fn limit(&self, summary: &Summary) -> String {
        let cores = summary.cpu_us as f64 / (self.lasted.as_micros().max(1)) as f64;
        let Summary { starved, workers, busy_max, late_p99_us, .. } = *summary;
        let late = f64::from(late_p99_us) / 1e3;
        match self.limited_by {
            None => format!("{busy_max} of {workers} workers busy at most, {cores:.2} cores used"),
            Some(Limit::Driver) => {
                format!("driver-limited: workers were idle, its schedule {late:.1} ms late, {cores:.2} cores used")
            }
            Some(Limit::Pool) => format!("pool-limited: {starved} requests found no idle one of {workers} workers"),
            Some(Limit::Platform) => {
                format!("platform-limited: it held {busy_max} of {workers} workers beyond {PATIENCE} a request")
            }
        }
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_driver_that_said_so_ended_by_itself() {
        let summary = || Some(Summary { workers: 4, busy_max: 3, ..Summary::default() });
        let broken = || Some(DriverError::Pipe(std::io::Error::other("gone")));
        let listen = || Some(StageError::NoAddresses);
        let lasted = Nanos::from_secs(100);
        for (case, ending, want) in [
            ("it said so", Ending { summary: summary(), ..Ending::default() }, vec![true, true, true]),
            ("it died", Ending { driver: broken(), ..Ending::default() }, vec![false, true]),
            (
                "it was stopped for good",
                Ending { interrupted: Some(Nanos::ZERO), ..Ending::default() },
                vec![false, true],
            ),
            (
                "a pod could not start",
                Ending { summary: summary(), stage: listen(), ..Ending::default() },
                vec![true, true, true, false],
            ),
            (
                "the process was stopped for five seconds",
                Ending { summary: summary(), stalls: vec![Nanos::from_secs(5)], lasted, ..Ending::default() },
                vec![true, true, false],
            ),
            (
                "a short stall in a long run",
                Ending { summary: summary(), stalls: vec![Nanos::from_millis(900)], lasted, ..Ending::default() },
                vec![true, true, true],
            ),
            (
                "too few workers",
                Ending { summary: summary(), limited_by: Some(Limit::Pool), ..Ending::default() },
                vec![true, false, true],
            ),
            (
                "a platform that holds them all",
                Ending { summary: summary(), limited_by: Some(Limit::Platform), ..Ending::default() },
                vec![true, true, true],
            ),
        ] {
            assert_eq!(ending.checks().iter().map(|check| check.ok).collect::<Vec<_>>(), want, "{case}");
        }
        let died = Ending { driver: broken(), ..Ending::default() };
        assert_eq!(died.checks()[0].measured, "lost the load driver: gone");
    }

    #[test]
    fn who_limits_the_load_is_found_from_lag_workers_and_service() {
        use record::{Cause, Observation, PhaseKind, PhaseSpan, Recorder, RecorderPlan, StepPlan};
        let recorded = |lag_ms: u64, service_ms: u64| {
            let steps = vec![StepPlan { flow: "f".into(), name: "s".into(), request: "GET /".into() }];
            let phases = vec![PhaseSpan { name: "p".into(), kind: PhaseKind::Steady, start_us: 0, end_us: 1_000_000 }];
            let mut recorder = Recorder::new(RecorderPlan { steps, phases, watches: vec![] });
            for _ in 0..100 {
                let sent = Nanos::from_millis(lag_ms);
                let cause = if service_ms >= 10_000 { Cause::Timeout } else { Cause::None };
                let done = sent + Nanos::from_millis(service_ms);
                recorder.observe(&Observation { sent, done, cause, ..Observation::default() });
            }
            recorder.finish()
        };
        for (case, lag, service, starved, want) in [
            ("on time", 1, 10_000, 100, None),
            ("workers were idle", 50, 10, 0, Some(Limit::Driver)),
            ("all were busy, but not for long", 50, 100, 90, Some(Limit::Pool)),
            ("all were busy for very long", 50, 3_000, 90, Some(Limit::Platform)),
            ("nobody ever answers", 5_000, 10_000, 90, Some(Limit::Platform)),
        ] {
            let summary = Summary { requests: 100, starved, workers: 4, busy_max: 4, ..Summary::default() };
            let mut ending = Ending { summary: Some(summary), ..Ending::default() };
            ending.judge(&recorded(lag, service), Nanos::from_millis(16), Nanos::from_secs(1));
            assert_eq!(ending.limited_by, want, "{case}");
        }
    }
}
