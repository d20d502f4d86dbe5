//! What a run folder holds, with the few facts that more than one part of a report needs.

use std::collections::BTreeMap;

use record::{
    Asked, Cause, Conclusion, Environment, FaultResult, Finding, Judgement, Measure, PhaseKind, RunResult,
    ScalingDecision, Spell, StepResult, TimeSplit, Verdict, Window, WorkloadSeries,
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
    pub(crate) baseline: Option<Baseline>,
}

/// An earlier run that this one is shown beside.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    /// What to call it, such as the name of its folder.
    pub(crate) name: String,
    pub(crate) result: RunResult,
}

/// A sync that changed something, and when its last pod was ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) at_us: u64,
    pub(crate) decision: &'a ScalingDecision,
    /// When as many pods as it asked for were ready, if they ever were and nothing else was asked before.
    pub(crate) ready_us: Option<u64>,
}

/// How long and how far p95 was over the limit, by the spells of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "all three are microseconds, and the unit goes last")]
pub(crate) struct Excess {
    pub(crate) long_us: u64,
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

/// How much it is judged by: requests, or for how long was watched where events are looked at.
pub(crate) fn sample(verdict: &Verdict) -> String {
    match verdict.measure {
        Measure::Down => format!("over {}", words::span(verdict.judged_us)),
        _ => words::count(verdict.n),
    }
}

/// How much of the limit is left, as a share of it; negative if it is broken.
pub(crate) fn margin(verdict: &Verdict) -> Option<f64> {
    verdict.measured.filter(|_| verdict.limit > 0.0).map(|measured| 1.0 - measured / verdict.limit)
}

/// What was spent of the allowance for the judged window, as a share of it.
pub(crate) fn budget(verdict: &Verdict) -> Option<f64> {
    let may = verdict.allowed * verdict.n as f64;
    (may > 0.0).then(|| verdict.beyond as f64 / may)
}

/// The flow whose latencies are drawn: that of the steps which the drawn objective judges.
pub(crate) fn drawn_flow(result: &RunResult) -> Option<&str> {
    drawn(result)?.flow.as_deref()
}

/// The flows of the run.
pub(crate) fn flows(result: &RunResult) -> Vec<&str> {
    let mut flows: Vec<&str> = result.steps.iter().map(|step| step.flow.as_str()).collect();
    flows.dedup();
    flows
}

/// What is found of this kind says what the manifests declare and nobody played.
pub(crate) const NOT_REHEARSED: &str = "not-rehearsed";

/// Findings that bite, in the order in which they were found.
pub(crate) fn biting(result: &RunResult) -> impl Iterator<Item = &Finding> {
    result.findings.iter().filter(|finding| finding.id != NOT_REHEARSED)
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

/// The spells that began while load lasted; those of an older result are its windows.
pub(crate) fn spells(result: &RunResult) -> (u64, Vec<Spell>) {
    let timeline = &result.timeline;
    if timeline.spells.is_empty() {
        let spell = |w: &Window| Spell {
            n: w.heat.iter().map(|n| u64::from(*n)).sum(),
            p50_us: w.p50_us,
            p95_us: w.p95_us,
            p99_us: w.p99_us,
        };
        return (timeline.width_us, under_load(result).iter().map(spell).collect());
    }
    let begun = load_us(result).div_ceil(timeline.spell_us.max(1)) as usize;
    (timeline.spell_us, timeline.spells.iter().take(begun).copied().collect())
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

/// Whether a section of the report has anything to tell.
pub(crate) fn has(result: &RunResult, section: &str) -> bool {
    match section {
        "faults" => !result.faults.is_empty(),
        "alerts" => result.alerts.is_some(),
        _ => true,
    }
}

/// Requests that failed for another reason than a rate limiter.
pub(crate) fn failed_beside_limits(result: &RunResult) -> u64 {
    failures(result).into_iter().filter(|(cause, _)| *cause != Cause::Limited).map(|(_, n)| n).sum()
}

/// Whether the time itself, and not failures, is what is mostly beyond the limit.
pub(crate) fn by_time(result: &RunResult, verdict: &Verdict) -> bool {
    let slow = verdict.unit == "ms" && verdict.measured.is_some_and(|measured| measured > verdict.limit);
    slow && 2 * failed_of(result, verdict) < verdict.beyond
}

/// Of the requests that an objective judged, those that failed.
pub(crate) fn failed_of(result: &RunResult, verdict: &Verdict) -> u64 {
    let judged = |step: &&StepResult| step.judged.iter().any(|judged| judged.objective == verdict.objective);
    let causes = result.steps.iter().filter(judged).flat_map(|step| &step.failed);
    causes.filter(|(cause, _)| **cause != Cause::Limited).map(|(_, n)| n).sum()
}

/// Whether failures and not times decided: something that gates and is no time is broken, or an expectation is not met
/// while requests failed.
pub(crate) fn decided_by_failures(result: &RunResult) -> bool {
    let broken: Vec<&Verdict> = result.verdicts.iter().filter(|v| v.gating && v.judgement == Judgement::Fail).collect();
    let unmet = result.expectations.iter().any(|expected| !expected.held);
    result.conclusion == Conclusion::Fail && !broken.iter().any(|v| by_time(result, v)) && (!broken.is_empty() || unmet)
}

/// Until when a fault shows: undone, healed, or the last request lost, whichever is last.
pub(crate) fn over(fault: &FaultResult) -> Option<u64> {
    [fault.ended_us, fault.recovered_us, fault.failed_over_us].into_iter().flatten().max()
}

/// Whether any workload had fewer pods ready than wanted under load, for longer than an autoscaler's new pods take.
pub(crate) fn pods_missing(result: &RunResult) -> bool {
    !result.faults.is_empty() && result.faults.iter().any(|fault| fault.pods_missing > 0)
}

fn point_at(workload: &WorkloadSeries, at_us: u64) -> (u32, u32) {
    let point = workload.points.iter().take_while(|point| point.at_us <= at_us).last();
    point.map_or((0, 0), |point| (point.desired, point.ready))
}

/// Replicas ready at an instant.
pub(crate) fn ready_at(workload: &WorkloadSeries, at_us: u64) -> u32 {
    point_at(workload, at_us).1
}

/// Replicas wanted at an instant.
pub(crate) fn desired_at(workload: &WorkloadSeries, at_us: u64) -> u32 {
    point_at(workload, at_us).0
}

/// Windows merged to at most `at_most`, each with its middle and its length, microseconds since load began. Percentiles
/// are those of the highest window.
pub(crate) fn merged(result: &RunResult, at_most: usize) -> Vec<(f64, f64, Window)> {
    let windows = under_load(result);
    let per = windows.len().div_ceil(at_most).max(1);
    let width = result.timeline.width_us as f64;
    let load = load_us(result) as f64;
    let merge = |(index, chunk): (usize, &[Window])| {
        let mut sum = Window::default();
        for window in chunk {
            sum.offered += window.offered;
            sum.succeeded += window.succeeded;
            sum.max_us = sum.max_us.max(window.max_us);
            sum.p50_us = sum.p50_us.max(window.p50_us);
            sum.p95_us = sum.p95_us.max(window.p95_us);
            sum.p99_us = sum.p99_us.max(window.p99_us);
            sum.flow += window.flow;
            sum.flow_beyond += window.flow_beyond;
            for (cause, n) in &window.failed {
                *sum.failed.entry(*cause).or_default() += n;
            }
        }
        let from = (index * per) as f64 * width;
        let long = (chunk.len() as f64 * width).min((load - from).max(1.0));
        (from + long / 2.0, long, sum)
    };
    windows.chunks(per).enumerate().map(merge).collect()
}

/// `12 × 5xx and 3 × timeout`.
pub(crate) fn failures_in_words(failures: &[(Cause, u64)]) -> String {
    let items: Vec<String> =
        failures.iter().map(|(cause, n)| format!("{}\u{a0}× {}", words::count(*n), cause.label())).collect();
    words::list(&items)
}

/// `None` if p95 was never over the limit in any spell.
pub(crate) fn excess(result: &RunResult) -> Option<Excess> {
    let limit = limit_us(result)?;
    let (width, spells) = spells(result);
    let over: Vec<(u64, u64)> = (0..)
        .zip(spells)
        .filter(|(_, spell)| spell.p95_us > limit)
        .map(|(index, spell)| (index, spell.p95_us))
        .collect();
    let (peak_at, peak_us) = over.iter().copied().max_by_key(|(_, us)| *us)?;
    Some(Excess { long_us: over.len() as u64 * width, peak_us, peak_at_us: (peak_at * width) as i64 })
}

/// The slowest part of the slowest step, by the requests around p95: of the drawn flow in the phases that are judged, if
/// it has any there.
pub(crate) fn slowest(result: &RunResult) -> Option<(&TimeSplit, (&'static str, u64))> {
    let flow = drawn_flow(result);
    let of_flow = |split: &&TimeSplit| {
        let step = result.steps.iter().find(|s| s.step == split.step);
        flow.is_none_or(|flow| step.is_some_and(|step| step.flow == flow))
    };
    let judged = |split: &&TimeSplit| {
        result.phases.iter().any(|phase| phase.name == split.phase && phase.kind == PhaseKind::Steady)
    };
    let slow = |split: &&TimeSplit| split.response_us;
    let splits = || result.time_splits.iter();
    let split = splits().filter(of_flow).filter(judged).max_by_key(slow).or_else(|| splits().max_by_key(slow))?;
    parts(split).into_iter().max_by_key(|(_, us)| *us).map(|part| (split, part))
}

/// The parts of a split, in the order in which they are drawn.
pub(crate) fn parts(split: &TimeSplit) -> [(&'static str, u64); 7] {
    [
        ("queue", split.queue_us),
        ("service", split.cpu_us + split.wait_us),
        ("downstream", split.downstream_us),
        ("network", split.other_us),
        ("limiter", split.limiter_us),
        ("retry", split.retry_us),
        ("driver lag", split.lag_us),
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
