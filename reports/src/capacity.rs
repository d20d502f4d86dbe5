//! The answer to a capacity question, for a terminal and as a page.

mod page;
mod text;

pub use page::capacity_page;
pub use text::capacity_text;

use record::CapacityPlan;

use crate::words;

/// Sessions a second: `117/s`, `3.4/s`.
fn rate(sessions: f64) -> String {
    format!("{}/s", words::number(sessions, if sessions < 10.0 { 2 } else { 0 }))
}

/// Requests a second of so many sessions.
fn requests(plan: &CapacityPlan, sessions: f64) -> String {
    format!("{} requests/s", words::count((sessions * plan.requests_per_session).round() as u64))
}

/// What the answer comes to, in a sentence.
fn title(plan: &CapacityPlan) -> String {
    let sessions = rate(plan.declared.keeps).replace("/s", " sessions a second");
    let most = format!("{sessions} ({})", requests(plan, plan.declared.keeps));
    if plan.declared.keeps >= plan.asked {
        format!("It carries {most}: {} times what is asked", words::number(plan.declared.keeps / plan.asked, 1))
    } else {
        format!("It does not carry the {} that is asked: {most} is the most", rate(plan.asked))
    }
}

/// What breaks first, in a sentence.
fn first(plan: &CapacityPlan) -> Option<String> {
    let rung = plan.ladder.first()?;
    let moved = match (&rung.change, rung.after) {
        (Some(change), Some(after)) => format!(" {change} moves it to {}.", rate(after)),
        _ => " No manifest moves it.".into(),
    };
    Some(format!("First to run out: {}.{moved}", rung.binds))
}

/// How far the answer can be trusted: it stands on profiles that nobody measured.
fn trust(plan: &CapacityPlan) -> Option<String> {
    if plan.assumed.is_empty() {
        return None;
    }
    let most = plan.sensitivity.first().map_or_else(String::new, |sensitivity| {
        format!(
            " {} off by 20 % makes it {} to {}.",
            words::sentence(&sensitivity.figure),
            rate(sensitivity.higher),
            rate(sensitivity.lower)
        )
    });
    Some(format!(
        "Uncalibrated: the costs of {} are assumed, not measured.{most}",
        words::some(plan.assumed.len(), "service", "services")
    ))
}
