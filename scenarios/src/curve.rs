//! A rate curve and its integral. Arrivals are due where the integral passes their number, so that neither rounding
//! nor a stall can pile up: no due time is computed from the one before it.

use units::{Nanos, Rate};

use crate::Segment;

impl Segment {
    /// A rate that stays.
    pub const fn constant(duration: Nanos, rate: Rate) -> Self {
        Self { duration, from: rate, to: rate }
    }

    /// How many arrivals it expects: the area under it.
    pub fn arrivals(&self) -> f64 {
        f64::midpoint(self.from.as_f64(), self.to.as_f64()) * self.duration.as_secs_f64()
    }

    /// Seconds into the segment at which the area under it reaches `area`, for an area within it.
    fn reaches(&self, area: f64) -> f64 {
        let (rate, slope) = (self.from.as_f64(), (self.to.as_f64() - self.from.as_f64()) / self.duration.as_secs_f64());
        // rate·t + slope·t²/2 = area, in the form that loses no digits when the slope is small or negative.
        let root = libm::sqrt((rate * rate + 2.0 * slope * area).max(0.0));
        if rate + root == 0.0 { 0.0 } else { 2.0 * area / (rate + root) }
    }
}

/// Walks along a rate curve as the area under it grows.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    index: usize,
    start: Nanos, // of the current segment
    area: f64,    // under all segments before it
}

impl Cursor {
    pub(crate) const fn new() -> Self {
        Self { index: 0, start: Nanos::ZERO, area: 0.0 }
    }

    /// The instant at which the area under `curve` reaches `area`, which must not shrink between calls; `None` after
    /// the curve's end.
    pub(crate) fn reach(&mut self, curve: &[Segment], area: f64) -> Option<Nanos> {
        loop {
            let segment = curve.get(self.index)?;
            let within = segment.arrivals();
            if area - self.area < within {
                let due = Nanos::from_secs_f64(segment.reaches(area - self.area));
                // By rounding it may lie at the end, which is no part of the segment; of the last one nobody's.
                let last = self.index + 1 == curve.len();
                return (due < segment.duration || !last).then(|| self.start + due.min(segment.duration));
            }
            self.area += within;
            self.start += segment.duration;
            self.index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(curve: &[Segment]) -> Vec<f64> {
        let mut cursor = Cursor::new();
        (0..).map_while(|i| cursor.reach(curve, f64::from(i))).map(Nanos::as_secs_f64).collect()
    }

    #[test]
    fn a_constant_rate_is_even_and_exact() {
        let dues = dues(&[Segment::constant(Nanos::from_secs(1000), Rate::per_second(3))]);
        assert_eq!(dues.len(), 3_000);
        assert!((dues[2_999] - 2_999.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn ramps_follow_their_integral_up_and_down() {
        let (zero, ten) = (Rate::ZERO, Rate::per_second(10));
        let up = Segment { duration: Nanos::from_secs(10), from: zero, to: ten };
        let down = Segment { duration: Nanos::from_secs(10), from: ten, to: zero };
        let dues = dues(&[up, down]);
        assert_eq!(dues.len(), 100);
        assert!((dues[18] - 6.0).abs() < 1e-6, "18 = 6²/2"); // area t²/2
        assert!((dues[50] - 10.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_due_at_the_end_whatever_rounding_does() {
        let rate = Rate::per_second;
        for (first, peak) in (1..40).flat_map(|first| (1..40).map(move |peak| (first, first + peak))) {
            let part = |secs, r| Segment::constant(Nanos::from_secs(secs), rate(r));
            let curve = [part(4, first), part(3, peak), part(13, first)];
            let dues = dues(&curve);
            assert_eq!(dues.len() as u64, 17 * first + 3 * peak, "{first} and {peak}");
            assert!(dues.iter().all(|due| *due < 20.0), "{first} and {peak}");
        }
    }

    #[test]
    fn a_silent_stretch_is_skipped() {
        let silent = Segment::constant(Nanos::from_secs(5), Rate::ZERO);
        let loud = Segment::constant(Nanos::from_secs(1), Rate::per_second(2));
        assert_eq!(dues(&[silent, loud, silent]), [5.0, 5.5]);
    }
}
