//! CPU and memory as Kubernetes writes them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// CPU in thousandths of a core, as `resources.requests.cpu` writes it: `"250m"` is a quarter, `"2"` two cores.
///
/// A finer quantity rounds **up**, as Kubernetes' `MilliValue()` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicores(u64);

impl Millicores {
    /// No CPU at all.
    pub const ZERO: Self = Self(0);
    /// From thousandths of a core.
    pub const fn new(milli: u64) -> Self {
        Self(milli)
    }
    /// From whole cores.
    pub const fn from_cores(cores: u64) -> Self {
        Self(cores.saturating_mul(1_000))
    }
    /// Thousandths of a core.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Memory in bytes, as `resources.requests.memory` writes it: `"256Mi"`, `"1G"`. Fractions round up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(u64);

impl Bytes {
    /// No memory at all.
    pub const ZERO: Self = Self(0);
    /// From a count of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }
    /// From mebibytes.
    pub const fn from_mebi(mebi: u64) -> Self {
        Self(mebi.saturating_mul(1 << 20))
    }
    /// The count of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Thousandths of whatever a metric counts, as an autoscaler compares it: `"1500m"` is one and a half, `"10"` ten.
///
/// A finer quantity rounds away from zero, as Kubernetes' `MilliValue()` does. May be negative: a metric may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milli(i64);

impl Milli {
    /// From thousandths.
    pub const fn new(milli: i64) -> Self {
        Self(milli)
    }
    /// Thousandths.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for Milli {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseQuantityError { text: text.to_owned() };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let milli = i64::try_from(parse(digits, 1_000).map_err(|_| error())?).map_err(|_| error())?;
        Ok(Self(if negative { -milli } else { milli }))
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1_000 == 0 { f.pad(&(self.0 / 1_000).to_string()) } else { f.pad(&format!("{}m", self.0)) }
    }
}

/// A share in billionths, which is as fine as a Kubernetes quantity gets: `"0.05"`, `"50m"`. Finer ones round up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Billionths(u64);

impl Billionths {
    /// The count of billionths.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Billionths {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, 1_000_000_000).map(Self)
    }
}

/// Why a text is no Kubernetes quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no Kubernetes quantity: write e.g. 250m or 2 for CPU, 256Mi or 1G for memory")]
pub struct ParseQuantityError {
    text: String,
}

/// Suffix, and its worth as a fraction `numerator / denominator`
/// (`k8s.io/apimachinery/pkg/api/resource/suffix.go`).
const SUFFIXES: [(&str, u128, u128); 16] = [
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1_000),
    ("", 1, 1),
    ("k", 1_000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
];

/// `text` in units of `1 / per_unit`, rounded up.
fn parse(text: &str, per_unit: u128) -> Result<u64, ParseQuantityError> {
    let error = || ParseQuantityError { text: text.to_owned() };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." || number.len() > 19 || fraction.contains('.') {
        return Err(error());
    }
    // `1e3` and `1E3`: a decimal exponent, never to be mistaken for the suffix E (exa), which has no digits behind it.
    let (numerator, denominator) = match suffix.strip_prefix(['e', 'E']).filter(|digits| !digits.is_empty()) {
        Some(exponent) => match exponent.parse::<i32>().map_err(|_| error())? {
            positive @ 0..=18 => (10u128.pow(positive.unsigned_abs()), 1),
            negative @ -18..=-1 => (1, 10u128.pow(negative.unsigned_abs())),
            _ => return Err(error()),
        },
        None => SUFFIXES.iter().find(|(name, ..)| *name == suffix).map(|&(_, n, d)| (n, d)).ok_or_else(error)?,
    };
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
    let denominator = denominator * 10u128.pow(fraction.len() as u32);
    let scaled = digits.checked_mul(numerator).and_then(|v| v.checked_mul(per_unit)).ok_or_else(error)?;
    u64::try_from(scaled.div_ceil(denominator)).map_err(|_| error())
}

impl FromStr for Millicores {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, 1_000).map(Self)
    }
}

impl FromStr for Bytes {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, 1).map(Self)
    }
}

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000) { f.pad(&(self.0 / 1_000).to_string()) } else { f.pad(&format!("{}m", self.0)) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, size) in [("Gi", 1u64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return f.pad(&format!("{}{suffix}", self.0 / size));
            }
        }
        f.pad(&self.0.to_string())
    }
}

macro_rules! amounts {
    ($($amount:ident),*) => {$(
        impl Add for $amount {
            type Output = Self;
            fn add(self, other: Self) -> Self { Self(self.0.saturating_add(other.0)) }
        }
        impl Sub for $amount {
            type Output = Self;
            fn sub(self, other: Self) -> Self { Self(self.0.saturating_sub(other.0)) }
        }
        impl Sum for $amount {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self { all.fold(Self::ZERO, Add::add) }
        }
    )*};
}
amounts!(Millicores, Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_manifests_write() {
        for (text, milli) in [("250m", 250), ("2", 2_000), ("1.5", 1_500), ("0.0001", 1), ("100u", 1), ("1e1", 10_000)]
        {
            assert_eq!(text.parse(), Ok(Millicores(milli)), "{text}");
        }
        for (text, bytes) in [
            ("256Mi", 256 << 20),
            ("1G", 1_000_000_000),
            ("1.5Gi", 3 << 29),
            ("1E", 10u64.pow(18)),
            ("128974848000m", 128_974_848),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for (text, milli) in
            [("10", 10_000), ("-1.5", -1_500), ("100u", 1), ("-100u", -1), ("9223372036854775807m", i64::MAX)]
        {
            assert_eq!(text.parse(), Ok(Milli(milli)), "{text}");
        }
        for text in ["", "m", "1mi", "-1", "1 Gi", ".", "1e99", "99999999999999999999"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
