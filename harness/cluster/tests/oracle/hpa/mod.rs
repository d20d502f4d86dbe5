//! The HorizontalPodAutoscaler: sync by sync.

mod cases;
mod compare;
mod ours;

use crate::subject::Subject;

/// Cases over the whole rule space, as `rehearse hpa` reads them.
pub(crate) const HPA: Subject = Subject {
    name: "hpa",
    draw: cases::draw,
    answer: ours::answer,
    difference: compare::difference,
    told: |answer| answer.as_array().map_or(0, Vec::len),
    kept: 200,
};
