//! What failed, by cause; provoked rejects are hatched and never coloured as errors.

use maud::{Markup, html};
use record::{Cause, RunResult};

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, axis, bar, plot};
use crate::html::time::time;
use crate::{told, words};

const HIGH_PX: u32 = 72;
/// More columns than this cannot be told apart.
const COLUMNS: usize = 200;

/// How a cause is drawn: the class of its area, the id of its pattern, the class of its sample.
type Fill = (&'static str, &'static str);

/// Provoked rejects hatched, the rest by frequency.
fn fill(cause: Cause, rank: usize) -> Fill {
    const FILLS: [Fill; 5] =
        [("f4", "area c4"), ("f0", "area c0"), ("f2", "area c2"), ("f1", "area c1"), ("f6", "area c6")];
    if cause == Cause::Limited { ("hatch", "area c5") } else { FILLS[rank.min(FILLS.len() - 1)] }
}

/// Stripes of the same slope in plots of any height.
pub(super) fn hatch(id: &str, height_px: u32) -> Markup {
    let tall = (90.0 * 72.0 / f64::from(height_px)).round();
    html! {
        defs {
            pattern id=(id) width="12" height=(tall) patternUnits="userSpaceOnUse" patternTransform="skewX(-14)" {
                rect.f1 width="5" height=(tall) {}
            }
        }
    }
}

pub(super) fn failures(result: &RunResult) -> Markup {
    let totals = told::failures(result);
    if totals.is_empty() {
        return html! { h3 { "Failures " span { "by cause: there was none" } } };
    }
    let time = time(result);
    let windows = told::merged(result, COLUMNS);
    let rate = |n: u64, long: f64| n as f64 * 1e6 / long;
    let most = windows.iter().map(|(_, long, w)| rate(w.failed.values().sum(), *long)).fold(0.1, f64::max);
    let scale = Scale::Linear(0.0, most * 1.1);
    let mut paths = vec![String::new(); totals.len()];
    for (at, long, window) in &windows {
        let mut below = 0.0;
        for ((cause, _), path) in totals.iter().zip(&mut paths) {
            let n = rate(window.failed.get(cause).copied().unwrap_or(0), *long);
            if n > 0.0 {
                bar(path, time.x(at - long / 2.0), time.share(*long) * WIDE, scale.y(below + n), scale.y(below));
                below += n;
            }
        }
    }
    let mut others = 0;
    let mut styles = Vec::new();
    for (cause, _) in &totals {
        styles.push(fill(*cause, others));
        others += usize::from(*cause != Cause::Limited);
    }
    let key = |(index, ((cause, n), style)): (usize, (&(Cause, u64), &Fill))| {
        Key::new(10.0 + 22.0 * index as f64, style.1, format!("{} {}", words::count(*n), cause.label()))
    };
    let keys: Vec<Key> = totals.iter().zip(&styles).enumerate().map(key).collect();
    let axis = axis(scale, 2, |rate| words::number(rate, 2));
    let description =
        format!("Failures: {}; at most {} a second.", told::failures_in_words(&totals), words::number(most, 1));
    let picture = html! {
        (hatch("hatch", HIGH_PX))
        path.l.grid d=(axis.lines) {}
        @for (path, style) in paths.iter().zip(&styles) {
            @if style.0 == "hatch" { path fill="url(#hatch)" d=(path) {} } @else { path class=(style.0) d=(path) {} }
        }
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let labels = html! { (axis.labels) (key::beside(&keys, HIGH_PX)) };
    html! {
        h3 { "Failures by cause " span { "a second" } }
        (key::above(&keys))
        (plot("failures", HIGH_PX, "Failures over time", &description, &picture, &labels))
    }
}
