//! A Deployment's status: what it counts, whether it progresses, when it has been stuck for too long.

use units::Nanos;

use super::Deployment;

/// What a ReplicaSet reports: its active pods, how many of them are ready, and ready for `minReadySeconds`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) replicas: u32,
    pub(crate) ready: u32,
    pub(crate) available: u32,
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

/// Reason of condition Progressing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reason {
    /// `NewReplicaSetCreated` and `ReplicaSetUpdated`.
    #[default]
    Updated,
    /// `NewReplicaSetAvailable`.
    Available,
    /// `ProgressDeadlineExceeded`.
    DeadlineExceeded,
}

/// What the Deployment's status said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Status {
    replicas: u32,
    updated: u32,
    ready: u32,
    available: u32,
}

/// Status and condition Progressing.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    status: Status,
    reason: Reason,
    /// `lastUpdateTime` of the condition.
    updated: Nanos,
    completed: u32,
}

impl Progress {
    pub(super) fn created(&mut self, now: Nanos) {
        (self.reason, self.updated) = (Reason::Updated, now);
    }
}

impl Deployment {
    fn status(&self, counts: &[Counts]) -> Status {
        let updated = self.newest().and_then(|index| counts.get(index)).map_or(0, |counts| counts.replicas);
        let sum = |field: fn(&Counts) -> u32| counts.iter().map(field).sum();
        Status { replicas: sum(|c| c.replicas), updated, ready: sum(|c| c.ready), available: sum(|c| c.available) }
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
        [status.updated, status.replicas, status.available] == [self.desired; 3]
    }

    /// Writes the status without judging progress (`syncDeploymentStatus`).
    pub(super) fn observe(&mut self, counts: &[Counts]) {
        self.progress.status = self.status(counts);
    }

    /// Writes the status and judges progress (`syncRolloutStatus`).
    pub(super) fn report(&mut self, now: Nanos, counts: &[Counts], told: &mut Vec<Told>) {
        let (old, new) = (self.progress.status, self.status(counts));
        self.progress.status = new;
        if new.replicas == new.updated && self.progress.reason == Reason::Available {
            return;
        }
        let progressed = new.updated > old.updated
            || new.replicas.saturating_sub(new.updated) < old.replicas.saturating_sub(old.updated)
            || new.ready > old.ready
            || new.available > old.available;
        let revision = self.current().map_or(0, |set| set.revision);
        if self.completes(new) {
            (self.progress.reason, self.progress.updated) = (Reason::Available, now);
            if std::mem::replace(&mut self.progress.completed, revision) != revision {
                told.push(Told::Complete { revision });
            }
        } else if progressed {
            (self.progress.reason, self.progress.updated) = (Reason::Updated, now);
            told.push(Told::Progressed { updated: new.updated, available: new.available });
        } else if self.progress.reason == Reason::Updated && self.stalls_at().is_some_and(|at| at <= now) {
            self.progress.reason = Reason::DeadlineExceeded;
            told.push(Told::Stalled);
        }
    }

    /// When a sync will find the deadline exceeded unless something moves: a second after it
    /// (`requeueStuckDeployment` adds one).
    pub(crate) fn stalls_at(&self) -> Option<Nanos> {
        let waits = self.progress.reason == Reason::Updated && !self.is_complete();
        self.deadline.filter(|_| waits).map(|deadline| self.progress.updated + deadline + Nanos::from_secs(1))
    }
}
