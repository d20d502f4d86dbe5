//! The Deployment controller: how many replicas each of its ReplicaSets gets, and when.
//!
//! Follows `pkg/controller/deployment/{rolling,recreate,sync,progress}.go` and `util/deployment_util.go` to the letter:
//! one call of [`Deployment::sync`] is one `syncDeployment`, fed with what the ReplicaSets report. Counts of replicas
//! are those that ReplicaSets are told to have; ending pods count nowhere, so that more pods than the surge allows can
//! be there for a while. Nothing is rolled back by itself.
//!
//! Left out: hash collisions, and creations that the API server refuses.

mod scale;
mod status;

use platform::{CountOrPercent, Strategy};
use units::Nanos;

use crate::Flaw;
pub use status::{Condition, DeploymentStatus, ReplicaSetStatus};
pub(crate) use status::{Counts, Look, Told};
use status::{Progress, Reason};

/// `revisionHistoryLimit` where nothing is said (`pkg/apis/apps/v1/defaults.go`).
const REVISION_HISTORY: u32 = 10;

/// One ReplicaSet, as its Deployment writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSet {
    /// Which template its pods are made of.
    pub(crate) template: u32,
    /// Annotation `deployment.kubernetes.io/revision`.
    pub(crate) revision: u32,
    /// `spec.replicas`.
    pub(crate) replicas: u32,
    /// `minReadySeconds`: that of the Deployment for the newest one; older ones keep theirs.
    pub(crate) min_ready: Nanos,
    /// Annotations `desired-replicas` and `max-replicas`: the Deployment's size when this one was sized last.
    desired: u32,
    max: u32,
}

/// Which of a Deployment's pods are left, ending ones included. Those whose ReplicaSet has gone are nobody's
/// (`getPodMapForDeployment`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// Any of a ReplicaSet other than the wanted template's.
    pub(crate) old: bool,
    /// None at all.
    pub(crate) none: bool,
}

/// How a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    /// Nothing changed.
    Settled,
    /// Something did: it is to be called again.
    Changed,
    /// The same, after a write that was refused: it is called again 5 ms later, and a look that was planned for later
    /// is not taken, since the queue holds a key once.
    Refused,
}

impl Synced {
    fn of(changed: bool) -> Self {
        if changed { Self::Changed } else { Self::Settled }
    }
}

/// What a sync wrote into before it did anything else.
#[derive(Debug, PartialEq, Eq)]
enum Annotated {
    Nothing,
    ReplicaSet,
    Deployment,
}

/// A Deployment's ReplicaSets and how far its rollout is.
#[derive(Debug)]
pub(crate) struct Deployment {
    strategy: Strategy,
    deadline: Option<Nanos>,
    /// `revisionHistoryLimit`.
    history: u32,
    min_ready: Nanos,
    paused: bool,
    desired: u32,
    /// Flaws of all templates there have been.
    templates: Vec<Flaw>,
    /// The template that is wanted.
    wanted: u32,
    /// In order of creation.
    sets: Vec<ReplicaSet>,
    progress: Progress,
    /// Annotation `deployment.kubernetes.io/revision`.
    revision: u32,
    /// What the last sync looked at; `None`: the spec has changed since.
    seen: Option<(Vec<Counts>, bool)>,
}

impl Deployment {
    pub(crate) fn new(strategy: Strategy, deadline: Option<Nanos>, min_ready: Nanos, desired: u32) -> Self {
        Self {
            strategy,
            deadline,
            history: REVISION_HISTORY,
            min_ready,
            paused: false,
            desired,
            templates: vec![Flaw::None],
            wanted: 0,
            sets: Vec::new(),
            progress: Progress::default(),
            revision: 0,
            seen: None,
        }
    }

    /// Keeps this many old ReplicaSets instead of Kubernetes' default.
    pub(crate) fn with_history(mut self, limit: Option<u32>) -> Self {
        self.history = limit.unwrap_or(REVISION_HISTORY);
        self
    }

    /// Whether its informers would have told it of anything since the last sync: a change of its own spec, or of what
    /// its ReplicaSets report. That a pod has gone is no news of its own but for `Recreate`, and then only if it was the
    /// last of all (`deletePod`).
    pub(crate) fn has_news(&self, counts: &[Counts], left: Left) -> bool {
        let recreates = matches!(self.strategy, Strategy::Recreate);
        self.seen.as_ref().is_none_or(|seen| seen.0 != counts || (recreates && left.none && !seen.1))
    }

    /// A new pod template is applied.
    pub(crate) fn roll_out(&mut self, flaw: Flaw) {
        self.respecify();
        self.wanted = self.templates.len() as u32;
        self.templates.push(flaw);
    }

    /// `kubectl rollout undo` (`polymorphichelpers/rollback.go`): the template of a revision, or of the highest but one,
    /// is applied again. `false` where there is none (`no rollout history found`), where it is the present one, and
    /// while the rollout is paused, as kubectl refuses then.
    pub(crate) fn roll_back(&mut self, to: Option<u32>) -> bool {
        let found = if let Some(revision) = to {
            self.sets.iter().find(|set| set.revision == revision)
        } else {
            let mut by_age: Vec<&ReplicaSet> = self.sets.iter().collect();
            by_age.sort_by_key(|set| std::cmp::Reverse(set.revision));
            by_age.get(1).copied()
        };
        let found = found.filter(|set| !self.paused && set.template != self.wanted);
        let Some(found) = found else { return false };
        self.wanted = found.template;
        self.respecify();
        true
    }

    /// Fields of its spec are set anew.
    pub(crate) fn patch(&mut self, patch: &Patch) {
        let Patch { strategy, min_ready, progress_deadline, paused } = *patch;
        let before = (self.strategy, self.min_ready, self.deadline, self.paused);
        self.strategy = strategy.unwrap_or(self.strategy);
        self.min_ready = min_ready.unwrap_or(self.min_ready);
        self.deadline = progress_deadline.unwrap_or(self.deadline);
        self.paused = paused.unwrap_or(self.paused);
        if before != (self.strategy, self.min_ready, self.deadline, self.paused) {
            self.respecify();
        }
    }

    pub(crate) fn resize(&mut self, desired: u32) {
        if desired != self.desired {
            self.respecify();
        }
        self.desired = desired;
    }

    pub(crate) fn sets(&self) -> &[ReplicaSet] {
        &self.sets
    }

    /// Whether the ReplicaSet of a template is still there.
    pub(crate) fn keeps(&self, template: u32) -> bool {
        self.sets.iter().any(|set| set.template == template)
    }

    pub(crate) fn flaw(&self, template: u32) -> Flaw {
        self.templates[template as usize]
    }

    /// `minReadySeconds` of the ReplicaSet of a template.
    pub(crate) fn min_ready(&self, template: u32) -> Nanos {
        self.sets.iter().find(|set| set.template == template).map_or(self.min_ready, |set| set.min_ready)
    }

    /// The template that is wanted.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// The ReplicaSet of the wanted template, once it is there.
    pub(crate) fn current(&self) -> Option<&ReplicaSet> {
        self.newest().map(|index| &self.sets[index])
    }

    fn newest(&self) -> Option<usize> {
        self.sets.iter().position(|set| set.template == self.wanted)
    }

    /// Indices of the ReplicaSets of other templates, the oldest first.
    fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|index| self.sets[*index].template != self.wanted).collect()
    }

    /// `MaxSurge`: percentages round up.
    pub(crate) fn surge(&self) -> u32 {
        match self.strategy {
            Strategy::Recreate => 0,
            Strategy::Rolling { max_surge, .. } => share(max_surge, self.desired, true),
        }
    }

    /// `MaxUnavailable`: percentages round down; where neither bound lets anything move, one pod may be missing.
    pub(crate) fn unavailable(&self) -> u32 {
        match self.strategy {
            Strategy::Rolling { max_unavailable, .. } if self.desired > 0 => {
                let unavailable = share(max_unavailable, self.desired, false);
                let unavailable = if unavailable == 0 && self.surge() == 0 { 1 } else { unavailable };
                unavailable.min(self.desired)
            }
            Strategy::Rolling { .. } | Strategy::Recreate => 0,
        }
    }

    fn total(&self) -> u32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// One sync. `counts` has what each ReplicaSet reports, by its index; `left` which pods are left, ending ones
    /// included.
    pub(crate) fn sync(&mut self, now: Nanos, counts: &[Counts], left: Left, told: &mut Vec<Told>) -> Synced {
        let Left { old: old_pods, none: gone } = left;
        self.seen = Some((counts.to_vec(), gone));
        // A write into the Deployment makes the status that is written later in the same sync an old version: refused,
        // and tried again 5 ms later with what the ReplicaSets report by then.
        let mut outdated = self.check_paused(now);
        match self.annotate_newest(now) {
            Annotated::Nothing => {}
            // Written twice in one sync, the second time as an old version.
            Annotated::ReplicaSet if !self.paused => return Synced::Refused,
            Annotated::ReplicaSet | Annotated::Deployment => outdated = true,
        }
        if self.only_scales() {
            let before = self.sets.clone();
            self.scale(counts, told);
            let mut counts = counts.to_vec();
            if self.paused {
                self.forget_old(&mut counts);
            }
            if outdated {
                return if self.would_observe(&counts) { Synced::Refused } else { Synced::Changed };
            }
            return Synced::of(self.observe(&counts) || before != self.sets);
        }
        let created = self.sets.len();
        let mut changed = match self.strategy {
            Strategy::Recreate => self.recreate(old_pods, now, told),
            Strategy::Rolling { .. } => self.roll(counts, now, told),
        };
        let mut counts = counts.to_vec();
        counts.resize(self.sets.len(), Counts::default());
        changed |= created != self.sets.len();
        if !changed && self.is_complete() {
            changed = self.forget_old(&mut counts);
        }
        if created < self.sets.len() {
            self.revision = self.current().map_or(0, |set| set.revision);
            outdated = true;
        }
        if outdated {
            let kept = self.progress;
            let writes = self.report(now, &counts, &mut Vec::new());
            self.progress = kept;
            return if writes { Synced::Refused } else { Synced::Changed };
        }
        Synced::of(self.report(now, &counts, told) || changed)
    }

    /// Whether a sync is `sync`, which neither rolls nor judges progress: while paused, and at a scaling event.
    fn only_scales(&self) -> bool {
        self.paused || self.sets.iter().any(|set| set.replicas > 0 && set.desired != self.desired)
    }

    /// `getNewReplicaSet` of one that exists: it has the highest revision, also after a rollback, and the Deployment's
    /// `minReadySeconds`; a deadline that is new has something to count from. What was written into.
    fn annotate_newest(&mut self, now: Nanos) -> Annotated {
        let Some(newest) = self.newest() else { return Annotated::Nothing };
        let others = self.sets.iter().enumerate().filter(|(index, _)| *index != newest);
        let highest = others.map(|(_, set)| set.revision).max().unwrap_or(0);
        let set = &mut self.sets[newest];
        let revision = set.revision.max(highest + 1);
        if (set.revision, set.min_ready) != (revision, self.min_ready) {
            (set.revision, set.min_ready) = (revision, self.min_ready);
            return Annotated::ReplicaSet;
        }
        let found = self.deadline.is_some() && self.progress.find(now, set.template);
        if std::mem::replace(&mut self.revision, revision) != revision || found {
            return Annotated::Deployment;
        }
        Annotated::Nothing
    }

    /// `getNewReplicaSet`: the index of the wanted template's ReplicaSet, created if need be.
    fn ensure_newest(&mut self, now: Nanos, told: &mut Vec<Told>) -> usize {
        if let Some(index) = self.newest() {
            return index;
        }
        let revision = self.sets.iter().map(|set| set.revision).max().unwrap_or(0) + 1;
        let max = self.desired + self.surge();
        let (template, min_ready, desired) = (self.wanted, self.min_ready, self.desired);
        self.sets.push(ReplicaSet { template, revision, replicas: 0, min_ready, desired, max });
        let index = self.sets.len() - 1;
        self.sets[index].replicas = self.room_for_newest(index);
        if self.deadline.is_some() {
            self.progress.set(now, Reason::Created, Some(template));
        }
        told.push(Told::Created { revision });
        if self.sets[index].replicas > 0 {
            told.push(Told::Scaled { template: self.wanted, from: 0, to: self.sets[index].replicas });
        }
        index
    }

    /// `NewRSNewReplicas`.
    fn room_for_newest(&self, index: usize) -> u32 {
        let now = self.sets[index].replicas;
        match self.strategy {
            Strategy::Recreate => self.desired,
            Strategy::Rolling { .. } => {
                let room = (self.desired + self.surge()).saturating_sub(self.total());
                now + room.min(self.desired.saturating_sub(now))
            }
        }
    }

    /// `scaleReplicaSet`. Whether its size changed.
    fn set_replicas(&mut self, index: usize, to: u32, told: &mut Vec<Told>) -> bool {
        let max = self.desired + self.surge();
        let set = &mut self.sets[index];
        let from = std::mem::replace(&mut set.replicas, to);
        (set.desired, set.max) = (self.desired, max);
        if from != to {
            told.push(Told::Scaled { template: set.template, from, to });
        }
        from != to
    }

    /// `scaleReplicaSetAndRecordEvent`: leaves the annotations alone where the size is right.
    fn resize_set(&mut self, index: usize, to: u32, told: &mut Vec<Told>) -> bool {
        self.sets[index].replicas != to && self.set_replicas(index, to, told)
    }

    /// `rolloutRolling`: up if that is possible, and only otherwise down.
    fn roll(&mut self, counts: &[Counts], now: Nanos, told: &mut Vec<Told>) -> bool {
        let newest = self.ensure_newest(now, told);
        let replicas = self.sets[newest].replicas;
        let to = if replicas > self.desired { self.desired } else { self.room_for_newest(newest) };
        self.resize_set(newest, to, told) || self.shrink_old(newest, counts, told)
    }

    /// `reconcileOldReplicaSets`: first what is not available anyway, then as much as availability allows.
    fn shrink_old(&mut self, newest: usize, counts: &[Counts], told: &mut Vec<Told>) -> bool {
        let available = |index: usize| counts.get(index).map_or(0, |c: &Counts| c.available);
        let old: Vec<usize> = self.old().into_iter().filter(|index| self.sets[*index].replicas > 0).collect();
        if old.is_empty() {
            return false;
        }
        let floor = i64::from(self.desired) - i64::from(self.unavailable());
        let missing = i64::from(self.sets[newest].replicas) - i64::from(available(newest));
        let mut most = i64::from(self.total()) - floor - missing;
        if most <= 0 {
            return false;
        }
        let mut changed = false;
        for &index in &old {
            let replicas = self.sets[index].replicas;
            let unhealthy = i64::from(replicas) - i64::from(available(index));
            let drop = unhealthy.clamp(0, most);
            most -= drop;
            changed |= self.resize_set(index, replicas - drop as u32, told);
        }
        let mut spare = (0..self.sets.len()).map(|index| i64::from(available(index))).sum::<i64>() - floor;
        for &index in &old {
            let replicas = self.sets[index].replicas;
            let drop = spare.clamp(0, i64::from(replicas));
            spare -= drop;
            changed |= self.resize_set(index, replicas - drop as u32, told);
        }
        changed
    }

    /// `rolloutRecreate`.
    fn recreate(&mut self, old_pods: bool, now: Nanos, told: &mut Vec<Told>) -> bool {
        let mut changed = false;
        for index in self.old() {
            changed |= self.resize_set(index, 0, told);
        }
        if changed || old_pods {
            return changed;
        }
        let newest = self.ensure_newest(now, told);
        self.resize_set(newest, self.desired, told)
    }

    /// `cleanupDeployment`.
    fn forget_old(&mut self, counts: &mut Vec<Counts>) -> bool {
        let mut old = self.old();
        let excess = old.len().saturating_sub(self.history as usize);
        old.sort_by_key(|index| self.sets[*index].revision);
        let mut drop: Vec<usize> = old
            .into_iter()
            .take(excess)
            .filter(|index| self.sets[*index].replicas == 0 && counts[*index].replicas == 0)
            .collect();
        drop.sort_unstable();
        for index in drop.iter().rev() {
            self.sets.remove(*index);
            counts.remove(*index);
        }
        !drop.is_empty()
    }
}

/// Fields of a Deployment's spec that somebody sets anew, as `kubectl patch` and `kubectl rollout pause` do. `None`
/// leaves a field as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// `strategy`.
    pub strategy: Option<Strategy>,
    /// `minReadySeconds`, for pods of the newest template.
    pub min_ready: Option<Nanos>,
    /// `progressDeadlineSeconds`, or none.
    pub progress_deadline: Option<Option<Nanos>>,
    /// `paused`: templates are not rolled out, sizes are.
    pub paused: Option<bool>,
}

/// `GetScaledValueFromIntOrPercent`.
pub(crate) fn share(of: CountOrPercent, total: u32, up: bool) -> u32 {
    match of {
        CountOrPercent::Count(count) => count,
        CountOrPercent::Percent(percent) => {
            let product = u64::from(percent) * u64::from(total);
            (if up { product.div_ceil(100) } else { product / 100 }) as u32
        }
    }
}

#[cfg(test)]
mod tests;
