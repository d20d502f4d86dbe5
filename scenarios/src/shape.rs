//! From the shapes of a file's phases to linear segments.

use units::{Nanos, Rate};

use crate::word::Shape;
use crate::{Headcount, Segment};

/// A day is drawn in this many straight lines: half an hour each, which stays within 0.25 % of the cosine's height.
const DAY_PARTS: u32 = 48;

/// A linear part: how long, from, to.
type Part = (Nanos, f64, f64);

fn parts<T: Copy>(duration: Nanos, shape: &Shape<T>, level: impl Fn(T) -> f64) -> Vec<Part> {
    match shape {
        Shape::Steps(steps) => {
            let count = steps.len() as u64;
            let border =
                |index: u64| Nanos::new((u128::from(duration.get()) * u128::from(index) / u128::from(count)) as u64);
            let part = |(index, step): (u64, &T)| (border(index + 1) - border(index), level(*step), level(*step));
            (0..count).zip(steps).map(part).collect()
        }
        Shape::Ramp(from, to) => vec![(duration, level(*from), level(*to))],
        Shape::Spike { base, peak, at, lasts } => {
            let (base, peak) = (level(*base), level(*peak));
            let all = [(*at, base, base), (*lasts, peak, peak), (duration - *at - *lasts, base, base)];
            all.into_iter().filter(|part| part.0 > Nanos::ZERO).collect()
        }
        Shape::Day { trough, peak, hour } => {
            let (trough, peak) = (level(*trough), level(*peak));
            let at = |index: u32| {
                let turn = f64::from(index) / f64::from(DAY_PARTS) - hour / 24.0;
                trough + (peak - trough) * f64::midpoint(1.0, libm::cos(turn * std::f64::consts::TAU))
            };
            let border = |index: u32| {
                Nanos::new((u128::from(duration.get()) * u128::from(index) / u128::from(DAY_PARTS)) as u64)
            };
            (0..DAY_PARTS).map(|index| (border(index + 1) - border(index), at(index), at(index + 1))).collect()
        }
    }
}

/// The rate of every phase, one after the other.
pub(crate) fn segments(phases: &[(Nanos, Option<Shape<Rate>>)]) -> Vec<Segment> {
    let rate = |level: f64| Rate::from_milli((level + 0.5) as u64);
    let of = |(duration, shape): &(Nanos, Option<Shape<Rate>>)| match shape {
        Some(shape) => parts(*duration, shape, |rate| rate.milli() as f64),
        None => vec![(*duration, 0.0, 0.0)],
    };
    let segment = |(duration, from, to): Part| Segment { duration, from: rate(from), to: rate(to) };
    phases.iter().flat_map(of).map(segment).collect()
}

/// The users of every phase, one after the other.
pub(crate) fn headcounts(phases: &[(Nanos, Option<Shape<u32>>)]) -> Vec<Headcount> {
    let of = |(duration, shape): &(Nanos, Option<Shape<u32>>)| match shape {
        Some(shape) => parts(*duration, shape, f64::from),
        None => vec![(*duration, 0.0, 0.0)],
    };
    let part = |(duration, from, to): Part| Headcount { duration, from: (from + 0.5) as u32, to: (to + 0.5) as u32 };
    phases.iter().flat_map(of).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::Word;

    fn rates(text: &str, secs: u64) -> Vec<(u64, u64, u64)> {
        let shape = Shape::<Rate>::read(text).unwrap();
        let told = |s: &Segment| (s.duration.as_millis(), s.from.milli(), s.to.milli());
        segments(&[(Nanos::from_secs(secs), Some(shape))]).iter().map(told).collect()
    }

    #[test]
    fn every_shape_fills_its_phase() {
        for (case, text, want) in [
            ("constant", "6/s", vec![(10_000, 6_000, 6_000)]),
            ("ramp", "6/s to 20/s", vec![(10_000, 6_000, 20_000)]),
            ("steps", "1/s, 2/s", vec![(5_000, 1_000, 1_000), (5_000, 2_000, 2_000)]),
            (
                "spike",
                "1/s spike 9/s at 2s for 3s",
                vec![(2_000, 1_000, 1_000), (3_000, 9_000, 9_000), (5_000, 1_000, 1_000)],
            ),
            ("spike at once", "1/s spike 9/s at 0s for 10s", vec![(10_000, 9_000, 9_000)]),
        ] {
            assert_eq!(rates(text, 10), want, "{case}");
        }
    }

    #[test]
    fn a_day_is_highest_at_its_peak_and_lowest_twelve_hours_away() {
        let day = rates("day 10/s to 50/s peak 14h", 86_400);
        assert_eq!(day.iter().map(|part| part.0).sum::<u64>(), 86_400_000);
        assert_eq!((day[28].1, day[4].1), (50_000, 10_000)); // 14:00 and 02:00
        assert_eq!(day[0].1, day[47].2, "midnight is midnight");
        let mean = day.iter().map(|part| (part.1 + part.2) as f64 / 2.0).sum::<f64>() / 48.0;
        assert!((mean - 30_000.0).abs() < 1.0, "{mean}");
    }

    #[test]
    fn users_have_shapes_too() {
        let shape = Shape::<u32>::read("0 to 100").unwrap();
        let want = [Headcount { duration: Nanos::from_secs(5), from: 0, to: 100 }];
        assert_eq!(headcounts(&[(Nanos::from_secs(5), Some(shape))]), want);
    }
}
