//! Observations in, cells out, in memory that does not grow with the run.

mod cell;
mod interval;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use units::Nanos;

use crate::histogram::{histogram, record};
use crate::watch::{Counts, Populations, Watch, WatchCounts};
use crate::window::Windows;
use crate::{
    Cause, Judged, LostRequest, Observation, PhaseKind, PhaseSpan, Quantiles, StepResult, TimeSplit, Timeline, Window,
};
use cell::{Cell, PodCell};
use interval::Interval;
pub use interval::interval_tag;

/// What the recorder must know before the first observation.
#[derive(Clone, Debug, Default)]
pub struct RecorderPlan {
    /// Steps in the order of their [`StepId`](crate::StepId).
    pub steps: Vec<StepPlan>,
    /// Phases on the run's clock, in order, without gaps. The first one starts when load starts.
    pub phases: Vec<PhaseSpan>,
    /// What is counted exactly.
    pub watches: Vec<Watch>,
}

/// A step as the recorder names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StepPlan {
    /// Flow it belongs to, such as `core`.
    pub flow: String,
    /// Its name.
    pub name: String,
    /// `POST /auth/token`.
    pub request: String,
}

/// Everything a run recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Names of the steps, in the order of their [`StepId`](crate::StepId).
    pub names: Vec<String>,
    /// One per step and phase that had requests.
    pub steps: Vec<StepResult>,
    /// The run over time.
    pub timeline: Timeline,
    /// Requests around p95, taken apart.
    pub time_splits: Vec<TimeSplit>,
    /// Exact counts, in the order of the watches.
    pub watches: Vec<WatchCounts>,
    /// Response times (µs) of what the first watch judged and that succeeded.
    pub judged: Histogram<u32>,
    /// Lag (µs) of everything that was sent.
    pub lag: Histogram<u32>,
    /// Requests that were due.
    pub offered: u64,
    /// Requests that the driver could not send.
    pub not_sent: u64,
    /// What each pod behind the gateway answered, in the order of their numbers.
    pub pods: Vec<PodCounts>,
    /// Response times (µs) of each step that is judged somewhere, over the phases of kind steady.
    pub by_step: Vec<StepHistogram>,
    /// The first [`Recorder::LOST`] requests that failed, in the order in which that was seen.
    pub lost: Vec<LostRequest>,
    /// Requests that succeeded and were under way at an instant of an even grid, summed over the instants.
    pub in_flight: u64,
    /// The grid's width.
    pub grid: Nanos,
    /// Response times of all requests that succeeded, summed as the histograms have them, microseconds.
    pub responded_us: f64,
}

/// What one pod behind the gateway answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodCounts {
    /// Its number: [`Observation::pod`].
    pub pod: u16,
    /// Requests that it served first behind the gateway.
    pub n: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Response times of those that succeeded.
    pub response: Quantiles,
}

/// Response times of a step.
#[derive(Clone, Debug)]
pub struct StepHistogram {
    /// Flow it belongs to.
    pub flow: String,
    /// Step name.
    pub step: String,
    /// Microseconds.
    pub response: Histogram<u32>,
}

/// Turns observations into cells.
#[derive(Debug)]
pub struct Recorder {
    plan: RecorderPlan,
    cells: Vec<Option<Box<Cell>>>, // step × phase
    populations: Populations,
    counts: Vec<Counts>,
    windows: Windows,
    pods: Vec<Option<Box<PodCell>>>, // by number
    judged: Histogram<u32>,
    lag: Histogram<u32>,
    offered: u64,
    failed: u64,
    not_sent: u64,
    lost: Vec<LostRequest>,
    in_flight: u64,
    interval: Option<Interval>, // `None`: nobody reads its log
}

impl Recorder {
    /// Failed requests that are kept one by one: enough to draw, and little memory.
    pub const LOST: usize = 2_000;
    /// Between two counts of what is under way. Not a round number, so that no schedule of arrivals falls on it.
    const GRID: Nanos = Nanos::new(7_919_003);

    /// An empty recorder.
    pub fn new(plan: RecorderPlan) -> Self {
        let start = Nanos::from_micros(plan.phases.first().map_or(0, |p| p.start_us));
        let limit = plan.watches.first().and_then(|w| w.limit);
        let cells = plan.steps.len() * plan.phases.len();
        let populations = Populations::new(&plan.watches, plan.steps.len(), &plan.phases);
        Self {
            cells: (0..cells).map(|_| None).collect(),
            counts: plan.watches.iter().map(|_| Counts::default()).collect(),
            populations,
            windows: Windows::new(start, limit),
            pods: Vec::new(),
            judged: histogram(),
            lag: histogram(),
            offered: 0,
            failed: 0,
            not_sent: 0,
            lost: Vec::new(),
            in_flight: 0,
            interval: Some(Interval::default()),
            plan,
        }
    }

    /// The same without an interval log, for a run that nobody writes down.
    #[must_use]
    pub fn without_intervals(self) -> Self {
        Self { interval: None, ..self }
    }

    /// Takes one observation. A step outside the plan is a broken driver and panics.
    pub fn observe(&mut self, observation: &Observation) {
        let intended_us = observation.intended.as_micros();
        let phase = self.plan.phases.partition_point(|p| p.start_us <= intended_us).saturating_sub(1);
        let index = usize::from(observation.step.0) * self.plan.phases.len() + phase;
        self.offered += 1;
        self.failed += u64::from(!observation.ok());
        self.cells[index].get_or_insert_with(Cell::new).observe(observation);
        if observation.cause == Cause::NotSent {
            self.not_sent += 1;
        } else {
            record(&mut self.lag, observation.lag().as_micros());
        }
        let of_flow = self.plan.watches.first().is_none_or(|w| w.steps.contains(&observation.step));
        self.windows.observe(observation, of_flow);
        if observation.pod > 0 {
            self.pod(observation.pod).observe(observation);
        }
        self.populations.observe(observation, index);
        if observation.ok() {
            let at = |instant: Nanos| instant.get() / Self::GRID.get();
            self.in_flight += at(observation.done).saturating_sub(at(observation.intended));
        } else if self.lost.len() < Self::LOST {
            self.lost.push(LostRequest {
                intended_us,
                done_us: observation.done.as_micros(),
                step: observation.step,
                cause: observation.cause,
            });
        }
        for (which, (watch, counts)) in self.plan.watches.iter().zip(&mut self.counts).enumerate() {
            if self.populations.holds(which) {
                counts.observe(watch, observation, index, phase as u16);
            }
        }
        if self.populations.holds(0) && observation.ok() && !self.counts.is_empty() {
            record(&mut self.judged, observation.response().as_micros());
        }
        if let Some(interval) = &mut self.interval {
            interval.observe(observation);
        }
    }

    fn pod(&mut self, number: u16) -> &mut PodCell {
        let index = usize::from(number);
        if self.pods.len() <= index {
            self.pods.resize_with(index + 1, || None);
        }
        self.pods[index].get_or_insert_with(|| Box::new(PodCell::new()))
    }

    /// The last `most` windows of the timeline, with the place of the first among all of them and their width.
    pub fn tail(&self, most: usize) -> (usize, Nanos, Vec<Window>) {
        self.windows.tail(most)
    }

    /// The last `most` windows as one.
    pub fn latest(&self, most: usize) -> Window {
        self.windows.latest(most)
    }

    /// Failures so far, by cause.
    pub fn failures(&self) -> BTreeMap<Cause, u64> {
        let mut all = BTreeMap::new();
        for (cause, n) in self.cells.iter().flatten().flat_map(|cell| &cell.failed) {
            *all.entry(*cause).or_default() += n;
        }
        all
    }

    /// For each watch its objective, how many requests were judged so far and how many of them were bad.
    pub fn watched(&self) -> impl Iterator<Item = (&str, (u64, u64))> {
        let watches = self.plan.watches.iter().zip(&self.counts);
        watches.map(|(watch, counts)| (watch.objective.as_str(), counts.totals()))
    }

    /// Requests that were due so far, and how many of them failed.
    pub fn totals(&self) -> (u64, u64) {
        (self.offered, self.failed)
    }

    /// The interval log of every second that ended before `now`, in HdrHistogram's text format, values in µs.
    /// A line belongs to the second in which its requests **ended**, so that it can be written at once.
    pub fn drain_intervals(&mut self, now: Nanos, into: &mut Vec<u8>) {
        if let Some(interval) = &mut self.interval {
            interval.drain(now, &self.plan.steps, into);
        }
    }

    /// What was recorded.
    pub fn finish(self) -> Recording {
        let phases = &self.plan.phases;
        let mut steps = Vec::new();
        let mut time_splits = Vec::new();
        for (index, cell) in self.cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let (step, phase) = (&self.plan.steps[index / phases.len()], &phases[index % phases.len()]);
            let watches = self.plan.watches.iter().zip(&self.counts);
            let judged = watches.filter_map(|(watch, counts)| {
                let (n, beyond) = counts.cell(index).filter(|(n, _)| *n > 0)?;
                Some(Judged { objective: watch.objective.clone(), n, beyond })
            });
            steps.push(cell.result(step, &phase.name, judged.collect()));
            time_splits.extend(cell.split(&step.name, &phase.name));
        }
        let by_step = self.by_step();
        let mut timeline = self.windows.timeline();
        timeline.steps = self.plan.steps.iter().map(|step| step.name.clone()).collect();
        let watches = self.plan.watches.iter().zip(self.counts).enumerate();
        let watches = watches
            .map(|(which, (watch, counts))| counts.finish(watch, self.populations.responses(which), phases))
            .collect();
        Recording {
            names: self.plan.steps.iter().map(|step| step.name.clone()).collect(),
            steps,
            time_splits,
            timeline,
            by_step,
            watches,
            judged: self.judged,
            lag: self.lag,
            offered: self.offered,
            not_sent: self.not_sent,
            pods: (0..).zip(&self.pods).filter_map(|(pod, cell)| Some(cell.as_ref()?.counts(pod))).collect(),
            lost: self.lost,
            in_flight: self.in_flight,
            grid: Self::GRID,
            responded_us: self.cells.iter().flatten().map(|cell| total(&cell.response)).sum(),
        }
    }

    fn by_step(&self) -> Vec<StepHistogram> {
        let phases = &self.plan.phases;
        let of = |(index, step): (usize, &StepPlan)| {
            let cells = self.cells[index * phases.len()..].iter().zip(phases);
            let mut response = histogram();
            for (cell, _) in cells.filter(|(_, phase)| phase.kind == PhaseKind::Steady) {
                let all = cell.as_ref().map(|cell| &cell.response);
                all.into_iter().for_each(|all| response.add(all).expect("an auto-resizing histogram takes any value"));
            }
            let named = StepHistogram { flow: step.flow.clone(), step: step.name.clone(), response };
            (!named.response.is_empty()).then_some(named)
        };
        self.plan.steps.iter().enumerate().filter_map(of).collect()
    }
}

/// The sum of a histogram's values.
fn total(histogram: &Histogram<u32>) -> f64 {
    if histogram.is_empty() { 0.0 } else { histogram.mean() * histogram.len() as f64 }
}

impl Quantiles {
    /// Of a histogram in microseconds; all zero if it is empty.
    pub fn of(histogram: &Histogram<u32>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |q| histogram.value_at_quantile(q);
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, CellCounts, Hops, PhaseKind, StepId};

    fn plan() -> RecorderPlan {
        let phase = |name: &str, kind, start_us, end_us| PhaseSpan { name: name.into(), kind, start_us, end_us };
        RecorderPlan {
            steps: vec![StepPlan { flow: "core".into(), name: "token".into(), request: "POST /auth/token".into() }],
            phases: vec![
                phase("warm-up", PhaseKind::WarmUp, 2_000_000, 4_000_000),
                phase("steady", PhaseKind::Steady, 4_000_000, 9_000_000),
            ],
            watches: vec![Watch {
                objective: "core-latency".into(),
                steps: vec![StepId(0)],
                phases: vec![PhaseKind::Steady],
                limit: Some(Nanos::from_millis(800)),
                ..Watch::default()
            }],
        }
    }

    fn seen(intended_ms: u64, response_ms: u64, cause: Cause) -> Observation {
        let intended = Nanos::from_millis(intended_ms);
        Observation {
            intended,
            sent: intended + Nanos::from_millis(1),
            done: intended + Nanos::from_millis(response_ms),
            cause,
            hops: Hops { queue_us: 2_000, cpu_us: 3_000, ..Hops::default() },
            ..Observation::default()
        }
    }

    #[test]
    fn counts_exactly_at_the_limit_and_only_in_judged_phases() {
        let mut recorder = Recorder::new(plan());
        recorder.observe(&seen(3_000, 900, Cause::None)); // warm-up
        recorder.observe(&seen(4_000, 800, Cause::None)); // exactly the limit is kept
        recorder.observe(&seen(4_500, 801, Cause::None));
        recorder.observe(&seen(5_000, 10, Cause::ServerError)); // a fast failure is no good answer
        recorder.observe(&seen(5_100, 1, Cause::Limited)); // not this objective's business
        let recording = recorder.finish();
        assert_eq!(
            recording.watches[0].blocks,
            [Block { at_s: 4, phase: 1, n: 2, beyond: 1 }, Block { at_s: 5, phase: 1, n: 1, beyond: 1 }]
        );
        assert_eq!(recording.watches[0].cells, [CellCounts { step: 0, phase: 1, n: 3, beyond: 2 }]);
        assert_eq!((recording.offered, recording.judged.len(), recording.steps.len()), (5, 2, 2));
    }

    #[test]
    fn a_requests_parts_add_up() {
        let mut recorder = Recorder::new(plan());
        (0..100).for_each(|i| recorder.observe(&seen(4_000 + i, 10, Cause::None)));
        let split = recorder.finish().time_splits.remove(0);
        let parts = split.queue_us + split.cpu_us + split.wait_us + split.limiter_us + split.lag_us + split.other_us;
        assert_eq!((split.response_us, parts, split.other_us), (10_000, 10_000, 4_000));
    }

    #[test]
    fn interval_log_lines_are_read_back_by_the_standard_reader() {
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let mut plan = plan();
        plan.steps[0].name = "the token".into(); // a space would leave the line without a tag
        let mut recorder = Recorder::new(plan);
        recorder.observe(&seen(4_000, 20, Cause::None));
        recorder.observe(&seen(4_100, 20, Cause::None));
        recorder.observe(&seen(5_100, 20, Cause::None));
        let mut log = Vec::new();
        recorder.drain_intervals(Nanos::from_secs(10), &mut log);
        let starts: Vec<_> = IntervalLogIterator::new(&log)
            .map(|entry| match entry.unwrap() {
                LogEntry::Interval(h) => (h.start_timestamp().as_secs(), h.tag().unwrap().as_str().to_owned()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(starts, [(4, "the-token".into()), (5, "the-token".into())]);
    }
}
