//! One-liners: `p95 < 800ms for core`, `5xx <= 1% over 30d`, `failed = 0 during rollingUpdate`.
//!
//! ```text
//! LINE   := METRIC OPERATOR FIGURE CLAUSE*
//! METRIC := pNN | failed | availability | rejected | 5xx | 4xx | a status | recovery
//!         | target down | database down | redis down | node cpu | node memory
//! CLAUSE := for FLOW-OR-STEP | in PHASE | over WINDOW [and WINDOW] | during FAULT | after FAULT | vs baseline
//! ```
//! A name of several words stands in quotation marks. k6 knows the beginning of it; its rest is what k6 cannot say.

use record::{Bad, PhaseKind};
use units::Nanos;

use crate::error::nearest;
use crate::objective::{Faults, Goal, Objective, Requests, Resource, Subject, Window};
use crate::parse::CONFIDENCE;

const METRICS: [&str; 14] = [
    "p50",
    "p95",
    "p99",
    "failed",
    "availability",
    "rejected",
    "5xx",
    "4xx",
    "429",
    "403",
    "recovery",
    "target down",
    "database down",
    "node cpu",
];
const CLAUSES: [&str; 6] = ["for", "in", "over", "during", "after", "vs"];

/// Reads a one-liner as an objective that gates. The error says what is wrong and what would do, without a place.
///
/// # Errors
/// In words.
pub fn line(text: &str) -> Result<Objective, String> {
    let words = words(text)?;
    let at = words
        .iter()
        .position(|word| OPERATORS.contains(&word.as_str()))
        .ok_or_else(|| format!("`{text}` has no limit: write `METRIC < FIGURE`, such as `p95 < 800ms for core`"))?;
    let metric = words[..at].join(" ");
    let operator = words[at].as_str();
    let (figure, rest) = words[at + 1..].split_first().ok_or_else(|| {
        format!("`{text}` ends before its figure: write one behind `{operator}`, such as 800ms, 1% or 5/s")
    })?;
    // `1 %` and `800 ms` are one figure in two words.
    let (unit, rest) = match rest.split_first() {
        Some((unit, rest)) if ["%", "/s", "ms", "s", "m", "min", "h"].contains(&unit.as_str()) => (unit.as_str(), rest),
        _ => ("", rest),
    };
    let figure = format!("{figure}{unit}");
    let clauses = clauses(rest)?;
    let goal = goal(&metric, operator, &figure, clauses.baseline)?;
    let faults = match (&clauses.during, &clauses.after) {
        (Some(during), _) => Faults::During(during.clone()),
        (None, Some(after)) => Faults::After(Some(after.clone())),
        (None, None) if matches!(goal, Goal::Recovery { .. }) => Faults::After(None),
        // A count is exact and a down time is about faults: they look at everything.
        (None, None) if matches!(goal, Goal::Down { .. }) => Faults::Include,
        (None, None) => Faults::Outside,
    };
    Ok(Objective {
        name: slug(text),
        title: text.split_whitespace().collect::<Vec<_>>().join(" "),
        requests: clauses.requests,
        goal,
        windows: clauses.windows,
        source: "as asked for".into(),
        claims: Vec::new(),
        gating: true,
        confidence: CONFIDENCE,
        phases: clauses.kinds.unwrap_or_else(|| vec![PhaseKind::Steady]),
        named_phases: clauses.phases,
        faults,
        scenarios: Vec::new(),
        note: None,
        scope: String::new(),
    })
}

const OPERATORS: [&str; 5] = ["<=", ">=", "<", ">", "="];

/// Words, with operators apart and quoted names whole.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    let end = |word: &mut String, words: &mut Vec<String>| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => end(&mut word, &mut words),
            '"' | '\'' => {
                end(&mut word, &mut words);
                loop {
                    match letters.next() {
                        Some(next) if next == letter => break,
                        Some(next) => word.push(next),
                        None => return Err(format!("`{text}` lacks its closing quotation mark")),
                    }
                }
                words.push(std::mem::take(&mut word));
            }
            '<' | '>' | '=' | '≤' | '≥' => {
                end(&mut word, &mut words);
                let equal = letters.next_if(|next| *next == '=').is_some();
                words.push(match (letter, equal) {
                    ('<', true) | ('≤', _) => "<=".into(),
                    ('>', true) | ('≥', _) => ">=".into(),
                    (letter, _) => letter.to_string(),
                });
            }
            letter => word.push(letter),
        }
    }
    end(&mut word, &mut words);
    Ok(words)
}

struct Clauses {
    requests: Requests,
    kinds: Option<Vec<PhaseKind>>,
    phases: Vec<String>,
    windows: Vec<Window>,
    during: Option<String>,
    after: Option<String>,
    baseline: bool,
}

fn clauses(words: &[String]) -> Result<Clauses, String> {
    let mut all = Clauses {
        requests: Requests::All,
        kinds: None,
        phases: Vec::new(),
        windows: Vec::new(),
        during: None,
        after: None,
        baseline: false,
    };
    let mut rest = words.iter().peekable();
    while let Some(clause) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{clause}` ends the line: write what comes behind it"))?;
        match clause.as_str() {
            "for" => all.requests = Requests::Named(value.clone()),
            "in" => match kind(value) {
                Some(kind) => all.kinds.get_or_insert_default().push(kind),
                None => all.phases.push(value.clone()),
            },
            "over" => {
                all.windows.push(window(value)?);
                if rest.next_if(|next| *next == "and").is_some() {
                    let short = rest.next().ok_or("`and` ends the line: write the short window behind it")?;
                    all.windows.push(window(short)?);
                    all.windows.sort_by_key(|window| std::cmp::Reverse(window.length));
                }
            }
            "during" => all.during = Some(value.clone()),
            "after" => all.after = Some(value.clone()),
            "vs" if value == "baseline" => all.baseline = true,
            "vs" => return Err(format!("`vs {value}`: a line is held against `vs baseline` alone")),
            other => {
                let known = CLAUSES.map(str::to_owned);
                return Err(match nearest(other, &known) {
                    Some(near) => format!("`{other}` is no word of a line; did you mean `{near}`?"),
                    None => format!("`{other}` is no word of a line; it knows {}", CLAUSES.join(", ")),
                });
            }
        }
    }
    Ok(all)
}

fn kind(text: &str) -> Option<PhaseKind> {
    Some(match text {
        "warm-up" => PhaseKind::WarmUp,
        "steady" => PhaseKind::Steady,
        "probe" => PhaseKind::Probe,
        "ramp-down" => PhaseKind::RampDown,
        _ => return None,
    })
}

fn window(text: &str) -> Result<Window, String> {
    Window::parse(text).ok_or_else(|| format!("`{text}` is no window: write a count and a unit, such as 10m or 30d"))
}

fn goal(metric: &str, operator: &str, figure: &str, baseline: bool) -> Result<Goal, String> {
    let upper = || match operator {
        "<" | "<=" => Ok(()),
        _ => Err(format!("`{metric}` is limited from above: write `{metric} < {figure}`")),
    };
    let duration = || {
        let time = figure.replace("min", "m").parse::<Nanos>().ok().filter(|time| *time > Nanos::ZERO);
        time.ok_or_else(|| format!("`{figure}` is no time: write one with its unit, such as 800ms"))
    };
    let share = || {
        let number = figure.strip_suffix('%').map(|number| number.trim_start_matches('+'));
        let share = number.and_then(|number| number.parse::<f64>().ok()).map(|percent| percent / 100.0);
        share
            .filter(|share| *share > 0.0 && *share < 1.0)
            .ok_or_else(|| format!("`{figure}` is no share: write a percentage above 0 % and below 100 %, such as 1%"))
    };
    if let Some(percent) = metric.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok()) {
        if !(percent > 0.0 && percent < 100.0) {
            return Err(format!("`{metric}` is no percentile: it lies between p0 and p100"));
        }
        upper()?;
        if baseline || figure.starts_with('+') {
            return Ok(Goal::Regression { percent, growth: share()? });
        }
        let allowed = rounded(1.0 - percent / 100.0);
        return Ok(Goal::Share { bad: Bad::Late, limit: Some(duration()?), allowed });
    }
    if let Some(what) = match metric {
        "target down" => Some(Subject::Target),
        "database down" => Some(Subject::Database),
        "redis down" | "cache down" => Some(Subject::Cache),
        _ => None,
    } {
        upper()?;
        return Ok(Goal::Down { what, within: duration()? });
    }
    if let Some(of) = match metric {
        "node cpu" => Some(Resource::Cpu),
        "node memory" => Some(Resource::Memory),
        _ => None,
    } {
        upper()?;
        return Ok(Goal::Usage { of, share: share()? });
    }
    let status = || metric.parse::<u16>().ok().filter(|status| (400..600).contains(status));
    let bad = match metric {
        "recovery" => {
            upper()?;
            return Ok(Goal::Recovery { within: duration()? });
        }
        "availability" | "success" => {
            if !matches!(operator, ">" | ">=") {
                return Err(format!("`{metric}` is limited from below: write `{metric} >= {figure}`"));
            }
            return Ok(Goal::Share { bad: Bad::Failed, limit: None, allowed: rounded(1.0 - share()?) });
        }
        "failed" | "errors" => Bad::Failed,
        "rejected" => Bad::Rejected,
        "5xx" => Bad::Status(500, 599),
        "4xx" => Bad::Status(400, 499),
        _ if status().is_some() => {
            let status = status().unwrap_or_default();
            Bad::Status(status, status)
        }
        _ => {
            let known = METRICS.map(str::to_owned);
            return Err(match nearest(metric, &known) {
                Some(near) => format!("there is no metric `{metric}`; did you mean `{near}`?"),
                None => format!("there is no metric `{metric}`; there are {}", METRICS.join(", ")),
            });
        }
    };
    if let Some(rate) = figure.strip_suffix("/s") {
        upper()?;
        let per_second = rate.parse::<f64>().ok().filter(|rate| *rate > 0.0 && rate.is_finite());
        let per_second = per_second.ok_or_else(|| format!("`{figure}` is no rate: write one above 0, such as 5/s"))?;
        return Ok(Goal::Rate { bad, per_second });
    }
    if let Ok(most) = figure.parse::<u64>() {
        return match operator {
            "=" | "<=" => Ok(Goal::Count { bad, most }),
            "<" if most > 0 => Ok(Goal::Count { bad, most: most - 1 }),
            _ => Err(format!("`{metric}` is limited from above: write `{metric} <= {figure}`")),
        };
    }
    upper()?;
    Ok(Goal::Share { bad, limit: None, allowed: share()? })
}

/// Without the dust of binary fractions, so that 1 − 0.95 is 0.05.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 1e9).round() / 1e9
}

/// `p95-lt-800ms-for-core`: what a test case or a file may be called.
fn slug(text: &str) -> String {
    let text = text.replace("<=", " le ").replace(">=", " ge ").replace('<', " lt ").replace('>', " gt ");
    let text = text.replace('=', " is ").replace('%', "pc");
    let kept = |letter: char| if letter.is_alphanumeric() || letter == '.' { letter } else { ' ' };
    text.chars().map(kept).collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_mean() {
        for (text, figure, windows) in [
            ("p95<800ms for core", "p95 ≤ 800 ms", 0),
            ("p99.9 <= 2s", "p99.9 ≤ 2 s", 0),
            ("5xx <= 1 % over 30d", "5xx ≤ 1 %", 1),
            ("5xx<5% over 5m and 10m", "5xx ≤ 5 %", 2),
            ("availability >= 99.5% over 30d", "failed ≤ 0.5 %", 1),
            ("403 <= 5/s over 10m", "403 ≤ 5/s", 1),
            ("failed = 0 during rollingUpdate", "failed ≤ 0 requests", 0),
            ("target down < 2m", "target down < 2 min", 0),
            ("node cpu ≤ 85% over 5m", "node cpu ≤ 85 %", 1),
            ("recovery < 50s after \"primary lost\"", "recovered within 50 s", 0),
            ("p95 <= +30% vs baseline", "p95 less than 30 % above the baseline", 0),
        ] {
            let objective = line(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((objective.figure().as_str(), objective.windows.len()), (figure, windows), "{text}");
            assert!(objective.gating, "{text}");
        }
        let both = line("5xx<5% over 5m and 10m").unwrap();
        assert_eq!(both.windows[0].text, "10m", "the long one comes first");
        assert_eq!(
            line("recovery<1m after \"primary lost\"").unwrap().faults,
            Faults::After(Some("primary lost".into()))
        );
        assert_eq!(line("p95<800ms for core").unwrap().name, "p95-lt-800ms-for-core");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_do() {
        for (text, want) in [
            ("p95", "has no limit"),
            ("p95 <", "ends before its figure"),
            ("p95 < 800", "no time: write one with its unit"),
            ("p95 > 800ms", "limited from above"),
            ("p100 < 1s", "no percentile"),
            ("fialed < 1%", "did you mean `failed`?"),
            ("failed < 101%", "no share"),
            ("failed < 1% four core", "did you mean `for`?"),
            ("failed < 1% over 10", "no window"),
            ("availability < 99%", "limited from below"),
            ("failed < 1% for", "ends the line"),
            ("recovery < 60s after \"primary", "closing quotation mark"),
            ("p95 < 1s vs yesterday", "vs baseline"),
        ] {
            let error = line(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
