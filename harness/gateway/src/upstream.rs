//! Which server of an upstream gets a request.
//!
//! So far every upstream has one server, the cluster address of a Service: nginx then neither counts failures nor
//! retries (`ngx_http_upstream_round_robin.c`, `single`), and failover is left to the Service's endpoints. Upstreams
//! of several servers take turns by smooth weighted round robin with equal weights.

use std::sync::{Mutex, PoisonError};

use platform::{GatewayConfig, UpstreamId};

/// A server of an upstream, by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which upstream.
    pub upstream: UpstreamId,
    /// Index into its servers.
    pub server: u16,
}

/// The upstreams of one gateway pod.
#[derive(Debug)]
pub struct Upstreams {
    turns: Vec<Mutex<Turns>>,
}

#[derive(Debug)]
struct Turns {
    servers: usize,
    next: usize,
}

impl Upstreams {
    /// Upstreams as configured.
    pub fn new(config: &GatewayConfig) -> Self {
        let turns = |servers| Mutex::new(Turns { servers, next: 0 });
        Self { turns: config.upstreams.iter().map(|u| turns(u.servers.len())).collect() }
    }

    /// The peer whose turn it is; `None` if the upstream has no server.
    pub fn pick(&self, upstream: UpstreamId) -> Option<Peer> {
        let mut turns = self.turns[usize::from(upstream.0)].lock().unwrap_or_else(PoisonError::into_inner);
        let server = turns.next;
        turns.next = (server + 1).checked_rem(turns.servers)?;
        Some(Peer { upstream, server: server as u16 })
    }
}
