//! Exact tails of counts in a stretch of time, for limits of a rate.
//!
//! Counts are real numbers, because a design effect divides them. Source: Garwood, Biometrika 28 (1936); the
//! incomplete gamma function by its series and its continued fraction (DLMF 8.11.4 and 8.9.2).

/// P(X ≤ k) for X ~ Poisson(mean).
pub(crate) fn at_most(k: f64, mean: f64) -> f64 {
    1.0 - gamma_regularized(k + 1.0, mean)
}

/// P(X ≥ k) for X ~ Poisson(mean).
pub(crate) fn at_least(k: f64, mean: f64) -> f64 {
    if k <= 0.0 { 1.0 } else { gamma_regularized(k, mean) }
}

/// One-sided lower and upper bound of the mean of which `k` was seen, each wrong with probability `alpha`.
pub(crate) fn bounds(k: f64, alpha: f64) -> (f64, f64) {
    let root = |rises: &dyn Fn(f64) -> f64| {
        let (mut low, mut high) = (0.0, 1.0_f64.max(k) * 2.0 + 50.0);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if rises(middle) < 0.0 { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let lower = if k <= 0.0 { 0.0 } else { root(&|mean| at_least(k, mean) - alpha) };
    (lower, root(&|mean| alpha - at_most(k, mean)))
}

/// `P(a, x)`, the regularized lower incomplete gamma function.
#[expect(clippy::many_single_char_names, reason = "the names of the formula")]
fn gamma_regularized(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut next) = (1.0 / a, 1.0 / a, a);
        for _ in 0..100_000 {
            next += 1.0;
            term *= x / next;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return front * sum;
    }
    // Lentz' method for Q(a, x).
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for index in 1..100_000 {
        let index = f64::from(index);
        let numerator = -index * (index - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    1.0 - front * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_another_implementation() {
        for (a, x) in [(0.5, 0.3), (1.0, 3.0), (20.0, 3.5), (900.0, 880.0), (900.0, 950.0), (5.0, 60.0)] {
            let (ours, theirs) = (gamma_regularized(a, x), statrs::function::gamma::gamma_lr(a, x));
            assert!((ours - theirs).abs() < 1e-9, "P({a}, {x}): {ours} against {theirs}");
        }
    }

    #[test]
    fn bounds_are_the_published_ones() {
        // Garwood's table, 95 % two-sided: 0.025 on either side.
        for (k, lower, upper) in [(0.0, 0.0, 3.688_879), (5.0, 1.623_486, 11.668_332), (20.0, 12.216_52, 30.888_38)] {
            let (low, high) = bounds(k, 0.025);
            assert!((low - lower).abs() < 1e-4 && (high - upper).abs() < 1e-4, "{k}: {low} {high}");
        }
    }
}
