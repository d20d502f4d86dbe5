//! The seeded schedule of arrivals, in order of time.

use units::{ClientId, Nanos, Purpose, Seed};

use crate::crowd::Joining;
use crate::curve::Cursor;
use crate::load::SOURCE_SHIFT;
use crate::{ArrivalLaw, LoadPlan, Stream};

/// One session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number: the stream or crowd in the upper bits, so that they do not disturb each other's draws.
    pub number: u64,
    /// When it is due, counted from the start of load.
    pub due: Nanos,
    /// Index into [`LoadPlan::journeys`].
    pub journey: u16,
    /// Who arrives.
    pub client: ClientId,
}

/// All arrivals of a plan: every session of its streams, and the first one of every user of its crowds, whose later
/// sessions follow from [`Journey::proceed`](crate::Journey::proceed). An iterator, so that a day of load needs no
/// memory.
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    seed: Seed,
    streams: Vec<Source<'a>>,
    crowds: Vec<Crowded<'a>>,
}

#[derive(Clone, Debug)]
struct Crowded<'a> {
    users: Joining<'a>,
    next: Option<Arrival>,
}

/// The seed of everything that arrivals draw.
pub(crate) fn seed_of(plan: &LoadPlan) -> Seed {
    plan.seed.child("arrivals")
}

#[derive(Clone, Debug)]
struct Source<'a> {
    stream: &'a Stream,
    cursor: Cursor,
    area: f64,
    next: Option<Arrival>,
}

impl<'a> Arrivals<'a> {
    /// The arrivals of `plan` from the start of load on.
    pub fn new(plan: &'a LoadPlan) -> Self {
        let mut arrivals = Self { seed: seed_of(plan), streams: Vec::new(), crowds: Vec::new() };
        for (index, stream) in plan.streams.iter().enumerate() {
            let mut source = Source { stream, cursor: Cursor::new(), area: 0.0, next: None };
            source.advance(arrivals.seed, (index as u64) << SOURCE_SHIFT);
            arrivals.streams.push(source);
        }
        for (index, crowd) in (plan.streams.len()..).zip(&plan.crowds) {
            let mut users = Joining::new(crowd, (index as u64) << SOURCE_SHIFT, arrivals.seed);
            let next = users.next();
            arrivals.crowds.push(Crowded { users, next });
        }
        arrivals
    }
}

impl Source<'_> {
    /// Computes the arrival called `number`. In the area under the rate curve a Poisson stream has exponential gaps
    /// of mean 1, whatever the curve does (time change of a Poisson process).
    fn advance(&mut self, seed: Seed, number: u64) {
        let draw = |purpose| seed.draw_nth(number, purpose);
        let index = number & ((1 << SOURCE_SHIFT) - 1);
        let due = match self.stream.law {
            ArrivalLaw::Poisson => {
                self.area += draw(Purpose::Gap).exponential();
                self.cursor.reach(&self.stream.rate, self.area)
            }
            ArrivalLaw::Even => self.cursor.reach(&self.stream.rate, index as f64),
            ArrivalLaw::Replay => self.stream.times.get(index as usize).copied(),
        };
        self.next = due.map(|due| Arrival {
            number,
            due,
            journey: self.stream.journey,
            client: ClientId {
                session: number,
                address: self.stream.first_client + draw(Purpose::Client).below(self.stream.clients as usize) as u32,
            },
        });
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let first = |source: &&mut Source| source.next.map_or((true, Nanos::MAX), |arrival| (false, arrival.due));
        let source = self.streams.iter_mut().min_by_key(first);
        let due = source.as_ref().and_then(|source| source.next).map_or(Nanos::MAX, |arrival| arrival.due);
        let joins = |crowd: &Crowded<'_>| crowd.next.map_or(Nanos::MAX, |user| user.due);
        if let Some(crowd) = self.crowds.iter_mut().min_by_key(|crowd| joins(crowd)).filter(|crowd| joins(crowd) < due)
        {
            return std::mem::replace(&mut crowd.next, crowd.users.next());
        }
        let source = source?;
        let arrival = source.next.take()?;
        source.advance(self.seed, arrival.number + 1);
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;
    use units::Rate;

    fn plan(law: ArrivalLaw, rates: &[u64]) -> LoadPlan {
        let stream = |&rate: &u64| Stream {
            journey: 0,
            law,
            first_client: 0,
            clients: 50,
            rate: vec![Segment::constant(Nanos::from_secs(100), Rate::per_second(rate))],
            times: vec![],
            retry: None,
        };
        LoadPlan {
            seed: Seed::new(3),
            phases: vec![],
            streams: rates.iter().map(stream).collect(),
            crowds: vec![],
            journeys: vec![],
            steps: vec![],
            clients: 50,
            timeout: Nanos::from_secs(10),
        }
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_variance() {
        let mut seconds = Vec::new();
        for seed in 0..50 {
            let plan = LoadPlan { seed: Seed::new(seed), ..plan(ArrivalLaw::Poisson, &[200]) };
            let mut counts = [0_u32; 100];
            Arrivals::new(&plan).for_each(|a| counts[a.due.as_secs() as usize] += 1);
            seconds.extend(counts.map(f64::from));
        }
        let mean = seconds.iter().sum::<f64>() / 5_000.0;
        let variance = seconds.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 4_999.0;
        assert!((mean - 200.0).abs() < 1.0, "{mean}"); // five standard errors
        assert!((0.9..1.1).contains(&(variance / mean)), "{variance}"); // 1 for Poisson
    }

    #[test]
    fn streams_are_merged_in_time_and_do_not_disturb_each_other() {
        let (one, both) = (plan(ArrivalLaw::Poisson, &[20]), plan(ArrivalLaw::Poisson, &[20, 5]));
        let alone: Vec<_> = Arrivals::new(&one).collect();
        let merged: Vec<_> = Arrivals::new(&both).collect();
        assert!(merged.is_sorted_by_key(|a| a.due));
        let first: Vec<_> = merged.iter().copied().filter(|a| a.number >> SOURCE_SHIFT == 0).collect();
        assert_eq!(first, alone);
        assert!(merged.len() > alone.len());
    }

    #[test]
    fn even_arrivals_are_even() {
        let plan = plan(ArrivalLaw::Even, &[4]);
        let dues: Vec<_> = Arrivals::new(&plan).take(3).map(|a| a.due.as_millis()).collect();
        assert_eq!(dues, [0, 250, 500]);
    }

    #[test]
    fn a_replay_keeps_its_instants() {
        let mut plan = plan(ArrivalLaw::Replay, &[0]);
        plan.streams[0].times = [0, 1, 1, 2_500].map(Nanos::from_millis).into();
        let dues: Vec<_> = Arrivals::new(&plan).map(|a| a.due.as_millis()).collect();
        assert_eq!(dues, [0, 1, 1, 2_500]);
        assert!((plan.streams[0].peak() - 3.0).abs() < 1e-9);
    }
}
