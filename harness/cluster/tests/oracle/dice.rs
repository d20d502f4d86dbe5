//! Chance for cases: splitmix64, small and the same everywhere.

/// A stream of draws.
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    /// Those of a case's number.
    pub(crate) fn of_case(seed: u64, number: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).cast_unsigned()).cast_signed()
    }

    /// Once in `odds` times.
    pub(crate) fn one_in(&mut self, odds: i64) -> bool {
        self.within(1, odds) == 1
    }

    /// One of them.
    pub(crate) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.within(0, all.len() as i64 - 1) as usize].clone()
    }
}
