//! One request as the load side saw it: 88 bytes on the wire between the driver and its parent.

use units::Nanos;

/// Index of a step among all steps of the plan.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct StepId(pub u16);

/// What became of a request. All instants count from the run's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Which arrival it belongs to.
    pub arrival: u64,
    /// Which step of the plan.
    pub step: StepId,
    /// Index of the client's address.
    pub client: u32,
    /// When it was due.
    pub intended: Nanos,
    /// When it was sent; equals `done` if it never was.
    pub sent: Nanos,
    /// When the last byte of the answer was read, or the attempt was given up.
    pub done: Nanos,
    /// HTTP status; 0 if there was no answer.
    pub status: u16,
    /// Why it did not succeed.
    pub cause: Cause,
    /// Which gateway pod took it, counted from 1 in the order of pod creation; 0: unknown.
    pub gateway_pod: u16,
    /// Which pod served it first behind the gateway, counted likewise.
    pub pod: u16,
    /// Where its time went, by the services' own clocks.
    pub hops: Hops,
    /// From sending to the first byte of the answer's body, or its end if it has none, microseconds; 0: no answer, or
    /// nobody looked.
    pub first_byte_us: u32,
    /// The longest wait between two events of a streamed answer (`text/event-stream`), microseconds; 0: it was no
    /// stream, or had a single event.
    pub gap_us: u32,
}

/// The parts of a request's time by the clocks of those who served it. The first four, what went on downstream and the
/// tries before add up to no more than the response; what is left is the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// In the pod behind the gateway, waiting for a worker or a CPU quota, microseconds.
    pub queue_us: u32,
    /// There, on a CPU, microseconds.
    pub cpu_us: u32,
    /// There, waiting for something else than CPU, such as a database, microseconds.
    pub wait_us: u32,
    /// Held back by a rate limiter, microseconds.
    pub limiter_us: u32,
    /// From that pod's first call of another service to the last answer, microseconds.
    pub downstream_us: u32,
    /// Of all services called: their queues. Calls that are made at once count each, so this is a sum, not a span.
    pub downstream_queue_us: u32,
    /// Of all services called: their CPU, likewise.
    pub downstream_cpu_us: u32,
    /// Tries of the gateway at other servers before the one that answered, microseconds.
    pub retry_us: u32,
}

impl Hops {
    /// A pod's own parts, with those of a call that it made.
    #[must_use]
    pub const fn calling(self, called: Self) -> Self {
        let queue = called.queue_us.saturating_add(called.downstream_queue_us);
        let cpu = called.cpu_us.saturating_add(called.downstream_cpu_us);
        Self {
            downstream_queue_us: self.downstream_queue_us.saturating_add(queue),
            downstream_cpu_us: self.downstream_cpu_us.saturating_add(cpu),
            ..self
        }
    }
}

/// Why a request did not succeed.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Cause {
    /// It did.
    #[default]
    None = 0,
    /// A rate limiter refused it.
    Limited = 1,
    /// The service answered 5xx.
    ServerError = 2,
    /// The service answered 4xx.
    ClientError = 3,
    /// The gateway found no server for it (502) or waited too long (504).
    Gateway = 4,
    /// Nobody accepted the connection.
    Refused = 5,
    /// The connection broke before the answer was complete.
    Reset = 6,
    /// The client gave up waiting.
    Timeout = 7,
    /// The driver could not send it in time.
    NotSent = 8,
}

impl Cause {
    /// Every cause of failure.
    pub const ALL: [Self; 8] = [
        Self::Limited,
        Self::ServerError,
        Self::ClientError,
        Self::Gateway,
        Self::Refused,
        Self::Reset,
        Self::Timeout,
        Self::NotSent,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::None].into_iter().chain(Self::ALL).find(|cause| *cause as u8 == byte)
    }

    /// As the value of a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "ok",
            Self::Limited => "limited",
            Self::ServerError => "server_error",
            Self::ClientError => "client_error",
            Self::Gateway => "gateway",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::NotSent => "not_sent",
        }
    }

    /// For people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "ok",
            Self::Limited => "rate limited",
            Self::ServerError => "5xx",
            Self::ClientError => "4xx",
            Self::Gateway => "gateway 502/504",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::NotSent => "not sent",
        }
    }
}

/// Why a frame is no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObservationError {
    /// The frame's cause byte is unknown: the driver is of another version.
    #[error("observation frame with unknown cause {0}: driver and parent are of different versions")]
    UnknownCause(u8),
}

impl Observation {
    /// Size of an encoded observation.
    pub const FRAME: usize = 88;

    /// Done − intended: what the user waited. Verdicts use this.
    pub fn response(&self) -> Nanos {
        self.done - self.intended
    }
    /// Done − sent: what the server took, blind to a late driver.
    pub fn service(&self) -> Nanos {
        self.done - self.sent
    }
    /// Sent − intended: how late the driver was.
    pub fn lag(&self) -> Nanos {
        self.sent - self.intended
    }
    /// Whether the user got what was asked for.
    pub fn ok(&self) -> bool {
        self.cause == Cause::None
    }

    /// Little-endian, fields in the order below.
    pub fn encode(&self) -> [u8; Self::FRAME] {
        let mut frame = [0; Self::FRAME];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.arrival.to_le_bytes());
        put(&self.intended.get().to_le_bytes());
        put(&self.sent.get().to_le_bytes());
        put(&self.done.get().to_le_bytes());
        put(&self.client.to_le_bytes());
        put(&self.step.0.to_le_bytes());
        put(&self.status.to_le_bytes());
        put(&self.gateway_pod.to_le_bytes());
        put(&self.pod.to_le_bytes());
        put(&[self.cause as u8, 0, 0, 0]);
        put(&self.hops.queue_us.to_le_bytes());
        put(&self.hops.cpu_us.to_le_bytes());
        put(&self.hops.wait_us.to_le_bytes());
        put(&self.hops.limiter_us.to_le_bytes());
        put(&self.hops.downstream_us.to_le_bytes());
        put(&self.hops.downstream_queue_us.to_le_bytes());
        put(&self.hops.downstream_cpu_us.to_le_bytes());
        put(&self.hops.retry_us.to_le_bytes());
        put(&self.first_byte_us.to_le_bytes());
        put(&self.gap_us.to_le_bytes());
        frame
    }

    /// The reverse of [`encode`](Self::encode).
    pub fn decode(frame: &[u8; Self::FRAME]) -> Result<Self, ObservationError> {
        let mut at = 0;
        let mut take = |n: usize| {
            let mut value = [0; 8];
            value[..n].copy_from_slice(&frame[at..at + n]);
            at += n;
            u64::from_le_bytes(value)
        };
        let arrival = take(8);
        let (intended, sent, done) = (Nanos::new(take(8)), Nanos::new(take(8)), Nanos::new(take(8)));
        let (client, step, status) = (take(4) as u32, StepId(take(2) as u16), take(2) as u16);
        let (gateway_pod, pod) = (take(2) as u16, take(2) as u16);
        let cause = take(4) as u8;
        let cause = Cause::from_byte(cause).ok_or(ObservationError::UnknownCause(cause))?;
        let hops = Hops {
            queue_us: take(4) as u32,
            cpu_us: take(4) as u32,
            wait_us: take(4) as u32,
            limiter_us: take(4) as u32,
            downstream_us: take(4) as u32,
            downstream_queue_us: take(4) as u32,
            downstream_cpu_us: take(4) as u32,
            retry_us: take(4) as u32,
        };
        let (first_byte_us, gap_us) = (take(4) as u32, take(4) as u32);
        Ok(Self {
            arrival,
            step,
            client,
            intended,
            sent,
            done,
            status,
            cause,
            gateway_pod,
            pod,
            hops,
            first_byte_us,
            gap_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_loses_nothing() {
        let observation = Observation {
            arrival: u64::MAX - 3,
            step: StepId(513),
            client: 70_000,
            intended: Nanos::new(1),
            sent: Nanos::new(2),
            done: Nanos::new(u64::MAX),
            status: 503,
            cause: Cause::NotSent,
            gateway_pod: 5,
            pod: 999,
            hops: Hops {
                queue_us: 1,
                cpu_us: 2,
                wait_us: 3,
                limiter_us: u32::MAX,
                downstream_us: 4,
                downstream_queue_us: 5,
                downstream_cpu_us: 6,
                retry_us: 7,
            },
            first_byte_us: u32::MAX - 1,
            gap_us: 8,
        };
        assert_eq!(Observation::decode(&observation.encode()), Ok(observation));
        let mut frame = observation.encode();
        frame[44] = 200;
        assert_eq!(Observation::decode(&frame), Err(ObservationError::UnknownCause(200)));
    }
}
