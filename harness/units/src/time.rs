//! Instants and durations in nanoseconds, and their text form.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds: an instant since the run's epoch, or a duration. Arithmetic saturates at both ends.
///
/// As text it is a Go duration, the form Kubernetes uses: `"250ms"`, `"1m30s"`. Days and weeks are read, too, as
/// Prometheus writes them: `"1d12h"`.
///
/// ```
/// use units::Nanos;
/// assert_eq!("1m30s".parse(), Ok(Nanos::from_secs(90)));
/// assert_eq!(Nanos::from_millis(1_500).to_string(), "1.5s");
/// assert!("90".parse::<Nanos>().is_err()); // a number without a unit says nothing
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(u64);

impl Nanos {
    /// The run's epoch, or no time at all.
    pub const ZERO: Self = Self(0);
    /// Later than anything: 584 years.
    pub const MAX: Self = Self(u64::MAX);

    /// From a count of nanoseconds.
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }
    /// From a count of microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }
    /// From a count of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
    /// From a count of seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }
    /// From seconds as a float, rounded to the nanosecond; negative and NaN become zero.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e9 + 0.5) as u64) // `as` saturates, and maps NaN to 0
    }
    /// The count of nanoseconds.
    pub const fn get(self) -> u64 {
        self.0
    }
    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
    /// Whole milliseconds, rounded down: nginx's clock.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    /// Milliseconds with their fraction, for people.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
    /// Seconds with their fraction, for people.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// The next whole second at or after this instant.
    #[must_use]
    pub const fn ceil_to_second(self) -> Self {
        Self(self.0.div_ceil(1_000_000_000).saturating_mul(1_000_000_000))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Nanos {
    type Output = Self;
    /// Saturates at zero: two tasks that race may read their clocks a tick apart.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Nanos {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<u64> for Nanos {
    type Output = Self;
    fn div(self, by: u64) -> Self {
        Self(self.0 / by)
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// Prometheus' own, which Go does not have: read and never printed.
const LONG_UNITS: [(&str, u64); 2] = [("w", 7 * 24 * 3_600_000_000_000), ("d", 24 * 3_600_000_000_000)];

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.0 / UNITS[0].1, self.0 % UNITS[0].1 / UNITS[1].1);
        let rest = self.0 % UNITS[1].1;
        let mut text = String::new();
        if hours > 0 {
            text += &hours.to_string();
            text.push('h');
        }
        if minutes > 0 {
            text += &minutes.to_string();
            text.push('m');
        }
        if rest > 0 || text.is_empty() {
            // The largest unit of the rest, with up to three digits behind the point.
            let (name, scale) = *UNITS[2..].iter().find(|(_, scale)| rest >= *scale).unwrap_or(&UNITS[2]);
            let thousandths = (u128::from(rest) * 1_000 / u128::from(scale)) as u64;
            text.push_str(&(thousandths / 1_000).to_string());
            if !thousandths.is_multiple_of(1_000) {
                text.push_str(format!(".{:03}", thousandths % 1_000).trim_end_matches('0'));
            }
            text.push_str(name);
        }
        f.pad(&text)
    }
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration: write a number with a unit, such as 250ms, 15s or 1m30s")]
pub struct ParseDurationError {
    text: String,
}

impl FromStr for Nanos {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDurationError { text: text.to_owned() };
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let mut rest = text;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let (_, scale) = UNITS.iter().chain(&LONG_UNITS).find(|(name, _)| *name == unit).ok_or_else(error)?;
            total += decimal(number, *scale).ok_or_else(error)?;
            rest = tail;
        }
        match u64::try_from(total) {
            Ok(nanos) if !text.is_empty() => Ok(Self(nanos)),
            _ => Err(error()),
        }
    }
}

/// `"1.5"` times `scale`, exactly where the scale allows and rounded down where it does not.
fn decimal(number: &str, scale: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 18 || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * u128::from(scale) + part * u128::from(scale) / 10u128.pow(fraction.len() as u32))
}

impl Serialize for Nanos {
    /// As text, so that a file never leaves its reader to guess the unit.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Display shortens for people; a file keeps every nanosecond.
        let exact = if self.0.is_multiple_of(1_000_000_000) {
            format!("{}s", self.0 / 1_000_000_000)
        } else if self.0.is_multiple_of(1_000_000) {
            format!("{}ms", self.0 / 1_000_000)
        } else {
            format!("{}ns", self.0)
        };
        to.serialize_str(&exact)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_go_durations() {
        for (text, nanos, printed) in [
            ("0", 0, "0s"),
            ("15s", 15_000_000_000, "15s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("2h", 7_200_000_000_000, "2h"),
            ("250us", 250_000, "250us"),
            ("0.1ms", 100_000, "100us"),
            ("1d12h", 129_600_000_000_000, "36h"),
            ("2w", 1_209_600_000_000_000, "336h"),
        ] {
            let parsed: Nanos = text.parse().unwrap();
            assert_eq!((parsed.get(), parsed.to_string().as_str()), (nanos, printed), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_number() {
        for text in ["", "90", "s", "-3s", "1.2.3s", "5 s", "1y", "99999999999999999999s", "."] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Nanos::ZERO - Nanos::from_secs(1), Nanos::ZERO);
        assert_eq!(Nanos::MAX + Nanos::from_secs(1), Nanos::MAX);
        assert_eq!(Nanos::from_secs_f64(f64::NAN), Nanos::ZERO);
    }
}
