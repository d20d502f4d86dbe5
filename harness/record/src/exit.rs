//! The process exit codes. Scripts rely on them: a code never changes its meaning.

/// How a command of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Every gating objective holds.
    Pass,
    /// A bug of ours.
    Internal,
    /// Usage, or a scenario that makes no sense.
    Usage,
    /// The manifests are broken, or lint found what was denied.
    Manifests,
    /// The backend cannot run here.
    Backend,
    /// A regression against a baseline is confirmed.
    Regression,
    /// A gating objective could not be decided.
    Undecided,
    /// The run is invalid: its driver, not the platform, was the limit.
    Invalid,
    /// An objective is broken. The same code as k6 uses for thresholds.
    Broken,
    /// Interrupted from outside.
    Interrupted,
}

impl ExitCode {
    /// Every code, in the order of the table in the README.
    pub const ALL: [Self; 10] = [
        Self::Pass,
        Self::Broken,
        Self::Regression,
        Self::Undecided,
        Self::Invalid,
        Self::Usage,
        Self::Manifests,
        Self::Backend,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The number the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Manifests => 20,
            Self::Backend => 30,
            Self::Regression => 90,
            Self::Undecided => 91,
            Self::Invalid => 92,
            Self::Broken => 99,
            Self::Interrupted => 130,
        }
    }

    /// What it means, for help texts and the README.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Pass => "every gating objective holds",
            Self::Internal => "a bug in rehearse",
            Self::Usage => "wrong usage, or a scenario that cannot be played",
            Self::Manifests => "broken manifests, or a denied finding",
            Self::Backend => "the backend cannot run here",
            Self::Regression => "a regression against the baseline is confirmed",
            Self::Undecided => "a gating objective could not be decided",
            Self::Invalid => "the run is invalid: the load driver was the limit",
            Self::Broken => "an objective is broken",
            Self::Interrupted => "interrupted",
        }
    }

    /// Of two ways for a run to end, the one that is reported: 130 > 92 > 99 > 90 > 91 > 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        const PRECEDENCE: [ExitCode; 6] = [
            ExitCode::Interrupted,
            ExitCode::Invalid,
            ExitCode::Broken,
            ExitCode::Regression,
            ExitCode::Undecided,
            ExitCode::Pass,
        ];
        let rank = |code| PRECEDENCE.iter().position(|c| *c == code);
        match (rank(self), rank(other)) {
            (Some(mine), Some(others)) if others < mine => other,
            (Some(_), None) => other, // an error of usage or ours outranks any verdict
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_the_documented_one() {
        use ExitCode::{Broken, Interrupted, Invalid, Manifests, Pass, Regression, Undecided};
        let mut worst = Pass;
        for next in [Undecided, Regression, Broken, Invalid, Interrupted] {
            worst = worst.worse(next);
            assert_eq!(worst, next);
            assert_eq!(worst.worse(Pass), next);
        }
        assert_eq!(Pass.worse(Manifests), Manifests);
    }

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::BTreeSet<_> = ExitCode::ALL.iter().map(|c| c.code()).collect();
        assert_eq!(codes.len(), ExitCode::ALL.len());
    }
}
