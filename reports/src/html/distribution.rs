//! How far response times reach: the percentile curve on an axis that stretches the tail.

use maud::{Markup, html};
use record::{Percentile, RunResult};

use crate::html::plot::{HIGH, Scale, WIDE, above, axis, line, plot};
use crate::html::{glance, latency, section};
use crate::told;
use crate::words;

/// Ticks of the percentile axis.
const TICKS: [f64; 8] = [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];
/// Rows of the table twin.
const ROWS: [f64; 11] = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99];

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
}

pub(super) fn distribution(result: &RunResult) -> Markup {
    let body = html! {
        p.say { (sentence(result)) }
        @if let (Some(first), Some(last)) = (result.distribution.first(), result.distribution.last()) {
            (curve(result, first, last))
            (table(result))
        }
    };
    section("distribution", "Distribution", "How far does it reach?", &body)
}

fn at(result: &RunResult, percent: f64) -> Option<&Percentile> {
    result.distribution.iter().find(|p| (p.percent - percent).abs() < 1e-9)
}

fn sentence(result: &RunResult) -> String {
    let (Some(p50), Some(last)) = (at(result, 50.0), result.distribution.last()) else {
        return "No judged request succeeded, so there is no distribution.".into();
    };
    let mut say =
        format!("Half of the judged requests took at most {}, the slowest {}.", words::ms(p50.us), words::ms(last.us));
    let Some(verdict) = told::drawn(result) else { return say };
    let limit = told::value(verdict, verdict.limit);
    let kept = verdict.n - verdict.beyond;
    let held = if verdict.beyond == 0 {
        format!(" All {} kept the limit of {limit}.", words::count(verdict.n))
    } else {
        format!(
            " {} kept the limit of {limit}; {} must.",
            words::percent(kept as f64 / verdict.n as f64),
            words::percent(1.0 - verdict.allowed)
        )
    };
    say.push_str(&held);
    say
}

fn curve(result: &RunResult, first: &Percentile, last: &Percentile) -> Markup {
    let curve: Vec<&Percentile> = result.distribution.iter().filter(|p| p.percent < 100.0).collect();
    let tail = Tail { furthest: curve.last().map_or(99.0, |p| p.percent).max(50.0) };
    let limit = told::limit_us(result);
    let top = last.us.max(limit.unwrap_or(0)) as f64 * 1.3;
    let scale = Scale::Log(first.us.max(1) as f64 * 0.9, top);
    let x = |percent: f64| tail.share(percent) * WIDE;
    let points: Vec<(f64, f64)> = curve.iter().map(|p| (x(p.percent), scale.y(p.us as f64))).collect();
    let low = curve.iter().map(|p| (x(p.percent), scale.y(p.interval_us.0 as f64)));
    let high = curve.iter().rev().map(|p| (x(p.percent), scale.y(p.interval_us.1 as f64)));
    let band = format!("{}Z", line(low.chain(high).map(Some)).replacen("h0", "", 1));
    let axis = axis(scale, 6, words::bare_ms);
    let ticks: Vec<f64> = TICKS.into_iter().filter(|percent| *percent <= tail.furthest).collect();
    let uprights = ticks.iter().map(|percent| format!("M{:.0} 0V{HIGH}", x(*percent))).collect::<Vec<_>>().concat();
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.l.grid d=(uprights) {}
        path.f3 fill-opacity=".7" d=(band) {}
        @if let Some(limit) = limit {
            @let floor = scale.y(limit as f64);
            path.wash d=(above(points.iter().copied().map(Some), floor)) {}
            path.l.limit d=(format!("M0 {floor:.0}H{WIDE}")) {}
        }
        path.l.heavy d=(line(points.iter().copied().map(Some))) {}
    };
    let p95 = at(result, 95.0).map_or(String::new(), |p| format!(" p95 {};", words::ms(p.us)));
    let description = format!("From {} to {};{p95} {}.", words::ms(first.us), words::ms(last.us), crossing(result));
    let end = points.last().map_or(50.0, |p| p.1 / HIGH * 100.0);
    let mut keys = vec![(end, "heavy", "this run".to_owned())];
    if let Some(limit) = limit {
        keys.push((scale.top(limit as f64), "limit", format!("limit {}", words::ms(limit))));
    }
    let labels = html! {
        (axis.labels)
        (latency::key_labels(&keys, 300))
        @for percent in &ticks {
            @let place = if *percent < 50.0 { "x first wide" } else if *percent >= tail.furthest { "x last" } else { "x" };
            span class=(place) style=(format!("left:{:.2}%", tail.share(*percent) * 100.0)) { (words::percentile(*percent)) }
        }
    };
    html! {
        figure style="padding-bottom:28px" {
            div.phone { (latency::keys_above(&keys)) }
            (plot("distribution", 300, "Response times by percentile", &description, &picture, &labels))
        }
        p.note {
            "Requests of the judged phases that succeeded; ms, log scale. Shaded: the interval at each percentile; where the samples are too few for an end of it, the shortest or longest time stands there."
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

fn table(result: &RunResult) -> Markup {
    let rows: Vec<&Percentile> =
        result.distribution.iter().filter(|p| ROWS.contains(&p.percent) || p.percent >= 100.0).collect();
    html! {
        details {
            summary { "The same as a table" }
            (glance("Percentiles", &html! {
                table.tight {
                    thead { tr { th scope="col" { "Percentile" } th.n scope="col" { "ms" } th.n scope="col" { "interval" } } }
                    tbody { @for p in rows { tr {
                        th scope="row" { (words::percentile(p.percent)) }
                        td.n { (words::bare_ms(p.us as f64)) }
                        td.n { (words::bare_ms(p.interval_us.0 as f64)) "–" (words::bare_ms(p.interval_us.1 as f64)) }
                    } } }
                }
            }))
        }
    }
}
