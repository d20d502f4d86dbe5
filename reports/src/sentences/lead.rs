//! The number, against what, over how long.

use record::{Conclusion, Judgement, RunResult};

use super::unmet;
use crate::{expectation, told, words};

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
        say.push(Piece::Plain(format!("Expected was: {}. Seen was: ", expectation::expected(&expected.told))));
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
            words::span(told::spells(result).0),
            words::span(excess.long_us),
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
