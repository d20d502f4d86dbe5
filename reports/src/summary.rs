//! `summary.md`: a few lines for a step summary or a comment, verdicts first.

use std::fmt::Write;

use crate::told::{self, Told};
use crate::{sentences, words};

/// Findings that are named; the report has them all.
const FINDINGS: usize = 5;

/// The whole file.
pub(crate) fn markdown(told: &Told) -> String {
    let result = &told.result;
    let mut text = String::new();
    let mut say = |line: &str| writeln!(text, "{line}").expect("writing to a string");
    if !result.verdicts.is_empty() {
        say("| Verdict | Objective | Measured | Limit | n | Source |");
        say("|---|---|--:|--:|--:|---|");
        let mut sorted: Vec<_> = result.verdicts.iter().collect();
        sorted.sort_by_key(|v| (told::need(v.judgement), !v.gating));
        for v in sorted {
            let measured = v.measured.map_or_else(|| "–".into(), |measured| told::value(v, measured));
            let interval = told::interval(v).map_or(String::new(), |interval| format!(" ({interval})"));
            say(&format!(
                "| {} | {} | {measured}{interval} | {} | {} | {} |",
                told::judgement(v.judgement),
                cell(&v.title),
                told::value(v, v.limit),
                words::count(v.n),
                cell(&v.source)
            ));
        }
        say("");
    }
    let lead: String = sentences::lead(result).iter().map(sentences::Piece::text).collect();
    say(&format!("**{}.** {}", cell(&sentences::title(result)), cell(&lead)));
    say("");
    say(&format!("{} {}", cell(&sentences::how_sure(told)), cell(&sentences::what_else(result))));
    for expected in &result.expectations {
        let word = if expected.held { "expected and seen" } else { "**expected and not seen**" };
        say(&format!("- {word}: {} ({})", cell(&expected.told), cell(&expected.seen)));
    }
    for check in result.checks.iter().filter(|check| !check.ok) {
        say(&format!("- check failed: {} {}, needs {}", cell(&check.name), cell(&check.measured), cell(&check.limit)));
    }
    for finding in result.findings.iter().take(FINDINGS) {
        say(&format!("- {} `{}`", cell(&finding.consequence), finding.place));
    }
    say("");
    say(&format!("`{}`", told.asked.command));
    text
}

/// Text that neither ends a table cell nor becomes markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{EVERY, asked, result};

    #[test]
    fn begins_with_the_verdicts_and_stays_short() {
        for kind in EVERY {
            let mut result = result(kind);
            result.verdicts[0].title = "a | b <script>, p95".into();
            let text = markdown(&Told { asked: asked(), result, environment: None, twin: None });
            let lines: Vec<&str> = text.lines().collect();
            assert!(
                lines[0].starts_with("| Verdict |") && lines[2].contains("a \\| b &lt;script>"),
                "{kind:?}: {text}"
            );
            assert!(text.len() < 2_500 && !text.contains("<script"), "{kind:?}: {} bytes", text.len());
            assert!(lines.last().unwrap().contains(&asked().command), "{kind:?}");
        }
    }
}
