//! What a timeline marks beside faults and autoscalers: nodes, restarts, rollouts, evictions, the data layer.

use record::{Chronicle, EventKind, Happening, NodeState};

/// More than these are not marked; `events.jsonl` has them all.
const MOST: usize = 200;
/// The same said again within so long is said once.
const AGAIN_US: u64 = 5_000_000;

/// Under load, in order of time.
pub(crate) fn happenings(chronicle: &Chronicle, load: (u64, u64)) -> Vec<Happening> {
    let mut all: Vec<Happening> = Vec::new();
    for event in chronicle.events().iter().filter(|event| (load.0..load.1).contains(&event.at_us)) {
        let Some(what) = said(&event.kind) else { continue };
        let again = |before: &Happening| before.what == what && event.at_us - before.at_us < AGAIN_US;
        if all.len() < MOST && !all.iter().rev().take(20).any(again) {
            all.push(Happening { at_us: event.at_us, what });
        }
    }
    all
}

fn said(kind: &EventKind) -> Option<String> {
    Some(match kind {
        // The fault says itself that a node lost its power or is cut off.
        EventKind::NodeChanged { node, state } if !matches!(state, NodeState::Lost | NodeState::CutOff) => {
            format!("{node} {state}")
        }
        EventKind::DataChanged { what } => what.clone(),
        EventKind::PodRestarted { pod, reason } => format!("{} restarts: {reason}", of(pod)),
        EventKind::PodEvicted { pod, .. } => format!("{} evicted", of(pod)),
        EventKind::EvictionRefused { pod, .. } => format!("eviction of {} refused", of(pod)),
        EventKind::PodUnschedulable { pod, .. } => format!("{} fits no node", of(pod)),
        EventKind::RolloutStarted { workload, .. } => format!("{workload} rolls out"),
        EventKind::RolloutComplete { workload, .. } => format!("{workload} rolled out"),
        EventKind::DeadlineExceeded { workload, .. } => format!("rollout of {workload} stuck"),
        EventKind::CreateFailed { workload, reason } => format!("no pod of {workload}: {reason}"),
        EventKind::ControlSilent { silent_us } => {
            format!("the API server answers again after {:.0} s", *silent_us as f64 / 1e6)
        }
        EventKind::LoadAborted { reason } => format!("given up: {reason}"),
        _ => return None,
    })
}

/// The workload of a pod: its name without the ReplicaSet's hash and its own suffix, or without its ordinal.
fn of(pod: &str) -> &str {
    let without = |name: &'_ str| name.rfind('-').unwrap_or(name.len());
    let whole = &pod[..without(pod)];
    let last = &whole[without(whole)..];
    // A hash is made of figures and consonants; a part of a name is not.
    let hash = last.len() > 5 && last[1..].bytes().all(|b| b.is_ascii_digit() || b"bcdfghjklmnpqrstvwxz".contains(&b));
    if hash { &whole[..without(whole)] } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Nanos;

    #[test]
    fn pods_are_told_by_their_workload() {
        for (pod, workload) in [
            ("auth-service-6d9f7c5b8-x2kqm", "auth-service"),
            ("postgres-auth-0", "postgres-auth"),
            ("auth-service-8cb9xnxq8g-0002", "auth-service"),
            ("redis", "redis"),
        ] {
            assert_eq!(of(pod), workload);
        }
    }

    #[test]
    fn the_same_at_once_is_told_once_and_only_under_load() {
        let mut chronicle = Chronicle::default();
        let restarted = |pod: &str| EventKind::PodRestarted { pod: pod.into(), reason: "out of memory".into() };
        chronicle.note(Nanos::from_secs(1), restarted("auth-service-6d9f7c5b8-aaaaa"));
        chronicle.note(Nanos::from_secs(11), restarted("auth-service-6d9f7c5b8-aaaaa"));
        chronicle.note(Nanos::from_secs(12), restarted("auth-service-6d9f7c5b8-bbbbb"));
        chronicle.note(Nanos::from_secs(30), restarted("auth-service-6d9f7c5b8-bbbbb"));
        let told = happenings(&chronicle, (10_000_000, 60_000_000));
        let told: Vec<(u64, &str)> = told.iter().map(|h| (h.at_us / 1_000_000, h.what.as_str())).collect();
        let what = "auth-service restarts: out of memory";
        assert_eq!(told, [(11, what), (30, what)]);
    }
}
