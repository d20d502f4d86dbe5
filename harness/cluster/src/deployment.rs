//! The Deployment controller: how many replicas each of its ReplicaSets gets, and when.
//!
//! Follows `pkg/controller/deployment/{rolling,recreate,sync,progress}.go` and `util/deployment_util.go` to the letter:
//! one call of [`Deployment::sync`] is one `syncDeployment`, fed with what the ReplicaSets report. Counts of replicas
//! are those that ReplicaSets are told to have; ending pods count nowhere, so that more pods than the surge allows can
//! be there for a while. Nothing is rolled back by itself.
//!
//! Left out: pausing, and hash collisions. `revisionHistoryLimit` is Kubernetes' default, 10.

mod scale;
mod status;

use platform::{CountOrPercent, Strategy};
use units::Nanos;

use crate::Flaw;
use status::Progress;
pub(crate) use status::{Counts, Told};

/// `revisionHistoryLimit` where nothing is said (`pkg/apis/apps/v1/defaults.go`).
const REVISION_HISTORY: usize = 10;

/// One ReplicaSet, as its Deployment writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSet {
    /// Which template its pods are made of.
    pub(crate) template: u32,
    /// Annotation `deployment.kubernetes.io/revision`.
    pub(crate) revision: u32,
    /// `spec.replicas`.
    pub(crate) replicas: u32,
    /// Annotations `desired-replicas` and `max-replicas`: the Deployment's size when this one was sized last.
    desired: u32,
    max: u32,
}

/// A Deployment's ReplicaSets and how far its rollout is.
#[derive(Debug)]
pub(crate) struct Deployment {
    strategy: Strategy,
    deadline: Option<Nanos>,
    desired: u32,
    /// Flaws of all templates there have been.
    templates: Vec<Flaw>,
    /// The template that is wanted.
    wanted: u32,
    /// In order of creation.
    sets: Vec<ReplicaSet>,
    progress: Progress,
}

impl Deployment {
    pub(crate) fn new(strategy: Strategy, deadline: Option<Nanos>, desired: u32) -> Self {
        Self {
            strategy,
            deadline,
            desired,
            templates: vec![Flaw::None],
            wanted: 0,
            sets: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// A new pod template is applied.
    pub(crate) fn roll_out(&mut self, flaw: Flaw) {
        self.wanted = self.templates.len() as u32;
        self.templates.push(flaw);
    }

    /// `kubectl rollout undo`: the template of the revision before the present one is applied again. `false` where
    /// there is none (`no rollout history found`).
    pub(crate) fn roll_back(&mut self) -> bool {
        let current = self.current().map_or(u32::MAX, |set| set.revision);
        let before = self.sets.iter().filter(|set| set.template != self.wanted && set.revision < current);
        let Some(before) = before.max_by_key(|set| set.revision) else { return false };
        self.wanted = before.template;
        true
    }

    pub(crate) fn resize(&mut self, desired: u32) {
        self.desired = desired;
    }

    pub(crate) fn sets(&self) -> &[ReplicaSet] {
        &self.sets
    }

    pub(crate) fn flaw(&self, template: u32) -> Flaw {
        self.templates[template as usize]
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

    /// One sync. `counts` has what each ReplicaSet reports, by its index; `old_pods` whether any pod of another
    /// template than the wanted one is left, ending ones included. Whether a ReplicaSet was created, resized or
    /// dropped: then it is to be called again.
    pub(crate) fn sync(&mut self, now: Nanos, counts: &[Counts], old_pods: bool, told: &mut Vec<Told>) -> bool {
        self.annotate_revision();
        if self.sets.iter().any(|set| set.replicas > 0 && set.desired != self.desired) {
            let before = self.sets.clone();
            self.scale(counts, told);
            self.observe(counts);
            return before != self.sets;
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
        self.report(now, &counts, told);
        changed
    }

    /// `SetNewReplicaSetAnnotations`: the wanted template has the highest revision, also after a rollback.
    fn annotate_revision(&mut self) {
        let highest = self.old().into_iter().map(|index| self.sets[index].revision).max().unwrap_or(0);
        if let Some(index) = self.newest() {
            let set = &mut self.sets[index];
            set.revision = set.revision.max(highest + 1);
        }
    }

    /// `getNewReplicaSet`: the index of the wanted template's ReplicaSet, created if need be.
    fn ensure_newest(&mut self, now: Nanos, told: &mut Vec<Told>) -> usize {
        if let Some(index) = self.newest() {
            return index;
        }
        let revision = self.sets.iter().map(|set| set.revision).max().unwrap_or(0) + 1;
        let max = self.desired + self.surge();
        self.sets.push(ReplicaSet { template: self.wanted, revision, replicas: 0, desired: self.desired, max });
        let index = self.sets.len() - 1;
        self.sets[index].replicas = self.room_for_newest(index);
        self.progress.created(now);
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
        let excess = old.len().saturating_sub(REVISION_HISTORY);
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
