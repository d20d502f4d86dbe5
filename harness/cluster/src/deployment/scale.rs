//! What a Deployment that is resized does to its ReplicaSets (`sync.go`, `scale`).

use platform::Strategy;

use super::{Counts, Deployment, Told};

impl Deployment {
    /// One active ReplicaSet gets everything; while a rollout is under way each gets its share.
    pub(super) fn scale(&mut self, counts: &[Counts], told: &mut Vec<Told>) {
        if let Some(only) = self.active_or_latest() {
            self.resize_set(only, self.desired, told);
            return;
        }
        let active: Vec<usize> = (0..self.sets.len()).filter(|index| self.sets[*index].replicas > 0).collect();
        if let Some(newest) = self.newest().filter(|newest| self.is_saturated(*newest, counts)) {
            for index in active.into_iter().filter(|index| *index != newest) {
                self.resize_set(index, 0, told);
            }
            return;
        }
        if matches!(self.strategy, Strategy::Rolling { .. }) {
            self.share_out(active, told);
        }
    }

    /// `FindActiveOrLatest`: the only one with replicas, or the newest where none has any.
    fn active_or_latest(&self) -> Option<usize> {
        let mut active = (0..self.sets.len()).filter(|index| self.sets[*index].replicas > 0);
        match (active.next(), active.next()) {
            (None, _) => self.newest().or(self.sets.len().checked_sub(1)),
            (only, None) => only,
            (Some(_), Some(_)) => None,
        }
    }

    fn is_saturated(&self, index: usize, counts: &[Counts]) -> bool {
        let (set, available) = (&self.sets[index], counts.get(index).map_or(0, |counts| counts.available));
        [set.replicas, set.desired, available] == [self.desired; 3]
    }

    /// What there is to add or to take goes to all in proportion to their sizes, what rounding leaves to the largest.
    fn share_out(&mut self, mut active: Vec<usize>, told: &mut Vec<Told>) {
        let allowed = if self.desired > 0 { i64::from(self.desired + self.surge()) } else { 0 };
        let to_add = allowed - i64::from(self.total());
        // Of equal ones the newer gains first, the older loses first.
        if to_add > 0 {
            active.reverse();
        }
        if to_add != 0 {
            active.sort_by_key(|index| std::cmp::Reverse(self.sets[*index].replicas));
        }
        let mut added = 0;
        let mut sizes: Vec<i64> = Vec::with_capacity(active.len());
        for &index in &active {
            let now = i64::from(self.sets[index].replicas);
            let share = if to_add == 0 || to_add == added { 0 } else { self.fraction(index) };
            let left = to_add - added;
            let share = if to_add > 0 { share.min(left) } else { share.max(left) };
            added += share;
            sizes.push(now + share);
        }
        if let Some(largest) = sizes.first_mut() {
            *largest = (*largest + to_add - added).max(0);
        }
        for (&index, &size) in active.iter().zip(&sizes) {
            self.set_replicas(index, size.max(0) as u32, told);
        }
    }

    /// `getReplicaSetFraction`: how much it would grow with the Deployment; halves round away from zero.
    fn fraction(&self, index: usize) -> i64 {
        let set = &self.sets[index];
        let replicas = i64::from(set.replicas);
        if self.desired == 0 {
            return -replicas;
        }
        let before = if set.max == 0 { self.reported_replicas() } else { set.max };
        if before == 0 {
            return 0;
        }
        let size = libm::round(f64::from(set.replicas * (self.desired + self.surge())) / f64::from(before));
        size as i64 - replicas
    }
}
