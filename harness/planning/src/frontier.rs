//! Ways to run the platform at one rate, and which figure moves the answer most.

use platform::WorkloadId;
use record::{FrontierPoint, Sensitivity};
use scenarios::Plan;

use crate::asker::{Asker, SCALED};
use crate::demand::{autoscaler_of, cpu_target};
use crate::price::requested;
use crate::questions::Known;
use crate::trial::broken;
use crate::{Bound, Change, Demands, Resource};

/// CPU targets that are tried, percent.
const TARGETS: [u32; 5] = [50, 60, 70, 80, 90];
/// Minima that are tried, beside the declared one.
const MINIMA: [u32; 3] = [1, 2, 4];
/// Factors on the CPU requests of the workload that binds first.
const REQUESTS: [f64; 2] = [0.5, 1.5];

/// Settings of the workloads whose autoscalers bind first.
pub(crate) fn settings(plan: &Plan, bounds: &[Bound]) -> Vec<Vec<Change>> {
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

/// Plays a setting at the asked rate; `None` if the platform does not come up with it.
pub(crate) fn setting(asker: &Asker<'_>, changes: &[Change], known: &Known<'_>) -> Option<FrontierPoint> {
    let Known { question, demands, asked, .. } = known;
    let trial = asker.trial(changes, SCALED);
    asker.count();
    let result = trial.play(asker.judge, *asked, asker.seed()).ok()?;
    let p95 = result.distribution.iter().find(|point| (point.percent - 95.0).abs() < 1e-9)?.us;
    let (cores, gib) = requested(&trial.plan_at(*asked), demands, *asked);
    let patches = changes.iter().filter_map(|change| change.patch(&question.plan.platform));
    let patches: Vec<String> = patches.map(|patch| patch.text).collect();
    Some(FrontierPoint {
        setting: asker.told(changes),
        p95_ms: p95 as f64 / 1e3,
        holds: broken(&result).is_none(),
        cores,
        hourly: question.prices.as_ref().map(|prices| prices.hourly(cores, gib)),
        pareto: false,
        patch: (!patches.is_empty()).then(|| patches.concat()),
    })
}

/// A point that holds and that no other one beats.
pub(crate) fn mark(points: &mut [FrontierPoint]) {
    let beats = |a: &FrontierPoint, b: &FrontierPoint| {
        a.holds && a.p95_ms <= b.p95_ms && a.cores <= b.cores && (a.p95_ms < b.p95_ms || a.cores < b.cores)
    };
    let best: Vec<bool> =
        points.iter().map(|point| point.holds && !points.iter().any(|other| beats(other, point))).collect();
    points.iter_mut().zip(best).for_each(|(point, best)| point.pareto = best);
}

/// Workloads whose CPU times the first bounds are made of: what a fifth less and a fifth more of them does is asked.
pub(crate) fn costly(plan: &Plan, demands: &Demands, bounds: &[Bound]) -> Vec<WorkloadId> {
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
    costly
}

/// What is carried with each figure off, as figure, whether it is higher, and rate: what moves the answer most comes
/// first.
pub(crate) fn sensitivity(carried: Vec<(String, bool, f64)>) -> Vec<Sensitivity> {
    let mut all: Vec<Sensitivity> = Vec::new();
    for (figure, higher, keeps) in carried {
        let known = all.iter().position(|known| known.figure == figure).unwrap_or_else(|| {
            all.push(Sensitivity { figure, lower: 0.0, higher: 0.0 });
            all.len() - 1
        });
        if higher { all[known].higher = keeps } else { all[known].lower = keeps }
    }
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
