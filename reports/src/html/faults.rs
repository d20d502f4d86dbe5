//! One card for each fault: noticed, failed over, recovered; what it cost.

use maud::{Markup, html};
use record::{Cause, FaultResult, RunResult};

use crate::html::section;
use crate::{told, words};

/// Lost requests that are drawn one by one.
const TICKS: usize = 300;

/// Nothing for a run without faults.
pub(super) fn faults(result: &RunResult) -> Markup {
    if result.faults.is_empty() {
        return html! {};
    }
    let body = html! {
        p.say { (sentence(result)) }
        @for (index, fault) in result.faults.iter().enumerate() { (card(result, fault, index)) }
        p.note {
            "Noticed: the first thing that the platform did about it. Failed over: the last request that it cost, before ten seconds with no more failures than there were without any fault. Recovered: as many pods ready as are wanted. Rejects by a rate limiter are none of its losses."
        }
    };
    section("faults", if result.faults.len() == 1 { "The fault" } else { "Faults" }, "Would users have noticed?", &body)
}

fn sentence(result: &RunResult) -> String {
    let lost = |fault: &FaultResult| fault.lost.values().sum::<u64>();
    let all: u64 = result.faults.iter().map(lost).sum();
    let still = result.faults.iter().find(|fault| fault.still_failing);
    let late: u64 = result.faults.iter().map(|fault| fault.over_limit_us).sum();
    match (result.faults.as_slice(), all, still) {
        (_, _, Some(fault)) => format!(
            "Yes: requests still failed when the {} was over; {} had been lost to “{}” by then.",
            if result.faults.len() == 1 { "load" } else { "time to look at it" },
            words::counted(lost(fault), "request", "requests"),
            fault.fault
        ),
        (_, 0, _) if late > 0 => {
            format!(
                "They would have waited: no request was lost, and p95 was over the limit for {}.",
                words::span(late)
            )
        }
        ([_], 0, _) => "No: it cost no request.".into(),
        (_, 0, _) => "No: none of them cost a request.".into(),
        ([fault], all, _) => {
            let of = words::percent(all as f64 / fault.due.max(1) as f64);
            let last = fault.failed_over_us.map_or(0, |at| at.saturating_sub(fault.began_us));
            if last == 0 {
                format!("Yes: {} were lost.", words::counted(all, "request", "requests"))
            } else {
                format!(
                    "Yes: {} were lost within {}, {of} of those that were due then.",
                    words::counted(all, "request", "requests"),
                    words::span(last.max(1_000_000))
                )
            }
        }
        (some, all, _) => format!(
            "Yes: {} were lost to {} of {} faults.",
            words::counted(all, "request", "requests"),
            words::spelled(some.iter().filter(|fault| lost(fault) > 0).count()),
            words::spelled(some.len())
        ),
    }
}

fn card(result: &RunResult, fault: &FaultResult, index: usize) -> Markup {
    let since = |at: Option<u64>| at.map(|at| words::span(at.saturating_sub(fault.began_us)));
    let lost: u64 = fault.lost.values().sum();
    let none = || "–".to_owned();
    let fail_over = match (lost, fault.still_failing) {
        (0, _) => "0\u{a0}s".to_owned(),
        (_, true) => "never".into(),
        _ => since(fault.failed_over_us).unwrap_or_else(none),
    };
    let recover = match (fault.pods_missing, fault.recovered_us) {
        (0, _) => "0\u{a0}s".to_owned(),
        (_, None) => "not yet".into(),
        (_, recovered) => since(recovered).unwrap_or_else(none),
    };
    html! {
        article.fault aria-labelledby=(format!("fault-{index}")) {
            h3 id=(format!("fault-{index}")) { (fault.fault) span { " at " (told::at(result, fault.began_us)) ": " (fault.what) } }
            dl.fig {
                div { dt { "to notice" } dd { (since(fault.detected_us).unwrap_or_else(|| "never".into())) } }
                div { dt { "to fail over" } dd class=(if fault.still_failing { "over" } else { "" }) { (fail_over) } }
                div { dt { "to recover" } dd { (recover) } }
                div { dt { "requests lost" } dd class=(if lost > 0 { "over" } else { "" }) { (words::count(lost)) @if fault.due > 0 { " " small { "of " (words::count(fault.due)) } } } }
                div { dt { "most pods missing" } dd { (fault.pods_missing) } }
                @if fault.over_limit_us > 0 { div { dt { "p95 over the limit" } dd.over { (words::span(fault.over_limit_us)) } } }
                @if let Some(share) = fault.month_share { div { dt { "of a month’s error budget" } dd { (words::percent(share)) } } }
            }
            (strip(result, fault, index))
            p.note {
                @if let Some(by) = &fault.detected_by { "Noticed by: " (by) ". " } @else { "Nothing that the platform did shows that it noticed. " }
                @if lost > 0 { "Lost: " (causes(fault)) ". " }
                @if let (Some(share), Some(by)) = (fault.month_share, &fault.priced_by) { @if lost > 0 { "Priced at this run’s rate in the budget of " (by) "; one a week costs " (words::percent(share * 30.0 / 7.0)) " of a month. " } }
            }
        }
    }
}

fn causes(fault: &FaultResult) -> String {
    let mut all: Vec<(Cause, u64)> = fault.lost.iter().map(|(cause, n)| (*cause, *n)).collect();
    all.sort_by_key(|(cause, n)| (std::cmp::Reverse(*n), *cause));
    told::failures_in_words(&all)
}

/// The fault on a time axis of its own: losses as ticks, what happened as marks.
fn strip(result: &RunResult, fault: &FaultResult, index: usize) -> Markup {
    let ends = [fault.detected_us, fault.failed_over_us, fault.recovered_us, fault.ended_us];
    let Some(last) = ends.into_iter().flatten().max() else { return html! {} };
    let long =
        ((last - fault.began_us.min(last)) as f64 * 1.18).max(2e6).min((fault.until_us - fault.began_us).max(1) as f64);
    let x = |at: u64| (at.saturating_sub(fault.began_us) as f64 / long * 100.0).min(100.0);
    let lost: Vec<f64> = result
        .lost
        .iter()
        .filter(|lost| lost.cause != Cause::Limited && (fault.began_us..fault.until_us).contains(&lost.intended_us))
        .map(|lost| x(lost.intended_us))
        .filter(|x| *x < 100.0)
        .collect();
    let every = lost.len().div_ceil(TICKS).max(1);
    let ticks: String = lost.iter().step_by(every).map(|x| format!("M{:.0} 120V880", x * 20.0)).collect();
    let mut marks: Vec<(f64, String)> = Vec::new();
    for (at, name) in [
        (fault.detected_us, "noticed"),
        (fault.failed_over_us, "last loss"),
        (fault.ended_us, "undone"),
        (fault.recovered_us, "all pods ready"),
    ] {
        if let Some(at) = at.filter(|at| *at <= last) {
            marks.push((x(at), format!("{name}, {}", words::span(at - fault.began_us.min(at)))));
        }
    }
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let losing = if fault.lost.is_empty() { 0.0 } else { fault.failed_over_us.map_or(100.0, x) };
    let healing = fault.recovered_us.map_or(if fault.pods_missing > 0 { 100.0 } else { losing }, x);
    let seconds = long / 1e6;
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0]
        .into_iter()
        .find(|step| seconds / step <= 6.0)
        .unwrap_or(3_600.0);
    let axis: Vec<f64> = (0..=6).map(|k| f64::from(k) * step).filter(|at| *at <= seconds * 0.96).collect();
    let description = format!("{}.", marks.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>().join("; "));
    html! {
        figure.course style=(format!("padding-top:{}px", marks.len() * 16)) {
            ol.course aria-hidden="true" { @for (row, (at, text)) in marks.iter().enumerate() {
                li class=(if *at > 55.0 { "to" } else { "" }) style=(format!("--x:{at:.2}%;top:{}px", row * 16)) { (text) }
            } }
            div.plot style="height:34px" {
                svg viewBox="0 0 2000 1000" preserveAspectRatio="none" role="img" aria-labelledby=(format!("t-fault-{index} d-fault-{index}")) {
                    title id=(format!("t-fault-{index}")) { "Course of " (fault.fault) }
                    desc id=(format!("d-fault-{index}")) { (description) }
                    rect.f3 fill-opacity=".55" x="0" y="120" width=(format!("{:.0}", healing * 20.0)) height="760" {}
                    rect.wash x="0" y="120" width=(format!("{:.0}", losing * 20.0)) height="760" {}
                    path.l.lost d=(ticks) {}
                    @for (at, _) in &marks { path.l d=(format!("M{:.0} 0V1000", (at * 20.0).clamp(2.0, 1_998.0))) {} }
                    path.l.axis d="M0 1000H2000" {}
                }
                div aria-hidden="true" { @for at in axis { span class=(if at == 0.0 { "x first" } else { "x" }) style=(format!("left:{:.2}%", at / seconds * 100.0)) { (words::number(at, 1)) "\u{a0}s" } } }
            }
        }
    }
}
