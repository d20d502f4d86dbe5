//! The run over time in a bounded number of windows.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use units::Nanos;

use crate::histogram::record;
use crate::{Cause, Observation, Timeline, Window};

/// More windows than this are never kept: their width doubles instead, so that memory does not grow with the run.
const MOST: usize = 600;
/// Latency bins per doubling.
const BINS_PER_OCTAVE: i32 = 4;
/// Lowest and highest edge worth a bin.
const HEAT_FROM: Nanos = Nanos::from_millis(1);
const HEAT_TO: Nanos = Nanos::from_secs(60);

#[derive(Debug)]
struct Accumulator {
    offered: u64,
    succeeded: u64,
    failed: BTreeMap<Cause, u64>,
    response: Histogram<u32>,
    heat: Vec<u32>,
}

impl Accumulator {
    fn new(bins: usize) -> Self {
        let response = Histogram::new(2).expect("2 digits are valid");
        Self { offered: 0, succeeded: 0, failed: BTreeMap::new(), response, heat: vec![0; bins] }
    }

    fn absorb(&mut self, other: &Self) {
        self.offered += other.offered;
        self.succeeded += other.succeeded;
        for (cause, n) in &other.failed {
            *self.failed.entry(*cause).or_default() += n;
        }
        self.response.add(&other.response).expect("an auto-resizing histogram takes any value");
        self.heat.iter_mut().zip(&other.heat).for_each(|(mine, theirs)| *mine += theirs);
    }

    fn window(&self) -> Window {
        let at = |q| if self.response.is_empty() { 0 } else { self.response.value_at_quantile(q) };
        Window {
            offered: self.offered,
            succeeded: self.succeeded,
            failed: self.failed.clone(),
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            max_us: if self.response.is_empty() { 0 } else { self.response.max() },
            heat: self.heat.clone(),
        }
    }
}

/// Windows from the start of load on.
#[derive(Debug)]
pub(crate) struct Windows {
    start: Nanos,
    width: Nanos,
    edges_us: Vec<u64>,
    all: Vec<Accumulator>,
}

impl Windows {
    /// Windows of one second. `limit` becomes an edge between two bins.
    pub(crate) fn new(start: Nanos, limit: Nanos) -> Self {
        let limit = limit.max(Nanos::from_millis(1)).as_micros() as f64;
        let edge = |k: i32| (limit * libm::exp2(f64::from(k) / f64::from(BINS_PER_OCTAVE))) as u64;
        let edges_us =
            (-120..=120).map(edge).filter(|us| (HEAT_FROM.as_micros()..=HEAT_TO.as_micros()).contains(us)).collect();
        Self { start, width: Nanos::from_secs(1), edges_us, all: Vec::new() }
    }

    /// Counts `observation`; only if it belongs to the judged flow does its latency enter the percentiles.
    pub(crate) fn observe(&mut self, observation: &Observation, judged: bool) {
        let mut index = self.index(observation.intended);
        while index >= MOST {
            self.widen();
            index = self.index(observation.intended);
        }
        let bins = self.edges_us.len() + 1;
        while self.all.len() <= index {
            self.all.push(Accumulator::new(bins));
        }
        let window = &mut self.all[index];
        window.offered += 1;
        if observation.ok() {
            window.succeeded += 1;
            if judged {
                let us = observation.response().as_micros();
                record(&mut window.response, us.max(1));
                window.heat[self.edges_us.partition_point(|edge| *edge <= us)] += 1;
            }
        } else {
            *window.failed.entry(observation.cause).or_default() += 1;
        }
    }

    fn index(&self, at: Nanos) -> usize {
        ((at - self.start).get() / self.width.get()) as usize
    }

    fn widen(&mut self) {
        self.width = self.width * 2;
        let mut merged: Vec<Accumulator> = Vec::with_capacity(MOST);
        for (index, window) in std::mem::take(&mut self.all).into_iter().enumerate() {
            match merged.last_mut() {
                Some(last) if index % 2 == 1 => last.absorb(&window),
                _ => merged.push(window),
            }
        }
        self.all = merged;
    }

    pub(crate) fn timeline(&self) -> Timeline {
        Timeline {
            width_us: self.width.as_micros(),
            windows: self.all.iter().map(Accumulator::window).collect(),
            heat_edges_us: self.edges_us.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64, ms: u64) -> Observation {
        let intended = Nanos::from_secs(second);
        Observation { intended, sent: intended, done: intended + Nanos::from_millis(ms), ..Observation::default() }
    }

    #[test]
    fn a_long_run_keeps_every_request_in_few_windows() {
        let mut windows = Windows::new(Nanos::ZERO, Nanos::from_millis(800));
        (0..10_000).for_each(|second| windows.observe(&at(second, 5), true));
        let timeline = windows.timeline();
        assert!(timeline.windows.len() <= MOST);
        assert_eq!(timeline.windows.iter().map(|w| w.offered).sum::<u64>(), 10_000);
        assert_eq!(timeline.width_us, 32_000_000);
    }

    #[test]
    fn the_limit_is_an_edge_and_equal_is_beyond_its_bin() {
        let mut windows = Windows::new(Nanos::ZERO, Nanos::from_millis(800));
        windows.observe(&at(0, 799), true);
        windows.observe(&at(0, 801), true);
        let timeline = windows.timeline();
        let limit_bin = timeline.heat_edges_us.iter().position(|edge| *edge == 800_000).unwrap();
        assert_eq!(timeline.windows[0].heat[limit_bin..=limit_bin + 1], [1, 1]);
    }
}
