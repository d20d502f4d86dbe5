//! Why: as far as the record shows a cause, with its figures.

use record::{Cause, Conclusion, RunResult, StepResult};

use crate::{cause, told, words};

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
    let failed = result.conclusion == Conclusion::Fail;
    let slow = told::leading(result).is_some_and(|v| told::by_time(result, v));
    say.extend(cause::in_words(result).filter(|_| failed));
    say.extend(cause::restarts(result).filter(|_| failed));
    if failed && !slow {
        say.extend(where_it_fails(result));
    }
    if !failed || slow {
        say.push(slowest(result));
    }
    if !failed {
        // A run that holds has no cause to tell, but it has what it withstood.
        say.extend(result.faults.first().map(|fault| cause::fault_in_words(result, fault)));
        if result.faults.len() > 1 {
            say.push(format!(
                "{} under Faults.",
                words::sentence(&words::some(result.faults.len() - 1, "more fault", "more faults"))
            ));
        }
    }
    if result.faults.is_empty() && !say.iter().any(|said| said.contains("the autoscaler")) {
        say.extend(scaled(result));
    }
    say.join(" ")
}

/// What the autoscalers did, in a sentence.
fn scaled(result: &RunResult) -> Option<String> {
    let autoscaled = result.workloads.iter().filter(|w| w.bounds.is_some()).count();
    let changes = told::changes(result);
    let Some(first) = changes.first() else {
        return (autoscaled > 0).then(|| "No autoscaler changed anything.".into());
    };
    let d = first.decision;
    let up = d.desired > d.current;
    let ready = first.ready_us.map(|ready| words::span(ready.saturating_sub(first.at_us)));
    let then = match (ready, up) {
        (Some(later), true) => format!("they were ready {later} later"),
        (Some(later), false) => format!("so many were left {later} later"),
        (None, _) => "it did not come to that before the next change or the end".into(),
    };
    Some(format!(
        "At {} the autoscaler asked for {} replicas of {}, {} from {}; {then}.",
        told::at(result, first.at_us),
        d.desired,
        d.workload,
        if up { "up" } else { "down" },
        d.current
    ))
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
fn in_words(part: &str) -> &'static str {
    match part {
        "queue" => "waiting in a queue of the service for a worker or a CPU quota",
        "service" => "work of the service itself",
        "downstream" => "in services that it calls",
        "limiter" => "held back by a rate limiter",
        "retry" => "tries of the gateway at servers that did not answer",
        "driver lag" => "lateness of the load driver",
        _ => "network, gateway and connections",
    }
}
