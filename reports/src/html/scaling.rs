//! What each autoscaler read, decided and got.

use std::fmt::Write;

use maud::{Markup, html};
use record::{MetricReading, RunResult, ScalingDecision};

use crate::html::{glance, section};
use crate::{told, words};

/// Rows of the table; a run with more says how many are left out.
const ROWS: usize = 60;

pub(super) fn scaling(result: &RunResult) -> Markup {
    let changes = told::changes(result);
    let quiet = result.decisions.len() - changes.len();
    // What changed nothing is shown once per autoscaler and reason: the first time.
    let mut seen: Vec<(&str, String)> = Vec::new();
    let mut rows: Vec<(u64, &ScalingDecision, Option<u64>)> = Vec::new();
    for (at_us, decision) in &result.decisions {
        let change = changes.iter().find(|c| c.at_us == *at_us && std::ptr::eq(c.decision, decision));
        let reason = (decision.autoscaler.as_str(), reasons(decision));
        if let Some(change) = change {
            rows.push((*at_us, decision, change.ready_us));
        } else if !seen.contains(&reason) {
            seen.push(reason);
            rows.push((*at_us, decision, None));
        }
    }
    let body = html! {
        p.say { (sentence(result)) }
        @if !rows.is_empty() {
            (glance("Autoscaler decisions", &html! {
                table.tight {
                    caption { span { "Every sync that changed something, and of the others the first of each kind. Asked: what the metrics ask for, before stabilization and policies." } }
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
            }))
            @if rows.len() > ROWS { p.note { (words::sentence(&words::some(rows.len() - ROWS, "more row", "more rows"))) " in result.json." } }
            @if quiet > 0 { p.note { (words::count(quiet as u64)) " of " (words::counted(result.decisions.len() as u64, "sync", "syncs")) " changed nothing." } }
        }
    };
    section("scaling", "Autoscaling", "What did the autoscalers see, and what did they get?", &body)
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
    if changes.is_empty() {
        return format!("The autoscalers looked {} and changed nothing.", times(result.decisions.len()));
    }
    let mut say = format!(
        "Of {}, {} changed the replicas.",
        words::some(result.decisions.len(), "sync", "syncs"),
        words::spelled(changes.len())
    );
    let waits: Vec<u64> = changes
        .iter()
        .filter(|c| c.decision.desired > c.decision.current)
        .filter_map(|c| c.ready_us.map(|ready| ready.saturating_sub(c.at_us)))
        .collect();
    if let (Some(least), Some(most)) = (waits.iter().min(), waits.iter().max()) {
        let took = if least == most {
            format!(" From decision to ready it took {}.", words::span(*most))
        } else {
            format!(" From decision to ready it took {} to {}.", words::span(*least), words::span(*most))
        };
        say.push_str(&took);
    }
    say
}

fn times(n: usize) -> String {
    match n {
        1 => "once".into(),
        2 => "twice".into(),
        n => format!("{} times", words::spelled(n)),
    }
}
