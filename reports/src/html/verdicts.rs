//! Which promises held, and by how much.

use maud::{Markup, html};
use record::{Judgement, Measure, NotJudged, RunResult, Verdict};

use crate::html::{glance, section};
use crate::{expectation, sentences, told, words};

/// The limit stands at two thirds of a range bar.
const LIMIT_AT: f64 = 100.0;
const RANGE: f64 = 150.0;

pub(super) fn verdicts(result: &RunResult) -> Markup {
    let mut sorted: Vec<&Verdict> = result.verdicts.iter().collect();
    sorted.sort_by_key(|v| (told::need(v.judgement), !v.gating));
    let body = html! {
        p.say { (sentences::verdicts(result)) }
        @if !sorted.is_empty() {
            table.ver role="table" {
                caption { span { "Bars show the share of the limit that was used: left is better, the line is the limit. Sorted by need for attention." } }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Verdict" }
                    th scope="col" role="columnheader" { "Objective" }
                    th.range scope="col" role="columnheader" { span { "limit" } i.unseen { "Share of the limit used" } }
                    th.m scope="col" role="columnheader" { "Measured" }
                    @for head in ["Limit", "n", "Margin", "Budget"] { th.n scope="col" role="columnheader" { (head) } }
                    th.src scope="col" role="columnheader" { "Source" }
                } }
                @for (group, verdicts) in groups(&sorted) {
                    @if !verdicts.is_empty() {
                        tbody.group role="rowgroup" {
                            @if let Some(group) = group { tr role="row" { th scope="rowgroup" role="rowheader" colspan="9" { (group) } } }
                            @for verdict in verdicts { (verdict_row(verdict)) }
                        }
                    }
                }
            }
            p.note {
                "Under the measured value: its interval. Each end is exact (binomial, order statistics), widened for bursts by the design effect, its upper end by one burst more, and wrong with a chance of "
                (words::percent(1.0 - sorted[0].confidence))
                ". Budget: what failed or took longer than the limit, as a share of what may; above 100 % eats into the rest of the objective’s window. Rejects by a rate limiter do not count."
            }
        }
        @if !result.expectations.is_empty() {
            div.gap { (glance("Expectations", &html! { table.tight {
                caption { span { "What the scenario expects, and what was seen." } }
                thead { tr { th scope="col" { "Expected" } th scope="col" { "Seen" } th scope="col" { "Result" } } }
                tbody { @for expected in &result.expectations { tr {
                    th scope="row" { (expectation::expected(&expected.told)) }
                    td { (expected.seen) }
                    td class=(if expected.held { "v pass" } else { "v fail" }) {
                        span class=(if expected.held { "g pass" } else { "g fail" }) {} (if expected.held { "came true" } else { "DID NOT" })
                    }
                } } }
            } })) }
        }
        @if !result.not_judged.is_empty() { (not_judged(&result.not_judged)) }
    };
    section("verdicts", "Verdicts", "Which promises held, and by how much?", &body)
}

/// Promises that this run says nothing about: none is dropped in silence.
fn not_judged(all: &[NotJudged]) -> Markup {
    let count = words::counted(all.len() as u64, "documented objective", "documented objectives");
    html! {
        details {
            summary { (count) " not judged by this run, and why" }
            (glance("Not judged", &html! { table.tight {
                caption { span { "Documented objectives that this scenario cannot try." } }
                thead { tr { th scope="col" { "Objective" } th scope="col" { "Figure" } th scope="col" { "Why not" } th scope="col" { "Source" } } }
                tbody { @for one in all { tr {
                    th scope="row" { (one.title) }
                    td { (one.figure) }
                    td { (words::sentence(&one.why)) }
                    td.src { (one.source.replace('/', "/\u{200b}")) }
                } } }
            } }))
        }
    }
}

/// Those that need attention first, without a name; then those that hold, by whether they decide.
fn groups<'a>(sorted: &[&'a Verdict]) -> [(Option<&'static str>, Vec<&'a Verdict>); 3] {
    let all = |keep: &dyn Fn(&Verdict) -> bool| sorted.iter().copied().filter(|v| keep(v)).collect::<Vec<_>>();
    let holds = |v: &Verdict| v.judgement == Judgement::Pass;
    [
        (None, all(&|v| !holds(v))),
        (Some("Objectives that decide and hold"), all(&|v| holds(v) && v.gating)),
        (Some("Objectives that are shown and hold"), all(&|v| holds(v) && !v.gating)),
    ]
}

pub(super) fn class(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Fail => "fail",
        Judgement::Undecided => "undecided",
        Judgement::Pass => "pass",
    }
}

fn verdict_row(v: &Verdict) -> Markup {
    let measured = v.measured.map_or_else(|| "–".to_owned(), |measured| told::value(v, measured));
    let window = match (&v.window, v.judged_us) {
        (_, 0) => "never judged in this run".to_owned(),
        (Some(window), judged) => format!("{} judged over {}", words::window(window), words::span(judged)),
        (None, judged) => format!("judged over {}", words::span(judged)),
    };
    let more =
        v.more_needed.map(|more| format!("about {} settle it", words::counted(more, "more request", "more requests")));
    let broken = if v.judgement == Judgement::Fail { "n over" } else { "n" };
    html! {
        tr role="row" {
            td role="cell" class=(format!("v {}", class(v.judgement))) { span class=(format!("g {}", class(v.judgement))) {} (told::judgement(v.judgement)) }
            th scope="row" role="rowheader" {
                (v.title)
                small { (window) @if !v.gating { "; does not decide" } }
                @if let Some(more) = more { small { (more) } }
            }
            td.range role="cell" { (range(v)) }
            td.m role="cell" { b { (measured) } small { (told::interval(v).unwrap_or_else(|| no_interval(v).into())) } }
            td.n role="cell" data-l="limit" { (if v.unit == "ms" { "<\u{a0}" } else { "≤\u{a0}" }) (told::value(v, v.limit)) }
            td.n role="cell" data-l="n" { (told::sample(v)) }
            td class=(broken) role="cell" data-l="margin" { (told::margin(v).map_or_else(|| "–".into(), words::signed_percent)) }
            td class=(broken) role="cell" data-l="budget" {
                @if v.n == 0 { "–" } @else {
                    (told::budget(v).map_or_else(|| "–".into(), words::percent))
                    small.wide { (words::count(v.beyond)) " of " (words::count(libm::floor(v.allowed * v.n as f64) as u64)) }
                }
            }
            td.src role="cell" { (v.source.replace('/', "/\u{200b}")) } // may break after a slash
        }
    }
}

fn no_interval(v: &Verdict) -> &'static str {
    match (v.measure, v.measured) {
        (_, None) => "no sample",
        (Measure::Down | Measure::Recovery | Measure::Count, Some(_)) => "all of it was seen",
        _ => "too few for an interval",
    }
}

fn range(v: &Verdict) -> Markup {
    let x = |value: f64| (value / v.limit.max(f64::MIN_POSITIVE) * LIMIT_AT).clamp(0.0, RANGE);
    let (fill, line) = if v.judgement == Judgement::Fail { ("f4", "l heavy limit") } else { ("f2", "l heavy") };
    let label = match (v.measured, v.interval) {
        (Some(m), Some((low, high))) => format!(
            "{} of the limit used, interval {} to {}",
            words::percent(m / v.limit),
            words::percent(low / v.limit),
            words::percent(high / v.limit)
        ),
        (Some(m), None) => format!("{} of the limit used", words::percent(m / v.limit)),
        _ => "nothing measured".into(),
    };
    html! {
        svg viewBox="0 0 150 18" preserveAspectRatio="none" role="img" aria-label=(label) {
            path.l.grid d="M0 9H150" {}
            @if let Some((low, high)) = v.interval {
                @let (from, to) = (x(low), x(high));
                @if v.judgement == Judgement::Undecided {
                    rect.l.dashes x=(format!("{from:.1}")) y="5.5" width=(format!("{:.1}", (to - from).max(1.0))) height="7" {}
                } @else {
                    rect class=(fill) fill-opacity=".5" x=(format!("{from:.1}")) y="5.5" width=(format!("{:.1}", (to - from).max(1.0))) height="7" {}
                }
            }
            @if let Some(measured) = v.measured { path class=(line) d=(format!("M{:.1} 2V16", x(measured))) {} }
        }
    }
}
