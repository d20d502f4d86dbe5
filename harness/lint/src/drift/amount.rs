//! Declared values beside documented ones: compared as amounts, not as text.

use serde_json::Value;
use units::Nanos;

use super::facts::Documented;

/// How a declared value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Kubernetes: `50m` is a twentieth, `5` of a duration is seconds.
    Kubernetes,
    /// nginx: `50m` is 50 MiB.
    Nginx,
    /// A number of milliseconds.
    Milliseconds,
}

/// Whether `declared` is what is documented. `None` as declared: the field is not there.
pub(super) fn keeps(documented: &Documented, declared: Option<&Value>, dialect: Dialect) -> bool {
    if let Documented::Absent(absent) = documented {
        return declared.is_none() == *absent;
    }
    let Some(declared) = declared else { return false };
    let number = |value: &Value| amount(value, dialect);
    let near = |a: Option<f64>, b: Option<f64>| matches!((a, b), (Some(a), Some(b)) if (a - b).abs() <= 1e-9 * b.abs().max(1.0));
    match documented {
        Documented::Count(want) => near(number(declared), Some(*want as f64)),
        Documented::Ratio(want) => number(declared).is_some_and(|got| (got - want).abs() < 0.005),
        Documented::Quantity(want) => near(number(declared), amount(&Value::from(want.clone()), Dialect::Kubernetes)),
        Documented::Duration(want) => near(seconds(declared, dialect), seconds(&Value::from(want.clone()), dialect)),
        // 5 % is 0.05 in an expression and 5 or "5%" in a manifest.
        Documented::Percent(want) => {
            let got = number(&Value::from(told(declared).trim_end_matches('%').trim()));
            near(got, Some(*want)) || near(got.map(|got| got * 100.0), Some(*want))
        }
        Documented::Flag(want) => match declared {
            Value::Bool(got) => got == want,
            other => told(other).trim_matches('"').parse::<bool>().is_ok_and(|got| got == *want),
        },
        // A bare number, as in an expression over `rate()`, is one a second.
        Documented::Rate(want) => {
            let got = rate(&told(declared)).or_else(|| declared.as_f64().map(|each_second| each_second * 60.0));
            near(got, rate(want))
        }
        Documented::Text(want) => told(declared) == *want,
        Documented::List(want) => {
            let mut got: Vec<_> = declared.as_array().map(|all| all.iter().map(told).collect()).unwrap_or_default();
            let mut want: Vec<_> = want.iter().map(told).collect();
            got.sort();
            want.sort();
            got == want
        }
        Documented::Between(low, high) => {
            bounds(declared, dialect, |got, least, most| least <= got && got <= most, low, high)
        }
        Documented::AtLeast(limit) => bounds(declared, dialect, |got, limit, _| got >= limit, limit, limit),
        Documented::AtMost(limit) => bounds(declared, dialect, |got, limit, _| got <= limit, limit, limit),
        Documented::Below(limit) => bounds(declared, dialect, |got, limit, _| got < limit, limit, limit),
        Documented::Absent(_) => false,
    }
}

fn bounds(
    declared: &Value,
    dialect: Dialect,
    holds: impl Fn(f64, f64, f64) -> bool,
    low: &Value,
    high: &Value,
) -> bool {
    let read = |value: &Value| amount(value, dialect).or_else(|| seconds(value, dialect));
    matches!((read(declared), read(low), read(high)), (Some(got), Some(low), Some(high)) if holds(got, low, high))
}

/// A value in one line, without quotes.
pub(super) fn told(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(told).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What a document says, in one line.
pub(super) fn documented(value: &Documented) -> String {
    match value {
        Documented::Count(n) => n.to_string(),
        Documented::Percent(n) => format!("{n} %"),
        Documented::Ratio(n) => n.to_string(),
        Documented::Flag(flag) => flag.to_string(),
        Documented::Quantity(text) | Documented::Duration(text) | Documented::Rate(text) | Documented::Text(text) => {
            text.clone()
        }
        Documented::Between(low, high) => format!("{} to {}", told(low), told(high)),
        Documented::List(all) => all.iter().map(told).collect::<Vec<_>>().join(", "),
        Documented::AtLeast(limit) => format!("at least {}", told(limit)),
        Documented::AtMost(limit) => format!("at most {}", told(limit)),
        Documented::Below(limit) => format!("below {}", told(limit)),
        Documented::Absent(true) => "not set".into(),
        Documented::Absent(false) => "set".into(),
    }
}

/// A number or a quantity, in its base unit.
pub(super) fn amount(value: &Value, dialect: Dialect) -> Option<f64> {
    if let Some(number) = value.as_f64() {
        return Some(number);
    }
    let text = value.as_str()?.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let binary = |power: i32| number * 1024_f64.powi(power);
    let factor = |by: f64| number * by;
    Some(match (&text[split..], dialect) {
        ("", _) => number,
        ("k" | "K", Dialect::Nginx) | ("Ki", _) => binary(1),
        ("m" | "M", Dialect::Nginx) | ("Mi", _) => binary(2),
        // Prometheus' GB is a power of 1024, too.
        ("g" | "G", Dialect::Nginx) | ("Gi" | "GB", _) => binary(3),
        ("m", _) => factor(1e-3),
        ("k", _) => factor(1e3),
        ("M", _) => factor(1e6),
        ("G", _) => factor(1e9),
        ("Ti", _) => binary(4),
        ("%", _) => factor(0.01),
        _ => return None,
    })
}

/// A duration in seconds; a bare number counts in the dialect's unit.
fn seconds(value: &Value, dialect: Dialect) -> Option<f64> {
    let bare = |number: f64| if dialect == Dialect::Milliseconds { number / 1e3 } else { number };
    if let Some(number) = value.as_f64() {
        return Some(bare(number));
    }
    let text = value.as_str()?.trim();
    match text.parse::<f64>() {
        Ok(number) => Some(bare(number)),
        Err(_) => text.parse::<Nanos>().ok().map(Nanos::as_secs_f64),
    }
}

/// `10r/s` or `60r/m` in requests a minute.
fn rate(text: &str) -> Option<f64> {
    if let Some(number) = text.strip_suffix("r/s") {
        return number.trim().parse::<f64>().ok().map(|n| n * 60.0);
    }
    text.strip_suffix("r/m")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_compared_not_texts() {
        use Dialect::{Kubernetes, Milliseconds, Nginx};
        for (case, documented, declared, dialect, want) in [
            ("a core is a thousand", Documented::Quantity("1".into()), json!("1000m"), Kubernetes, true),
            ("memory", Documented::Quantity("1Gi".into()), json!("1024Mi"), Kubernetes, true),
            ("another", Documented::Quantity("1Gi".into()), json!("1G"), Kubernetes, false),
            ("nginx sizes are binary", Documented::Quantity("50Mi".into()), json!("50m"), Nginx, true),
            ("a minute", Documented::Duration("1m".into()), json!("60s"), Kubernetes, true),
            ("seconds in a manifest", Documented::Duration("5s".into()), json!(5), Kubernetes, true),
            ("milliseconds in a file", Documented::Duration("5s".into()), json!("5000"), Milliseconds, true),
            ("five percent in an expression", Documented::Percent(5.0), json!(0.05), Kubernetes, true),
            ("seventy percent in a manifest", Documented::Percent(70.0), json!(70), Kubernetes, true),
            ("not five percent", Documented::Percent(5.0), json!(0.5), Kubernetes, false),
            ("within", Documented::Between(json!(3), json!(5)), json!(5), Kubernetes, true),
            ("beyond", Documented::Between(json!(3), json!(5)), json!(6), Kubernetes, false),
            ("any order", Documented::List(vec![json!("a"), json!("b")]), json!(["b", "a"]), Kubernetes, true),
            ("one too many", Documented::List(vec![json!("a")]), json!(["b", "a"]), Kubernetes, false),
            ("a flag in quotes", Documented::Flag(true), json!("true"), Kubernetes, true),
            ("rates", Documented::Rate("10r/s".into()), json!("600r/m"), Nginx, true),
            ("a rate in an expression", Documented::Rate("5r/s".into()), json!(5.0), Kubernetes, true),
        ] {
            assert_eq!(keeps(&documented, Some(&declared), dialect), want, "{case}");
        }
        assert!(keeps(&Documented::Absent(true), None, Nginx));
        assert!(!keeps(&Documented::Count(3), None, Kubernetes));
    }
}
