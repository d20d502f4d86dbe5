//! kube-proxy: which endpoint a new connection goes to.
//!
//! Owns one rule: uniform at random per connection, as the iptables and nftables proxiers have it (probability
//! 1/(n−i) down the list, `pkg/proxy/iptables/proxier.go`). A connection that is kept alive stays where it went.

use units::Draw;

use crate::PodId;

/// The endpoint that `draw` picks, or `None` where there is none: the connection is refused.
pub fn choose(endpoints: &[PodId], draw: Draw) -> Option<PodId> {
    draw.pick(endpoints).copied()
}

#[cfg(test)]
mod tests {
    use units::{Purpose, RequestId, Seed};

    use super::*;

    #[test]
    fn spreads_evenly_and_refuses_where_nothing_is_ready() {
        let endpoints = [PodId(3), PodId(5), PodId(9)];
        let mut hits = [0; 3];
        for arrival in 0..30_000 {
            let draw = Seed::new(1).draw(RequestId::of_step(arrival, 0), Purpose::Endpoint);
            assert_eq!(choose(&[], draw), None);
            let pod = choose(&endpoints, draw).unwrap();
            hits[endpoints.iter().position(|p| *p == pod).unwrap()] += 1;
        }
        assert!(hits.iter().all(|n| (9_700..10_300).contains(n)), "{hits:?}");
    }
}
