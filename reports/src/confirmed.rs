//! What was played live, to see whether it comes out as virtual time says: the same words under every plan.

use maud::{Markup, html};
use record::Confirmed;

use crate::html::glance;
use crate::terminal::{Out, row};
use crate::words;

/// A table under a head of its own; nothing if nothing was played.
pub(crate) fn text(out: &mut Out, confirmed: &[Confirmed]) {
    let Some(first) = confirmed.first() else { return };
    out.head(&format!("Confirmed on the {} backend", first.backend));
    let mut rows = vec![row(["", "predicted", "came out", "p95", "report"])];
    for point in confirmed {
        rows.push(row([
            &point.what,
            point.expected.word(),
            &if point.agrees {
                point.conclusion.word().to_owned()
            } else {
                format!("{}: DIFFERS", point.conclusion.word())
            },
            &point.p95_us.map_or_else(|| "–".into(), words::ms),
            &point.report,
        ]));
    }
    out.table(1, &rows);
}

/// The same in a page.
pub(crate) fn table(confirmed: &[Confirmed]) -> Markup {
    let Some(first) = confirmed.first() else { return html! {} };
    let differ = confirmed.iter().filter(|point| !point.agrees).count();
    html! {
        h3.gap { "Confirmed on the " (first.backend) " backend" }
        p.say {
            @if differ == 0 { "Every point comes out as virtual time says." }
            @else { (words::sentence(&words::some(differ, "point comes", "points come"))) " out otherwise than virtual time says: do not build on it." }
        }
        (glance("Confirmed", &html! { table.tight {
            thead { tr { th scope="col" { "Played" } th scope="col" { "predicted" } th scope="col" { "came out" } th.n scope="col" { "p95" } th scope="col" { "report" } } }
            tbody { @for point in confirmed { tr {
                th scope="row" { (point.what) }
                td { (point.expected.word()) }
                td { @if point.agrees { (point.conclusion.word()) } @else { span.over { b { (point.conclusion.word()) } } } }
                td.n { (point.p95_us.map_or_else(|| "–".into(), words::ms)) }
                td { a href=(point.report) { "open" } }
            } } }
        } }))
    }
}
