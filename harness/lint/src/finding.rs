//! What a rule is and what it finds.

use std::fmt;

use platform::Place;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It behaves otherwise than its author believes.
    Warning,
    /// It does not work.
    Error,
}

impl Severity {
    /// In lower case, as output and options have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule, as `rehearse explain ID` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable: `--deny`, `--allow` and accepted drift name it.
    pub id: &'static str,
    /// How much its findings matter, unless they are denied or allowed.
    pub severity: Severity,
    /// In one line.
    pub title: &'static str,
    /// What really happens, and where that is written.
    pub explanation: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// One place where a rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: &'static Rule,
    /// How much this one matters: the rule's severity, unless options or an accepted drift change it.
    pub severity: Severity,
    /// `Kind/name`, or what else it is about.
    pub subject: String,
    /// Where.
    pub place: Place,
    /// What will happen.
    pub consequence: String,
    /// Why.
    pub because: String,
    /// Why it is accepted, if it is.
    pub accepted: Option<String>,
}

impl Rule {
    /// A finding of this rule.
    pub(crate) fn at(
        &'static self,
        subject: impl fmt::Display,
        place: &Place,
        consequence: impl Into<String>,
        because: impl Into<String>,
    ) -> Finding {
        Finding {
            rule: self,
            severity: self.severity,
            subject: subject.to_string(),
            place: place.clone(),
            consequence: consequence.into(),
            because: because.into(),
            accepted: None,
        }
    }
}
