//! The values behind the panels, for reading off: one array per key, one value per window.

use record::{Cause, RunResult, Window, WorkloadSeries};

use crate::html::timeline::{burn, missing};
use crate::told;

/// JSON of figures only, so that no name of a run can end the script element.
pub(super) fn json(result: &RunResult, drawn: &[&WorkloadSeries]) -> String {
    let windows = told::under_load(result);
    let width = result.timeline.width_us;
    let rate = |n: u64| round(n as f64 * 1e6 / width.max(1) as f64, 1);
    let mut all: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    let mut add = |name: String, values: Vec<Option<f64>>| all.push((name, values));
    let each = |value: &dyn Fn(&Window) -> Option<f64>| windows.iter().map(value).collect::<Vec<_>>();
    let limited = |w: &Window| w.failed.get(&Cause::Limited).copied().unwrap_or(0);
    add("offered".into(), each(&|w| Some(rate(w.offered))));
    add("ok".into(), each(&|w| Some(rate(w.succeeded))));
    add("limited".into(), each(&|w| Some(rate(limited(w)))));
    add("failed".into(), each(&|w| Some(rate(w.failed.values().sum::<u64>() - limited(w)))));
    let ms =
        |us: u64| (us > 0).then(|| if us < 10_000 { round(us as f64 / 1e3, 1) } else { round(us as f64 / 1e3, 0) });
    add("p50".into(), each(&|w| ms(w.p50_us)));
    add("p95".into(), each(&|w| ms(w.p95_us)));
    add("p99".into(), each(&|w| ms(w.p99_us)));
    let middle = |index: usize| result.load_start_us + index as u64 * width + width / 2;
    let at_each =
        |value: &dyn Fn(u64) -> f64| (0..windows.len()).map(|index| Some(value(middle(index)))).collect::<Vec<_>>();
    for (index, workload) in drawn.iter().enumerate() {
        add(format!("ready{index}"), at_each(&|at| f64::from(told::ready_at(workload, at))));
        add(format!("desired{index}"), at_each(&|at| f64::from(told::desired_at(workload, at))));
        add(
            format!("needed{index}"),
            workload.needed_milli.iter().map(|n| Some(round(f64::from(*n) / 1e3, 1))).collect(),
        );
    }
    if told::pods_missing(result) {
        let steps = missing::steps(result);
        let at = |at: u64| f64::from(steps.iter().take_while(|(from, _)| *from <= at).last().map_or(0, |(_, n)| *n));
        add("missing".into(), at_each(&at));
    }
    let (short, long) = burn::spans(told::load_us(result));
    for (name, span) in [("burn0", short), ("burn1", long)] {
        add(name.into(), burn::burns(result, span).into_iter().map(|burn| burn.map(|burn| round(burn, 1))).collect());
    }
    let values = |values: &[Option<f64>]| {
        values
            .iter()
            .map(|value| value.map_or_else(|| "null".into(), |value| value.to_string()))
            .collect::<Vec<_>>()
            .join(",")
    };
    let series: Vec<String> = all.iter().map(|(name, all)| format!("\"{name}\":[{}]", values(all))).collect();
    format!("{{\"width\":{},\"load\":{},\"series\":{{{}}}}}", width, told::load_us(result), series.join(","))
}

fn round(value: f64, digits: i32) -> f64 {
    let factor = libm::pow(10.0, f64::from(digits));
    libm::round(value * factor) / factor
}
