//! What a run folder holds, with the few facts that more than one part of a report needs.

use std::collections::BTreeMap;

use record::{
    Asked, Cause, Conclusion, Environment, Judgement, Measure, RunResult, ScalingDecision, TimeSplit, Verdict, Window,
};

use crate::Twin;
use crate::words;

/// A run folder in memory.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) asked: Asked,
    pub(crate) result: RunResult,
    pub(crate) environment: Option<Environment>,
    pub(crate) twin: Option<Twin>,
}

/// A sync that changed something, and when its last pod was ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) at_us: u64,
    pub(crate) decision: &'a ScalingDecision,
    /// When as many pods as it asked for were ready, if they ever were and nothing else was asked before.
    pub(crate) ready_us: Option<u64>,
}

/// How long and how far p95 was over the limit, by the windows of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) windows: u64,
    pub(crate) peak_us: u64,
    pub(crate) peak_at_us: i64,
}

/// The verdict that the drawn latencies belong to: the recorder draws the first watch.
pub(crate) fn drawn(result: &RunResult) -> Option<&Verdict> {
    result.verdicts.first().filter(|verdict| verdict.unit == "ms")
}

/// The drawn objective's limit, microseconds.
pub(crate) fn limit_us(result: &RunResult) -> Option<u64> {
    drawn(result).map(|verdict| (verdict.limit * 1_000.0) as u64)
}

/// The verdict that a report leads with: broken before undecided before held, gating before not.
pub(crate) fn leading(result: &RunResult) -> Option<&Verdict> {
    result.verdicts.iter().min_by_key(|verdict| (!verdict.gating, need(verdict.judgement)))
}

/// Broken first.
pub(crate) fn need(judgement: Judgement) -> u8 {
    match judgement {
        Judgement::Fail => 0,
        Judgement::Undecided => 1,
        Judgement::Pass => 2,
    }
}

/// `the core flow` of `Core flow, p95`.
pub(crate) fn subject(verdict: &Verdict) -> String {
    let (name, percentile) = verdict.title.rsplit_once(", p").unwrap_or((&verdict.title, ""));
    if percentile.parse::<f64>().is_err() {
        return format!("“{}”", verdict.title);
    }
    // `AI agent` keeps its capitals.
    if name.chars().nth(1).is_some_and(|second| !second.is_lowercase()) {
        return format!("the {name}");
    }
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    format!("the {first}{}", letters.as_str())
}

/// `p95`, or in words what else is limited.
pub(crate) fn measure(verdict: &Verdict) -> String {
    let words = match verdict.measure {
        Measure::Percentile => "share that is late or failed",
        Measure::Share | Measure::Burn => "share that counts against it",
        Measure::Rate => "rate",
        Measure::Count => "number of requests",
        Measure::Down => "longest outage",
        Measure::Recovery => "time to recover",
    };
    verdict.percentile.map_or_else(|| words.into(), words::percentile)
}

/// A value of a verdict with its unit.
pub(crate) fn value(verdict: &Verdict, value: f64) -> String {
    match verdict.unit.as_str() {
        "%" => words::percent(value / 100.0),
        "/s" => format!("{}/s", words::number(value, 2)),
        "s" if value == 0.0 => "none".into(),
        "s" => words::span((value * 1e6) as u64),
        "requests" => words::counted(value as u64, "request", "requests"),
        _ => words::ms((value * 1_000.0) as u64),
    }
}

/// `852–942 ms`.
pub(crate) fn interval(verdict: &Verdict) -> Option<String> {
    let (low, high) = verdict.interval?;
    let high_text = value(verdict, high);
    let low_text = value(verdict, low);
    let bare = low_text.trim_end_matches(|c: char| c.is_alphabetic() || c == '%' || c == '/' || c == '\u{a0}');
    Some(format!("{bare}–{high_text}"))
}

/// How much of the limit is left, as a share of it; negative if it is broken.
pub(crate) fn margin(verdict: &Verdict) -> Option<f64> {
    verdict.measured.filter(|_| verdict.limit > 0.0).map(|measured| 1.0 - measured / verdict.limit)
}

/// Instant `at_us` of the run's clock, relative to the start of load.
pub(crate) fn since_load(result: &RunResult, at_us: u64) -> i64 {
    at_us as i64 - result.load_start_us as i64
}

/// The same as a clock.
pub(crate) fn at(result: &RunResult, at_us: u64) -> String {
    words::clock(since_load(result, at_us))
}

/// How long load lasted.
pub(crate) fn load_us(result: &RunResult) -> u64 {
    result.load_end_us.saturating_sub(result.load_start_us)
}

/// The windows that began while load lasted. What comes later are the last steps of sessions that began in time: they
/// count, but a window of so few is no rate.
pub(crate) fn under_load(result: &RunResult) -> &[Window] {
    let windows = &result.timeline.windows;
    let width = result.timeline.width_us.max(1);
    let begun = result.load_end_us.saturating_sub(result.load_start_us).div_ceil(width) as usize;
    &windows[..begun.min(windows.len())]
}

/// Requests that were due, and those that succeeded.
pub(crate) fn totals(result: &RunResult) -> (u64, u64) {
    result.timeline.windows.iter().fold((0, 0), |(due, ok), w| (due + w.offered, ok + w.succeeded))
}

/// Failures by cause over the whole run, the most frequent first.
pub(crate) fn failures(result: &RunResult) -> Vec<(Cause, u64)> {
    let mut all: BTreeMap<Cause, u64> = BTreeMap::new();
    for (cause, n) in result.timeline.windows.iter().flat_map(|window| &window.failed) {
        *all.entry(*cause).or_default() += n;
    }
    let mut all: Vec<_> = all.into_iter().filter(|(_, n)| *n > 0).collect();
    all.sort_by_key(|(cause, n)| (std::cmp::Reverse(*n), *cause));
    all
}

/// `12 × 5xx and 3 × timeout`.
pub(crate) fn failures_in_words(failures: &[(Cause, u64)]) -> String {
    let items: Vec<String> =
        failures.iter().map(|(cause, n)| format!("{}\u{a0}× {}", words::count(*n), cause.label())).collect();
    words::list(&items)
}

/// `None` if p95 was never over the limit in any window.
pub(crate) fn excess(result: &RunResult) -> Option<Excess> {
    let limit = limit_us(result)?;
    let over: Vec<(u64, u64)> = (0..)
        .zip(under_load(result))
        .filter(|(_, window)| window.p95_us > limit)
        .map(|(index, window)| (index, window.p95_us))
        .collect();
    let (peak_at, peak_us) = over.iter().copied().max_by_key(|(_, us)| *us)?;
    let peak_at_us = (peak_at * result.timeline.width_us) as i64;
    Some(Excess { windows: over.len() as u64, peak_us, peak_at_us })
}

/// The slowest part of the slowest step, by the requests around p95.
pub(crate) fn slowest(result: &RunResult) -> Option<(&TimeSplit, (&'static str, u64))> {
    let split = result.time_splits.iter().max_by_key(|split| split.response_us)?;
    parts(split).into_iter().max_by_key(|(_, us)| *us).map(|part| (split, part))
}

/// The parts of a split, in the order in which they are drawn.
pub(crate) fn parts(split: &TimeSplit) -> [(&'static str, u64); 6] {
    [
        ("queue", split.queue_us),
        ("CPU", split.cpu_us),
        ("wait", split.wait_us),
        ("limiter", split.limiter_us),
        ("driver lag", split.lag_us),
        ("other", split.other_us),
    ]
}

/// Every sync that changed something.
pub(crate) fn changes(result: &RunResult) -> Vec<Change<'_>> {
    let changed = |(_, d): &&(u64, ScalingDecision)| d.desired != d.current;
    let mut all: Vec<Change<'_>> = result
        .decisions
        .iter()
        .filter(changed)
        .map(|(at_us, decision)| Change { at_us: *at_us, decision, ready_us: None })
        .collect();
    for index in 0..all.len() {
        let Change { at_us, decision, .. } = all[index];
        let next = all[index + 1..].iter().find(|c| c.decision.workload == decision.workload).map(|c| c.at_us);
        let series = result.workloads.iter().find(|w| w.workload == decision.workload);
        let points = series.into_iter().flat_map(|w| &w.points);
        all[index].ready_us = points
            .filter(|point| point.at_us >= at_us && next.is_none_or(|next| point.at_us < next))
            .find(|point| point.ready == decision.desired)
            .map(|point| point.at_us);
    }
    all
}

/// `FAIL`, `UNDECIDED`, `pass`: attention follows need.
pub(crate) fn judgement(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Fail => "FAIL",
        Judgement::Undecided => "UNDECIDED",
        Judgement::Pass => "pass",
    }
}

/// The conclusion as one word.
pub(crate) fn conclusion(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pass => "PASS",
        Conclusion::Fail => "FAIL",
        Conclusion::Undecided => "UNDECIDED",
        Conclusion::Invalid => "INVALID",
        Conclusion::Interrupted => "INTERRUPTED",
    }
}
