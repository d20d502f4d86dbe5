//! The conditions of an autoscaler's status, worded as Kubernetes words them.
//!
//! They stay until a sync sets them anew, in the order in which they were first set (`setConditionInList` in
//! `pkg/controller/podautoscaler/horizontal.go`).

use std::borrow::Cow;

use record::ScalingCondition;

/// Which condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AbleToScale,
    ScalingActive,
    ScalingLimited,
    ScaledToZero,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::AbleToScale => "AbleToScale",
            Self::ScalingActive => "ScalingActive",
            Self::ScalingLimited => "ScalingLimited",
            Self::ScaledToZero => "ScaledToZero",
        }
    }
}

/// All conditions of one status.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions(Vec<ScalingCondition>);

impl Conditions {
    pub(super) fn new(earlier: Vec<ScalingCondition>) -> Self {
        Self(earlier)
    }

    pub(super) fn set(&mut self, kind: Kind, holds: bool, reason: &'static str, message: impl Into<Cow<'static, str>>) {
        let status = Cow::Borrowed(if holds { "True" } else { "False" });
        let (reason, message) = (Cow::Borrowed(reason), message.into());
        match self.0.iter_mut().find(|condition| condition.kind == kind.name()) {
            Some(condition) => (condition.status, condition.reason, condition.message) = (status, reason, message),
            None => self.0.push(ScalingCondition { kind: Cow::Borrowed(kind.name()), status, reason, message }),
        }
    }

    pub(super) fn remove(&mut self, kind: Kind) {
        self.0.retain(|condition| condition.kind != kind.name());
    }

    pub(super) fn holds(&self, kind: Kind) -> bool {
        self.0.iter().any(|condition| condition.kind == kind.name() && condition.status == "True")
    }

    /// The reason of a condition; empty where it was never set.
    pub(super) fn reason(&self, kind: Kind) -> &str {
        self.0.iter().find(|condition| condition.kind == kind.name()).map_or("", |condition| &condition.reason)
    }

    pub(super) fn all(&self) -> &[ScalingCondition] {
        &self.0
    }
}
