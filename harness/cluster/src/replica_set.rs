//! Which pods a ReplicaSet creates and which ones it deletes.
//!
//! Follows `pkg/controller/replicaset/replica_set.go` (at most 500 pods a sync, in batches of 1, 2, 4 …, a batch that
//! fails ends the sync) and `pkg/controller/controller_utils.go` (`ActivePodsWithRanks`: who goes first).
//! `pod-deletion-cost` is not read: it comes from the template, hence is the same for all pods of a ReplicaSet, and
//! nobody annotates single pods here.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use units::Nanos;

use crate::hpa::whole_seconds;
use crate::{PodId, PodRecord};

/// `BurstReplicas`: how many pods one sync creates or deletes at most.
pub(crate) const BURST_REPLICAS: usize = 500;

/// The sizes of the batches in which `count` pods are created (`slowStartBatch`).
pub(crate) fn batches(count: usize) -> impl Iterator<Item = usize> {
    let (mut left, mut size) = (count.min(BURST_REPLICAS), 1);
    std::iter::from_fn(move || {
        let batch = left.min(size);
        left -= batch;
        size *= 2;
        (batch > 0).then_some(batch)
    })
}

/// Which `count` of a ReplicaSet's pods a scale-down deletes, first to go first.
///
/// `pods` are the active pods of the ReplicaSet, `related` those of every ReplicaSet of the same Deployment; `uid`
/// stands for a pod's random UID.
pub(crate) fn victims<'a>(
    now: Nanos,
    count: usize,
    pods: impl IntoIterator<Item = (PodId, &'a PodRecord)>,
    related: impl IntoIterator<Item = &'a PodRecord>,
    uid: impl Fn(PodId) -> u64,
) -> Vec<PodId> {
    let mut on_node: BTreeMap<Option<usize>, u32> = BTreeMap::new();
    for record in related {
        *on_node.entry(record.node).or_default() += 1;
    }
    let mut candidates: Vec<Candidate<'_>> = pods
        .into_iter()
        .map(|(pod, record)| Candidate {
            pod,
            record,
            beside: on_node.get(&record.node).copied().unwrap_or(0),
            uid: uid(pod),
        })
        .collect();
    if count >= candidates.len() {
        return candidates.into_iter().map(|candidate| candidate.pod).collect();
    }
    // Upstream's list comes in the order of a map.
    candidates.sort_unstable_by_key(|candidate| candidate.uid);
    // Go's sort of a short list, step by step: upstream's order is not transitive (it compares ages by magnitude), so
    // that the way it is sorted decides.
    for end in 1..candidates.len() {
        let mut at = end;
        while at > 0 && candidates[at].goes_before(&candidates[at - 1], now) {
            candidates.swap(at, at - 1);
            at -= 1;
        }
    }
    candidates.truncate(count);
    candidates.into_iter().map(|candidate| candidate.pod).collect()
}

struct Candidate<'a> {
    pod: PodId,
    record: &'a PodRecord,
    /// Active pods of the Deployment on its node.
    beside: u32,
    uid: u64,
}

impl Candidate<'_> {
    /// `ActivePodsWithRanks.Less`.
    fn goes_before(&self, other: &Self, now: Nanos) -> bool {
        let (a, b) = (self.record, other.record);
        let order = (a.node.is_some().cmp(&b.node.is_some()))
            .then(a.started.is_some().cmp(&b.started.is_some()))
            .then(a.ready.cmp(&b.ready))
            .then(other.beside.cmp(&self.beside));
        if order != Ordering::Equal {
            return order == Ordering::Less;
        }
        let younger = |a: Option<Nanos>, b: Option<Nanos>| {
            magnitude(now, a).cmp(&magnitude(now, b)).then(self.uid.cmp(&other.uid)) == Ordering::Less
        };
        let [ready_a, ready_b] = [a, b].map(|pod| pod.ready_changed.map(whole_seconds));
        if a.ready && b.ready && ready_a != ready_b {
            return younger(ready_a, ready_b);
        }
        if a.restarts != b.restarts {
            return a.restarts > b.restarts;
        }
        let [created_a, created_b] = [a, b].map(|pod| whole_seconds(pod.created));
        created_a != created_b && younger(Some(created_a), Some(created_b))
    }
}

/// `logarithmicRankDiff`: ages count by powers of two, younger goes first.
fn magnitude(now: Nanos, since: Option<Nanos>) -> i64 {
    let age = since.map_or(0, |since| (now - since).get());
    age.checked_ilog2().map_or(-1, i64::from)
}

#[cfg(test)]
mod tests {
    use platform::WorkloadId;

    use super::*;

    const NOW: Nanos = Nanos::from_secs(10_000);

    fn running(node: usize) -> PodRecord {
        let start = Nanos::from_secs(1_000);
        PodRecord {
            node: Some(node),
            accepted: Some(start),
            started: Some(start),
            ready: true,
            ready_changed: Some(start),
            ..PodRecord::new("p".into(), WorkloadId(0), start)
        }
    }

    fn order(records: &[PodRecord]) -> Vec<u32> {
        let pods = records.iter().enumerate().map(|(i, record)| (PodId(i as u32), record));
        let victims = victims(NOW, records.len() - 1, pods, records, |pod| u64::from(pod.0));
        victims.into_iter().map(|pod| pod.0).collect()
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let old = running(0);
        for (case, first, second) in [
            (
                "unassigned before assigned",
                PodRecord { node: None, started: None, ready: false, ..old.clone() },
                PodRecord { started: None, ready: false, ..running(1) },
            ),
            (
                "pending before running",
                PodRecord { started: None, ready: false, ..old.clone() },
                PodRecord { ready: false, ..running(1) },
            ),
            ("unready before ready", PodRecord { ready: false, ..old.clone() }, running(1)),
            ("ready for less long", PodRecord { ready_changed: Some(NOW), ..old.clone() }, running(1)),
            ("more restarts", PodRecord { restarts: 2, ..old.clone() }, running(1)),
            ("younger", PodRecord { created: NOW, ..old.clone() }, running(1)),
        ] {
            assert_eq!(order(&[first.clone(), second.clone()]), [0], "{case}");
            assert_eq!(order(&[second, first]), [1], "{case}, listed the other way round");
        }
        assert_eq!(order(&[running(0), running(1), running(1)]), [1, 2], "two on one node");
        let ages = [Nanos::from_secs(2_000), Nanos::from_secs(3_000)].map(Some);
        let [a, b] = ages.map(|ready_changed| PodRecord { ready_changed, ..old.clone() });
        assert_eq!(order(&[a, PodRecord { node: Some(1), ..b }]), [0], "ages of one magnitude leave it to the UID");
    }

    #[test]
    fn pods_are_created_in_doubling_batches() {
        assert_eq!(batches(0).count(), 0);
        assert_eq!(batches(10).collect::<Vec<_>>(), [1, 2, 4, 3]);
        assert_eq!(batches(2_000).sum::<usize>(), BURST_REPLICAS);
    }
}
