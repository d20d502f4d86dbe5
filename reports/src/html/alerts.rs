//! The platform's own alerts: who would have been woken, when, and who could not have been.

use maud::{Markup, html};
use record::{AlertResult, AlertVerdict, RunResult};

use crate::alerts::{sentence, sorted, word};
use crate::html::{glance, section};
use crate::{told, words};

/// Width and height of the strip that shows an alert over time.
const STRIP: (f64, f64) = (180.0, 12.0);
/// Label sets that are shown of one alert.
const SHOWN: usize = 4;

/// The section; nothing for a run of a platform without rules.
pub(super) fn alerts(result: &RunResult) -> Markup {
    let Some(rehearsal) = &result.alerts else { return html! {} };
    let body = html! {
        p.say { (sentence(rehearsal)) }
        @if !rehearsal.alerts.is_empty() {
            (glance("Every alert", &html! { table.tight {
                caption { span {
                    "The rules of " (rehearsal.source) ", evaluated every " (words::span(rehearsal.interval_us))
                    " on what the platform's Prometheus would have scraped: "
                    (words::counted(rehearsal.series, "series", "series")) ", "
                    (words::counted(rehearsal.samples, "sample", "samples"))
                    ". Strips span the load: hollow is pending, solid is firing."
                } }
                thead { tr {
                    th scope="col" { "State" }
                    th scope="col" { "Alert" }
                    th scope="col" { "Over the load" }
                    th.n scope="col" { "Must hold" }
                    th.read scope="col" { "What came of it" }
                } }
                tbody { @for alert in sorted(rehearsal) { (row(result, alert)) } }
            } }))
        }
        @for note in &rehearsal.notes { p.note { (note) } }
        p.note {
            "Any other rules: " code { "rehearse alerts DIR --rules FILE" } ". The series are in " code { "series.om.gz" }
            ", which promtool can load into a Prometheus."
        }
    };
    section("alerts", "Alerts", "Who would have been woken, and when?", &body)
}

fn row(result: &RunResult, alert: &AlertResult) -> Markup {
    let class = match alert.verdict {
        AlertVerdict::Fired | AlertVerdict::Blind => "fail",
        AlertVerdict::Pending | AlertVerdict::Unsupported => "undecided",
        AlertVerdict::Unreachable | AlertVerdict::Quiet => "pass",
    };
    html! {
        tr {
            td class=(format!("v {class}")) { span class=(format!("g {class}")) {} (word(alert.verdict)) }
            th scope="row" { (alert.alert) @if !alert.severity.is_empty() { small { (alert.severity) } } }
            td { @if alert.spells.is_empty() { span.mute { "–" } } @else { (strip(result, alert)) } }
            td.n { @if alert.for_us == 0 { "–" } @else { (words::span(alert.for_us)) } }
            td {
                (words::sentence(alert.told.strip_prefix("is ").unwrap_or(&alert.told)))
                @for why in &alert.because { small { (words::sentence(why)) } }
                @let fired = alert.spells.iter().filter(|spell| spell.firing_us.is_some()).count();
                @for spell in alert.spells.iter().filter(|spell| spell.firing_us.is_some()).take(SHOWN) {
                    small {
                        (told::at(result, spell.firing_us.unwrap_or(spell.pending_us))) " "
                        @if spell.summary.is_empty() { code { (spell.labels) } } @else { (spell.summary) }
                    }
                }
                @if fired > SHOWN { small { "and " (words::counted((fired - SHOWN) as u64, "more", "more")) ", all in result.json" } }
            }
        }
    }
}

/// Pending and firing over the load, all label sets on one strip. The table beside it has the figures.
fn strip(result: &RunResult, alert: &AlertResult) -> Markup {
    let (width, height) = STRIP;
    let load = told::load_us(result).max(1) as f64;
    let x = |at: u64| (at.saturating_sub(result.load_start_us) as f64 / load).clamp(0.0, 1.0) * width;
    let bar = |from: u64, until: u64| {
        let (a, b) = (x(from), x(until));
        (format!("{a:.1}"), format!("{:.1}", (b - a).max(1.5)))
    };
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img" aria-label=(format!("{} over the load: {}", alert.alert, alert.told)) {
            line x1="0" x2=(width) y1=(height - 0.5) y2=(height - 0.5) style="stroke:var(--rule2)" {}
            @for spell in &alert.spells {
                @let end = spell.ended_us.unwrap_or(result.load_end_us);
                @let (from, wide) = bar(spell.pending_us, spell.firing_us.unwrap_or(end));
                rect x=(from) y="2.5" width=(wide) height=(height - 5.0) style="fill:none;stroke:var(--data)" {}
                @if let Some(firing) = spell.firing_us {
                    @let (from, wide) = bar(firing, end);
                    rect x=(from) y="2" width=(wide) height=(height - 4.0) style="fill:var(--accent)" {}
                }
            }
        }
    }
}
