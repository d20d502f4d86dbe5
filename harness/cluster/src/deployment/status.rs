//! A Deployment's status: what it counts, its conditions, when it has been stuck for too long.
//!
//! Conditions are set as `SetDeploymentCondition` sets them: what has the same status and reason stays as it is,
//! message included. Only progress renews `lastUpdateTime`, from which the deadline counts, and which travels without
//! fractions of a second.

use units::Nanos;

use super::Deployment;
use crate::hpa::whole_seconds;

/// What a ReplicaSet reports: its active pods, how many of them are ready, and ready for `minReadySeconds`; from 1.35 on
/// also those that are ending (gate `DeploymentReplicaSetTerminatingReplicas`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) replicas: u32,
    pub(crate) ready: u32,
    pub(crate) available: u32,
    /// `terminatingReplicas`; 0 where the release does not count them.
    pub(crate) terminating: u32,
}

/// What a sync has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A ReplicaSet for a template that had none.
    Created { revision: u32 },
    /// A ReplicaSet was resized.
    Scaled { template: u32, from: u32, to: u32 },
    /// The rollout came closer to its end.
    Progressed { updated: u32, available: u32 },
    /// It ended well.
    Complete { revision: u32 },
    /// `ProgressDeadlineExceeded`.
    Stalled,
}

/// When a sync that changed nothing is repeated though nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Never,
    At(Nanos),
    /// As soon as the rate limits of the queue let it.
    Soon,
}

/// Reason of condition Progressing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Created,
    Found,
    Updated,
    Available,
    DeadlineExceeded,
    Paused,
    Resumed,
}

/// Condition Progressing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progressing {
    reason: Reason,
    /// The template of the ReplicaSet that the message is about; `None`: it is about the Deployment.
    about: Option<u32>,
    /// `lastUpdateTime`.
    updated: Nanos,
}

impl Progressing {
    fn status(self) -> &'static str {
        match self.reason {
            Reason::Created | Reason::Found | Reason::Updated | Reason::Available => "True",
            Reason::DeadlineExceeded => "False",
            Reason::Paused | Reason::Resumed => "Unknown",
        }
    }

    /// In the words of `kubectl describe`, with the Deployment's name and that of a template's ReplicaSet.
    fn told(self, deployment: &str, set: impl Fn(u32) -> String) -> Condition {
        let subject = match self.about {
            Some(template) => format!("ReplicaSet \"{}\"", set(template)),
            None => format!("Deployment \"{deployment}\""),
        };
        let bare = || self.about.map(&set).unwrap_or_default();
        let (reason, message) = match self.reason {
            Reason::Created => ("NewReplicaSetCreated", format!("Created new replica set \"{}\"", bare())),
            Reason::Found => ("FoundNewReplicaSet", format!("Found new replica set \"{}\"", bare())),
            Reason::Updated => ("ReplicaSetUpdated", format!("{subject} is progressing.")),
            Reason::Available => ("NewReplicaSetAvailable", format!("{subject} has successfully progressed.")),
            Reason::DeadlineExceeded => ("ProgressDeadlineExceeded", format!("{subject} has timed out progressing.")),
            Reason::Paused => ("DeploymentPaused", "Deployment is paused".to_owned()),
            Reason::Resumed => ("DeploymentResumed", "Deployment is resumed".to_owned()),
        };
        Condition { kind: "Progressing", status: self.status(), reason, message }
    }
}

/// A condition of a Deployment, in the words of `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Available` or `Progressing`.
    pub kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// What `kubectl describe deployment` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// In order of creation.
    pub replica_sets: Vec<ReplicaSetStatus>,
    /// Pods that are not ending.
    pub replicas: u32,
    /// Those of the wanted template.
    pub updated: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that have been ready for `minReadySeconds`.
    pub available: u32,
    /// Pods that are wanted now, by all ReplicaSets together, and not available.
    pub unavailable: u32,
    /// Available and Progressing.
    pub conditions: Vec<Condition>,
}

/// A ReplicaSet of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSetStatus {
    /// `metadata.name`.
    pub name: String,
    /// Which of the workload's templates, counted from 0.
    pub template: u32,
    /// Annotation `deployment.kubernetes.io/revision`.
    pub revision: u32,
    /// `spec.replicas`.
    pub wanted: u32,
    /// Pods that are not ending.
    pub replicas: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that have been ready for `minReadySeconds`.
    pub available: u32,
}

/// What the Deployment's status said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) replicas: u32,
    pub(crate) updated: u32,
    pub(crate) ready: u32,
    pub(crate) available: u32,
    pub(crate) unavailable: u32,
    terminating: u32,
    /// Condition Available: `None` before the first sync.
    minimum: Option<bool>,
    /// `observedGeneration` is that of the spec: it has not changed since.
    observed: bool,
}

/// Status and condition Progressing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    status: Status,
    progressing: Option<Progressing>,
    completed: u32,
}

impl Progress {
    /// Sets the condition, unless it says so already. Whether that changed it.
    pub(super) fn set(&mut self, now: Nanos, reason: Reason, about: Option<u32>) -> bool {
        if self.progressing.is_some_and(|condition| condition.reason == reason) {
            return false;
        }
        self.progressing = Some(Progressing { reason, about, updated: whole_seconds(now) });
        true
    }

    /// A deadline that nobody has counted yet begins. Whether it did.
    pub(super) fn find(&mut self, now: Nanos, template: u32) -> bool {
        self.progressing.is_none() && self.set(now, Reason::Found, Some(template))
    }

    fn reason(&self) -> Option<Reason> {
        self.progressing.map(|condition| condition.reason)
    }
}

impl Deployment {
    /// The spec is another one, which no status has observed.
    pub(super) fn respecify(&mut self) {
        self.seen = None;
        self.progress.status.observed = false;
    }

    /// The status as written last.
    pub(crate) fn status(&self) -> Status {
        self.progress.status
    }

    /// The conditions by type, with the name of a template's ReplicaSet.
    pub(crate) fn conditions(&self, name: &str, set: impl Fn(u32) -> String) -> Vec<Condition> {
        let minimum = self.progress.status.minimum.map(|enough| {
            let (status, reason, message) = if enough {
                ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            } else {
                ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
            };
            Condition { kind: "Available", status, reason, message: message.to_owned() }
        });
        let progressing = self.progress.progressing.map(|condition| condition.told(name, set));
        minimum.into_iter().chain(progressing).collect()
    }

    /// `calculateStatus`.
    fn calculate(&self, counts: &[Counts]) -> Status {
        let updated = self.newest().and_then(|index| counts.get(index)).map_or(0, |counts| counts.replicas);
        let sum = |field: fn(&Counts) -> u32| counts.iter().map(field).sum();
        let available = sum(|c| c.available);
        Status {
            replicas: sum(|c| c.replicas),
            updated,
            ready: sum(|c| c.ready),
            available,
            unavailable: self.total().saturating_sub(available),
            terminating: sum(|c| c.terminating),
            minimum: Some(available + self.unavailable() >= self.desired),
            observed: true,
        }
    }

    /// `status.replicas` as written last.
    pub(super) fn reported_replicas(&self) -> u32 {
        self.progress.status.replicas
    }

    /// `DeploymentComplete` by the status written last.
    pub(super) fn is_complete(&self) -> bool {
        self.completes(self.progress.status)
    }

    fn completes(&self, status: Status) -> bool {
        status.observed && [status.updated, status.replicas, status.available] == [self.desired; 3]
    }

    /// `checkPausedConditions`. Whether the condition changed.
    pub(super) fn check_paused(&mut self, now: Nanos) -> bool {
        if self.deadline.is_none() || self.progress.reason() == Some(Reason::DeadlineExceeded) {
            return false;
        }
        if self.paused {
            return self.progress.set(now, Reason::Paused, None);
        }
        self.progress.reason() == Some(Reason::Paused) && self.progress.set(now, Reason::Resumed, None)
    }

    /// Whether [`Deployment::observe`] would write anything.
    pub(super) fn would_observe(&self, counts: &[Counts]) -> bool {
        self.calculate(counts) != self.progress.status
    }

    /// Writes the status without judging progress (`syncDeploymentStatus`). Whether it changed.
    pub(super) fn observe(&mut self, counts: &[Counts]) -> bool {
        let new = self.calculate(counts);
        std::mem::replace(&mut self.progress.status, new) != new
    }

    /// Writes the status and judges progress (`syncRolloutStatus`). Whether anything changed.
    pub(super) fn report(&mut self, now: Nanos, counts: &[Counts], told: &mut Vec<Told>) -> bool {
        let (old, new) = (self.progress.status, self.calculate(counts));
        let before = self.progress.progressing;
        self.progress.status = new;
        if self.deadline.is_none() {
            self.progress.progressing = None;
        }
        let is_over = new.replicas == new.updated && self.progress.reason() == Some(Reason::Available);
        let progressed = new.updated > old.updated
            || new.replicas.saturating_sub(new.updated) < old.replicas.saturating_sub(old.updated)
            || new.ready > old.ready
            || new.available > old.available;
        if !is_over {
            let about = self.newest().map(|index| self.sets[index].template);
            let judged = self.deadline.is_some();
            let revision = self.current().map_or(0, |set| set.revision);
            if self.completes(new) {
                if judged {
                    self.progress.set(now, Reason::Available, about);
                }
                if std::mem::replace(&mut self.progress.completed, revision) != revision {
                    told.push(Told::Complete { revision });
                }
            } else if progressed {
                if judged {
                    let updated = whole_seconds(now);
                    self.progress.progressing = Some(Progressing { reason: Reason::Updated, about, updated });
                }
                told.push(Told::Progressed { updated: new.updated, available: new.available });
            } else if self.has_timed_out(now) && self.progress.set(now, Reason::DeadlineExceeded, about) {
                told.push(Told::Stalled);
            }
        }
        (old, before) != (new, self.progress.progressing)
    }

    /// When the deadline is reached, where one is counted. A rollout that has succeeded passes none, but one is counted
    /// from its end, too.
    fn deadline_at(&self) -> Option<Nanos> {
        let waits = |condition: &Progressing| !matches!(condition.reason, Reason::DeadlineExceeded | Reason::Paused);
        let condition = self.progress.progressing.filter(waits)?;
        self.deadline.map(|deadline| condition.updated + deadline)
    }

    /// `DeploymentTimedOut`.
    fn has_timed_out(&self, now: Nanos) -> bool {
        self.progress.reason() != Some(Reason::Available) && self.deadline_at().is_some_and(|at| at < now)
    }

    /// When a sync that changed nothing looks again whether the deadline has passed (`requeueStuckDeployment`): a
    /// second after it, or as soon as the queue lets it while less than a second is left. One that was complete and is
    /// not now has nothing left for ever, so it looks until it is complete again.
    pub(crate) fn looks_again(&self, now: Nanos) -> Look {
        let second = Nanos::from_secs(1);
        match self.deadline_at() {
            Some(at) if !self.is_complete() && !self.only_scales() => {
                if at >= now + second {
                    Look::At(at + second)
                } else {
                    Look::Soon
                }
            }
            _ => Look::Never,
        }
    }
}
