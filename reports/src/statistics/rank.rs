//! Percentiles with intervals by order statistics: no assumption about the shape of the distribution.
//!
//! The r-th smallest of n values lies above the p-quantile with the probability that at most r − 1 of n values lie
//! below it, which is binomial. Source: David and Nagaraja, Order Statistics, 7.1.

use hdrhistogram::Histogram;

use crate::statistics::binomial::{at_least, at_most};
use crate::statistics::bursts::Effect;

/// The `rank`-th smallest value, counted from 1; the histogram's resolution is its own.
fn value_at(histogram: &Histogram<u32>, rank: u64) -> u64 {
    let mut seen = 0;
    for step in histogram.iter_recorded() {
        seen += u64::from(step.count_at_value());
        if seen >= rank {
            return step.value_iterated_to().min(histogram.max());
        }
    }
    histogram.max()
}

/// The value at `share` (0.95) of a histogram that is not empty.
pub(crate) fn value(histogram: &Histogram<u32>, share: f64) -> u64 {
    let rank = libm::ceil(share * histogram.len() as f64 - 1e-6) as u64; // 0.95 × 20 is 19, not a little more
    value_at(histogram, rank.max(1))
}

/// Lower and upper bound of the value at `share`, each wrong with probability `alpha`; `None` where the samples are
/// too few for that bound. As [`Effect`] has it: the same test as of the share beyond a limit, seen from the time.
pub(crate) fn interval(
    histogram: &Histogram<u32>,
    share: f64,
    effect: Effect,
    alpha: f64,
) -> (Option<u64>, Option<u64>) {
    let all = histogram.len();
    let n = all as f64;
    // With `beyond` values above it, a value is too low to be the one at `share`, or too high.
    let lower = last(all, |rank| {
        let (k, n) = effect.breaks(n - rank as f64 + 1.0, n);
        at_least(k, n, 1.0 - share) <= alpha
    });
    let upper = last(all, |from_top| {
        let (k, n) = effect.keeps(from_top as f64 - 1.0, n);
        at_most(k, n, 1.0 - share) <= alpha
    });
    (lower.map(|rank| value_at(histogram, rank)), upper.map(|from_top| value_at(histogram, all + 1 - from_top)))
}

/// The greatest of 1..=n that holds, where all that hold come first.
fn last(n: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, n + 1);
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    (low > 0).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Purpose, Seed};

    fn of(values: impl IntoIterator<Item = u64>) -> Histogram<u32> {
        let mut histogram = Histogram::new(3).unwrap();
        values.into_iter().for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn ranks_are_the_textbook_ones() {
        let hundred = of(1..=100);
        assert_eq!([0.0, 0.5, 0.95, 1.0].map(|share| value(&hundred, share)), [1, 50, 95, 100]);
        // Median of 100, 5 % on either side: P(X ≤ 41) = 0.0443, P(X ≤ 42) = 0.0666, so ranks 42 and 59.
        assert_eq!(interval(&hundred, 0.5, Effect::default(), 0.05), (Some(42), Some(59)));
        // p95 needs 59 values before the greatest of them bounds it.
        assert_eq!(interval(&of(1..=58), 0.95, Effect::default(), 0.05).1, None);
        assert_eq!(interval(&of(1..=59), 0.95, Effect::default(), 0.05).1, Some(59));
        assert_eq!(interval(&of([]), 0.95, Effect::default(), 0.05), (None, None));
    }

    #[test]
    fn a_design_effect_widens() {
        let values = of(1..=2_000);
        let (narrow, wide) = (
            interval(&values, 0.95, Effect::default(), 0.05),
            interval(&values, 0.95, Effect { seen: 5.0, feared: 6.0 }, 0.05),
        );
        assert!(wide.0 < narrow.0 && wide.1 > narrow.1, "{narrow:?} {wide:?}");
    }

    #[test]
    fn intervals_cover_the_truth_as_often_as_they_say() {
        let truth = -libm::log(0.05) * 100_000.0; // p95 of an exponential with mean 100 000
        let (trials, mut wrong) = (1_000_u64, [0, 0]);
        for trial in 0..trials {
            let seed = Seed::new(trial).child("coverage");
            let values = (0..200).map(|i| (seed.draw_nth(i, Purpose::Cpu).exponential() * 100_000.0) as u64);
            let (lower, upper) = interval(&of(values), 0.95, Effect::default(), 0.05);
            wrong[0] += u32::from(lower.unwrap() as f64 > truth);
            wrong[1] += u32::from((upper.unwrap() as f64) < truth);
        }
        // At most 5 in 100 on either side; two points are three standard errors.
        assert!(wrong.iter().all(|w| *w < 70), "{wrong:?} of {trials}");
    }
}
