//! PodDisruptionBudgets and the eviction subresource.
//!
//! Follows `pkg/controller/disruption/disruption.go` (`trySync`: what a budget allows) and
//! `pkg/registry/core/pod/storage/eviction.go` (`Create`: whether an eviction passes). A budget binds nobody else:
//! rollouts, scale-down, plain deletions and evictions by taints take no notice.
//!
//! The controller's status is taken to be up to date at each eviction. `DisruptedPods` is therefore never needed: an
//! evicted pod is ending at once, hence not healthy.

use platform::{DisruptionBound, DisruptionBudget, Workload};

use crate::deployment::share;

/// A pod, as far as budgets look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Ready and not ending.
    pub(crate) healthy: bool,
    /// Whoever made it, with its scale.
    pub(crate) controller: Controller,
}

/// What stands behind a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    /// Nobody.
    None,
    /// One that has a scale (Deployment, StatefulSet), by its index.
    Scaled(usize, u32),
    /// One that has none (DaemonSet, Job) or has gone: the budget cannot be calculated, hence allows nothing.
    Unscaled,
}

/// `status` of a PodDisruptionBudget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetStatus {
    /// `expectedPods`.
    pub expected: u32,
    /// `desiredHealthy`.
    pub desired_healthy: u32,
    /// `currentHealthy`.
    pub healthy: u32,
    /// `disruptionsAllowed`.
    pub allowed: u32,
    /// `SyncFailed`: it could not be calculated. Kubernetes leaves the counts as they were, here they are zero.
    pub failed: bool,
}

/// Why an eviction is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) budget: Option<String>,
    /// 429, or 500.
    pub(crate) status: u16,
    pub(crate) reason: String,
}

/// Whether `budget` looks at the pods of `workload`.
pub(crate) fn covers(budget: &DisruptionBudget, workload: &Workload) -> bool {
    budget.namespace == workload.namespace && budget.selector.as_ref().is_some_and(|s| s.selects(&workload.labels))
}

/// `trySync` with all pods that the budget selects, ending ones included.
pub(crate) fn status(bound: DisruptionBound, members: &[Member]) -> BudgetStatus {
    let healthy = members.iter().filter(|member| member.healthy).count() as u32;
    let scale = || {
        let mut controllers: Vec<Controller> = members.iter().map(|member| member.controller).collect();
        controllers.sort_unstable();
        controllers.dedup();
        controllers.into_iter().try_fold(0, |sum, controller| match controller {
            Controller::None => Some(sum),
            Controller::Scaled(_, scale) => Some(sum + scale),
            Controller::Unscaled => None,
        })
    };
    let expected_and_desired = match bound {
        DisruptionBound::MinAvailable(platform::CountOrPercent::Count(count)) => Some((members.len() as u32, count)),
        DisruptionBound::MinAvailable(part) => scale().map(|scale| (scale, share(part, scale, true))),
        DisruptionBound::MaxUnavailable(part) => {
            scale().map(|scale| (scale, scale.saturating_sub(share(part, scale, true))))
        }
    };
    match expected_and_desired {
        Some((expected, desired_healthy)) => {
            let allowed = if expected == 0 { 0 } else { healthy.saturating_sub(desired_healthy) };
            BudgetStatus { expected, desired_healthy, healthy, allowed, failed: false }
        }
        None => BudgetStatus { healthy, failed: true, ..BudgetStatus::default() }, // `failSafe`
    }
}

/// Whether a running pod may be evicted that is `healthy` or not, under the budgets that select it.
pub(crate) fn evict(healthy: bool, budgets: &[(&DisruptionBudget, BudgetStatus)]) -> Result<(), Refusal> {
    let (budget, status) = match budgets {
        [] => return Ok(()),
        [one] => *one,
        _ => {
            let reason =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Refusal { budget: None, status: 500, reason: reason.to_owned() });
        }
    };
    let intact = status.healthy >= status.desired_healthy && status.desired_healthy > 0;
    if !healthy && (budget.always_evict_unready || intact) {
        return Ok(());
    }
    if status.allowed > 0 {
        return Ok(());
    }
    let BudgetStatus { desired_healthy, healthy, .. } = status;
    let reason = format!(
        "Cannot evict pod as it would violate the pod's disruption budget. \
         The disruption budget {} needs {desired_healthy} healthy pods and has {healthy} currently",
        budget.name
    );
    Err(Refusal { budget: Some(budget.name.clone()), status: 429, reason })
}

#[cfg(test)]
mod tests {
    use platform::{CountOrPercent, Place, Selector};

    use super::*;

    fn budget(always_evict_unready: bool) -> DisruptionBudget {
        DisruptionBudget {
            name: "web".into(),
            namespace: String::new(),
            selector: Some(Selector::default()),
            bound: DisruptionBound::MaxUnavailable(CountOrPercent::Count(1)),
            always_evict_unready,
            place: Place::default(),
        }
    }

    fn members(healthy: usize, unready: usize, controller: Controller) -> Vec<Member> {
        (0..healthy + unready).map(|i| Member { healthy: i < healthy, controller }).collect()
    }

    #[test]
    fn budgets_allow_what_upstream_allows() {
        use CountOrPercent::{Count, Percent};
        use DisruptionBound::{MaxUnavailable, MinAvailable};
        let scaled = |scale| Controller::Scaled(0, scale);
        for (case, bound, members, allowed) in [
            ("all but the minimum", MinAvailable(Count(2)), members(3, 0, scaled(3)), 1),
            ("unready pods do not count", MinAvailable(Count(2)), members(2, 1, scaled(3)), 0),
            ("a share of what is wanted, rounded up", MinAvailable(Percent(50)), members(3, 0, scaled(3)), 1),
            ("a share of the scale, not of the pods", MinAvailable(Percent(50)), members(3, 0, scaled(10)), 0),
            ("one may be missing", MaxUnavailable(Count(1)), members(3, 0, scaled(3)), 1),
            ("one is missing", MaxUnavailable(Count(1)), members(2, 0, scaled(3)), 0),
            ("a share rounds up here, too", MaxUnavailable(Percent(10)), members(3, 0, scaled(3)), 1),
            ("more than there are", MaxUnavailable(Count(9)), members(3, 0, scaled(3)), 3),
            ("no pods, nothing allowed", MinAvailable(Count(0)), vec![], 0),
            ("bare pods count for a whole minimum", MinAvailable(Count(1)), members(2, 0, Controller::None), 1),
            ("but have no scale", MaxUnavailable(Count(1)), members(2, 0, Controller::None), 0),
            ("a DaemonSet has none, either", MaxUnavailable(Count(1)), members(2, 0, Controller::Unscaled), 0),
        ] {
            assert_eq!(status(bound, &members).allowed, allowed, "{case}");
        }
    }

    #[test]
    fn evictions_are_answered_in_the_words_of_the_api_server() {
        let status = |healthy, desired_healthy, allowed| BudgetStatus {
            expected: 3,
            desired_healthy,
            healthy,
            allowed,
            failed: false,
        };
        let (strict, lax) = (budget(false), budget(true));
        for (case, healthy, budgets, refused) in [
            ("no budget", true, vec![], None),
            ("something is left", true, vec![(&strict, status(3, 2, 1))], None),
            ("nothing is left", true, vec![(&strict, status(2, 2, 0))], Some(429)),
            ("two budgets", true, vec![(&strict, status(3, 2, 1)), (&lax, status(3, 2, 1))], Some(500)),
            ("unready, enough are healthy", false, vec![(&strict, status(2, 2, 0))], None),
            ("unready, too few are healthy", false, vec![(&strict, status(1, 2, 0))], Some(429)),
            ("unready, nothing desired", false, vec![(&strict, status(0, 0, 0))], Some(429)),
            ("unready, always allowed", false, vec![(&lax, status(1, 2, 0))], None),
        ] {
            assert_eq!(evict(healthy, &budgets).err().map(|refusal| refusal.status), refused, "{case}");
        }
        let refusal = evict(true, &[(&strict, status(2, 2, 0))]).unwrap_err();
        assert!(refusal.reason.ends_with("The disruption budget web needs 2 healthy pods and has 2 currently"));
    }
}
