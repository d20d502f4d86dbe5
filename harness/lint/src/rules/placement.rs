//! Pods that no node can take.

use platform::{Node, Requirement, Taint, Workload};

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

pub(crate) static NO_NODE_FITS: Rule = Rule {
    id: "no-node-fits",
    severity: Severity::Error,
    title: "no node can hold one pod of a workload",
    explanation: "The scheduler fits requests, not usage: a pod that asks for more than any node it may run on can \
        allocate stays Pending for ever (pkg/scheduler/framework/plugins/noderesources/fit.go).",
    fix: "Ask for less, or give the nodes file a node that large.",
};

pub(crate) static AFFINITY_UNSATISFIABLE: Rule = Rule {
    id: "affinity-unsatisfiable",
    severity: Severity::Error,
    title: "no node satisfies a pod's node selector, affinity and tolerations",
    explanation: "nodeSelector, required nodeAffinity and taints are hard: a pod that matches no node stays Pending.",
    fix: "Correct the label, tolerate the taint, or label a node.",
};

pub(crate) static SPREAD_UNSATISFIABLE: Rule = Rule {
    id: "spread-unsatisfiable",
    severity: Severity::Warning,
    title: "not all replicas can be placed under the required spreading",
    explanation: "A required anti-affinity on a topology key allows one pod per domain; a topologySpreadConstraint \
        with DoNotSchedule and minDomains above the domains that exist allows maxSkew per domain. Replicas beyond \
        that stay Pending, and a rolling update with maxSurge waits for a domain to come free.",
    fix: "Make the rule a preference (preferred…, ScheduleAnyway), or have more domains than replicas.",
};

pub(crate) static SPREAD_SELECTS_NOTHING: Rule = Rule {
    id: "spread-selects-nothing",
    severity: Severity::Error,
    title: "a topology spread constraint does not count the pods it should spread",
    explanation: "topologySpreadConstraints count the pods that their labelSelector selects. If it does not select \
        the pod itself, every domain counts zero and nothing is spread (podtopologyspread/filtering.go).",
    fix: "Give labelSelector labels that the pod template carries.",
};

pub(crate) static SPREAD_KEY_UNKNOWN: Rule = Rule {
    id: "spread-key-unknown",
    severity: Severity::Error,
    title: "no node has the label that a spreading rule goes by",
    explanation: "Nodes without the topology key take no part: with DoNotSchedule or a required affinity the pod \
        stays Pending, with ScheduleAnyway nothing is spread.",
    fix: "Use topology.kubernetes.io/zone or kubernetes.io/hostname, or label the nodes.",
};

pub(crate) static MAXIMUM_DOES_NOT_FIT: Rule = Rule {
    id: "maximum-does-not-fit",
    severity: Severity::Warning,
    title: "the nodes cannot hold every autoscaler at its maximum",
    explanation: "Replicas that an autoscaler asks for and no node can take stay Pending: it stops at the nodes, not \
        at maxReplicas, and other workloads find no room when they restart.",
    fix: "Add nodes, lower maxReplicas or requests, or let the cluster add nodes.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    if context.nodes.is_empty() {
        return;
    }
    let mut all_fit = true;
    for workload in context.platform.workloads.iter().filter(|w| w.kind.is_service()) {
        let admitting: Vec<&Node> = context.nodes.iter().filter(|node| admits(node, workload)).collect();
        if admitting.is_empty() {
            all_fit = false;
            found.push(AFFINITY_UNSATISFIABLE.at(
                name_of(workload),
                &workload.place,
                format!("Every pod of {} stays Pending.", workload.name),
                format!("None of the {} nodes has the labels and taints that it asks for.", context.nodes.len()),
            ));
            continue;
        }
        let asked = workload.requests();
        let fits = |node: &&&Node| {
            asked.cpu.is_none_or(|cpu| cpu <= node.cpu) && asked.memory.is_none_or(|memory| memory <= node.memory)
        };
        if !admitting.iter().any(|node| fits(&node)) {
            all_fit = false;
            found.push(NO_NODE_FITS.at(
                name_of(workload),
                &workload.place,
                format!("Every pod of {} stays Pending.", workload.name),
                format!(
                    "A pod requests {} CPU and {} of memory; the largest node that admits it has {} and {}.",
                    asked.cpu.map_or("no".into(), |cpu| cpu.to_string()),
                    asked.memory.map_or("none".into(), |memory| memory.to_string()),
                    admitting.iter().map(|n| n.cpu).max().unwrap_or_default(),
                    admitting.iter().map(|n| n.memory).max().unwrap_or_default(),
                ),
            ));
        }
        spreading(context, workload, &admitting, found);
    }
    if all_fit {
        found.extend(maximum(context));
    }
}

/// Labels, required affinity and hard taints.
fn admits(node: &Node, workload: &Workload) -> bool {
    let mut labels = node.labels.clone();
    labels.insert("metadata.name".into(), node.name.clone());
    let all = |terms: &Vec<Requirement>| terms.iter().all(|term| term.holds(&labels));
    let tolerated = |taint: &&Taint| {
        taint.effect == platform::Effect::PreferNoSchedule || workload.tolerations.iter().any(|t| t.tolerates(taint))
    };
    workload.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && (workload.node_affinity.is_empty() || workload.node_affinity.iter().any(all))
        && node.taints.iter().all(|taint| tolerated(&taint))
}

fn domains<'a>(nodes: &[&'a Node], key: &str) -> std::collections::BTreeSet<&'a str> {
    nodes.iter().filter_map(|node| node.labels.get(key)).map(String::as_str).collect()
}

fn spreading(context: &Context<'_>, workload: &Workload, nodes: &[&Node], found: &mut Vec<Finding>) {
    let subject = name_of(workload);
    let most = context.most_pods(workload) as usize;
    let unknown = |key: &str, rule: &str| {
        SPREAD_KEY_UNKNOWN.at(
            &subject,
            &workload.place,
            format!("{} is not spread, or stays Pending.", workload.name),
            format!("Its {rule} goes by label `{key}`, which no node that admits it has."),
        )
    };
    for constraint in &workload.spread {
        let domains = domains(nodes, &constraint.topology_key);
        if domains.is_empty() {
            found.push(unknown(&constraint.topology_key, "topology spread constraint"));
            continue;
        }
        if constraint.selector.as_ref().is_none_or(|selector| !selector.selects(&workload.labels)) {
            found.push(SPREAD_SELECTS_NOTHING.at(
                &subject,
                &workload.place,
                format!("Pods of {} may all land in one {}.", workload.name, domain_word(&constraint.topology_key)),
                "Its topology spread constraint has a labelSelector that does not select its own pods.",
            ));
            continue;
        }
        let wanted = constraint.min_domains.unwrap_or(1) as usize;
        let room = domains.len() * constraint.max_skew as usize;
        if constraint.required && domains.len() < wanted && most > room {
            found.push(SPREAD_UNSATISFIABLE.at(
                &subject,
                &workload.place,
                format!("Of up to {most} pods of {}, {room} can be placed.", workload.name),
                format!("minDomains {wanted} is above the {} domains that exist.", domains.len()),
            ));
        }
    }
    for term in workload.pod_affinity.iter().filter(|term| term.weight.is_none()) {
        let domains = domains(nodes, &term.topology_key);
        if domains.is_empty() {
            found.push(unknown(&term.topology_key, "pod affinity"));
            continue;
        }
        let own = term.selector.as_ref().is_some_and(|selector| selector.selects(&workload.labels));
        if term.anti && own && most > domains.len() {
            found.push(SPREAD_UNSATISFIABLE.at(
                &subject,
                &workload.place,
                format!("Of up to {most} pods of {}, {} can be placed.", workload.name, domains.len()),
                format!(
                    "Required anti-affinity allows one per {}, and there are {}.",
                    domain_word(&term.topology_key),
                    domains.len()
                ),
            ));
        }
    }
}

fn domain_word(key: &str) -> &str {
    match key {
        "topology.kubernetes.io/zone" | "failure-domain.beta.kubernetes.io/zone" => "zone",
        "kubernetes.io/hostname" => "node",
        other => other,
    }
}

/// Whether everything fits at its maximum, by sums over the nodes that admit each workload: an upper bound, so a
/// finding is certain and its absence is not.
fn maximum(context: &Context<'_>) -> Option<Finding> {
    let services = || context.platform.workloads.iter().filter(|w| w.kind.is_service());
    let asked = |pick: fn(&Workload) -> u64| -> u64 {
        services().map(|workload| pick(workload) * u64::from(context.most_pods(workload))).sum()
    };
    let cpu = asked(|workload| workload.requests().cpu.map_or(0, units::Millicores::get));
    let memory = asked(|workload| workload.requests().memory.map_or(0, units::Bytes::get));
    let has_cpu: u64 = context.nodes.iter().map(|node| node.cpu.get()).sum();
    let has_memory: u64 = context.nodes.iter().map(|node| node.memory.get()).sum();
    if cpu <= has_cpu && memory <= has_memory {
        return None;
    }
    let largest = services()
        .max_by_key(|w| u64::from(context.most_pods(w)) * w.requests().cpu.map_or(0, units::Millicores::get))?;
    Some(MAXIMUM_DOES_NOT_FIT.at(
        "nodes",
        &largest.place,
        "At full scale pods stay Pending, and whichever restarts last finds no room.",
        format!(
            "All workloads at their maximum request {} CPU and {}; the nodes have {} and {}.",
            units::Millicores::new(cpu),
            units::Bytes::new(memory),
            units::Millicores::new(has_cpu),
            units::Bytes::new(has_memory)
        ),
    ))
}
