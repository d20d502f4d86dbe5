//! Autoscaling in motion: the steepest ramp, what a step's answer is made of, and where targets aim.

use record::{Capacity, Climbs, Event, EventKind, Motion, RunResult, ScaleDelay, ScalingDecision, TargetTold};
use units::Nanos;

use crate::asker::{Asker, SCALED};
use crate::demand::{autoscaler_of, cpu_target};
use crate::questions::Known;
use crate::trial::broken;
use crate::{Judge, Shape};

/// Climbs are tried between these, seconds.
const LONGEST: f64 = 480.0;
const SHORTEST: f64 = 1.0;
/// Ramps end at this share of what the platform carries: at its very limit nothing holds.
const SHARE: f64 = 0.8;

/// How autoscalers keep up between the asked rate and most of what the platform carries: what is known before anything
/// climbs. `None` without autoscalers.
pub(crate) fn motion(known: &Known<'_>) -> Option<Motion> {
    if known.question.plan.platform.autoscalers.is_empty() {
        return None;
    }
    let to = most(&known.declared);
    Some(Motion {
        from: to / 10.0,
        to,
        reactive: Climbs::default(),
        predictive: Climbs::default(),
        delays: Vec::new(),
        targets: targets(known),
    })
}

/// Where ramps end.
pub(crate) fn most(declared: &Capacity) -> f64 {
    declared.keeps * SHARE
}

/// The shortest climb to `to` that holds, with a forecast or without. Both are played on the same chance, so that they
/// differ by the forecast and by nothing else.
pub(crate) fn climbs(asker: &Asker<'_>, to: f64, predictive: bool) -> Climbs {
    let settings = asker.judge.settings.clone();
    let settings = if predictive { settings.predictive() } else { settings };
    let judge = Judge { settings, ..asker.judge.clone() };
    let ramp = |climb: f64| Shape {
        climb: Nanos::from_secs_f64(climb),
        settle: Nanos::from_secs(60),
        steady: Nanos::from_secs(60),
        judge_climb: true,
    };
    shortest(|climb| {
        let trial = asker.trial(&[], ramp(climb));
        asker.count();
        trial.play(&judge, to, asker.seed()).is_ok_and(|result| broken(&result).is_none())
    })
}

/// The shortest climb that holds. Longer is easier: the bracket is searched downwards.
fn shortest(holds: impl Fn(f64) -> bool) -> Climbs {
    let mut found = Climbs::default();
    let mut climb = LONGEST;
    while climb >= SHORTEST {
        if holds(climb) {
            found.shortest_s = Some(climb);
            climb /= 2.0;
        } else {
            found.breaks_s = Some(climb);
            break;
        }
    }
    while let (Some(good), Some(bad)) = (found.shortest_s, found.breaks_s)
        && good / bad > 1.25
    {
        let middle = libm::sqrt(good * bad);
        if holds(middle) { found.shortest_s = Some(middle) } else { found.breaks_s = Some(middle) }
    }
    found
}

/// A sudden step from a small rate, and what the answer of each autoscaler is made of.
pub(crate) fn step(asker: &Asker<'_>, to: f64) -> Vec<ScaleDelay> {
    let shape = Shape { climb: Nanos::from_secs(1), ..SCALED };
    let trial = asker.trial(&[], shape);
    asker.count();
    let Ok((result, events)) = trial.watch(asker.judge, to, asker.seed()) else { return Vec::new() };
    let plan = &asker.question.plan;
    plan.platform
        .autoscalers
        .iter()
        .filter_map(|autoscaler| {
            let workload = &plan.platform.workload(autoscaler.target?).name;
            delay(workload, &result, &events)
        })
        .collect()
}

/// The parts of the way from the start of load to the first new pod in the endpoints.
fn delay(workload: &str, result: &RunResult, events: &[Event]) -> Option<ScaleDelay> {
    let own = || result.decisions.iter().filter(|(at, d)| d.workload == workload && *at >= result.load_start_us);
    let (decided, decision) = own().find(|(_, decision)| decision.desired > decision.current)?;
    let prefix = format!("{workload}-");
    let new = |event: &&Event| event.at_us >= *decided;
    let pod = events.iter().filter(new).find_map(|event| match &event.kind {
        EventKind::PodScheduled { pod, .. } if pod.starts_with(&prefix) => Some((event.at_us, pod.clone())),
        _ => None,
    });
    let (scheduled, pod) = pod?;
    let at = |wanted: &dyn Fn(&EventKind) -> bool, from: u64| {
        events.iter().filter(|event| event.at_us >= from).find(|event| wanted(&event.kind)).map(|event| event.at_us)
    };
    let started = at(&|kind| matches!(kind, EventKind::PodStarted { pod: own } if *own == pod), scheduled)?;
    let ready = at(&|kind| matches!(kind, EventKind::PodReady { pod: own, ready: true } if *own == pod), started)?;
    let served = at(&|kind| matches!(kind, EventKind::EndpointsChanged { service, .. } if service == workload), ready);
    let read = decision.metrics.iter().map(|metric| metric.sample_age_us).min().unwrap_or_default();
    let read = read.min(decided - result.load_start_us);
    Some(ScaleDelay {
        workload: workload.to_owned(),
        from: decision.current,
        to: decision.desired,
        sample_us: decided - read - result.load_start_us,
        sync_us: read,
        schedule_us: scheduled - decided,
        start_us: started - scheduled,
        probe_us: ready - started,
        propagation_us: served.unwrap_or(ready) - ready,
        overshoot: overshoot(own().map(|(_, decision)| decision)),
        reversals: reversals(own().map(|(_, decision)| decision)),
    })
}

fn overshoot<'a>(decisions: impl Iterator<Item = &'a ScalingDecision>) -> u32 {
    let wanted: Vec<u32> = decisions.map(|decision| decision.desired).collect();
    wanted.iter().max().copied().unwrap_or_default() - wanted.last().copied().unwrap_or_default()
}

fn reversals<'a>(decisions: impl Iterator<Item = &'a ScalingDecision>) -> u32 {
    let mut last = std::cmp::Ordering::Equal;
    let mut count = 0;
    for decision in decisions {
        let way = decision.desired.cmp(&decision.current);
        if way != std::cmp::Ordering::Equal {
            count += u32::from(last != std::cmp::Ordering::Equal && last != way);
            last = way;
        }
    }
    count
}

/// CPU of each autoscaled workload at the largest rate that fixed replicas hold: below its target an autoscaler acts
/// too late to save the objective.
fn targets(known: &Known<'_>) -> Vec<TargetTold> {
    let Known { demands, fixed, .. } = known;
    let plan = &known.question.plan;
    let told = |autoscaler: &platform::Autoscaler| {
        let workload = autoscaler.target?;
        let request = plan.platform.workload(workload).requests().cpu?.get() as f64 / 1e3;
        let pods = plan.platform.workload(workload).replicas.unwrap_or(1).max(autoscaler_of(plan, workload)?.min);
        let used = demands.cpu.get(&workload)? * fixed.keeps / f64::from(pods);
        Some(TargetTold {
            workload: plan.platform.workload(workload).name.clone(),
            target: cpu_target(autoscaler)?,
            at_limit: used / request * 100.0,
        })
    };
    plan.platform.autoscalers.iter().filter_map(told).collect()
}
