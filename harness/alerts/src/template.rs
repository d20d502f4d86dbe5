//! `{{ $value }}` and its kin in labels and annotations: the part of Go's templates that rules use.

use crate::labels::Labels;
use crate::promql::number;

/// A text with its actions replaced. An action that is not known stays as it is written.
pub(crate) fn expand(text: &str, labels: &Labels, value: f64) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((action, behind)) = after.split_once("}}") else {
            return out + "{{" + after;
        };
        match of_action(action.trim().trim_matches('-').trim(), labels, value) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&format!("{{{{{action}}}}}")),
        }
        rest = behind;
    }
    out + rest
}

enum Datum {
    Text(String),
    Number(f64),
}

impl Datum {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(value) => number(value),
        }
    }
    fn as_number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(value) => Some(*value),
        }
    }
}

fn of_action(action: &str, labels: &Labels, value: f64) -> Option<String> {
    let mut pipe = action.split('|').map(str::trim);
    let mut datum = first(pipe.next()?, labels, value)?;
    for function in pipe {
        datum = piped(function, &datum)?;
    }
    Some(datum.into_text())
}

fn first(word: &str, labels: &Labels, value: f64) -> Option<Datum> {
    if let Some(quoted) = word.strip_prefix("printf ") {
        let (format, argument) = quoted.trim().strip_prefix('"')?.split_once('"')?;
        return printf(format, &first(argument.trim(), labels, value)?);
    }
    if matches!(word, "$value" | ".Value") {
        return Some(Datum::Number(value));
    }
    if let Some(label) = word.strip_prefix("$labels.").or_else(|| word.strip_prefix(".Labels.")) {
        return Some(Datum::Text(labels.get(label).into()));
    }
    if let Some(quoted) = word.strip_prefix("index $labels ") {
        return Some(Datum::Text(labels.get(quoted.trim().trim_matches('"')).into()));
    }
    if let Some((function, argument)) = word.split_once(' ') {
        return piped(function, &first(argument.trim(), labels, value)?);
    }
    word.starts_with("$externalLabels.").then(|| Datum::Text(String::new()))
}

fn piped(function: &str, datum: &Datum) -> Option<Datum> {
    if let Some(format) = function.strip_prefix("printf ") {
        return printf(format.trim().trim_matches('"'), datum);
    }
    let value = || datum.as_number();
    Some(Datum::Text(match function {
        "humanize" => scaled(value()?, 1_000.0, ["", "k", "M", "G", "T", "P", "E", "Z", "Y"], true),
        "humanize1024" => scaled(value()?, 1_024.0, ["", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], false),
        "humanizePercentage" => format!("{}%", significant(value()? * 100.0)),
        "humanizeDuration" => span(value()?),
        "toUpper" | "toLower" | "title" => match (datum, function) {
            (Datum::Text(text), "toUpper") => text.to_uppercase(),
            (Datum::Text(text), "toLower") => text.to_lowercase(),
            _ => return None,
        },
        _ => return None,
    }))
}

fn printf(format: &str, datum: &Datum) -> Option<Datum> {
    let (before, verb) = format.split_once('%')?;
    let end = verb.find(|c: char| c.is_ascii_alphabetic())?;
    let (flags, letter, after) = (&verb[..end], &verb[end..=end], &verb[end + 1..]);
    let digits = flags.split_once('.').and_then(|(_, digits)| digits.parse::<usize>().ok());
    let text = match letter {
        "f" => format!("{:.*}", digits.unwrap_or(6), datum.as_number()?),
        "v" | "s" | "g" => match datum {
            Datum::Text(text) => text.clone(),
            Datum::Number(value) => number(*value),
        },
        _ => return None,
    };
    Some(Datum::Text(format!("{before}{text}{}", after.replace("%%", "%"))))
}

/// Four significant digits, as Go's `%.4g` writes them.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return number(value);
    }
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if (1e-4..1e4).contains(&rounded.abs()) {
        return number(rounded);
    }
    let text = format!("{rounded:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, figure) = exponent.strip_prefix('-').map_or(('+', exponent), |figure| ('-', figure));
    format!("{digits}e{sign}{figure:0>2}")
}

fn scaled(mut value: f64, by: f64, prefixes: [&str; 9], small: bool) -> String {
    if value == 0.0 || !value.is_finite() {
        return significant(value);
    }
    if value.abs() >= 1.0 {
        let mut prefix = 0;
        while value.abs() >= by && prefix + 1 < prefixes.len() {
            value /= by;
            prefix += 1;
        }
        return significant(value) + prefixes[prefix];
    }
    let mut prefix = "";
    for smaller in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if !small || value.abs() >= 1.0 {
            break;
        }
        prefix = smaller;
        value *= 1_000.0;
    }
    significant(value) + prefix
}

fn span(seconds: f64) -> String {
    if !seconds.is_finite() || seconds.abs() < 1.0 {
        return scaled(seconds, 1_000.0, [""; 9], true) + "s";
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = seconds.abs() as i64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {rest}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {rest}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {rest}s")
    } else {
        format!("{sign}{}s", significant(seconds.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rules_write_is_filled_in() {
        let labels: Labels = [("job", "node"), ("pod", "a-1")].into_iter().collect();
        for (text, value, want) in [
            ("{{ $labels.job }}/{{$labels.pod}} down", 0.0, "node/a-1 down"),
            ("value {{ $value }}", 0.0525, "value 0.0525"),
            ("{{ $value | humanizePercentage }}", 0.052_512, "5.251%"),
            ("{{ $value | humanize }}", 12_345.0, "12.35k"),
            ("{{ humanize $value }}", 0.001_5, "1.5m"),
            ("{{ $value | humanizeDuration }}", 95.0, "1m 35s"),
            ("{{ printf \"%.2f\" $value }} s", 1.0, "1.00 s"),
            ("{{ $value | printf \"%.1f\" }}", 0.25, "0.2"),
            ("{{ range query \"up\" }}", 1.0, "{{ range query \"up\" }}"),
            ("{{ broken", 1.0, "{{ broken"),
        ] {
            assert_eq!(expand(text, &labels, value), want, "{text}");
        }
    }
}
