//! Observations that are kept one by one, to be held against those of another run, in bounded memory.
//!
//! Owns which ones: whole sessions, by a hash of their arrival, so that two runs of the same plan keep the same ones. When
//! there are too many, every second session is given up.

use std::ops::Deref;

use units::{Purpose, Seed};

use crate::Observation;

/// Observations kept at most: 4 MB of them.
const MOST: usize = 1 << 16;

/// Observations of one session in so many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    all: Vec<Observation>,
    one_in: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { all: Vec::new(), one_in: 1 }
    }
}

impl Deref for Sample {
    type Target = [Observation];
    fn deref(&self) -> &[Observation] {
        &self.all
    }
}

impl Sample {
    /// Keeps an observation, if its session is among those that are kept.
    pub fn push(&mut self, observation: Observation) {
        if chosen(observation.arrival, self.one_in) {
            self.all.push(observation);
            if self.all.len() > MOST {
                self.thin(self.one_in * 2);
            }
        }
    }

    /// Of how many sessions one is kept: a power of two.
    pub const fn one_in(&self) -> u64 {
        self.one_in
    }

    /// Keeps one session in so many, or in more if that was so before.
    pub fn thin(&mut self, one_in: u64) {
        if one_in > self.one_in {
            self.one_in = one_in;
            self.all.retain(|observation| chosen(observation.arrival, one_in));
        }
    }
}

fn chosen(arrival: u64, one_in: u64) -> bool {
    one_in == 1 || Seed::new(0).child("sample").draw_nth(arrival, Purpose::Phase).bits() & (one_in - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StepId;

    fn observation(arrival: u64, step: u16) -> Observation {
        Observation { arrival, step: StepId(step), ..Observation::default() }
    }

    #[test]
    fn a_long_run_keeps_whole_sessions_and_no_more_memory() {
        let (mut long, mut short) = (Sample::default(), Sample::default());
        for arrival in 0..200_000 {
            (0..2).for_each(|step| long.push(observation(arrival, step)));
        }
        for arrival in 0..30_000 {
            (0..2).for_each(|step| short.push(observation(arrival, step)));
        }
        assert!(long.len() <= MOST && long.len() > MOST / 3, "{} kept", long.len());
        assert_eq!((long.one_in(), short.one_in(), short.len()), (8, 1, 60_000));
        assert!(long.chunks(2).all(|pair| pair[0].arrival == pair[1].arrival), "a session is whole or not there");
        // The same ones of both, as far as both went.
        short.thin(long.one_in());
        let there = |sample: &Sample| sample.iter().map(|o| o.arrival).filter(|n| *n < 30_000).collect::<Vec<_>>();
        assert_eq!(there(&long), there(&short));
        assert!(short.len().abs_diff(60_000 / 8) < 600, "{} of 60,000", short.len());
    }
}
