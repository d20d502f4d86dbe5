//! Every endpoint in every phase, to be sorted.

use maud::{Markup, html};
use record::{Cause, RunResult, StepResult};

use crate::html::plot::Scale;
use crate::html::{glance, section};
use crate::told::Told;
use crate::{told, words};

const HEADS: [&str; 10] = ["n", "Req/s", "Failed", "Limited", "p50", "p95", "p99", "p99.9", "max", "Service p95"];

pub(super) fn endpoints(told: &Told) -> Markup {
    let result = &told.result;
    let limit = told::limit_us(result);
    let seconds = |phase: &str| {
        let phase = result.phases.iter().find(|p| p.name == phase);
        phase.map_or(0.0, |p| p.end_us.min(result.load_end_us).saturating_sub(p.start_us) as f64 / 1e6)
    };
    let figure =
        |us: u64, s: &StepResult| if s.response.max_us == 0 { "–".to_owned() } else { words::bare_ms(us as f64) };
    let scale = scale(result);
    let flow = told::drawn_flow(result);
    let lim = limit.map(|limit| format!("--lim:{:.1}%", scale.share(limit as f64) * 100.0));
    let body = html! {
        p.say { (sentence(result)) }
        @if !result.steps.is_empty() {
            (glance("Endpoints by phase", &html! {
                table.tight.ep data-sort {
                    caption { span {
                        "Response in ms of the requests that succeeded, from the instant they were due. Drawn, log scale: p50 to p99, p95 heavy"
                        @if let Some(v) = told::drawn(result) { "; the line is the limit of " (told::value(v, v.limit)) }
                        ". Service: from the instant they were sent. Failed without rejects by a rate limiter, which stand beside."
                    } }
                    thead { tr {
                        th scope="col" { "Endpoint" } th scope="col" { "Phase" }
                        @for head in HEADS { th.n scope="col" { (head) } }
                        th.drawn data-nosort { span.unseen { "drawn" } }
                        @if told.baseline.is_some() { th.n scope="col" { "p95 against baseline" } }
                    } }
                    tbody { @for (row, s) in result.steps.iter().enumerate() {
                        @let limited = s.failed.get(&Cause::Limited).copied().unwrap_or(0);
                        @let failed: u64 = s.failed.values().sum::<u64>() - limited;
                        @let rate = s.n as f64 / seconds(&s.phase).max(1e-9);
                        @let bound = limit.filter(|_| flow.is_none_or(|flow| flow == s.flow));
                        @let again = row > 0 && result.steps[row - 1].request == s.request && result.steps[row - 1].step == s.step;
                        tr {
                            th.nw scope="row" { span.mono.again[again] { (s.request) } @if s.step != s.request { small.wide { (s.step) } } }
                            td.nw { (s.phase) }
                            td.n data-v=(s.n) { (words::count(s.n)) }
                            td.n data-v=(format!("{rate:.3}")) { @if seconds(&s.phase) > 0.0 { (words::number(rate, 1)) } @else { "–" } }
                            td.n data-v=(failed) { @if failed == 0 { "–" } @else { (words::count(failed)) } }
                            td.n data-v=(limited) { @if limited == 0 { "–" } @else { (words::count(limited)) } }
                            @for (us, bold) in [(s.response.p50_us, false), (s.response.p95_us, true), (s.response.p99_us, false), (s.response.p999_us, false), (s.response.max_us, false)] {
                                td class=(if bound.is_some_and(|limit| us > limit) { "n over" } else { "n" }) data-v=(us) { @if bold { b { (figure(us, s)) } } @else { (figure(us, s)) } }
                            }
                            td.n.mute data-v=(s.service.p95_us) { (figure(s.service.p95_us, s)) }
                            td.drawn.lim[bound.is_some()] style=[lim.as_deref()] { (range(s, scale, bound)) }
                            @if told.baseline.is_some() { (against(told, s)) }
                        }
                    } }
                }
            }))
        }
    };
    section("endpoints", "Endpoints", "Where, and in which phase?", &body)
}

fn sentence(result: &RunResult) -> String {
    let limit = told::limit_us(result);
    let flow = told::drawn_flow(result);
    let over: Vec<&StepResult> = result
        .steps
        .iter()
        .filter(|s| flow.is_none_or(|flow| s.flow == flow) && limit.is_some_and(|limit| s.response.p95_us > limit))
        .collect();
    match (result.steps.len(), over.as_slice(), told::drawn(result)) {
        (0, ..) => "No endpoint had a request.".to_owned(),
        (_, _, None) => format!(
            "{} of endpoint and phase had requests.",
            words::sentence(&words::some(result.steps.len(), "pair", "pairs"))
        ),
        (_, [], Some(v)) => {
            format!("No endpoint of {} had a p95 above {} in any phase.", told::subject(v), told::value(v, v.limit))
        }
        (_, [only], Some(v)) => {
            format!("Only {} in phase {} had a p95 above {}.", only.request, only.phase, told::value(v, v.limit))
        }
        (all, some, Some(v)) => format!(
            "{} of {} pairs of endpoint and phase had a p95 above {}.",
            words::sentence(&words::spelled(some.len())),
            words::spelled(all),
            told::value(v, v.limit)
        ),
    }
}

fn scale(result: &RunResult) -> Scale {
    let least = result.steps.iter().map(|s| s.response.p50_us).filter(|us| *us > 0).min().unwrap_or(1_000);
    let most = result.steps.iter().map(|s| s.response.p99_us).max().unwrap_or(1_000);
    let most = most.max(told::limit_us(result).unwrap_or(0)).max(least * 2);
    Scale::Log(least as f64 * 0.85, most as f64 * 1.2)
}

fn range(s: &StepResult, scale: Scale, limit: Option<u64>) -> Markup {
    let x = |us: u64| scale.share(us as f64) * 1_000.0;
    let over = limit.is_some_and(|limit| s.response.p95_us > limit);
    html! {
        @if s.response.max_us > 0 {
            svg viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true" {
                path.l.grid d="M0 7H1000" {}
                path.l.between d=(format!("M{:.0} 7H{:.0}", x(s.response.p50_us), x(s.response.p99_us).max(x(s.response.p50_us) + 2.0))) {}
                path class=(if over { "l thick limit" } else { "l thick" }) d=(format!("M{:.0} 2V12", x(s.response.p95_us))) {}
            }
        }
    }
}

/// The change of p95, in percent of the baseline's.
fn against(told: &Told, s: &StepResult) -> Markup {
    let before = told.baseline.as_ref().and_then(|baseline| {
        baseline.result.steps.iter().find(|b| b.request == s.request && b.step == s.step && b.phase == s.phase)
    });
    let both = before.filter(|b| b.response.p95_us > 0 && s.response.p95_us > 0);
    let Some(before) = both else { return html! { td.n { "–" } } };
    let change = s.response.p95_us as f64 / before.response.p95_us as f64 - 1.0;
    html! {
        td.n.mute[change.abs() < 0.1] data-v=(format!("{change:.4}")) { (words::signed_percent(change)) }
    }
}
