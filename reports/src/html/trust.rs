//! Whether the report can be believed.

use maud::{Markup, html};
use record::Origin;

use crate::html::{glance, section};
use crate::told::Told;
use crate::{Twin, sentences, words};

pub(super) fn trust(told: &Told) -> Markup {
    let result = &told.result;
    let body = html! {
        p.say { (sentence(told)) }
        @if !result.checks.is_empty() {
            (glance("Validity checks", &html! { table.tight {
                thead { tr { th scope="col" { "Check" } th.n scope="col" { "Measured" } th.n scope="col" { "Needed" } th scope="col" { "Result" } } }
                tbody { @for check in &result.checks { tr {
                    th scope="row" { (check.name) }
                    td.n { (check.measured) }
                    td.n.mute { (check.limit) }
                    td class=(if check.ok { "v pass" } else { "v fail" }) {
                        span class=(if check.ok { "g pass" } else { "g fail" }) {} (if check.ok { "ok" } else { "FAILED" })
                    }
                } } }
            } }))
        }
        div.gap { (facts(told)) }
        @if let Some(twin) = &told.twin { div.gap { (twin_table(twin)) } }
        @if !result.stand_ins.is_empty() {
            details { summary { "What stood in for the real thing, " (words::some(result.stand_ins.len(), "line", "lines")) }
            (glance("Stand-ins", &html! { table.tight {
                thead { tr { th scope="col" { "What" } th scope="col" { "How" } th scope="col" { "Origin" } } }
                tbody { @for stand_in in &result.stand_ins { tr {
                    th scope="row" { (stand_in.what) }
                    td.mute { (stand_in.how) }
                    td { (origin(stand_in.origin)) }
                } } }
            } })) }
        }
    };
    section("trust", "Trust", "Can this report be believed?", &body)
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Documented => "documented",
        Origin::Measured => "measured",
        Origin::Assumed => "assumed",
    }
}

fn sentence(told: &Told) -> String {
    let checks = &told.result.checks;
    let failed: Vec<String> = checks.iter().filter(|check| !check.ok).map(|check| check.name.clone()).collect();
    let mut say = match (checks.len(), failed.len()) {
        (0, _) => "Nothing was checked about the run itself.".to_owned(),
        (1, 0) => "The one check of the run itself holds.".into(),
        (2, 0) => "Both checks of the run itself hold.".into(),
        (all, 0) => format!("All {} checks of the run itself hold.", words::spelled(all)),
        (_, 1) => format!("No: check “{}” failed.", failed[0]),
        _ => format!("No: {} checks failed: {}.", words::spelled(failed.len()), words::list(&failed)),
    };
    say.push(' ');
    let twin = told.twin.as_ref().map(sentences::twin_in_words);
    say.push_str(twin.as_deref().unwrap_or("It was not held against a simulation."));
    say
}

fn twin_table(twin: &Twin) -> Markup {
    glance(
        "Live against simulated",
        &html! { table.tight {
            caption { span {
                "Live against its simulation: " (words::count(twin.matched)) " requests in both of " (words::count(twin.n_live)) " live and "
                (words::count(twin.n_simulated)) " simulated; " (words::counted(twin.outcomes_differ, "outcome differs", "outcomes differ"))
                @if twin.one_in > 1 { ", in one session of " (words::count(twin.one_in)) }
                ". ms; good is a tenth of the simulated value, or 2 ms."
            } }
            thead { tr {
                th scope="col" { "Step" } th scope="col" { "Quantile" }
                @for head in ["n", "Live", "Simulated", "Difference", "95 % interval", "Good up to"] { th.n scope="col" { (head) } }
                th scope="col" { "Result" }
            } }
            tbody { @for row in &twin.rows { @for (index, q) in row.quantiles.iter().enumerate() {
                @let step = row.step.as_deref().unwrap_or("all");
                tr {
                    th scope="row" class=(if index == 0 { "" } else { "mute" }) { (step) }
                    td { "p" (q.percent) }
                    td.n { (words::count(row.n)) }
                    td.n { (words::bare_ms(q.live_us as f64)) }
                    td.n { (words::bare_ms(q.simulated_us as f64)) }
                    td.n { (words::bare_ms(q.difference_us as f64)) }
                    td.n { (words::bare_ms(q.interval_us.0 as f64)) " to " (words::bare_ms(q.interval_us.1 as f64)) }
                    td.n.mute { "±\u{a0}" (words::bare_ms(q.tolerance_us as f64)) }
                    td class=(if q.within { "v pass" } else { "v fail" }) { span class=(if q.within { "g pass" } else { "g fail" }) {} (if q.within { "within" } else { "OUTSIDE" }) }
                }
            } } }
        } },
    )
}

/// What a stand-in for a workload's cost is called.
const PROFILE: &str = "service times of ";

/// Nodes of the same make are told once: `7 × 8 CPU, 32Gi, 110 pods, zone-a`.
fn nodes(described: &[String]) -> String {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for node in described {
        let make = node.split_once(": ").map_or(node.as_str(), |(_, make)| make);
        match kinds.iter_mut().find(|(known, _)| *known == make) {
            Some((_, n)) => *n += 1,
            None => kinds.push((make, 1)),
        }
    }
    kinds.iter().map(|(make, n)| format!("{n}\u{a0}× {make}")).collect::<Vec<_>>().join("; ")
}

fn facts(told: &Told) -> Markup {
    let (result, asked) = (&told.result, &told.asked);
    let platform = &result.platform;
    let mut facts: Vec<(String, String)> = vec![
        ("Question".into(), result.scenario.question.clone()),
        ("Scenario".into(), format!("{}, {}", result.scenario.name, result.scenario.digest)),
        (
            "Platform".into(),
            format!(
                "{}, overlay {}, namespace {}, {}",
                platform.source, platform.overlay, platform.namespace, platform.digest
            ),
        ),
        ("Seed".into(), result.seed.get().to_string()),
        ("Version".into(), format!("rehearse {}", asked.version)),
        ("Nodes".into(), nodes(&asked.nodes)),
    ];
    let rules = result.stand_ins.iter().filter(|s| s.origin == Origin::Documented);
    let rules: Vec<String> = rules.map(|s| format!("{}: {}", s.what.trim_start_matches("the "), s.how)).collect();
    facts.push(("Rules".into(), rules.join("; ")));
    for (origin, name) in [(Origin::Assumed, "Assumed"), (Origin::Measured, "Measured")] {
        let whose = |what: &str| what.strip_prefix(PROFILE).unwrap_or(what).to_owned();
        let of: Vec<String> =
            result.stand_ins.iter().filter(|stand_in| stand_in.origin == origin).map(|s| whose(&s.what)).collect();
        facts.push((name.into(), if of.is_empty() { String::new() } else { words::list(&of) }));
    }
    match &told.environment {
        Some(e) => {
            facts.push(("Started".into(), e.started.clone()));
            facts.push(("Took".into(), words::span((e.took_s.max(0.0) * 1e6) as u64)));
            facts.push((
                "Machine".into(),
                format!(
                    "{}, {}, {} open files",
                    e.system,
                    words::counted(u64::from(e.cores), "core", "cores"),
                    words::count(e.open_files)
                ),
            ));
            facts.extend(e.notes.iter().map(|(name, value)| (words::sentence(name), value.clone())));
        }
        None => facts.push(("Machine".into(), "not recorded".into())),
    }
    html! { dl.kv { @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { (value) } } } }
}
