//! What happened, in what order: panels on one time axis, with phases, faults and events as marks.
//!
//! Everything is placed by its share of the load, `--t`, `--a` or `--b`; the script zooms by changing `--t0` and
//! `--span`, and the pictures by their `viewBox`. Without it the whole run is there.

mod burn;
mod failures;
mod heat;
mod missing;
mod replicas;
mod requests;
mod series;
mod strip;
mod table;

use maud::{Markup, PreEscaped, html};
use record::{PhaseKind, RunResult, WorkloadSeries};

use crate::html::section;
use crate::html::time::{self, share};
use crate::{sentences, told, words};

/// Workloads that get a panel of their own.
const PANELS: usize = 6;
/// Phases and faults that get a button.
const BUTTONS: usize = 9;

pub(super) fn timeline(result: &RunResult) -> Markup {
    let body = html! {
        p.say { (sentences::timeline(result)) }
        @if !told::under_load(result).is_empty() {
            (controls(result))
            (panels(result))
            (table::table(result))
        }
    };
    section("timeline", "Timeline", "What happened, in what order?", &body)
}

/// Zoom and reading off: hidden until a script can do it.
fn controls(result: &RunResult) -> Markup {
    let windows = told::under_load(result).len();
    let phases = result.phases.iter().filter(|phase| phase.start_us < result.load_end_us);
    let mut spans: Vec<(String, f64, f64)> =
        phases.map(|p| (p.name.clone(), share(result, p.start_us), share(result, p.end_us))).collect();
    spans.extend(result.faults.iter().map(|fault| {
        let around = told::load_us(result) / 50;
        let end = told::over(fault).unwrap_or(fault.until_us) + around;
        (fault.fault.clone(), share(result, fault.began_us.saturating_sub(around)), share(result, end))
    }));
    spans.retain(|(_, a, b)| b > a);
    html! {
        div.ctl hidden {
            span role="group" aria-label="Part of the run that is shown" {
                "Show "
                button type="button" data-a="0" data-b="1" aria-pressed="true" { "whole run" }
                @for (name, a, b) in spans.into_iter().take(BUTTONS) {
                    " " button type="button" data-a=(format!("{a:.5}")) data-b=(format!("{b:.5}")) aria-pressed="false" { (name) }
                }
            }
            label { "Read at " input type="range" min="0" max=(windows.saturating_sub(1)) step="1" value="0"; }
            output.now { "–" }
        }
    }
}

fn panels(result: &RunResult) -> Markup {
    let marks = strip::Strip::of(result);
    let drawn = drawn(result);
    let quiet = result.workloads.iter().filter(|w| w.bounds.is_some()).count() - drawn.len();
    html! {
        figure.tl aria-label="Timeline of the run, its charts on one time axis" {
            (bands(result, &marks))
            (marks.markup())
            div.row { (requests::requests(result)) }
            div.row { (heat::heatmap(result)) }
            div.row { (failures::failures(result)) }
            @if told::pods_missing(result) { div.row { (missing::missing(result)) } }
            @for (index, workload) in drawn.iter().enumerate() {
                div.row { (replicas::replicas(result, workload, index)) }
            }
            @if let Some(burn) = burn::burn(result) { div.row { (burn) } }
            div.strip.xs aria-hidden="true" { (time::labels(result)) }
        }
        (marks.list(result))
        p.note {
            @if quiet > 0 { (words::sentence(&words::some(quiet, "other autoscaled workload", "other autoscaled workloads"))) " kept " (if quiet == 1 { "its" } else { "their" }) " replicas. " }
            "Time counts from the start of load. Warm-up and ramp-down are tinted: shown, not judged. Latency counts from the instant a request was due, so a late driver cannot hide it, and a request belongs to the window it was due in."
        }
        script type="application/json" id="series" { (PreEscaped(series::json(result, &drawn))) }
    }
}

/// Autoscaled workloads whose replicas changed or fell short under load, the shortest first.
fn drawn(result: &RunResult) -> Vec<&WorkloadSeries> {
    let short = |w: &WorkloadSeries| {
        result.scalings.iter().find(|s| s.workload == w.workload).map_or(0, |scaling| scaling.unserved_milli.max(1))
    };
    let moved = |w: &WorkloadSeries| {
        w.points.iter().any(|point| point.at_us > result.load_start_us && point.at_us < result.load_end_us)
    };
    let mut all: Vec<&WorkloadSeries> =
        result.workloads.iter().filter(|w| w.bounds.is_some() && (short(w) > 0 || moved(w))).collect();
    all.sort_by_key(|w| std::cmp::Reverse(short(w)));
    all.truncate(PANELS);
    all
}

/// Phases that are not judged, faults while they last, and a line down from each mark.
fn bands(result: &RunResult, strip: &strip::Strip) -> Markup {
    let place = |from: u64, to: u64| format!("--a:{:.5};--b:{:.5}", share(result, from), share(result, to));
    html! {
        div.bands aria-hidden="true" {
            @for phase in result.phases.iter().filter(|phase| phase.start_us < result.load_end_us) {
                @match phase.kind {
                    PhaseKind::Steady => {},
                    PhaseKind::Probe => i.probe style=(place(phase.start_us, phase.end_us)) {},
                    _ => i style=(place(phase.start_us, phase.end_us)) {},
                }
            }
            @for fault in &result.faults {
                @if let Some(over) = told::over(fault) { i.fault style=(place(fault.began_us, over)) {} }
            }
            (strip.lines())
        }
    }
}
