//! Ways to run the platform at one rate, and which figure moves the answer most.

use platform::WorkloadId;
use record::{Capacity, FrontierPoint, Sensitivity};
use simulation::in_order;

use crate::capacity::{Asker, SCALED};
use crate::demand::{autoscaler_of, cpu_target};
use crate::price::{Prices, requested};
use crate::trial::broken;
use crate::{Bound, Change, Demands, Resource};

/// CPU targets that are tried, percent.
const TARGETS: [u32; 5] = [50, 60, 70, 80, 90];
/// Minima that are tried, beside the declared one.
const MINIMA: [u32; 3] = [1, 2, 4];
/// Factors on the CPU requests of the workload that binds first.
const REQUESTS: [f64; 2] = [0.5, 1.5];

/// Settings of the workloads whose autoscalers bind first.
fn settings(asker: &Asker<'_>, bounds: &[Bound]) -> Vec<Vec<Change>> {
    let plan = &asker.question.plan;
    let mut scaled: Vec<WorkloadId> = Vec::new();
    for bound in bounds {
        if let Resource::Pods(workload) = bound.resource
            && autoscaler_of(plan, workload).is_some()
            && scaled.len() < 2
        {
            scaled.push(workload);
        }
    }
    let mut all = vec![Vec::new()];
    for workload in scaled {
        let Some(autoscaler) = autoscaler_of(plan, workload) else { continue };
        let now = cpu_target(autoscaler);
        for target in TARGETS.into_iter().filter(|target| Some(*target) != now) {
            all.push(vec![Change::CpuTarget(workload, target)]);
        }
        for min in MINIMA {
            let min = autoscaler.min * min;
            if min != autoscaler.min && min <= autoscaler.max {
                all.push(vec![Change::MinReplicas(workload, min)]);
                all.push(vec![Change::MinReplicas(workload, min), Change::CpuTarget(workload, 85)]);
            }
        }
        let container = plan.platform.workload(workload).containers.first();
        if let Some((request, limit)) = container.and_then(|c| Some((c.requests.cpu?, c.limits.cpu?))) {
            for factor in REQUESTS {
                let times = |cpu: units::Millicores| units::Millicores::new((cpu.get() as f64 * factor) as u64);
                all.push(vec![Change::Cpu(workload, times(request), times(limit).max(times(request)))]);
            }
        }
    }
    all
}

/// Plays every setting at the asked rate, and marks those that no other beats in both latency and cost.
pub(crate) fn frontier(
    asker: &Asker<'_>,
    demands: &Demands,
    bounds: &[Bound],
    asked: f64,
    prices: Option<&Prices>,
) -> Vec<FrontierPoint> {
    let settings = settings(asker, bounds);
    let played = in_order(settings.len(), asker.question.threads, |index| {
        let changes = &settings[index];
        let trial = asker.trial(changes, SCALED);
        asker.played.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let result = trial.play(asker.judge, asked, asker.seed()).ok()?;
        let p95 = result.distribution.iter().find(|point| (point.percent - 95.0).abs() < 1e-9)?.us;
        let (cores, gib) = requested(&trial.plan_at(asked), demands, asked);
        let patches: Vec<String> = changes
            .iter()
            .filter_map(|change| change.patch(&asker.question.plan.platform))
            .map(|patch| patch.text)
            .collect();
        Some(FrontierPoint {
            setting: asker.told(changes),
            p95_ms: p95 as f64 / 1e3,
            holds: broken(&result).is_none(),
            cores,
            hourly: prices.map(|prices| prices.hourly(cores, gib)),
            pareto: false,
            patch: (!patches.is_empty()).then(|| patches.concat()),
        })
    });
    let mut points: Vec<FrontierPoint> = played.into_iter().flatten().collect();
    mark(&mut points);
    points
}

/// A point that holds and that no other one beats.
fn mark(points: &mut [FrontierPoint]) {
    let beats = |a: &FrontierPoint, b: &FrontierPoint| {
        a.holds && a.p95_ms <= b.p95_ms && a.cores <= b.cores && (a.p95_ms < b.p95_ms || a.cores < b.cores)
    };
    let best: Vec<bool> =
        points.iter().map(|point| point.holds && !points.iter().any(|other| beats(other, point))).collect();
    points.iter_mut().zip(best).for_each(|(point, best)| point.pareto = best);
}

/// A fifth less and a fifth more of each figure that the first bounds are made of.
pub(crate) fn sensitivity(
    asker: &Asker<'_>,
    demands: &Demands,
    bounds: &[Bound],
    declared: &Capacity,
) -> Vec<Sensitivity> {
    let plan = &asker.question.plan;
    let mut costly: Vec<WorkloadId> = Vec::new();
    for bound in bounds {
        if let Resource::Pods(workload) = bound.resource
            && plan.platform.gateway.as_ref().is_none_or(|gateway| gateway.workload != workload)
            && demands.cpu.contains_key(&workload)
            && costly.len() < 4
        {
            costly.push(workload);
        }
    }
    let figures: Vec<(String, WorkloadId)> = costly
        .into_iter()
        .map(|workload| (format!("CPU time of {}", plan.platform.workload(workload).name), workload))
        .collect();
    let carried = in_order(figures.len() * 2, asker.question.threads, |index| {
        let factor = if index % 2 == 0 { 0.8 } else { 1.2 };
        let change = [Change::CpuCost(figures[index / 2].1, factor)];
        asker.largest(&change, SCALED, declared.keeps).map_or(0.0, |capacity| capacity.keeps)
    });
    let mut all: Vec<Sensitivity> = figures
        .into_iter()
        .zip(carried.chunks(2))
        .map(|((figure, _), carried)| Sensitivity { figure, lower: carried[0], higher: carried[1] })
        .collect();
    all.sort_by(|a, b| (b.lower - b.higher).abs().total_cmp(&(a.lower - a.higher).abs()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_beats_is_on_the_frontier() {
        let point = |setting: &str, p95_ms: f64, cores: f64, holds: bool| FrontierPoint {
            setting: setting.into(),
            p95_ms,
            holds,
            cores,
            hourly: None,
            pareto: false,
            patch: None,
        };
        let mut points = [
            point("fast and dear", 100.0, 20.0, true),
            point("slow and cheap", 300.0, 10.0, true),
            point("slower and as cheap", 310.0, 10.0, true),
            point("broken and cheapest", 50.0, 5.0, false),
        ];
        mark(&mut points);
        assert_eq!(points.map(|point| point.pareto), [true, true, false, false]);
    }
}
