//! Autoscaling in motion: the steepest ramp, what a step's answer is made of, and where targets aim.

use std::sync::atomic::Ordering;

use record::{Capacity, Climbs, Event, EventKind, Motion, RunResult, ScaleDelay, ScalingDecision, TargetTold};
use simulation::in_order;
use units::Nanos;

use crate::capacity::{Asker, SCALED};
use crate::demand::{autoscaler_of, cpu_target};
use crate::trial::broken;
use crate::{Demands, Judge, Shape};

/// Climbs are tried between these, seconds.
const LONGEST: f64 = 480.0;
const SHORTEST: f64 = 1.0;
/// Ramps end at this share of what the platform carries: at its very limit nothing holds.
const SHARE: f64 = 0.8;

/// How autoscalers keep up between the asked rate and most of what the platform carries.
pub(crate) fn motion(asker: &Asker<'_>, demands: &Demands, declared: &Capacity, fixed: &Capacity) -> Option<Motion> {
    let plan = &asker.question.plan;
    if plan.platform.autoscalers.is_empty() {
        return None;
    }
    let to = declared.keeps * SHARE;
    let ramp = |climb: f64| Shape {
        climb: Nanos::from_secs_f64(climb),
        settle: Nanos::from_secs(60),
        steady: Nanos::from_secs(60),
        judge_climb: true,
    };
    // Both are played on the same chance, so that they differ by the forecast and by nothing else.
    let predictive = Judge { settings: asker.judge.settings.clone().predictive(), ..asker.judge.clone() };
    let judges = [asker.judge, &predictive];
    let both = in_order(2, asker.question.threads, |index| {
        climbs(|climb| {
            let trial = asker.trial(&[], ramp(climb));
            asker.played.fetch_add(1, Ordering::Relaxed);
            trial.play(judges[index], to, asker.seed()).is_ok_and(|result| broken(&result).is_none())
        })
    });
    let [reactive, predictive] = <[_; 2]>::try_from(both).expect("two were asked");
    Some(Motion {
        from: to / 10.0,
        to,
        reactive,
        predictive,
        delays: step(asker, to),
        targets: targets(asker, demands, fixed),
    })
}

/// The shortest climb that holds. Longer is easier: the bracket is searched downwards.
fn climbs(holds: impl Fn(f64) -> bool) -> Climbs {
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
fn step(asker: &Asker<'_>, to: f64) -> Vec<ScaleDelay> {
    let shape = Shape { climb: Nanos::from_secs(1), ..SCALED };
    let trial = asker.trial(&[], shape);
    asker.played.fetch_add(1, Ordering::Relaxed);
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
fn targets(asker: &Asker<'_>, demands: &Demands, fixed: &Capacity) -> Vec<TargetTold> {
    let plan = &asker.question.plan;
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
