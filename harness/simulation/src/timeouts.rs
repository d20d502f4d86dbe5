//! Timeouts of equal length, in a row: they expire in the order in which they began, so they need no place in the
//! event queue while they wait. Only the front of the row is scheduled.

use std::collections::VecDeque;

use units::Nanos;

/// One row.
#[derive(Debug)]
pub(crate) struct Timeouts<T> {
    length: Nanos,
    row: VecDeque<(Nanos, T)>,
}

impl<T: Copy> Timeouts<T> {
    pub(crate) const fn new(length: Nanos) -> Self {
        Self { length, row: VecDeque::new() }
    }

    /// How long each lasts.
    pub(crate) fn length(&self) -> Nanos {
        self.length
    }

    /// Begins a timeout at `now`, which never runs backwards. If it is the only one, its expiry is handed back to be
    /// scheduled.
    #[must_use]
    pub(crate) fn begin(&mut self, now: Nanos, what: T) -> Option<Nanos> {
        let expires = now + self.length;
        self.row.push_back((expires, what));
        (self.row.len() == 1).then_some(expires)
    }

    /// Takes the front if it has expired by `now`.
    pub(crate) fn expired(&mut self, now: Nanos) -> Option<T> {
        self.row.front().is_some_and(|(at, _)| *at <= now).then(|| self.row.pop_front().expect("just seen").1)
    }

    /// Drops what is `settled` from the front, and hands back when the next one expires, to be scheduled.
    pub(crate) fn next(&mut self, settled: impl Fn(T) -> bool) -> Option<Nanos> {
        while self.row.front().is_some_and(|(_, what)| settled(*what)) {
            self.row.pop_front();
        }
        self.row.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_front_is_scheduled_and_settled_ones_are_skipped() {
        let secs = Nanos::from_secs;
        let mut row = Timeouts::new(secs(10));
        assert_eq!(row.begin(secs(0), 'a'), Some(secs(10)));
        assert_eq!(row.begin(secs(1), 'b'), None);
        assert_eq!(row.begin(secs(2), 'c'), None);
        assert_eq!(row.expired(secs(9)), None);
        assert_eq!(row.expired(secs(10)), Some('a'));
        assert_eq!(row.expired(secs(10)), None);
        assert_eq!(row.next(|what| what == 'b'), Some(secs(12)));
    }
}
