//! The built-in document, and every way to break it.

use record::{PhaseKind, StepId, StepPlan};
use units::Nanos;

use super::*;
use crate::built_in;

const BUILT_IN: &str = include_str!("../../library/core-latency.yaml");

#[test]
fn the_built_in_objective_is_the_documented_one() {
    let [core, _] = built_in().try_into().unwrap();
    assert_eq!((core.name.as_str(), core.flow.as_str()), ("core-latency", "core"));
    assert_eq!((core.limit, core.target), (Some(Nanos::from_millis(800)), 0.95));
    assert_eq!(core.window.as_deref(), Some("10m"));
    assert_eq!((core.gating, core.confidence, core.phases), (true, 0.95, vec![PhaseKind::Steady]));
    assert!(core.source.ends_with("SLO_DASHBOARDS.md:17"), "{}", core.source);
    let note = core.note.unwrap();
    assert!(note.contains("500 ms") && note.contains("200 ms"), "{note}");
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_what_to_do() {
    for (case, find, replace, message) in [
        (
            "a misspelled key",
            "  budgetingMethod:",
            "  budgetMethod:",
            "unknown key `budgetMethod`; did you mean `budgetingMethod`?",
        ),
        ("a key like no other", "  budgetingMethod:", "  zzz:", "unknown key `zzz`; known: description, service"),
        ("a target of one", "target: 0.95", "target: 1.0", "target is `1`: it is a share"),
        ("a target in percent", "target: 0.95", "target: 95", "target is `95`"),
        ("a target that is no number", "target: 0.95", "target: .nan", "non-finite float"),
        ("a limit of zero", "le: 800ms", "le: 0s", "le is `0s`: no answer takes no time"),
        ("a limit without a unit", "le: 800ms", "le: \"800\"", "le is `800`: write a duration"),
        ("a latency without a limit", "le: 800ms, ", "", "good.metric is `latency`: latency needs a limit"),
        ("a foreign metric source", "type: harness", "type: prometheus", "metricSource.type is `prometheus`"),
        ("a window of nothing", "duration: 10m", "duration: 0m", "duration is `0m`"),
        ("a window without a unit", "duration: 10m", "duration: \"10\"", "duration is `10`"),
        ("another version", "openslo/v1\n", "openslo/v2\n", "apiVersion is `openslo/v2`: an SLO is of openslo/v1"),
        ("another kind", "kind: Gate", "kind: Door", "kind is `Door`"),
        (
            "a gate for nothing",
            "slos: [core-latency]",
            "slos: [core-latencies]",
            "no SLO is named `core-latencies`; did you mean `core-latency`?",
        ),
        ("an impossible confidence", "confidence: 0.95", "confidence: 95", "confidence is `95`"),
        ("a confidence no better than a coin", "confidence: 0.95", "confidence: 0.5", "confidence is `0.5`"),
        ("no phase", "phases: [steady]", "phases: []", "phases is `[]`"),
        ("an unknown phase", "phases: [steady]", "phases: [stedy]", ""),
        (
            "an unknown annotation of ours",
            "rehearse/source",
            "rehearse/sauce",
            "unknown key `rehearse/sauce`; did you mean `rehearse/source`?",
        ),
        ("a gate twice", "[core-latency]", "[core-latency, core-latency]", "`core-latency` is gated twice"),
    ] {
        let text = BUILT_IN.replacen(find, replace, 1);
        assert_ne!(text, BUILT_IN, "{case}: nothing was broken");
        let error = parse(&text, "t.yaml").expect_err(case).to_string();
        let line = 1 + BUILT_IN[..BUILT_IN.find(find).unwrap()].matches('\n').count();
        let expected = format!("t.yaml:{line}: {message}");
        assert!(error.starts_with(&expected), "{case}: {error}, not {expected}");
    }
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let error = parse("apiVersion: openslo/v1\nkind: SLO\nmetadata: [\n", "t.yaml").unwrap_err().to_string();
    assert!(error.starts_with("t.yaml:"), "{error}");
}

#[test]
fn good_and_total_must_look_at_the_same_flow() {
    let text = BUILT_IN.replacen("metric: requests, where: \"flow=core\"", "metric: requests, where: \"flow=tax\"", 1);
    let error = parse(&text, "t.yaml").unwrap_err().to_string();
    assert!(error.contains("total.where") && error.contains("flow=tax"), "{error}");
}

#[test]
fn without_a_gate_nothing_gates() {
    let slo = BUILT_IN.split("\n---").next().unwrap();
    let [only] = parse(slo, "t.yaml").unwrap().try_into().unwrap();
    assert!(!only.gating);
    let twice = format!("{slo}\n---\n{slo}");
    let error = parse(&twice, "t.yaml").unwrap_err().to_string();
    assert!(error.contains("`core-latency` is defined twice"), "{error}");
    assert_eq!(parse("# nothing\n", "t.yaml"), Ok(vec![]));
}

#[test]
fn success_needs_no_limit() {
    let text = BUILT_IN.replacen("metric: latency, le: 800ms", "metric: success", 1);
    assert_eq!(parse(&text, "t.yaml").unwrap()[0].limit, None);
}

#[test]
fn a_watch_looks_at_the_steps_of_its_flow_and_refuses_to_look_at_none() {
    let step = |flow: &str| StepPlan { flow: flow.into(), name: flow.into(), request: "GET /".into() };
    let objective = built_in().remove(0);
    let watch = objective.watch(&[step("core"), step("tax"), step("core")]).unwrap();
    assert_eq!((watch.steps, watch.limit), (vec![StepId(0), StepId(2)], Some(Nanos::from_millis(800))));
    let error = objective.watch(&[step("tax"), step("tax")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "objective `core-latency` judges flow `core`, of which the scenario has no step; it has: tax"
    );
}
