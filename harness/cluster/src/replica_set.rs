//! Which pods a ReplicaSet creates and which ones it deletes.
//!
//! Follows `pkg/controller/replicaset/replica_set.go` (at most 500 pods a sync, in batches of 1, 2, 4 …, a batch that
//! fails ends the sync) and `pkg/controller/controller_utils.go` (`ActivePodsWithRanks`: who goes first).
//! `pod-deletion-cost` is not read: it comes from the template, hence is the same for all pods of a ReplicaSet, and
//! nobody annotates single pods here.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use units::Nanos;

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
    // Selection instead of a sort: upstream's order is not transitive (it compares ages by magnitude).
    let mut victims = Vec::with_capacity(count);
    while victims.len() < count && !candidates.is_empty() {
        let first = (1..candidates.len()).fold(0, |first, i| {
            if candidates[i].goes_before(&candidates[first], now) == Ordering::Less { i } else { first }
        });
        victims.push(candidates.remove(first).pod);
    }
    victims
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
    fn goes_before(&self, other: &Self, now: Nanos) -> Ordering {
        let (a, b) = (self.record, other.record);
        let order = (a.node.is_some().cmp(&b.node.is_some()))
            .then(a.started.is_some().cmp(&b.started.is_some()))
            .then(a.ready.cmp(&b.ready))
            .then(other.beside.cmp(&self.beside));
        if order != Ordering::Equal {
            return order;
        }
        let (ready_a, ready_b) = (a.ready_changed, b.ready_changed);
        if a.ready && b.ready && ready_a != ready_b {
            return magnitude(now, ready_a).cmp(&magnitude(now, ready_b)).then(self.uid.cmp(&other.uid));
        }
        b.restarts.cmp(&a.restarts).then_with(|| {
            if a.created == b.created {
                return self.uid.cmp(&other.uid);
            }
            magnitude(now, Some(a.created)).cmp(&magnitude(now, Some(b.created))).then(self.uid.cmp(&other.uid))
        })
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
        let victims = victims(NOW, records.len(), pods, records, |pod| u64::from(pod.0));
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
            assert_eq!(order(&[first.clone(), second.clone()]), [0, 1], "{case}");
            assert_eq!(order(&[second, first]), [1, 0], "{case}, listed the other way round");
        }
        assert_eq!(order(&[running(0), running(1), running(1)])[..2], [1, 2], "two on one node");
        let ages = [Nanos::from_secs(2_000), Nanos::from_secs(3_000)].map(Some);
        let [a, b] = ages.map(|ready_changed| PodRecord { ready_changed, ..old.clone() });
        assert_eq!(order(&[a, PodRecord { node: Some(1), ..b }]), [0, 1], "ages of one magnitude leave it to the UID");
    }

    #[test]
    fn pods_are_created_in_doubling_batches() {
        assert_eq!(batches(0).count(), 0);
        assert_eq!(batches(10).collect::<Vec<_>>(), [1, 2, 4, 3]);
        assert_eq!(batches(2_000).sum::<usize>(), BURST_REPLICAS);
    }
}
