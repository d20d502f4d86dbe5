//! ResourceQuotas: whether one more pod may be created.
//!
//! Follows `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go` (`CheckRequest`) and
//! `pkg/quota/v1/evaluator/core/pods.go`: a quota on a resource wants every container to say it, and counts all pods of
//! the namespace that have not ended, ending ones included.

use platform::{Container, Quota, Resources, Workload};
use units::{Bytes, Millicores};

/// What the pods of a namespace use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pods: u64,
    requests: Sum,
    limits: Sum,
}

/// Millicores and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    cpu: u64,
    memory: u64,
}

impl Used {
    /// Counts one pod of `workload` in.
    pub(crate) fn add(&mut self, workload: &Workload) {
        let (requests, limits) = (sum(workload.requests()), limits(workload));
        self.pods += 1;
        self.requests = Sum { cpu: self.requests.cpu + requests.cpu, memory: self.requests.memory + requests.memory };
        self.limits = Sum { cpu: self.limits.cpu + limits.cpu, memory: self.limits.memory + limits.memory };
    }
}

/// Why `quota` refuses one more pod of `workload` where `used` is in use; `None`: it does not.
pub(crate) fn refuses(quota: &Quota, used: Used, workload: &Workload) -> Option<String> {
    let hard = [
        ("limits.cpu", quota.limits.cpu.map(Millicores::get)),
        ("limits.memory", quota.limits.memory.map(Bytes::get)),
        ("pods", quota.pods.map(u64::from)),
        ("requests.cpu", quota.requests.cpu.map(Millicores::get)),
        ("requests.memory", quota.requests.memory.map(Bytes::get)),
    ];
    let silent = |of: fn(&Container) -> bool| workload.containers.iter().find(|c| of(c)).map(|c| c.name.as_str());
    let missing = [
        silent(|c| c.limits.cpu.is_none()),
        silent(|c| c.limits.memory.is_none()),
        None,
        silent(|c| c.requests.cpu.is_none()),
        silent(|c| c.requests.memory.is_none()),
    ];
    let constrained = hard.iter().zip(missing).filter(|((_, hard), _)| hard.is_some());
    let unsaid: Vec<_> = constrained.filter_map(|((name, _), c)| Some(format!("{name} for: {}", c?))).collect();
    if !unsaid.is_empty() {
        return Some(format!("failed quota: {}: must specify {}", quota.name, unsaid.join("; ")));
    }
    let (requests, limits) = (sum(workload.requests()), limits(workload));
    let asked = [limits.cpu, limits.memory, 1, requests.cpu, requests.memory];
    let in_use = [used.limits.cpu, used.limits.memory, used.pods, used.requests.cpu, used.requests.memory];
    let figures = hard.iter().zip(asked).zip(in_use);
    let exceeded: Vec<_> =
        figures.filter(|(((_, hard), asked), used)| hard.is_some_and(|hard| used + asked > hard)).collect();
    if exceeded.is_empty() {
        return None;
    }
    let list = |of: &dyn Fn(usize) -> String| (0..exceeded.len()).map(of).collect::<Vec<_>>().join(",");
    let name = |i: usize| exceeded[i].0.0.0;
    let requested = list(&|i| format!("{}={}", name(i), quantity(name(i), exceeded[i].0.1)));
    let used = list(&|i| format!("{}={}", name(i), quantity(name(i), exceeded[i].1)));
    let limited = list(&|i| format!("{}={}", name(i), quantity(name(i), exceeded[i].0.0.1.unwrap_or(0))));
    Some(format!("exceeded quota: {}, requested: {requested}, used: {used}, limited: {limited}", quota.name))
}

/// As Kubernetes prints quantities: `250m` and `2`, `256Mi`.
fn quantity(resource: &str, value: u64) -> String {
    if resource.ends_with("cpu") {
        return if value.is_multiple_of(1_000) { (value / 1_000).to_string() } else { format!("{value}m") };
    }
    if !resource.ends_with("memory") || value == 0 {
        return value.to_string();
    }
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let whole = units.into_iter().find(|(_, bits)| value.trailing_zeros() >= *bits);
    whole.map_or_else(|| value.to_string(), |(unit, bits)| format!("{}{unit}", value >> bits))
}

fn sum(resources: Resources) -> Sum {
    Sum { cpu: resources.cpu.map_or(0, Millicores::get), memory: resources.memory.map_or(0, Bytes::get) }
}

fn limits(workload: &Workload) -> Sum {
    workload
        .running()
        .map(|container| sum(container.limits))
        .fold(Sum::default(), |all, one| Sum { cpu: all.cpu + one.cpu, memory: all.memory + one.memory })
}

#[cfg(test)]
mod tests {
    use platform::Place;

    use super::*;

    #[test]
    fn a_quota_refuses_in_the_words_of_the_api_server() {
        let cpu = |millis: u64| Resources { cpu: Some(Millicores::new(millis)), memory: None };
        let quota = |requests: Resources, pods: Option<u32>| Quota {
            name: "team".into(),
            namespace: "test".into(),
            requests,
            limits: Resources::default(),
            pods,
            place: Place::default(),
        };
        let workload = |requests: Resources| Workload {
            containers: vec![Container { name: "app".into(), requests, ..Container::default() }],
            ..Workload::default()
        };
        let mut used = Used::default();
        (0..2).for_each(|_| used.add(&workload(cpu(500))));
        let memory = Resources { cpu: None, memory: Some(Bytes::from_mebi(256)) };
        for (case, quota, workload, want) in [
            ("room for one more", quota(cpu(1_500), None), workload(cpu(500)), None),
            (
                "no room",
                quota(cpu(1_400), Some(2)),
                workload(cpu(500)),
                Some(
                    "exceeded quota: team, requested: pods=1,requests.cpu=500m, used: pods=2,requests.cpu=1, \
                     limited: pods=2,requests.cpu=1400m",
                ),
            ),
            (
                "not said",
                quota(memory, None),
                workload(cpu(1)),
                Some("failed quota: team: must specify requests.memory for: app"),
            ),
        ] {
            assert_eq!(refuses(&quota, used, &workload).as_deref(), want, "{case}");
        }
        assert_eq!(["a.cpu", "a.memory", "pods"].map(|name| quantity(name, 3 << 20)), ["3145728m", "3Mi", "3145728"]);
    }
}
