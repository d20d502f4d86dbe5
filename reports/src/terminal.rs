//! The same in a terminal: conclusion first, the command that repeats a run that did not pass last.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use record::{AlertRehearsal, Asked, Conclusion, Judgement, RunResult, WorkloadSeries};

use crate::told;
use crate::{alerts, sentences, words};

/// Heights of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Autoscaler changes that are shown; the report has them all.
const CHANGES: usize = 12;
/// Reasons not to judge an objective that are shown; the report has them all.
const REASONS: usize = 4;
/// Narrower than this nothing can be laid out.
const NARROWEST: usize = 40;

/// A readable summary of at most `width` columns, ended by a newline; `color` adds ANSI colours. Says nothing that
/// depends on the colour alone.
pub fn terminal(result: &RunResult, asked: &Asked, width: usize, color: bool) -> String {
    let mut out = Out::new(width, color);
    let code = match result.conclusion {
        Conclusion::Pass => "1;32",
        Conclusion::Fail | Conclusion::Invalid => "1;31",
        Conclusion::Undecided | Conclusion::Interrupted => "1;33",
    };
    let title = sentences::title(result);
    let title = words::sentence(title.strip_prefix("Undecided: ").unwrap_or(&title));
    out.line_in(code, &format!("{}: {title}.", told::conclusion(result.conclusion)));
    let lead: String = sentences::lead(result).iter().map(sentences::Piece::text).collect();
    if !lead.is_empty() {
        out.line(&lead);
    }
    found(&mut out, result);
    if let Some(before) = result.look.as_ref().and_then(|look| look.before.as_ref()) {
        out.line(&format!("The second of two looks: {before} could not decide, and this run is longer."));
    }
    verdicts(&mut out, result);
    not_judged(&mut out, result);
    load(&mut out, result);
    steps(&mut out, result);
    replicas(&mut out, result);
    if !result.expectations.is_empty() {
        out.head("Expected");
        for expected in &result.expectations {
            let word = if expected.held { "yes" } else { "NO " };
            out.line(&format!("  {word}  {}: {}", expected.told, expected.seen));
        }
    }
    if let Some(told) = &result.alerts {
        out.head("Alerts");
        alerts::lines(told).iter().for_each(|line| out.line(line));
    }
    for check in result.checks.iter().filter(|check| !check.ok) {
        out.head("Check failed");
        out.line(&format!("  {}: {}, needs {}", check.name, check.measured, check.limit));
    }
    if result.conclusion != Conclusion::Pass {
        out.head("Run it again");
        out.whole(&format!("  {}", asked.command));
    }
    out.into_text()
}

/// All alerts of a rehearsal, in at most `width` columns.
pub fn terminal_alerts(rehearsal: &AlertRehearsal, width: usize, color: bool) -> String {
    let mut out = Out::new(width, color);
    alerts::lines(rehearsal).iter().for_each(|line| out.line(line.strip_prefix("  ").unwrap_or(line)));
    for alert in alerts::sorted(rehearsal).into_iter().filter(|alert| !alerts::told(alert)) {
        out.line(&format!("{}  {} {}", alerts::word(alert.verdict), alert.alert, alert.told));
        alert.because.iter().for_each(|why| out.line(&format!("    {}", words::sentence(why))));
    }
    rehearsal.notes.iter().for_each(|note| out.line(note));
    out.into_text()
}

/// Lines of at most so many columns.
pub(crate) struct Out {
    text: String,
    width: usize,
    color: bool,
}

impl Out {
    pub(crate) fn new(width: usize, color: bool) -> Self {
        Self { text: String::new(), width: width.max(NARROWEST), color }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// A line that is not wrapped: it is there to be copied.
    pub(crate) fn whole(&mut self, text: &str) {
        writeln!(self.text, "{text}").expect("writing to a string");
    }

    /// Words, wrapped; what follows the first line keeps its indent.
    pub(crate) fn line(&mut self, text: &str) {
        self.line_in("", text);
    }

    fn line_in(&mut self, code: &str, text: &str) {
        let indent: String = text.chars().take_while(|c| *c == ' ').collect();
        let mut line = indent.clone();
        let mut lines = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let used = line.chars().count();
            if used > indent.len() && used + 1 + word.chars().count() > self.width {
                lines.push(std::mem::replace(&mut line, indent.clone()));
            }
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
        for line in lines {
            if self.color && !code.is_empty() {
                writeln!(self.text, "\x1b[{code}m{line}\x1b[0m").expect("writing to a string");
            } else {
                writeln!(self.text, "{line}").expect("writing to a string");
            }
        }
    }

    pub(crate) fn head(&mut self, text: &str) {
        self.text.push('\n');
        self.line_in("1", text);
    }

    /// Columns as wide as their widest cell, the first `left` of them to the left; what does not fit is cut.
    pub(crate) fn table(&mut self, left: usize, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide =
            |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        for row in rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                line.push_str("  ");
                let padded = if column < left { [cell.as_str(), &pad] } else { [&pad, cell.as_str()] };
                line.extend(padded);
            }
            let cut: String = line.trim_end().chars().take(self.width).collect();
            writeln!(self.text, "{cut}").expect("writing to a string");
        }
    }
}

pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

fn verdicts(out: &mut Out, result: &RunResult) {
    if result.verdicts.is_empty() {
        return;
    }
    out.head("Verdicts");
    let mut rows = vec![row(["", "objective", "measured", "interval", "limit", "n"])];
    for v in &result.verdicts {
        let sign = match v.judgement {
            Judgement::Fail => "■ FAIL",
            Judgement::Undecided => "◇ UNDECIDED",
            Judgement::Pass => "● pass",
        };
        let measured = v.measured.map_or_else(|| "–".into(), |measured| told::value(v, measured));
        let interval = told::interval(v).unwrap_or_else(|| "–".into());
        rows.push(row([sign, &v.title, &measured, &interval, &told::value(v, v.limit), &told::sample(v)]));
    }
    out.table(2, &rows);
    for v in &result.verdicts {
        if let Some(more) = v.more_needed {
            out.line(&format!(
                "  {}: about {} would settle it.",
                v.title,
                words::counted(more, "more request", "more requests")
            ));
        }
    }
}

/// What is wrong with the platform whatever the run says: the worst of it, which stands first.
fn found(out: &mut Out, result: &RunResult) {
    let mut findings = told::biting(result);
    let Some(worst) = findings.next() else { return };
    let more = match findings.count() {
        0 => String::new(),
        more => format!("; {} in the report", words::some(more, "more", "more")),
    };
    out.line(&format!("Found in the platform: {} {} At {}{more}.", worst.consequence, worst.because, worst.place));
}

/// Documented objectives that the run says nothing about, by the reason.
fn not_judged(out: &mut Out, result: &RunResult) {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    result.not_judged.iter().for_each(|one| *reasons.entry(one.why.as_str()).or_default() += 1);
    if reasons.is_empty() {
        return;
    }
    out.head("Not judged");
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let all: u64 = reasons.iter().map(|(_, n)| n).sum();
    for (why, n) in reasons.iter().take(REASONS) {
        out.line(&format!("  {}: {why}.", words::counted(*n, "objective", "objectives")));
    }
    let told: u64 = reasons.iter().take(REASONS).map(|(_, n)| n).sum();
    if told < all {
        out.line(&format!("  {} in the report.", words::counted(all - told, "more", "more")));
    }
}

fn load(out: &mut Out, result: &RunResult) {
    let (due, ok) = told::totals(result);
    out.head("Load");
    out.line(&format!(
        "  {} due over {}, {} succeeded.",
        words::counted(due, "request", "requests"),
        words::span(told::load_us(result)),
        words::count(ok)
    ));
    let failures = told::failures(result);
    if !failures.is_empty() {
        out.line(&format!("  Failed: {}.", told::failures_in_words(&failures)));
    }
}

fn steps(out: &mut Out, result: &RunResult) {
    if result.steps.is_empty() {
        return;
    }
    out.head("Latency, ms");
    let mut rows = vec![row(["step", "phase", "n", "failed", "p50", "p95", "p99", "max"])];
    for s in &result.steps {
        let figure = |us: u64| if s.response.max_us == 0 { "–".to_owned() } else { words::bare_ms(us as f64) };
        let q = &s.response;
        rows.push(row([
            &s.step,
            &s.phase,
            &words::count(s.n),
            &words::count(s.failed.values().sum()),
            &figure(q.p50_us),
            &figure(q.p95_us),
            &figure(q.p99_us),
            &figure(q.max_us),
        ]));
    }
    out.table(2, &rows);
}

fn replicas(out: &mut Out, result: &RunResult) {
    let autoscaled: Vec<&WorkloadSeries> = result.workloads.iter().filter(|w| w.bounds.is_some()).collect();
    if autoscaled.is_empty() {
        return;
    }
    out.head("Ready replicas");
    for workload in autoscaled {
        let (least, most) = workload.points.iter().fold((u32::MAX, 0), |(a, b), p| (a.min(p.ready), b.max(p.ready)));
        let room = out.width.saturating_sub(workload.workload.chars().count() + 14).clamp(8, 40);
        let bounds = match least.cmp(&most) {
            Ordering::Less => format!("{least} to {most}"),
            Ordering::Equal => least.to_string(),
            Ordering::Greater => "–".into(),
        };
        out.line(&format!("  {}  {}  {bounds}", workload.workload, sparkline(result, workload, room)));
    }
    let changes = told::changes(result);
    for change in changes.iter().take(CHANGES) {
        let d = change.decision;
        let ready = change.ready_us.map_or_else(
            || "not ready before the next change or the end".into(),
            |ready| format!("ready after {}", words::span(ready.saturating_sub(change.at_us))),
        );
        out.line(&format!(
            "  {}  {}: {} → {}, {ready}",
            told::at(result, change.at_us),
            d.workload,
            d.current,
            d.desired
        ));
    }
    if changes.len() > CHANGES {
        out.line(&format!("  and {} in the report", words::some(changes.len() - CHANGES, "more", "more")));
    }
}

/// Ready replicas over the load, from none at the bottom to the maximum at the top.
fn sparkline(result: &RunResult, workload: &WorkloadSeries, columns: usize) -> String {
    let seen = workload.points.iter().map(|p| p.ready).max().unwrap_or(0);
    let top = workload.bounds.map_or(seen, |(_, max)| max.max(seen)).max(1);
    let load = told::load_us(result);
    let ready_at = |column: usize| {
        let at = result.load_start_us + load * (2 * column as u64 + 1) / (2 * columns as u64);
        workload.points.iter().take_while(|p| p.at_us <= at).last().map_or(0, |p| p.ready)
    };
    (0..columns).map(|column| BARS[(ready_at(column) * (BARS.len() as u32 - 1) / top) as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{EVERY, Kind, asked, result};

    #[test]
    fn begins_with_the_conclusion_and_ends_with_what_to_type() {
        for kind in EVERY {
            for width in [40, 80, 120] {
                let result = result(kind);
                let text = terminal(&result, &asked(), width, false);
                assert!(text.starts_with(told::conclusion(result.conclusion)), "{kind:?}: {text}");
                let last = text.lines().last().unwrap().trim();
                assert_eq!(last == asked().command, result.conclusion != Conclusion::Pass, "{kind:?}: {text}");
                let widest = text.lines().filter(|l| !l.contains(&asked().command)).map(|l| l.chars().count()).max();
                assert!(widest.unwrap() <= width, "{kind:?} at {width}: {text}");
                assert!(!text.contains('\x1b'), "{kind:?}: colour was not asked for");
            }
        }
        assert!(terminal(&result(Kind::Fail), &asked(), 80, true).starts_with("\x1b[1;31mFAIL: Do not ship"));
    }

    #[test]
    fn shows_who_scaled_and_who_failed() {
        let text = terminal(&result(Kind::Fail), &asked(), 100, false).replace(['\u{a0}', '\u{202f}'], " ");
        for expected in [
            "■ FAIL",
            "0:47 transactions-service: 3 → 6, ready after 13.8 s",
            "rate limited",
            "▃",
            "█",
            "1 objective: a run does not record what its nodes use.",
            "create-transaction",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
