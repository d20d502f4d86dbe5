//! What breaks first and next, and what moves it.

use record::{Capacity, Rung};
use scenarios::Plan;

use crate::asker::{Asker, SCALED};
use crate::demand::first_hard;
use crate::{Bound, CapacityError, Change, Demands};

/// How many rungs a ladder has.
const RUNGS: usize = 3;

/// What breaks first and next: the bound that is lowest, the smallest change that moves it, and what the platform
/// carries with it and with all before it.
pub(crate) fn ladder(asker: &Asker<'_>, declared: &Capacity) -> Result<Vec<Rung>, CapacityError> {
    let mut rungs = Vec::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut before = declared.keeps;
    while rungs.len() < RUNGS {
        let plan = asker.trial(&changes, SCALED).plan_at(1.0);
        let bounds = Demands::of(&plan, &asker.question.mixture).bounds(&plan);
        let Some(first) = first_hard(&bounds) else { break };
        let mut rung = Rung { binds: first.why.clone(), before, after: None, change: None, patch: None };
        let Some(change) = enough(&plan, first, &bounds) else {
            rungs.push(rung);
            break;
        };
        rung.change = Some(change.told(&plan.platform));
        rung.patch = change.patch(&plan.platform).map(|patch| patch.text);
        changes.push(change);
        let after = asker.largest(&changes, SCALED, before)?;
        rung.after = Some(after.keeps);
        before = after.keeps;
        rungs.push(rung);
    }
    Ok(rungs)
}

/// The smallest change of its kind that is worth an operator's time: until the next bound is the lowest, or a quarter
/// more, whichever comes first.
fn enough(plan: &Plan, first: &Bound, bounds: &[Bound]) -> Option<Change> {
    let next = bounds.iter().find(|bound| bound.resource != first.resource && bound.rate > first.rate);
    let aim = next.map_or(f64::INFINITY, |bound| bound.rate).min(first.rate * 1.25);
    let scaled = |count: u32| (libm::ceil(f64::from(count) * aim / first.rate) as u32).max(count + 1);
    match first.change.as_ref()? {
        Change::MaxReplicas(workload, next) => Some(Change::MaxReplicas(*workload, scaled(next - 1))),
        Change::Replicas(workload, next) => Some(Change::Replicas(*workload, scaled(next - 1))),
        Change::Cpu(workload, request, limit) => {
            let now = plan.platform.workload(*workload).containers.first()?.limits.cpu?.get() as f64;
            let cores = (libm::ceil(now * aim / first.rate / 1e3) as u64).max(limit.get() / 1_000);
            Some(Change::Cpu(*workload, *request, units::Millicores::from_cores(cores)))
        }
        other => Some(other.clone()),
    }
}
