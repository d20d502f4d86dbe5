//! What objectives have counted: which requests are looked at, what of them is bad, second by second.
//!
//! Owns no judgement. A watch looks at steps, kinds of phase and stretches of time; watches that look at the same
//! requests share one histogram of their response times, so that a percentile has an interval whatever its limit is.

use hdrhistogram::Histogram;
use units::Nanos;

use crate::histogram::{histogram, record};
use crate::{Cause, Observation, PhaseKind, PhaseSpan, StepId};

/// A limit whose keeping is counted request by request. The first watch is the one that is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Watch {
    /// Name of the objective it serves.
    pub objective: String,
    /// Which steps it looks at.
    pub steps: Vec<StepId>,
    /// Which kinds of phase it looks at.
    pub phases: Vec<PhaseKind>,
    /// What a good request keeps; `None` asks only that it succeeds. Read by [`Bad::Late`] alone.
    pub limit: Option<Nanos>,
    /// What is counted.
    pub bad: Bad,
    /// Stretches it looks at, from and without their ends, counted from the start of load; none: all of it.
    pub spans: Vec<(Nanos, Nanos)>,
    /// Steps whose rejects by a rate limiter the scenario provokes: they are nobody's error.
    pub provoked: Vec<StepId>,
}

/// What a watch counts as bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Bad {
    /// Failed, or answered later than the limit. A reject by a rate limiter is the limiter at work and is not looked
    /// at.
    #[default]
    Late,
    /// Not answered well, for whatever reason; a reject that nobody provoked is one.
    Failed,
    /// Answered with a status from the first to the last, both included; or, of 5xx, cut off without an answer.
    Status(u16, u16),
    /// Refused by a rate limiter, provoked or not.
    Rejected,
}

impl Bad {
    /// Whether a request is bad; `None` if it is not looked at at all.
    fn of(self, watch: &Watch, observation: &Observation) -> Option<bool> {
        let provoked = || observation.cause == Cause::Limited && watch.provoked.contains(&observation.step);
        match self {
            Self::Late if observation.cause == Cause::Limited => None,
            Self::Late => Some(!observation.ok() || watch.limit.is_some_and(|limit| observation.response() > limit)),
            Self::Rejected => Some(observation.cause == Cause::Limited),
            Self::Failed | Self::Status(..) if provoked() => None,
            Self::Failed => Some(!observation.ok()),
            Self::Status(first, last) => {
                // A client that saw no status lost the server all the same: only an error of the server's side.
                let lost = matches!(observation.cause, Cause::Refused | Cause::Reset | Cause::Timeout);
                let cut_off = observation.status == 0 && lost && (first, last) == (500, 599);
                Some(cut_off || (!observation.ok() && (first..=last).contains(&observation.status)))
            }
        }
    }
}

/// What a watch counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchCounts {
    /// Name of the objective.
    pub objective: String,
    /// One block per stretch of [`width_s`](Self::width_s) and phase that had a request, in order of time: bursts show
    /// as blocks that differ.
    pub blocks: Vec<Block>,
    /// How many seconds a block has: 1, or more in a run of many hours; 0, of no blocks, is 1.
    pub width_s: u32,
    /// The same counts by step and phase, those without a request left out.
    pub cells: Vec<CellCounts>,
    /// Stretches of the run that it looked at, microseconds of the run's clock, in order.
    pub spans_us: Vec<(u64, u64)>,
    /// Response times (µs) of what it looked at and that succeeded; `None` where times are not its business.
    pub responses: Option<Histogram<u32>>,
}

/// One second of a watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its first second, counted from the run's epoch.
    pub at_s: u32,
    /// Index of the phase it belongs to.
    pub phase: u16,
    /// Requests judged.
    pub n: u32,
    /// Of them, bad.
    pub beyond: u32,
}

/// One step of a watch in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellCounts {
    /// Index of the step.
    pub step: u16,
    /// Index of the phase.
    pub phase: u16,
    /// Requests judged.
    pub n: u64,
    /// Of them, bad.
    pub beyond: u64,
}

/// More blocks are merged two by two: memory does not grow with the run.
const BLOCKS_MAX: usize = 8_192;

/// The counts of one watch as they grow.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    blocks: Vec<Block>,
    width_log2: u32,
    cells: Vec<(u64, u64)>, // by step × phase
}

impl Counts {
    pub(crate) fn observe(&mut self, watch: &Watch, observation: &Observation, cell: usize, phase: u16) {
        let Some(bad) = watch.bad.of(watch, observation) else { return };
        let block = self.block(observation.intended.as_secs() as u32, phase);
        block.n += 1;
        block.beyond += u32::from(bad);
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, (0, 0));
        }
        self.cells[cell].0 += 1;
        self.cells[cell].1 += u64::from(bad);
    }

    /// The block of `second` and `phase`, which is nearly always one of the last few: a request is observed within
    /// its timeout.
    fn block(&mut self, second: u32, phase: u16) -> &mut Block {
        if self.blocks.len() >= BLOCKS_MAX {
            self.widen();
        }
        let at_s = second >> self.width_log2 << self.width_log2;
        let at = |block: &Block| (block.at_s, block.phase);
        let index = self.blocks.iter().rposition(|block| at(block) <= (at_s, phase));
        let index = match index {
            Some(index) if at(&self.blocks[index]) == (at_s, phase) => index,
            before => {
                let index = before.map_or(0, |index| index + 1);
                self.blocks.insert(index, Block { at_s, phase, n: 0, beyond: 0 });
                index
            }
        };
        &mut self.blocks[index]
    }

    fn widen(&mut self) {
        self.width_log2 += 1;
        let mut merged: Vec<Block> = Vec::with_capacity(BLOCKS_MAX);
        for block in self.blocks.drain(..) {
            let at_s = block.at_s >> self.width_log2 << self.width_log2;
            match merged.last_mut() {
                Some(last) if (last.at_s, last.phase) == (at_s, block.phase) => {
                    last.n += block.n;
                    last.beyond += block.beyond;
                }
                _ => merged.push(Block { at_s, ..block }),
            }
        }
        self.blocks = merged;
    }

    /// Requests judged and those that were bad, of all.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    }

    /// Requests judged and those that were bad, of a step in a phase.
    pub(crate) fn cell(&self, index: usize) -> Option<(u64, u64)> {
        self.cells.get(index).copied()
    }

    pub(crate) fn finish(self, watch: &Watch, responses: Option<&Histogram<u32>>, spans: &[PhaseSpan]) -> WatchCounts {
        let phases = spans.len();
        let cell = |(index, (n, beyond)): (usize, (u64, u64))| CellCounts {
            step: (index / phases) as u16,
            phase: (index % phases) as u16,
            n,
            beyond,
        };
        WatchCounts {
            objective: watch.objective.clone(),
            blocks: self.blocks,
            width_s: 1 << self.width_log2,
            cells: self.cells.into_iter().enumerate().filter(|(_, (n, _))| *n > 0).map(cell).collect(),
            spans_us: looked_at(watch, spans),
            responses: responses.cloned(),
        }
    }
}

/// Phases of the watch's kinds, cut to its stretches; neighbours are joined.
fn looked_at(watch: &Watch, phases: &[PhaseSpan]) -> Vec<(u64, u64)> {
    let start = phases.first().map_or(0, |phase| phase.start_us);
    let mut all: Vec<(u64, u64)> = Vec::new();
    for phase in phases.iter().filter(|phase| watch.phases.contains(&phase.kind)) {
        let whole = [(Nanos::ZERO, Nanos::from_micros(u64::MAX / 2_000))];
        let spans = if watch.spans.is_empty() { &whole[..] } else { &watch.spans };
        for (from, to) in spans {
            let from = phase.start_us.max(start.saturating_add(from.as_micros()));
            let to = phase.end_us.min(start.saturating_add(to.as_micros()));
            match all.last_mut() {
                Some(last) if from < to && last.1 == from => last.1 = to,
                _ if from < to => all.push((from, to)),
                _ => {}
            }
        }
    }
    all
}

/// Which watches look at the same requests, and the response times of those.
#[derive(Debug)]
pub(crate) struct Populations {
    all: Vec<Population>,
    of_watch: Vec<usize>,
    load_start: Nanos,
}

#[derive(Debug)]
struct Population {
    cells: Vec<bool>, // step × phase
    spans: Vec<(Nanos, Nanos)>,
    responses: Option<Histogram<u32>>,
    /// Whether the request that is being observed belongs to it.
    holds: bool,
}

impl Populations {
    pub(crate) fn new(watches: &[Watch], steps: usize, phases: &[PhaseSpan]) -> Self {
        let mut all: Vec<Population> = Vec::new();
        let mut of_watch = Vec::new();
        for watch in watches {
            let looks = |cell: usize| {
                let (step, phase) = (cell / phases.len(), cell % phases.len());
                watch.steps.contains(&StepId(step as u16)) && watch.phases.contains(&phases[phase].kind)
            };
            let cells: Vec<bool> = (0..steps * phases.len()).map(looks).collect();
            let same = |population: &Population| population.cells == cells && population.spans == watch.spans;
            let index = all.iter().position(same).unwrap_or_else(|| {
                all.push(Population { cells, spans: watch.spans.clone(), responses: None, holds: false });
                all.len() - 1
            });
            if watch.bad == Bad::Late && watch.limit.is_some() {
                all[index].responses.get_or_insert_with(histogram);
            }
            of_watch.push(index);
        }
        let load_start = Nanos::from_micros(phases.first().map_or(0, |phase| phase.start_us));
        Self { all, of_watch, load_start }
    }

    /// Finds who looks at a request, and keeps its time if it succeeded.
    pub(crate) fn observe(&mut self, observation: &Observation, cell: usize) {
        let due = observation.intended - self.load_start;
        for population in &mut self.all {
            let within = |(from, to): &(Nanos, Nanos)| *from <= due && due < *to;
            population.holds =
                population.cells[cell] && (population.spans.is_empty() || population.spans.iter().any(within));
            if let Some(responses) = population.responses.as_mut().filter(|_| population.holds && observation.ok()) {
                record(responses, observation.response().as_micros());
            }
        }
    }

    /// Whether the watch looks at the request that was observed last.
    pub(crate) fn holds(&self, watch: usize) -> bool {
        self.of_watch.get(watch).is_some_and(|index| self.all[*index].holds)
    }

    /// Response times of what a watch looked at.
    pub(crate) fn responses(&self, watch: usize) -> Option<&Histogram<u32>> {
        self.all[self.of_watch[watch]].responses.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cause: Cause, status: u16, ms: u64) -> Observation {
        let intended = Nanos::from_secs(5);
        let done = intended + Nanos::from_millis(ms);
        Observation { intended, sent: intended, done, cause, status, ..Observation::default() }
    }

    #[test]
    fn what_is_bad_depends_on_who_asks() {
        let late = Watch { limit: Some(Nanos::from_millis(100)), ..Watch::default() };
        let of = |bad| Watch { bad, ..Watch::default() };
        let provoked = Watch { provoked: vec![StepId(0)], ..of(Bad::Failed) };
        let (failed, five, limited) = (of(Bad::Failed), of(Bad::Status(500, 599)), of(Bad::Status(429, 429)));
        for (case, watch, observation, want) in [
            ("in time", &late, seen(Cause::None, 200, 100), Some(false)),
            ("late", &late, seen(Cause::None, 200, 101), Some(true)),
            ("failed fast", &late, seen(Cause::ServerError, 500, 1), Some(true)),
            ("a reject is no lateness", &late, seen(Cause::Limited, 503, 1), None),
            ("a reject that nobody asked for", &failed, seen(Cause::Limited, 503, 1), Some(true)),
            ("a provoked one", &provoked, seen(Cause::Limited, 503, 1), None),
            ("nginx's default status of a reject is a 5xx", &five, seen(Cause::Limited, 503, 1), Some(true)),
            ("and no 429", &limited, seen(Cause::Limited, 503, 1), Some(false)),
            ("a 429", &limited, seen(Cause::Limited, 429, 1), Some(true)),
            ("gone without an answer", &five, seen(Cause::Reset, 0, 1), Some(true)),
            ("not sent is the driver's fault", &five, seen(Cause::NotSent, 0, 1), Some(false)),
            ("a 5xx that was wanted", &five, seen(Cause::None, 503, 1), Some(false)),
            ("of all, a reject", &of(Bad::Rejected), seen(Cause::Limited, 503, 1), Some(true)),
        ] {
            assert_eq!(watch.bad.of(watch, &observation), want, "{case}");
        }
    }

    #[test]
    fn many_seconds_become_wider_blocks_and_lose_nothing() {
        let mut counts = Counts::default();
        let watch = Watch::default();
        for second in 0..40_000 {
            let intended = Nanos::from_secs(second);
            let observation = Observation { intended, sent: intended, done: intended, ..Observation::default() };
            counts.observe(&watch, &observation, 0, u16::from(second >= 30_000));
        }
        let phase = |name: &str| PhaseSpan { name: name.into(), kind: PhaseKind::Steady, start_us: 0, end_us: 1 };
        let counts = counts.finish(&watch, None, &[phase("a"), phase("b")]);
        assert!(counts.blocks.len() < BLOCKS_MAX && counts.width_s == 8, "{} {}", counts.blocks.len(), counts.width_s);
        assert_eq!(counts.blocks.iter().map(|block| block.n).sum::<u32>(), 40_000);
        assert!(counts.blocks.is_sorted_by_key(|block| (block.at_s, block.phase)));
    }

    #[test]
    fn watches_of_the_same_requests_share_their_times_and_spans_are_kept() {
        let phases = [PhaseSpan { name: "a".into(), kind: PhaseKind::Steady, start_us: 2_000_000, end_us: 9_000_000 }];
        let watch = |limit, spans: &[(u64, u64)]| Watch {
            steps: vec![StepId(0)],
            phases: vec![PhaseKind::Steady],
            limit: Some(Nanos::from_millis(limit)),
            spans: spans.iter().map(|(from, to)| (Nanos::from_secs(*from), Nanos::from_secs(*to))).collect(),
            ..Watch::default()
        };
        let watches = [watch(1, &[]), watch(2, &[]), watch(1, &[(0, 3)])];
        let mut populations = Populations::new(&watches, 1, &phases);
        assert_eq!(populations.of_watch, [0, 0, 1]);
        populations.observe(&seen(Cause::None, 200, 10), 0); // due 3 s after the start of load
        assert_eq!([0, 1, 2].map(|watch| populations.holds(watch)), [true, true, false]);
        assert_eq!([0, 2].map(|watch| populations.responses(watch).unwrap().len()), [1, 0]);
    }
}
