//! What is said of an alert: why it fired, why it could not, and what was missing.

use alerts::evaluation::Times;
use alerts::promql::Release;
use alerts::{Labels, NAME, Store, Watched, rehearse, rules};
use record::AlertVerdict;

fn series(store: &mut Store, name: &str, labels: &[(&str, &str)], value: impl Fn(i64) -> f64) {
    let labels: Labels = [(NAME, name)].into_iter().chain(labels.iter().copied()).collect();
    for nth in 0..20 {
        store.push(&labels, nth * 15_000, value(nth));
    }
}

fn store() -> Store {
    let mut store = Store::default();
    series(&mut store, "up", &[("job", "web"), ("pod", "w-0")], |_| 1.0);
    series(&mut store, "up", &[("job", "web"), ("pod", "w-1")], |nth| f64::from(u8::from(nth < 8)));
    for status in ["200", "503"] {
        series(&mut store, "answers_total", &[("job", "web"), ("status", status)], |nth| nth as f64 * 10.0);
    }
    for (le, share) in [("0.1", 0.5), ("0.5", 0.8), ("1.0", 0.99), ("+Inf", 1.0)] {
        series(&mut store, "seconds_bucket", &[("job", "web"), ("le", le)], |nth| nth as f64 * 100.0 * share);
    }
    store
}

#[test]
fn every_verdict_says_why() {
    for (case, rule, verdict, words) in [
        (
            "a target is down",
            "expr: up == 0\nfor: 2m",
            AlertVerdict::Fired,
            "fires at 4:00, and still fires at the end.",
        ),
        (
            "it takes longer",
            "expr: up == 0\nfor: 3m",
            AlertVerdict::Pending,
            "is pending since 2:00 and would fire if it held for 15s more.",
        ),
        (
            "the condition passes",
            "expr: time() > 60 and time() < 120 and on () vector(1)\nfor: 5m",
            AlertVerdict::Unsupported,
            "is no valid rule",
        ),
        (
            "no such job",
            "expr: up{job=\"fintech\"} == 0",
            AlertVerdict::Blind,
            "no scrape configuration is called `fintech`; there are db, web",
        ),
        (
            "a job without a target",
            "expr: pg_up{job=\"db\"} == 0",
            AlertVerdict::Blind,
            "job `db` has no target in this run",
        ),
        (
            "nobody shows the metric",
            "expr: rate(orders_total[5m]) > 1",
            AlertVerdict::Blind,
            "no target shows orders_total",
        ),
        ("no such label", "expr: up{zone=\"a\"} == 0", AlertVerdict::Blind, "no series of up has a label `zone`"),
        (
            "no such value",
            "expr: up{pod=~\"x.*\"} == 0",
            AlertVerdict::Blind,
            "no series of up has pod=~\"x.*\"; there are w-0, w-1",
        ),
        (
            "429 while limits answer 503",
            "expr: rate(answers_total{status=\"429\"}[1m]) > 0",
            AlertVerdict::Blind,
            "it counts 429, and the gateway's limits answer 503",
        ),
        ("no answer was 403", "expr: rate(answers_total{status=\"403\"}[1m]) > 0", AlertVerdict::Quiet, "is quiet."),
        (
            "below the limit",
            "expr: sum(rate(answers_total[1m])) > 5",
            AlertVerdict::Quiet,
            "is quiet; at most 1.33 of 5.",
        ),
        (
            "longer than the run",
            "expr: sum(rate(answers_total[1m])) > 5\nfor: 10m",
            AlertVerdict::Unreachable,
            "it must hold for 10m, and this run has 4m45s of load; one of 10m15s would do",
        ),
        (
            "what is not there is seen",
            "expr: up{job=\"db\"} == 0 or absent(up{job=\"db\"})\nfor: 1m",
            AlertVerdict::Fired,
            "fires at 1:00",
        ),
        (
            "beyond all buckets",
            "expr: histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[5m]))) > 10",
            AlertVerdict::Blind,
            "its limit, 10, is beyond the last bucket edge, 1",
        ),
        (
            "at the last edge",
            "expr: histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[5m]))) > 1",
            AlertVerdict::Blind,
            "no quantile is beyond that",
        ),
        (
            "not ours yet",
            "expr: day_of_week() > 5",
            AlertVerdict::Unsupported,
            "rehearse does not know day_of_week yet",
        ),
        ("through a recording rule", "expr: recorded > 1", AlertVerdict::Blind, "no target shows nothing_total"),
        ("many to many", "expr: up * on (job) answers_total > 0", AlertVerdict::Unsupported, "found duplicate series"),
    ] {
        let indented = rule.replace('\n', "\n        ");
        let text = format!(
            "groups:\n  - name: g\n    rules:\n      - record: recorded\n        expr: rate(nothing_total[5m])\n      - alert: A\n        {indented}\n"
        );
        let groups = rules::read("rules.yml", &text).unwrap();
        let watched =
            Watched { jobs: vec!["db".into(), "web".into()], limit_statuses: [503].into(), ..Watched::default() };
        let times = Times { from: 0, until: 285_000, interval: 15_000 };
        let told = rehearse(&mut store(), &groups, times, Release::V3, &watched);
        let alert = &told.alerts[0];
        assert_eq!(alert.verdict, verdict, "{case}: {}", alert.told);
        assert!(alert.told.contains(words), "{case}: {}", alert.told);
    }
}

#[test]
fn a_limit_between_two_edges_is_told() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: 'histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[5m]))) > 0.8'}]}]";
    let groups = rules::read("rules.yml", text).unwrap();
    let times = Times { from: 0, until: 285_000, interval: 15_000 };
    let told = rehearse(&mut store(), &groups, times, Release::V3, &Watched::default());
    assert_eq!(told.alerts[0].because, ["No bucket has an edge at 0.8: its quantile is a guess between 0.5 and 1."]);
}

#[test]
fn a_server_that_is_down_forgets_what_was_pending() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: 'up == 0', for: 2m}]}]";
    let groups = rules::read("rules.yml", text).unwrap();
    let times = Times { from: 0, until: 285_000, interval: 15_000 };
    let watched = Watched { down: vec![(180_000, 195_000)], ..Watched::default() };
    let told = rehearse(&mut store(), &groups, times, Release::V3, &watched);
    assert_eq!(told.alerts[0].verdict, AlertVerdict::Pending, "{}", told.alerts[0].told);
    assert!(told.notes[0].starts_with("Prometheus itself was down for 15s from 3:00"), "{:?}", told.notes);
}
