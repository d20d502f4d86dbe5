//! What else a reader must not miss.

use record::{Cause, Judgement, RunResult};

use crate::{alerts, told, words};

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
    say.extend(alerts::in_short(result));
    let findings: Vec<_> = told::biting(result).collect();
    if let Some(first) = findings.first() {
        let more = findings.len() - 1;
        say.push(first.consequence.clone());
        if more > 0 {
            say.push(format!("{} more under Findings.", words::sentence(&words::spelled(more))));
        }
    }
    say.join(" ")
}
