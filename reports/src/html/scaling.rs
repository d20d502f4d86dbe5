//! What each autoscaler answered, and whether obeying its rules was enough; then what it read, decided and got.

use std::fmt::Write;

use maud::{Markup, html};
use record::{MetricReading, RunResult, ScalingDecision, ScalingResult};

use crate::html::{glance, section};
use crate::{told, words};

/// Rows of the table; a run with more says how many are left out.
const ROWS: usize = 60;
/// Workloads with a card.
const CARDS: usize = 4;

pub(super) fn scaling(result: &RunResult) -> Markup {
    let body = html! {
        p.say { (sentence(result)) }
        @for scaling in result.scalings.iter().take(CARDS) { (card(result, scaling)) }
        @if result.scalings.len() > CARDS {
            p.note { (words::sentence(&words::some(result.scalings.len() - CARDS, "more workload was", "more workloads were"))) " scaled or short; the decisions are below." }
        }
        (decisions(result))
    };
    section("scaling", "Autoscaling", "Was obeying the rules enough?", &body)
}

/// The lag taken apart, and the score.
fn card(result: &RunResult, s: &ScalingResult) -> Markup {
    let bounds = result.workloads.iter().find(|w| w.workload == s.workload).and_then(|w| w.bounds);
    let from = s.breach_us.or(s.decided_us);
    let since = |at: Option<u64>| from.zip(at).map(|(from, at)| words::span(at.saturating_sub(from)));
    let figure = |at: Option<u64>| since(at).unwrap_or_else(|| "never".into());
    let what = if s.breach_us.is_some() { "breach" } else { "decision" };
    html! {
        article.scaling {
            h3 {
                (s.workload)
                span {
                    @if let Some((min, max)) = bounds { ", " (min) " to " (max) " replicas" }
                    @if let Some(breach) = s.breach_us { "; at " (told::at(result, breach)) " the load began to need more than " (s.from) }
                    @else if let Some(decided) = s.decided_us { "; asked for more at " (told::at(result, decided)) ", before the load needed it" }
                }
            }
            dl.fig {
                @if s.breach_us.is_some() { div { dt { "breach to decision" } dd { (figure(s.decided_us)) } } }
                @if s.decided_us.is_some() {
                    div { dt { (what) " to first new replica" } dd { (figure(s.first_ready_us)) } }
                    div { dt { (what) " to " (words::spelled(s.to as usize)) " ready" } dd { (figure(s.all_ready_us)) } }
                }
                @if s.peak_needed_milli > 0 {
                    div { dt { "replica-seconds short" } dd class=(if s.unserved_milli >= 10_000 { "over" } else { "" }) { (words::count(s.unserved_milli / 1_000)) } }
                    div { dt { "needed at most" } dd { (words::number(f64::from(s.peak_needed_milli) / 1e3, 1)) } }
                    div { dt { "overshoot" } dd { (s.overshoot) } }
                }
                div { dt { "turns" } dd { (s.turns) } }
            }
            (lag(s))
        }
    }
}

/// Breach → decision → containers run → ready, as one bar.
fn lag(s: &ScalingResult) -> Markup {
    let (Some(from), Some(decided), Some(ready)) = (s.breach_us.or(s.decided_us), s.decided_us, s.first_ready_us)
    else {
        return html! {};
    };
    let started = s.started_us.unwrap_or(ready).clamp(decided, ready);
    let total = (ready - from).max(1) as f64;
    let parts = [
        ("f4", decided - from, "waiting for a reading"),
        ("f0", started - decided, "pod start"),
        ("f2", ready - started, "readiness"),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(_, us, _)| *us > 0).collect();
    let told: Vec<String> = parts.iter().map(|(_, us, name)| format!("{} {name}", words::span(*us))).collect();
    let mut next = 0.0;
    let placed: Vec<_> = parts
        .iter()
        .map(|(fill, us, name)| {
            let from = next;
            next += *us as f64 / total * 1_000.0;
            (*fill, from, next - from, *us, *name)
        })
        .collect();
    html! {
        figure.lag {
            svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label=(format!("Lag of {}: {}", words::span(ready - from), words::list(&told))) {
                @for (fill, from, wide, ..) in &placed { rect class=(fill) x=(format!("{from:.1}")) y="1" width=(format!("{:.1}", (wide - 2.0).max(1.0))) height="12" {} }
            }
            p.keys.lagkeys aria-hidden="true" { @for (fill, _, _, us, name) in &placed { span { i class=(format!("area {}", fill.replace('f', "c"))) {} b { (words::span(*us)) } " " (name) } } }
        }
    }
}

/// Every change with the sync before it, and what else was read.
fn decisions(result: &RunResult) -> Markup {
    let changes = told::changes(result);
    let under_load: Vec<&(u64, ScalingDecision)> =
        result.decisions.iter().filter(|(at_us, _)| *at_us >= result.load_start_us).collect();
    let change = |decision: &ScalingDecision| changes.iter().find(|change| std::ptr::eq(change.decision, decision));
    let mut shown: Vec<Row<'_>> = Vec::new();
    let mut seen: Vec<(&str, String)> = Vec::new();
    let mut others: Vec<Row<'_>> = Vec::new();
    for (index, (at_us, decision)) in under_load.iter().enumerate() {
        let next = under_load[index + 1..].iter().find(|(_, next)| next.workload == decision.workload);
        let before_a_change = next.is_some_and(|(_, next)| change(next).is_some());
        let reason = (decision.autoscaler.as_str(), reasons(decision));
        if let Some(change) = change(decision) {
            shown.push((*at_us, decision, change.ready_us));
        } else if before_a_change {
            shown.push((*at_us, decision, None));
        } else if !seen.contains(&reason) {
            seen.push(reason);
            others.push((*at_us, decision, None));
        }
    }
    let quiet = under_load.len() - shown.len();
    html! {
        @if !shown.is_empty() {
            div.gap { (table(result, "Changes of the autoscalers", "Every sync that changed something, and the one before it. Asked: what the metrics ask for, before stabilization and policies.", &shown)) }
        }
        @if shown.len() > ROWS { p.note { (words::sentence(&words::some(shown.len() - ROWS, "more row", "more rows"))) " in result.json." } }
        @if !others.is_empty() {
            details {
                summary { (words::counted(quiet as u64, "other sync", "other syncs")) " under load changed nothing" }
                (table(result, "What else the autoscalers read", "The first of each kind.", &others))
            }
        }
    }
}

/// Instant, decision, and when its pods were ready.
type Row<'a> = (u64, &'a ScalingDecision, Option<u64>);

fn table(result: &RunResult, label: &str, caption: &str, rows: &[Row<'_>]) -> Markup {
    glance(
        label,
        &html! {
            table.tight {
                caption { span { (caption) } }
                thead { tr {
                    th scope="col" { "Sync" } th scope="col" { "Workload" } th scope="col" { "Read" }
                    @for head in ["Before", "Asked", "Decided"] { th.n scope="col" { (head) } }
                    th.n scope="col" { "Until ready" } th scope="col" { "Conditions" }
                } }
                tbody { @for (at_us, d, ready) in rows.iter().take(ROWS) { tr {
                    th scope="row" { (told::at(result, *at_us)) }
                    td.nw { (d.workload) }
                    td.read { @for reading in &d.metrics { div { (read(reading)) } } @if d.metrics.is_empty() { "nothing" } }
                    td.n { (d.current) }
                    td.n { (d.proposed) }
                    td.n { @if d.desired == d.current { (d.desired) } @else { b { (d.desired) } } }
                    td.n { (ready.map_or_else(|| "–".into(), |ready| words::span(ready.saturating_sub(*at_us)))) }
                    td.src { (reasons(d)) }
                } } }
            }
        },
    )
}

fn reasons(d: &ScalingDecision) -> String {
    let all = [&d.able_to_scale, &d.scaling_active, &d.scaling_limited];
    let named: Vec<&str> = all.into_iter().map(String::as_str).filter(|reason| !reason.is_empty()).collect();
    named.join(", ")
}

/// `cpu 135 % of 70 %, 3 pods, sample 9.2 s old`.
fn read(m: &MetricReading) -> String {
    let with_unit = |value: u64| match m.unit.as_str() {
        "%" => format!("{}\u{a0}%", words::count(value)),
        unit => format!("{}{unit}", words::count(value)),
    };
    let Some(value) = m.value else {
        return format!("{} not read: {}", m.metric, m.error.as_deref().unwrap_or("no reason given"));
    };
    let mut text = format!(
        "{} {}, target {}; {}",
        m.metric,
        with_unit(value),
        with_unit(m.target),
        words::counted(u64::from(m.pods_counted), "pod", "pods")
    );
    for (n, what) in [(m.pods_unready, "not ready"), (m.pods_missing, "without a sample")] {
        if n > 0 {
            write!(text, ", {n} {what}").expect("writing to a string");
        }
    }
    if m.pods_counted > 0 {
        write!(text, ", sample up to {} old", words::span(m.sample_age_us)).expect("writing to a string");
    }
    text
}

fn sentence(result: &RunResult) -> String {
    let autoscaled = result.workloads.iter().filter(|w| w.bounds.is_some()).count();
    let changes = told::changes(result);
    if result.decisions.is_empty() {
        return if autoscaled == 0 {
            "No workload is autoscaled in this run.".into()
        } else {
            "No autoscaler came to look during this run.".into()
        };
    }
    let worst = result.scalings.iter().max_by_key(|s| s.unserved_milli).filter(|s| s.unserved_milli >= 10_000);
    match (worst, changes.len()) {
        (Some(s), _) => match (s.breach_us, s.decided_us, s.first_ready_us) {
            (Some(breach), Some(decided), Some(ready)) => format!(
                "Not at once: {} needed more from {} on, the autoscaler asked for it {} later, and the first new replica was ready {} after that.",
                s.workload,
                told::at(result, breach),
                words::span(decided - breach),
                words::span(ready - decided)
            ),
            (_, None, _) => format!(
                "No: {} was {} replica-seconds short, and its autoscaler asked for nothing.",
                s.workload,
                words::count(s.unserved_milli / 1_000)
            ),
            _ => format!(
                "Not quite: {} was {} replica-seconds short of what its CPU target needs.",
                s.workload,
                words::count(s.unserved_milli / 1_000)
            ),
        },
        (None, 0) => format!(
            "The autoscalers looked {} and changed nothing{}.",
            times(result.decisions.len()),
            if told::load_us(result) > 0 { ", and nothing had to be changed" } else { "" }
        ),
        (None, n) => format!(
            "Yes: of {}, {} changed the replicas, and no workload was short of what its load needs for long.",
            words::some(result.decisions.len(), "sync", "syncs"),
            words::spelled(n)
        ),
    }
}

fn times(n: usize) -> String {
    match n {
        1 => "once".into(),
        2 => "twice".into(),
        n => format!("{} times", words::spelled(n)),
    }
}
