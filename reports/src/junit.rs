//! `junit.xml`: a suite per scenario; a case per objective, and one per step and phase that it judges; a case per
//! expectation and per check.
//!
//! What is undecided is skipped with its reason, and only what decides the exit code fails.

use std::fmt::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use record::{Conclusion, Judged, Judgement, Measure, RunResult, StepResult, Verdict};

use crate::told::{self, Told};

/// The whole file.
pub(crate) fn xml(told: &Told) -> Result<String, SerializeError> {
    let result = &told.result;
    let mut suite = TestSuite::new(result.scenario.name.as_str());
    for (name, value) in [
        ("seed", result.seed.get().to_string()),
        ("platform", result.platform.digest.clone()),
        ("backend", result.backend.clone()),
        ("conclusion", told::conclusion(result.conclusion).to_owned()),
        ("report", "report.html".to_owned()),
    ] {
        suite.add_property(Property::new(name, value));
    }
    let load = Duration::from_micros(told::load_us(result));
    for verdict in &result.verdicts {
        let mut case = TestCase::new(verdict.objective.as_str(), status(result.conclusion, verdict));
        case.set_classname(format!("{}.objectives", result.scenario.name));
        case.set_time(Duration::from_micros(verdict.judged_us));
        suite.add_test_case(case);
        for step in &result.steps {
            if let Some(judged) = step.judged.iter().find(|judged| judged.objective == verdict.objective) {
                suite.add_test_case(part(result, verdict, step, judged));
            }
        }
    }
    for expected in &result.expectations {
        let status = if expected.held {
            TestCaseStatus::success()
        } else if matches!(result.conclusion, Conclusion::Invalid | Conclusion::Interrupted) {
            skipped(format!("the run does not count; seen was: {}", expected.seen))
        } else {
            failure("expectation", format!("seen was: {}", expected.seen))
        };
        let mut case = TestCase::new(expected.told.as_str(), status);
        case.set_classname(format!("{}.expectations", result.scenario.name));
        case.set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    for check in &result.checks {
        let status = if check.ok {
            TestCaseStatus::success()
        } else {
            failure("invalid", format!("{} was {}, needs {}", check.name, check.measured, check.limit))
        };
        let mut case = TestCase::new(check.name.as_str(), status);
        case.set_classname(format!("{}.checks", result.scenario.name));
        case.set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    suite.set_time(load);
    let mut report = Report::new("rehearse");
    report.set_time(load);
    report.add_test_suite(suite);
    report.to_string()
}

/// One step in one phase. It fails where it has a part in what broke; alone it decides nothing.
fn part(result: &RunResult, verdict: &Verdict, step: &StepResult, judged: &Judged) -> TestCase {
    let share = judged.beyond as f64 / judged.n.max(1) as f64;
    let mut said = String::new();
    if let (Some(_), "ms") = (verdict.percentile, verdict.unit.as_str()) {
        write!(said, "p95 {:.0} ms, ", step.response.p95_us as f64 / 1e3).expect("writing to a string");
    }
    write!(
        said,
        "{} of {} late or failed ({:.2} %), {:.2} % may",
        judged.beyond,
        judged.n,
        share * 100.0,
        verdict.allowed * 100.0
    )
    .expect("writing to a string");
    let status = match (result.conclusion, verdict.judgement, verdict.gating) {
        (Conclusion::Invalid | Conclusion::Interrupted, ..) => skipped(format!("the run does not count: {said}")),
        (_, Judgement::Undecided, _) => skipped(format!("undecided as a whole: {said}")),
        (_, Judgement::Fail, true) if share > verdict.allowed => failure("broken", said),
        (_, Judgement::Fail, false) if share > verdict.allowed => skipped(format!("broken, does not gate: {said}")),
        _ => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(format!("{} in {}", step.step, step.phase), status);
    case.set_classname(format!("{}.{}", result.scenario.name, verdict.objective));
    let phase = result.phases.iter().find(|phase| phase.name == step.phase);
    let long = phase.map_or(0, |phase| phase.end_us.min(result.load_end_us).saturating_sub(phase.start_us));
    case.set_time(Duration::from_micros(long));
    case
}

fn failure(kind: &str, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message).set_type(kind);
    status
}

/// Only a gating objective may turn a suite red, and a run that does not count decides nothing.
fn status(conclusion: Conclusion, verdict: &Verdict) -> TestCaseStatus {
    if matches!(conclusion, Conclusion::Invalid | Conclusion::Interrupted) {
        let why = told::conclusion(conclusion).to_lowercase();
        return skipped(format!("the run is {why}; by the figures alone {}", message(verdict)));
    }
    match (verdict.judgement, verdict.gating) {
        (Judgement::Pass, _) => TestCaseStatus::success(),
        (Judgement::Fail, true) => failure("broken", message(verdict)),
        (Judgement::Fail, false) => skipped(format!("broken, does not gate: {}", message(verdict))),
        (Judgement::Undecided, _) => skipped(message(verdict)),
    }
}

fn skipped(message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

/// `912 ms [885..941] > 800 ms n=18402`, in ASCII, for tools that grep.
pub(crate) fn message(v: &Verdict) -> String {
    let unit = &v.unit;
    let digits = usize::from(unit == "%") * 2;
    let measured = v.measured.map_or_else(|| "nothing measured".to_owned(), |m| format!("{m:.digits$} {unit}"));
    let interval = v.interval.map_or(String::new(), |(low, high)| format!(" [{low:.digits$}..{high:.digits$}]"));
    let sign = if v.measured.is_some_and(|measured| measured > v.limit) { '>' } else { '<' };
    let limit = format!("{sign} {:.digits$} {unit}", v.limit);
    let sample = match v.measure {
        Measure::Down => format!("watched={} s", v.judged_us / 1_000_000),
        _ => format!("n={}", v.n),
    };
    let mut text = match v.judgement {
        Judgement::Undecided => format!("undecided: {measured}{interval}, limit {:.digits$} {unit} {sample}", v.limit),
        _ => format!("{measured}{interval} {limit} {sample}"),
    };
    if v.judgement == Judgement::Fail && sign == '<' {
        write!(text, ", but {} of them late or failed", v.beyond).expect("writing to a string");
    }
    if let Some(more) = v.more_needed {
        write!(text, ", needs about {more} more").expect("writing to a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Kind, asked, result};

    fn of(kind: Kind) -> String {
        xml(&Told { asked: asked(), result: result(kind), environment: None, twin: None, baseline: None }).unwrap()
    }

    #[test]
    fn each_ending_has_its_own_shape() {
        for (kind, counts, has) in [
            (
                Kind::Pass,
                "tests=\"10\" skipped=\"0\" errors=\"0\" failures=\"0\"",
                "name=\"create-transaction in step\"",
            ),
            (Kind::Fail, "failures=\"2\"", "&gt; 800 ms n="),
            (Kind::Undecided, "skipped=\"7\" errors=\"0\" failures=\"0\"", "<skipped message=\"undecided: "),
            (Kind::Empty, "skipped=\"1\"", "nothing measured, limit 800 ms n=0, needs about 59 more"),
            (Kind::Interrupted, "skipped=\"7\"", "the run is interrupted; by the figures alone 96 ms"),
            (Kind::Invalid, "skipped=\"7\" errors=\"0\" failures=\"1\"", "Driver lag, p99 was 30.0 ms, needs"),
            (Kind::Failures, "failures=\"7\"", "late or failed"),
        ] {
            let xml = of(kind);
            assert!(xml.contains(counts) && xml.contains(has), "{kind:?}: {xml}");
        }
        let passed = of(Kind::Pass);
        assert!(passed.contains("time=\"120.000\""), "the judged time is the case's: {passed}");
        for property in [
            "\"seed\" value=\"42\"",
            "\"platform\" value=\"8c1f2e7a90bd\"",
            "\"backend\" value=\"embedded\"",
            "\"report\" value=\"report.html\"",
        ] {
            assert!(passed.contains(property), "{property}");
        }
    }
}
