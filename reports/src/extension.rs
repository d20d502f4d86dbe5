//! How much longer an undecided run would have to be.

use record::{Conclusion, Judgement, RunResult, Verdict};

/// What is needed is an estimate: with a quarter more, most runs decide.
const MARGIN: f64 = 1.25;

/// By which factor the steady phases of an undecided run would have to be longer, so that every objective that decides
/// is likely decided. `None` if the run is not undecided, or if a longer one would not help: what is judged window by
/// window gets more windows, not fuller ones.
///
/// The longer run is another one. Its length follows from what the first one saw, and its verdict does not; so each of
/// the two may make half of the error, whatever that length is.
pub fn extension(result: &RunResult) -> Option<f64> {
    if result.conclusion != Conclusion::Undecided {
        return None;
    }
    let factor = |v: &Verdict| {
        let more = v.more_needed.filter(|_| v.worst.is_none() && v.n > 0)?;
        Some((v.n + more) as f64 / v.n as f64)
    };
    let open = result.verdicts.iter().filter(|v| v.gating && v.judgement == Judgement::Undecided);
    let most = open.map(factor).try_fold(1.0_f64, |most, factor| Some(most.max(factor?)))?;
    Some(most * MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{EVERY, Kind, result};

    #[test]
    fn only_what_more_requests_would_settle_is_extended() {
        for kind in EVERY {
            // The empty run has no request to reckon with.
            assert_eq!(extension(&result(kind)).is_some(), matches!(kind, Kind::Undecided), "{kind:?}");
        }
        let mut open = result(Kind::Undecided);
        let v = &open.verdicts[0];
        let all = (v.n + v.more_needed.unwrap()) as f64 / v.n as f64;
        assert!((extension(&open).unwrap() - 1.25 * all).abs() < 1e-9);
        open.verdicts[0].more_needed = None;
        assert_eq!(extension(&open), None, "it sits on its limit");
    }
}
