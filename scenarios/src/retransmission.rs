//! How long TCP takes to make up for packets that are lost: the rule of the fault `packetLoss`.
//!
//! Owns Linux's timers as a pure function of how often a packet is lost in a row. A request, and an answer, count as one
//! segment each, the last one of its flight: what is lost before the last is made up for within a round trip
//! (RFC 6675), which is nothing here.

use units::{Draw, Nanos};

/// The least that Linux waits before it sends again (`TCP_RTO_MIN`, `include/net/tcp.h`): round trips within a cluster
/// are far shorter.
const RTO_MIN: Nanos = Nanos::from_millis(200);
/// What is waited for an answer to the first SYN (RFC 6298 §2.1; `TCP_TIMEOUT_INIT`).
const HANDSHAKE: Nanos = Nanos::from_secs(1);
/// So many SYNs are sent again after the same time, later ones after twice the time of the one before
/// (`net.ipv4.tcp_syn_linear_timeouts`, 4 since Linux 6.5, counted from 0).
const LINEAR: u32 = 5;
/// So often is a segment sent again before its connection is given up (`net.ipv4.tcp_retries2`).
const RETRIES: u32 = 15;

/// How much later a segment arrives that is lost `times` in a row.
///
/// The first one is sent again as a tail loss probe (RFC 8985 §7.2), the second one after the retransmission timeout
/// that is armed then; from there on the timeout doubles (RFC 6298 §5.5). So 200 ms, 400 ms, 800 ms, 1.6 s…
pub fn segment(times: u32) -> Nanos {
    match times.min(RETRIES) {
        0 => Nanos::ZERO,
        times => RTO_MIN * (1 << (times - 1)),
    }
}

/// How much later a connection stands whose handshake fails `times` in a row.
pub fn handshake(times: u32) -> Nanos {
    let doubled = times.min(RETRIES).saturating_sub(LINEAR);
    HANDSHAKE * u64::from(times.min(LINEAR)) + HANDSHAKE * ((2 << doubled) - 2)
}

/// How often something is lost in a row that is lost with probability `share`, as `draw` says; at most as often as it
/// is sent again.
pub(crate) fn losses(share: f64, draw: Draw) -> u32 {
    let (drawn, mut times, mut so_often) = (draw.unit(), 0, share);
    while drawn < so_often && times < RETRIES {
        times += 1;
        so_often *= share;
    }
    times
}

#[cfg(test)]
mod tests {
    use units::{Purpose, Seed};

    use super::*;

    #[test]
    fn what_is_lost_once_more_comes_twice_as_late() {
        let all: Vec<_> = (0..5).map(|times| segment(times).as_millis()).collect();
        assert_eq!(all, [0, 200, 400, 800, 1_600]);
        let all: Vec<_> = (0..9).map(|times| handshake(times).as_secs()).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 7, 11, 19]);
        assert_eq!(segment(u32::MAX), segment(RETRIES));
    }

    #[test]
    fn losses_in_a_row_are_as_often_as_their_powers() {
        let drawn: Vec<u32> = (0..100_000).map(|n| losses(0.3, Seed::new(5).draw_nth(n, Purpose::Network))).collect();
        for (times, want) in [(1, 30_000), (2, 9_000), (3, 2_700)] {
            let seen = drawn.iter().filter(|lost| **lost >= times).count();
            assert!(seen.abs_diff(want) < want / 10, "{times} in a row: {seen} of 100,000, {want} expected");
        }
        assert_eq!(losses(1.0, Seed::new(5).draw_nth(0, Purpose::Network)), RETRIES, "nothing ever arrives");
    }
}
