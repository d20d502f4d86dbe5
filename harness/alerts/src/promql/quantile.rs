//! Quantiles of values and of classic histograms. After `promql/quantile.go`.

use std::collections::BTreeMap;

use super::eval::Sample;
use crate::labels::Labels;

/// The φ-quantile of some values, linear between the two nearest.
pub(super) fn of_values(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN is smaller than anything.
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor();
    let upper = (lower as usize + 1).min(values.len() - 1);
    let weight = rank - lower;
    values[lower as usize] * (1.0 - weight) + values[upper] * weight
}

/// `histogram_quantile`: buckets are those samples that differ in `le` only.
pub(super) fn of_buckets(q: f64, samples: Vec<Sample>) -> Vec<Sample> {
    let mut histograms: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples {
        let Some(edge) = edge(sample.labels.get("le")) else { continue };
        let labels = sample.labels.only(|name| name != "le" && name != crate::labels::NAME);
        histograms.entry(labels).or_default().push((edge, sample.value));
    }
    histograms.into_iter().map(|(labels, buckets)| Sample { labels, value: of_histogram(q, buckets) }).collect()
}

/// A bucket's upper edge.
pub(crate) fn edge(le: &str) -> Option<f64> {
    match le {
        "" => None,
        "+Inf" | "Inf" => Some(f64::INFINITY),
        _ => le.parse().ok(),
    }
}

fn of_histogram(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets.last().is_none_or(|last| last.0 != f64::INFINITY) {
        return f64::NAN;
    }
    // Buckets of the same edge, written in two ways, are one.
    buckets.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    // A race between scrapes must not make a cumulative count fall.
    let mut most = f64::NEG_INFINITY;
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    let (last, all) = (buckets.len() - 1, buckets[buckets.len() - 1].1);
    if buckets.len() < 2 || all == 0.0 || all.is_nan() {
        return f64::NAN;
    }
    let mut rank = q * all;
    let at = buckets[..last].partition_point(|(_, count)| *count < rank);
    if at == last {
        return buckets[last - 1].0;
    }
    if at == 0 && buckets[0].0 <= 0.0 {
        return buckets[0].0;
    }
    let (end, mut count, mut start) = (buckets[at].0, buckets[at].1, 0.0);
    if at > 0 {
        start = buckets[at - 1].0;
        count -= buckets[at - 1].1;
        rank -= buckets[at - 1].1;
    }
    start + (end - start) * (rank / count)
}
