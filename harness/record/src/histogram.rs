//! Histograms of microseconds.

use hdrhistogram::Histogram;

/// Three significant digits, growing as values come.
pub(crate) fn histogram() -> Histogram<u32> {
    Histogram::new(3).expect("3 digits are valid")
}

/// The same with room for values up to `us`, as a neighbour in time needed it: growing step by step costs more than
/// recording.
pub(crate) fn with_room(us: u64, digits: u8) -> Histogram<u32> {
    let mut histogram = Histogram::new_with_bounds(1, us.max(2), digits).expect("1 to 5 digits and a bound are valid");
    histogram.auto(true);
    histogram
}

/// Records `us`, growing the histogram as needed (`saturating_record` would clamp to its present size instead).
pub(crate) fn record(histogram: &mut Histogram<u32>, us: u64) {
    const LONGEST: u64 = 24 * 3_600_000_000;
    histogram.record(us.min(LONGEST)).expect("an auto-resizing histogram takes a day");
}
