//! Histograms of microseconds.

use hdrhistogram::Histogram;

/// Three significant digits, growing as values come.
pub(crate) fn histogram() -> Histogram<u32> {
    Histogram::new(3).expect("3 digits are valid")
}

/// Records `us`, growing the histogram as needed (`saturating_record` would clamp to its present size instead).
pub(crate) fn record(histogram: &mut Histogram<u32>, us: u64) {
    const LONGEST: u64 = 24 * 3_600_000_000;
    histogram.record(us.min(LONGEST)).expect("an auto-resizing histogram takes a day");
}
