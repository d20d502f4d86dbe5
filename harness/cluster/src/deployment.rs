//! One Deployment's replicas: which pods it has, what the next one is called, which one goes first.
//!
//! Follows the ReplicaSet controller (`pkg/controller/replicaset/replica_set.go`) and its deletion order
//! (`pkg/controller/controller_utils.go`, `ActivePodsWithRanks`). A pod that ends counts no more, so its replacement
//! is created at once. Rolling updates are not played: there is one template, hence one ReplicaSet.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use platform::WorkloadId;
use units::{Draw, Nanos, Purpose, Seed};

use crate::{PodId, PodRecord};

/// What Kubernetes makes random names of (`k8s.io/apimachinery/pkg/util/rand`): no vowels, no look-alikes.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A Deployment with its pods.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) workload: WorkloadId,
    pub(crate) desired: u32,
    /// Pods that have not gone, ending ones included, in order of creation.
    pub(crate) pods: Vec<PodId>,
    /// Desired and ready as told last.
    pub(crate) told: Option<(u32, u32)>,
    replica_set: String,
    names: Seed,
    created: u64,
}

impl Deployment {
    pub(crate) fn new(workload: WorkloadId, name: &str, desired: u32, seed: Seed) -> Self {
        let names = seed.child("pod-names").child(name);
        let replica_set = format!("{name}-{}", letters(names.child("template").draw_nth(0, Purpose::Phase), 10));
        Self { workload, desired, pods: Vec::new(), told: None, replica_set, names, created: 0 }
    }

    /// The name of the next pod, such as `web-7c5d9f6b8d-x2k4p`. The suffix stands for the count of pods so far, so
    /// that equal runs name alike; a name in use is drawn anew, as the API server's refusal makes upstream do.
    pub(crate) fn next_name(&mut self, taken: impl Fn(&str) -> bool) -> String {
        loop {
            let name =
                format!("{}-{}", self.replica_set, letters(self.names.draw_nth(self.created, Purpose::Phase), 5));
            self.created += 1;
            if !taken(&name) {
                return name;
            }
        }
    }

    /// Which `count` pods a scale-down deletes, first to go first. `uid` stands for a pod's random UID.
    pub(crate) fn victims(
        &self,
        now: Nanos,
        count: usize,
        record: impl Fn(PodId) -> PodRecord,
        uid: impl Fn(PodId) -> u64,
    ) -> Vec<PodId> {
        let active: Vec<(PodId, PodRecord)> =
            self.pods.iter().map(|pod| (*pod, record(*pod))).filter(|(_, record)| record.is_active()).collect();
        let mut on_node: BTreeMap<Option<usize>, u32> = BTreeMap::new();
        for (_, record) in &active {
            *on_node.entry(record.node).or_default() += 1;
        }
        let mut candidates: Vec<Candidate<'_>> = active
            .iter()
            .map(|(pod, record)| Candidate { pod: *pod, record, beside: on_node[&record.node], uid: uid(*pod) })
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
}

struct Candidate<'a> {
    pod: PodId,
    record: &'a PodRecord,
    /// Active pods of the Deployment on its node.
    beside: u32,
    uid: u64,
}

impl Candidate<'_> {
    /// `ActivePodsWithRanks.Less`. `pod-deletion-cost` is not read.
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

fn letters(draw: Draw, count: u32) -> String {
    let base = ALPHABET.len() as u64;
    let mut bits = draw.bits();
    (0..count)
        .map(|_| {
            let letter = ALPHABET[(bits % base) as usize];
            bits /= base;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
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
        let mut deployment = Deployment::new(WorkloadId(0), "web", 0, Seed::new(1));
        deployment.pods = (0..records.len() as u32).map(PodId).collect();
        let victims =
            deployment.victims(NOW, records.len(), |pod| records[pod.0 as usize].clone(), |pod| u64::from(pod.0));
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
        let ending = PodRecord { deleted: Some(NOW), ..running(0) };
        assert_eq!(order(&[ending, running(1)]), [1], "an ending pod is no candidate");
    }

    #[test]
    fn names_are_kubernetes_like_stable_and_never_taken() {
        let deployment = || Deployment::new(WorkloadId(0), "web", 1, Seed::new(7));
        let (mut one, mut two) = (deployment(), deployment());
        let first = one.next_name(|_| false);
        assert_eq!(first, two.next_name(|_| false));
        assert_ne!(two.next_name(|_| false), first);
        let parts: Vec<_> = first.split('-').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("web", 10, 5), "{first}");
        let mut again = deployment();
        assert_ne!(again.next_name(|name| name == first), first);
    }
}
