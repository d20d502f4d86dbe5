//! What was told in a script, in the words in which both sides are compared.

use record::EventKind;

use crate::world::Told;

/// Replicas that an autoscaler wanted, each decision once.
pub(crate) fn scaled(told: &Told, of: &str) -> Vec<u32> {
    let mut wanted: Vec<u32> = told
        .iter()
        .filter_map(|(_, event)| match event {
            EventKind::Scaling(decision) if decision.workload == of => Some(decision.desired),
            _ => None,
        })
        .collect();
    wanted.dedup();
    wanted
}

/// The sizes that the ReplicaSets of a Deployment were given in its rollouts: the new ones are told from the old one by
/// their order of appearance.
pub(crate) fn rolled(told: &Told, of: &str) -> Vec<(usize, u32)> {
    let mut sets: Vec<&str> = Vec::new();
    let mut sizes = Vec::new();
    for (_, event) in told {
        if let EventKind::ReplicaSetScaled { workload, replica_set, to, .. } = event
            && workload == of
        {
            let known = sets.iter().position(|known| known == replica_set);
            let set = known.unwrap_or_else(|| {
                sets.push(replica_set);
                sets.len() - 1
            });
            sizes.push((set, *to));
        }
    }
    sizes
}

pub(crate) fn finished(told: &Told, of: &str) -> bool {
    told.iter().any(|(_, event)| matches!(event, EventKind::RolloutComplete { workload, .. } if workload == of))
}

pub(crate) fn evicted(told: &Told, of: &str) -> usize {
    told.iter().filter(|(_, event)| matches!(event, EventKind::PodEvicted { pod, .. } if pod.starts_with(of))).count()
}

/// Evictions of a workload's pods that were refused.
pub(crate) fn refusals(told: &Told, of: &str) -> usize {
    let refused = |event: &EventKind| matches!(event, EventKind::EvictionRefused { pod, .. } if pod.starts_with(of));
    told.iter().filter(|(_, event)| refused(event)).count()
}

/// Lines that are not as expected on one side or the other.
#[derive(Default)]
pub(crate) struct Compared(Vec<String>);

impl Compared {
    /// Holds both sides against what is expected, and prints what Kubernetes did.
    #[expect(clippy::print_stdout, reason = "the figures of docs/fidelity.md")]
    pub(crate) fn hold(&mut self, what: &str, want: &str, ours: &str, theirs: &str) {
        println!("{what}: {theirs}");
        if ours != want || theirs != want {
            self.0.push(format!("{what}, expected {want}\n  our rules  {ours}\n  Kubernetes {theirs}"));
        }
    }

    /// The same of what `of` makes of either side's word.
    pub(crate) fn both(&mut self, what: &str, sides: (&Told, &Told), of: impl Fn(&Told) -> String, want: &str) {
        self.hold(what, want, &of(sides.0), &of(sides.1));
    }

    pub(crate) fn end(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}
