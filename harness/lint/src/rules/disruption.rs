//! Budgets that block, and pods that nothing protects.

use platform::{CountOrPercent, DisruptionBound, DisruptionBudget, Workload, WorkloadKind};

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

pub(crate) static BLOCKS_EVERY_DRAIN: Rule = Rule {
    id: "pdb-blocks-every-drain",
    severity: Severity::Error,
    title: "a PodDisruptionBudget never allows an eviction",
    explanation: "disruptionsAllowed = healthy − desired (pkg/controller/disruption/disruption.go). With minAvailable \
        at or above the replicas, or maxUnavailable 0, it is never above 0: `kubectl drain` and every node upgrade \
        wait for ever. Percentages round up, so 1 of 1 and 90 % of 3 block, too.",
    fix: "Leave room for one pod: maxUnavailable 1, or minAvailable one below the fewest replicas.",
};

pub(crate) static BUDGET_SELECTS_NOTHING: Rule = Rule {
    id: "pdb-selects-nothing",
    severity: Severity::Warning,
    title: "a PodDisruptionBudget protects no pods",
    explanation: "A budget whose selector matches no pod protects nothing: a drain may take all replicas at once.",
    fix: "Compare its selector with the labels of the pod template, in the same namespace.",
};

pub(crate) static TWO_BUDGETS: Rule = Rule {
    id: "pdb-two-for-one-pod",
    severity: Severity::Error,
    title: "two PodDisruptionBudgets select the same pods",
    explanation: "The eviction API answers 500 for a pod with more than one budget: `This pod has more than one \
        PodDisruptionBudget, which the eviction subresource does not support.` A drain never ends.",
    fix: "Keep one of them.",
};

pub(crate) static SINGLE_REPLICA: Rule = Rule {
    id: "single-replica",
    severity: Severity::Note,
    title: "a service has one replica",
    explanation: "With one pod every drain, node loss and failed probe is an outage of the whole service; a rolling \
        update is one, too, unless maxSurge is at least 1 and maxUnavailable 0.",
    fix: "Run two replicas and a budget of maxUnavailable 1, or accept the outage by name.",
};

pub(crate) static REPLICAS_UNPROTECTED: Rule = Rule {
    id: "replicas-without-pdb",
    severity: Severity::Note,
    title: "a service with several replicas has no PodDisruptionBudget",
    explanation: "Without a budget a drain of several nodes may evict all replicas at the same time.",
    fix: "Add a PodDisruptionBudget with maxUnavailable 1.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let platform = context.platform;
    for budget in &platform.budgets {
        let subject = format!("PodDisruptionBudget/{}", budget.name);
        let covered: Vec<&Workload> = platform.workloads.iter().filter(|w| covers(budget, w)).collect();
        // Those of an operator's pods are no finding.
        if covered.is_empty() && context.other_maker().is_some() {
            continue;
        }
        if covered.is_empty() {
            found.push(BUDGET_SELECTS_NOTHING.at(
                &subject,
                &budget.place,
                "A drain may take every pod that it should keep.",
                format!("Its selector matches no pod in namespace {}.", budget.namespace),
            ));
            continue;
        }
        let pods: u32 = covered.iter().map(|w| context.fewest_pods(w)).sum();
        let most: u32 = covered.iter().map(|w| context.most_pods(w)).sum();
        if most > 0 && allowed(budget.bound, most) == 0 {
            let names: Vec<_> = covered.iter().map(|w| w.name.as_str()).collect();
            found.push(BLOCKS_EVERY_DRAIN.at(
                &subject,
                &budget.place,
                format!("No node with a pod of {} can ever be drained.", names.join(", ")),
                format!("{} of {}: 0 evictions are allowed.", words(budget.bound), counted(pods, most)),
            ));
        } else if pods > 0 && allowed(budget.bound, pods) == 0 {
            let names: Vec<_> = covered.iter().map(|w| w.name.as_str()).collect();
            let mut finding = BLOCKS_EVERY_DRAIN.at(
                &subject,
                &budget.place,
                format!("While {} is at its minimum, its nodes cannot be drained.", names.join(", ")),
                format!("{} of {pods} pods at the autoscaler's minimum: 0 evictions are allowed.", words(budget.bound)),
            );
            finding.severity = Severity::Warning;
            found.push(finding);
        }
    }
    for workload in platform.workloads.iter().filter(|w| w.kind.is_service()) {
        protected(context, workload, found);
    }
}

fn protected(context: &Context<'_>, workload: &Workload, found: &mut Vec<Finding>) {
    let covering: Vec<_> = context.platform.budgets.iter().filter(|budget| covers(budget, workload)).collect();
    if let [_, second, ..] = covering.as_slice() {
        let names: Vec<_> = covering.iter().map(|budget| budget.name.as_str()).collect();
        found.push(TWO_BUDGETS.at(
            name_of(workload),
            &second.place,
            format!("No pod of {} can be evicted: a drain never ends.", workload.name),
            format!("{} all select its pods.", names.join(" and ")),
        ));
    }
    // A DaemonSet's pods belong to their nodes, and a drain leaves them alone.
    if !matches!(workload.kind, WorkloadKind::Deployment | WorkloadKind::StatefulSet { .. }) {
        return;
    }
    if !context.is_served(workload) {
        return;
    }
    match context.fewest_pods(workload) {
        0 => {}
        1 => found.push(SINGLE_REPLICA.at(
            name_of(workload),
            &workload.place,
            format!("Every drain or node loss takes {} down.", workload.name),
            "It runs one pod.",
        )),
        pods if covering.is_empty() => found.push(REPLICAS_UNPROTECTED.at(
            name_of(workload),
            &workload.place,
            format!("Draining two nodes at once may take all {pods} pods of {}.", workload.name),
            "No PodDisruptionBudget selects them.",
        )),
        _ => {}
    }
}

fn covers(budget: &DisruptionBudget, workload: &Workload) -> bool {
    budget.namespace == workload.namespace
        && workload.kind.is_service()
        && budget.selector.as_ref().is_some_and(|selector| selector.selects(&workload.labels))
}

/// How many of `pods` healthy pods may be evicted.
fn allowed(bound: DisruptionBound, pods: u32) -> u32 {
    let scaled = |value: CountOrPercent| match value {
        CountOrPercent::Count(count) => count,
        CountOrPercent::Percent(percent) => (pods * percent).div_ceil(100),
    };
    match bound {
        DisruptionBound::MinAvailable(least) => pods.saturating_sub(scaled(least)),
        DisruptionBound::MaxUnavailable(most) => scaled(most).min(pods),
    }
}

fn words(bound: DisruptionBound) -> String {
    let value = |value: CountOrPercent| match value {
        CountOrPercent::Count(count) => count.to_string(),
        CountOrPercent::Percent(percent) => format!("{percent} %"),
    };
    match bound {
        DisruptionBound::MinAvailable(least) => format!("minAvailable {}", value(least)),
        DisruptionBound::MaxUnavailable(most) => format!("maxUnavailable {}", value(most)),
    }
}

fn counted(fewest: u32, most: u32) -> String {
    if fewest == most { format!("{most} pods") } else { format!("{fewest} to {most} pods") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evictions_that_a_budget_allows() {
        use CountOrPercent::{Count, Percent};
        use DisruptionBound::{MaxUnavailable, MinAvailable};
        for (case, bound, pods, want) in [
            ("one below the replicas", MinAvailable(Count(2)), 3, 1),
            ("all replicas", MinAvailable(Count(3)), 3, 0),
            ("more than there are", MinAvailable(Count(5)), 3, 0),
            ("90 % of three rounds up to three", MinAvailable(Percent(90)), 3, 0),
            ("half of five rounds up to three", MinAvailable(Percent(50)), 5, 2),
            ("none may be missing", MaxUnavailable(Count(0)), 3, 0),
            ("1 % rounds up to one", MaxUnavailable(Percent(1)), 3, 1),
        ] {
            assert_eq!(allowed(bound, pods), want, "{case}");
        }
    }
}
