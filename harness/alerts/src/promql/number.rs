//! Numbers as Go writes them.

/// A float as Go's `%v` writes it: the shortest digits that tell it, with an exponent beyond 21 digits.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, figure) = exponent.strip_prefix('-').map_or(('+', exponent), |figure| ('-', figure));
        return format!("{digits}e{sign}{figure:0>2}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_are_written_as_go_does() {
        for (value, want) in [
            (0.05, "0.05"),
            (3.0, "3"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (123_456_789.0, "123456789"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(super::number(value), want);
        }
    }
}
