//! The DaemonSet controller: which of its pods an update replaces next.
//!
//! Follows `pkg/controller/daemon/update.go` (`rollingUpdate`) with the default `maxUnavailable: 1`. Which nodes get a
//! pod is [`Scheduler::wants_daemon`](crate::scheduler::Scheduler::wants_daemon)'s to say.

use crate::PodId;

/// One of its pods that is not ending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) pod: PodId,
    pub(crate) old: bool,
    pub(crate) available: bool,
}

/// Which pods an update deletes next, where `nodes` are to run one: old ones that serve nobody at once, others one at
/// a time.
pub(crate) fn outdated(nodes: usize, members: &[Member]) -> Vec<PodId> {
    let available = members.iter().filter(|member| member.available).count();
    let unavailable = nodes.saturating_sub(available);
    let dead = members.iter().filter(|member| member.old && !member.available);
    let spare = 1_usize.saturating_sub(unavailable);
    let live = members.iter().filter(|member| member.old && member.available).take(spare);
    dead.chain(live).map(|member| member.pod).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_takes_one_serving_pod_at_a_time() {
        let member = |pod, old, available| Member { pod: PodId(pod), old, available };
        for (case, members, want) in [
            ("all serve", vec![member(0, true, true), member(1, true, true)], vec![PodId(0)]),
            ("one is missing", vec![member(1, true, true)], vec![]),
            ("its successor serves", vec![member(2, false, true), member(1, true, true)], vec![PodId(1)]),
            ("an old one serves nobody", vec![member(0, true, true), member(1, true, false)], vec![PodId(1)]),
        ] {
            assert_eq!(outdated(2, &members), want, "{case}");
        }
    }
}
