//! The headers by which a rehearsed request carries its identity and brings back where its time went.
//!
//! They stand in for what a tracing system would carry; a real service ignores them.

use crate::Hops;

/// Request: its [`units::RequestId`].
pub const REQUEST: &str = "x-rehearse-request";
/// Request, where there is one address for everybody: whose it is, and the run's proof that the driver says so. A
/// gateway believes nobody without it, and passes it on to nobody.
pub const CLIENT: &str = "x-rehearse-client";
/// Response: [`Hops`] of the pods behind, its fields in their order, in microseconds, between commas.
pub const HOPS: &str = "x-rehearse-hops";
/// Response: the pod that served it first behind the gateway, counted from 1 in the order of pod creation.
pub const POD: &str = "x-rehearse-pod";
/// Response: `limited` if a rate limiter refused it, `gateway` if the gateway found no answer behind it.
pub const CAUSE: &str = "x-rehearse-cause";
/// Value of [`CAUSE`]: a rate limiter refused the request.
pub const LIMITED: &str = "limited";
/// Value of [`CAUSE`]: the gateway answered for a service that did not.
pub const GATEWAY: &str = "gateway";

impl Hops {
    /// For the header [`HOPS`].
    pub fn to_header(self) -> String {
        format!(
            "{},{},{},{},{},{},{},{}",
            self.queue_us,
            self.cpu_us,
            self.wait_us,
            self.limiter_us,
            self.downstream_us,
            self.downstream_queue_us,
            self.downstream_cpu_us,
            self.retry_us
        )
    }

    /// From the header [`HOPS`]; `None` if it is none of ours.
    pub fn from_header(text: &str) -> Option<Self> {
        let mut parts = text.split(',').map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten();
        let hops = Self {
            queue_us: next()?,
            cpu_us: next()?,
            wait_us: next()?,
            limiter_us: next()?,
            downstream_us: next()?,
            downstream_queue_us: next()?,
            downstream_cpu_us: next()?,
            retry_us: next()?,
        };
        parts.next().is_none().then_some(hops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_survive_their_header() {
        let hops = Hops {
            queue_us: 1,
            cpu_us: 20,
            wait_us: 300,
            limiter_us: 0,
            downstream_us: 4_000,
            downstream_queue_us: 5,
            downstream_cpu_us: 6,
            retry_us: 70,
        };
        assert_eq!(Hops::from_header(&hops.to_header()), Some(hops));
        for text in ["", "1,2,3,4", "1,2,3,4,5,6,7,8,9", "a,2,3,4,5,6,7,8"] {
            assert_eq!(Hops::from_header(text), None, "{text}");
        }
    }
}
