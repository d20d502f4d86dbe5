//! The sentences a report begins with. Each is made from the data below it and claims no more than that.

use record::{Cause, Conclusion, Expected, Judgement, Measure, Origin, RunResult, StepResult, Verdict};

use crate::told::{self, Told};
use crate::words;

/// The verdict as a sentence, without its full stop: the title.
pub(crate) fn title(result: &RunResult) -> String {
    let gating: Vec<&Verdict> = result.verdicts.iter().filter(|v| v.gating).collect();
    let broken = gating.iter().filter(|v| v.judgement == Judgement::Fail).count();
    match (result.conclusion, told::leading(result)) {
        (Conclusion::Interrupted, _) => "No verdict: the run was interrupted".into(),
        (Conclusion::Invalid, _) => {
            let failed = result.checks.iter().filter(|check| !check.ok).count();
            format!("No verdict: the run is invalid, {} failed", words::some(failed, "check", "checks"))
        }
        (Conclusion::Fail, _) if broken > 1 => {
            format!("Do not ship: {} of {} objectives are broken", words::spelled(broken), words::spelled(gating.len()))
        }
        (Conclusion::Fail, _) if broken == 0 => match unmet(result).as_slice() {
            [one] => format!("Do not ship: what the scenario expects did not come true ({})", one.told),
            several => format!(
                "Do not ship: {} of {} expectations of the scenario did not come true",
                words::spelled(several.len()),
                words::spelled(result.expectations.len())
            ),
        },
        (Conclusion::Fail, Some(v)) if !matches!(v.measure, Measure::Percentile | Measure::Share | Measure::Burn) => {
            format!(
                "Do not ship: {} does not hold, {} against {}",
                told::subject(v),
                told::value(v, v.measured.unwrap_or_default()),
                told::value(v, v.limit)
            )
        }
        (Conclusion::Fail, Some(v)) if by_time(v) => format!("Do not ship: {} is too slow", told::subject(v)),
        (Conclusion::Fail, Some(v)) => {
            format!("Do not ship: too many requests of {} fail or are late", told::subject(v))
        }
        (Conclusion::Undecided, Some(v)) if v.n == 0 => {
            format!("Undecided: no request of {} was judged", told::subject(v))
        }
        (Conclusion::Undecided, Some(v)) if v.more_needed.is_some() => {
            format!("Undecided: {} requests of {} are too few to tell", words::count(v.n), told::subject(v))
        }
        (Conclusion::Undecided, Some(v)) => {
            format!("Undecided: {} is too close to its limit to tell", told::subject(v))
        }
        (Conclusion::Pass, Some(v)) if gating.len() == 1 && v.unit == "ms" => {
            format!("It holds: {} keeps its {}", told::subject(v), told::value(v, v.limit))
        }
        (Conclusion::Pass, _) if !gating.is_empty() => {
            let all = if gating.len() == 1 { "the objective" } else { "every objective" };
            format!("It holds: {all} that decides is kept")
        }
        (Conclusion::Pass, _) if !result.expectations.is_empty() => {
            "It holds: everything that the scenario expects came true".into()
        }
        _ => "Nothing was judged: no objective decides this run".into(),
    }
}

/// Expectations that did not come true.
pub(crate) fn unmet(result: &RunResult) -> Vec<&Expected> {
    result.expectations.iter().filter(|expected| !expected.held).collect()
}

/// Whether the time itself, and not failures, is beyond the limit.
fn by_time(verdict: &Verdict) -> bool {
    verdict.unit == "ms" && verdict.measured.is_some_and(|measured| measured > verdict.limit)
}

/// The number, against what, over how long.
pub(crate) fn lead(result: &RunResult) -> Vec<Piece> {
    let mut say = Vec::new();
    match result.conclusion {
        Conclusion::Invalid => {
            for check in result.checks.iter().filter(|check| !check.ok) {
                say.push(Piece::Plain(format!("{} was ", check.name)));
                say.push(Piece::Strong(check.measured.clone()));
                say.push(Piece::Plain(format!("; {} is needed. ", check.limit)));
            }
            say.push(Piece::Plain("What follows shows the run and does not judge it. ".into()));
        }
        Conclusion::Interrupted => {
            let lasted = words::span(told::load_us(result));
            let planned = result.phases.last().map_or(0, |p| p.end_us.saturating_sub(result.load_start_us));
            say.push(Piece::Plain(format!(
                "Load lasted {lasted} of the {} planned; it is shown and not judged. ",
                words::span(planned)
            )));
        }
        _ => {}
    }
    for expected in unmet(result).into_iter().take(3) {
        say.push(Piece::Plain(format!("Expected was: {}. Seen was: ", expected.told)));
        say.push(Piece::Broken(expected.seen.clone()));
        say.push(Piece::Plain(". ".into()));
    }
    let Some(v) = told::leading(result) else { return say };
    let over =
        if v.judged_us > 0 { format!(" over the {} that are judged", words::span(v.judged_us)) } else { String::new() };
    let limit = told::value(v, v.limit);
    match v.measured {
        Some(measured) => {
            let broken = v.judgement == Judgement::Fail;
            say.push(Piece::Plain(format!("The {} of {} was ", told::measure(v), told::subject(v))));
            let figure = told::value(v, measured);
            say.push(if broken && measured > v.limit { Piece::Broken(figure) } else { Piece::Strong(figure) });
            say.push(Piece::Plain(format!("{over}; the limit is {limit}.")));
            if broken && measured <= v.limit {
                let share = v.beyond as f64 / v.n.max(1) as f64;
                say.push(Piece::Plain(" But ".into()));
                say.push(Piece::Broken(words::percent(share)));
                let allowed = words::percent(v.allowed);
                say.push(Piece::Plain(format!(" of the requests failed or took longer, and {allowed} may.")));
            }
        }
        None if v.n == 0 => say.push(Piece::Plain(format!("Nothing was measured; the limit is {limit}."))),
        None => say.push(Piece::Plain(format!(
            "None of {} succeeded; the limit is {limit}.",
            words::counted(v.n, "request", "requests")
        ))),
    }
    if let (Conclusion::Fail | Conclusion::Pass, Some(excess)) = (result.conclusion, told::excess(result)) {
        say.push(Piece::Plain(format!(
            " In windows of {} it was over the limit for {} of the whole run, at most {} at {}.",
            words::span(result.timeline.width_us),
            words::span(excess.windows * result.timeline.width_us),
            words::ms(excess.peak_us),
            words::clock(excess.peak_at_us),
        )));
    }
    say
}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Plain(String),
    Strong(String),
    /// A figure beyond its limit.
    Broken(String),
}

impl Piece {
    pub(crate) fn text(&self) -> &str {
        let (Self::Plain(text) | Self::Strong(text) | Self::Broken(text)) = self;
        text
    }
}

/// Who, how many, how far it could be off, and what speaks for or against the run itself.
pub(crate) fn how_sure(told: &Told) -> String {
    let result = &told.result;
    let mut say: Vec<String> = Vec::new();
    if matches!(result.conclusion, Conclusion::Invalid | Conclusion::Interrupted) {
        say.push("Not at all: the run does not count. By the figures alone:".into());
    }
    if let Some(v) = told::leading(result) {
        let confidence = words::percent(v.confidence);
        let n = words::count(v.n);
        let share = |share: f64| words::percent(share);
        let (low, high) = v.beyond_bounds;
        say.push(match (v.judgement, v.n) {
            (Judgement::Undecided, 0) => "There is no sample to be sure by.".into(),
            (Judgement::Fail, _) => match v.interval.filter(|_| by_time(v)) {
                Some((from, _)) => format!(
                    "With {confidence} confidence {} is at least {} (n = {n}).",
                    told::measure(v),
                    told::value(v, from)
                ),
                None => format!(
                    "With {confidence} confidence at least {} of the requests are late or fail (n = {n}); {} may.",
                    share(low),
                    share(v.allowed)
                ),
            },
            (Judgement::Pass, _) => match v.interval.filter(|_| v.unit == "ms") {
                Some((_, to)) => format!(
                    "With {confidence} confidence {} is at most {} (n = {n}).",
                    told::measure(v),
                    told::value(v, to)
                ),
                None => format!("With {confidence} confidence at most {} are late or fail (n = {n}).", share(high)),
            },
            (Judgement::Undecided, _) => format!(
                "{} of {n} {} late or failed; with {confidence} confidence either way the share lies between {} and \
                 {}, and {} may.",
                words::count(v.beyond),
                if v.beyond == 1 { "was" } else { "were" },
                share(low),
                share(high),
                share(v.allowed)
            ),
        });
        if let Some(more) = v.more_needed {
            say.push(format!("About {} would settle it.", words::counted(more, "more request", "more requests")));
        }
        if v.design_effect >= 1.05 {
            say.push(format!(
                "What is late or failed comes in bursts, so {n} count as {} independent ones.",
                words::count((v.n as f64 / v.design_effect) as u64)
            ));
        }
    }
    let failed = result.checks.iter().filter(|check| !check.ok).count();
    say.push(match (result.checks.len(), failed) {
        (0, _) => "Nothing was checked about the run itself.".into(),
        (all, 0) => format!(
            "{} of the run itself {}.",
            words::sentence(&words::some(all, "check", "checks")),
            if all == 1 { "holds" } else { "hold" }
        ),
        (all, failed) => format!(
            "{} of {} of the run itself failed.",
            words::sentence(&words::spelled(failed)),
            words::some(all, "check", "checks")
        ),
    });
    if let Some(twin) = &told.twin {
        say.push(twin_in_words(twin));
    }
    let assumed = result.stand_ins.iter().filter(|s| s.origin == Origin::Assumed).count();
    if assumed > 0 {
        say.push(format!(
            "{} {} assumed, not measured.",
            words::sentence(&words::some(assumed, "stand-in", "stand-ins")),
            if assumed == 1 { "is" } else { "are" }
        ));
    }
    say.join(" ")
}

/// What the simulated twin says at p95.
pub(crate) fn twin_in_words(twin: &crate::Twin) -> String {
    let p95 = twin.rows.first().and_then(|row| row.quantiles.iter().find(|q| q.percent == 95));
    match p95 {
        None => "The simulated twin shares no successful request with this run.".into(),
        Some(q) => format!(
            "Over all requests p95 was {}; the simulated twin says {}{}.",
            words::ms(q.live_us),
            words::ms(q.simulated_us),
            if twin.agrees() { "" } else { ", and the two do not agree everywhere" }
        ),
    }
}

/// What the slowest requests are made of.
pub(crate) fn slowest(result: &RunResult) -> String {
    match told::slowest(result) {
        None => "No request succeeded, so there is no time to take apart.".into(),
        Some((split, (part, us))) => format!(
            "Slowest was {} in phase {}: requests around its p95 took {}, and the largest part, {}, was {}.",
            split.step,
            split.phase,
            words::ms(split.response_us),
            words::ms(us),
            in_words(part)
        ),
    }
}

/// As far as the record shows a cause, with its figures.
pub(crate) fn why(result: &RunResult) -> String {
    let mut say: Vec<String> = Vec::new();
    if result.conclusion == Conclusion::Fail && !told::leading(result).is_some_and(by_time) {
        say.extend(where_it_fails(result));
    }
    say.push(slowest(result));
    let changes = told::changes(result);
    let autoscaled = result.workloads.iter().filter(|w| w.bounds.is_some()).count();
    match changes.first() {
        Some(first) => {
            let d = first.decision;
            let up = d.desired > d.current;
            let ready = first.ready_us.map(|ready| words::span(ready.saturating_sub(first.at_us)));
            let then = match (ready, up) {
                (Some(later), true) => format!("they were ready {later} later"),
                (Some(later), false) => format!("so many were left {later} later"),
                (None, _) => "it did not come to that before the next change or the end".into(),
            };
            say.push(format!(
                "At {} the autoscaler asked for {} replicas of {}, {} from {}; {then}.",
                told::at(result, first.at_us),
                d.desired,
                d.workload,
                if up { "up" } else { "down" },
                d.current
            ));
        }
        None if autoscaled > 0 => say.push("No autoscaler changed anything.".into()),
        None => {}
    }
    say.join(" ")
}

/// The endpoint and phase with the most failures; rejects by a rate limiter do not count.
fn where_it_fails(result: &RunResult) -> Option<String> {
    let failed = |step: &StepResult| {
        let causes = step.failed.iter().filter(|(cause, _)| **cause != Cause::Limited);
        causes.map(|(_, n)| *n).sum::<u64>()
    };
    let worst = result.steps.iter().max_by_key(|step| failed(step)).filter(|step| failed(step) > 0)?;
    let (cause, n) = worst.failed.iter().filter(|(c, _)| **c != Cause::Limited).max_by_key(|(_, n)| **n)?;
    Some(format!(
        "Most failures were of {} in phase {}: {} of {}, the most frequent cause being {} ({}).",
        worst.request,
        worst.phase,
        words::count(failed(worst)),
        words::count(worst.n),
        cause.label(),
        words::count(*n)
    ))
}

/// A part of a request's time as a phrase.
pub(crate) fn in_words(part: &str) -> &'static str {
    match part {
        "queue" => "waiting in a queue for a worker or a CPU quota",
        "CPU" => "on a CPU",
        "wait" => "waiting for something else than CPU",
        "limiter" => "held back by a rate limiter",
        "driver lag" => "lateness of the load driver",
        _ => "network, gateway and connections",
    }
}

/// Everything else a reader must not miss.
pub(crate) fn what_else(result: &RunResult) -> String {
    let mut say: Vec<String> = Vec::new();
    let leading = told::leading(result).map(|v| v.objective.as_str());
    for v in result.verdicts.iter().filter(|v| Some(v.objective.as_str()) != leading) {
        match v.judgement {
            Judgement::Fail => {
                say.push(format!("{} is broken{}.", v.title, if v.gating { "" } else { " and does not decide" }));
            }
            Judgement::Undecided => say.push(format!("{} is undecided.", v.title)),
            Judgement::Pass => {}
        }
    }
    let failures = told::failures(result);
    let (due, _) = told::totals(result);
    say.push(match (due, failures.as_slice()) {
        (0, _) => "No request was due.".into(),
        (due, []) => format!("None of {} failed.", words::counted(due, "request", "requests")),
        (due, [(Cause::Limited, refused)]) => {
            let due = words::counted(due, "request", "requests");
            format!("A rate limiter refused {} of {due}; every other one succeeded.", words::count(*refused))
        }
        (due, some) => {
            let failed = words::count(some.iter().map(|(_, n)| n).sum());
            let due = words::counted(due, "request", "requests");
            format!("Of {due}, {failed} did not succeed: {}.", told::failures_in_words(some))
        }
    });
    if let Some(first) = result.findings.first() {
        let more = result.findings.len() - 1;
        say.push(first.consequence.clone());
        if more > 0 {
            say.push(format!("{} more under Findings.", words::sentence(&words::spelled(more))));
        }
    }
    say.join(" ")
}

/// How many objectives hold, are broken, are undecided.
pub(crate) fn verdicts(result: &RunResult) -> String {
    let of = |judgement| result.verdicts.iter().filter(|v| v.judgement == judgement).count();
    let (broken, open, held) = (of(Judgement::Fail), of(Judgement::Undecided), of(Judgement::Pass));
    let all = result.verdicts.len();
    let mut say = match (all, broken, open) {
        (0, ..) => "No objective was judged.".to_owned(),
        (1, 1, _) => "The one objective is broken.".into(),
        (1, _, 1) => "The one objective could not be decided.".into(),
        (1, ..) => "The one objective holds.".into(),
        (_, 0, 0) => format!("All {} objectives hold.", words::spelled(all)),
        _ => {
            let be = |n: usize| if n == 1 { "is" } else { "are" };
            let parts = [
                (broken, format!("{} {} broken", words::spelled(broken), be(broken))),
                (open, format!("{} {} undecided", words::spelled(open), be(open))),
                (held, format!("{} hold{}", words::spelled(held), if held == 1 { "s" } else { "" })),
            ];
            let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
            format!("Of {} objectives, {}.", words::spelled(all), words::list(&parts))
        }
    };
    let void = match result.conclusion {
        Conclusion::Invalid => "The run is invalid, so none of this counts. By the figures alone: ",
        Conclusion::Interrupted => "The run was cut short, so none of this counts. By the figures alone: ",
        _ => "",
    };
    say.insert_str(0, void);
    let margins = result.verdicts.iter().filter(|v| v.judgement == Judgement::Pass).filter_map(told::margin);
    if let Some(least) = margins.min_by(f64::total_cmp) {
        let used = words::percent(1.0 - least);
        let used = if all == 1 {
            format!(" It used {used} of its limit.")
        } else {
            format!(" What holds used at most {used} of its limit.")
        };
        say.push_str(&used);
    }
    say
}

/// What happened in order.
pub(crate) fn timeline(result: &RunResult) -> String {
    if told::under_load(result).is_empty() {
        return "Nothing happened: there was no request.".into();
    }
    let rate = |w: &record::Window| w.offered as f64 * 1e6 / result.timeline.width_us.max(1) as f64;
    let rates = told::under_load(result).iter().map(rate);
    let (least, most) = rates.fold((f64::MAX, 0.0_f64), |(a, b), r| (a.min(r), b.max(r)));
    let mut say = vec![format!(
        "Offered load lay between {} and {} requests a second.",
        words::number(least, 0),
        words::number(most, 0)
    )];
    match (told::limit_us(result), told::excess(result)) {
        (Some(_), Some(excess)) => say.push(format!(
            "p95 was over the limit for {} in all and highest at {} with {}.",
            words::span(excess.windows * result.timeline.width_us),
            words::clock(excess.peak_at_us),
            words::ms(excess.peak_us)
        )),
        (Some(_), None) if told::under_load(result).iter().any(|w| w.p95_us > 0) => {
            say.push("p95 was over the limit in no window.".into());
        }
        _ => {}
    }
    let (due, ok) = told::totals(result);
    say.push(match (due - ok, told::failures(result).as_slice()) {
        (0, _) => "Every request succeeded.".to_owned(),
        (refused, [(Cause::Limited, _)]) => {
            format!(
                "A rate limiter refused {}; every other one succeeded.",
                words::counted(refused, "request", "requests")
            )
        }
        (failed, _) => format!("{} did not succeed.", words::sentence(&words::counted(failed, "request", "requests"))),
    });
    say.join(" ")
}
