//! A comparison in a terminal.

use record::{Change, Compared, Comparison, ComparisonKind, ComparisonRow};

/// The worst rows in words: `p95 of token is 12.3 % (9.1 to 15.8 %) more`.
pub(crate) fn worst(rows: &[&ComparisonRow]) -> String {
    let mut rows = rows.to_vec();
    rows.sort_by(|one, other| other.change.unwrap_or(0.0).total_cmp(&one.change.unwrap_or(0.0)));
    let one = |row: &&&ComparisonRow| {
        let of = row.step.as_deref().map_or("all requests".to_owned(), |step| format!("`{step}`"));
        let change = row.change.unwrap_or(0.0);
        let ends = row.interval.map(|(low, high)| format!(" ({} to {})", percent(low), percent(high)));
        let more = if row.figure == "failed" { "points more" } else { "more" };
        format!("{} of {of} is {}{} {more}", row.figure, percent(change), ends.unwrap_or_default())
    };
    let told: Vec<String> = rows.iter().take(2).map(|row| one(&row)).collect();
    let others = rows.len().saturating_sub(2);
    let and = if others > 0 { format!(", and {others} other figures got worse") } else { String::new() };
    format!("{}{and}", told.join("; "))
}

fn percent(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// A readable summary, ended by a newline.
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let word = match (comparison.conclusion, comparison.gating) {
        (Compared::Identical, _) => "IDENTICAL",
        (Compared::NoRegression, _) => "NO REGRESSION",
        (Compared::Regression, true) => "REGRESSION",
        (Compared::Regression, false) => "WORSE, ADVISORY",
        (Compared::Incomparable, _) => "NOT COMPARABLE",
    };
    let method = match comparison.kind {
        ComparisonKind::Exact => "exactly, in virtual time".to_owned(),
        ComparisonKind::Paired => format!("by {} interleaved pairs", comparison.pairs),
        ComparisonKind::Advisory => "of two runs by the wall clock, which only advises".to_owned(),
    };
    let mut line = |text: String| {
        out += text.trim_end();
        out.push('\n');
    };
    line(format!("{word}: {}.", comparison.because));
    line(format!(
        "Compared {method}; changes below {} do not count.",
        percent(comparison.minimum_effect).replace('+', "")
    ));
    line(format!("  base  {} ({})", comparison.base.source, comparison.base.platform_digest));
    line(format!("  head  {} ({})", comparison.head.source, comparison.head.platform_digest));
    if comparison.conclusion != Compared::Identical {
        line(String::new());
        let mut rows =
            vec![["", "step", "figure", "base", "head", "change", "interval", "would find"].map(str::to_owned)];
        rows.extend(comparison.rows.iter().filter(|row| worth(row)).map(cells));
        for row in table(&rows) {
            line(row);
        }
    }
    for change in &comparison.verdicts {
        let word = |judgement: Option<record::Judgement>| {
            judgement.map_or("not judged".to_owned(), |judgement| format!("{judgement:?}").to_lowercase())
        };
        line(format!("verdict of {}: {} → {}", change.objective, word(change.base), word(change.head)));
    }
    for policy in comparison.policy.iter().filter(|policy| policy.exceeded) {
        let of = policy.step.as_deref().unwrap_or("all requests");
        line(format!("policy: {} of {of} is {} ({})", policy.figure, percent(policy.change), policy.source));
    }
    if let Some(control) = &comparison.control {
        line(format!(
            "control: {} of {} comparisons of a platform with itself cried; at most {:.1} % false alarms with 95 % \
             confidence{}",
            control.alarms,
            control.runs,
            control.upper * 100.0,
            if control.demoted { ": too many, so this gate only advises" } else { "" }
        ));
    }
    for note in &comparison.notes {
        line(format!("note: {note}"));
    }
    out
}

/// Rows that say something: percentiles, and failures where there are any.
fn worth(row: &ComparisonRow) -> bool {
    let some = row.base.unwrap_or(0.0) > 0.0 || row.head.unwrap_or(0.0) > 0.0;
    row.figure == "p95"
        || row.judgement == Change::Worse
        || row.judgement == Change::Better
        || (row.figure == "failed" && some)
}

fn cells(row: &ComparisonRow) -> [String; 8] {
    let sign = match row.judgement {
        Change::Identical => "=",
        Change::Same | Change::Unknown => " ",
        Change::Better => "▼ better",
        Change::Worse => "▲ WORSE",
    };
    let value = |value: Option<f64>| match value {
        Some(value) if row.unit == "ms" && value < 10.0 => format!("{value:.2} ms"),
        Some(value) if row.unit == "ms" => format!("{value:.0} ms"),
        Some(value) => format!("{value:.2} %"),
        None => "–".into(),
    };
    [
        sign.into(),
        row.step.clone().unwrap_or_else(|| "all requests".into()),
        row.figure.clone(),
        value(row.base),
        value(row.head),
        row.change.map_or("–".into(), percent),
        row.interval.map_or(String::new(), |(low, high)| format!("{} … {}", percent(low), percent(high))),
        row.detectable.map_or(String::new(), percent),
    ]
}

fn table(rows: &[[String; 8]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let told = |row: &[String; 8]| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            line += "  ";
            line += &if column < 3 { format!("{cell}{pad}") } else { format!("{pad}{cell}") };
        }
        line
    };
    rows.iter().map(told).collect()
}
