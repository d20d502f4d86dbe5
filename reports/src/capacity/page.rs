//! `capacity.html`, in the family of the rehearsal's report: one file, no script needed, every chart beside its table.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use record::{Capacity, CapacityPlan, Footing, FrontierPoint};

use super::text::climbs;
use super::{first, rate, requests, title, trust};
use crate::html::{glance, section};
use crate::words;

const SECTIONS: [(&str, &str); 9] = [
    ("much", "How much"),
    ("breaks", "What breaks first"),
    ("bounds", "Bounds"),
    ("motion", "Autoscaling in motion"),
    ("gone", "With something gone"),
    ("cost", "Who and what that is"),
    ("if", "What if"),
    ("settings", "Settings"),
    ("again", "Run it again"),
];

/// The whole page.
pub fn capacity_page(plan: &CapacityPlan) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (crate::html::head(&format!("Capacity of {} – rehearse", plan.platform.overlay)))
            body {
                a.skip href="#much" { "Skip to the answer" }
                (first_screen(plan))
                main {
                    (how_much(plan))
                    (ladder(plan))
                    (bounds(plan))
                    (motion(plan))
                    (losses(plan))
                    (cost(plan))
                    (what_if(plan))
                    (settings(plan))
                }
                footer { (section("again", "Run it again", "Same seed, same answer.", &html! {
                    pre { code { (plan.command) } }
                    p.note { (words::count(plan.rehearsals)) " rehearsals in virtual time. The same as data: " code { "capacity.json" } "." }
                })) }
                script { (PreEscaped(include_str!("sliders.js"))) }
            }
        }
    };
    page.into_string()
}

fn first_screen(plan: &CapacityPlan) -> Markup {
    let mixture: Vec<String> =
        plan.mixture.iter().map(|(journey, share)| format!("{} {journey}", words::percent(*share))).collect();
    html! {
        header {
            div.meta {
                span { b { "capacity" } " of the " (plan.platform.overlay) " overlay" }
                span { (plan.scenario.name) " sessions" }
                span { "seed " (plan.seed.get()) }
                span { "platform " (plan.platform.digest) }
                span.tally { span { "asked: " (rate(plan.asked)) } }
            }
            h1 { (title(plan)) "." }
            @if let Some(first) = first(plan) { p.lead { (first) } }
            div.three {
                p { b { "How sure. " }
                    "Held on " (words::spelled(plan.declared.replications as usize)) " seeds, within 5 %: "
                    (rate(plan.declared.keeps)) " keeps every objective"
                    @if let Some(breaks) = plan.declared.breaks { ", " (rate(breaks)) " does not" }
                    ". " (trust(plan).unwrap_or_default())
                }
                p { b { "What is carried. " } (words::sentence(&words::list(&mixture))) "; a session makes " (words::number(plan.requests_per_session, 1)) " requests." }
                p { b { "What is promised. " } (words::list(&plan.objectives)) "." }
            }
            nav aria-label="Sections" { ul { @for (id, name) in SECTIONS { li { a href=(format!("#{id}")) { (name) } } } } }
        }
    }
}

fn how_much(plan: &CapacityPlan) -> Markup {
    let gain = plan.declared.keeps / plan.fixed.keeps.max(1e-9);
    let line = |capacity: &Capacity| {
        html! {
            tr {
                th scope="row" { (capacity.setting) small { "confirmed on " (words::spelled(capacity.replications as usize)) " seeds" } }
                td.n { b { (rate(capacity.keeps)) } }
                td.n { (capacity.breaks.map_or_else(|| "–".into(), rate)) }
                td.n { (requests(plan, capacity.keeps)) }
                td.n { (capacity.p95_us.map_or_else(|| "–".into(), words::ms)) }
                td { (capacity.broken_by.as_deref().unwrap_or("nothing that was tried")) }
            }
        }
    };
    let body = html! {
        p.say { "Autoscaling carries " (words::number(gain, 1)) " times what the replicas carry that the platform begins with." }
        (glance("Largest rates", &html! {
            table {
                thead { tr { th scope="col" { "Setting" } th.n scope="col" { "holds" } th.n scope="col" { "breaks" } th.n scope="col" { "that is" } th.n scope="col" { "p95 there" } th scope="col" { "broken by" } } }
                tbody { (line(&plan.declared)) (line(&plan.fixed)) }
            }
        }))
        (crate::confirmed::table(&plan.confirmed, &plan.not_confirmed))
        details { summary { "Every rate that was tried" }
            (glance("Rates that were tried", &html! { table.tight {
                thead { tr { th scope="col" { "Setting" } th.n scope="col" { "sessions" } th scope="col" { "Outcome" } th scope="col" { "why not" } } }
                tbody { @for capacity in [&plan.declared, &plan.fixed] { @for step in &capacity.steps { tr {
                    th scope="row" { (capacity.setting) }
                    td.n { (rate(step.rate)) }
                    td { @if step.keeps { "holds" } @else { span.over { "breaks" } } }
                    td { (step.why.as_deref().unwrap_or("")) }
                } } } }
            } }))
        }
        p.note { "A rate holds if the upper bound of every gating objective keeps its limit, on every seed, and latency does not rise all through the steady minute. Doubling, then bisection to 5 %." }
    };
    section("much", "How much", "Which rate keeps every objective?", &body)
}

fn ladder(plan: &CapacityPlan) -> Markup {
    let body = html! {
        p.say { (first(plan).unwrap_or_else(|| "Nothing ran out.".into())) }
        @for (index, rung) in plan.ladder.iter().enumerate() {
            article {
                h3 { (index + 1) ". " (rung.binds) }
                dl.fig {
                    div { dt { "carried before" } dd { (rate(rung.before)) } }
                    @if let Some(after) = rung.after { div { dt { "with the change, simulated" } dd { (rate(after)) } } }
                }
                @if let Some(change) = &rung.change { p { (change) } } @else { p.mute { "No manifest says it." } }
                @if let Some(patch) = &rung.patch { pre { code { "patches:\n" (patch) } } }
            }
        }
        p.note { "Each change stands on those before it. Put a patch under " code { "patches" } " of a kustomization." }
    };
    section("breaks", "What breaks first", "And next, and what moves it?", &body)
}

fn bounds(plan: &CapacityPlan) -> Markup {
    let most = plan.bounds.iter().take(10).map(|bound| bound.rate).fold(plan.declared.keeps, f64::max);
    let body = html! {
        p.say { "By the utilisation law no more than " (plan.bounds.first().map_or_else(|| "–".into(), |bound| rate(bound.rate))) " can pass the first of these. Objectives break below that." }
        (glance("Bounds", &html! { table.tight {
            thead { tr { th scope="col" { "What runs out" } th.n scope="col" { "at" } th.bar scope="col" { "against what holds (line)" } } }
            tbody { @for bound in plan.bounds.iter().take(10) { tr {
                th scope="row" { (bound.why) }
                td.n { (rate(bound.rate)) }
                td.bar style=(format!("--lim:{:.2}%", plan.declared.keeps / most * 100.0)) {
                    svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true" {
                        rect class=(if bound.rate <= plan.declared.keeps { "f4" } else { "f2" }) x="0" y="3" height="8" width=(format!("{:.2}", (bound.rate / most * 100.0).min(100.0))) {}
                    }
                }
            } } }
        } }))
        p.note { "Mean demands of the profiles over servers; " code { "c / D" } " of Denning and Buzen. An autoscaler at its maximum stops nothing by itself; it has no reserve left." }
    };
    section("bounds", "Bounds", "What could carry more, and what could not?", &body)
}

fn motion(plan: &CapacityPlan) -> Markup {
    let Some(motion) = &plan.motion else {
        return section("motion", "Autoscaling in motion", "", &html! { p.say { "Nothing scales by itself." } });
    };
    let (from, to) = (rate(motion.from), rate(motion.to));
    let say = format!(
        "From {from} to {to} {}. With a forecast beside the autoscalers {}.",
        climbs(motion.reactive),
        climbs(motion.predictive)
    );
    let body = html! {
        p.say { (say) }
        (glance("From load to ready", &html! { table.tight {
            caption { span { "A sudden step: from the load to the first new pod that serves it." } }
            thead { tr { th scope="col" { "Workload" } th.n scope="col" { "replicas" } th.n scope="col" { "sample" } th.n scope="col" { "sync" } th.n scope="col" { "schedule" } th.n scope="col" { "pull, start" } th.n scope="col" { "probes" } th.n scope="col" { "endpoints" } th.n scope="col" { "in all" } th.n scope="col" { "overshoot" } th.n scope="col" { "reversals" } } }
            tbody { @for delay in &motion.delays {
                @let parts = [delay.sample_us, delay.sync_us, delay.schedule_us, delay.start_us, delay.probe_us, delay.propagation_us];
                tr {
                    th scope="row" { (delay.workload) }
                    td.n { (delay.from) " → " (delay.to) }
                    @for part in parts { td.n { (words::span(part)) } }
                    td.n { b { (words::span(parts.iter().sum())) } }
                    td.n { (delay.overshoot) }
                    td.n { (delay.reversals) }
                }
            } }
        } }))
        (glance("Targets", &html! { table.tight.gap {
            caption { span { "An autoscaler that aims above what fixed replicas can use at the limit cannot save the objective: it begins too late." } }
            thead { tr { th scope="col" { "Workload" } th.n scope="col" { "target" } th.n scope="col" { "used at the limit" } th scope="col" { "Outcome" } } }
            tbody { @for target in &motion.targets { tr {
                th scope="row" { (target.workload) }
                td.n { (target.target) " %" }
                td.n { (words::number(target.at_limit, 0)) " %" }
                td { @if target.at_limit < f64::from(target.target) { span.over { "too late by itself" } } @else { "in time" } }
            } } }
        } }))
    };
    section("motion", "Autoscaling in motion", "How steep may load come?", &body)
}

fn losses(plan: &CapacityPlan) -> Markup {
    let short: Vec<&str> = plan.losses.iter().filter(|loss| !loss.enough).map(|loss| loss.what.as_str()).collect();
    let say = match short[..] {
        [] => "Whatever of these is gone, the rest carries what is asked.".to_owned(),
        [one] => format!("Without {one} the rest does not carry what is asked."),
        [one, ..] => {
            format!("Without {one}, and in {} more cases, the rest does not carry what is asked.", short.len() - 1)
        }
    };
    let body = html! {
        p.say { (say) }
        (glance("Every loss", &html! { table.tight {
            thead { tr { th scope="col" { "Without" } th.n scope="col" { "carries" } th scope="col" { "Outcome" } th scope="col" { "broken by" } } }
            tbody { @for loss in &plan.losses { tr {
                th scope="row" { (loss.what) }
                td.n { (rate(loss.keeps)) }
                td { @if loss.enough { "enough" } @else { span.over { b { "not enough" } } } }
                td { (loss.why.as_deref().unwrap_or("")) }
            } } }
        } }))
        p.note { "The balance afterwards, everything rescheduled. The moment of the loss is a drill: " code { "rehearse simulate zone-outage" } "." }
    };
    section("gone", "With something gone", "Is N − 1 enough?", &body)
}

fn cost(plan: &CapacityPlan) -> Markup {
    let users = &plan.users;
    let body = html! {
        p.say { "At " (rate(plan.declared.keeps)) " sessions " (words::count(users.at_once as u64)) " users are there at once, and " (words::count(users.daily as u64)) " come in a day." }
        p.note { "A session lasts " (words::number(users.session_s, 1)) " s; " (users.how) "." }
        @if let Some(growth) = &plan.growth {
            dl.fig {
                div { dt { "months at " (words::percent(growth.monthly)) " a month" } dd { (words::number(growth.months, 1)) } }
                div { dt { "with the worst loss" } dd { (words::number(growth.months_degraded, 1)) } }
            }
        }
        (glance("What it stands on", &html! { table.tight.gap {
            thead { tr { th scope="col" { "At" } th.n scope="col" { "cores requested" } th.n scope="col" { "GiB" } th scope="col" { "nodes, at least" } th.n scope="col" { "an hour" } th.n scope="col" { "a million requests" } } }
            tbody { @for footing in &plan.footing { tr {
                th scope="row" { (rate(footing.rate)) }
                td.n { (words::number(footing.cores, 1)) }
                td.n { (words::number(footing.gib, 0)) }
                td { @for (kind, count) in &footing.nodes { (count) " × " (kind) br; } }
                td.n { (footing.hourly.map_or_else(|| "–".into(), |cost| words::number(cost, 2))) }
                td.n { (footing.per_million.map_or_else(|| "–".into(), |cost| words::number(cost, 2))) }
            } } }
        } }))
        @let prices = plan.footing.first().and_then(|footing| footing.prices.as_ref());
        p.note {
            @if let Some(prices) = prices { (prices) "." }
            @else { "No prices: give a dated price file with " code { "--prices" } "." }
        }
    };
    section("cost", "Who and what that is", "How many users, which nodes, what does it cost?", &body)
}

/// A row for each rate of the grid; a script lets one slide along it.
fn what_if(plan: &CapacityPlan) -> Markup {
    let last = plan.grid.len().saturating_sub(1);
    let begin = plan.grid.iter().position(|footing| footing.rate >= plan.asked).unwrap_or(0);
    let daily = |footing: &Footing| footing.rate * plan.users.daily / plan.declared.keeps.max(f64::MIN_POSITIVE);
    let monthly = plan.growth.as_ref().map_or(5.0, |growth| growth.monthly * 100.0);
    let body = html! {
        p.say { "Other loads, and what they stand on." }
        div.sliders hidden data-carries=(plan.declared.keeps) {
            label { "load " input type="range" name="load" min="0" max=(last) value=(begin); output {} }
            label { "growth a month " input type="range" name="growth" min="0" max="25" step="0.5" value=(monthly); output {} }
            p.say aria-live="polite" {}
        }
        (glance("Loads", &html! { table.tight.grid {
            thead { tr { th scope="col" { "At" } th.n scope="col" { "users a day" } th.n scope="col" { "of what is carried" } th.n scope="col" { "cores" } th.n scope="col" { "GiB" } th scope="col" { "nodes, at least" } th.n scope="col" { "an hour" } } }
            tbody { @for footing in &plan.grid {
                @let share = footing.rate / plan.declared.keeps.max(f64::MIN_POSITIVE);
                tr data-rate=(footing.rate) data-over=(share > 1.0) {
                    th scope="row" { (rate(footing.rate)) }
                    td.n { (words::count(daily(footing) as u64)) }
                    td.n { @if share > 1.0 { span.over { (words::percent(share)) } } @else { (words::percent(share)) } }
                    td.n { (words::number(footing.cores, 1)) }
                    td.n { (words::number(footing.gib, 0)) }
                    td { @for (kind, count) in &footing.nodes { (count) " × " (kind) " " } }
                    td.n { (footing.hourly.map_or_else(|| "–".into(), |cost| words::number(cost, 2))) }
                }
            } }
        } }))
        p.note { "Beyond what is carried an overlay needs the changes of “What breaks first”." }
    };
    section("if", "What if", "And at another load?", &body)
}

fn settings(plan: &CapacityPlan) -> Markup {
    let best: Vec<&FrontierPoint> = plan.frontier.iter().filter(|point| point.pareto).collect();
    let body = html! {
        p.say { "At " (rate(plan.asked)) " " (words::some(best.len(), "setting is", "settings are")) " on the frontier: nothing that was tried is both faster and cheaper." }
        (scatter(&plan.frontier))
        (glance("Every setting", &html! { table.tight {
            thead { tr { th scope="col" { "Setting" } th.n scope="col" { "p95" } th.n scope="col" { "cores" } th.n scope="col" { "an hour" } th scope="col" { "Outcome" } } }
            tbody { @for point in &plan.frontier { tr {
                th scope="row" { (point.setting) @if point.pareto { @if let Some(patch) = &point.patch { details { summary { "patch" } pre { code { (patch) } } } } } }
                td.n { (words::number(point.p95_ms, 0)) " ms" }
                td.n { (words::number(point.cores, 1)) }
                td.n { (point.hourly.map_or_else(|| "–".into(), |cost| words::number(cost, 2))) }
                td { @if !point.holds { span.over { "breaks an objective" } } @else if point.pareto { b { "on the frontier" } } }
            } } }
        } }))
        h3.gap { "A figure off by 20 %" }
        (glance("Sensitivity", &html! { table.tight {
            thead { tr { th scope="col" { "Figure" } th.n scope="col" { "20 % lower" } th.n scope="col" { "20 % higher" } } }
            tbody { @for one in &plan.sensitivity { tr { th scope="row" { (one.figure) } td.n { (rate(one.lower)) } td.n { (rate(one.higher)) } } } }
        } }))
    };
    section("settings", "Settings", "What is the cheapest way to be fast enough?", &body)
}

/// Latency over cost; what is on the frontier is filled, what breaks is crossed out.
fn scatter(points: &[FrontierPoint]) -> Markup {
    let range = |of: fn(&FrontierPoint) -> f64| {
        let (low, high) =
            points.iter().map(of).fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        let pad = ((high - low) * 0.08).max(high * 0.02);
        (low - pad, high + pad)
    };
    let ((x0, x1), (y0, y1)) = (range(|point| point.cores), range(|point| point.p95_ms));
    let x = |value: f64| (value - x0) / (x1 - x0).max(1e-9) * 100.0;
    let y = |value: f64| (1.0 - (value - y0) / (y1 - y0).max(1e-9)) * 100.0;
    html! {
        figure.curve role="img" aria-label="p95 over requested cores for each setting; the table below has the same figures" {
            p.keys { span { i.ring {} "holds" } span { b { "●" } " on the frontier" } span.over { "× breaks an objective" } }
            div.plot style="height:240px;border-left:1px solid var(--rule2);border-bottom:1px solid var(--rule2)" {
                span.y style="top:0%" { (words::number(y1, 0)) " ms" }
                span.y style="top:100%" { (words::number(y0.max(0.0), 0)) }
                span.x.first style="left:0%" { (words::number(x0, 1)) " cores" }
                span.x.last style="left:100%" { (words::number(x1, 1)) }
                @for point in points {
                    span.in style=(format!("left:{:.1}%;top:{:.1}%;transform:translate(-50%,-50%)", x(point.cores), y(point.p95_ms))) title=(point.setting) {
                        @if !point.holds { span.over { "×" } } @else if point.pareto { b { "●" } } @else { i.ring {} }
                    }
                }
            }
        }
    }
}
