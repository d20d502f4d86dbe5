//! Where pods want to be: affinities, spread and tolerations.

use k8s_openapi::api::core::v1 as core;
use platform::{PodAffinity, SpreadConstraint, Toleration, Workload};
use units::Nanos;

use super::NotRehearsed;
use super::selector::{node_term, selector};
use crate::ManifestError;
use crate::nodes::effect;
use crate::object::Object;

/// Fills in all of a workload's placement; `base` is the path of the pod's spec.
pub(super) fn place(
    object: &Object,
    base: &str,
    pod: &core::PodSpec,
    workload: &mut Workload,
    notes: &mut NotRehearsed,
) -> Result<(), ManifestError> {
    workload.node_selector = pod.node_selector.clone().unwrap_or_default();
    workload.tolerations = tolerations(object, base, pod.tolerations.as_deref().unwrap_or_default())?;
    workload.spread = spread(object, base, pod.topology_spread_constraints.as_deref().unwrap_or_default())?;
    let affinity = pod.affinity.clone().unwrap_or_default();
    if let Some(nodes) = affinity.node_affinity {
        let path = format!("{base}.affinity.nodeAffinity");
        let required = nodes.required_during_scheduling_ignored_during_execution.unwrap_or_default();
        for (index, term) in required.node_selector_terms.into_iter().enumerate() {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]");
            workload.node_affinity.push(node_term(object, &path, term)?);
        }
        let preferred = nodes.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
        for (index, term) in preferred.into_iter().enumerate() {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]");
            let weight = weight(object, &path, term.weight)?;
            workload.preferred_nodes.push((weight, node_term(object, &format!("{path}.preference"), term.preference)?));
        }
    }
    let beside = affinity.pod_affinity.map(|declared| {
        (
            declared.required_during_scheduling_ignored_during_execution,
            declared.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let apart = affinity.pod_anti_affinity.map(|declared| {
        (
            declared.required_during_scheduling_ignored_during_execution,
            declared.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (name, anti, declared) in [("podAffinity", false, beside), ("podAntiAffinity", true, apart)] {
        let (required, preferred) = declared.unwrap_or_default();
        let path = format!("{base}.affinity.{name}");
        for (index, declared) in required.unwrap_or_default().into_iter().enumerate() {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]");
            workload.pod_affinity.push(term(object, &path, declared, anti, None, notes)?);
        }
        for (index, declared) in preferred.unwrap_or_default().into_iter().enumerate() {
            let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]");
            let weight = Some(weight(object, &path, declared.weight)?);
            let path = format!("{path}.podAffinityTerm");
            workload.pod_affinity.push(term(object, &path, declared.pod_affinity_term, anti, weight, notes)?);
        }
    }
    Ok(())
}

fn weight(object: &Object, path: &str, weight: i32) -> Result<u32, ManifestError> {
    u32::try_from(weight).ok().filter(|weight| (1..=100).contains(weight)).ok_or_else(|| {
        object.refuse(&format!("{path}.weight"), &format!("{weight} is no weight"), "write a number from 1 to 100")
    })
}

fn term(
    object: &Object,
    path: &str,
    declared: core::PodAffinityTerm,
    anti: bool,
    weight: Option<u32>,
    notes: &mut NotRehearsed,
) -> Result<PodAffinity, ManifestError> {
    if declared.topology_key.is_empty() {
        let fix = "write the label that makes nodes one place, such as kubernetes.io/hostname";
        return Err(object.refuse(&format!("{path}.topologyKey"), "is missing", fix));
    }
    if declared.mismatch_label_keys.is_some_and(|keys| !keys.is_empty()) {
        let path = format!("{path}.mismatchLabelKeys");
        notes.push((format!("{object} {path}"), object.place_of(&path)));
    }
    let select = |name: &str, declared: Option<_>| {
        declared.map(|declared| selector(object, &format!("{path}.{name}"), declared)).transpose()
    };
    Ok(PodAffinity {
        anti,
        weight,
        selector: select("labelSelector", declared.label_selector)?,
        namespaces: declared.namespaces.unwrap_or_default(),
        namespace_selector: select("namespaceSelector", declared.namespace_selector)?,
        topology_key: declared.topology_key,
        match_label_keys: declared.match_label_keys.unwrap_or_default(),
    })
}

/// Defaults as `pkg/apis/core/types.go` documents them.
fn spread(
    object: &Object,
    base: &str,
    declared: &[core::TopologySpreadConstraint],
) -> Result<Vec<SpreadConstraint>, ManifestError> {
    let one = |(index, declared): (usize, &core::TopologySpreadConstraint)| {
        let path = format!("{base}.topologySpreadConstraints[{index}]");
        let required = match declared.when_unsatisfiable.as_str() {
            "DoNotSchedule" => true,
            "ScheduleAnyway" => false,
            other => {
                let problem = format!("`{other}` is no answer to a constraint that cannot be met");
                let fix = "write DoNotSchedule or ScheduleAnyway";
                return Err(object.refuse(&format!("{path}.whenUnsatisfiable"), &problem, fix));
            }
        };
        let label_selector = declared.label_selector.clone();
        Ok(SpreadConstraint {
            max_skew: object.at_least(&format!("{path}.maxSkew"), declared.max_skew, 1)?,
            topology_key: declared.topology_key.clone(),
            required,
            selector: label_selector.map(|s| selector(object, &format!("{path}.labelSelector"), s)).transpose()?,
            min_domains: declared
                .min_domains
                .map(|least| object.at_least(&format!("{path}.minDomains"), least, 1))
                .transpose()?,
            honor_affinity: declared.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: declared.node_taints_policy.as_deref() == Some("Honor"),
            match_label_keys: declared.match_label_keys.clone().unwrap_or_default(),
        })
    };
    declared.iter().enumerate().map(one).collect()
}

/// Without an operator it is `Equal`; `Exists` tolerates every value.
fn tolerations(object: &Object, base: &str, declared: &[core::Toleration]) -> Result<Vec<Toleration>, ManifestError> {
    let not_empty = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let one = |(index, toleration): (usize, &core::Toleration)| {
        let path = |field: &str| format!("{base}.tolerations[{index}].{field}");
        let value = match toleration.operator.as_deref() {
            Some("Exists") => None,
            None | Some("" | "Equal") => Some(toleration.value.clone().unwrap_or_default()),
            Some(other) => {
                let problem = format!("`{other}` is no operator of a toleration");
                return Err(object.refuse(&path("operator"), &problem, "write Equal or Exists"));
            }
        };
        let effect = not_empty(&toleration.effect).map(|text| effect(object, &path("effect"), &text)).transpose()?;
        // Zero and less mean: leave at once.
        let seconds = toleration.toleration_seconds.map(|s| Nanos::from_secs(u64::try_from(s).unwrap_or(0)));
        Ok(Toleration { key: not_empty(&toleration.key), value, effect, seconds })
    };
    declared.iter().enumerate().map(one).collect()
}
