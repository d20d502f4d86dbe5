//! Our `PromQL` and alert states beside the original.
#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

mod drawn;
mod promtool;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alerts::evaluation::{Times, evaluate};
use alerts::promql::{Evaluator, Release, parse};
use alerts::{Series, Store, is_stale, openmetrics, rules};
use drawn::{Draw, END, series, vector};
use promtool::{close, fired, input, promtool, samples, written};

/// The latest instant that is asked for, seconds: a whole evaluation interval.
const LOADED: u64 = 1_185;
/// What the wall clock shows at a run's epoch, milliseconds: whole hours, so that subqueries keep their steps.
const EPOCH: i64 = 3_600_000;

#[test]
fn expressions_have_the_values_that_prometheus_gives_them() {
    if !testing::needs("expressions_have_the_values_that_prometheus_gives_them", testing::Need::Prometheus) {
        return;
    }
    let mut draw = Draw(20_261_130);
    let (mut compared, mut values, mut refused) = (0, 0, 0);
    let mut differences = Vec::new();
    for _ in 0..6 {
        let series = series(&mut draw);
        let store: Store = series.iter().cloned().collect();
        let evaluator = Evaluator::new(&store).of(Release::V2);
        let mut cases = Vec::new();
        for _ in 0..150 {
            let depth = draw.below(4);
            // `promtool` reads blanks at the end of a line away, and nothing else.
            let text = vector(&mut draw, depth);
            let expr = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            // `promtool` loads samples up to the last evaluation before the latest instant of all.
            let at = 660 + draw.below(LOADED - 675) as i64;
            cases.push((text, at, evaluator.at(&expr, at * 1_000)));
        }
        let mut test = format!(
            "rule_files: []\nevaluation_interval: 15s\ntests:\n  - interval: 1s\n    input_series:\n{}    promql_expr_test:\n",
            input(&series)
        );
        for (text, at, _) in &cases {
            writeln!(test, "      - expr: '{}'\n        eval_time: {at}s\n        exp_samples: [{{labels: no_such_metric, value: 1}}]", text.replace('\'', "''")).unwrap();
        }
        writeln!(test, "      - {{expr: 'vector(0)', eval_time: {LOADED}s, exp_samples: []}}").unwrap();
        let told = promtool("groups: []\n", &test);
        let mut answers = told.split("    expr: \"").skip(1);
        for (text, at, ours) in cases {
            let answer = answers.next().unwrap_or_else(|| panic!("no answer for {text}: {told}"));
            assert!(
                answer.starts_with(&format!("{}\", time: ", text.replace('\\', "\\\\").replace('"', "\\\""))),
                "{text}: {answer}"
            );
            compared += 1;
            let theirs = answer.split_once("got:").map(|(_, got)| samples(got.lines().next().unwrap_or_default()));
            match (ours, theirs) {
                (Err(_), None) => refused += 1,
                (Ok(ours), Some(theirs)) => {
                    let ours: BTreeMap<String, f64> =
                        ours.into_vector().into_iter().map(|s| (written(&s.labels), s.value)).collect();
                    values += theirs.len();
                    if !ours.keys().eq(theirs.keys()) || !ours.values().zip(theirs.values()).all(|(a, b)| close(*a, *b))
                    {
                        differences.push(format!("{text} at {at} s\n  ours   {ours:?}\n  theirs {theirs:?}"));
                    }
                }
                (ours, theirs) => {
                    differences.push(format!("{text} at {at} s\n  ours   {ours:?}\n  theirs {theirs:?}: {answer}"));
                }
            }
        }
    }
    println!("{compared} expressions, {values} values, {refused} refused by both, {} differences", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(values > 1_000, "{values}");
}

const RULES: &str = r#"
groups:
  - name: first
    rules:
      - record: job:counter:rate1m
        expr: sum by (job) (rate(counter_total[1m]))
        labels: {made: "yes"}
      - alert: Plain
        expr: gauge > 50
        labels: {severity: page, where: "{{ $labels.pod }}"}
        annotations: {summary: "{{ $labels.job }} is at {{ $value }}, {{ $value | humanize }}"}
      - alert: Held
        expr: job:counter:rate1m > 18
        for: 1m
        annotations: {summary: "{{ printf \"%.3f\" $value }}"}
      - alert: Absent
        expr: absent(up{pod="a-1"}) or up{pod="b-0"} > 2000
        for: 45s
      - alert: Quantile
        expr: histogram_quantile(0.9, sum by (le, job) (rate(seconds_bucket[2m]))) > 0.9
        for: 30s
  - name: second
    rules:
      - alert: OfAlerts
        expr: count by (job) (ALERTS{alertstate="firing"}) > 1
        for: 30s
"#;

#[test]
fn alerts_fire_when_prometheus_lets_them_fire() {
    if !testing::needs("alerts_fire_when_prometheus_lets_them_fire", testing::Need::Prometheus) {
        return;
    }
    let groups = rules::read("rules.yml", RULES).unwrap();
    let mut draw = Draw(7);
    let mut compared = 0;
    for round in 0..4 {
        let series = series(&mut draw);
        let mut store: Store = series.iter().cloned().collect();
        let times = Times { from: 0, until: END, interval: 15_000 };
        let outcomes = evaluate(&mut store, &groups, times, Release::V2, |_| true);
        let names: Vec<&str> = groups.iter().flat_map(|g| &g.rules).map(rules::Rule::name).skip(1).collect();
        let mut test = format!(
            "rule_files: [rules.yml]\nevaluation_interval: 15s\ngroup_eval_order: [first, second]\ntests:\n  - interval: 1s\n    input_series:\n{}    alert_rule_test:\n",
            input(&series)
        );
        let mut asked = Vec::new();
        for nth in 1..END / 15_000 {
            for name in &names {
                writeln!(
                    test,
                    "      - {{eval_time: {}s, alertname: {name}, exp_alerts: [{{exp_labels: {{no: such}}}}]}}",
                    nth * 15
                )
                .unwrap();
                asked.push((nth * 15_000, *name));
            }
        }
        let told = promtool(RULES, &test);
        let theirs = fired(&told);
        for (at, name) in asked {
            let all = outcomes.iter().flatten().flat_map(|outcome| &outcome.instances);
            let firing = all.filter(|i| {
                i.labels.get("alertname") == name
                    && i.fired.is_some_and(|fired| fired <= at)
                    && i.ended.is_none_or(|ended| at < ended)
            });
            let mut ours: Vec<String> = firing.map(|i| i.labels.to_string()).collect();
            ours.sort();
            assert_eq!(
                ours,
                theirs.get(&(at, name.to_owned())).cloned().unwrap_or_default(),
                "round {round}: {name} at {at} ms"
            );
            compared += 1;
        }
        assert!(theirs.values().any(|labels| !labels.is_empty()), "something fires");
    }
    println!("{compared} states of alerts, 0 differences");
}

#[test]
fn a_server_that_loads_the_series_of_a_run_agrees() {
    if !testing::needs("a_server_that_loads_the_series_of_a_run_agrees", testing::Need::Prometheus) {
        return;
    }
    let mut draw = Draw(42);
    // The file has no marks for ends, so a server carries values on; so do we here.
    let unmarked = |series: Series| {
        let mut kept = Series::new(series.labels.clone());
        let samples = series.times.iter().zip(&series.values).filter(|(_, value)| !is_stale(**value));
        samples.for_each(|(at, value)| kept.push(*at, *value));
        kept
    };
    let store: Store = series(&mut draw).into_iter().map(unmarked).collect();
    let mut text = Vec::new();
    openmetrics::write(&store, EPOCH, &mut text).unwrap();
    let server = testing::prometheus::Server::start(&text);
    let evaluator = Evaluator::new(&store).of(Release::V2);
    let (mut compared, mut values) = (0, 0);
    for nth in 0..200 {
        let text = vector(&mut draw, nth % 3);
        let at = 660 + draw.below(END as u64 / 1_000 - 660) as i64;
        let ours = evaluator.at(&parse(&text).unwrap(), at * 1_000);
        // In the file time begins earlier.
        match (ours, server.query(&text.replace("@ 600", "@ 4200"), at + EPOCH / 1_000)) {
            (Err(_), Err(_)) => {}
            (Ok(ours), Ok(theirs)) => {
                let named = |labels: BTreeMap<String, String>| {
                    written(&labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
                };
                let theirs: BTreeMap<_, _> = theirs.into_iter().map(|(labels, value)| (named(labels), value)).collect();
                let ours: BTreeMap<_, _> =
                    ours.into_vector().into_iter().map(|s| (written(&s.labels), s.value)).collect();
                values += ours.len();
                let equal =
                    ours.keys().eq(theirs.keys()) && ours.values().zip(theirs.values()).all(|(a, b)| close(*a, *b));
                assert!(equal, "{text} at {at} s\n  ours   {ours:?}\n  theirs {theirs:?}");
            }
            (ours, theirs) => panic!("{text} at {at} s\n  ours   {ours:?}\n  theirs {theirs:?}"),
        }
        compared += 1;
    }
    println!("{compared} expressions at a server, {values} values, 0 differences");
}
