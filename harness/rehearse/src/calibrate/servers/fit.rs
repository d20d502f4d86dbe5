//! The numbers that bring a model closest to what was measured.
//!
//! The error is the sum of the logarithms of model / measured, whichever way they are off: of a machine that has
//! neighbours some points are far off, and squares would listen to those first.

use std::ops::RangeInclusive;

use units::Nanos;

/// Places that are looked at within a range, and again between the neighbours of the best.
const PLACES: u64 = 40;
/// How often one number is looked for while the other one stands.
const TURNS: u32 = 4;

/// Two times of a model, each within its range, as they come closest. `measured`: by so many at once.
pub(super) fn two(
    first: &RangeInclusive<Nanos>,
    second: &RangeInclusive<Nanos>,
    measured: &[(u32, Nanos)],
    model: impl Fn(Nanos, Nanos, u32) -> Nanos,
) -> (Nanos, Nanos) {
    let error = |first: Nanos, second: Nanos| -> f64 {
        let off = |(at_once, measured): &(u32, Nanos)| {
            let model = model(first, second, *at_once).get().max(1);
            (model as f64 / measured.get().max(1) as f64).ln().abs()
        };
        measured.iter().map(off).sum()
    };
    let (mut one, mut other) = (*first.start(), *second.start());
    for _ in 0..TURNS {
        one = best(first, |time| error(time, other));
        other = best(second, |time| error(one, time));
    }
    (whole(one), whole(other))
}

/// The time within a range with the least error.
fn best(range: &RangeInclusive<Nanos>, error: impl Fn(Nanos) -> f64) -> Nanos {
    let (mut low, mut high) = (range.start().get(), range.end().get().max(range.start().get()));
    let mut found = low;
    for _ in 0..2 {
        let step = ((high - low) / PLACES).max(1);
        let places = (low..=high).step_by(step as usize).map(|place| (error(Nanos::new(place)), place));
        found = places.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(low, |(_, place)| place);
        (low, high) = (found.saturating_sub(step).max(low), (found + step).min(high));
    }
    Nanos::new(found)
}

/// In tenths of a microsecond: what is finer, nobody measured.
pub(super) fn whole(time: Nanos) -> Nanos {
    Nanos::new(time.get() / 100 * 100)
}

/// Slope of the line from a height through points with the least squares.
pub(super) fn slope(height: f64, points: &[(f64, f64)]) -> f64 {
    let over: f64 = points.iter().map(|p| p.0 * (p.1 - height)).sum();
    let under: f64 = points.iter().map(|p| p.0.powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_was_made_with_is_found_again_beside_a_point_that_is_off() {
        let us = Nanos::from_micros;
        let model = |each: Nanos, once: Nanos, at_once: u32| once + each * u64::from(at_once);
        let mut measured: Vec<_> = [1, 2, 4, 8, 16].map(|n| (n, model(us(73), us(50), n))).into();
        measured[2].1 = measured[2].1 * 5;
        let (each, once) = two(&(us(20)..=us(200)), &(us(0)..=us(100)), &measured, model);
        assert!(each.get().abs_diff(73_000) < 4_500 && once.get().abs_diff(50_000) < 6_000, "{each} {once}");
        let (each, _) = two(&(us(20)..=us(60)), &(us(0)..=us(100)), &measured, model);
        assert!(each <= us(60), "within its range: {each}");
    }

    #[test]
    fn a_line_is_found_through_points_beside_it() {
        let slope = slope(1.0, &[(0.0, 1.0), (1.0, 3.2), (2.0, 4.8), (3.0, 7.0)]);
        assert!((slope - (2.2 + 7.6 + 18.0) / 14.0).abs() < 1e-9, "{slope}");
    }
}
