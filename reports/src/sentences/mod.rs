//! The sentences a report begins with. Each is made from the data below it and claims no more than that.

mod lead;
mod more;
mod sure;
mod title;
mod why;

use record::{Cause, Conclusion, Expected, Judgement, RunResult};

use crate::{cause, told, words};

pub(crate) use lead::{Piece, lead};
pub(crate) use more::what_else;
pub(crate) use sure::{how_sure, twin_in_words};
pub(crate) use title::title;
pub(crate) use why::{slowest, why};

/// Expectations that did not come true.
pub(crate) fn unmet(result: &RunResult) -> Vec<&Expected> {
    result.expectations.iter().filter(|expected| !expected.held).collect()
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
        (2, 0, 0) => "Both objectives hold.".into(),
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
    let mut say: Vec<String> = Vec::new();
    if let Some(short) = result.scalings.iter().find(|s| s.unserved_milli >= 10_000 && s.breach_us.is_some()) {
        say.push(cause::scaling_in_words(result, short));
    }
    say.extend(result.faults.first().map(|fault| cause::fault_in_words(result, fault)));
    if result.faults.len() > 1 {
        say.push(format!(
            "{} followed.",
            words::sentence(&words::some(result.faults.len() - 1, "more fault", "more faults"))
        ));
    }
    match (told::limit_us(result), told::excess(result)) {
        (Some(_), Some(excess)) => say.push(format!(
            "p95 was over the limit for {} in all and highest at {} with {}.",
            words::span(excess.long_us),
            words::clock(excess.peak_at_us),
            words::ms(excess.peak_us)
        )),
        (Some(_), None) if told::spells(result).1.iter().any(|spell| spell.p95_us > 0) => {
            say.push("p95 was never over the limit.".into());
        }
        _ => {}
    }
    let (due, ok) = told::totals(result);
    if result.faults.is_empty() {
        say.push(match (due - ok, told::failures(result).as_slice()) {
            (0, _) => "Every request succeeded.".to_owned(),
            (refused, [(Cause::Limited, _)]) => format!(
                "A rate limiter refused {}; every other one succeeded.",
                words::counted(refused, "request", "requests")
            ),
            (failed, _) => {
                format!("{} did not succeed.", words::sentence(&words::counted(failed, "request", "requests")))
            }
        });
    }
    say.join(" ")
}
