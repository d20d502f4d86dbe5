//! When it was worst, and what was going on then: as far as the record shows a cause.

use record::{Cause, FaultResult, PhaseKind, PhaseSpan, RunResult, ScalingResult, Window};

use crate::{told, words};

/// What was going on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum During<'a> {
    /// A fault was at work, or not healed yet.
    Fault(&'a FaultResult),
    /// A workload needed more replicas than were ready.
    Scaling(&'a ScalingResult),
    /// Nothing but the load of a phase.
    Phase(&'a PhaseSpan),
}

/// The worst instant of what decided: most failures, or the highest p95 over the limit.
pub(crate) fn worst(result: &RunResult) -> Option<(u64, During<'_>)> {
    let by_failures = told::decided_by_failures(result) && told::failed_beside_limits(result) > 0;
    let at_us = if by_failures {
        let windows = told::under_load(result).iter().enumerate();
        // Of equals the first: what comes later may be its echo.
        let most = windows.max_by_key(|(index, window)| (failed(window), std::cmp::Reverse(*index)))?;
        result.load_start_us + most.0 as u64 * result.timeline.width_us
    } else {
        result.load_start_us + told::excess(result)?.peak_at_us.max(0) as u64
    };
    let during = during(result, at_us, by_failures)?;
    Some((at_us, during))
}

/// Whether far more failed from `from_us` on than before: else what happened then is no cause of it.
fn fails_more_since(result: &RunResult, from_us: u64) -> bool {
    let width = result.timeline.width_us.max(1);
    let split = (from_us.saturating_sub(result.load_start_us) / width) as usize;
    let share = |windows: &[Window]| {
        let (n, due) = windows.iter().fold((0, 0), |(n, due), w| (n + failed(w), due + w.offered));
        n as f64 / (due as f64).max(1.0)
    };
    let windows = told::under_load(result);
    let (before, after) = windows.split_at(split.min(windows.len()));
    !before.is_empty() && share(after) > 3.0 * share(before)
}

fn failed(window: &Window) -> u64 {
    window.failed.iter().filter(|(cause, _)| **cause != Cause::Limited).map(|(_, n)| *n).sum()
}

/// What was going on at an instant.
fn during(result: &RunResult, at_us: u64, by_failures: bool) -> Option<During<'_>> {
    let width = result.timeline.width_us;
    let fault = result.faults.iter().rev().find(|fault| {
        let over = told::over(fault).filter(|_| !fault.still_failing).unwrap_or(fault.until_us);
        fault.began_us <= at_us + width && at_us <= over + width
    });
    if let Some(fault) = fault {
        return Some(During::Fault(fault));
    }
    let scaling = result.scalings.iter().filter(|s| s.unserved_milli > 0).find(|s| {
        let ready = s.all_ready_us.unwrap_or(result.load_end_us);
        // A queue takes a while to empty once the pods are there.
        let short = s
            .breach_us
            .is_some_and(|breach| breach <= at_us + width && (!by_failures || fails_more_since(result, breach)));
        short && at_us <= ready + 10 * width
    });
    if let Some(scaling) = scaling {
        return Some(During::Scaling(scaling));
    }
    result.phases.iter().find(|phase| phase.start_us <= at_us && at_us < phase.end_us).map(During::Phase)
}

/// For the end of a title: ` after “zone lost”`, ` while transactions-service scales`, ` in phase step`.
pub(crate) fn in_title(result: &RunResult) -> String {
    let judged = result.phases.iter().filter(|phase| phase.kind == PhaseKind::Steady).count();
    match worst(result) {
        Some((_, During::Fault(fault))) => format!(" after “{}”", fault.fault),
        Some((_, During::Scaling(s))) if s.decided_us.is_some() => format!(" while {} scales", s.workload),
        Some((_, During::Scaling(s))) => format!(": {} has too few replicas", s.workload),
        Some((_, During::Phase(phase))) if judged > 1 => format!(" in phase {}", phase.name),
        _ => String::new(),
    }
}

/// The same as a sentence with its figures; `None` if nothing but load was going on.
pub(crate) fn in_words(result: &RunResult) -> Option<String> {
    match worst(result)?.1 {
        During::Fault(fault) => Some(fault_in_words(result, fault)),
        During::Scaling(scaling) => Some(scaling_in_words(result, scaling)),
        During::Phase(_) => None,
    }
}

/// What a fault did, in a sentence or two.
pub(crate) fn fault_in_words(result: &RunResult, fault: &FaultResult) -> String {
    let since = |at: u64| words::span(at.saturating_sub(fault.began_us));
    let mut say = format!("At {} {}", told::at(result, fault.began_us), fault.what);
    match (&fault.detected_by, fault.detected_us) {
        (Some(by), Some(at)) => {
            say += &format!("; the first sign that the platform noticed came {} later ({by}).", since(at));
        }
        _ => say += "; nothing shows that the platform noticed.",
    }
    let lost: u64 = fault.lost.values().sum();
    match (lost, fault.still_failing, fault.failed_over_us) {
        (0, ..) => say += " It cost no request.",
        (lost, true, _) => {
            say += &format!(
                " {} were lost, and it had not ended when the run did.",
                words::counted(lost, "request", "requests")
            );
        }
        (lost, false, Some(last)) => {
            say += &format!(
                " {} were lost, the last one {} after it began.",
                words::counted(lost, "request", "requests"),
                since(last)
            );
        }
        (lost, ..) => say += &format!(" {} were lost.", words::counted(lost, "request", "requests")),
    }
    if fault.lost_later > 0 {
        say += &format!(" After that {} failed now and then.", words::count(fault.lost_later));
    }
    if fault.pods_missing > 0 {
        let missing = words::counted(u64::from(fault.pods_missing), "pod was", "pods were");
        match fault.recovered_us {
            Some(at) => say += &format!(" {} missing and back after {}.", words::sentence(&missing), since(at)),
            None => say += &format!(" {} missing and not back at the end.", words::sentence(&missing)),
        }
    }
    say
}

/// How far the replicas were behind the load.
pub(crate) fn scaling_in_words(result: &RunResult, s: &ScalingResult) -> String {
    let needed = words::number(f64::from(s.peak_needed_milli) / 1e3, 1);
    let breach = s.breach_us.map_or_else(String::new, |at| format!("From {} on ", told::at(result, at)));
    let mut say = format!(
        "{breach}the load needed up to {needed} replicas of {} at its CPU target, and {} {} ready",
        s.workload,
        s.from,
        if s.from == 1 { "was" } else { "were" }
    );
    let since = |at: u64| words::span(at.saturating_sub(s.breach_us.unwrap_or(at)));
    match (s.decided_us, s.first_ready_us) {
        (None, _) => say += "; its autoscaler asked for no more.",
        (Some(decided), None) => {
            say += &format!("; the autoscaler asked for more after {}, and none was ready in time.", since(decided));
        }
        (Some(decided), Some(ready)) => {
            say += &format!(
                "; the autoscaler asked for more after {}, the first new one was ready after {}.",
                since(decided),
                since(ready)
            );
        }
    }
    words::sentence(&say)
}

/// Containers that were restarted under load, which makes an overload worse.
pub(crate) fn restarts(result: &RunResult) -> Option<String> {
    let restarted = result.happenings.iter().filter_map(|happening| happening.what.split_once(" restarts: "));
    let failing: Vec<(&str, &str)> = restarted.filter(|(_, why)| *why != "Completed").collect();
    let (workload, why) = failing.first()?;
    let times = failing.iter().filter(|(other, _)| other == workload).count();
    Some(format!(
        "Pods of {workload} were restarted ({why}){}.",
        if times > 1 { format!(" at {} instants", words::spelled(times)) } else { String::new() }
    ))
}
