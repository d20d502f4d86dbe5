//! What differs between two platforms, object by object, and a platform in which one object is as it was.
//!
//! Objects are told apart by kind, namespace and name. What an object is made of is the typed platform's business:
//! what that does not know cannot move a rehearsal.

use std::sync::Arc;

use platform::{Platform, Probe, Workload, WorkloadId};

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub object: Object,
    /// What differs, in words.
    pub what: Vec<String>,
}

/// An object by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A Deployment, StatefulSet and the like.
    Workload(String, String),
    /// A HorizontalPodAutoscaler.
    Autoscaler(String),
    /// A PodDisruptionBudget.
    Budget(String),
    /// The gateway's nginx.conf.
    Gateway(String),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload(kind, name) => write!(f, "{kind}/{name}"),
            Self::Autoscaler(name) => write!(f, "HorizontalPodAutoscaler/{name}"),
            Self::Budget(name) => write!(f, "PodDisruptionBudget/{name}"),
            Self::Gateway(name) => write!(f, "ConfigMap of {name}"),
        }
    }
}

/// Everything that differs from `old` to `new`.
pub fn differences(old: &Platform, new: &Platform) -> Vec<Difference> {
    let mut all = Vec::new();
    let names = |platform: &Platform| -> Vec<(String, String)> {
        platform.workloads.iter().map(|w| (w.kind.name().to_owned(), w.name.clone())).collect()
    };
    let mut both = names(old);
    both.extend(names(new).into_iter().filter(|name| !names(old).contains(name)));
    for (kind, name) in both {
        let of =
            |platform: &Platform| platform.workloads.iter().find(|w| w.name == name && w.kind.name() == kind).cloned();
        let what = match (of(old), of(new)) {
            (Some(old), Some(new)) => workload(&old, &new),
            (None, Some(_)) => vec!["added".into()],
            (Some(_), None) => vec!["removed".into()],
            (None, None) => Vec::new(),
        };
        push(&mut all, Object::Workload(kind, name), what);
    }
    for name in either(old.autoscalers.iter().map(|a| &a.name), new.autoscalers.iter().map(|a| &a.name)) {
        let of = |platform: &Platform| platform.autoscalers.iter().find(|a| a.name == name).cloned();
        let what = match (of(old), of(new)) {
            (Some(old), Some(new)) => {
                let mut what = Vec::new();
                changed(&mut what, "minReplicas", &old.min, &new.min);
                changed(&mut what, "maxReplicas", &old.max, &new.max);
                if old.metrics != new.metrics {
                    what.push("metrics changed".into());
                }
                if old.behavior != new.behavior {
                    what.push("behavior changed".into());
                }
                what
            }
            (old, new) => presence(old.is_some(), new.is_some()),
        };
        push(&mut all, Object::Autoscaler(name), what);
    }
    for name in either(old.budgets.iter().map(|b| &b.name), new.budgets.iter().map(|b| &b.name)) {
        let of = |platform: &Platform| platform.budgets.iter().find(|b| b.name == name).cloned();
        let what = match (of(old), of(new)) {
            (Some(old), Some(new)) if old.bound != new.bound || old.selector != new.selector => {
                vec![format!("{:?} → {:?}", old.bound, new.bound)]
            }
            (old, new) => presence(old.is_some(), new.is_some()),
        };
        push(&mut all, Object::Budget(name), what);
    }
    if let (Some(before), Some(after)) = (&old.gateway, &new.gateway)
        && before.config != after.config
    {
        let name = new.workload(after.workload).name.clone();
        push(&mut all, Object::Gateway(name), vec!["nginx.conf changed".into()]);
    }
    all
}

/// `new` with one object as it is in `old`; `None` where that makes no platform (a workload that others refer to by
/// its place was added or removed).
pub fn reverted(old: &Platform, new: &Platform, object: &Object) -> Option<Arc<Platform>> {
    let mut platform = new.clone();
    match object {
        Object::Workload(kind, name) => {
            let is = |w: &Workload| w.name == *name && w.kind.name() == kind;
            let before = old.workloads.iter().find(|w| is(w))?.clone();
            *platform.workloads.iter_mut().find(|w| is(w))? = before;
        }
        Object::Autoscaler(name) => {
            platform.autoscalers.retain(|autoscaler| autoscaler.name != *name);
            if let Some(before) = old.autoscalers.iter().find(|autoscaler| autoscaler.name == *name) {
                let mut before = before.clone();
                // Ids are places in a platform: the same workload may stand elsewhere in the new one.
                before.target = before.target.and_then(|id| same(old, new, id));
                platform.autoscalers.push(before);
            }
        }
        Object::Budget(name) => {
            platform.budgets.retain(|budget| budget.name != *name);
            platform.budgets.extend(old.budgets.iter().find(|budget| budget.name == *name).cloned());
        }
        Object::Gateway(_) => platform.gateway.as_mut()?.config = old.gateway.as_ref()?.config.clone(),
    }
    Some(Arc::new(platform))
}

fn same(old: &Platform, new: &Platform, id: WorkloadId) -> Option<WorkloadId> {
    new.workload_named(&old.workload(id).name)
}

fn push(all: &mut Vec<Difference>, object: Object, what: Vec<String>) {
    if !what.is_empty() {
        all.push(Difference { object, what });
    }
}

fn presence(old: bool, new: bool) -> Vec<String> {
    match (old, new) {
        (false, true) => vec!["added".into()],
        (true, false) => vec!["removed".into()],
        _ => Vec::new(),
    }
}

fn either<'a>(old: impl Iterator<Item = &'a String>, new: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = old.chain(new).cloned().collect();
    all.sort();
    all.dedup();
    all
}

fn changed<T: PartialEq + std::fmt::Debug>(what: &mut Vec<String>, field: &str, old: &T, new: &T) {
    if old != new {
        what.push(format!("{field} {old:?} → {new:?}"));
    }
}

fn workload(old: &Workload, new: &Workload) -> Vec<String> {
    let mut what = Vec::new();
    changed(&mut what, "replicas", &old.replicas.unwrap_or(1), &new.replicas.unwrap_or(1));
    if old.grace_period != new.grace_period {
        what.push(format!("terminationGracePeriodSeconds {} → {}", old.grace_period, new.grace_period));
    }
    if old.strategy != new.strategy {
        what.push("strategy changed".into());
    }
    if old.spread != new.spread {
        what.push("topologySpreadConstraints changed".into());
    }
    if old.pod_affinity != new.pod_affinity || old.node_affinity != new.node_affinity {
        what.push("affinity changed".into());
    }
    for (before, after) in old.containers.iter().zip(&new.containers) {
        let at = |field: &str| format!("{}: {field}", after.name);
        if before.image != after.image {
            what.push(format!("{} {} → {}", at("image"), before.image, after.image));
        }
        if before.requests != after.requests || before.limits != after.limits {
            what.push(at("resources changed"));
        }
        for (field, before, after) in [
            ("startupProbe", &before.startup, &after.startup),
            ("readinessProbe", &before.readiness, &after.readiness),
            ("livenessProbe", &before.liveness, &after.liveness),
        ] {
            probe(&mut what, &at(field), before.as_ref(), after.as_ref());
        }
        if before.pre_stop != after.pre_stop {
            what.push(at("preStop changed"));
        }
        if before.env != after.env || before.command != after.command {
            what.push(at("settings changed"));
        }
    }
    if what.is_empty() && differs_otherwise(old, new) {
        what.push("changed".into());
    }
    what
}

/// Whether anything else than the places in files differs.
fn differs_otherwise(old: &Workload, new: &Workload) -> bool {
    let bare = |workload: &Workload| Workload { place: platform::Place::default(), ..workload.clone() };
    let same_containers = old.containers.len() == new.containers.len();
    !same_containers
        || old.min_ready != new.min_ready
        || old.tolerations != new.tolerations
        || old.priority != new.priority
        || bare(old).labels != bare(new).labels
        || old.init_containers.len() != new.init_containers.len()
}

fn probe(what: &mut Vec<String>, field: &str, old: Option<&Probe>, new: Option<&Probe>) {
    match (old, new) {
        (Some(_), None) => what.push(format!("{field} removed")),
        (None, Some(_)) => what.push(format!("{field} added")),
        (Some(old), Some(new)) if old != new => what.push(format!("{field} changed")),
        _ => {}
    }
}
