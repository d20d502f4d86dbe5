//! `summary.md`: a few lines for a step summary or a comment, verdicts first.

use std::fmt::Write;

use record::{Cause, RunResult, Window};

use crate::told::{self, Told};
use crate::{alerts, sentences, words};

/// Findings that are named; the report has them all.
const FINDINGS: usize = 5;
/// GitHub takes a comment of 65 536 characters and a step summary of 1 MiB, and drops what is longer as a whole.
const MOST: usize = 60_000;
/// Columns of a sparkline.
const COLUMNS: usize = 60;
/// Its heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Alerts that are named.
const ALERTS: usize = 8;

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
                told::sample(v),
                cell(&v.source)
            ));
        }
        say("");
    }
    let lead: String = sentences::lead(result).iter().map(sentences::Piece::text).collect();
    say(&format!("**{}.** {}", cell(&sentences::title(result)), cell(&lead)));
    say("");
    say(&format!("{} {}", cell(&sentences::how_sure(told)), cell(&sentences::what_else(result))));
    for line in lines(result) {
        say(&line);
    }
    for expected in &result.expectations {
        let word = if expected.held { "expected and seen" } else { "**expected and not seen**" };
        say(&format!("- {word}: {} ({})", cell(&expected.told), cell(&expected.seen)));
    }
    for check in result.checks.iter().filter(|check| !check.ok) {
        say(&format!("- check failed: {} {}, needs {}", cell(&check.name), cell(&check.measured), cell(&check.limit)));
    }
    if let Some(rehearsal) = &result.alerts {
        say("");
        say(&cell(&alerts::sentence(rehearsal)));
        for alert in alerts::sorted(rehearsal).into_iter().filter(|alert| alerts::told(alert)).take(ALERTS) {
            say(&format!("- {} **{}** {}", alerts::word(alert.verdict), cell(&alert.alert), cell(&alert.told)));
        }
        say("");
    }
    for finding in told::biting(result).take(FINDINGS) {
        say(&format!("- {} `{}`", cell(&finding.consequence), finding.place));
    }
    within(text, &format!("\n`{}`\n", told.asked.command))
}

/// Cut at a line, with a word about it; what matters most stands first.
fn within(mut text: String, last: &str) -> String {
    const CUT: &str = "\n*Cut here: the rest is in report.html.*\n";
    if text.len() + last.len() > MOST {
        let end = (0..=MOST - last.len() - CUT.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(text[..end].rfind('\n').map_or(end, |at| at + 1));
        text.push_str(CUT);
    }
    text + last
}

/// What happened over time in a few signs each, and what faults did.
fn lines(result: &RunResult) -> Vec<String> {
    let windows = told::merged(result, COLUMNS);
    let mut all = Vec::new();
    let p95: Vec<f64> = windows.iter().map(|(_, _, w)| w.p95_us as f64).collect();
    if let Some(highest) = p95.iter().copied().reduce(f64::max).filter(|highest| *highest > 0.0) {
        all.push(format!("- p95 `{}` up to {}", spark(&p95, highest), words::ms(highest as u64)));
    }
    let failed =
        |w: &Window| w.failed.iter().filter(|(cause, _)| **cause != Cause::Limited).map(|(_, n)| *n).sum::<u64>();
    let lost: Vec<f64> = windows.iter().map(|(_, _, w)| failed(w) as f64).collect();
    if let Some(highest) = lost.iter().copied().reduce(f64::max).filter(|highest| *highest > 0.0) {
        all.push(format!(
            "- failures `{}` {} in all",
            spark(&lost, highest),
            words::count(told::failed_beside_limits(result))
        ));
    }
    for fault in &result.faults {
        let since =
            |at: Option<u64>| at.map_or_else(|| "never".into(), |at| words::span(at.saturating_sub(fault.began_us)));
        let recovered = if fault.pods_missing == 0 {
            "no pod missing".into()
        } else {
            format!("recovered after {}", since(fault.recovered_us))
        };
        all.push(format!(
            "- fault **{}** at {}: noticed after {}, {} lost, {recovered}",
            cell(&fault.fault),
            told::at(result, fault.began_us),
            since(fault.detected_us),
            words::counted(fault.lost.values().sum(), "request", "requests"),
        ));
    }
    all
}

fn spark(values: &[f64], highest: f64) -> String {
    let bar = |value: &f64| if *value <= 0.0 { ' ' } else { BARS[((value / highest * 7.0).round() as usize).min(7)] };
    values.iter().map(bar).collect()
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
            let text = markdown(&Told { asked: asked(), result, environment: None, twin: None, baseline: None });
            let lines: Vec<&str> = text.lines().collect();
            assert!(
                lines[0].starts_with("| Verdict |") && lines[2].contains("a \\| b &lt;script>"),
                "{kind:?}: {text}"
            );
            assert!(text.len() < 3_500 && !text.contains("<script"), "{kind:?}: {} bytes", text.len());
            assert!(lines.last().unwrap().contains(&asked().command), "{kind:?}");
        }
    }

    #[test]
    fn however_much_there_is_the_summary_fits_and_keeps_its_ends() {
        let mut result = result(crate::fixture::Kind::Fail);
        let one = result.expectations[0].clone();
        result.expectations =
            (0..5_000).map(|n| record::Expected { seen: format!("{n} ≥ 1"), ..one.clone() }).collect();
        let text = markdown(&Told { asked: asked(), result, environment: None, twin: None, baseline: None });
        assert!(text.len() <= MOST, "{} bytes", text.len());
        assert!(text.starts_with("| Verdict |") && text.contains("*Cut here") && text.trim_end().ends_with('`'));
    }
}
