//! The answer of release drills, for a terminal and as a page.

mod page;
mod text;

pub use page::release_page;
pub use text::release_text;

use record::{Conclusion, DrillArm, DrillResult, ReleasePlan};

use crate::words;

/// In a word.
fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pass => "go",
        Conclusion::Fail => "NO-GO",
        _ => "undecided",
    }
}

/// In a sentence.
fn title(plan: &ReleasePlan) -> String {
    let deciding: Vec<&DrillResult> = plan.drills.iter().filter(|drill| !drill.known).collect();
    let of = |conclusion: Conclusion| deciding.iter().filter(|drill| drill.conclusion == conclusion).count();
    match plan.conclusion {
        Conclusion::Pass => format!("Go: all {} drills that decide hold", deciding.len()),
        Conclusion::Fail => {
            let first = deciding.iter().find(|drill| drill.conclusion == Conclusion::Fail);
            let name = first.map_or("a drill", |drill| drill.name.as_str());
            match of(Conclusion::Fail) {
                1 => format!("No-go: drill {name} breaks"),
                n => format!("No-go: drill {name} breaks, and {} more do", words::spelled(n - 1)),
            }
        }
        _ => {
            format!("Undecided: {} on some seeds", words::some(of(Conclusion::Undecided), "drill fails", "drills fail"))
        }
    }
}

/// What moved it: objects that differ and that alone change how a drill comes out.
fn blame(plan: &ReleasePlan) -> Option<String> {
    let blamed: Vec<String> = plan
        .changes
        .iter()
        .filter(|change| !change.moved.is_empty())
        .map(|change| format!("{} ({}) moved {}", change.object, change.what.join(", "), words::list(&change.moved)))
        .collect();
    (!blamed.is_empty()).then(|| format!("{}.", blamed.join("; ")))
}

/// Drills whose outcome is that of what runs now.
fn known(plan: &ReleasePlan) -> usize {
    plan.drills.iter().filter(|drill| drill.known).count()
}

fn held(arm: &DrillArm) -> String {
    format!("{} of {}", arm.held, arm.of)
}
