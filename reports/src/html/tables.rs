//! Verdicts, where time goes, and endpoints: tables with a drawn column.

use maud::{Markup, html};
use record::{Cause, Judgement, RunResult, StepResult, TimeSplit, Verdict};

use crate::html::{glance, section};
use crate::{sentences, told, words};

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
                    @for head in ["Limit", "n", "Beyond", "Margin"] { th.n scope="col" role="columnheader" { (head) } }
                    th.src scope="col" role="columnheader" { "Source" }
                } }
                tbody role="rowgroup" { @for verdict in &sorted { (verdict_row(verdict)) } }
            }
            p.note {
                "Under the measured value: its interval. Each end is exact (binomial, order statistics), widened for bursts by the design effect, and wrong with a chance of "
                (words::percent(1.0 - sorted[0].confidence))
                ". Beyond: requests that failed or took longer than the limit; rejects by a rate limiter do not count."
            }
            @for verdict in sorted.iter().filter(|v| v.note.is_some()) {
                p.note { b { (verdict.title) ": " } (verdict.note.as_deref().unwrap_or_default()) }
            }
        }
        @if !result.expectations.is_empty() {
            div.gap { (glance("Expectations", &html! { table.tight {
                caption { span { "What the scenario expects, and what was seen." } }
                thead { tr { th scope="col" { "Expected" } th scope="col" { "Seen" } th scope="col" { "Result" } } }
                tbody { @for expected in &result.expectations { tr {
                    th scope="row" { (expected.told) }
                    td { (expected.seen) }
                    td class=(if expected.held { "v pass" } else { "v fail" }) {
                        span class=(if expected.held { "g pass" } else { "g fail" }) {} (if expected.held { "came true" } else { "DID NOT" })
                    }
                } } }
            } })) }
        }
    };
    section("verdicts", "Verdicts", "Which promises held, and by how much?", &body)
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
            td.m role="cell" { b { (measured) } small { (told::interval(v).unwrap_or_else(|| if v.n == 0 { "no sample" } else { "too few for an interval" }.into())) } }
            td.n role="cell" data-l="limit" { (if v.unit == "ms" { "<\u{a0}" } else { "≤\u{a0}" }) (told::value(v, v.limit)) }
            td.n role="cell" data-l="n" { (words::count(v.n)) }
            td class=(broken) role="cell" data-l="beyond" {
                @if v.n == 0 { "–" } @else { (words::percent(v.beyond as f64 / v.n as f64)) small.wide { "of " (words::percent(v.allowed)) } }
            }
            td class=(broken) role="cell" data-l="margin" { (told::margin(v).map_or_else(|| "–".into(), signed)) }
            td.src role="cell" { (v.source.replace('/', "/\u{200b}")) } // may break after a slash
        }
    }
}

fn signed(share: f64) -> String {
    let text = words::number(share * 100.0, usize::from(share.abs() < 0.1));
    if share > 0.0 { format!("+{text}\u{a0}%") } else { format!("{text}\u{a0}%") }
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

const FILLS: [(&str, &str); 6] = [("f4", "c4"), ("f1", "c1"), ("f2", "c2"), ("f6", "c6"), ("f3", "c3"), ("f0", "c0")];

pub(super) fn splits(result: &RunResult) -> Markup {
    let most = result.time_splits.iter().map(|s| s.response_us).max().unwrap_or(0);
    let limit = told::limit_us(result);
    let scale = most.max(1) as f64;
    let line =
        limit.filter(|limit| *limit as f64 <= scale).map(|limit| format!("--lim:{:.1}%", limit as f64 / scale * 100.0));
    let mut last = "";
    let mut named = |split: &TimeSplit| {
        let known = result.time_splits.iter().find(|other| other.step == split.step).map_or("", |s| s.step.as_str());
        let first = known != last;
        last = known;
        first
    };
    let body = html! {
        p.say { (sentences::slowest(result)) }
        @if !result.time_splits.is_empty() {
            (glance("Where time goes", &html! {
                table.tight {
                    caption { span { "Requests around p95 of each step and phase, ms on average, taken apart by the services’ own clocks; the parts add up." @if let (Some(_), Some(limit)) = (&line, limit) { " The line is the limit of " (words::ms(limit)) "." } } }
                    thead { tr {
                        th scope="col" { "Step" } th scope="col" { "Phase" } th.n scope="col" { "around p95" } th.bar scope="col" { span.unseen { "drawn" } }
                        @for ((part, _), (_, colour)) in told::parts(&result.time_splits[0]).iter().zip(FILLS) { th.n scope="col" { span class=(format!("sw {colour}")) {} (part) } }
                    } }
                    tbody { @for split in &result.time_splits {
                        @let over = limit.is_some_and(|limit| split.response_us > limit);
                        @let largest = told::parts(split).into_iter().map(|(_, us)| us).max().unwrap_or(0);
                        tr {
                            th scope="row" class=(if named(split) { "" } else { "mute" }) { (split.step) }
                            td.mute.nw { (split.phase) }
                            td class=(if over { "n over" } else { "n" }) { b { (words::bare_ms(split.response_us as f64)) } }
                            td.bar style=[line.as_deref()] { (split_bar(split, scale)) }
                            @for (_, us) in told::parts(split) { td class=(if over && us == largest { "n over" } else { "n" }) { (words::bare_ms(us as f64)) } }
                        }
                    } }
                }
            }))
        }
    };
    section("time", "Where time goes", "What is a slow request made of?", &body)
}

fn split_bar(split: &TimeSplit, scale: f64) -> Markup {
    let mut next = 0.0;
    let place = |((_, us), (fill, _)): ((&str, u64), (&'static str, &str))| {
        let (from, width) = (next, us as f64 / scale * 1_000.0);
        next += width;
        (fill, from, width)
    };
    let parts: Vec<(&str, f64, f64)> = told::parts(split).into_iter().zip(FILLS).map(place).collect();
    html! {
        svg viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true" {
            @for (fill, from, width) in parts.into_iter().filter(|(_, _, width)| *width >= 0.5) {
                rect class=(fill) x=(format!("{from:.1}")) y="2" width=(format!("{width:.1}")) height="10" {}
            }
        }
    }
}

pub(super) fn endpoints(result: &RunResult) -> Markup {
    let limit = told::limit_us(result);
    let judged_flow = told::drawn(result);
    let over: Vec<&StepResult> =
        result.steps.iter().filter(|s| limit.is_some_and(|limit| s.response.p95_us > limit)).collect();
    let say = match (result.steps.len(), over.as_slice(), judged_flow) {
        (0, ..) => "No endpoint had a request.".to_owned(),
        (_, _, None) => format!(
            "{} of endpoint and phase had requests.",
            words::sentence(&words::some(result.steps.len(), "pair", "pairs"))
        ),
        (_, [], Some(v)) => format!("No endpoint had a p95 above {} in any phase.", told::value(v, v.limit)),
        (_, [only], Some(v)) => {
            format!("Only {} in phase {} had a p95 above {}.", only.request, only.phase, told::value(v, v.limit))
        }
        (all, some, Some(v)) => format!(
            "{} of {} pairs of endpoint and phase had a p95 above {}.",
            words::sentence(&words::spelled(some.len())),
            words::spelled(all),
            told::value(v, v.limit)
        ),
    };
    let seconds = |phase: &str| {
        result
            .phases
            .iter()
            .find(|p| p.name == phase)
            .map_or(0.0, |p| p.end_us.min(result.load_end_us).saturating_sub(p.start_us) as f64 / 1e6)
    };
    let figure =
        |us: u64, s: &StepResult| if s.response.max_us == 0 { "–".to_owned() } else { words::bare_ms(us as f64) };
    let body = html! {
        p.say { (say) }
        @if !result.steps.is_empty() {
            (glance("Endpoints by phase", &html! {
                table.tight data-sort {
                    caption { span { "Response in ms of the requests that succeeded, from the instant they were due. Service: p95 from the instant they were sent. Failed without rejects by a rate limiter, which stand beside." } }
                    thead { tr {
                        th scope="col" { "Endpoint" } th scope="col" { "Phase" }
                        @for head in ["n", "Req/s", "Failed", "Limited", "p50", "p90", "p95", "p99", "max", "Service p95"] { th.n scope="col" { (head) } }
                    } }
                    tbody { @for s in &result.steps {
                        @let limited = s.failed.get(&Cause::Limited).copied().unwrap_or(0);
                        @let failed: u64 = s.failed.values().sum::<u64>() - limited;
                        @let rate = s.n as f64 / seconds(&s.phase).max(1e-9);
                        tr {
                            th.nw scope="row" { span.mono { (s.request) } }
                            td.nw { (s.phase) }
                            td.n data-v=(s.n) { (words::count(s.n)) }
                            td.n data-v=(format!("{rate:.3}")) { @if seconds(&s.phase) > 0.0 { (words::number(rate, 1)) } @else { "–" } }
                            td.n data-v=(failed) { @if failed == 0 { "–" } @else { (words::count(failed)) } }
                            td.n data-v=(limited) { @if limited == 0 { "–" } @else { (words::count(limited)) } }
                            @for (us, bold) in [(s.response.p50_us, false), (s.response.p90_us, false), (s.response.p95_us, true), (s.response.p99_us, false), (s.response.max_us, false)] {
                                td class=(if limit.is_some_and(|limit| us > limit) { "n over" } else { "n" }) data-v=(us) { @if bold { b { (figure(us, s)) } } @else { (figure(us, s)) } }
                            }
                            td.n.mute data-v=(s.service.p95_us) { (figure(s.service.p95_us, s)) }
                        }
                    } }
                }
            }))
        }
    };
    section("endpoints", "Endpoints", "Where, and in which phase?", &body)
}
