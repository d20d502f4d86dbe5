//! The small words of a scenario: `24/s`, `1s to 2s`, `steady + 30s`. Each is read where it stands and keeps its
//! place, so that every wrong one can be told at once; each has its line in the schema.

use std::borrow::Cow;
use std::fmt;

use record::{Cause, PhaseKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_saphyr::Spanned;
use units::{Bytes, Distribution, Millicores, Nanos, Rate};

use crate::problem::Place;
use crate::{ArrivalLaw, Bounds, Door, Ending, Payload, PayloadKind, StatusRange};

/// A word of the file.
pub(crate) trait Word: Sized {
    /// Reads it, or says what is wrong and what would do.
    fn read(text: &str) -> Result<Self, String>;
    /// Its JSON Schema.
    fn schema() -> serde_json::Value;
}

/// A word and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) text: String,
    pub(crate) value: Result<T, String>,
    pub(crate) place: Place,
}

impl<'de, T: Word> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Scalar>::deserialize(from)?;
        let text = spanned.value.0.trim().to_owned();
        Ok(Self { value: T::read(&text), text, place: spanned.referenced.into() })
    }
}

impl<T: Word> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema().try_into().unwrap_or_else(|_| json_schema!({}))
    }
}

/// Any scalar as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Scalars;
        macro_rules! scalars {
            ($($visit:ident: $from:ty),*) => {$(
                fn $visit<E: serde::de::Error>(self, value: $from) -> Result<Scalar, E> {
                    Ok(Scalar(value.to_string()))
                }
            )*};
        }
        impl serde::de::Visitor<'_> for Scalars {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }
        }
        from.deserialize_str(Scalars) // as it stands there: `n` is a name, and `off` is no boolean
    }
}

impl Word for String {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a name is wanted here".into()) } else { Ok(text.to_owned()) }
    }
    fn schema() -> serde_json::Value {
        json!({"type": ["string", "number", "boolean"]})
    }
}

impl Word for bool {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "boolean"})
    }
}

/// A whole number from 1 up.
impl Word for u32 {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{text}` is no whole number of at least 1"))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
    }
}

const DURATION: &str = r"([0-9.]+(h|m|s|ms|us|ns))+";
const RATE: &str = r"[0-9.]+/[sm]";

/// A duration above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span(pub(crate) Nanos);

impl Word for Span {
    fn read(text: &str) -> Result<Self, String> {
        let span: Nanos = text.parse().map_err(|error: units::ParseDurationError| error.to_string())?;
        if span == Nanos::ZERO {
            return Err(format!("`{text}` lasts no time: give it a duration above zero"));
        }
        if span > Nanos::from_secs(366 * 86_400) {
            return Err(format!("`{text}` is longer than a year"));
        }
        Ok(Self(span))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": format!("^{DURATION}$"), "examples": ["250ms", "1m30s"]})
    }
}

/// How long a user thinks: `1s`, `1s to 2s`, `exponential 2s`.
impl Word for Distribution {
    fn read(text: &str) -> Result<Self, String> {
        let span = |text: &str| text.trim().parse::<Nanos>();
        let wrong = |_| format!("`{text}` is no span of time to draw from: write 1s, 1s to 2s, or exponential 2s");
        if let Some(mean) = text.strip_prefix("exponential ") {
            return Span::read(mean.trim()).map(|mean| Self::Exponential(mean.0));
        }
        match text.split_once(" to ") {
            Some((from, to)) => match (span(from).map_err(wrong)?, span(to).map_err(wrong)?) {
                (from, to) if from < to => Ok(Distribution::Uniform { from, to }),
                _ => Err(format!("`{text}` ends before it begins: write the shorter one first")),
            },
            None => span(text).map(Self::Constant).map_err(wrong),
        }
    }
    fn schema() -> serde_json::Value {
        let pattern = format!("^(exponential )?{DURATION}( to {DURATION})?$");
        json!({"type": "string", "pattern": pattern, "examples": ["1s", "1s to 2s", "exponential 2s"]})
    }
}

macro_rules! choices {
    ($type:ty, $what:literal, $($word:literal => $value:expr),* $(,)?) => {
        impl Word for $type {
            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)*
                    _ => Err(format!("`{text}` is no {}{}", $what, crate::problem::nearest(text, [$($word),*]))),
                }
            }
            fn schema() -> serde_json::Value {
                json!({"type": "string", "enum": [$($word),*]})
            }
        }
    };
}

choices! { PhaseKind, "kind of phase",
    "warm-up" => Self::WarmUp, "steady" => Self::Steady, "probe" => Self::Probe, "ramp-down" => Self::RampDown,
}
choices! { Door, "place where a request enters",
    "gateway" => Self::Gateway, "ingress" => Self::Ingress, "ingress-tls" => Self::IngressTls,
}
choices! { ArrivalLaw, "law of arrivals", "poisson" => Self::Poisson, "even" => Self::Even }
choices! { Cause, "failure that a client can retry",
    "rejected" => Self::Limited, "5xx" => Self::ServerError, "4xx" => Self::ClientError, "gateway" => Self::Gateway,
    "refused" => Self::Refused, "reset" => Self::Reset, "timeout" => Self::Timeout,
}

/// What an expectation is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum That {
    Ended(Ending),
    Replicas,
    Recovered,
}
choices! { That, "thing to expect",
    "answered" => Self::Ended(Ending::Answered), "rejected" => Self::Ended(Ending::Rejected),
    "failed" => Self::Ended(Ending::Failed), "replicas" => Self::Replicas, "recovered" => Self::Recovered,
}

/// `GET /path`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestLine {
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Word for RequestLine {
    fn read(text: &str) -> Result<Self, String> {
        let parts = text.split_once(' ').map(|(method, path)| (method, path.trim()));
        match parts {
            Some((method, path))
                if path.starts_with('/')
                    && !path.contains(char::is_whitespace)
                    && !method.is_empty()
                    && method.bytes().all(|byte| byte.is_ascii_uppercase()) =>
            {
                Ok(Self { method: method.into(), path: path.into() })
            }
            _ => Err(format!("request `{text}` is not of the form `GET /path`")),
        }
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": "^[A-Z]+ +/[^ ]*$", "examples": ["POST /auth/token"]})
    }
}

/// Statuses: `200`, `2xx`, `200, 404`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statuses(pub(crate) Vec<StatusRange>);

impl Word for Statuses {
    fn read(text: &str) -> Result<Self, String> {
        let range = |part: &str| {
            let part = part.trim();
            let (first, last) = match part.strip_suffix("xx") {
                Some(class) => {
                    let class: u16 = class.parse().ok()?;
                    (class.checked_mul(100)?, class.checked_mul(100)? + 99)
                }
                None => (part.parse().ok()?, part.parse().ok()?),
            };
            (100..600).contains(&first).then_some(StatusRange { first, last })
        };
        let all: Option<Vec<_>> = text.split(',').map(range).collect();
        all.map(Self).ok_or_else(|| format!("`{text}` are no HTTP statuses: write 200, or 2xx, or 200, 404"))
    }
    fn schema() -> serde_json::Value {
        let pattern = "^[1-5]([0-9]{2}|xx)( *, *[1-5]([0-9]{2}|xx))*$";
        json!({"type": ["string", "integer"], "pattern": pattern, "minimum": 100, "maximum": 599})
    }
}

/// The status that an injected error answers with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ErrorStatus(pub(crate) u16);

impl Word for ErrorStatus {
    fn read(text: &str) -> Result<Self, String> {
        let status = text.parse().ok().filter(|status| (400..600).contains(status));
        status.map(Self).ok_or_else(|| format!("`{text}` is no status of an error: 400 to 599"))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "integer", "minimum": 400, "maximum": 599})
    }
}

/// `document 2Mi`.
impl Word for Payload {
    fn read(text: &str) -> Result<Self, String> {
        let (kind, size) = text.split_once(' ').map_or((text, None), |(kind, size)| (kind, Some(size.trim())));
        let size = match size.map(str::parse::<Bytes>) {
            Some(Ok(size)) if size > Bytes::new(1 << 30) => return Err(format!("`{text}` is larger than 1Gi")),
            Some(Ok(size)) => Some(size),
            Some(Err(error)) => return Err(error.to_string()),
            None => None,
        };
        PayloadKind::read(kind).map(|kind| Self { kind, size })
    }
    fn schema() -> serde_json::Value {
        let kinds = PayloadKind::schema()["enum"].as_array().cloned().unwrap_or_default();
        let kinds: Vec<_> = kinds.iter().filter_map(|kind| kind.as_str()).collect();
        let pattern = format!("^({})( +[0-9.]+[A-Za-z]*)?$", kinds.join("|"));
        json!({"type": "string", "pattern": pattern, "examples": ["transaction", "document 2Mi"]})
    }
}
choices! { PayloadKind, "kind of payload",
    "user" => Self::User, "credentials" => Self::Credentials, "transaction" => Self::Transaction, "chat" => Self::Chat,
    "bank-sync" => Self::BankSync, "tax-submission" => Self::TaxSubmission, "document" => Self::Document,
}

/// A share of a whole, from nothing to all, in thousandths of a percent: `80 %`, `0.5 %`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub(crate) u32);

impl Percent {
    pub(crate) const ALL: u32 = 100_000;
    pub(crate) fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL)
    }
}

impl Word for Percent {
    fn read(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').map(str::trim).and_then(|number| number.parse::<f64>().ok());
        let kept = number.filter(|number| (0.0..=100.0).contains(number));
        kept.map(|number| Self((number * 1e3 + 0.5) as u32))
            .ok_or_else(|| format!("`{text}` is no share: write 0 % to 100 %"))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": "^[0-9.]+ *%$", "examples": ["80 %"]})
    }
}

/// `0`, `5 %`, `at most 1 %`, `at least 10`, `between 5 % and 60 %`.
impl Word for Bounds {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no bound: write 0, at most 1 %, at least 10, or between 5 % and 60 %");
        let (low, high) = if let Some(most) = text.strip_prefix("at most ") {
            (None, Some(most))
        } else if let Some(least) = text.strip_prefix("at least ") {
            (Some(least), None)
        } else if let Some((low, high)) = text.strip_prefix("between ").and_then(|rest| rest.split_once(" and ")) {
            (Some(low), Some(high))
        } else {
            (Some(text), Some(text))
        };
        let shares = text.contains('%');
        if shares {
            let read = |part: Option<&str>, open: f64| match part {
                Some(part) => Percent::read(part.trim()).map(Percent::share),
                None => Ok(open),
            };
            let (min, max) = (read(low, 0.0).map_err(|_| wrong())?, read(high, 1.0).map_err(|_| wrong())?);
            if min > max { Err(wrong()) } else { Ok(Self::Share { min, max }) }
        } else {
            let read = |part: Option<&str>, open: u64| part.map_or(Ok(open), |part| part.trim().parse());
            let (min, max) = (read(low, 0).map_err(|_| wrong())?, read(high, u64::MAX).map_err(|_| wrong())?);
            if min > max { Err(wrong()) } else { Ok(Self::Count { min, max }) }
        }
    }
    fn schema() -> serde_json::Value {
        let bound = "[0-9.]+ *%?";
        let pattern = format!("^((at (most|least) )?{bound}|between {bound} and {bound})$");
        json!({"type": ["string", "integer"], "pattern": pattern, "minimum": 0, "examples": ["at most 1 %"]})
    }
}

/// `failed > 50 %`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) ended: Ending,
    pub(crate) above: f64,
}

impl Word for Condition {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no condition: write failed > 50 %, or rejected > 90 %");
        let (ended, share) = text.split_once('>').ok_or_else(wrong)?;
        let That::Ended(ended) = That::read(ended.trim()).map_err(|_| wrong())? else { return Err(wrong()) };
        let above = Percent::read(share.trim()).map_err(|_| wrong())?.share();
        if above >= 1.0 {
            return Err(format!("`{text}` can never be: nothing is more than all"));
        }
        Ok(Self { ended, above })
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": "^(answered|rejected|failed) *> *[0-9.]+ *%$"})
    }
}

/// An instant: `2m` after the start of load, `steady` (the start of that phase), or `steady + 30s`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) phase: Option<String>,
    pub(crate) offset: Nanos,
}

impl Word for Moment {
    fn read(text: &str) -> Result<Self, String> {
        if let Some((phase, offset)) = text.split_once(" + ") {
            let offset = offset.trim().parse().map_err(|error: units::ParseDurationError| error.to_string())?;
            return Ok(Self { phase: Some(phase.trim().to_owned()), offset });
        }
        if text.starts_with(|first: char| first.is_ascii_digit() || "-+.".contains(first)) {
            let offset = text.parse().map_err(|error: units::ParseDurationError| error.to_string())?;
            return Ok(Self { phase: None, offset });
        }
        String::read(text).map(|phase| Self { phase: Some(phase), offset: Nanos::ZERO })
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "examples": ["2m", "steady", "steady + 30s"]})
    }
}

impl Word for Nanos {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: units::ParseDurationError| error.to_string())
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": format!("^{DURATION}$")})
    }
}

impl Word for Millicores {
    fn read(text: &str) -> Result<Self, String> {
        let cpu: Self = text.parse().map_err(|_| format!("`{text}` is no CPU: write 500m or 2"))?;
        if cpu.get() == 0 { Err(format!("`{text}` is no CPU at all")) } else { Ok(cpu) }
    }
    fn schema() -> serde_json::Value {
        json!({"type": ["string", "number"], "pattern": "^[0-9.]+m?$", "exclusiveMinimum": 0})
    }
}

impl Word for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        let bytes: Self = text.parse().map_err(|_| format!("`{text}` is no memory: write 512Mi or 2Gi"))?;
        if bytes.get() == 0 { Err(format!("`{text}` is no memory at all")) } else { Ok(bytes) }
    }
    fn schema() -> serde_json::Value {
        json!({"type": ["string", "integer"], "pattern": "^[0-9.]+([KMGT]i?|k)?$", "exclusiveMinimum": 0})
    }
}

/// A factor of at least 1, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor(pub(crate) u32);

impl Word for Factor {
    fn read(text: &str) -> Result<Self, String> {
        let factor = text.parse::<f64>().ok().filter(|factor| (1.0..=100.0).contains(factor));
        factor.map(|f| Self((f * 1e3 + 0.5) as u32)).ok_or_else(|| format!("`{text}` is no factor from 1 to 100"))
    }
    fn schema() -> serde_json::Value {
        json!({"type": "number", "minimum": 1, "maximum": 100})
    }
}

/// How something goes over one phase. `T` is a [`Rate`] or a number of users.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape<T> {
    /// `6/s`, or in equal steps `6/s, 12/s, 24/s`.
    Steps(Vec<T>),
    /// `6/s to 20/s`.
    Ramp(T, T),
    /// `6/s spike 60/s at 10s for 5s`.
    Spike { base: T, peak: T, at: Nanos, lasts: Nanos },
    /// `day 5/s to 50/s peak 14h`: lowest twelve hours from its peak.
    Day { trough: T, peak: T, hour: f64 },
}

/// What a [`Shape`] is made of.
pub(crate) trait Level: Copy + PartialOrd {
    const PATTERN: &'static str;
    const EXAMPLE: &'static str;
    fn level(text: &str) -> Result<Self, String>;
}

impl Level for Rate {
    const PATTERN: &'static str = RATE;
    const EXAMPLE: &'static str = "6/s to 20/s";
    fn level(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|error: units::ParseRateError| error.to_string())
    }
}

impl Level for u32 {
    const PATTERN: &'static str = "[0-9]+";
    const EXAMPLE: &'static str = "0 to 100";
    fn level(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("`{}` is no number of users", text.trim()))
    }
}

impl<T: Level> Word for Shape<T> {
    fn read(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("day ") {
            let (levels, hour) = rest.split_once(" peak ").unwrap_or((rest, "14h"));
            let (trough, peak) = levels.split_once(" to ").ok_or("write `day LOW to HIGH peak 14h`")?;
            let (trough, peak) = (T::level(trough)?, T::level(peak)?);
            let hour = hour.trim().strip_suffix('h').and_then(|hour| hour.parse::<f64>().ok());
            let hour = hour.filter(|hour| (0.0..24.0).contains(hour)).ok_or("the peak is an hour from 0h to 23.9h")?;
            return if trough <= peak {
                Ok(Self::Day { trough, peak, hour })
            } else {
                Err(format!("`{text}`: a day goes from its lowest to its highest"))
            };
        }
        if let Some((base, spike)) = text.split_once(" spike ") {
            let form = || format!("`{text}`: write `BASE spike PEAK at 10s for 5s`");
            let (peak, times) = spike.split_once(" at ").ok_or_else(form)?;
            let (at, lasts) = times.split_once(" for ").ok_or_else(form)?;
            let (at, lasts) = (Nanos::read(at.trim())?, Span::read(lasts.trim())?.0);
            return Ok(Self::Spike { base: T::level(base)?, peak: T::level(peak)?, at, lasts });
        }
        match text.split_once(" to ") {
            Some((from, to)) => Ok(Self::Ramp(T::level(from)?, T::level(to)?)),
            None => text.split(',').map(T::level).collect::<Result<_, _>>().map(Self::Steps),
        }
    }
    fn schema() -> serde_json::Value {
        let level = T::PATTERN;
        let pattern = format!(
            "^({level}( *, *{level})*|{level} to {level}|{level} spike {level} at {DURATION} for {DURATION}|\
             day {level} to {level}( peak [0-9.]+h)?)$"
        );
        json!({"type": ["string", "integer"], "pattern": pattern, "minimum": 0, "examples": [T::EXAMPLE]})
    }
}
