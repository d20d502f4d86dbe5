//! A document, every way to break it, and the ones that are shipped.

use super::*;
use crate::built_in;

const BUILT_IN: &str = include_str!("sample.yaml");

/// `platform-facts`, section 4, line by line.
#[test]
fn every_documented_objective_is_there_with_its_figure_and_source() {
    let all = built_in();
    for (name, figure, window) in [
        ("core-latency", "p95 ≤ 800 ms", Some("10m")),
        ("availability", "failed ≤ 0.5 %", Some("30d")),
        ("error-share", "5xx ≤ 1 %", Some("30d")),
        ("fast-burn", "5xx ≤ 5 %", Some("10m")),
        ("reject-share", "rejected ≤ 3 %", Some("10m")),
        ("forbidden-rate", "403 ≤ 5/s", Some("10m")),
        ("target-down", "target down < 2 min", None),
        ("ai-alert-latency", "p95 ≤ 10 s", Some("2m")),
        ("ai-alert-errors", "5xx ≤ 10 %", Some("2m")),
        ("ai-load-latency", "p95 ≤ 3 s", None),
        ("ai-load-errors", "failed ≤ 2 %", None),
        ("user-flow-latency", "p95 ≤ 500 ms", None),
        ("user-flow-errors", "failed ≤ 1 %", None),
        ("user-flow-register", "p95 ≤ 500 ms", None),
        ("user-flow-token", "p95 ≤ 200 ms", None),
        ("user-flow-profile", "p95 ≤ 300 ms", None),
        ("user-flow-create", "p95 ≤ 400 ms", None),
        ("user-flow-dashboard", "p95 ≤ 600 ms", None),
        ("stress-p50", "p50 ≤ 200 ms", None),
        ("stress-p95", "p95 ≤ 800 ms", None),
        ("stress-p99", "p99 ≤ 1.5 s", None),
        ("stress-errors", "failed ≤ 5 %", None),
        ("hmrc-success", "failed ≤ 1 %", None),
        ("hmrc-latency", "p95 ≤ 2.5 s", None),
        ("node-memory", "node memory ≤ 90 %", Some("5m")),
        ("node-cpu", "node cpu ≤ 85 %", Some("5m")),
        ("database-down", "database down < 60 s", None),
        ("redis-down", "redis down < 60 s", None),
        ("regression", "p95 less than 30 % above the baseline", None),
        ("zero-downtime", "failed ≤ 0 requests", None),
    ] {
        let objective = all.iter().find(|objective| objective.name == name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(objective.figure().replace("1 min", "60 s"), figure, "{name}");
        assert_eq!(objective.windows.first().map(|window| window.text.as_str()), window, "{name}");
        assert!(objective.gating && !objective.source.is_empty(), "{name}");
    }
    assert_eq!(all.len(), 30, "one of them is not in the table above");
}

#[test]
fn of_contradicting_figures_one_rules_and_the_others_know_why() {
    let core = built_in().remove(0);
    let why: Vec<_> =
        core.claims.iter().map(|claim| (claim.figure.as_str(), claim.rules, claim.why.as_str())).collect();
    assert_eq!(
        why,
        [
            ("800ms", true, "rules: of these documents the SLO document weighs most"),
            ("800ms", false, "says the same"),
            ("200ms", false, "overruled: an SLO document outranks a strategy"),
            ("500ms", false, "meant under other conditions: a typical GET through the gateway"),
            ("2500ms", false, "meant under other conditions: submissions to HMRC"),
        ]
    );
    let claims = "apiVersion: rehearse/v1\nkind: Claims\nmetadata: {name: core-latency}\nspec:\n  claims:\n";
    let with = |claim: &str| parse(&format!("{BUILT_IN}---\n{claims}    - {claim}\n"), "t.yaml");
    let kept = with("{figure: 800ms, source: a, kind: plan}").unwrap();
    assert_eq!(kept[0].claims[0].why, "the only figure");
    for (claim, want) in [
        ("{figure: 700ms, source: a, kind: plan}", "promises p95 ≤ 800 ms, but 700ms of the plan rules: correct one"),
        ("{figure: 80 %, source: a, kind: plan}", "but 80 % of the plan rules"),
        ("{figure: soon, source: a, kind: plan}", "figure is `soon`: write a time"),
        ("{figure: 800ms, source: a, kind: rumour}", "rumour"),
        ("{figure: 800ms, sauce: a, kind: plan}", "unknown key `sauce`; did you mean `source`?"),
    ] {
        let error = with(claim).expect_err(claim).to_string();
        assert!(error.starts_with("t.yaml:") && error.contains(want), "{claim}: {error}");
    }
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
        ("faults of which nobody knows", "  phases: [steady]", "  faults: outsite", "faults is `outsite`: write"),
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
fn what_is_bad_can_be_said_instead_of_what_is_good() {
    let success = BUILT_IN.replacen("metric: latency, le: 800ms", "metric: success", 1);
    assert_eq!(parse(&success, "t.yaml").unwrap()[0].figure(), "failed ≤ 5 %");
    let bad = |query: &str| {
        let text = BUILT_IN.replacen("good:", "bad:", 1).replacen("metric: latency, le: 800ms", query, 1);
        parse(&text, "t.yaml").map(|all| all[0].figure()).map_err(|error| error.to_string())
    };
    assert_eq!(bad("metric: status, is: 5xx").unwrap(), "5xx ≤ 5 %");
    assert_eq!(bad("metric: status, is: \"403\"").unwrap(), "403 ≤ 5 %");
    assert_eq!(bad("metric: rejected").unwrap(), "rejected ≤ 5 %");
    for (query, want) in [
        ("metric: status", "which status?"),
        ("metric: status, is: 9xx", "write 5xx, 4xx or one status"),
        ("metric: rejected, le: 1s", "what is late is not `good`"),
        ("metric: latency", "write `failed`, `rejected` or `status`"),
    ] {
        let error = bad(query).expect_err(query);
        assert!(error.contains(want), "{query}: {error}");
    }
}

#[test]
fn a_gate_requires_in_one_line_what_openslo_cannot_say() {
    let require = |that: &str| {
        let line = format!("  require:\n    - {{name: extra, that: {that}, source: here}}\n  confidence: 0.95");
        parse(&BUILT_IN.replacen("  confidence: 0.95", &line, 1), "t.yaml")
    };
    let all = require("failed = 0 during rollingUpdate").unwrap();
    let extra = all.iter().find(|objective| objective.name == "extra").unwrap();
    assert!(extra.gating && extra.faults == Faults::During("rollingUpdate".into()));
    let error = require("fialed = 0").unwrap_err().to_string();
    assert!(error.starts_with("t.yaml:") && error.contains("did you mean `failed`?"), "{error}");
}
