//! Release drills in a terminal: go or no-go first, what decides next.

use record::{Conclusion, ReleasePlan};

use super::{blame, held, known, title, word};
use crate::terminal::{Out, row};
use crate::words;

/// A readable summary of at most `width` columns, ended by a newline.
pub fn release_text(plan: &ReleasePlan, width: usize) -> String {
    let mut out = Out::new(width, false);
    out.line(&format!("{}.", title(plan)));
    if let Some(blame) = blame(plan) {
        out.line(&blame);
    }
    if known(plan) > 0 {
        let some = words::some(known(plan), "drill breaks", "drills break");
        out.line(&format!("{} just as they do now, and do not decide.", words::sentence(&some)));
    }
    out.head("Drills");
    let mut rows = vec![row(["", "", "held", "lost", "worst", "budget", "now"])];
    for drill in &plan.drills {
        let lost = |value: i64| words::number(value as f64, 0);
        let told =
            if drill.known { format!("{}, known", word(drill.conclusion)) } else { word(drill.conclusion).into() };
        rows.push(row([
            &told,
            &drill.name,
            &held(&drill.candidate),
            &lost(drill.candidate.lost_median),
            &lost(drill.candidate.lost_worst),
            &words::percent(drill.candidate.budget),
            &drill.against.as_ref().map_or_else(|| "–".into(), held),
        ]));
    }
    out.table(2, &rows);
    for drill in plan.drills.iter().filter(|drill| drill.conclusion != Conclusion::Pass) {
        out.head(&format!("{}: {}", drill.name, drill.hypothesis));
        for broken in drill.candidate.broken.iter().take(3) {
            out.line(&format!("  {broken}"));
        }
        out.whole(&format!("  {}", drill.replay));
    }
    crate::confirmed::text(&mut out, &plan.confirmed, &plan.not_confirmed);
    if !plan.changes.is_empty() {
        out.head("What differs");
        for change in &plan.changes {
            let moved = if change.moved.is_empty() { "moved no drill".into() } else { words::list(&change.moved) };
            out.line(&format!("  {}: {} ({moved})", change.object, change.what.join(", ")));
        }
    }
    if let Some(adversary) = &plan.adversary {
        out.head("Adversary");
        let breaks = adversary.burst_breaks.map_or_else(
            || "no burst that was tried breaks anything".to_owned(),
            |times| {
                let seconds = adversary.burst_seconds.unwrap_or_default();
                format!("one of {} times does not, and {seconds} s of it are enough", words::number(times, 1))
            },
        );
        out.line(&format!(
            "  a burst of {} times the usual load holds, {breaks}",
            words::number(adversary.burst_holds, 1)
        ));
        if let Some((drill, later, lost)) = &adversary.worst {
            out.line(&format!("  worst moment: {drill} {later} s later than written loses {lost}"));
        }
        for command in &adversary.files {
            out.whole(&format!("  {command}"));
        }
    }
    out.head("Not drilled");
    for (what, why) in &plan.not_drilled {
        out.line(&format!("  {what}: {why}"));
    }
    out.line("");
    out.whole(&format!("Again: {}", plan.command));
    out.into_text()
}
