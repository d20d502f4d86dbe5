//! What bites that no objective shows, and what was not rehearsed.

use maud::{Markup, html};
use record::{Finding, RunResult};

use crate::html::{glance, section};
use crate::{alerts, told, words};

/// What was not rehearsed, as far as it is told one by one.
const ABSENT: usize = 40;

pub(super) fn findings(result: &RunResult) -> Markup {
    let biting: Vec<&Finding> = told::biting(result).collect();
    let mut absent: Vec<String> = result
        .findings
        .iter()
        .filter(|finding| finding.id == told::NOT_REHEARSED)
        .map(|finding| finding.consequence.clone())
        .collect();
    absent.dedup();
    let body = html! {
        p.say {
            @match biting.len() {
                0 => { "Nothing was found beside the objectives." },
                n => { (words::sentence(&words::some(n, "thing bites", "things bite"))) " that no objective shows." },
            }
        }
        @if let Some(said) = alerts::in_short(result) { p.note { (said) " " a href="#alerts" { "Alerts" } " has each of them." } }
        @if !biting.is_empty() { (list(&biting)) }
        @if result.verdicts.iter().any(|v| v.note.is_some()) { div.gap { (disagreements(result)) } }
        @if !absent.is_empty() {
            p.note.gap { b { "Declared and not rehearsed: " } (absent.iter().take(ABSENT).cloned().collect::<Vec<_>>().join("; ")) @if absent.len() > ABSENT { "; and " (absent.len() - ABSENT) " more in result.json" } "." }
        }
    };
    section("findings", "Findings and drift", "What would bite in production that no objective shows?", &body)
}

/// Which document rules where they say different things.
fn disagreements(result: &RunResult) -> Markup {
    glance(
        "Where the documents disagree",
        &html! { table.tight {
            caption { span { b { "Where the documents disagree" } } }
            thead { tr { th scope="col" { "Objective" } th scope="col" { "Judged by" } th scope="col" { "What else is written, and why it does not rule" } } }
            tbody { @for v in result.verdicts.iter().filter(|v| v.note.is_some()) { tr {
                th scope="row" { (v.title) }
                td { b { (told::value(v, v.limit)) } small { (v.source.replace('/', "/\u{200b}")) } }
                td { (v.note.as_deref().unwrap_or_default()) }
            } } }
        } },
    )
}

fn list(findings: &[&Finding]) -> Markup {
    html! {
        ol.find { @for finding in findings {
            li id=(format!("f-{}", finding.id)) {
                p { b { (finding.consequence) } (finding.because) }
                p.src.mono { (finding.place.replace('/', "/\u{200b}")) }
            }
        } }
    }
}
