//! Numbers as people read them: measured with its unit, thin spaces between thousands, a true minus sign.

/// Narrow no-break space, between thousands.
const THIN: char = '\u{202f}';
/// No-break space, before a unit.
const TIED: char = '\u{a0}';

/// `19 501`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// `one` to `twelve`, then figures.
pub(crate) fn spelled(n: usize) -> String {
    const WORDS: [&str; 13] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    WORDS.get(n).map_or_else(|| count(n as u64), |word| (*word).to_owned())
}

/// `one request`, `two requests`.
pub(crate) fn some(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", spelled(n), if n == 1 { one } else { many })
}

/// `3 requests` with the figure.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{}{TIED}{}", count(n), if n == 1 { one } else { many })
}

/// First letter in capitals.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// With `digits` behind the point, none of them a trailing zero, and a true minus.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let fraction = fraction.trim_end_matches('0');
    let nothing = whole == "0" && fraction.is_empty();
    let sign = if value < 0.0 && !nothing { "\u{2212}" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Milliseconds without the unit: `912`, `3.4`, `0.12`.
pub(crate) fn bare_ms(us: f64) -> String {
    let ms = us / 1_000.0;
    let digits = match ms.abs() {
        10.0.. => 0,
        1.0.. => 1,
        _ => 2,
    };
    number(ms, digits)
}

/// `912 ms`, `3.4 ms`.
pub(crate) fn ms(us: u64) -> String {
    format!("{}{TIED}ms", bare_ms(us as f64))
}

/// `94 %`, `3.2 %`, `0.04 %` of a share; what is not nothing never reads 0, what is not all never 100.
pub(crate) fn percent(share: f64) -> String {
    let value = share * 100.0;
    let digits = match value.min(100.0 - value).abs() {
        10.0.. => 0,
        1.0.. => 1,
        0.0095.. => 2,
        0.0 => 0,
        _ => 4,
    };
    format!("{}{TIED}%", number(value, digits))
}

/// A change with its sign: `+12 %`, `−3.4 %`, `0 %`.
pub(crate) fn signed_percent(share: f64) -> String {
    let text = number(share * 100.0, usize::from(share.abs() < 0.1));
    if share > 0.0 && text != "0" { format!("+{text}{TIED}%") } else { format!("{text}{TIED}%") }
}

/// A percentile's name: `p95`, `p99.9`.
pub(crate) fn percentile(percent: f64) -> String {
    format!("p{}", number(percent, 2))
}

/// `0:07`, `12:40`, `1:02:03`; before the start of load `−0:03`.
pub(crate) fn clock(us: i64) -> String {
    let sign = if us < 0 { "\u{2212}" } else { "" };
    let seconds = us.unsigned_abs() / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{sign}{hours}:{minutes:02}:{seconds:02}") } else { format!("{sign}{minutes}:{seconds:02}") }
}

/// A length of time: `640 ms`, `7.2 s`, `2 min 10 s`, `1 h 5 min`.
pub(crate) fn span(us: u64) -> String {
    let seconds = us as f64 / 1e6;
    if seconds < 1.0 {
        return ms(us);
    }
    if seconds < 60.0 {
        return format!("{}{TIED}s", number(seconds, 1));
    }
    let whole = (us + 500_000) / 1_000_000;
    let (hours, minutes, seconds) = (whole / 3_600, whole / 60 % 60, whole % 60);
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).take(2).map(|(n, unit)| format!("{n}{TIED}{unit}")).collect();
    shown.join(&TIED.to_string())
}

/// A documented window such as `10m` or `30d` (OpenSLO's shorthand) for people: `10 min`, `30 d`.
pub(crate) fn window(text: &str) -> String {
    let number = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[number.len()..] {
        "m" => "min",
        "w" => "weeks",
        "M" => "months",
        "Q" => "quarters",
        "Y" => "years",
        other => other,
    };
    format!("{number}{TIED}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds of space read as plain ones, so that the table stays legible.
    fn plain(text: &str) -> String {
        text.replace([THIN, TIED], " ")
    }

    #[test]
    fn figures_read_as_people_write_them() {
        for (text, expected) in [
            (count(0), "0"),
            (count(999), "999"),
            (count(1_234_567), "1 234 567"),
            (some(1, "request", "requests"), "one request"),
            (some(0, "request", "requests"), "no requests"),
            (counted(13_000, "request", "requests"), "13 000 requests"),
            (number(-0.04, 1), "0"),
            (number(-12.5, 1), "\u{2212}12.5"),
            (number(99.0, 2), "99"),
            (number(1_416.0, 0), "1 416"),
            (ms(912_400), "912 ms"),
            (ms(3_440), "3.4 ms"),
            (ms(120), "0.12 ms"),
            (ms(0), "0 ms"),
            (percent(0.0), "0 %"),
            (percent(1.0), "100 %"),
            (percent(0.9996), "99.96 %"),
            (percent(0.05), "5 %"),
            (percent(0.000_04), "0.004 %"),
            (percent(0.94), "94 %"),
            (percentile(99.9), "p99.9"),
            (clock(71_400_000), "1:11"),
            (clock(-3_000_000), "\u{2212}0:03"),
            (clock(3_723_000_000), "1:02:03"),
            (span(640_000), "640 ms"),
            (span(7_200_000), "7.2 s"),
            (span(130_000_000), "2 min 10 s"),
            (span(120_000_000), "2 min"),
            (span(3_900_000_000), "1 h 5 min"),
            (list(&["a".into(), "b".into(), "c".into()]), "a, b and c"),
            (percent(0.000_307), "0.03 %"),
            (window("10m"), "10 min"),
            (window("30d"), "30 d"),
            (sentence("one holds"), "One holds"),
        ] {
            assert_eq!(plain(&text), expected);
        }
    }
}
