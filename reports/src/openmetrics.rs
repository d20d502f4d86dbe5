//! `metrics.om`: the figures of the whole run for Prometheus, as `OpenMetrics` text, without an instant: to be scraped or
//! pushed. The run over time is in `series.om.gz`, which is written by whoever played it.
//!
//! Seconds throughout; bucket edges lie on the limit. Source: the `OpenMetrics` 1.0 text format, without the types that
//! the older text format does not know (info, state sets): a push gateway and the node exporter read no other.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use record::{Conclusion, Judgement, RunResult};

use crate::told::{self, Told};

/// `metrics.om`.
pub(crate) fn metrics(told: &Told) -> String {
    let result = &told.result;
    let mut out = Text::default();
    out.family("rehearse_run_info", "gauge", "", "What was played, and on what.");
    let platform = &result.platform;
    let labels = [
        ("scenario", result.scenario.name.as_str()),
        ("scenario_digest", &result.scenario.digest),
        ("backend", &result.backend),
        ("overlay", &platform.overlay),
        ("platform", &platform.digest),
        ("version", &told.asked.version),
    ];
    let seed = result.seed.get().to_string();
    out.sample("rehearse_run_info", &[&labels[..], &[("seed", &seed)]].concat(), 1);
    out.family("rehearse_conclusion", "gauge", "", "How the run ended.");
    for conclusion in
        [Conclusion::Pass, Conclusion::Fail, Conclusion::Undecided, Conclusion::Invalid, Conclusion::Interrupted]
    {
        let state = told::conclusion(conclusion).to_lowercase();
        out.sample(
            "rehearse_conclusion",
            &[("rehearse_conclusion", &state)],
            u8::from(conclusion == result.conclusion),
        );
    }
    objectives(result, &mut out);
    steps(result, &mut out);
    buckets(result, &mut out);
    faults(result, &mut out);
    scalings(result, &mut out);
    out.ended()
}

fn objectives(result: &RunResult, out: &mut Text) {
    out.family("rehearse_objective_verdict", "gauge", "", "What came of an objective.");
    for v in &result.verdicts {
        for judgement in [Judgement::Pass, Judgement::Fail, Judgement::Undecided] {
            let state = told::judgement(judgement).to_lowercase();
            let labels = [("objective", v.objective.as_str()), ("rehearse_objective_verdict", &state)];
            out.sample("rehearse_objective_verdict", &labels, u8::from(judgement == v.judgement));
        }
    }
    out.family(
        "rehearse_objective_beyond_ratio",
        "gauge",
        "ratio",
        "Requests that failed or were late, as a share of those judged.",
    );
    for v in result.verdicts.iter().filter(|v| v.n > 0) {
        let bounds = [("", v.beyond as f64 / v.n as f64), ("low", v.beyond_bounds.0), ("high", v.beyond_bounds.1)];
        for (bound, share) in bounds {
            out.sample("rehearse_objective_beyond_ratio", &[("objective", &v.objective), ("bound", bound)], share);
        }
    }
    out.family("rehearse_objective_allowed_ratio", "gauge", "ratio", "The share of requests that may fail or be late.");
    for v in &result.verdicts {
        out.sample("rehearse_objective_allowed_ratio", &[("objective", &v.objective)], v.allowed);
    }
}

fn steps(result: &RunResult, out: &mut Text) {
    out.family("rehearse_requests", "counter", "", "Requests that were due, by what came of them.");
    for s in &result.steps {
        let failed: u64 = s.failed.values().sum();
        let mut outcomes: BTreeMap<&str, u64> = s.failed.iter().map(|(cause, n)| (cause.name(), *n)).collect();
        outcomes.insert("ok", s.n - failed);
        for (outcome, n) in outcomes {
            let labels = [("flow", s.flow.as_str()), ("step", &s.step), ("phase", &s.phase), ("outcome", outcome)];
            out.sample("rehearse_requests_total", &labels, n);
        }
    }
    out.family(
        "rehearse_response_seconds",
        "summary",
        "seconds",
        "Response times of requests that succeeded, from the instant they were due.",
    );
    for s in result.steps.iter().filter(|s| s.response.max_us > 0) {
        let q = &s.response;
        let of = [("flow", s.flow.as_str()), ("step", &s.step), ("phase", &s.phase)];
        for (quantile, us) in [
            ("0.5", q.p50_us),
            ("0.9", q.p90_us),
            ("0.95", q.p95_us),
            ("0.99", q.p99_us),
            ("0.999", q.p999_us),
            ("1.0", q.max_us),
        ] {
            out.sample("rehearse_response_seconds", &[&of[..], &[("quantile", quantile)]].concat(), us as f64 / 1e6);
        }
    }
}

/// The judged flow as a histogram, its edges those of the heatmap.
fn buckets(result: &RunResult, out: &mut Text) {
    let edges = &result.timeline.heat_edges_us;
    let bins = edges.len() + 1;
    let mut counts = vec![0_u64; bins];
    for window in &result.timeline.windows {
        counts.iter_mut().zip(&window.heat).for_each(|(sum, n)| *sum += u64::from(*n));
    }
    if counts.iter().all(|n| *n == 0) {
        return;
    }
    out.family(
        "rehearse_flow_response_seconds",
        "histogram",
        "seconds",
        "Response times of the judged flow, all phases.",
    );
    let mut below = 0;
    for (index, n) in counts.iter().enumerate() {
        below += n;
        let edge = edges.get(index).map_or_else(|| "+Inf".to_owned(), |us| float(*us as f64 / 1e6));
        out.sample("rehearse_flow_response_seconds_bucket", &[("le", &edge)], below);
    }
}

fn faults(result: &RunResult, out: &mut Text) {
    if result.faults.is_empty() {
        return;
    }
    out.family("rehearse_fault_seconds", "gauge", "seconds", "From a fault's beginning to what came of it.");
    for fault in &result.faults {
        for (until, at) in
            [("noticed", fault.detected_us), ("failed_over", fault.failed_over_us), ("recovered", fault.recovered_us)]
        {
            if let Some(at) = at {
                let labels = [("fault", fault.fault.as_str()), ("until", until)];
                out.sample("rehearse_fault_seconds", &labels, at.saturating_sub(fault.began_us) as f64 / 1e6);
            }
        }
    }
    out.family("rehearse_fault_lost_requests", "counter", "", "Requests that a fault cost.");
    for fault in &result.faults {
        out.sample("rehearse_fault_lost_requests_total", &[("fault", &fault.fault)], fault.lost.values().sum::<u64>());
    }
}

fn scalings(result: &RunResult, out: &mut Text) {
    if result.scalings.is_empty() {
        return;
    }
    out.family(
        "rehearse_unserved_replica_seconds",
        "gauge",
        "seconds",
        "Replicas needed at the CPU target and not ready, over time.",
    );
    for s in &result.scalings {
        out.sample("rehearse_unserved_replica_seconds", &[("workload", &s.workload)], s.unserved_milli as f64 / 1e3);
    }
}

/// As `OpenMetrics` writes the edge of a bucket: always with a point.
fn float(value: f64) -> String {
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[derive(Debug, Default)]
struct Text {
    text: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        writeln!(self.text, "# TYPE {name} {kind}").expect("writing to a string");
        // A unit is the family name's last word, or it is left out.
        if !unit.is_empty() && name.ends_with(&format!("_{unit}")) {
            writeln!(self.text, "# UNIT {name} {unit}").expect("writing to a string");
        }
        writeln!(self.text, "# HELP {name} {}", escaped(help)).expect("writing to a string");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.begin(name, labels);
        writeln!(self.text, " {value}").expect("writing to a string");
    }

    /// A label without a value is no label.
    fn begin(&mut self, name: &str, labels: &[(&str, &str)]) {
        let labels: Vec<String> = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        self.text.push_str(name);
        if !labels.is_empty() {
            write!(self.text, "{{{}}}", labels.join(",")).expect("writing to a string");
        }
    }

    fn ended(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{EVERY, Kind, asked, result};

    fn told(kind: Kind) -> Told {
        Told { asked: asked(), result: result(kind), environment: None, twin: None, baseline: None }
    }

    #[test]
    fn each_family_is_declared_once_and_before_its_samples() {
        for kind in EVERY {
            let text = metrics(&told(kind));
            let mut families: Vec<&str> = Vec::new();
            for line in text.lines() {
                if let Some(family) = line.strip_prefix("# TYPE ") {
                    let family = family.split(' ').next().unwrap();
                    assert!(!families.contains(&family), "{kind:?}: {family} twice");
                    families.push(family);
                } else if !line.starts_with('#') {
                    let last = families.last().unwrap();
                    assert!(line.starts_with(last), "{kind:?}: {line} is not of {last}");
                }
            }
            assert!(text.ends_with("# EOF\n"), "{kind:?}");
        }
    }

    #[test]
    fn buckets_ascend_to_all_that_succeeded_and_have_the_limit_as_an_edge() {
        let text = metrics(&told(Kind::Fail));
        let buckets: Vec<(&str, u64)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("rehearse_flow_response_seconds_bucket{le=\""))
            .map(|line| line.split_once("\"} ").unwrap())
            .map(|(edge, n)| (edge, n.parse().unwrap()))
            .collect();
        assert!(buckets.is_sorted_by_key(|(_, n)| *n) && buckets.iter().any(|(edge, _)| *edge == "0.8"), "{buckets:?}");
        assert_eq!(buckets.last().unwrap().0, "+Inf");
    }

    /// A push gateway and the node exporter read the older text format: a counter is known there by another name, so it
    /// has no help (3), but all of it can be read (not 1).
    #[test]
    fn the_older_format_reads_it_too() {
        if !testing::needs("the_older_format_reads_it_too", testing::Need::Prometheus) {
            return;
        }
        for kind in EVERY {
            let mut child = std::process::Command::new("promtool")
                .args(["check", "metrics"])
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), metrics(&told(kind)).as_bytes()).unwrap();
            let told = child.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(matches!(told.status.code(), Some(0 | 3)), "{kind:?}: {words}");
            assert!(words.lines().all(|line| line.ends_with("_total no help text")), "{kind:?}: {words}");
        }
    }

    /// Prometheus' own parser of `OpenMetrics` takes the file, and its database has what it says.
    #[test]
    fn prometheus_reads_what_is_written() {
        if !testing::needs("prometheus_reads_what_is_written", testing::Need::Prometheus) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for kind in EVERY {
            // The database wants an instant with each sample, which a scrape would bring.
            let stamped =
                |line: &str| if line.starts_with('#') { line.to_owned() } else { format!("{line} 1700000060.000") };
            let text = metrics(&told(kind)).lines().map(|line| stamped(line) + "\n").collect::<String>();
            let (file, blocks) = (folder.path().join(format!("{kind:?}.om")), folder.path().join(format!("{kind:?}")));
            std::fs::write(&file, &text).unwrap();
            let made = std::process::Command::new("promtool")
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .args([&file, &blocks])
                .output()
                .unwrap();
            assert!(made.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&made.stderr));
            let samples = text.lines().filter(|line| !line.starts_with('#')).count();
            // It prints a line for each block, with the number of its samples as the fifth word.
            let told = String::from_utf8_lossy(&made.stdout).into_owned();
            let of_block = |line: &str| line.split_whitespace().nth(4)?.parse::<usize>().ok();
            assert_eq!(told.lines().filter_map(of_block).sum::<usize>(), samples, "{kind:?}: {told}");
        }
    }

    #[test]
    fn a_name_cannot_break_a_line() {
        let mut told = told(Kind::Pass);
        told.result.scenario.name = "a\"b\\c\nd".into();
        let text = metrics(&told);
        assert!(text.contains(r#"scenario="a\"b\\c\nd""#), "{text}");
    }
}
