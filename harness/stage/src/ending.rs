//! How the load came to its end, and what that says about the run.

use driver::{DriverError, Summary};
use record::Check;
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
}

impl Ending {
    /// Whether it ends before its plan does.
    pub(crate) const fn is_early(&self) -> bool {
        self.interrupted.is_some() || self.aborted.is_some()
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
                name: "a worker was free for every request".into(),
                ok: summary.busy_max < summary.workers,
                measured: format!("{} busy at most", summary.busy_max),
                limit: format!("{} workers", summary.workers),
            });
        }
        if let Some(error) = &self.stage {
            checks.push(Check {
                name: "every pod could be started".into(),
                ok: false,
                measured: told(error),
                limit: "all of them".into(),
            });
        }
        checks
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
        for (case, ending, want) in [
            ("it said so", Ending { summary: summary(), ..Ending::default() }, vec![true, true]),
            ("it died", Ending { driver: broken(), ..Ending::default() }, vec![false]),
            ("it was stopped for good", Ending { interrupted: Some(Nanos::ZERO), ..Ending::default() }, vec![false]),
            (
                "a pod could not start",
                Ending { summary: summary(), stage: listen(), ..Ending::default() },
                vec![true, true, false],
            ),
        ] {
            assert_eq!(ending.checks().iter().map(|check| check.ok).collect::<Vec<_>>(), want, "{case}");
        }
        let died = Ending { driver: broken(), ..Ending::default() };
        assert_eq!(died.checks()[0].measured, "lost the load driver: gone");
    }
}
