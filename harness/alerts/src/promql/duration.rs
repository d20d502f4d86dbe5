//! Prometheus' durations: `1h30m`, units from large to small, each once.

/// Milliseconds of a duration (`common/model/time.go`, `ParseDuration`); `None`: it is none.
pub fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut next, mut total) = (text, 0, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        let end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[digits..end]).filter(|unit| *unit >= next)?;
        next = unit + 1;
        total = total.checked_add(count.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// A duration for people: `10m`, `1h30m`, `45s`.
pub fn duration_in_words(ms: i64) -> String {
    let mut text = String::new();
    let mut rest = ms.max(0);
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_does() {
        for (text, want) in [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("30m1h", None),
            ("1m1m", None),
            ("5", None),
            ("", None),
            ("m", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
        assert_eq!(duration_in_words(5_430_000), "1h30m30s");
    }
}
