//! Whether a run can be believed: was its load what the plan asked for, and on time?

use record::{Check, Recording};
use units::Nanos;

/// Lag that is small against the tightest limit moves no verdict.
const LAG_SHARE: u64 = 50; // 2 %

/// How far the count of requests under way may be from arrivals × time.
const LITTLE_SHARE: f64 = 0.05;
/// Fewer counts than this say nothing.
const LITTLE_COUNTS: u64 = 400;

/// Little's law, L = λW: requests counted at the instants of an even grid against the histograms that verdicts are
/// read from. They differ if the recorder lost or misplaced something. Source: Little, Operations Research 9 (1961).
fn little(recording: &Recording) -> Option<Check> {
    if recording.in_flight < LITTLE_COUNTS {
        return None;
    }
    let counted_us = recording.in_flight as f64 * recording.grid.as_micros() as f64;
    let waited_us = recording.responded_us;
    let off = (counted_us - waited_us).abs() / counted_us;
    Some(Check {
        name: "Little's law: requests under way are arrivals times response".into(),
        ok: off <= LITTLE_SHARE,
        measured: format!("{:.1} % apart", off * 100.0),
        limit: format!("at most {:.0} %", LITTLE_SHARE * 100.0),
    })
}

/// How late requests may be sent, at the 99th percentile, where `tightest` is the tightest limit: what moves no verdict.
pub fn lag_allowed(tightest: Nanos) -> Nanos {
    tightest / LAG_SHARE
}

/// The checks that any stage's recording must pass. `tightest` is the smallest latency limit among the objectives.
pub fn validity(recording: &Recording, tightest: Nanos) -> Vec<Check> {
    let allowed = lag_allowed(tightest);
    let lag = if recording.lag.is_empty() { 0 } else { recording.lag.value_at_quantile(0.99) };
    let ms = |us: u64| format!("{:.1} ms", us as f64 / 1e3);
    let mut checks = vec![
        Check {
            name: "requests were due".into(),
            ok: recording.offered > 0,
            measured: recording.offered.to_string(),
            limit: "at least 1".into(),
        },
        Check {
            name: "the driver kept its schedule, lag p99".into(),
            ok: lag <= allowed.as_micros(),
            measured: ms(lag),
            limit: format!("{} (2 % of the tightest limit)", ms(allowed.as_micros())),
        },
        Check {
            name: "what was due was sent".into(),
            ok: recording.not_sent * 100 <= recording.offered,
            measured: format!("{} of {} not sent", recording.not_sent, recording.offered),
            limit: "at most 1 %".into(),
        },
    ];
    checks.extend(little(recording));
    checks
}
