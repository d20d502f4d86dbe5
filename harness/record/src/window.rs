//! The run over time in a bounded number of windows.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use units::Nanos;

use crate::histogram::{record, with_room};
use crate::{Cause, Observation, Spell, StepId, Timeline, Window};

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
    flow: u64,
    flow_beyond: u64,
    steps: Vec<u32>,
}

impl Accumulator {
    /// With room for times up to `us`.
    fn new(bins: usize, us: u64) -> Self {
        let response = with_room(us, 2);
        Self {
            offered: 0,
            succeeded: 0,
            failed: BTreeMap::new(),
            response,
            heat: vec![0; bins],
            flow: 0,
            flow_beyond: 0,
            steps: Vec::new(),
        }
    }

    fn count(&mut self, step: StepId) -> &mut u32 {
        let step = usize::from(step.0);
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        &mut self.steps[step]
    }

    fn absorb(&mut self, other: &Self) {
        self.offered += other.offered;
        self.succeeded += other.succeeded;
        for (cause, n) in &other.failed {
            *self.failed.entry(*cause).or_default() += n;
        }
        self.response.add(&other.response).expect("an auto-resizing histogram takes any value");
        self.heat.iter_mut().zip(&other.heat).for_each(|(mine, theirs)| *mine += theirs);
        self.flow += other.flow;
        self.flow_beyond += other.flow_beyond;
        for (step, n) in (0..).map(StepId).zip(&other.steps) {
            *self.count(step) += n;
        }
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
            flow: self.flow,
            flow_beyond: self.flow_beyond,
            steps: self.steps.clone(),
        }
    }
}

/// Windows from the start of load on.
#[derive(Debug)]
pub(crate) struct Windows {
    start: Nanos,
    width: Nanos,
    limit: Option<Nanos>,
    edges_us: Vec<u64>,
    all: Vec<Accumulator>,
}

impl Windows {
    /// Windows of one second. `limit` becomes an edge between two bins.
    pub(crate) fn new(start: Nanos, limit: Option<Nanos>) -> Self {
        let from = limit.unwrap_or(Nanos::from_secs(1)).max(Nanos::from_millis(1)).as_micros() as f64;
        let edge = |k: i32| (from * libm::exp2(f64::from(k) / f64::from(BINS_PER_OCTAVE))) as u64;
        let edges_us =
            (-120..=120).map(edge).filter(|us| (HEAT_FROM.as_micros()..=HEAT_TO.as_micros()).contains(us)).collect();
        Self { start, width: Nanos::from_secs(1), limit, edges_us, all: Vec::new() }
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
            let longest = self.all.last().map_or(0, |last| last.response.max());
            self.all.push(Accumulator::new(bins, longest));
        }
        let window = &mut self.all[index];
        window.offered += 1;
        *window.count(observation.step) += 1;
        if judged && observation.cause != Cause::Limited {
            let kept = observation.ok() && self.limit.is_none_or(|limit| observation.response() <= limit);
            window.flow += 1;
            window.flow_beyond += u64::from(!kept);
        }
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

    /// How many windows make a spell: few spells, each with some requests.
    fn per_spell(&self) -> usize {
        const SPELLS: usize = 130;
        const REQUESTS: u64 = 40;
        let windows = self.all.len().max(1);
        let requests = self.all.iter().map(|window| window.response.len()).sum::<u64>();
        let fits =
            |per: &usize| windows.div_ceil(*per) <= SPELLS && requests * *per as u64 >= REQUESTS * windows as u64;
        [1, 2, 5, 10, 15].into_iter().find(fits).unwrap_or(15)
    }

    fn spell(windows: &[Accumulator]) -> Spell {
        let mut all = Histogram::<u32>::new(2).expect("2 digits are valid");
        windows
            .iter()
            .for_each(|window| all.add(&window.response).expect("an auto-resizing histogram takes any value"));
        let at = |q| if all.is_empty() { 0 } else { all.value_at_quantile(q) };
        Spell { n: all.len(), p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99) }
    }

    pub(crate) fn tail(&self, most: usize) -> (usize, Nanos, Vec<Window>) {
        let first = self.all.len().saturating_sub(most);
        (first, self.width, self.all[first..].iter().map(Accumulator::window).collect())
    }

    pub(crate) fn latest(&self, most: usize) -> Window {
        let mut sum = Accumulator::new(self.edges_us.len() + 1, 0);
        self.all[self.all.len().saturating_sub(most)..].iter().for_each(|window| sum.absorb(window));
        sum.window()
    }

    pub(crate) fn timeline(&self) -> Timeline {
        let per_spell = self.per_spell();
        Timeline {
            spell_us: self.width.as_micros() * per_spell as u64,
            spells: self.all.chunks(per_spell).map(Self::spell).collect(),
            width_us: self.width.as_micros(),
            windows: self.all.iter().map(Accumulator::window).collect(),
            heat_edges_us: self.edges_us.clone(),
            steps: Vec::new(),
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
        let mut windows = Windows::new(Nanos::ZERO, Some(Nanos::from_millis(800)));
        (0..10_000).for_each(|second| windows.observe(&at(second, 5), true));
        let timeline = windows.timeline();
        assert!(timeline.windows.len() <= MOST);
        assert_eq!(timeline.windows.iter().map(|w| w.offered).sum::<u64>(), 10_000);
        assert_eq!(timeline.width_us, 32_000_000);
    }

    #[test]
    fn spells_have_percentiles_of_requests_and_not_of_percentiles() {
        let mut windows = Windows::new(Nanos::ZERO, None);
        // Nine quick ones in one second, a slow one in the next: together their median is quick.
        (0..400).for_each(|second| {
            let quick = second % 2 == 0;
            (0..if quick { 9 } else { 1 })
                .for_each(|_| windows.observe(&at(second, if quick { 10 } else { 900 }), true));
        });
        let timeline = windows.timeline();
        assert_eq!((timeline.spell_us, timeline.spells.len()), (10_000_000, 40));
        assert!(timeline.spells.iter().all(|spell| spell.n == 50 && spell.p50_us < 11_000 && spell.p99_us > 890_000));
    }

    #[test]
    fn the_limit_is_an_edge_and_equal_is_beyond_its_bin() {
        let mut windows = Windows::new(Nanos::ZERO, Some(Nanos::from_millis(800)));
        windows.observe(&at(0, 799), true);
        windows.observe(&at(0, 801), true);
        let timeline = windows.timeline();
        let limit_bin = timeline.heat_edges_us.iter().position(|edge| *edge == 800_000).unwrap();
        assert_eq!(timeline.windows[0].heat[limit_bin..=limit_bin + 1], [1, 1]);
    }
}
