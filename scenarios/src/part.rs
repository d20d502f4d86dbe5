//! A part of the load: what one of several drivers plays.

use serde::{Deserialize, Serialize};

use crate::{Arrival, Crowd, Stream};

/// One of several parts that together are the load of a plan, each request in exactly one of them.
///
/// Parts are made by client and not by arrival: all that a client does goes through one driver, over the connections that
/// it keeps there. So several drivers open as many connections as one would, and each address is in use at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    index: u32,
    of: u32,
}

/// All of the load.
impl Default for Part {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Part {
    /// The parts of a load in `of` parts, at least one.
    pub fn all(of: u32) -> impl ExactSizeIterator<Item = Self> {
        let of = of.max(1);
        (0..of).map(move |index| Self { index, of })
    }

    /// Whether this session is in it; so are its client's later ones.
    pub const fn takes(self, arrival: &Arrival) -> bool {
        self.has(arrival.client.address)
    }

    const fn has(self, client: u32) -> bool {
        client % self.of == self.index
    }

    /// What share of a stream's sessions is in it, in the long run: its clients are drawn evenly.
    pub fn share(self, stream: &Stream) -> f64 {
        let clients = stream.first_client..stream.first_client + stream.clients;
        clients.filter(|client| self.has(*client)).count() as f64 / f64::from(stream.clients.max(1))
    }

    /// How many of a crowd's users are in it at its peak.
    pub fn users(self, crowd: &Crowd) -> usize {
        let client = |slot: u32| crowd.first_client + slot % crowd.clients;
        (0..crowd.peak()).filter(|slot| self.has(client(*slot))).count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use units::{Distribution, Nanos, Rate, Seed};

    use super::*;
    use crate::{ArrivalLaw, Arrivals, Headcount, LoadPlan, Segment, Share};

    fn plan(clients: &[u32], users: u32) -> LoadPlan {
        let length = Nanos::from_secs(20);
        let stream = |(index, clients): (usize, &u32)| Stream {
            journey: 0,
            law: ArrivalLaw::Poisson,
            first_client: 100 * index as u32,
            clients: *clients,
            rate: vec![Segment::constant(length, Rate::per_second(40))],
            times: vec![],
            retry: None,
        };
        let crowd = Crowd {
            mix: vec![Share { journey: 0, weight: 1 }],
            users: vec![Headcount { duration: length, from: 0, to: users }],
            rest: Distribution::Constant(Nanos::from_secs(1)),
            first_client: 7,
            clients: 11,
            retry: None,
        };
        LoadPlan {
            seed: Seed::new(3),
            phases: vec![],
            streams: clients.iter().enumerate().map(stream).collect(),
            crowds: vec![crowd],
            journeys: vec![],
            steps: vec![],
            clients: 300,
            timeout: Nanos::from_secs(10),
        }
    }

    #[test]
    fn parts_are_the_schedule_of_one_driver_and_share_no_client() {
        let plan = plan(&[50, 1, 9], 40);
        let whole: Vec<_> = Arrivals::new(&plan).collect();
        assert!(whole.len() > 1_000);
        for of in [1, 2, 3, 7] {
            let parts: Vec<Vec<Arrival>> = Part::all(of)
                .map(|part| Arrivals::new(&plan).filter(|arrival| part.takes(arrival)).collect())
                .collect();
            let mut union: Vec<_> = parts.iter().flatten().copied().collect();
            union.sort_by_key(|arrival| arrival.number);
            let mut want = whole.clone();
            want.sort_by_key(|arrival| arrival.number);
            assert_eq!(union, want, "{of} parts");
            let clients = |part: &Vec<Arrival>| part.iter().map(|a| a.client.address).collect::<BTreeSet<_>>();
            let each: usize = parts.iter().map(|part| clients(part).len()).sum();
            assert_eq!(each, clients(&whole).len(), "{of} parts");
        }
    }

    #[test]
    fn a_part_knows_how_much_it_is() {
        let plan = plan(&[50, 1, 9], 40);
        for of in [1, 3, 7] {
            let shares: f64 = plan.streams.iter().map(|s| Part::all(of).map(|part| part.share(s)).sum::<f64>()).sum();
            assert!((shares - 3.0).abs() < 1e-9, "{of}: {shares}");
            assert_eq!(Part::all(of).map(|part| part.users(&plan.crowds[0])).sum::<usize>(), 40, "{of}");
        }
        let [first, second] = [0, 1].map(|index| Part { index, of: 2 });
        assert!((first.share(&plan.streams[0]) - 0.5).abs() < 1e-9);
        assert_eq!((first.share(&plan.streams[1]), second.share(&plan.streams[1])), (1.0, 0.0), "a client is a whole");
    }
}
