//! What was played live, to see whether it comes out as virtual time says: the same words under every plan.

use maud::{Markup, html};
use record::{Confirmed, NotConfirmed};

use crate::html::glance;
use crate::terminal::{Out, row};
use crate::words;

/// A table under a head of its own; nothing if nothing was to be played.
pub(crate) fn text(out: &mut Out, confirmed: &[Confirmed], not: &[NotConfirmed]) {
    let Some(backend) = backend(confirmed, not) else { return };
    out.head(&format!("Confirmed on the {backend} backend"));
    if !confirmed.is_empty() {
        let mut rows = vec![row(["", "predicted", "came out", "p95", "report"])];
        for point in confirmed {
            rows.push(row([
                &point.what,
                point.expected.word(),
                &point.outcome(),
                &point.p95_us.map_or_else(|| "–".into(), words::ms),
                &point.report,
            ]));
        }
        out.table(1, &rows);
    }
    for refused in not {
        out.line(&format!("  {}: not confirmed: {}", refused.what, refused.why));
    }
}

/// The same in a page.
pub(crate) fn table(confirmed: &[Confirmed], not: &[NotConfirmed]) -> Markup {
    let Some(backend) = backend(confirmed, not) else { return html! {} };
    let differ = confirmed.iter().filter(|point| !point.agrees).count();
    html! {
        h3.gap { "Confirmed on the " (backend) " backend" }
        p.say {
            @if confirmed.is_empty() { "Nothing was played there." }
            @else if differ == 0 { "Every point comes out as virtual time says." }
            @else { (words::sentence(&words::some(differ, "point comes", "points come"))) " out otherwise than virtual time says: do not build on it." }
        }
        @if !confirmed.is_empty() {
            (glance("Confirmed", &html! { table.tight {
                thead { tr { th scope="col" { "Played" } th scope="col" { "predicted" } th scope="col" { "came out" } th.n scope="col" { "p95" } th scope="col" { "report" } } }
                tbody { @for point in confirmed { tr {
                    th scope="row" { (point.what) }
                    td { (point.expected.word()) }
                    td { @if point.agrees { (point.outcome()) } @else { span.over { b { (point.outcome()) } } } }
                    td.n { (point.p95_us.map_or_else(|| "–".into(), words::ms)) }
                    td { a href=(point.report) { "open" } }
                } } }
            } }))
        }
        @if !not.is_empty() {
            p.say { "Not confirmed there:" }
            ul { @for refused in not { li { (refused.what) ": " (refused.why) } } }
        }
    }
}

fn backend<'a>(confirmed: &'a [Confirmed], not: &'a [NotConfirmed]) -> Option<&'a str> {
    let played = confirmed.iter().map(|point| &point.backend);
    played.chain(not.iter().map(|refused| &refused.backend)).next().map(String::as_str)
}
