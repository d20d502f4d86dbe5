//! What disturbed connections do: the faults between two parties as one pure verdict, asked live and in virtual time.

use platform::{ServiceId, WorkloadId};
use units::{Distribution, Nanos, Purpose, RequestId, Seed};

use crate::{Fault, FaultKind, Party, retransmission};

/// The disturbances of a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    rules: Vec<Rule>,
}

/// One of them, from `at` up to and without `end`, both counted from the start of load.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    number: u64,
    at: Nanos,
    end: Nanos,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Latency { from: Party, to: Party, add: Distribution },
    Errors { from: Party, to: Party, share: f64, status: u16 },
    Reset { from: Party, to: Party, share: f64 },
    PacketLoss { from: Party, to: Party, share: f64 },
    Blackhole { from: Party, to: Party },
    Dns { service: ServiceId },
}

/// A request on its way from one party to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnTheWay {
    /// When it is sent, counted from the start of load.
    pub since: Nanos,
    /// Who asks.
    pub from: Party,
    /// Whom.
    pub to: Party,
    /// The Service whose name is asked for, if one is.
    pub service: Option<ServiceId>,
    /// A connection is opened for it.
    pub opens: bool,
    /// Which one it is.
    pub id: RequestId,
}

/// What becomes of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives, this much later than usual, both ways together.
    Pass {
        /// How much later.
        delay: Nanos,
    },
    /// Somebody in between answers with this status.
    Answer {
        /// HTTP status.
        status: u16,
    },
    /// Somebody in between resets its connection.
    Reset,
    /// Nobody answers: whoever sent it waits until its own timeout.
    Lost,
    /// The name of the Service is not resolved.
    Unresolved,
}

impl Verdict {
    /// Nothing happens to it.
    pub const UNDISTURBED: Self = Self::Pass { delay: Nanos::ZERO };
}

impl Network {
    /// The disturbances among `faults`. One that is not undone lasts to the end.
    pub fn new(faults: &[Fault]) -> Self {
        let rule = |(number, fault): (usize, &Fault)| {
            let what = match fault.kind {
                FaultKind::Latency { from, to, add } => What::Latency { from, to, add },
                FaultKind::Errors { from, to, share, status } => What::Errors { from, to, share, status },
                FaultKind::Reset { from, to, share } => What::Reset { from, to, share },
                FaultKind::PacketLoss { from, to, share } => What::PacketLoss { from, to, share },
                FaultKind::Blackhole { from, to } => What::Blackhole { from, to },
                FaultKind::DnsFailure { service } => What::Dns { service },
                _ => return None,
            };
            let end = fault.lasts.map_or(Nanos::MAX, |lasts| fault.at + lasts);
            Some(Rule { number: number as u64, at: fault.at, end, what })
        };
        Self { rules: faults.iter().enumerate().filter_map(rule).collect() }
    }

    /// Whether nothing is ever disturbed.
    pub fn is_calm(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of a request, as chance by `seed` has it.
    pub fn verdict(&self, request: &OnTheWay, seed: Seed) -> Verdict {
        let OnTheWay { since, from, to, service, opens, id } = *request;
        let mut delay = Nanos::ZERO;
        for rule in self.rules.iter().filter(|rule| rule.at <= since && since < rule.end) {
            let between = |a: Party, b: Party| a == from && b == to;
            let seed = || seed.child("network").child_nth(rule.number);
            match rule.what {
                What::Latency { from, to, add } if between(from, to) => {
                    delay += add.sample(seed().draw(id, Purpose::Network));
                }
                What::Errors { from, to, share, status }
                    if between(from, to) && seed().draw(id, Purpose::Network).unit() < share =>
                {
                    return Verdict::Answer { status };
                }
                What::Reset { from, to, share }
                    if between(from, to) && seed().draw(id, Purpose::Network).unit() < share =>
                {
                    return Verdict::Reset;
                }
                What::PacketLoss { from, to, share } if between(from, to) => {
                    let times =
                        |what, share| retransmission::losses(share, seed().child(what).draw(id, Purpose::Network));
                    delay += retransmission::segment(times("request", share));
                    delay += retransmission::segment(times("answer", share));
                    if opens {
                        // It stands once a SYN has arrived and so has its answer.
                        delay += retransmission::handshake(times("handshake", share * (2.0 - share)));
                    }
                }
                What::Blackhole { from, to } if between(from, to) => return Verdict::Lost,
                What::Dns { service: named } if service == Some(named) => return Verdict::Unresolved,
                _ => {}
            }
        }
        Verdict::Pass { delay }
    }
}

/// The party that pods of `workload` are, when `gateway` is the gateway's workload.
pub fn party(workload: WorkloadId, gateway: Option<WorkloadId>) -> Party {
    if gateway == Some(workload) { Party::Gateway } else { Party::Workload(workload) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(at: u64, lasts: Option<u64>, kind: FaultKind) -> Fault {
        Fault { name: "f".into(), at: Nanos::from_secs(at), lasts: lasts.map(Nanos::from_secs), kind }
    }

    #[test]
    fn disturbances_hold_between_their_parties_and_in_their_time() {
        let (web, db) = (Party::Workload(WorkloadId(1)), Party::Workload(WorkloadId(2)));
        let add = Distribution::Constant(Nanos::from_millis(30));
        let network = Network::new(&[
            fault(10, Some(10), FaultKind::Latency { from: web, to: db, add }),
            fault(15, Some(5), FaultKind::Blackhole { from: Party::Gateway, to: web }),
            fault(30, None, FaultKind::DnsFailure { service: ServiceId(4) }),
            fault(40, Some(5), FaultKind::Errors { from: web, to: db, share: 1.0, status: 503 }),
            fault(50, Some(5), FaultKind::Reset { from: web, to: db, share: 1.0 }),
            fault(0, None, FaultKind::GatewayLoss { pods: 1 }),
        ]);
        let late = Verdict::Pass { delay: Nanos::from_millis(30) };
        for (case, since, from, to, service, want) in [
            ("before it begins", 9, web, db, None, Verdict::UNDISTURBED),
            ("at its beginning", 10, web, db, None, late),
            ("the other way round", 10, db, web, None, Verdict::UNDISTURBED),
            ("at its end", 20, web, db, None, Verdict::UNDISTURBED),
            ("a black hole", 16, Party::Gateway, web, None, Verdict::Lost),
            ("a name", 31, web, db, Some(ServiceId(4)), Verdict::Unresolved),
            ("another name", 31, web, db, Some(ServiceId(5)), Verdict::UNDISTURBED),
            ("every request fails", 41, web, db, None, Verdict::Answer { status: 503 }),
            ("every connection is reset", 51, web, db, None, Verdict::Reset),
        ] {
            let id = RequestId::of_step(7, 0);
            let since = Nanos::from_secs(since);
            let got = network.verdict(&OnTheWay { since, from, to, service, opens: false, id }, Seed::new(1));
            assert_eq!(got, want, "{case}");
        }
        assert!(Network::new(&[fault(0, None, FaultKind::GatewayLoss { pods: 1 })]).is_calm());
    }

    #[test]
    fn a_share_of_errors_is_that_share() {
        let (web, db) = (Party::Workload(WorkloadId(1)), Party::Workload(WorkloadId(2)));
        let network = Network::new(&[fault(0, None, FaultKind::Errors { from: web, to: db, share: 0.2, status: 500 })]);
        let failed = (0..10_000)
            .filter(|n| network.verdict(&asked(web, db, false, *n), Seed::new(3)) == Verdict::Answer { status: 500 });
        assert!((1_800..2_200).contains(&failed.count()));
    }

    #[test]
    fn lost_packets_come_later_and_a_lost_handshake_by_whole_seconds() {
        let (web, db) = (Party::Workload(WorkloadId(1)), Party::Workload(WorkloadId(2)));
        let network = Network::new(&[fault(0, None, FaultKind::PacketLoss { from: web, to: db, share: 0.1 })]);
        let late = |opens| -> Vec<u64> {
            let delay = |n| match network.verdict(&asked(web, db, opens, n), Seed::new(3)) {
                Verdict::Pass { delay } => delay.as_millis(),
                other => panic!("{other:?}"),
            };
            (0..10_000).map(delay).collect()
        };
        let (kept, opened) = (late(false), late(true));
        // Both ways arrive at once, 0.9² of them; both and both of the handshake, 0.9⁴.
        for (all, want) in [(&kept, 8_100), (&opened, 6_561)] {
            let prompt = all.iter().filter(|delay| **delay == 0).count();
            assert!(prompt.abs_diff(want) < 200, "{prompt} of 10,000, {want} expected");
        }
        assert!(kept.iter().all(|delay| delay % 200 == 0) && kept.contains(&400) && !kept.contains(&1_000));
        assert!(kept.iter().zip(&opened).all(|(kept, opened)| (opened - kept) % 1_000 == 0));
    }

    fn asked(from: Party, to: Party, opens: bool, n: u64) -> OnTheWay {
        OnTheWay { since: Nanos::ZERO, from, to, service: None, opens, id: RequestId::of_step(n, 0) }
    }
}
