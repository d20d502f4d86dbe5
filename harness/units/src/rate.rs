//! Events per second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Events per second in thousandths, as scenarios and nginx write it: `"10/s"`, `"10r/s"`, `"7r/m"`.
///
/// A rate per minute is divided in integers and rounds down, as nginx does:
/// `7r/m` is 116 thousandths a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Nothing ever happens.
    pub const ZERO: Self = Self(0);
    /// From whole events per second.
    pub const fn per_second(events: u64) -> Self {
        Self(events.saturating_mul(1_000))
    }
    /// From thousandths of an event per second.
    pub const fn from_milli(milli: u64) -> Self {
        Self(milli)
    }
    /// Thousandths of an event per second.
    pub const fn milli(self) -> u64 {
        self.0
    }
    /// Events per second with their fraction.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.as_f64()))
    }
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no rate: write e.g. 20/s or 90/m")]
pub struct ParseRateError {
    text: String,
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseRateError { text: text.to_owned() };
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let number = number.strip_suffix('r').unwrap_or(number);
        let per = match unit {
            "s" => 1,
            "m" => 60,
            _ => return Err(error()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 3 || whole.len() > 12 || whole.is_empty() {
            return Err(error());
        }
        let milli: u64 = format!("{whole}{fraction:0<3}").parse().map_err(|_| error())?;
        Ok(Self(milli / per))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divides_minutes_as_nginx_does() {
        for (text, milli) in
            [("10r/s", 10_000), ("1r/m", 16), ("7r/m", 116), ("100r/m", 1_666), ("0.5/s", 500), ("20/s", 20_000)]
        {
            assert_eq!(text.parse(), Ok(Rate(milli)), "{text}");
        }
        for text in ["10", "r/s", "-1/s", "1/h", "1.2345/s", "NaN/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
