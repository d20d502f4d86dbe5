//! Closed load: users who take a journey, rest, and take the next one, for as long as they are wanted.
//!
//! Owns who is there when, and when a user begins the next session. A user occupies a *slot*; slot 0 comes first and
//! leaves last. Nothing is remembered: everything follows from the head count over time and the session's number.

use serde::{Deserialize, Serialize};
use units::{ClientId, Distribution, Nanos, Purpose, Seed};

use crate::{Arrival, LoadPlan, RetryPolicy};

/// Users of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crowd {
    /// What its users do: journeys and their weights, of which at least one is above 0.
    pub mix: Vec<Share>,
    /// How many of them there are over time: linear segments in order, without gaps, from zero.
    pub users: Vec<Headcount>,
    /// How long a user rests before the next session.
    pub rest: Distribution,
    /// First client address.
    pub first_client: u32,
    /// How many client addresses they use, at least one.
    pub clients: u32,
    /// What they do when they are not served.
    pub retry: Option<RetryPolicy>,
}

/// A journey's part in a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Index into [`LoadPlan::journeys`].
    pub journey: u16,
    /// Relative to the others.
    pub weight: u32,
}

/// A number of users that goes linearly from one value to another. A part of a user is a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headcount {
    /// How long, above zero.
    pub duration: Nanos,
    /// Users at its start.
    pub from: u32,
    /// Users at its end.
    pub to: u32,
}

/// Users who were refused do not hammer: they rest at least this long. Assumed. It also keeps virtual time moving when
/// every connection is refused at once.
const REST_AFTER_FAILURE: Nanos = Nanos::from_secs(1);

/// Users that a crowd may have at once: slots are numbered in 16 bits.
pub(crate) const USERS_MAX: u32 = 1 << 16;
/// How often a slot may be taken anew: counted in 4 bits.
pub(crate) const COMEBACKS_MAX: u32 = 1 << 4;
const SLOT_SHIFT: u32 = 24;
const COMEBACK_SHIFT: u32 = 20;

impl Headcount {
    /// Seconds into it at which the users number exactly `users`, if it passes that value.
    fn passes(&self, users: u32) -> Option<f64> {
        let (from, to, users) = (f64::from(self.from), f64::from(self.to), f64::from(users));
        let share = (users - from) / (to - from);
        (0.0..1.0).contains(&share).then(|| share * self.duration.as_secs_f64())
    }

    /// When `slot` is first taken in it, counted from its start.
    fn taken(&self, slot: u32) -> Option<Nanos> {
        match (self.from > slot, self.to > slot) {
            (true, _) => Some(Nanos::ZERO),
            (false, true) => self.passes(slot).map(Nanos::from_secs_f64),
            (false, false) => None,
        }
    }

    /// When `slot` is given up in it, counted from its start, if it was taken there.
    fn given_up(&self, slot: u32) -> Option<Nanos> {
        match (self.from > slot, self.to > slot) {
            (_, true) => None,
            (true, false) => self.passes(slot).map_or(Some(self.duration), |at| Some(Nanos::from_secs_f64(at))),
            (false, false) => Some(Nanos::ZERO),
        }
    }
}

impl Crowd {
    /// The most users there are at once.
    pub fn peak(&self) -> u32 {
        self.users.iter().map(|part| part.from.max(part.to)).max().unwrap_or(0)
    }

    /// Users times seconds.
    pub fn user_seconds(&self) -> f64 {
        let area = |part: &Headcount| f64::from(part.from + part.to) / 2.0 * part.duration.as_secs_f64();
        self.users.iter().map(area).sum()
    }

    /// Requests a second at its peak, if every answer takes a tenth of a second.
    pub(crate) fn peak_rate(&self, plan: &LoadPlan) -> f64 {
        let weights: f64 = self.mix.iter().map(|share| f64::from(share.weight)).sum();
        let (mut requests, mut seconds) = (0.0, self.rest.mean().as_secs_f64());
        for share in &self.mix {
            let part = f64::from(share.weight) / weights;
            let steps = &plan.journeys[usize::from(share.journey)].steps;
            let thinking: Nanos = steps.iter().skip(1).map(|step| plan.step(*step).think.mean()).sum();
            requests += part * steps.len() as f64;
            seconds += part * (thinking.as_secs_f64() + 0.1 * steps.len() as f64);
        }
        f64::from(self.peak()) * requests / seconds
    }

    /// The `count`-th time, from 0, that `slot` is taken.
    fn joins(&self, slot: u32, count: u32) -> Option<Nanos> {
        let (mut start, mut left, mut there) = (Nanos::ZERO, count, false);
        for part in &self.users {
            if !there && let Some(at) = part.taken(slot) {
                if left == 0 {
                    return Some(start + at);
                }
                left -= 1;
                there = true;
            }
            there = there && part.given_up(slot).is_none();
            start += part.duration;
        }
        None
    }

    /// When `slot`, taken at `from`, is given up.
    fn leaves(&self, slot: u32, from: Nanos) -> Nanos {
        let mut start = Nanos::ZERO;
        for part in &self.users {
            let end = start + part.duration;
            if end > from
                && let Some(at) = part.given_up(slot)
                && start + at > from
            {
                return start + at;
            }
            // A slot that is not taken at the beginning of a later part was given up where that part begins.
            if start > from && part.from <= slot {
                return start;
            }
            start = end;
        }
        start
    }

    /// How often `slot` is taken anew after its first user, counted up to the most that is allowed.
    pub(crate) fn comebacks(&self, slot: u32) -> u32 {
        (1..=COMEBACKS_MAX).take_while(|count| self.joins(slot, *count).is_some()).count() as u32
    }

    fn arrival(&self, seed: Seed, number: u64, due: Nanos) -> Arrival {
        let slot = (number >> SLOT_SHIFT) as u32 & (USERS_MAX - 1);
        Arrival {
            number,
            due,
            journey: self.journey(seed.draw_nth(number, Purpose::Journey).unit()),
            client: ClientId { session: number, address: self.first_client + slot % self.clients },
        }
    }

    fn journey(&self, unit: f64) -> u16 {
        let weights: f64 = self.mix.iter().map(|share| f64::from(share.weight)).sum();
        let mut left = unit * weights;
        let found = self.mix.iter().find(|share| {
            left -= f64::from(share.weight);
            left < 0.0
        });
        found.or(self.mix.last()).map_or(0, |share| share.journey)
    }

    /// The session that the user of `last` begins next, having ended that one at `ended`; `None` when the user is no
    /// longer wanted by then. `seed` is that of arrivals.
    pub(crate) fn next_session(&self, seed: Seed, last: &Arrival, ended: Nanos, served: bool) -> Option<Arrival> {
        let slot = (last.number >> SLOT_SHIFT) as u32 & (USERS_MAX - 1);
        let number = last.number + 1;
        let rest = self.rest.sample(seed.draw_nth(number, Purpose::Think));
        let due = ended + if served { rest } else { rest.max(REST_AFTER_FAILURE) };
        (due < self.leaves(slot, last.due)).then(|| self.arrival(seed, number, due))
    }
}

/// The first sessions of a crowd's users, in order of time.
#[derive(Clone, Debug)]
pub(crate) struct Joining<'a> {
    crowd: &'a Crowd,
    source: u64, // index shifted
    seed: Seed,
    part: usize,
    start: Nanos,
    slot: u32,
}

impl<'a> Joining<'a> {
    pub(crate) fn new(crowd: &'a Crowd, source: u64, seed: Seed) -> Self {
        Self { crowd, source, seed, part: 0, start: Nanos::ZERO, slot: 0 }
    }
}

impl Iterator for Joining<'_> {
    type Item = Arrival;

    /// Walks the parts; within a rising part slots are taken in their order.
    fn next(&mut self) -> Option<Arrival> {
        loop {
            let part = self.crowd.users.get(self.part)?;
            // Taken already when the part begins: those that the part before ended with.
            let before = self.part.checked_sub(1).map_or(0, |index| self.crowd.users[index].to);
            self.slot = self.slot.max(before);
            if self.slot < part.from.max(part.to)
                && let Some(at) = part.taken(self.slot)
            {
                let due = self.start + at;
                let count = (0..COMEBACKS_MAX).find(|count| self.crowd.joins(self.slot, *count) == Some(due));
                let number = self.source
                    | u64::from(self.slot) << SLOT_SHIFT
                    | u64::from(count.unwrap_or(COMEBACKS_MAX - 1)) << COMEBACK_SHIFT;
                self.slot += 1;
                return Some(self.crowd.arrival(self.seed, number, due));
            }
            self.start += part.duration;
            self.part += 1;
            self.slot = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(parts: &[(u64, u32, u32)]) -> Crowd {
        let part = |&(secs, from, to): &(u64, u32, u32)| Headcount { duration: Nanos::from_secs(secs), from, to };
        Crowd {
            mix: vec![Share { journey: 0, weight: 3 }, Share { journey: 1, weight: 1 }],
            users: parts.iter().map(part).collect(),
            rest: Distribution::Constant(Nanos::from_secs(2)),
            first_client: 10,
            clients: 4,
            retry: None,
        }
    }

    fn slot(arrival: &Arrival) -> u64 {
        arrival.number >> SLOT_SHIFT & 0xffff
    }

    #[test]
    fn users_join_as_the_head_count_rises_and_leave_as_it_falls() {
        for (case, parts, joins, leaves) in [
            ("all at once", vec![(10, 3, 3)], vec![0, 0, 0], vec![10, 10, 10]),
            ("a ramp from nobody", vec![(6, 0, 3)], vec![0, 2, 4], vec![6, 6, 6]),
            ("up and down", vec![(6, 0, 3), (4, 3, 3), (6, 3, 0)], vec![0, 2, 4], vec![16, 14, 12]),
            ("a jump", vec![(5, 1, 1), (5, 3, 3)], vec![0, 5, 5], vec![10, 10, 10]),
            ("a drop", vec![(5, 2, 2), (5, 1, 1)], vec![0, 0], vec![10, 5]),
            ("nobody for a while", vec![(5, 1, 1), (5, 0, 0), (5, 1, 1)], vec![0, 10], vec![5, 15]),
        ] {
            let crowd = crowd(&parts);
            let joined: Vec<_> = Joining::new(&crowd, 0, Seed::new(1)).collect();
            assert_eq!(joined.iter().map(|a| a.due.as_secs()).collect::<Vec<_>>(), joins, "{case}");
            let left = joined.iter().map(|a| crowd.leaves(slot(a) as u32, a.due).as_secs());
            assert_eq!(left.collect::<Vec<_>>(), leaves, "{case}");
            let mut numbers: Vec<_> = joined.iter().map(|a| a.number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), joined.len(), "{case}: two users have the same number");
        }
    }

    #[test]
    fn a_user_comes_back_after_resting_until_no_longer_wanted() {
        let (crowd, seed) = (crowd(&[(10, 1, 1)]), Seed::new(1));
        let first = Joining::new(&crowd, 0, seed).next().unwrap();
        let second = crowd.next_session(seed, &first, Nanos::from_secs(3), true).unwrap();
        assert_eq!((second.due, second.number), (Nanos::from_secs(5), first.number + 1));
        assert_eq!(second.client.address, first.client.address);
        assert_eq!(crowd.next_session(seed, &second, Nanos::from_secs(8), true), None, "8 s + 2 s is the end");
        let hasty = Crowd { rest: Distribution::NONE, ..crowd };
        let refused = hasty.next_session(seed, &first, Nanos::from_secs(3), false).unwrap();
        assert_eq!(refused.due, Nanos::from_secs(4), "who was refused rests for a second");
    }

    #[test]
    fn a_mix_is_drawn_by_its_weights() {
        let crowd = crowd(&[(10, 1, 1)]);
        let first = (0..10_000).filter(|n| crowd.arrival(Seed::new(2), *n, Nanos::ZERO).journey == 0).count();
        assert!((7_300..7_700).contains(&first), "{first}");
    }
}
