//! What load needed, and how soon each autoscaler gave it.
//!
//! *Needed* is what keeps the CPU at the autoscaler's own target: where it would settle if the load stayed. What is
//! short of that is not necessarily refused, but it is what the autoscaler owes.

use record::{Chronicle, Demand, EventKind, PhaseSpan, ScalingDecision, ScalingResult, Timeline, WorkloadSeries};

/// Arrivals by chance are smoothed over so many windows, never across the border of a phase.
const SMOOTHED_US: u64 = 10_000_000;
/// What an autoscaler lets pass: Kubernetes' default tolerance, a tenth.
const TOLERANCE: f64 = 1.1;
/// Shorter than this many replica-seconds short, without a decision, is no story.
const STORY_MILLI: u64 = 10_000;

/// Needed replicas of each window, thousandths.
pub(crate) fn needed(demand: &Demand, timeline: &Timeline, phases: &[PhaseSpan], load: (u64, u64)) -> Vec<u32> {
    let width = timeline.width_us.max(1);
    let begun = load.1.saturating_sub(load.0).div_ceil(width) as usize;
    let windows = &timeline.windows[..begun.min(timeline.windows.len())];
    let start = |index: usize| load.0 + index as u64 * width;
    // CPU that a window asks for and how long it is: the last one ends with the load.
    let asked: Vec<(f64, f64)> = windows
        .iter()
        .enumerate()
        .map(|(index, window)| {
            let us: u64 = window.steps.iter().zip(&demand.step_us).map(|(n, us)| u64::from(*n) * us).sum();
            (us as f64, width.min(load.1 - start(index)) as f64)
        })
        .collect();
    let phase = |index: usize| {
        let middle = start(index) + width / 2;
        phases.partition_point(|phase| phase.start_us <= middle)
    };
    let reach = (SMOOTHED_US / width / 2) as usize;
    let at = |index: usize| {
        let near = index.saturating_sub(reach)..(index + reach + 1).min(asked.len());
        let same = near.filter(|other| phase(*other) == phase(index)).map(|other| asked[other]);
        let (us, long) = same.fold((0.0, 0.0), |(us, long), (more, longer)| (us + more, long + longer));
        let replicas = us / (long / 1e6).max(f64::MIN_POSITIVE) / demand.replica_us_per_s.max(1) as f64;
        libm::round(replicas * 1e3) as u32
    };
    (0..asked.len()).map(at).collect()
}

/// How each workload with a need was scaled, those that were scaled up first.
pub(crate) fn scalings(
    workloads: &[WorkloadSeries],
    decisions: &[(u64, ScalingDecision)],
    chronicle: &Chronicle,
    width_us: u64,
    load: (u64, u64),
) -> Vec<ScalingResult> {
    let one = |series: &WorkloadSeries| one(series, decisions, chronicle, width_us.max(1), load);
    let mut all: Vec<ScalingResult> = workloads.iter().filter_map(one).collect();
    all.sort_by_key(|result| (result.decided_us.is_none(), std::cmp::Reverse(result.unserved_milli)));
    all
}

fn one(
    series: &WorkloadSeries,
    decisions: &[(u64, ScalingDecision)],
    chronicle: &Chronicle,
    width: u64,
    load: (u64, u64),
) -> Option<ScalingResult> {
    let of: Vec<&(u64, ScalingDecision)> = decisions
        .iter()
        .filter(|(at, d)| d.workload == series.workload && *at >= load.0 && *at < load.1 && d.desired != d.current)
        .collect();
    let up = of.iter().find(|(_, d)| d.desired > d.current);
    let decided_us = up.map(|(at, _)| *at);
    let ready = |at: u64| series.points.iter().take_while(|point| point.at_us <= at).last().map_or(0, |p| p.ready);
    let middle = |index: usize| load.0 + index as u64 * width + width / 2;
    let short =
        |index: usize| f64::from(series.needed_milli[index]) > f64::from(ready(middle(index))) * 1e3 * TOLERANCE;
    let unserved_milli = series.needed_milli.iter().enumerate().map(|(index, needed)| {
        let missing = u64::from(needed.saturating_sub(ready(middle(index)) * 1_000));
        missing * width.min(load.1 - (load.0 + index as u64 * width)) / 1_000_000
    });
    let unserved_milli = unserved_milli.sum();
    if decided_us.is_none() && unserved_milli < STORY_MILLI {
        return None;
    }
    // Back from the decision, or from where it was shortest of replicas, to where that began.
    let windows = series.needed_milli.len();
    let at_decision =
        decided_us.map(|at| (at.saturating_sub(load.0) / width) as usize).filter(|index| *index < windows);
    let from = match at_decision {
        Some(index) => Some(index),
        None => (0..windows).find(|index| short(*index)),
    };
    let from = from
        .filter(|index| short(*index))
        .map(|index| (0..=index).rev().take_while(|i| short(*i)).last().unwrap_or(index));
    let breach_us = from.map(|index| load.0 + index as u64 * width);
    let before = ready(breach_us.or(decided_us).unwrap_or(load.0));
    let most = of.iter().map(|(_, d)| d.desired).max().unwrap_or(before);
    let after = |least: u32| {
        let since = decided_us?;
        series.points.iter().find(|point| point.at_us >= since && point.ready >= least).map(|point| point.at_us)
    };
    let peak_needed_milli = series.needed_milli.iter().copied().max().unwrap_or(0);
    let bounds = series.bounds.unwrap_or((0, u32::MAX));
    let ever_needed = peak_needed_milli.div_ceil(1_000).max(before).max(bounds.0);
    let ups: Vec<bool> = of.iter().map(|(_, d)| d.desired > d.current).collect();
    Some(ScalingResult {
        workload: series.workload.clone(),
        autoscaler: of.first().map_or(String::new(), |(_, d)| d.autoscaler.clone()),
        from: before,
        to: most,
        breach_us,
        decided_us,
        started_us: decided_us.and_then(|at| started(chronicle, &series.workload, at)),
        first_ready_us: decided_us.and_then(|at| after(ready(at) + 1)),
        all_ready_us: after(most),
        peak_needed_milli,
        unserved_milli,
        overshoot: if series.needed_milli.is_empty() { 0 } else { most.saturating_sub(ever_needed) },
        turns: ups.windows(2).filter(|pair| pair[0] != pair[1]).count() as u32,
    })
}

/// When the first pod of a workload ran that was created after an instant.
fn started(chronicle: &Chronicle, workload: &str, since: u64) -> Option<u64> {
    let of = |pod: &str| pod.strip_prefix(workload).is_some_and(|rest| rest.starts_with('-'));
    let ran = |event: &&record::Event| {
        event.at_us >= since && matches!(&event.kind, EventKind::PodStarted { pod } if of(pod))
    };
    chronicle.events().iter().find(ran).map(|event| event.at_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{PhaseKind, Window, WorkloadPoint};
    use units::Nanos;

    const SECOND: u64 = 1_000_000;
    const LOAD: (u64, u64) = (10 * SECOND, 70 * SECOND);

    /// 10 requests a second, then 40 from second 30 on; each costs a tenth of what a replica gives.
    fn needs() -> Vec<u32> {
        let window = |second: u64| Window { steps: vec![if second < 30 { 10 } else { 40 }], ..Window::default() };
        let timeline = Timeline { width_us: SECOND, windows: (10..70).map(window).collect(), ..Timeline::default() };
        let phase = |name: &str, from: u64, to: u64| PhaseSpan {
            name: name.into(),
            kind: PhaseKind::Steady,
            start_us: from * SECOND,
            end_us: to * SECOND,
        };
        let demand = Demand { workload: "shop".into(), replica_us_per_s: 200_000, step_us: vec![20_000] };
        needed(&demand, &timeline, &[phase("before", 10, 30), phase("step", 30, 70)], LOAD)
    }

    #[test]
    fn what_is_needed_steps_with_the_phase_and_is_smooth_within() {
        let needs = needs();
        assert_eq!((needs.len(), needs[0], needs[19], needs[20], needs[59]), (60, 1_000, 1_000, 4_000, 4_000));
    }

    #[test]
    fn a_step_is_taken_apart() {
        let decision = |current, desired| ScalingDecision {
            autoscaler: "shop-hpa".into(),
            workload: "shop".into(),
            current,
            proposed: desired,
            desired,
            metrics: vec![],
            able_to_scale: String::new(),
            scaling_active: String::new(),
            scaling_limited: String::new(),
            stabilized: None,
            forecast: None,
            conditions: vec![],
        };
        let mut chronicle = Chronicle::default();
        chronicle.note(Nanos::from_secs(48), EventKind::PodStarted { pod: "shop-1-a".into() });
        let point = |second: u64, desired, ready| WorkloadPoint { at_us: second * SECOND, desired, ready };
        let points = vec![point(5, 2, 2), point(45, 5, 2), point(50, 5, 3), point(55, 5, 5)];
        let series = WorkloadSeries { workload: "shop".into(), bounds: Some((2, 9)), points, needed_milli: needs() };
        let decisions =
            vec![(45 * SECOND, decision(2, 5)), (60 * SECOND, decision(5, 4)), (65 * SECOND, decision(4, 5))];
        let all = scalings(&[series], &decisions, &chronicle, SECOND, LOAD);
        let result = &all[0];
        let seconds = |at: Option<u64>| at.map(|at| at / SECOND);
        assert_eq!(
            [result.breach_us, result.decided_us, result.started_us, result.first_ready_us, result.all_ready_us]
                .map(seconds),
            [Some(30), Some(45), Some(48), Some(50), Some(55)]
        );
        assert_eq!((result.from, result.to, result.overshoot, result.turns), (2, 5, 1, 2));
        // Two replicas short for 20 s, then one for 5 s.
        assert_eq!(result.unserved_milli, 45_000);
    }

    #[test]
    fn who_is_never_short_and_never_scaled_has_no_story() {
        let points = vec![WorkloadPoint { at_us: 0, desired: 5, ready: 5 }];
        let series = WorkloadSeries { workload: "shop".into(), bounds: None, points, needed_milli: needs() };
        assert!(scalings(&[series], &[], &Chronicle::default(), SECOND, LOAD).is_empty());
    }
}
