//! The verdict as a sentence.

use record::{Conclusion, Judgement, Measure, RunResult, Verdict};

use super::unmet;
use crate::{cause, expectation, told, words};

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
            format!(
                "Do not ship: {} of {} objectives are broken{}",
                words::spelled(broken),
                words::spelled(gating.len()),
                cause::in_title(result)
            )
        }
        (Conclusion::Fail, _) if broken == 0 => match unmet(result).as_slice() {
            [one] => format!("Do not ship: {}", expectation::unmet(&one.told, &told::flows(result))),
            several => format!(
                "Do not ship: {} of {} expectations did not come true{}",
                words::spelled(several.len()),
                words::spelled(result.expectations.len()),
                cause::in_title(result)
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
        (Conclusion::Fail, Some(v)) if told::by_time(result, v) => {
            format!("Do not ship: {} is too slow{}", told::subject(v), cause::in_title(result))
        }
        (Conclusion::Fail, Some(v)) => {
            let (subject, during) = (told::subject(v), cause::in_title(result));
            if 2 * told::failed_of(result, v) > v.n {
                format!("Do not ship: most requests of {subject} fail{during}")
            } else {
                format!("Do not ship: too many requests of {subject} fail or are late{during}")
            }
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
