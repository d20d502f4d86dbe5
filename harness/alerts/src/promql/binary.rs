//! Operators between scalars and vectors. After `promql/engine.go`, `VectorBinop` and its neighbours.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Binary, Cardinality, Matching, Operator};
use super::eval::{EvalError, Sample};
use crate::labels::{Labels, NAME};

/// The value, and whether a comparison keeps it.
pub(super) fn element(operator: Operator, left: f64, right: f64) -> (f64, bool) {
    use Operator as O;
    match operator {
        O::Add => (left + right, true),
        O::Sub => (left - right, true),
        O::Mul => (left * right, true),
        O::Div => (left / right, true),
        O::Mod => (libm::fmod(left, right), true),
        O::Pow => (libm::pow(left, right), true),
        O::Atan2 => (libm::atan2(left, right), true),
        O::Equal => (left, left == right),
        O::NotEqual => (left, left != right),
        O::Less => (left, left < right),
        O::LessEqual => (left, left <= right),
        O::Greater => (left, left > right),
        O::GreaterEqual => (left, left >= right),
        O::And | O::Or | O::Unless => unreachable!("the parser keeps set operators to vectors"),
    }
}

pub(super) const fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Between each sample and one number; `swapped`: the number stands left.
pub(super) fn with_scalar(binary: &Binary, samples: Vec<Sample>, scalar: f64, swapped: bool) -> Vec<Sample> {
    let unnamed = !binary.operator.is_comparison() || binary.returns_bool;
    let apply = |mut sample: Sample| {
        let (left, right) = if swapped { (scalar, sample.value) } else { (sample.value, scalar) };
        let (value, keep) = element(binary.operator, left, right);
        if binary.returns_bool {
            sample.value = truth(keep);
        } else if !keep {
            return None;
        } else if !binary.operator.is_comparison() {
            sample.value = value;
        }
        if unnamed {
            sample.labels.remove(NAME);
        }
        Some(sample)
    };
    samples.into_iter().filter_map(apply).collect()
}

/// What two samples must have in common.
fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on { labels.only(listed) } else { labels.only(|name| name != NAME && !listed(name)) }
}

/// Between two vectors.
pub(super) fn of_vectors(binary: &Binary, left: Vec<Sample>, right: Vec<Sample>) -> Result<Vec<Sample>, EvalError> {
    let matching = &binary.matching;
    if binary.operator.is_set() {
        return Ok(of_sets(binary.operator, matching, left, right));
    }
    if left.is_empty() || right.is_empty() {
        return Ok(Vec::new()); // before anything is found to be there twice
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut ones: BTreeMap<Labels, Sample> = BTreeMap::new();
    for sample in one {
        let group = signature(matching, &sample.labels);
        if let Some(other) = ones.get(&group) {
            return Err(EvalError::Duplicates { group: group.to_string(), one: other.labels.to_string() });
        }
        ones.insert(group, sample);
    }
    let mut matched = BTreeSet::new();
    let mut result = Vec::new();
    for sample in many {
        let group = signature(matching, &sample.labels);
        let Some(other) = ones.get(&group) else { continue };
        let (a, b) = if swapped { (other.value, sample.value) } else { (sample.value, other.value) };
        let (value, keep) = element(binary.operator, a, b);
        if !keep && !binary.returns_bool {
            continue;
        }
        let labels = resulting(binary, &sample.labels, &other.labels);
        let unique = if matching.cardinality == Cardinality::OneToOne { group } else { labels.clone() };
        if !matched.insert(unique.clone()) {
            return Err(EvalError::ManyToMany { group: unique.to_string() });
        }
        result.push(Sample { labels, value: if binary.returns_bool { truth(keep) } else { value } });
    }
    Ok(result)
}

/// The labels of a result (`resultMetric`).
fn resulting(binary: &Binary, many: &Labels, one: &Labels) -> Labels {
    let matching = &binary.matching;
    let mut labels = many.clone();
    if !binary.operator.is_comparison() || binary.returns_bool {
        labels.remove(NAME);
    }
    if matching.cardinality == Cardinality::OneToOne {
        let listed = |name: &str| matching.labels.iter().any(|label| label == name);
        labels = labels.only(|name| listed(name) == matching.on);
    }
    for label in &matching.include {
        labels.set(label.as_str(), one.get(label));
    }
    labels
}

fn of_sets(operator: Operator, matching: &Matching, left: Vec<Sample>, right: Vec<Sample>) -> Vec<Sample> {
    let signatures = |samples: &[Sample]| -> BTreeSet<Labels> {
        samples.iter().map(|sample| signature(matching, &sample.labels)).collect()
    };
    if operator == Operator::Or {
        let there = signatures(&left);
        let missing = right.into_iter().filter(|sample| !there.contains(&signature(matching, &sample.labels)));
        left.into_iter().chain(missing).collect()
    } else {
        let (there, wanted) = (signatures(&right), operator == Operator::And);
        let keep = |sample: &Sample| there.contains(&signature(matching, &sample.labels)) == wanted;
        left.into_iter().filter(keep).collect()
    }
}
