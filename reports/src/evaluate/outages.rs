//! How long something was down, by the events of a run: all of it was seen, nothing is estimated.

use std::collections::BTreeMap;

use objectives::Subject;
use record::{EventKind, NodeState, PhaseKind};

use super::Played;

/// The longest outage and how long was watched, microseconds; both from the end of the warm-up to the end of load.
/// Nothing is watched where there is nothing of the kind.
pub(crate) fn longest(played: &Played, what: Subject) -> (u64, u64) {
    let warm = |kind: PhaseKind| kind == PhaseKind::WarmUp;
    let first = played.phases.iter().find(|phase| !warm(phase.kind)).map_or(played.load_start_us, |p| p.start_us);
    let (from, to) = (first.min(played.load_end_us), played.load_end_us);
    let longest = match what {
        Subject::Target => match targets(played, from, to) {
            Some(longest) => longest,
            None => return (0, 0),
        },
        Subject::Database => data(played, from, to, "the database's primary is lost", "the database has a primary"),
        Subject::Cache => data(played, from, to, "the cache is lost", "the cache answers again"),
    };
    (longest, to - from)
}

/// A pod that runs and is not ready, or whose node is gone, is a target that is not scraped. `None` without any pod.
fn targets(played: &Played, from: u64, to: u64) -> Option<u64> {
    let mut down: BTreeMap<&str, u64> = BTreeMap::new();
    let mut node_of: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut longest, mut any) = (0, false);
    let mut up = |down: &mut BTreeMap<&str, u64>, pod: &str, at: u64| {
        if let Some(since) = down.remove(pod) {
            longest = longest.max(at.min(to).saturating_sub(since.max(from)));
        }
    };
    for event in played.chronicle.events() {
        let at = event.at_us;
        any |= matches!(event.kind, EventKind::PodStarted { .. } | EventKind::PodReady { .. });
        match &event.kind {
            EventKind::PodScheduled { pod, node, .. } => {
                node_of.insert(pod, node);
            }
            EventKind::PodStarted { pod } | EventKind::PodReady { pod, ready: false } => {
                down.entry(pod).or_insert(at);
            }
            // A pod that is asked to end is a target no more: its endpoint is taken away.
            EventKind::PodReady { pod, ready: true }
            | EventKind::PodGone { pod }
            | EventKind::PodSucceeded { pod }
            | EventKind::PodEvicted { pod, .. }
            | EventKind::PodTerminating { pod, .. } => up(&mut down, pod, at),
            EventKind::NodeChanged { node, state: NodeState::Lost | NodeState::CutOff } => {
                for (pod, _) in node_of.iter().filter(|(_, on)| *on == node) {
                    down.entry(pod).or_insert(at);
                }
            }
            _ => {}
        }
    }
    let left: Vec<&str> = down.keys().copied().collect();
    left.into_iter().for_each(|pod| up(&mut down, pod, to));
    any.then_some(longest)
}

/// From the words of the data layer.
fn data(played: &Played, from: u64, to: u64, lost: &str, back: &str) -> u64 {
    let (mut since, mut longest) = (None, 0);
    for event in played.chronicle.events() {
        let EventKind::DataChanged { what } = &event.kind else { continue };
        if what.starts_with(lost) {
            since = since.or(Some(event.at_us));
        } else if what.starts_with(back) {
            longest = longest.max(since.take().map_or(0, |s: u64| event.at_us.min(to).saturating_sub(s.max(from))));
        }
    }
    longest.max(since.map_or(0, |since| to.saturating_sub(since.max(from))))
}
