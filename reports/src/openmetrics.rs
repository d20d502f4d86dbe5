//! `metrics.om` and `series.om`: the run for Prometheus, as `OpenMetrics` text.
//!
//! `metrics.om` has the figures of the whole run without an instant, to be scraped or pushed. `series.om` has the run
//! over time, each sample with its instant on the wall clock, for `promtool tsdb create-blocks-from openmetrics`; it
//! needs to know when the run began, so a run folder without `environment.json` has none. Seconds throughout; bucket
//! edges lie on the limit. Source: the `OpenMetrics` 1.0 text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use record::{Cause, Conclusion, Judgement, RunResult, WorkloadSeries};

use crate::told::{self, Told};

/// Between two samples of a counter or of replicas, seconds: the platform's documented scrape interval.
const SCRAPE_S: f64 = 15.0;

/// `metrics.om`.
pub(crate) fn metrics(told: &Told) -> String {
    let result = &told.result;
    let mut out = Text::default();
    out.family("rehearse_run", "info", "", "What was played, and on what.");
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
    out.family("rehearse_conclusion", "stateset", "", "How the run ended.");
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
    out.family("rehearse_objective_verdict", "stateset", "", "What came of an objective.");
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
        let mut outcomes: BTreeMap<&str, u64> = s.failed.iter().map(|(cause, n)| (name(*cause), *n)).collect();
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

/// `series.om`, for a run whose epoch was `epoch_s` on the wall clock.
pub(crate) fn series(result: &RunResult, epoch_s: f64) -> String {
    let mut out = Text::default();
    let windows = told::under_load(result);
    let width_s = result.timeline.width_us as f64 / 1e6;
    let at = |index: usize| epoch_s + result.load_start_us as f64 / 1e6 + (index + 1) as f64 * width_s;
    // As often as the platform's own Prometheus would look, and once at the end.
    let every = ((SCRAPE_S / width_s) as usize).max(1);
    let scraped = |index: usize| (index + 1).is_multiple_of(every) || index + 1 == windows.len();
    // A counter tells at the end of a window what has come so far.
    out.family("rehearse_requests", "counter", "", "Requests that were due so far, by what came of them.");
    let mut outcomes: Vec<Option<Cause>> = vec![None];
    outcomes.extend(told::failures(result).into_iter().map(|(cause, _)| Some(cause)));
    for outcome in outcomes {
        let mut sum = 0;
        for (index, window) in windows.iter().enumerate() {
            sum += outcome.map_or(window.succeeded, |cause| window.failed.get(&cause).copied().unwrap_or(0));
            if scraped(index) {
                out.sample_at("rehearse_requests_total", &[("outcome", outcome.map_or("ok", name))], sum, at(index));
            }
        }
    }
    out.family(
        "rehearse_flow_response_quantile_seconds",
        "gauge",
        "seconds",
        "Percentiles of the judged flow in each window.",
    );
    for (quantile, value) in [
        ("0.5", (|w: &record::Window| w.p50_us) as fn(&record::Window) -> u64),
        ("0.95", |w| w.p95_us),
        ("0.99", |w| w.p99_us),
    ] {
        for (index, window) in windows.iter().enumerate().filter(|(_, window)| value(window) > 0) {
            let labels = [("quantile", quantile)];
            out.sample_at("rehearse_flow_response_quantile_seconds", &labels, value(window) as f64 / 1e6, at(index));
        }
    }
    out.family(
        "rehearse_replicas",
        "gauge",
        "",
        "Replicas of a workload that is autoscaled or changed, wanted and ready.",
    );
    let moves = |w: &&WorkloadSeries| w.bounds.is_some() || w.points.iter().any(|p| p.at_us > result.load_start_us);
    for workload in result.workloads.iter().filter(moves) {
        for (state, ready) in [("desired", false), ("ready", true)] {
            for index in (0..windows.len()).filter(|index| scraped(*index)) {
                let end = result.load_start_us + (index as u64 + 1) * result.timeline.width_us;
                let n = if ready { told::ready_at(workload, end) } else { told::desired_at(workload, end) };
                out.sample_at("rehearse_replicas", &[("workload", &workload.workload), ("state", state)], n, at(index));
            }
        }
    }
    out.ended()
}

/// A cause as a label's value.
fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::None => "ok",
        Cause::Limited => "limited",
        Cause::ServerError => "server_error",
        Cause::ClientError => "client_error",
        Cause::Gateway => "gateway",
        Cause::Refused => "refused",
        Cause::Reset => "reset",
        Cause::Timeout => "timeout",
        Cause::NotSent => "not_sent",
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

    fn sample_at(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display, at_s: f64) {
        self.begin(name, labels);
        writeln!(self.text, " {value} {at_s:.3}").expect("writing to a string");
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
            for text in [metrics(&told(kind)), series(&result(kind), 1.7e9)] {
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

    /// Prometheus' own parser of `OpenMetrics` takes both files, and its database has what they say.
    #[test]
    fn prometheus_reads_what_is_written() {
        if !testing::needs("prometheus_reads_what_is_written", testing::Need::Promtool) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for kind in EVERY {
            // The database wants an instant with each sample, which a scrape would bring.
            let stamped =
                |line: &str| if line.starts_with('#') { line.to_owned() } else { format!("{line} 1700000060.000") };
            let whole = metrics(&told(kind)).lines().map(|line| stamped(line) + "\n").collect::<String>();
            for (name, text) in [("metrics", whole), ("series", series(&result(kind), 1.7e9))] {
                let (file, blocks) =
                    (folder.path().join(format!("{kind:?}-{name}.om")), folder.path().join(format!("{kind:?}-{name}")));
                std::fs::write(&file, &text).unwrap();
                let promtool = |args: &[&std::ffi::OsStr]| {
                    std::process::Command::new("promtool").args(["tsdb"]).args(args).output().unwrap()
                };
                let made =
                    promtool(&["create-blocks-from".as_ref(), "openmetrics".as_ref(), file.as_ref(), blocks.as_ref()]);
                assert!(made.status.success(), "{kind:?} {name}: {}", String::from_utf8_lossy(&made.stderr));
                let samples = text.lines().filter(|line| !line.starts_with('#')).count();
                // It prints a line for each block, with the number of its samples as the fifth word.
                let told = String::from_utf8_lossy(&made.stdout).into_owned();
                let of_block = |line: &str| line.split_whitespace().nth(4)?.parse::<usize>().ok();
                assert_eq!(told.lines().filter_map(of_block).sum::<usize>(), samples, "{kind:?} {name}: {told}");
            }
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
