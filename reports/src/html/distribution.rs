//! How far response times reach: percentile curves on an axis that stretches the tail, beside the twin and a baseline.

use maud::{Markup, html};
use record::{Percentile, RunResult, StepCurve};

use crate::html::key::{self, Key};
use crate::html::plot::{HIGH, Scale, WIDE, above, axis, line, plot};
use crate::html::{glance, section};
use crate::told::{self, Told};
use crate::words;

/// Ticks of the percentile axis.
const TICKS: [f64; 8] = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];
/// Where the twin is drawn.
const RINGS: [f64; 6] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9];
/// Rows of the table twin.
const ROWS: [f64; 11] = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99];
/// Small pictures, one for each step.
const STEPS: usize = 10;
const HIGH_PX: u32 = 300;

/// Places a percentile by log 1 / (1 − p), so that each further nine takes the same room.
#[derive(Clone, Copy)]
struct Tail {
    furthest: f64,
}

impl Tail {
    fn share(self, percent: f64) -> f64 {
        let nines = |percent: f64| -libm::log10((1.0 - percent / 100.0).max(1e-9));
        (nines(percent) / nines(self.furthest)).clamp(0.0, 1.0)
    }

    fn x(self, percent: f64) -> f64 {
        self.share(percent) * WIDE
    }
}

pub(super) fn distribution(told: &Told) -> Markup {
    let result = &told.result;
    let body = html! {
        p.say { (sentence(told)) }
        @if let (Some(first), Some(last)) = (result.distribution.first(), result.distribution.last()) {
            (curve(told, first, last))
            (small(told))
            p.note {
                "Requests of the judged phases that succeeded; ms, log scale. Shaded: the interval at each percentile; where the samples are too few for an end of it, the shortest or longest time stands there."
                @if told.twin.as_ref().is_some_and(|twin| !twin.distribution.is_empty()) { " Rings: the simulation of the same scenario and seed." }
                @if let Some(baseline) = &told.baseline { " Dashed: the baseline, " (baseline.name) "." } @else { " No baseline was given." }
            }
            (table(told))
        }
    };
    section("distribution", "Distribution", "How far does it reach, and is it new?", &body)
}

fn at(points: &[Percentile], percent: f64) -> Option<&Percentile> {
    points.iter().find(|p| (p.percent - percent).abs() < 1e-9)
}

fn sentence(told: &Told) -> String {
    let result = &told.result;
    let (Some(p50), Some(last)) = (at(&result.distribution, 50.0), result.distribution.last()) else {
        return "No judged request succeeded, so there is no distribution.".into();
    };
    let mut say =
        format!("Half of the judged requests took at most {}, the slowest {}.", words::ms(p50.us), words::ms(last.us));
    if let Some(verdict) = told::drawn(result) {
        let limit = told::value(verdict, verdict.limit);
        let kept = verdict.n - verdict.beyond;
        say += &if verdict.beyond == 0 {
            format!(" All {} kept the limit of {limit}.", words::count(verdict.n))
        } else {
            format!(
                " {} kept the limit of {limit}; {} must.",
                words::percent(kept as f64 / verdict.n.max(1) as f64),
                words::percent(1.0 - verdict.allowed)
            )
        };
    }
    if let Some(baseline) = &told.baseline {
        let before = |percent: f64| at(&baseline.result.distribution, percent).map(|p| p.us);
        let now = |percent: f64| at(&result.distribution, percent).map(|p| p.us);
        if let (Some(b50), Some(n50), Some(b95), Some(n95)) = (before(50.0), now(50.0), before(95.0), now(95.0)) {
            say += &format!(
                " Against {} the median moved from {} to {}, p95 from {} to {}.",
                baseline.name,
                words::ms(b50),
                words::ms(n50),
                words::ms(b95),
                words::ms(n95)
            );
        }
    }
    say
}

fn curve(told: &Told, first: &Percentile, last: &Percentile) -> Markup {
    let result = &told.result;
    let curve: Vec<&Percentile> = result.distribution.iter().filter(|p| p.percent < 100.0).collect();
    let tail = Tail { furthest: curve.last().map_or(99.0, |p| p.percent).max(50.0) };
    let limit = told::limit_us(result);
    let inside =
        |points: &[Percentile]| points.iter().filter(|p| p.percent <= tail.furthest).copied().collect::<Vec<_>>();
    let before = told.baseline.as_ref().map_or_else(Vec::new, |baseline| inside(&baseline.result.distribution));
    let twin = told.twin.as_ref().map_or_else(Vec::new, |twin| inside(&twin.distribution));
    let highest = before.iter().map(|p| p.us).max().unwrap_or(0);
    let top = last.us.max(limit.unwrap_or(0)).max(highest) as f64 * 1.3;
    let scale = Scale::Log(first.us.max(1) as f64 * 0.9, top);
    let points: Vec<(f64, f64)> = curve.iter().map(|p| (tail.x(p.percent), scale.y(p.us as f64))).collect();
    let low = curve.iter().map(|p| (tail.x(p.percent), scale.y(p.interval_us.0 as f64)));
    let high = curve.iter().rev().map(|p| (tail.x(p.percent), scale.y(p.interval_us.1 as f64)));
    let band = format!("{}Z", line(low.chain(high).map(Some)).replacen("h0", "", 1));
    let axis = axis(scale, 6, words::bare_ms);
    let ticks: Vec<f64> = TICKS.into_iter().filter(|percent| *percent <= tail.furthest).collect();
    let uprights =
        ticks.iter().map(|percent| format!("M{:.0} 0V{HIGH}", tail.x(*percent))).collect::<Vec<_>>().concat();
    let dashed = line(before.iter().map(|p| Some((tail.x(p.percent), scale.y(p.us as f64)))));
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.l.grid d=(uprights) {}
        path.f3 fill-opacity=".7" d=(band) {}
        @if let Some(limit) = limit {
            @let floor = scale.y(limit as f64);
            path.wash d=(above(points.iter().copied().map(Some), floor)) {}
            path.l.limit d=(format!("M0 {floor:.0}H{WIDE}")) {}
        }
        @if !before.is_empty() { path.l.dashes.quiet d=(dashed) {} }
        path.l.heavy d=(line(points.iter().copied().map(Some))) {}
    };
    let p95 = at(&result.distribution, 95.0).map_or(String::new(), |p| format!(" p95 {};", words::ms(p.us)));
    let description = format!("From {} to {};{p95} {}.", words::ms(first.us), words::ms(last.us), crossing(result));
    let end = points.last().map_or(50.0, |p| p.1 / HIGH * 100.0);
    let mut keys = vec![Key::new(end, "heavy", "this run")];
    if let Some(p) = before.last() {
        keys.push(Key::new(scale.top(p.us as f64), "dashes", "baseline"));
    }
    if !twin.is_empty() {
        keys.push(Key::new(end + 5.0, "ring", "twin"));
    }
    if let Some(limit) = limit {
        keys.push(Key::new(scale.top(limit as f64), "limit", format!("limit {}", words::ms(limit))));
    }
    let over = result.distribution.iter().find(|p| limit.is_some_and(|limit| p.us > limit) && p.percent < 100.0);
    let labels = html! {
        (axis.labels)
        (key::beside(&keys, HIGH_PX))
        @for p in twin.iter().filter(|p| RINGS.contains(&p.percent)) {
            i.ring.dot style=(format!("left:{:.2}%;top:{:.2}%", tail.share(p.percent) * 100.0, scale.top(p.us as f64))) {}
        }
        @if let (Some(p), Some(limit)) = (over, limit) {
            @let share = tail.share(p.percent) * 100.0;
            @let side = if share > 30.0 { format!("right:calc({:.2}% + 6px);text-align:right", 100.0 - share) } else { format!("left:calc({share:.2}% + 6px)") };
            span.in.over style=(format!("{side};top:calc({:.2}% + 3px)", scale.top(limit as f64))) { "over the limit from " (words::percentile(p.percent)) }
        }
        @for percent in &ticks {
            @let place = if *percent < 50.0 { "x first wide" } else if *percent >= tail.furthest { "x last" } else { "x" };
            span class=(place) style=(format!("left:{:.2}%", tail.share(*percent) * 100.0)) { (words::percentile(*percent)) }
        }
    };
    html! {
        figure.curve {
            div.phone { (key::above(&keys)) }
            (plot("distribution", HIGH_PX, "Response times by percentile", &description, &picture, &labels))
        }
    }
}

fn crossing(result: &RunResult) -> String {
    let Some(verdict) = told::drawn(result) else { return "no limit is drawn".into() };
    let limit = told::value(verdict, verdict.limit);
    let over = result.distribution.iter().find(|p| told::limit_us(result).is_some_and(|limit| p.us > limit));
    match over {
        None => format!("no percentile is above the limit of {limit}"),
        Some(point) => format!("from {} on it is above the limit of {limit}", words::percentile(point.percent)),
    }
}

/// One small picture per step of the judged flow, all on the same scales.
fn small(told: &Told) -> Markup {
    let result = &told.result;
    let flow = told::drawn_flow(result);
    let curves: Vec<&StepCurve> =
        result.curves.iter().filter(|curve| flow.is_none_or(|flow| curve.flow == flow)).take(STEPS).collect();
    if curves.len() < 2 {
        return html! {};
    }
    let values = || curves.iter().flat_map(|curve| &curve.points).map(|(_, us)| *us);
    let limit = told::limit_us(result);
    let top = values().max().unwrap_or(1).max(limit.unwrap_or(0)) as f64 * 1.2;
    let scale = Scale::Log(values().min().unwrap_or(1).max(1) as f64 * 0.9, top);
    let tail = Tail { furthest: 99.9 };
    let beside = |all: &[StepCurve], step: &str| {
        all.iter().find(|curve| curve.step == step).map(|curve| path(curve, tail, scale))
    };
    let p95 = |curve: &StepCurve| curve.points.iter().find(|(percent, _)| *percent >= 95.0).map_or(0, |(_, us)| *us);
    html! {
        div.small {
            @for (index, curve) in curves.iter().enumerate() {
                @let before = told.baseline.as_ref().and_then(|baseline| baseline.result.curves.iter().find(|b| b.step == curve.step));
                @let over = limit.is_some_and(|limit| p95(curve) > limit);
                @let said = format!("p95 {}", words::ms(p95(curve)));
                div {
                    h3 { (curve.step) span class=(if over { "over" } else { "" }) { (said) @if let Some(before) = before { ", was " (words::bare_ms(p95(before) as f64)) } } }
                    (plot(&format!("step-{index}"), 96, &format!("Response times of {}", curve.step), &format!("{said} over {}.", words::counted(curve.n, "request", "requests")), &html! {
                        path.l.grid d=(format!("M{:.0} 0V{HIGH}M0 {HIGH}H{WIDE}", tail.x(95.0))) {}
                        @if let Some(limit) = limit { path.l.limit d=(format!("M0 {:.0}H{WIDE}", scale.y(limit as f64))) {} }
                        @if let Some(path) = told.baseline.as_ref().and_then(|baseline| beside(&baseline.result.curves, &curve.step)) { path.l.dashes.quiet d=(path) {} }
                        @if let Some(path) = told.twin.as_ref().and_then(|twin| beside(&twin.curves, &curve.step)) { path.l.dots d=(path) {} }
                        path.l.heavy d=(path(curve, tail, scale)) {}
                    }, &html! { span.x style=(format!("left:{:.1}%", tail.share(95.0) * 100.0)) { "p95" } }))
                }
            }
        }
    }
}

fn path(curve: &StepCurve, tail: Tail, scale: Scale) -> String {
    let inside = curve.points.iter().filter(|(percent, _)| *percent <= tail.furthest);
    line(inside.map(|(percent, us)| Some((tail.x(*percent), scale.y(*us as f64)))))
}

fn table(told: &Told) -> Markup {
    let result = &told.result;
    let rows: Vec<&Percentile> =
        result.distribution.iter().filter(|p| ROWS.contains(&p.percent) || p.percent >= 100.0).collect();
    let other = |points: &[Percentile], percent: f64| {
        at(points, percent).map_or_else(|| "–".to_owned(), |p| words::bare_ms(p.us as f64))
    };
    html! {
        details {
            summary { "The same as a table" }
            (glance("Percentiles", &html! {
                table.tight {
                    thead { tr {
                        th scope="col" { "Percentile" } th.n scope="col" { "ms" } th.n scope="col" { "interval" }
                        @if told.twin.is_some() { th.n scope="col" { "twin" } }
                        @if told.baseline.is_some() { th.n scope="col" { "baseline" } }
                    } }
                    tbody { @for p in rows { tr {
                        th scope="row" { (words::percentile(p.percent)) }
                        td.n { (words::bare_ms(p.us as f64)) }
                        td.n { (words::bare_ms(p.interval_us.0 as f64)) "–" (words::bare_ms(p.interval_us.1 as f64)) }
                        @if let Some(twin) = &told.twin { td.n { (other(&twin.distribution, p.percent)) } }
                        @if let Some(baseline) = &told.baseline { td.n { (other(&baseline.result.distribution, p.percent)) } }
                    } } }
                }
            }))
        }
    }
}
