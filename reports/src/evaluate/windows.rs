//! Windows over the judged time of a run: a promise for every 10 minutes is judged by the worst of them.

use record::{Block, WatchCounts};

/// The judged time of a watch as one axis without gaps, and its blocks on it.
#[derive(Debug)]
pub(crate) struct Axis {
    /// Stretches of the run, with their beginning on the axis; microseconds.
    spans: Vec<(u64, u64, u64)>,
    /// Blocks by their place on the axis.
    blocks: Vec<(u64, Block)>,
    pub(crate) length: u64,
}

/// Requests of a window and the bad ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) n: u64,
    pub(crate) beyond: u64,
}

impl Axis {
    /// Of what was looked at until `end_us`, when load ended.
    pub(crate) fn of(watch: &WatchCounts, end_us: u64) -> Self {
        let mut length = 0;
        let mut spans = Vec::new();
        for (from, to) in &watch.spans_us {
            let to = (*to).min(end_us);
            if *from < to {
                spans.push((*from, to, length));
                length += to - from;
            }
        }
        let place = |block: &Block| {
            let at = u64::from(block.at_s) * 1_000_000;
            let span = spans.iter().rev().find(|(from, ..)| *from <= at + 999_999)?;
            Some((span.2 + at.max(span.0).min(span.1) - span.0, *block))
        };
        let blocks = watch.blocks.iter().filter_map(place).collect();
        Self { spans, blocks, length }
    }

    /// What was counted from `from` up to and without `to`.
    pub(crate) fn count(&self, from: u64, to: u64) -> Counted {
        let first = self.blocks.partition_point(|(at, _)| *at < from);
        let last = self.blocks.partition_point(|(at, _)| *at < to);
        let sum = |value: fn(&Block) -> u32| {
            self.blocks[first..last.max(first)].iter().map(|(_, block)| u64::from(value(block))).sum()
        };
        Counted { from, to, n: sum(|block| block.n), beyond: sum(|block| block.beyond) }
    }

    /// Windows of `width`, each half a width after the one before, the last at the end. One if all fits into it.
    pub(crate) fn windows(&self, width: u64) -> Vec<(u64, u64)> {
        if width == 0 || self.length <= width {
            return vec![(0, self.length)];
        }
        let last = self.length - width;
        let mut starts: Vec<u64> = (0..last).step_by((width / 2).max(1) as usize).collect();
        starts.push(last);
        starts.into_iter().map(|from| (from, from + width)).collect()
    }

    /// An instant of the axis on the run's clock.
    pub(crate) fn instant(&self, at: u64) -> u64 {
        let span = self.spans.iter().rev().find(|(.., begins)| *begins <= at);
        span.map_or(at, |(from, to, begins)| (from + (at - begins)).min(*to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn axis() -> Axis {
        let block = |at_s| Block { at_s, n: 10, beyond: u32::from(at_s >= 70), phase: 0 };
        let blocks = (10..30).chain(60..90).map(block).collect();
        let spans_us = vec![(10 * S, 30 * S), (60 * S, 100 * S)];
        Axis::of(&WatchCounts { blocks, spans_us, ..WatchCounts::default() }, 90 * S)
    }

    #[test]
    fn gaps_are_closed_and_the_end_of_load_cuts() {
        let axis = axis();
        assert_eq!(axis.length, 50 * S);
        let all = axis.count(0, axis.length);
        assert_eq!((all.n, all.beyond), (500, 20));
        assert_eq!([0, 19, 20, 50].map(|s| axis.instant(s * S) / S), [10, 29, 60, 90]);
        assert_eq!(axis.count(20 * S, 30 * S).n, 100);
    }

    #[test]
    fn windows_overlap_by_half_and_end_with_the_run() {
        let axis = axis();
        let starts = |width| axis.windows(width * S).iter().map(|(from, _)| from / S).collect::<Vec<_>>();
        assert_eq!((starts(60), starts(50)), (vec![0], vec![0]));
        assert_eq!((starts(40), starts(20)), (vec![0, 10], vec![0, 10, 20, 30]));
    }
}
