//! Which of the nodes that will do is best.
//!
//! Follows the scores of kube-scheduler's default profile with their weights: `TaintToleration` 3; `NodeAffinity`,
//! `PodTopologySpread` and `InterPodAffinity` 2; `NodeResourcesFit` (least allocated) and balanced allocation 1. Every
//! node is scored; upstream samples where there are more than a hundred.
//!
//! `ImageLocality` (1) is missing: manifests do not tell how large images are, so it would give all nodes the same.

use platform::{Effect, Node, Workload};

use super::inventory::{Asked, Candidate, Inventory, Place, plain};
use super::{affinity, filter, spread};

/// The weighted sum for each of the nodes in `fits`.
pub(super) fn scores(inventory: &Inventory, candidate: &Candidate, fits: &[usize]) -> Vec<i64> {
    let asked = inventory.asked(candidate);
    let preferred = |place: &Place| preferred(&place.node, inventory, candidate);
    let mut sums: Vec<i64> = fits.iter().map(|node| of_resources(&inventory.places[*node], asked)).collect();
    let mut add = |weight: i64, scores: Vec<i64>| {
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
    };
    let each = |of: &dyn Fn(&Place) -> i64| fits.iter().map(|node| of(&inventory.places[*node])).collect::<Vec<_>>();
    add(3, normalized(each(&|place| avoided_taints(&place.node, inventory.workload(candidate))), true));
    add(2, normalized(each(&preferred), false));
    if let Some(scores) = spread::score(inventory, candidate, fits) {
        add(2, scores);
    }
    if let Some(scores) = affinity::score(inventory, candidate, fits) {
        add(2, scores);
    }
    sums
}

/// `helper/normalize_score.go`, `DefaultNormalizeScore`.
fn normalized(raw: Vec<i64>, reverse: bool) -> Vec<i64> {
    let most = raw.iter().copied().max().unwrap_or(0);
    let scale = |raw: i64| if most == 0 { 0 } else { 100 * raw / most };
    raw.into_iter().map(|raw| if reverse { 100 - scale(raw) } else { scale(raw) }).collect()
}

/// `tainttoleration`: taints of effect `PreferNoSchedule` that nothing tolerates.
fn avoided_taints(node: &Node, workload: &Workload) -> i64 {
    let soft = |effect: Option<Effect>| effect.is_none_or(|effect| effect == Effect::PreferNoSchedule);
    let avoided = node.taints.iter().filter(|taint| {
        taint.effect == Effect::PreferNoSchedule
            && !workload.tolerations.iter().any(|t| soft(t.effect) && t.tolerates(taint))
    });
    avoided.count() as i64
}

/// `nodeaffinity`: the weights of the preferred terms that a node meets.
fn preferred(node: &Node, inventory: &Inventory, candidate: &Candidate) -> i64 {
    let terms = inventory.workload(candidate).preferred_nodes.iter();
    terms.filter(|(_, term)| filter::meets(node, term)).map(|(weight, _)| i64::from(*weight)).sum()
}

fn of_resources(place: &Place, asked: &Asked) -> i64 {
    let (has_cpu, has_memory) = (place.node.cpu.get(), place.node.memory.get());
    let (cpu, memory) = plain(asked.requests);
    let assumed = [(place.scored_cpu + asked.scored.0, has_cpu), (place.scored_memory + asked.scored.1, has_memory)];
    // A pod that asks for nothing is not balanced: it would not move the balance it is judged by.
    let balance = if cpu == 0 && memory == 0 {
        0
    } else {
        balanced([(place.cpu + cpu, has_cpu), (place.memory + memory, has_memory)])
    };
    least_allocated(assumed) + balance
}

/// `noderesources/least_allocated.go`, in integers.
fn least_allocated(resources: [(u64, u64); 2]) -> i64 {
    let free = |(asked, has): (u64, u64)| {
        if asked > has { 0 } else { (u128::from(has - asked) * 100 / u128::from(has.max(1))) as i64 }
    };
    let known: Vec<i64> = resources.into_iter().filter(|(_, has)| *has > 0).map(free).collect();
    if known.is_empty() { 0 } else { known.iter().sum::<i64>() / known.len() as i64 }
}

/// `noderesources/balanced_allocation.go` for two resources.
fn balanced(resources: [(u64, u64); 2]) -> i64 {
    let [cpu, memory] = resources.map(|(asked, has)| if has == 0 { 0.0 } else { (asked as f64 / has as f64).min(1.0) });
    let deviation = if resources.iter().any(|(_, has)| *has == 0) { 0.0 } else { (cpu - memory).abs() / 2.0 };
    ((1.0 - deviation) * 100.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_score_as_upstream_computes_them() {
        // Asked and has, for CPU and memory; least allocated, balanced.
        for (case, resources, least, balance) in [
            ("empty", [(0, 4_000), (0, 10_000)], 100, 100),
            ("halves", [(2_000, 4_000), (5_000, 10_000)], 50, 100),
            ("one resource only", [(3_000, 4_000), (0, 10_000)], 62, 62),
            ("integers, cut off", [(3_000, 4_000), (5_000, 20_000)], 50, 75),
            ("more than there is counts as full", [(6_000, 4_000), (5_000, 10_000)], 25, 75),
            ("a node that has no memory to tell", [(1_000, 4_000), (5, 0)], 75, 100),
            ("a node that has nothing to tell", [(1, 0), (1, 0)], 0, 100),
        ] {
            assert_eq!((least_allocated(resources), balanced(resources)), (least, balance), "{case}");
        }
    }

    #[test]
    fn scores_are_scaled_to_the_best() {
        for (case, raw, reverse, want) in [
            ("shares of the most", vec![1, 2, 4], false, vec![25, 50, 100]),
            ("fewer is better", vec![1, 2, 4], true, vec![75, 50, 0]),
            ("nobody has any", vec![0, 0], false, vec![0, 0]),
            ("nobody has any, which is best", vec![0, 0], true, vec![100, 100]),
            ("cut off", vec![1, 3], false, vec![33, 100]),
        ] {
            assert_eq!(normalized(raw, reverse), want, "{case}");
        }
    }
}
