//! The grammar of our charts: an SVG that stretches, and words that do not.
//!
//! A plot is an SVG of `WIDE` × `HIGH` units with `preserveAspectRatio="none"` and strokes that keep their width; every
//! label is HTML placed in percent. So one file serves a phone, a wide screen and paper with text at full size.

use std::fmt::Write;

use maud::{Markup, html};

/// Width of every plot in its own units.
pub(super) const WIDE: f64 = 2_000.0;
/// Height likewise; y grows downwards, as in SVG.
pub(super) const HIGH: f64 = 1_000.0;

/// Maps values to a plot's units.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From the first to the second value.
    Linear(f64, f64),
    /// The same on a logarithm; values below the first are drawn there.
    Log(f64, f64),
}

impl Scale {
    /// 0 to 1 within the scale; values outside are clamped.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(from, to) => (value - from) / (to - from).max(f64::MIN_POSITIVE),
            Self::Log(from, to) => libm::log(value.max(from) / from) / libm::log(to / from).max(f64::MIN_POSITIVE),
        };
        share.clamp(0.0, 1.0)
    }

    pub(super) fn x(self, value: f64) -> f64 {
        self.share(value) * WIDE
    }

    pub(super) fn y(self, value: f64) -> f64 {
        (1.0 - self.share(value)) * HIGH
    }

    /// Where a label belongs, in percent from the top.
    pub(super) fn top(self, value: f64) -> f64 {
        (1.0 - self.share(value)) * 100.0
    }

    /// Few round values within the scale.
    pub(super) fn ticks(self, at_most: usize) -> Vec<f64> {
        match self {
            Self::Linear(from, to) => {
                let steps =
                    (0..12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * libm::pow(10.0, f64::from(power))));
                let fits = |step: &f64| ((to - from) / step) as usize <= at_most;
                let step = steps.into_iter().find(fits).unwrap_or(to - from);
                let first = libm::ceil(from / step) as i64;
                (first..=libm::floor(to / step) as i64).map(|k| k as f64 * step).collect()
            }
            Self::Log(from, to) => {
                let values =
                    (-1..9).flat_map(|power| [1.0, 3.0].map(|digit| digit * libm::pow(10.0, f64::from(power))));
                let all: Vec<f64> = values.filter(|value| *value >= from * 0.999 && *value <= to * 1.001).collect();
                let tens = |value: &f64| libm::fabs(libm::log10(*value) - libm::round(libm::log10(*value))) < 1e-9;
                if all.len() > at_most { all.into_iter().filter(tens).collect() } else { all }
            }
        }
    }
}

/// A line through points, interrupted where there is none.
pub(super) fn line(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for point in points {
        match point {
            Some((x, y)) => {
                let command = if drawing { 'L' } else { 'M' };
                write!(path, "{command}{} {}", libm::round(x), libm::round(y)).expect("writing to a string");
                if !drawing {
                    path.push_str("h0"); // a lone point shows, too
                }
                drawing = true;
            }
            None => drawing = false,
        }
    }
    path
}

/// The area between a line and the bottom.
pub(super) fn area(points: &[(f64, f64)]) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    format!(
        "{}L{} {HIGH}L{} {HIGH}Z",
        line(points.iter().copied().map(Some)),
        libm::round(last.0),
        libm::round(first.0)
    )
}

/// The area between two lines over the same instants.
pub(super) fn between(lower: &[(f64, f64)], upper: &[(f64, f64)]) -> String {
    if lower.is_empty() || upper.is_empty() {
        return String::new();
    }
    let back = lower.iter().rev().map(|(x, y)| format!("L{} {}", libm::round(*x), libm::round(*y))).collect::<String>();
    format!("{}{back}Z", line(upper.iter().copied().map(Some)))
}

/// What of a line lies above `floor` (smaller y), filled down to it; crossings are exact.
pub(super) fn above(points: impl IntoIterator<Item = Option<(f64, f64)>>, floor: f64) -> String {
    let mut path = String::new();
    let mut before: Option<(f64, f64)> = None;
    for point in points {
        if let (Some((x0, y0)), Some((x1, y1))) = (before, point) {
            let cross = |x: f64, y: f64| (x + (floor - y) * (x1 - x0) / (y1 - y0), floor);
            let (from, to) = match (y0 < floor, y1 < floor) {
                (true, true) => ((x0, y0), (x1, y1)),
                (true, false) => ((x0, y0), cross(x0, y0)),
                (false, true) => (cross(x0, y0), (x1, y1)),
                (false, false) => {
                    before = point;
                    continue;
                }
            };
            let [(x0, y0), (x1, y1)] = [from, to].map(|(x, y)| (libm::round(x), libm::round(y)));
            write!(path, "M{x0} {floor:.0}V{y0}L{x1} {y1}V{floor:.0}z").expect("writing to a string");
        }
        before = point;
    }
    path
}

/// A bar of a path.
pub(super) fn bar(path: &mut String, x: f64, width: f64, top: f64, bottom: f64) {
    let (x, width) = (libm::round(x), libm::round(width).max(1.0));
    let (top, bottom) = (libm::round(top), libm::round(bottom));
    write!(path, "M{x} {top}h{width}V{bottom}h-{width}z").expect("writing to a string");
}

/// Moves labels apart so that none is closer to the next than `gap`, within 0..`height`. Order is kept.
pub(super) fn spread(wanted: &[f64], gap: f64, height: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut placed = wanted.to_vec();
    let mut free = f64::NEG_INFINITY;
    for index in &order {
        placed[*index] = placed[*index].max(free);
        free = placed[*index] + gap;
    }
    let mut free = height;
    for index in order.iter().rev() {
        placed[*index] = placed[*index].min(free);
        free = placed[*index] - gap;
    }
    placed
}

/// Labels of a vertical axis and their grid lines.
pub(super) struct Axis {
    pub(super) lines: String,
    pub(super) labels: Markup,
}

pub(super) fn axis(scale: Scale, at_most: usize, label: impl Fn(f64) -> String) -> Axis {
    let ticks = scale.ticks(at_most);
    let lines =
        ticks.iter().map(|tick| format!("M0 {}H{WIDE}", libm::round(scale.y(*tick)))).collect::<Vec<_>>().concat();
    let labels =
        html! { @for tick in &ticks { span.y style=(format!("top:{:.1}%", scale.top(*tick))) { (label(*tick)) } } };
    Axis { lines, labels }
}

/// The whole plot: picture with its title and description, and labels that screen readers leave to the description.
pub(super) fn plot(
    id: &str,
    height_px: u32,
    title: &str,
    description: &str,
    picture: &Markup,
    labels: &Markup,
) -> Markup {
    let (t, d) = (format!("t-{id}"), format!("d-{id}"));
    html! {
        div.plot style=(format!("height:{height_px}px")) {
            svg viewBox=(format!("0 0 {WIDE} {HIGH}")) preserveAspectRatio="none" role="img"
                aria-labelledby=(format!("{t} {d}")) {
                title id=(t) { (title) }
                desc id=(d) { (description) }
                (picture)
            }
            div aria-hidden="true" { (labels) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_round_and_inside() {
        for (case, scale, expected) in [
            ("linear", Scale::Linear(0.0, 287.0), vec![0.0, 100.0, 200.0]),
            ("small", Scale::Linear(0.0, 3.0), vec![0.0, 1.0, 2.0, 3.0]),
            ("log", Scale::Log(8.0, 3_100.0), vec![10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0]),
        ] {
            let ticks = scale.ticks(6);
            assert!(ticks.len() <= 7, "{case}: {ticks:?}");
            if case == "log" {
                assert!(ticks.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{case}: {ticks:?}");
            } else {
                assert_eq!(scale.ticks(3), expected, "{case}");
            }
        }
    }

    #[test]
    fn labels_that_were_spread_do_not_touch() {
        for wanted in [vec![50.0, 51.0, 52.0], vec![0.0, 0.0, 1.0, 99.0, 100.0, 100.0], vec![98.0, 99.0, 97.0], vec![]]
        {
            let mut placed = spread(&wanted, 14.0, 100.0);
            placed.sort_by(f64::total_cmp);
            assert!(placed.windows(2).all(|pair| pair[1] - pair[0] > 13.99), "{wanted:?}: {placed:?}");
            assert!(placed.iter().all(|top| (-0.1..=100.1).contains(top)), "{wanted:?}: {placed:?}");
        }
    }

    #[test]
    fn only_what_is_above_is_filled() {
        let points = [Some((0.0, 80.0)), Some((10.0, 40.0)), Some((20.0, 40.0)), None, Some((30.0, 90.0))];
        assert_eq!(above(points, 60.0), "M5 60V60L10 40V60zM10 60V40L20 40V60z");
        assert_eq!(above(points, 30.0), "");
    }

    #[test]
    fn a_gap_in_the_data_is_a_gap_in_the_line() {
        assert_eq!(line([Some((0.0, 1.0)), Some((2.0, 3.0)), None, Some((4.0, 5.0))]), "M0 1h0L2 3M4 5h0");
    }
}
