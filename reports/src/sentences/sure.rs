//! How sure: the interval, the samples, and what speaks for or against the run itself.

use record::{Conclusion, Judgement, Look, Origin, RunResult};

use crate::told::{self, Told};
use crate::words;

/// Who, how many, how far it could be off, and what speaks for or against the run itself.
pub(crate) fn how_sure(told: &Told) -> String {
    let result = &told.result;
    let mut say: Vec<String> = Vec::new();
    if matches!(result.conclusion, Conclusion::Invalid | Conclusion::Interrupted) {
        say.push("Not at all: the run does not count. By the figures alone:".into());
    }
    let broken = result.verdicts.iter().any(|v| v.gating && v.judgement == Judgement::Fail);
    if result.conclusion == Conclusion::Fail && !broken {
        say.push("Very: what a scenario expects is held against every request, not against a sample.".into());
    }
    if let Some(v) = told::leading(result) {
        let confidence = words::percent(v.confidence);
        let n = words::count(v.n);
        let share = |share: f64| words::percent(share);
        let (low, high) = v.beyond_bounds;
        say.push(match (v.judgement, v.n) {
            (Judgement::Undecided, 0) => "There is no sample to be sure by.".into(),
            (Judgement::Fail, _) => match v.interval.filter(|_| told::by_time(result, v)) {
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
    say.extend(look(result));
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

/// That a run was extended, or may have been.
fn look(result: &RunResult) -> Option<String> {
    let look = result.look.as_ref()?;
    let share = words::percent(Look::alpha_share(Some(look)));
    Some(match &look.before {
        Some(before) => format!(
            "The run {before} could not decide; this one is longer, with {} of steady load. Each of the two was allowed \
             {share} of the error.",
            words::span(look.steady_us)
        ),
        None => format!("It was allowed {share} of the error, for it could have been extended."),
    })
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
