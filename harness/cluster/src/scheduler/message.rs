//! What is told about a pod that no node takes: the text of event `FailedScheduling`.
//!
//! Follows `FitError.Error()` in `pkg/scheduler/framework/types.go`.

use std::collections::BTreeMap;

/// Counts by reason, sorted as text, behind the number of nodes.
pub(super) fn fit_error(nodes: usize, reasons: &BTreeMap<&str, usize>) -> String {
    let mut told: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    told.sort();
    if told.is_empty() {
        format!("0/{nodes} nodes are available:")
    } else {
        format!("0/{nodes} nodes are available: {}.", told.join(", "))
    }
}

/// With what those plugins say that are asked whether something else could go in the pod's place: the one for devices, of
/// which pods here claim none (`dynamicresources.go`, `PostFilter`; on by default since 1.34), and preemption.
pub(super) fn with_preemption(error: &str, preemption: &str) -> String {
    format!("{error} no new claims to deallocate, preemption: {preemption}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_kubectl_describe_prints_it() {
        let reasons =
            BTreeMap::from([("Too many pods", 2), ("Insufficient cpu", 10), ("node(s) were unschedulable", 1)]);
        let error = fit_error(12, &reasons);
        // Sorted as text, hence 10 before 2.
        assert_eq!(
            error,
            "0/12 nodes are available: 1 node(s) were unschedulable, 10 Insufficient cpu, 2 Too many pods."
        );
        assert_eq!(
            with_preemption("0/1 nodes are available: 1 x.", "y."),
            "0/1 nodes are available: 1 x. no new claims to deallocate, preemption: y."
        );
    }
}
