//! `release.html`, in the family of the rehearsal's report.

use maud::{DOCTYPE, Markup, html};
use record::{Conclusion, DrillResult, ReleasePlan};

use super::{blame, held, known, title, word};
use crate::html::{glance, section};
use crate::words;

/// The whole page.
pub fn release_page(plan: &ReleasePlan) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (crate::html::head(&format!("{}: release of {} – rehearse", word(plan.conclusion), plan.candidate.overlay)))
            body {
                a.skip href="#drills" { "Skip to the drills" }
                (first_screen(plan))
                main { (drills(plan)) (broken(plan)) (changes(plan)) (adversary(plan)) (not_drilled(plan)) }
                footer { (section("again", "Run it again", "Same seeds, same answer.", &html! {
                    pre { code { (plan.command) } }
                    p.note { "Each drill lies beside this file as a scenario. The same as data: " code { "release.json" } "." }
                })) }
            }
        }
    };
    page.into_string()
}

fn first_screen(plan: &ReleasePlan) -> Markup {
    let worst = plan.drills.iter().max_by(|a, b| a.candidate.budget.total_cmp(&b.candidate.budget));
    let count = |wanted: Conclusion| plan.drills.iter().filter(|drill| drill.conclusion == wanted).count();
    html! {
        header {
            div.meta {
                span { b { "release" } " of the " (plan.candidate.overlay) " overlay" }
                span { "candidate " (plan.candidate.digest) }
                @if let Some(against) = &plan.against { span { "against " (against.digest) } }
                span { (plan.seeds) " seeds from " (plan.seed.get()) }
                span.tally {
                    @for (conclusion, class) in [(Conclusion::Fail, "fail"), (Conclusion::Undecided, "undecided"), (Conclusion::Pass, "pass")] {
                        @if count(conclusion) > 0 { span { span class=(format!("g {class}")) {} (count(conclusion)) " " (word(conclusion)) } }
                    }
                    span { "exit " (plan.conclusion.exit().code()) }
                }
            }
            h1 { (title(plan)) "." }
            @if let Some(blame) = blame(plan) { p.lead { (blame) } }
            div.three {
                p { b { "How sure. " } "Every drill on " (words::spelled(plan.seeds as usize)) " seeds, beside a control arm of the same seed without the fault: what is counted as lost is the difference. " (words::count(plan.minutes as u64)) " minutes of load in virtual time." }
                p { b { "What it costs. " }
                    @if let Some(worst) = worst.filter(|worst| worst.candidate.budget > 0.0) {
                        "Dearest is " (worst.name) ": " (words::percent(worst.candidate.budget)) " of a month's error budget each time (availability 99.5 %)."
                    } @else { "No drill costs a request more than its control arm." }
                }
                p { b { "What does not decide. " }
                    @if known(plan) == 0 { "Nothing: every drill counts." } @else { (words::sentence(&words::some(known(plan), "drill breaks", "drills break"))) " just as they do with what runs now." }
                }
            }
            nav aria-label="Sections" { ul {
                @for (id, name) in [("drills", "Drills"), ("broken", "What broke"), ("changes", "What differs"), ("adversary", "Adversary"), ("again", "Run it again")] { li { a href=(format!("#{id}")) { (name) } } }
            } }
        }
    }
}

fn class(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pass => "pass",
        Conclusion::Fail => "fail",
        _ => "undecided",
    }
}

fn drills(plan: &ReleasePlan) -> Markup {
    let held_all = plan.drills.iter().filter(|drill| drill.conclusion == Conclusion::Pass).count();
    let body = html! {
        p.say { (words::sentence(&words::some(held_all, "drill holds", "drills hold"))) " on every seed; " (words::spelled(plan.drills.len() - held_all)) " do not." }
        (glance("Every drill", &html! { table.tight {
            thead { tr { th scope="col" { "Outcome" } th scope="col" { "Drill" } th.n scope="col" { "held" } th.n scope="col" { "now" } th.n scope="col" { "lost" } th.n scope="col" { "at worst" } th.n scope="col" { "budget" } th scope="col" { "seen by" } } }
            tbody { @for drill in &plan.drills { (line(drill)) } }
        } }))
        (crate::confirmed::table(&plan.confirmed, &plan.not_confirmed))
        p.note { "Lost: failed requests beyond those of the control arm, median and worst over the seeds; a limiter's rejects are what it is there for and do not count. Budget: what the median costs of a month's." }
    };
    section("drills", "Drills", "Which failures does it survive?", &body)
}

fn line(drill: &DrillResult) -> Markup {
    html! { tr {
        td { span class=(format!("g {}", class(drill.conclusion))) {} span class=(format!("v {}", class(drill.conclusion))) { (word(drill.conclusion)) } @if drill.known { small { "known" } } }
        th scope="row" { (drill.name) small { (drill.hypothesis) } }
        td.n { (held(&drill.candidate)) }
        td.n { (drill.against.as_ref().map_or_else(|| "–".into(), held)) }
        td.n { (words::number(drill.candidate.lost_median as f64, 0)) }
        td.n { (words::number(drill.candidate.lost_worst as f64, 0)) }
        td.n { (words::percent(drill.candidate.budget)) }
        td { (drill.backend) }
    } }
}

fn broken(plan: &ReleasePlan) -> Markup {
    let failed: Vec<&DrillResult> = plan.drills.iter().filter(|drill| drill.conclusion != Conclusion::Pass).collect();
    let body = html! {
        @if failed.is_empty() { p.say { "Nothing broke." } }
        @for drill in failed {
            article {
                h3 { (drill.name) span { ", " (drill.kind) @if drill.known { ", known" } } }
                p { (drill.hypothesis) }
                ul { @for one in &drill.candidate.broken { li { (one) } } }
                pre { code { (drill.replay) } }
            }
        }
    };
    section("broken", "What broke", "Which promise, and how is it seen again?", &body)
}

fn changes(plan: &ReleasePlan) -> Markup {
    let body = html! {
        @if plan.against.is_none() { p.say { "There is nothing to compare with: name what runs now with " code { "--against" } "." } }
        @else if plan.changes.is_empty() { p.say { "The two platforms do not differ in anything that a rehearsal plays." } }
        @else {
            p.say { (blame(plan).unwrap_or_else(|| "No single object moved a drill.".into())) }
            (glance("Every object that differs", &html! { table.tight {
                thead { tr { th scope="col" { "Object" } th scope="col" { "what differs" } th scope="col" { "moved by itself" } } }
                tbody { @for change in &plan.changes { tr {
                    th scope="row" { (change.object) }
                    td { (change.what.join("; ")) }
                    td { @if change.moved.is_empty() { "no drill" } @else { b { (change.moved.join(", ")) } } }
                } } }
            } }))
            p.note { "An object has moved a drill if the drill comes out otherwise with this one object as it was." }
        }
    };
    section("changes", "What differs", "Which change is to blame?", &body)
}

fn adversary(plan: &ReleasePlan) -> Markup {
    let body = match &plan.adversary {
        None => html! { p.say { "Not looked for: " code { "--adversary 50" } " tries fifty moments for each fault." } },
        Some(found) => html! {
            p.say { "A burst of " (words::number(found.burst_holds, 1)) " times the usual load holds"
                @if let Some(times) = found.burst_breaks { ", one of " (words::number(times, 1)) " times does not" } "." }
            @if let (Some(why), Some(seconds)) = (&found.broken_by, found.burst_seconds) { p { (why) ", and " (seconds) " s of it are enough." } }
            @if let Some((drill, later, lost)) = &found.worst { p { "Worst moment: " (drill) ", " (later) " s later than written, loses " (lost) " requests." } }
            @for command in &found.files { pre { code { (command) } } }
        },
    };
    section("adversary", "Adversary", "What is the smallest thing that breaks it?", &body)
}

fn not_drilled(plan: &ReleasePlan) -> Markup {
    let body = html! { ul { @for (what, why) in &plan.not_drilled { li { (what) ": " (why) } } } };
    section("not", "Not drilled", "What did nobody see?", &body)
}
