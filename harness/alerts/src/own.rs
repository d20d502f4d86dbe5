//! The rehearsal itself as one more target: what its clients saw, beside what the platform's Prometheus scraped.
//!
//! Job `rehearse`: requests by what came of them, percentiles of the judged flow, replicas wanted and ready. A user's
//! rules may read them; the platform's cannot, for they are added after those were evaluated.

use std::collections::BTreeSet;

use record::{Cause, RunResult, Window, WorkloadSeries};

use crate::labels::{Labels, NAME};
use crate::store::Store;

/// Between two samples of a counter or of replicas, milliseconds: the platform's documented scrape interval.
const SCRAPE: i64 = 15_000;

/// Adds the rehearsal's own series of the load to what was scraped.
pub fn add_own(store: &mut Store, result: &RunResult) {
    let width = (result.timeline.width_us / 1_000).max(1) as i64;
    let load_start = (result.load_start_us / 1_000) as i64;
    let begun = result.load_end_us.saturating_sub(result.load_start_us).div_ceil(result.timeline.width_us.max(1));
    // Each with its end, when a counter tells what has come so far.
    let windows: Vec<(i64, &Window)> = (1..)
        .map(|nth: i64| load_start + nth * width)
        .zip(result.timeline.windows.iter().take(begun as usize))
        .collect();
    let every = (SCRAPE / width).max(1) as usize;
    let scraped = windows.iter().enumerate().filter(|(index, _)| (index + 1).is_multiple_of(every));
    let scraped: BTreeSet<i64> = scraped.map(|(_, (at, _))| *at).collect();

    let mut so_far = [Cause::None].into_iter().chain(Cause::ALL).map(|cause| (cause, 0)).collect::<Vec<_>>();
    for (at, window) in &windows {
        for (cause, sum) in &mut so_far {
            *sum +=
                if *cause == Cause::None { window.succeeded } else { window.failed.get(cause).copied().unwrap_or(0) };
            if scraped.contains(at) {
                store.push(&labels("rehearse_requests_total", &[("outcome", cause.name())]), *at, *sum as f64);
            }
        }
        for (quantile, us) in [("0.5", window.p50_us), ("0.95", window.p95_us), ("0.99", window.p99_us)] {
            if us > 0 {
                let labels = labels("rehearse_flow_response_quantile_seconds", &[("quantile", quantile)]);
                store.push(&labels, *at, us as f64 / 1e6);
            }
        }
    }
    let moves = |w: &&WorkloadSeries| w.bounds.is_some() || w.points.iter().any(|p| p.at_us > result.load_start_us);
    for workload in result.workloads.iter().filter(moves) {
        for at in &scraped {
            let then = workload.points.iter().take_while(|point| (point.at_us / 1_000) as i64 <= *at).last();
            let (desired, ready) = then.map_or((0, 0), |point| (point.desired, point.ready));
            for (state, n) in [("desired", desired), ("ready", ready)] {
                let of = [("workload", workload.workload.as_str()), ("state", state)];
                store.push(&labels("rehearse_replicas", &of), *at, f64::from(n));
            }
        }
    }
}

/// The job of the rehearsal's own series.
pub const OWN_JOB: &str = "rehearse";

fn labels(name: &str, more: &[(&str, &str)]) -> Labels {
    [(NAME, name), ("job", OWN_JOB)].into_iter().chain(more.iter().copied()).collect()
}
