//! The picture of the first screen: what decided, over the run, with its limit and what went wrong when.

use maud::{Markup, html};
use record::{Cause, RunResult};

use crate::html::marks::{Mark, places};
use crate::html::plot::{HIGH, Scale, WIDE, above, area, axis, plot};
use crate::html::time::{self, share, time, value_line};
use crate::{told, words};

const HIGH_PX: u32 = 150;
const ROW_PX: usize = 16;

/// p95 of the drawn flow; or failures, where they and not the time decided. `None` if there is nothing to draw.
pub(super) fn hero(result: &RunResult) -> Option<Markup> {
    let failed = told::failed_beside_limits(result);
    if told::decided_by_failures(result) && failed > 0 { Some(failures(result)) } else { latency(result) }
}

/// What begins when: above the picture, on lines down to its axis.
fn marks(result: &RunResult) -> Markup {
    let phases = result.phases.iter().skip(1).filter(|p| p.start_us < result.load_end_us);
    let mut marks: Vec<Mark> =
        phases.map(|p| Mark { at: share(result, p.start_us), text: p.name.clone(), phase: true }).collect();
    marks.extend(result.faults.iter().map(|fault| Mark {
        at: share(result, fault.began_us),
        text: fault.fault.clone(),
        phase: false,
    }));
    marks.sort_by(|a, b| a.at.total_cmp(&b.at));
    let places = places(&marks);
    let rows = places.iter().filter_map(|(word, _)| word.map(|word| word.row + 1)).max().unwrap_or(0);
    html! {
        div.marks aria-hidden="true" style=(format!("height:{}px", rows * ROW_PX + 4)) {
            @for (mark, (word, _)) in marks.iter().zip(&places) {
                @if let Some(word) = word {
                    span class=(if word.ends { "mark at end" } else { "mark at" }) style=(format!("{};top:{}px", time::at(mark.at), word.row * ROW_PX)) {
                        @if mark.phase { (mark.text) } @else { b { (mark.text) } }
                    }
                    u.at style=(format!("{};top:{}px", time::at(mark.at), word.row * ROW_PX)) {}
                }
            }
        }
    }
}

fn latency(result: &RunResult) -> Option<Markup> {
    let (spell_us, spells) = told::spells(result);
    let highest = spells.iter().map(|spell| spell.p95_us).max().filter(|us| *us > 0)?;
    let limit = told::limit_us(result);
    // A limit far above the run would press the line flat; it is drawn all the same, because it is the measure.
    let scale = Scale::Linear(0.0, highest.max(limit.unwrap_or(0)) as f64 * 1.3);
    let (time, excess) = (time(result), told::excess(result));
    let points = time::values(result, scale, |spell| spell.p95_us);
    let over = limit.map_or_else(String::new, |limit| above(points, scale.y(limit as f64)));
    let subject = told::drawn(result).map_or_else(|| "all requests".into(), told::subject);
    let windows = words::span(spell_us);
    let description = match (limit, excess) {
        (Some(limit), Some(e)) => format!(
            "p95 of {subject} in windows of {windows} was over the limit of {} for {}, at most {} at {}.",
            words::ms(limit),
            words::span(e.long_us),
            words::ms(e.peak_us),
            words::clock(e.peak_at_us)
        ),
        (Some(limit), None) => format!(
            "p95 of {subject} in windows of {windows} stayed under the limit of {}; its highest window had {}.",
            words::ms(limit),
            words::ms(highest)
        ),
        _ => format!("p95 of {subject} in windows of {windows}; its highest window had {}.", words::ms(highest)),
    };
    let axis = axis(scale, 3, words::bare_ms);
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.f4 fill-opacity=".8" d=(over) {}
        @if let Some(limit) = limit { path.l.limit d=(format!("M0 {:.0}H{WIDE}", scale.y(limit as f64))) {} }
        path.l.heavy d=(value_line(result, scale, |spell| spell.p95_us)) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    // The limit's label sits on its line at the side where the run is not over it.
    let early_peak = excess.is_some_and(|e| (e.peak_at_us as f64) < 0.5 * told::load_us(result) as f64);
    let side = if early_peak { "right:0;text-align:right" } else { "left:4px" };
    let labels = html! {
        (axis.labels)
        @if let Some(limit) = limit {
            span.in.over style=(format!("{side};bottom:calc({:.1}% + 3px)", 100.0 - scale.top(limit as f64))) {
                "limit " (words::ms(limit))
            }
        }
        @if let Some(e) = excess {
            @let share = time.share(e.peak_at_us as f64);
            @let place = if share < 0.5 { format!("left:calc({:.1}% + 14px)", share * 100.0) } else { format!("right:calc({:.1}% + 14px);text-align:right", (1.0 - share) * 100.0) };
            span.in.over style=(format!("{place};top:0")) { b { (words::ms(e.peak_us)) } " at " (words::clock(e.peak_at_us)) }
        }
        (time::labels(result))
    };
    Some(html! {
        figure.hero {
            p.keys { span { i {} b { "p95 of " (subject) } ", ms, in windows of " (windows) } }
            (marks(result))
            (plot("hero", HIGH_PX, "p95 over the run", &description, &picture, &labels))
        }
    })
}

/// Requests that failed, by window; those that a rate limiter refused are no failures here.
fn failures(result: &RunResult) -> Markup {
    let time = time(result);
    let width_s = result.timeline.width_us.max(1) as f64 / 1e6;
    let rates: Vec<f64> = told::under_load(result)
        .iter()
        .map(|w| {
            w.failed.iter().filter(|(cause, _)| **cause != Cause::Limited).map(|(_, n)| *n).sum::<u64>() as f64
                / width_s
        })
        .collect();
    let (peak_at, most) =
        rates.iter().copied().enumerate().fold((0, 0.1), |best, next| if next.1 > best.1 { next } else { best });
    let scale = Scale::Linear(0.0, most * 1.25);
    // Steps, not slopes: a second without a failure is one.
    let points: Vec<(f64, f64)> = rates
        .iter()
        .enumerate()
        .flat_map(|(index, rate)| {
            let x = |index: usize| time.x((index as f64 * width_s * 1e6).min(told::load_us(result) as f64));
            [(x(index), scale.y(*rate)), (x(index + 1), scale.y(*rate))]
        })
        .collect();
    let total = told::failed_beside_limits(result);
    let description = format!(
        "{} failed, at most {} a second, at {}.",
        words::sentence(&words::counted(total, "request", "requests")),
        words::number(most, 0),
        words::clock((peak_at as f64 * width_s * 1e6) as i64)
    );
    let axis = axis(scale, 3, |rate| words::number(rate, 1));
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.f4 fill-opacity=".85" d=(area(&points)) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let peak = share(result, result.load_start_us + (peak_at as f64 * width_s * 1e6) as u64);
    let place = if peak < 0.5 {
        format!("left:calc({:.1}% + 14px)", peak * 100.0)
    } else {
        format!("right:calc({:.1}% + 14px);text-align:right", (1.0 - peak) * 100.0)
    };
    let labels = html! {
        (axis.labels)
        span.in.over style=(format!("{place};top:0")) { b { (words::count(total)) " failed" } ", at most " (words::number(most, 0)) " a second" }
        (time::labels(result))
    };
    html! {
        figure.hero {
            p.keys { span { i.area.c4 {} b { "Requests that failed" } ", a second" } }
            (marks(result))
            (plot("hero", HIGH_PX, "Failures over the run", &description, &picture, &labels))
        }
    }
}
