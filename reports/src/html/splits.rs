//! What slow requests are made of, by the clocks of the services themselves.

use maud::{Markup, html};
use record::{RunResult, TimeSplit};

use crate::html::{glance, section};
use crate::{sentences, told, words};

/// Area and sample of each part, in the order of [`told::parts`].
const FILLS: [(&str, &str); 7] =
    [("f4", "c4"), ("f1", "c1"), ("f2", "c2"), ("f0", "c0"), ("f6", "c6"), ("f3", "c3"), ("f5", "c8")];

pub(super) fn splits(result: &RunResult) -> Markup {
    let limit = told::limit_us(result);
    // A part that no request has is a column only if somebody would look for it.
    let part = |index: usize| result.time_splits.iter().map(|split| told::parts(split)[index].1).max().unwrap_or(0);
    let shown: Vec<usize> = (0..FILLS.len()).filter(|index| *index < 4 || part(*index) >= 50).collect();
    let absent: Vec<String> = (4..FILLS.len())
        .filter(|index| !shown.contains(index))
        .filter_map(|index| result.time_splits.first().map(|split| told::parts(split)[index].0.to_owned()))
        .collect();
    let flows = flows(result);
    let of_drawn = flows.iter().find(|(flow, _)| told::drawn_flow(result).is_none_or(|drawn| drawn == *flow));
    let drawn = of_drawn.and_then(|(_, splits)| splits.iter().map(|split| split.response_us).max());
    let body = html! {
        p.say { (sentences::slowest(result)) }
        @if !result.time_splits.is_empty() {
            (glance("Parts of slow requests", &html! {
                table.tight.parts {
                    caption { span { "Requests around p95 of each step and phase, ms on average, taken apart by the services’ own clocks; the parts add up." @if let Some(limit) = limit.filter(|limit| drawn.is_some_and(|most| most >= *limit)) { " The line is the limit of " (words::ms(limit)) "." } } }
                    thead { tr {
                        th scope="col" { "Step" } th scope="col" { "Phase" } th.n scope="col" { "around p95" } th.bar scope="col" { span.unseen { "drawn" } }
                        @for index in &shown { th.n scope="col" { span class=(format!("sw {}", FILLS[*index].1)) {} (told::parts(&result.time_splits[0])[*index].0) } }
                    } }
                    @for (flow, splits) in &flows {
                        @let scale = splits.iter().map(|split| split.response_us).max().unwrap_or(1).max(1) as f64;
                        @let limit = limit.filter(|_| told::drawn_flow(result).is_none_or(|drawn| drawn == *flow));
                        tbody.group {
                            @if flows.len() > 1 { tr { th scope="rowgroup" colspan=(shown.len() + 4) { "Flow " (flow) ", bars up to " (words::ms(scale as u64)) } } }
                            (rows(splits, scale, limit, &shown))
                        }
                    }
                }
            }))
            p.note {
                "Queue and service: in the pod behind the gateway; service is its CPU and what it waits for by itself, such as its database. Downstream: in the services that it calls, from the first call to the last answer. Network: what is left."
                @if !absent.is_empty() { " No request had time in " (words::list(&absent)) "." }
            }
        }
    };
    section("time", "Where time goes", "What is a slow request made of?", &body)
}

/// The splits of each flow, the drawn one first.
fn flows(result: &RunResult) -> Vec<(&str, Vec<&TimeSplit>)> {
    let mut all: Vec<(&str, Vec<&TimeSplit>)> = Vec::new();
    for split in &result.time_splits {
        let flow = result.steps.iter().find(|step| step.step == split.step).map_or("", |step| step.flow.as_str());
        match all.iter_mut().find(|(known, _)| *known == flow) {
            Some((_, splits)) => splits.push(split),
            None => all.push((flow, vec![split])),
        }
    }
    all.sort_by_key(|(flow, _)| Some(*flow) != told::drawn_flow(result));
    all
}

fn rows(splits: &[&TimeSplit], scale: f64, limit: Option<u64>, shown: &[usize]) -> Markup {
    let line =
        limit.filter(|limit| *limit as f64 <= scale).map(|limit| format!("--lim:{:.1}%", limit as f64 / scale * 100.0));
    html! {
        @for (row, split) in splits.iter().enumerate() {
            @let over = limit.is_some_and(|limit| split.response_us > limit);
            @let largest = told::parts(split).into_iter().map(|(_, us)| us).max().unwrap_or(0);
            @let first = row == 0 || splits[row - 1].step != split.step;
            tr class=(if first { "first" } else { "" }) {
                th scope="row" { @if first { (split.step) } @else { span.unseen { (split.step) } } }
                td.mute.nw { (split.phase) }
                td class=(if over { "n over" } else { "n" }) { b { (words::bare_ms(split.response_us as f64)) } }
                td.bar style=[line.as_deref()] { (bar(split, scale)) }
                @for index in shown {
                    @let us = told::parts(split)[*index].1;
                    td class=(if over && us == largest { "n over" } else { "n" }) { (words::bare_ms(us as f64)) }
                }
            }
        }
    }
}

fn bar(split: &TimeSplit, scale: f64) -> Markup {
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
