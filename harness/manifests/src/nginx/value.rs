//! nginx's units (`src/core/ngx_parse.c`) and its rates.

use units::{Bytes, Nanos, Rate};

use super::tree::Directive;
use super::{NginxError, Reader};

/// Shared memory of eight pages is the least a zone may have.
const ZONE_MIN: u64 = 8 * 4096;

impl Reader<'_> {
    /// A time: `10s`, `1m30s`, `500ms`, or seconds without a unit.
    pub(super) fn time(&self, directive: &Directive, text: &str) -> Result<Nanos, NginxError> {
        time(text).ok_or_else(|| {
            self.refused(directive, &format!("`{text}` is no time"), "write e.g. 10s, 1m30s, 500ms or 65 (seconds)")
        })
    }

    /// A size: `1024`, `1k`, `10m`, `1g`.
    pub(super) fn size(&self, directive: &Directive, text: &str) -> Result<Bytes, NginxError> {
        size(text).ok_or_else(|| {
            self.refused(directive, &format!("`{text}` is no size"), "write e.g. 8k, 10m or 1g, or bytes")
        })
    }

    /// A zone's size.
    pub(super) fn zone_size(&self, directive: &Directive, text: &str) -> Result<Bytes, NginxError> {
        let size = self.size(directive, text)?;
        if size.get() >= ZONE_MIN {
            return Ok(size);
        }
        Err(self.refused(directive, &format!("the zone's {text} are too small"), "write 32k or more"))
    }

    /// `10r/s` or `7r/m`, whole and above zero.
    pub(super) fn rate(&self, directive: &Directive, text: &str) -> Result<Rate, NginxError> {
        let digits = text.strip_suffix("r/s").or(text.strip_suffix("r/m")).unwrap_or_default();
        let whole = digits.parse::<u32>().is_ok_and(|rate| rate > 0) && !digits.starts_with('+');
        whole.then(|| text.parse().ok()).flatten().ok_or_else(|| {
            self.refused(directive, &format!("`{text}` is no rate"), "write a whole number as in 10r/s or 90r/m")
        })
    }

    /// `on` or `off`.
    pub(super) fn flag(&self, directive: &Directive) -> Result<bool, NginxError> {
        match self.one(directive)? {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(self.refused(directive, &format!("`{other}` is no switch"), "write on or off")),
        }
    }
}

/// Units in falling order, as nginx demands them within one time.
const UNITS: [(&str, u64); 8] = [
    ("y", 365 * 86_400_000),
    ("M", 30 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn time(text: &str) -> Option<Nanos> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let unit = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let name = if unit == 0 { "s" } else { &tail[..unit] };
        // A number without a unit is seconds, and the last one.
        if unit == 0 && !tail.is_empty() {
            return None;
        }
        let at = units.iter().position(|(known, _)| *known == name)?;
        millis = millis.checked_add(number.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = tail[unit..].trim_start_matches(' ');
    }
    (!text.is_empty() && millis <= u64::from(u32::MAX) * 1_000).then(|| Nanos::from_millis(millis))
}

fn size(text: &str) -> Option<Bytes> {
    let (digits, shift) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'm' | 'M') => (&text[..at], 20),
        (at, 'g' | 'G') => (&text[..at], 30),
        _ => (text, 0),
    };
    let digits = Some(digits).filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, millis) in [
            ("65", Some(65_000)),
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1h 5", Some(3_605_000)),
            ("1d", Some(86_400_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("30s1m", None),
            ("5 6", None),
            ("10x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text), millis.map(Nanos::from_millis), "`{text}`");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1024", Some(1_024)),
            ("1k", Some(1 << 10)),
            ("10m", Some(10 << 20)),
            ("1G", Some(1 << 30)),
            ("0", Some(0)),
            ("", None),
            ("k", None),
            ("+1", None),
            ("10mb", None),
            ("10µ", None),
            ("99999999999g", None),
        ] {
            assert_eq!(size(text), bytes.map(Bytes::new), "`{text}`");
        }
    }
}
