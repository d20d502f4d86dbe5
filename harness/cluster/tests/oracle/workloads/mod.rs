//! Deployments with their ReplicaSets and budgets: state by state.

mod cases;
mod compare;
mod ours;

use crate::subject::Subject;

/// Rollouts in all their ways, with pods that start late, fail, flap and hang.
pub(crate) const WORKLOADS: Subject = Subject {
    name: "workloads",
    draw: cases::draw,
    answer: ours::answer,
    difference: compare::difference,
    told: |answer| answer.as_array().map_or(0, Vec::len),
    kept: 200,
};
