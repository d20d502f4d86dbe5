//! Requests between a caller and a pod.

use model::Job;
use record::Hops;
use scenarios::Call as Target;
use units::{Nanos, RequestId};

/// A call by its place and which of the calls in that place it is: places are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    pub(crate) slot: u32,
    pub(crate) life: u32,
}

impl CallId {
    /// The name that a station knows it by.
    pub(crate) const fn tag(self) -> u64 {
        (self.life as u64) << 32 | self.slot as u64
    }
    /// The call that a station calls so.
    pub(crate) const fn tagged(tag: u64) -> Self {
        Self { slot: tag as u32, life: (tag >> 32) as u32 }
    }
}

/// A request that a pod serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) life: u32,
    pub(crate) id: RequestId,
    pub(crate) parent: Parent,
    pub(crate) target: Target,
    /// Which pod serves it.
    pub(crate) pod: u32,
    /// Which of its own calls is next, and the station's name for it while they go on.
    pub(crate) next: u16,
    pub(crate) job: Option<Job>,
    /// How many of its own calls are under way.
    pub(crate) outstanding: u16,
    /// One of its calls failed, so it fails.
    pub(crate) failed: bool,
    /// When it began to make its calls.
    pub(crate) calling: Nanos,
    /// Time spent here and in the calls it made.
    pub(crate) hops: Hops,
    /// When it reached its pod.
    pub(crate) reached: Nanos,
}

/// Who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The gateway, for this session's request. A newer generation means that the client has gone away.
    Gateway { session: u32, generation: u32 },
    /// Another call.
    Call(CallId),
    /// A kubelet: a health check of the pod.
    Probe(cluster::Question),
}
