//! The events of a run, and the series that follow from them.

use std::collections::BTreeMap;

use units::Nanos;

use crate::{Event, EventKind, ScalingDecision, WorkloadPoint, WorkloadSeries};

/// Pods that are named where many share a reason.
const SHOWN: usize = 4;

/// Collects events in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub struct Chronicle {
    events: Vec<Event>,
}

impl Chronicle {
    /// Notes what happened at `now`, and hands it back for whoever shows progress.
    pub fn note(&mut self, now: Nanos, kind: EventKind) -> &Event {
        self.events.push(Event::new(now, kind));
        self.events.last().expect("just pushed")
    }

    /// All events so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The pod that was last found to fit no node and still waits for one, with the scheduler's reason.
    pub fn unschedulable(&self) -> Option<(&str, &str)> {
        let mut waiting = None;
        for event in &self.events {
            match &event.kind {
                EventKind::PodUnschedulable { pod, reason } => waiting = Some((pod.as_str(), reason.as_str())),
                EventKind::PodScheduled { pod, .. } if waiting.is_some_and(|(name, _)| name == pod) => waiting = None,
                _ => {}
            }
        }
        waiting
    }

    /// The events of a run that was kept.
    pub const fn of(events: Vec<Event>) -> Self {
        Self { events }
    }

    /// Names of pods by their number, counted from 1 in the order of creation.
    pub fn pods(&self) -> BTreeMap<u16, &str> {
        let mut names = BTreeMap::new();
        for event in &self.events {
            if let EventKind::PodScheduled { pod, number: number @ 1.., .. } = &event.kind {
                names.insert(*number, pod.as_str());
            }
        }
        names
    }

    /// Why not all pods are ready, in words: those that fit no node, that restart, or that never became ready.
    pub fn unready(&self) -> String {
        let mut waiting: BTreeMap<&str, Option<&str>> = BTreeMap::new(); // and why a pod was last restarted
        for event in &self.events {
            match &event.kind {
                EventKind::PodStarted { pod } | EventKind::PodReady { pod, ready: false } => {
                    waiting.entry(pod).or_default();
                }
                EventKind::PodRestarted { pod, reason } => drop(waiting.insert(pod, Some(reason))),
                EventKind::PodReady { pod, ready: true }
                | EventKind::PodSucceeded { pod }
                | EventKind::PodGone { pod } => drop(waiting.remove(pod.as_str())),
                _ => {}
            }
        }
        let mut by_reason: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
        waiting.into_iter().for_each(|(pod, why)| by_reason.entry(why).or_default().push(pod));
        let told = |(why, pods): (Option<&str>, Vec<&str>)| {
            let shown = pods.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if pods.len() > SHOWN { format!(" and {} more", pods.len() - SHOWN) } else { String::new() };
            let what = why.map_or("started, but did not pass their readiness probes".to_owned(), |why| {
                format!("are restarted again and again ({why})")
            });
            format!("{shown}{more} {what}")
        };
        let lost = self.unschedulable().map(|(pod, reason)| format!("pod {pod} fits no node: {reason}"));
        let all: Vec<String> = lost.into_iter().chain(by_reason.into_iter().map(told)).collect();
        if all.is_empty() { "its pods never started".to_owned() } else { all.join("; ") }
    }

    /// Every sync of every autoscaler.
    pub fn decisions(&self) -> Vec<(u64, ScalingDecision)> {
        let decision = |event: &Event| match &event.kind {
            EventKind::Scaling(decision) => Some((event.at_us, decision.clone())),
            _ => None,
        };
        self.events.iter().filter_map(decision).collect()
    }

    /// Replicas over time; workloads with bounds (`name → (min, max)`) first, then by name.
    pub fn workloads(&self, bounds: &BTreeMap<String, (u32, u32)>) -> Vec<WorkloadSeries> {
        let mut series: BTreeMap<&str, Vec<WorkloadPoint>> = BTreeMap::new();
        for event in &self.events {
            if let EventKind::ReplicasChanged { workload, desired, ready } = &event.kind {
                let points = series.entry(workload).or_default();
                let point = WorkloadPoint { at_us: event.at_us, desired: *desired, ready: *ready };
                match points.last_mut() {
                    Some(last) if last.at_us == point.at_us => *last = point,
                    _ => points.push(point),
                }
            }
        }
        let mut all: Vec<_> = series
            .into_iter()
            .map(|(name, points)| WorkloadSeries {
                workload: name.into(),
                bounds: bounds.get(name).copied(),
                points,
                needed_milli: Vec::new(),
            })
            .collect();
        all.sort_by_key(|s| s.bounds.is_none());
        all
    }
}
