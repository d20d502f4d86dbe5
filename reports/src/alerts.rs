//! The platform's own alerts in words: what a terminal and a summary say of them.

use record::{AlertRehearsal, AlertResult, AlertVerdict, Conclusion, RunResult};

use crate::{told, words};

/// For people.
pub(crate) const fn word(verdict: AlertVerdict) -> &'static str {
    match verdict {
        AlertVerdict::Fired => "FIRES",
        AlertVerdict::Pending => "pending",
        AlertVerdict::Blind => "BLIND",
        AlertVerdict::Unsupported => "not evaluated",
        AlertVerdict::Unreachable => "out of reach",
        AlertVerdict::Quiet => "quiet",
    }
}

/// Those that need attention first.
pub(crate) fn sorted(alerts: &AlertRehearsal) -> Vec<&AlertResult> {
    let mut all: Vec<&AlertResult> = alerts.alerts.iter().collect();
    all.sort_by_key(|alert| alert.verdict);
    all
}

/// One sentence over all of them.
pub(crate) fn sentence(alerts: &AlertRehearsal) -> String {
    let of = |verdict| alerts.alerts.iter().filter(|alert| alert.verdict == verdict).count();
    let all = alerts.alerts.len();
    if all == 0 {
        return "The platform has no alerts.".into();
    }
    let mut parts = Vec::new();
    for (verdict, one, many) in [
        (AlertVerdict::Fired, "fires", "fire"),
        (AlertVerdict::Pending, "comes to pending", "come to pending"),
        (AlertVerdict::Blind, "is blind", "are blind"),
        (AlertVerdict::Unsupported, "is not evaluated", "are not evaluated"),
        (AlertVerdict::Unreachable, "is out of reach of a run this short", "are out of reach of a run this short"),
        (AlertVerdict::Quiet, "stays quiet", "stay quiet"),
    ] {
        let n = of(verdict);
        if n > 0 {
            parts.push(words::some(n, one, many));
        }
    }
    format!("Of {} alerts {}.", words::count(all as u64), words::list(&parts))
}

/// Lines for a terminal, without their heading: all that is not quiet, and how many are.
pub(crate) fn lines(alerts: &AlertRehearsal) -> Vec<String> {
    let mut lines = vec![format!("  {}", sentence(alerts))];
    for alert in sorted(alerts).into_iter().filter(|alert| told(alert)) {
        lines.push(format!("  {}  {} {}", word(alert.verdict), alert.alert, alert.told));
        lines.extend(alert.because.iter().map(|why| format!("      {}", words::sentence(why))));
    }
    lines
}

/// Whether a short account names it.
pub(crate) fn told(alert: &AlertResult) -> bool {
    !matches!(alert.verdict, AlertVerdict::Quiet | AlertVerdict::Unreachable)
}

/// Alerts that a sentence names.
const NAMED: usize = 3;

/// What a reader must not miss: who would have been woken, that nobody would have been although the run failed, and
/// which alerts are blind. Nothing if all is quiet, as it should be.
pub(crate) fn in_short(result: &RunResult) -> Option<String> {
    let rehearsal = result.alerts.as_ref().filter(|rehearsal| !rehearsal.alerts.is_empty())?;
    // With the instant at which it first fired, if it did.
    let name = |alert: &AlertResult| match alert.spells.iter().filter_map(|spell| spell.firing_us).min() {
        Some(first) => format!("{} ({})", alert.alert, told::at(result, first)),
        None => alert.alert.clone(),
    };
    let of = |verdict| -> Vec<String> {
        let of = rehearsal.alerts.iter().filter(|alert| alert.verdict == verdict);
        let mut names: Vec<String> = of.map(name).collect();
        names.dedup();
        names
    };
    let (fired, blind) = (of(AlertVerdict::Fired), of(AlertVerdict::Blind));
    let mut say = Vec::new();
    if !fired.is_empty() {
        say.push(format!("In production {} would have fired.", named(&fired)));
    } else if result.conclusion == Conclusion::Fail {
        say.push("None of the platform's alerts fired: nobody would have been woken.".into());
    }
    if !blind.is_empty() {
        let verb = if blind.len() == 1 { "is" } else { "are" };
        say.push(format!(
            "{} {verb} blind: whatever happens, {} cannot fire.",
            words::sentence(&named(&blind)),
            if blind.len() == 1 { "it" } else { "they" }
        ));
    }
    (!say.is_empty()).then(|| say.join(" "))
}

fn named(names: &[String]) -> String {
    let alert = if names.len() == 1 { "the alert" } else { "the alerts" };
    let mut parts: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        parts.push(words::some(names.len() - NAMED, "more", "more"));
    }
    format!("{alert} {}", words::list(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Kind, result};

    #[test]
    fn a_failure_that_wakes_nobody_is_told_and_so_are_blind_alerts() {
        let mut failed = result(Kind::Fail);
        let told = in_short(&failed).unwrap();
        assert!(told.contains("the alert TargetDown (0:42) would have fired."), "{told}");
        assert!(told.contains("The alert TooMany is blind"), "{told}");
        let alerts = &mut failed.alerts.as_mut().unwrap().alerts;
        alerts.retain(|alert| alert.verdict == AlertVerdict::Quiet);
        assert_eq!(in_short(&failed).unwrap(), "None of the platform's alerts fired: nobody would have been woken.");
        failed.conclusion = Conclusion::Pass;
        assert_eq!(in_short(&failed), None, "quiet as it should be");
    }
}
