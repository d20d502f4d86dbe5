//! Who asks. A request carries its identity through every hop, live and in virtual time, so that both
//! draw the same chance for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A virtual client: its session and the index of its source address among the leased client addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId {
    /// Counts sessions from 0, in order of arrival.
    pub session: u64,
    /// Which of the plan's client addresses it comes from. Several sessions may share one.
    pub address: u32,
}

/// One request: the arrival it belongs to, and the path of calls that led to it.
///
/// In a header it reads `arrival-path`, both in hexadecimal: `2a-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    arrival: u64,
    path: u64,
}

/// Arrivals of load stay below this; probes count from here.
const PROBES: u64 = 1 << 62;

impl RequestId {
    /// Step `step` of the journey that arrived as number `arrival`.
    pub const fn of_step(arrival: u64, step: u32) -> Self {
        Self { arrival, path: step as u64 + 1 }
    }
    /// The `count`-th health probe that a kubelet sends to pod number `pod`.
    pub const fn of_probe(pod: u32, count: u32) -> Self {
        Self { arrival: PROBES + pod as u64, path: count as u64 + 1 }
    }
    /// The `index`-th call that serving this request makes.
    #[must_use]
    pub const fn call(self, index: u32) -> Self {
        Self { arrival: self.arrival, path: mix(self.path ^ (0x9e37_79b9 * (index as u64 + 1))) }
    }
    /// The same request behind a gateway that passes its id on unread: the first call of a client's step, which is what
    /// a gateway that reads it makes of it. A call of a service stays what it is.
    #[must_use]
    pub const fn through_gateway(self) -> Self {
        // Paths of calls are spread over 64 bits, those of steps are counted.
        if self.path <= u32::MAX as u64 && self.arrival < PROBES { self.call(0) } else { self }
    }
    /// A number that is spread evenly over all requests.
    pub(crate) const fn hash(self) -> u64 {
        mix(self.arrival ^ mix(self.path))
    }
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): the same everywhere, and proves nothing.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.into_iter().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit moves every output bit.
pub(crate) const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.arrival, self.path)
    }
}

/// Why a text is no request id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no request id: two hexadecimal numbers with a hyphen between them")]
pub struct ParseRequestIdError {
    text: String,
}

impl FromStr for RequestId {
    type Err = ParseRequestIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |part| u64::from_str_radix(part, 16).ok();
        text.split_once('-')
            .and_then(|(arrival, path)| Some(Self { arrival: parse(arrival)?, path: parse(path)? }))
            .ok_or_else(|| ParseRequestIdError { text: text.chars().take(40).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_header() {
        let id = RequestId::of_step(42, 3).call(1).call(0);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "2a", "2a-", "x-y", "1-2-3"] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }

    #[test]
    fn calls_of_one_request_differ_from_each_other_and_from_steps() {
        let mut seen = std::collections::BTreeSet::new();
        for step in 0..50 {
            let id = RequestId::of_step(7, step);
            assert!(seen.insert(id));
            for call in 0..20 {
                assert!(seen.insert(id.call(call)));
            }
        }
    }
}
