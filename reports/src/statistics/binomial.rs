//! Exact binomial tails and the Clopper–Pearson bounds that follow from them.
//!
//! Counts are real numbers, because a design effect divides them. Source: Clopper and Pearson, Biometrika 26 (1934);
//! the incomplete beta function by its continued fraction (DLMF 8.17.22) with Lentz' method.

use crate::statistics::bursts::Effect;

/// P(X ≤ k) for X ~ Binomial(n, p).
pub(crate) fn at_most(k: f64, n: f64, p: f64) -> f64 {
    if k >= n { 1.0 } else { beta_regularized(n - k, k + 1.0, 1.0 - p) }
}

/// P(X ≥ k) for X ~ Binomial(n, p).
pub(crate) fn at_least(k: f64, n: f64, p: f64) -> f64 {
    if k <= 0.0 { 1.0 } else { beta_regularized(k, n - k + 1.0, p) }
}

/// One-sided lower and upper bound of the share of which `k` of `n` were seen, each wrong with probability `alpha`.
/// Without samples: 0 and 1.
pub(crate) fn bounds(k: f64, n: f64, alpha: f64) -> (f64, f64) {
    let lower = if k <= 0.0 { 0.0 } else { root(|p| at_least(k, n, p) - alpha) };
    let upper = if k >= n { 1.0 } else { root(|p| alpha - at_most(k, n, p)) };
    (lower, upper)
}

/// The same bounds where requests come in bursts.
pub(crate) fn bounds_in_bursts(k: f64, n: f64, effect: Effect, alpha: f64) -> (f64, f64) {
    let ((few, of), (many, of_all)) = (effect.breaks(k, n), effect.keeps(k, n));
    (bounds(few, of, alpha).0, bounds(many, of_all, alpha).1)
}

/// Where a function that rises through zero on (0, 1) does so.
fn root(rises: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if rises(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// `I_x(a, b)`, the regularized incomplete beta function.
fn beta_regularized(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let front = libm::exp(ln_front);
    // The fraction converges fast below the mean; above it, the other tail is taken.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, 1.0 - x) / b
    }
}

fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const MOST: u32 = 100_000; // it takes about √max(a, b) terms
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut product = denominator;
    for index in 1..MOST {
        let index = f64::from(index);
        let twice = a + 2.0 * index;
        let even = index * (b - index) * x / ((twice - 1.0) * twice);
        let odd = -(a + index) * (a + b + index) * x / (twice * (twice + 1.0));
        for term in [even, odd] {
            denominator = 1.0 / away_from_zero(1.0 + term * denominator);
            numerator = away_from_zero(1.0 + term / numerator);
            product *= numerator * denominator;
        }
        if (numerator * denominator - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

/// About how many more samples would settle whether the share keeps `allowed`, if it stays what it was.
/// `None` if more samples of the same would never do.
pub(crate) fn more_needed(k: f64, n: f64, effect: Effect, allowed: f64, alpha: f64) -> Option<f64> {
    const MOST: f64 = 1e12;
    let share = if n > 0.0 { k / n } else { 0.0 };
    let settled = |total: f64| {
        let ((few, of), (many, of_all)) = (effect.breaks(share * total, total), effect.keeps(share * total, total));
        at_most(many, of_all, allowed).min(at_least(few, of, allowed)) <= alpha
    };
    let mut high = n.max(1.0);
    while !settled(high) {
        high *= 2.0;
        if high > MOST {
            return None;
        }
    }
    let mut low = (high / 2.0).max(n);
    while high - low > 0.5 {
        let middle = f64::midpoint(low, high);
        if settled(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some((libm::ceil(high) - n).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::{Purpose, Seed};

    #[test]
    fn agrees_with_another_implementation() {
        for (a, b, x) in [
            (0.5, 0.5, 0.3),
            (1.0, 598.0, 0.005),
            (20.0, 3.5, 0.9),
            (1_000.0, 19_000.0, 0.05),
            (5_000.5, 95_000.0, 0.0497),
            (2.0, 2e6, 1e-6),
        ] {
            let ours = beta_regularized(a, b, x);
            let theirs = statrs::function::beta::beta_reg(a, b, x);
            assert!((ours - theirs).abs() < 1e-9, "I_{x}({a}, {b}): {ours} against {theirs}");
        }
    }

    #[test]
    fn the_least_samples_without_a_failure_are_the_published_ones() {
        // One-sided, 95 %: ln 0.05 / ln (1 − limit), rounded up.
        for (limit, least) in [(0.005, 598), (0.01, 299), (0.05, 59), (0.1, 29)] {
            let upper = |n: u32| bounds(0.0, f64::from(n), 0.05).1;
            assert!(upper(least) <= limit && upper(least - 1) > limit, "limit {limit}");
            assert_eq!(more_needed(0.0, 0.0, Effect::default(), limit, 0.05), Some(f64::from(least)), "limit {limit}");
        }
    }

    #[test]
    fn bounds_are_the_published_ones() {
        // R: binom.test(k, n, conf.level = 0.95)$conf.int, so 0.025 on either side.
        for (k, n, lower, upper) in
            [(5.0, 50.0, 0.033_275_09, 0.218_135_37), (0.0, 10.0, 0.0, 0.308_497_1), (10.0, 10.0, 0.691_502_9, 1.0)]
        {
            let (low, high) = bounds(k, n, 0.025);
            assert!((low - lower).abs() < 1e-6 && (high - upper).abs() < 1e-6, "{k} of {n}: {low} {high}");
        }
        assert_eq!(bounds(0.0, 0.0, 0.05), (0.0, 1.0));
    }

    #[test]
    fn bounds_cover_the_truth_as_often_as_they_say() {
        let seed = Seed::new(11);
        for (case, truth) in [0.05, 0.01, 0.4].into_iter().enumerate() {
            let (n, trials) = (300_u64, 1_500_u64);
            let (mut low_wrong, mut high_wrong) = (0, 0);
            for trial in 0..trials {
                let draws = seed.child(&format!("{case}.{trial}"));
                let k = (0..n).filter(|i| draws.draw_nth(*i, Purpose::Failure).unit() < truth).count();
                let (low, high) = bounds(k as f64, n as f64, 0.05);
                low_wrong += u32::from(low > truth);
                high_wrong += u32::from(high < truth);
            }
            // Exact bounds are wrong at most 5 times in 100; 1.7 points are three standard errors.
            let share = |wrong: u32| f64::from(wrong) / trials as f64;
            assert!(share(low_wrong) < 0.067 && share(high_wrong) < 0.067, "{truth}: {low_wrong} {high_wrong}");
        }
    }

    #[test]
    fn what_sits_on_its_limit_is_never_settled() {
        assert_eq!(more_needed(50.0, 1_000.0, Effect::default(), 0.05, 0.05), None);
        let more = more_needed(40.0, 1_000.0, Effect::default(), 0.05, 0.05).unwrap();
        let total = 1_000.0 + more;
        assert!(at_most(0.04 * total, total, 0.05) <= 0.05, "{more} more do not settle it");
    }
}
