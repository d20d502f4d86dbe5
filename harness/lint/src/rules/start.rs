//! Pods that can never start.

use std::collections::BTreeSet;

use platform::{Config, Container, Reference, ReferenceKind, Workload};

use super::{Context, name_of};
use crate::{Finding, Rule, Severity};

pub(crate) static MISSING_CONFIG: Rule = Rule {
    id: "missing-config",
    severity: Severity::Error,
    title: "a pod needs a ConfigMap or Secret that is not declared",
    explanation: "The kubelet does not start a container before every ConfigMap and Secret that it refers to exists: \
        the pod stays in CreateContainerConfigError or ContainerCreating for ever (pkg/kubelet/kubelet_pods.go, \
        makeEnvironmentVariables). A Secret may come from outside; then say so under `provided` in rehearse.yaml.",
    fix: "Declare it, correct the name, mark the reference optional, or list it under `provided`.",
};

pub(crate) static MISSING_KEY: Rule = Rule {
    id: "missing-key",
    severity: Severity::Error,
    title: "a pod needs a key that its ConfigMap or Secret does not have",
    explanation: "A missing key of an existing ConfigMap or Secret stops the container just as a missing object does \
        (CreateContainerConfigError), unless the reference is optional.",
    fix: "Add the key, or correct its name.",
};

pub(crate) static MISSING_CLAIM: Rule = Rule {
    id: "missing-claim",
    severity: Severity::Error,
    title: "a pod mounts a claim that is not declared",
    explanation: "The scheduler leaves a pod Pending whose PersistentVolumeClaim does not exist: \
        `persistentvolumeclaim \"x\" not found`.",
    fix: "Declare the PersistentVolumeClaim, or correct its name.",
};

pub(crate) static MISSING_ACCOUNT: Rule = Rule {
    id: "missing-service-account",
    severity: Severity::Error,
    title: "a pod runs as a ServiceAccount that is not declared",
    explanation: "The ServiceAccount admission plugin refuses every pod whose service account does not exist, so the \
        ReplicaSet reports FailedCreate and no pod appears at all.",
    fix: "Declare the ServiceAccount, or correct serviceAccountName.",
};

pub(crate) static MISSING_PRIORITY: Rule = Rule {
    id: "missing-priority-class",
    severity: Severity::Error,
    title: "a pod has a PriorityClass that is not declared",
    explanation: "The Priority admission plugin refuses a pod whose priorityClassName no PriorityClass has; the two \
        that Kubernetes brings are system-cluster-critical and system-node-critical.",
    fix: "Declare the PriorityClass, or correct priorityClassName.",
};

pub(crate) static UNDEFINED_VARIABLE: Rule = Rule {
    id: "variable-before-definition",
    severity: Severity::Warning,
    title: "$(VAR) is used before it is defined",
    explanation: "In `env`, `$(VAR)` is replaced only by variables that stand earlier in the list; a later or unknown \
        one is left as text (k8s.io/kubernetes/third_party/forked/golang/expansion).",
    fix: "Move the definition above its use, or write $$(VAR) if the text is meant.",
};

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for workload in &context.platform.workloads {
        for reference in &workload.references {
            found.extend(missing(context, workload, reference));
        }
        for container in workload.init_containers.iter().chain(&workload.containers) {
            found.extend(undefined_variables(workload, container));
        }
    }
}

fn missing(context: &Context<'_>, workload: &Workload, reference: &Reference) -> Option<Finding> {
    if reference.optional {
        return None;
    }
    let platform = context.platform;
    let (name, namespace) = (&reference.name, &workload.namespace);
    let subject = name_of(workload);
    let never = |rule: &'static Rule, what: &str| {
        rule.at(
            &subject,
            &reference.place,
            format!("No pod of {} ever starts.", workload.name),
            format!("It needs {what} `{name}`, which nothing declares in namespace {namespace}."),
        )
    };
    match reference.kind {
        kind @ (ReferenceKind::ConfigMap | ReferenceKind::Secret) => {
            let what = if kind == ReferenceKind::ConfigMap { "ConfigMap" } else { "Secret" };
            // Every namespace gets this one from kube-controller-manager.
            if kind == ReferenceKind::ConfigMap && name == "kube-root-ca.crt" {
                return None;
            }
            let provided =
                context.provided.iter().find(|p| p.kind == what && p.name == *name && p.namespace == *namespace);
            if let Some(provided) = provided {
                let key = reference.key.as_ref().filter(|k| !provided.keys.is_empty() && !provided.keys.contains(k))?;
                return Some(MISSING_KEY.at(
                    &subject,
                    &reference.place,
                    format!("No pod of {} ever starts.", workload.name),
                    format!(
                        "It needs key `{key}` of {what} `{name}`, which is provided with: {}.",
                        provided.keys.join(", ")
                    ),
                ));
            }
            let is_it =
                |config: &&Config| config.kind == kind && config.name == *name && config.namespace == *namespace;
            let Some(config) = platform.configs.iter().find(is_it) else {
                return Some(never(&MISSING_CONFIG, what));
            };
            let key = reference.key.as_ref().filter(|key| !config.entries.contains_key(*key))?;
            let has = config.entries.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Some(MISSING_KEY.at(
                &subject,
                &reference.place,
                format!("No pod of {} ever starts.", workload.name),
                format!("It needs key `{key}` of {what} `{name}`, which has: {has}."),
            ))
        }
        ReferenceKind::Claim => {
            let there = platform.claims.iter().any(|claim| claim.name == *name && claim.namespace == *namespace);
            (!there).then(|| never(&MISSING_CLAIM, "PersistentVolumeClaim"))
        }
        ReferenceKind::ServiceAccount => {
            let there = name == "default"
                || platform.service_accounts.iter().any(|(account, home)| account == name && home == namespace);
            (!there).then(|| never(&MISSING_ACCOUNT, "ServiceAccount"))
        }
        ReferenceKind::PriorityClass => {
            let there = name.starts_with("system-") || platform.priority_classes.iter().any(|class| class == name);
            (!there).then(|| never(&MISSING_PRIORITY, "PriorityClass"))
        }
    }
}

fn undefined_variables(workload: &Workload, container: &Container) -> Vec<Finding> {
    let all: BTreeSet<&str> = container.env.iter().map(|(name, _)| name.as_str()).collect();
    let mut defined: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for (name, value) in &container.env {
        for used in variables(value) {
            // One that is not in this list may come from envFrom, which is replaced, too.
            if all.contains(used) && !defined.contains(used) {
                found.push(UNDEFINED_VARIABLE.at(
                    name_of(workload),
                    &workload.place,
                    format!("Container {} sees `$({used})` as text in {name}.", container.name),
                    format!("{used} is defined after {name}, and only earlier variables are replaced."),
                ));
            }
        }
        defined.insert(name);
    }
    found
}

/// Names in `$(NAME)`; `$$(NAME)` is an escape.
fn variables(value: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            names.push(name);
            rest = tail;
        } else {
            rest = after;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_kubernetes_expands_them() {
        for (value, want) in [
            ("plain", &[][..]),
            ("$(A)", &["A"]),
            ("x$(A)y$(B)", &["A", "B"]),
            ("$$(A)", &[]),
            ("$$$(A)", &["A"]),
            ("$(A", &[]),
            ("$A", &[]),
        ] {
            assert_eq!(variables(value), want, "{value}");
        }
    }
}
