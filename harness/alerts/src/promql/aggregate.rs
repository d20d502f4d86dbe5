//! `sum by (…)` and its kin. After `promql/engine.go`, `aggregation`.

use std::collections::BTreeMap;

use super::ast::{Aggregate, Aggregation, Grouping};
use super::eval::Sample;
use super::{number, quantile};
use crate::labels::{Labels, NAME};

/// The parameter of an aggregation at an instant.
pub(super) enum Parameter<'a> {
    None,
    Number(f64),
    Label(&'a str),
}

impl Grouping {
    fn of(&self, labels: &Labels) -> Labels {
        let listed = |name: &str| self.labels.iter().any(|label| label == name);
        if self.without { labels.only(|name| name != NAME && !listed(name)) } else { labels.only(listed) }
    }
}

pub(super) fn aggregate(aggregate: &Aggregate, parameter: &Parameter<'_>, samples: Vec<Sample>) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        let mut group = aggregate.grouping.of(&sample.labels);
        if let Parameter::Label(label) = parameter {
            group.set(*label, number(sample.value));
        }
        groups.entry(group).or_default().push(sample);
    }
    let number = if let Parameter::Number(number) = parameter { *number } else { 0.0 };
    if matches!(aggregate.how, Aggregation::Topk | Aggregation::Bottomk) {
        let top = aggregate.how == Aggregation::Topk;
        return groups.into_values().flat_map(|group| ranked(group, number, top)).collect();
    }
    let fold = |(labels, group): (Labels, Vec<Sample>)| Sample { labels, value: folded(aggregate.how, number, &group) };
    groups.into_iter().map(fold).collect()
}

fn folded(how: Aggregation, parameter: f64, group: &[Sample]) -> f64 {
    let values = || group.iter().map(|sample| sample.value);
    let n = group.len() as f64;
    // Welford's way, which leaves the deviation of one value at zero, whatever the value.
    let variance = || {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values() {
            count += 1.0;
            if count == 1.0 {
                mean = value;
                continue;
            }
            let off = value - mean;
            mean += off / count;
            squares += off * (value - mean);
        }
        squares / count
    };
    match how {
        Aggregation::Sum => values().sum(),
        Aggregation::Avg => values().sum::<f64>() / n,
        Aggregation::Min => values().fold(f64::NAN, |least, v| if v < least || least.is_nan() { v } else { least }),
        Aggregation::Max => values().fold(f64::NAN, |most, v| if v > most || most.is_nan() { v } else { most }),
        Aggregation::Count | Aggregation::CountValues => n,
        Aggregation::Group => 1.0,
        Aggregation::Stddev => variance().sqrt(),
        Aggregation::Stdvar => variance(),
        Aggregation::Quantile => quantile::of_values(parameter, values().collect()),
        Aggregation::Topk | Aggregation::Bottomk => unreachable!("ranked, not folded"),
    }
}

fn ranked(mut group: Vec<Sample>, k: f64, top: bool) -> Vec<Sample> {
    // NaN comes last either way.
    group.sort_by(|a, b| {
        let order = a.value.partial_cmp(&b.value).unwrap_or_else(|| {
            let order = b.value.is_nan().cmp(&a.value.is_nan());
            if top { order } else { order.reverse() }
        });
        if top { order.reverse() } else { order }
    });
    group.truncate(if k >= 1.0 { k as usize } else { 0 });
    group
}
