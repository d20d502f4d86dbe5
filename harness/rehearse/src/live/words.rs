//! An event in a line.

use record::{Event, EventKind, NodeState};
use units::Nanos;

use super::state::Tone;
use crate::told::reading;

/// What is worth a line, in words; nothing for the rest, which `events.jsonl` has.
pub(crate) fn words(event: &Event) -> Option<(Tone, String)> {
    let told = match &event.kind {
        EventKind::PlatformReady => {
            let now = Nanos::from_micros(event.at_us);
            (Tone::Good, format!("ready after {:.1} s; load begins", now.as_secs_f64()))
        }
        EventKind::PhaseStarted { phase } => (Tone::Plain, format!("phase {phase}")),
        EventKind::LoadEnded => (Tone::Plain, "load has ended".into()),
        EventKind::LoadAborted { reason } => (Tone::Bad, format!("load was given up: {reason}")),
        EventKind::DataChanged { what } => (Tone::Change, what.clone()),
        EventKind::FaultBegan { fault, what } => (Tone::Bad, format!("fault {fault}: {what}")),
        EventKind::FaultEnded { fault } => (Tone::Good, format!("fault {fault} is over")),
        EventKind::Scaling(d) if d.desired != d.current => {
            let read: Vec<_> = d.metrics.iter().map(reading).collect();
            (Tone::Change, format!("HPA {} {} → {}: {}", d.workload, d.current, d.desired, read.join(", ")))
        }
        EventKind::ReplicasChanged { workload, desired, ready } => {
            (Tone::Plain, format!("{workload}: {ready} of {desired} ready"))
        }
        EventKind::PodUnschedulable { pod, reason } => (Tone::Bad, format!("pod {pod} is pending: {reason}")),
        EventKind::PodRestarted { pod, reason } => (Tone::Bad, format!("pod {pod} restarted: {reason}")),
        EventKind::RolloutStarted { workload, revision } => {
            (Tone::Change, format!("{workload}: rollout of revision {revision} begins"))
        }
        EventKind::RolloutComplete { workload, revision } => {
            (Tone::Good, format!("{workload}: rollout of revision {revision} is complete"))
        }
        EventKind::DeadlineExceeded { workload, message } => (Tone::Bad, format!("{workload}: {message}")),
        EventKind::CreateFailed { workload, reason } => (Tone::Bad, format!("{workload}: {reason}")),
        EventKind::PodEvicted { pod, reason } => (Tone::Bad, format!("pod {pod} evicted: {reason}")),
        EventKind::EvictionRefused { pod, reason, .. } => (Tone::Change, format!("pod {pod} not evicted: {reason}")),
        EventKind::NodeChanged { node, state } => {
            let well = matches!(state, NodeState::Ready | NodeState::Returned | NodeState::Uncordoned);
            (if well { Tone::Good } else { Tone::Bad }, format!("node {node} is {state}"))
        }
        EventKind::Stalled { who, stalled_us } => {
            let span = *stalled_us as f64 / 1e6;
            (Tone::Bad, format!("{who} stood still for {span:.1} s: its process was stopped, or had no CPU"))
        }
        EventKind::ControlSilent { silent_us } => {
            let span = *silent_us as f64 / 1e6;
            (Tone::Bad, format!("the API server did not answer for {span:.0} s; what came of that is told late"))
        }
        EventKind::Substituted { what, by } => {
            (Tone::Plain, format!("{what} became {by}, and so for others of its kind"))
        }
        _ => return None,
    };
    Some(told)
}
