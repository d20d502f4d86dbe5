//! `report.html`: one file that needs no network and no script.
//!
//! Every section answers one question and opens with a sentence made from the data below it. Every chart has a title
//! and a description that say its result, and a table with the same figures.

mod alerts;
mod distribution;
mod endpoints;
mod faults;
mod findings;
mod hero;
mod key;
mod marks;
mod plot;
mod scaling;
mod splits;
mod time;
mod timeline;
mod trust;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use record::{Conclusion, Judgement};

use crate::sentences::Piece;
use crate::told::{self, Told};
use crate::{sentences, words};

const SECTIONS: [(&str, &str); 11] = [
    ("verdicts", "Verdicts"),
    ("timeline", "Timeline"),
    ("time", "Where time goes"),
    ("distribution", "Distribution"),
    ("endpoints", "Endpoints"),
    ("faults", "Faults"),
    ("scaling", "Autoscaling"),
    ("alerts", "Alerts"),
    ("findings", "Findings and drift"),
    ("trust", "Trust"),
    ("again", "Run it again"),
];

/// The whole page.
pub(crate) fn page(told: &Told) -> String {
    let result = &told.result;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{}: {} on {} – rehearse", told::conclusion(result.conclusion), result.scenario.name, result.platform.overlay)))
            body {
                a.skip href="#verdicts" { "Skip to the verdicts" }
                (first_screen(told))
                main {
                    (verdicts::verdicts(result))
                    (timeline::timeline(result))
                    (splits::splits(result))
                    (distribution::distribution(told))
                    (endpoints::endpoints(told))
                    (faults::faults(result))
                    (scaling::scaling(result))
                    (alerts::alerts(result))
                    (findings::findings(result))
                    (trust::trust(told))
                }
                footer { (again(told)) }
                script { (PreEscaped(include_str!("html/script.js"))) }
            }
        }
    };
    page.into_string()
}

/// What every page begins with: nothing in it is fetched from anywhere.
pub(crate) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width,initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            link rel="icon" href="data:,";
            style { (PreEscaped(include_str!("html/style.css"))) }
        }
    }
}

/// A section: its question in the margin, the answer beside it.
pub(crate) fn section(id: &str, name: &str, question: &str, body: &Markup) -> Markup {
    let heading = format!("h-{id}");
    html! {
        section id=(id) aria-labelledby=(heading) {
            div { h2 id=(heading) { (name) } p.q { (question) } }
            div { (body) }
        }
    }
}

/// A wide table in a region that scrolls, reachable by keyboard.
pub(crate) fn glance(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(label) { (table) } }
}

fn first_screen(told: &Told) -> Markup {
    let result = &told.result;
    let started = told.environment.as_ref().map(|e| e.started.as_str()).filter(|started| !started.is_empty());
    html! {
        header {
            div.meta {
                span { b { (result.scenario.name) } " on the " (result.platform.overlay) " overlay" }
                span { (result.backend) " backend" }
                @if let Some(started) = started { span { (started) } }
                span { (words::span(told::load_us(result))) " of load" }
                span { "seed " (result.seed.get()) }
                span { "platform " (result.platform.digest) }
                @let void = matches!(result.conclusion, Conclusion::Invalid | Conclusion::Interrupted);
                span.tally {
                    @if void { span { (words::sentence(&told::conclusion(result.conclusion).to_lowercase())) } }
                    @for (judgement, one) in [(Judgement::Fail, "broken"), (Judgement::Undecided, "undecided"), (Judgement::Pass, "held")] {
                        @let n = result.verdicts.iter().filter(|v| v.judgement == judgement).count();
                        @if n > 0 && !void { span { span class=(format!("g {}", verdicts::class(judgement))) {} (n) " " (one) } }
                    }
                    @let unmet = sentences::unmet(result).len();
                    @if unmet > 0 && !void { span { span.g.fail {} (unmet) " not as expected" } }
                    span { "exit " (result.conclusion.exit().code()) }
                }
            }
            h1 { (sentences::title(result)) "." }
            p.lead { @for piece in sentences::lead(result) { @match &piece {
                Piece::Plain(text) => (text),
                Piece::Strong(text) => b { (text) },
                Piece::Broken(text) => b.over { (text) },
            } } }
            div.three {
                p { b { "How sure. " } (sentences::how_sure(told)) }
                p { b { "Why. " } (sentences::why(result)) }
                p { b { "What else. " } (sentences::what_else(result)) }
            }
            @if let Some(hero) = hero::hero(result) { (hero) } @else { p.note { "There is no latency to draw." } }
            nav aria-label="Sections" { ul { @for (id, name) in SECTIONS.iter().filter(|(id, _)| told::has(result, id)) { li { a href=(format!("#{id}")) { (name) } } } } }
        }
    }
}

fn again(told: &Told) -> Markup {
    let body = html! {
        pre { code { (told.asked.command) } }
        p.note {
            "Raw data beside this file: " code { "result.json" } " (its schema: " code { "rehearse schema result" } "), " code { "events.jsonl" } ", " code { "intervals.hlog" } ", " code { "series.om.gz" } ", " code { "metrics.om" } ", " code { "junit.xml" } "."
        }
    };
    section("again", "Run it again", "Same seed, same arrivals, same draws.", &body)
}

#[cfg(test)]
mod tests;
