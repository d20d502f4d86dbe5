//! What happened, in what order: panels on one time axis, with phases and events as marks.

use std::fmt::Write;

use maud::{Markup, html};
use record::{Cause, RunResult, Window, WorkloadSeries};

use crate::html::latency::{heatmap, key_labels, keys_above, time, time_labels};
use crate::html::marks::{Mark, letter, places};
use crate::html::plot::{HIGH, Scale, WIDE, area, axis, bar, line, plot};
use crate::html::{glance, section};
use crate::{sentences, told, words};

/// More columns than this cannot be told apart.
const COLUMNS: usize = 200;
/// Rows of the table twin.
const TABLE_ROWS: usize = 40;
/// Workloads that get a panel of their own.
const PANELS: usize = 6;
/// Marks of events that are named: those of the greatest changes. The table of decisions has them all.
const MARKS: usize = 36;
const ROW_PX: usize = 17;

pub(super) fn timeline(result: &RunResult) -> Markup {
    let body = html! {
        p.say { (sentences::timeline(result)) }
        @if !told::under_load(result).is_empty() {
            (panels(result))
            (table(result))
        }
    };
    section("timeline", "Timeline", "What happened, in what order?", &body)
}

fn panels(result: &RunResult) -> Markup {
    let time = time(result);
    let share = |at_us: u64| time.share(told::since_load(result, at_us) as f64);
    let marks = marks(result);
    let places = places(&marks);
    let rows = places.iter().filter_map(|(word, _)| word.map(|w| w.row + 1)).max().unwrap_or(0);
    let rows = rows.max(places.iter().filter_map(|(_, letter)| letter.map(|row| row + 1)).max().unwrap_or(0));
    let letters: Vec<String> = {
        let mut next = 0;
        let mut name = |mark: &Mark| {
            if mark.phase {
                return String::new();
            }
            next += 1;
            letter(next - 1)
        };
        marks.iter().map(&mut name).collect()
    };
    let autoscaled: Vec<&WorkloadSeries> = result.workloads.iter().filter(|w| w.bounds.is_some()).collect();
    html! {
        figure.tl aria-label="Timeline of the run, its charts on one time axis" {
            div.bands aria-hidden="true" {
                @for phase in result.phases.iter().filter(|phase| phase.start_us < result.load_end_us) {
                    @let (from, to) = (share(phase.start_us) * 100.0, share(phase.end_us) * 100.0);
                    @match phase.kind {
                        record::PhaseKind::Steady => {},
                        record::PhaseKind::Probe => i.probe style=(format!("left:{from:.2}%;width:{:.2}%", to - from)) {},
                        _ => i style=(format!("left:{from:.2}%;width:{:.2}%", to - from)) {},
                    }
                }
                @for (mark, (word, _)) in marks.iter().zip(&places).filter(|(_, (word, letter))| word.is_some() || letter.is_some()) {
                    @let top = word.map_or(rows * ROW_PX, |w| w.row * ROW_PX);
                    u style=(format!("left:{:.2}%;top:{top}px", mark.at * 100.0)) {}
                }
            }
            div.strip aria-hidden="true" style=(format!("height:{}px", rows * ROW_PX + 6)) {
                @for ((mark, (word, small)), letter) in marks.iter().zip(&places).zip(&letters) {
                    @let left = mark.at * 100.0;
                    @if let Some(word) = word {
                        span class=(class_of(mark.phase, word.ends)) style=(format!("left:{left:.2}%;top:{}px", word.row * ROW_PX)) {
                            span.t { (mark.text) }
                        }
                    }
                    @if let Some(row) = small {
                        span.mark style=(format!("left:{left:.2}%;top:{}px", row * ROW_PX)) { span.l { (letter) } }
                    }
                }
            }
            div.row { (requests(result)) }
            div.row { (heatmap(result)) }
            div.row { (failures(result)) }
            @for (index, workload) in autoscaled.iter().take(PANELS).enumerate() {
                div.row { (replicas(result, workload, index)) }
            }
            div.strip aria-hidden="true" { (time_labels(result)) }
        }
        ol.marks {
            @for (mark, letter) in marks.iter().zip(&letters) {
                li { b { (letter) } (words::clock((mark.at * told::load_us(result) as f64) as i64)) " " (mark.text) @if mark.phase { " begins" } }
            }
        }
        @if autoscaled.len() > PANELS {
            p.note { (words::some(autoscaled.len() - PANELS, "more autoscaled workload", "more autoscaled workloads")) " not drawn." }
        }
        p.note { "Time counts from the start of load. Warm-up and ramp-down are tinted: shown, not judged. Latency counts from the instant a request was due, so a late driver cannot hide it, and a request belongs to the window it was due in." }
    }
}

fn class_of(phase: bool, ends: bool) -> &'static str {
    match (phase, ends) {
        (true, false) => "mark phase",
        (true, true) => "mark phase end",
        (false, false) => "mark",
        (false, true) => "mark end",
    }
}

/// Phases and what autoscalers changed, in order of time.
fn marks(result: &RunResult) -> Vec<Mark> {
    let time = time(result);
    let at = |at_us: u64| time.share(told::since_load(result, at_us) as f64);
    let inside = |at_us: u64| at_us >= result.load_start_us && at_us < result.load_end_us;
    let phases = result.phases.iter().filter(|p| inside(p.start_us));
    let mut all: Vec<(u64, Mark)> =
        phases.map(|p| (p.start_us, Mark { at: at(p.start_us), text: p.name.clone(), phase: true })).collect();
    let mut changes = told::changes(result);
    let many = changes.iter().any(|c| c.decision.workload != changes[0].decision.workload);
    let whose = |workload: &str| if many { format!("{workload}: ") } else { String::new() };
    changes.sort_by_key(|change| std::cmp::Reverse(change.decision.desired.abs_diff(change.decision.current)));
    changes.truncate(MARKS / 2);
    for change in changes {
        let d = change.decision;
        let mut note = |at_us: u64, text: String| all.push((at_us, Mark { at: at(at_us), text, phase: false }));
        if inside(change.at_us) {
            note(change.at_us, format!("{}asks for {}", whose(&d.workload), d.desired));
        }
        if let Some(ready) = change.ready_us.filter(|ready| inside(*ready)) {
            note(ready, format!("{}{} ready", whose(&d.workload), d.desired));
        }
    }
    all.sort_by_key(|(at_us, mark)| (*at_us, !mark.phase));
    all.into_iter().map(|(_, mark)| mark).collect()
}

/// Windows merged to at most `at_most`, each with its middle and its length in microseconds.
fn merged(result: &RunResult, at_most: usize) -> Vec<(f64, f64, Window)> {
    let windows = told::under_load(result);
    let per = windows.len().div_ceil(at_most).max(1);
    let width = result.timeline.width_us as f64;
    let load = told::load_us(result) as f64;
    let merge = |(index, chunk): (usize, &[Window])| {
        let mut sum = Window::default();
        for window in chunk {
            sum.offered += window.offered;
            sum.succeeded += window.succeeded;
            sum.max_us = sum.max_us.max(window.max_us);
            sum.p95_us = sum.p95_us.max(window.p95_us);
            for (cause, n) in &window.failed {
                *sum.failed.entry(*cause).or_default() += n;
            }
        }
        let from = (index * per) as f64 * width;
        let long = (chunk.len() as f64 * width).min((load - from).max(1.0));
        (from + long / 2.0, long, sum)
    };
    windows.chunks(per).enumerate().map(merge).collect()
}

fn requests(result: &RunResult) -> Markup {
    let time = time(result);
    let windows = merged(result, 2 * COLUMNS);
    let rate = |n: u64, long: f64| n as f64 * 1e6 / long;
    let most = windows.iter().map(|(_, long, w)| rate(w.offered, *long)).fold(1.0, f64::max);
    let scale = Scale::Linear(0.0, most * 1.08);
    let points = |value: &dyn Fn(&Window) -> u64| -> Vec<(f64, f64)> {
        windows.iter().map(|(at, long, w)| (time.x(*at), scale.y(rate(value(w), *long)))).collect()
    };
    let (offered, succeeded) = (points(&|w| w.offered), points(&|w| w.succeeded));
    let (due, ok) = told::totals(result);
    let description = format!(
        "{} were due, at most {} a second; {} succeeded.",
        words::sentence(&words::counted(due, "request", "requests")),
        words::number(most, 0),
        words::count(ok)
    );
    let axis = axis(scale, 4, |rate| words::number(rate, 1));
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.f3 d=(area(&succeeded)) {}
        path.l.thin d=(line(offered.iter().copied().map(Some))) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let end = |points: &[(f64, f64)], extra: f64| points.last().map_or(50.0, |p| p.1 / HIGH * 100.0 + extra);
    let keys = [
        (end(&offered, -8.0), "thin", "offered".to_owned()),
        (end(&succeeded, 10.0), "area c3", "succeeded".to_owned()),
    ];
    let labels = html! { (axis.labels) (key_labels(&keys, 92)) };
    html! {
        h3 { "Requests " span { "a second" } }
        (keys_above(&keys))
        (plot("requests", 92, "Requests over time", &description, &picture, &labels))
    }
}

/// How failures are drawn: provoked rejects hatched, the rest by frequency.
fn fill(cause: Cause, rank: usize) -> (&'static str, &'static str) {
    const FILLS: [(&str, &str); 5] =
        [("f4", "area c4"), ("f0", "area c0"), ("f2", "area c2"), ("f1", "area c1"), ("f6", "area c6")];
    if cause == Cause::Limited { ("hatch", "area c5") } else { FILLS[rank.min(FILLS.len() - 1)] }
}

fn failures(result: &RunResult) -> Markup {
    let totals = told::failures(result);
    if totals.is_empty() {
        return html! { h3 { "Failures " span { "by cause: there was none" } } };
    }
    let time = time(result);
    let windows = merged(result, COLUMNS);
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
    let keys: Vec<(f64, &str, String)> = totals
        .iter()
        .zip(&styles)
        .enumerate()
        .map(|(index, ((cause, n), style))| {
            (10.0 + 22.0 * index as f64, style.1, format!("{} {}", words::count(*n), cause.label()))
        })
        .collect();
    let axis = axis(scale, 2, |rate| words::number(rate, 2));
    let description =
        format!("Failures: {}; at most {} a second.", told::failures_in_words(&totals), words::number(most, 1));
    let picture = html! {
        defs {
            pattern id="hatch" width="16" height="90" patternUnits="userSpaceOnUse" patternTransform="skewX(-14)" {
                rect.f1 width="6" height="90" {}
            }
        }
        path.l.grid d=(axis.lines) {}
        @for (path, style) in paths.iter().zip(&styles) {
            @if style.0 == "hatch" { path fill="url(#hatch)" d=(path) {} } @else { path class=(style.0) d=(path) {} }
        }
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
    };
    let labels = html! { (axis.labels) (key_labels(&keys, 72)) };
    html! {
        h3 { "Failures by cause " span { "a second" } }
        (keys_above(&keys))
        (plot("failures", 72, "Failures over time", &description, &picture, &labels))
    }
}

fn replicas(result: &RunResult, workload: &WorkloadSeries, index: usize) -> Markup {
    let time = time(result);
    let most = workload.points.iter().map(|p| p.desired.max(p.ready)).max().unwrap_or(0);
    let ceiling = most.max(workload.bounds.map_or(0, |(_, max)| max));
    let scale = Scale::Linear(0.0, f64::from(ceiling.max(1)) * 1.08);
    let steps = |value: &dyn Fn(&record::WorkloadPoint) -> u32| {
        let mut path = String::new();
        for point in &workload.points {
            let (x, y) = (time.x(told::since_load(result, point.at_us) as f64), scale.y(f64::from(value(point))));
            let y = libm::round(y);
            if path.is_empty() {
                write!(path, "M0 {y}").expect("writing to a string");
            }
            write!(path, "H{x:.0}V{y}").expect("writing to a string");
        }
        write!(path, "H{WIDE}").expect("writing to a string");
        path
    };
    let bounds = workload.bounds.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
    let last = workload.points.last();
    let readies = workload.points.iter().map(|p| p.ready);
    let description = match (readies.clone().min(), readies.max(), last) {
        (Some(least), Some(most), Some(last)) => format!(
            "Between {least} and {most} replicas were ready; at the end {} were wanted and {} ready.",
            last.desired, last.ready
        ),
        _ => "Its replicas never changed.".into(),
    };
    let axis = axis(scale, 4, |n| words::number(n, 0));
    let keys: Vec<(f64, &str, String)> = last.map_or_else(Vec::new, |last| {
        vec![
            (scale.top(f64::from(last.desired)), "dashes", "desired".into()),
            (scale.top(f64::from(last.ready)) + 1.0, "heavy", "ready".into()),
        ]
    });
    let picture = html! {
        path.l.grid d=(axis.lines) {}
        path.l.axis d=(format!("M0 {HIGH}H{WIDE}")) {}
        @if !workload.points.is_empty() {
            path.l.heavy d=(steps(&|p| p.ready)) {}
            path.l.dashes d=(steps(&|p| p.desired)) {}
        }
    };
    let labels = html! { (axis.labels) (key_labels(&keys, 84)) };
    html! {
        h3 { "Replicas " span { "of " (workload.workload) (bounds) } }
        (keys_above(&keys))
        (plot(&format!("replicas-{index}"), 84, &format!("Replicas of {}", workload.workload), &description, &picture, &labels))
    }
}

fn table(result: &RunResult) -> Markup {
    let rows = merged(result, TABLE_ROWS);
    let long = rows.first().map_or(0, |(_, long, _)| *long as u64);
    html! {
        details {
            summary { "The same as a table, every " (words::span(long)) }
            (glance("The run over time", &html! {
                table.tight {
                    caption { span { "p95 is that of the highest window of each row." } }
                    thead { tr { th scope="col" { "From" } @for head in ["Offered", "Succeeded", "Failed", "p95, ms", "max, ms"] { th.n scope="col" { (head) } } } }
                    tbody {
                        @for (middle, long, window) in &rows {
                            tr {
                                th scope="row" { (words::clock((middle - long / 2.0) as i64)) }
                                td.n { (words::count(window.offered)) }
                                td.n { (words::count(window.succeeded)) }
                                td.n { (words::count(window.failed.values().sum())) }
                                td.n { (words::bare_ms(window.p95_us as f64)) }
                                td.n { (words::bare_ms(window.max_us as f64)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}
