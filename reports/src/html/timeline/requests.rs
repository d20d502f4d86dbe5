//! Offered, achieved, rejected: what was asked for, what came of it.

use maud::{Markup, html};
use record::{Cause, RunResult, Window};

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, area, axis, between, line, plot};
use crate::html::time::time;
use crate::{told, words};

const HIGH_PX: u32 = 100;
/// More points than this cannot be told apart.
const POINTS: usize = 400;

pub(super) fn requests(result: &RunResult) -> Markup {
    let time = time(result);
    let windows = told::merged(result, POINTS);
    let rate = |n: u64, long: f64| n as f64 * 1e6 / long;
    let most = windows.iter().map(|(_, long, w)| rate(w.offered, *long)).fold(1.0, f64::max);
    let scale = Scale::Linear(0.0, most * 1.08);
    let points = |value: &dyn Fn(&Window) -> u64| -> Vec<(f64, f64)> {
        windows.iter().map(|(at, long, w)| (time.x(*at), scale.y(rate(value(w), *long)))).collect()
    };
    let limited = |w: &Window| w.failed.get(&Cause::Limited).copied().unwrap_or(0);
    let (offered, succeeded) = (points(&|w| w.offered), points(&|w| w.succeeded));
    let refused = points(&|w| w.succeeded + limited(w));
    let (due, ok) = told::totals(result);
    let failures = told::failures(result);
    let rejected = failures.iter().find(|(cause, _)| *cause == Cause::Limited).map_or(0, |(_, n)| *n);
    let failed = told::failed_beside_limits(result);
    let mut description = format!(
        "{} were due, at most {} a second; {} succeeded.",
        words::sentence(&words::counted(due, "request", "requests")),
        words::number(most, 0),
        words::count(ok)
    );
    if rejected > 0 {
        description.push_str(&format!(" A rate limiter refused {}.", words::count(rejected)));
    }
    if failed > 0 {
        description.push_str(&format!(" {} failed.", words::count(failed)));
    }
    let axis = axis(scale, 4, |rate| words::number(rate, 1));
    let picture = html! {
        (super::failures::hatch("hatch-requests", HIGH_PX))
        path.l.grid d=(axis.lines) {}
        path.f3 d=(area(&succeeded)) {}
        @if rejected > 0 { path fill="url(#hatch-requests)" d=(between(&succeeded, &refused)) {} }
        @if failed > 0 { path.f4 d=(between(&refused, &offered)) {} }
        path.l.thin d=(line(offered.iter().copied().map(Some))) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let end = |points: &[(f64, f64)], extra: f64| points.last().map_or(50.0, |p| p.1 / HIGH * 100.0 + extra);
    let mut keys = vec![Key::new(end(&offered, -8.0), "thin", "offered").reads("offered")];
    if rejected > 0 {
        keys.push(Key::new(end(&refused, 2.0), "area c5", "rejected").reads("limited"));
    }
    if failed > 0 {
        keys.push(Key::new(end(&refused, 4.0), "area c4", "failed").reads("failed"));
    }
    keys.push(Key::new(end(&succeeded, 12.0), "area c3", "achieved").reads("ok"));
    let labels = html! { (axis.labels) (key::beside(&keys, HIGH_PX)) };
    html! {
        h3 { "Requests " span { "a second" } }
        (key::above(&keys))
        (plot("requests", HIGH_PX, "Requests over time", &description, &picture, &labels))
    }
}
