//! Requests between a caller and a pod.

use model::Job;
use record::Hops;
use scenarios::Call as Target;
use units::RequestId;

/// A request that a pod serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) parent: Parent,
    pub(crate) target: Target,
    /// Which pod serves it.
    pub(crate) pod: u32,
    /// Which of its own calls is next, and the station's name for it while they go on.
    pub(crate) next: u16,
    pub(crate) job: Option<Job>,
    /// One of its calls failed, so it fails.
    pub(crate) failed: bool,
    /// Time spent here and in the calls it made.
    pub(crate) hops: Hops,
}

/// Who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// The gateway, for this session's request. A newer generation means that the client has gone away.
    Gateway { session: u32, generation: u32 },
    /// Another call.
    Call(u32),
    /// A kubelet: a health check of the pod.
    Probe(cluster::Question),
}
