//! What a run folder says about each step: the response times of its steady phases, and how many failed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use record::{Asked, Cause, Environment, Percentile, PhaseKind, RunFolder, RunResult, Side, interval_tag};

use crate::ComparisonError;

/// A run, ready to be compared.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Where it comes from.
    pub side: Side,
    /// What it concluded.
    pub result: RunResult,
    /// The machine it ran on, and when.
    pub environment: Environment,
    /// By step, in alphabetical order.
    pub(crate) steps: BTreeMap<String, StepFigures>,
}

/// One step over the steady phases.
#[derive(Clone, Debug)]
pub(crate) struct StepFigures {
    pub(crate) n: u64,
    pub(crate) failed: u64,
    pub(crate) responses: Histogram<u32>,
    /// The same in tenths of the run, for the spread within it.
    pub(crate) blocks: Vec<Histogram<u32>>,
}

/// Blocks that a run is cut into.
const BLOCKS: usize = 12;

/// What is compared of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    P50,
    P95,
    P99,
    Failed,
}

impl Figure {
    pub(crate) const ALL: [Self; 4] = [Self::P50, Self::P95, Self::P99, Self::Failed];

    pub(crate) const fn named(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        if matches!(self, Self::Failed) { "%" } else { "ms" }
    }

    const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::Failed => None,
        }
    }

    /// Its value in milliseconds or percent; `None` without a request.
    pub(crate) fn of(self, step: &StepFigures) -> Option<f64> {
        match self.quantile() {
            Some(quantile) => Self::of_responses(&step.responses, quantile),
            None => (step.n > 0).then(|| step.failed as f64 / step.n as f64 * 100.0),
        }
    }

    fn of_responses(responses: &Histogram<u32>, quantile: f64) -> Option<f64> {
        (!responses.is_empty()).then(|| responses.value_at_quantile(quantile) as f64 / 1e3)
    }

    /// Its value in each block of the run that had requests; nothing for shares.
    pub(crate) fn in_blocks(self, step: &StepFigures) -> Vec<f64> {
        let Some(quantile) = self.quantile() else { return Vec::new() };
        step.blocks.iter().filter_map(|block| Self::of_responses(block, quantile)).collect()
    }
}

impl StepFigures {
    fn new() -> Self {
        Self { n: 0, failed: 0, responses: histogram(), blocks: (0..BLOCKS).map(|_| histogram()).collect() }
    }

    pub(crate) fn of(n: u64, failed: u64, responses: Histogram<u32>) -> Self {
        Self { n, failed, responses, blocks: Vec::new() }
    }

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.failed += other.failed;
        merge(&mut self.responses, &other.responses);
        for (mine, theirs) in self.blocks.iter_mut().zip(&other.blocks) {
            merge(mine, theirs);
        }
    }
}

fn histogram() -> Histogram<u32> {
    Histogram::new(3).expect("3 digits are valid")
}

fn merge(into: &mut Histogram<u32>, from: &Histogram<u32>) {
    into.add(from).expect("an auto-resizing histogram takes every other");
}

impl Measured {
    /// Reads a run folder: `run.json`, `result.json`, `environment.json` and `intervals.hlog`.
    pub fn read(folder: &Path) -> Result<Self, ComparisonError> {
        let asked: Asked = RunFolder::read_json(folder, "run.json")?;
        let result: RunResult = RunFolder::read_json(folder, "result.json")?;
        let environment: Environment = RunFolder::read_json(folder, "environment.json").unwrap_or_default();
        let mut steps: BTreeMap<String, StepFigures> = BTreeMap::new();
        let steady = |name: &str| result.phases.iter().any(|p| p.name == name && p.kind == PhaseKind::Steady);
        for step in result.steps.iter().filter(|step| steady(&step.phase)) {
            let figures = steps.entry(step.step.clone()).or_insert_with(StepFigures::new);
            figures.n += step.n;
            let failed = step.failed.iter().filter(|(cause, _)| **cause != Cause::Limited);
            figures.failed += failed.map(|(_, n)| *n).sum::<u64>();
        }
        let path = folder.join("intervals.hlog");
        let log = fs::read(&path).map_err(|source| record::FolderError::Read { path: path.clone(), source })?;
        let broken = || ComparisonError::Log { path: path.clone() };
        let spans: Vec<(u64, u64)> = result
            .phases
            .iter()
            .filter(|phase| phase.kind == PhaseKind::Steady)
            .map(|phase| (phase.start_us.div_ceil(1_000_000), phase.end_us / 1_000_000))
            .collect();
        let length: u64 = spans.iter().map(|(from, to)| to.saturating_sub(*from)).sum();
        let tags: BTreeMap<String, &str> =
            result.steps.iter().map(|step| (interval_tag(&step.step), step.step.as_str())).collect();
        let mut deserializer = Deserializer::new();
        for entry in IntervalLogIterator::new(&log) {
            let LogEntry::Interval(interval) = entry.map_err(|_| broken())? else { continue };
            let second = interval.start_timestamp().as_secs();
            let Some(at) = place(&spans, second) else { continue };
            let Some(name) = interval.tag().and_then(|tag| tags.get(tag.as_str())) else { continue };
            let Some(figures) = steps.get_mut(*name) else { continue };
            let text = interval.encoded_histogram();
            let Some(seconds) = crate::stored::decode_with(&mut deserializer, text) else { return Err(broken()) };
            merge(&mut figures.responses, &seconds);
            let block = (at * BLOCKS as u64 / length.max(1)) as usize;
            merge(&mut figures.blocks[block.min(BLOCKS - 1)], &seconds);
        }
        let requests = result.steps.iter().map(|step| step.n).sum();
        let side = Side {
            source: folder.display().to_string(),
            scenario: result.scenario.name.clone(),
            scenario_digest: result.scenario.digest.clone(),
            platform_digest: result.platform.digest.clone(),
            backend: asked.backend,
            seeds: vec![result.seed.get()],
            machine: environment.notes.get("machine").cloned().unwrap_or_default(),
            started: environment.started.clone(),
            requests,
        };
        Ok(Self { side, result, environment, steps })
    }

    /// A step, or all of them together.
    pub(crate) fn step(&self, name: Option<&str>) -> Option<StepFigures> {
        if let Some(name) = name {
            return self.steps.get(name).cloned();
        }
        let mut all = StepFigures::new();
        self.steps.values().for_each(|step| all.add(step));
        (all.n > 0).then_some(all)
    }

    /// Whether it was played in virtual time, where nothing happens by chance.
    pub(crate) fn exact(&self) -> bool {
        self.side.backend == "simulated"
    }
}

/// Where a second lies among the steady ones, counted without what is between them.
fn place(spans: &[(u64, u64)], second: u64) -> Option<u64> {
    let mut before = 0;
    for (from, to) in spans {
        if (*from..*to).contains(&second) {
            return Some(before + second - from);
        }
        before += to.saturating_sub(*from);
    }
    None
}

/// Names of all steps of some runs, `None`, for all together, first.
pub(crate) fn names<'a>(runs: impl Iterator<Item = &'a Measured>) -> Vec<Option<String>> {
    let mut names: Vec<String> = runs.flat_map(|run| run.steps.keys().cloned()).collect();
    names.sort();
    names.dedup();
    std::iter::once(None).chain(names.into_iter().map(Some)).collect()
}

/// Points of a percentile curve; without intervals, which one run of many does not give.
pub(crate) fn curve(responses: &Histogram<u32>) -> Vec<Percentile> {
    const PERCENTS: [f64; 15] =
        [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 80.0, 85.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 100.0];
    if responses.is_empty() {
        return Vec::new();
    }
    let point = |percent: f64| {
        let us = responses.value_at_quantile(percent / 100.0).min(responses.max());
        Percentile { percent, us, interval_us: (us, us) }
    };
    PERCENTS.into_iter().map(point).collect()
}
