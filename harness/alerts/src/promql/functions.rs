//! `PromQL`'s functions: their signatures, and what the plain ones compute. After `promql/functions.go`.

use super::ast::Type;
use super::eval::Release;

/// A function's signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Type],
    /// How many of the last may be left out.
    pub(super) optional: usize,
    /// Whether the last may be repeated.
    pub(super) variadic: bool,
    pub(super) returns: Type,
}

use Type::{Matrix as M, Scalar as S, Text as T, Vector as V};

const fn function(name: &'static str, arguments: &'static [Type], returns: Type) -> Function {
    Function { name, arguments, optional: 0, variadic: false, returns }
}

const FUNCTIONS: &[Function] = &[
    function("abs", &[V], V),
    function("absent", &[V], V),
    function("absent_over_time", &[M], V),
    function("avg_over_time", &[M], V),
    function("ceil", &[V], V),
    function("changes", &[M], V),
    function("clamp", &[V, S, S], V),
    function("clamp_max", &[V, S], V),
    function("clamp_min", &[V, S], V),
    function("count_over_time", &[M], V),
    function("delta", &[M], V),
    function("deriv", &[M], V),
    function("exp", &[V], V),
    function("floor", &[V], V),
    function("histogram_quantile", &[S, V], V),
    function("idelta", &[M], V),
    function("increase", &[M], V),
    function("irate", &[M], V),
    Function { variadic: true, ..function("label_join", &[V, T, T, T], V) },
    function("label_replace", &[V, T, T, T, T], V),
    function("last_over_time", &[M], V),
    function("ln", &[V], V),
    function("log10", &[V], V),
    function("log2", &[V], V),
    function("max_over_time", &[M], V),
    function("min_over_time", &[M], V),
    function("predict_linear", &[M, S], V),
    function("present_over_time", &[M], V),
    function("quantile_over_time", &[S, M], V),
    function("rate", &[M], V),
    function("resets", &[M], V),
    Function { optional: 1, ..function("round", &[V, S], V) },
    function("scalar", &[V], S),
    function("sgn", &[V], V),
    function("sort", &[V], V),
    function("sort_desc", &[V], V),
    function("sqrt", &[V], V),
    function("stddev_over_time", &[M], V),
    function("stdvar_over_time", &[M], V),
    function("sum_over_time", &[M], V),
    function("time", &[], S),
    function("timestamp", &[V], V),
    function("vector", &[S], V),
];

/// What Prometheus knows besides. Named in errors, so that nobody looks for a typing mistake.
pub(super) const UNSUPPORTED: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
    "deg",
    "rad",
    "pi",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
    "holt_winters",
    "double_exponential_smoothing",
    "histogram_avg",
    "histogram_count",
    "histogram_sum",
    "histogram_fraction",
    "histogram_stddev",
    "histogram_stdvar",
    "mad_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "info",
    "ts_of_last_over_time",
    "ts_of_first_over_time",
    "first_over_time",
    "sort_by_label",
    "sort_by_label_desc",
    "limitk",
    "limit_ratio",
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// A function of one number.
pub(super) fn plain(name: &str, value: f64) -> Option<f64> {
    Some(match name {
        "abs" => value.abs(),
        "ceil" => value.ceil(),
        "exp" => libm::exp(value),
        "floor" => value.floor(),
        "ln" => libm::log(value),
        "log10" => libm::log10(value),
        "log2" => libm::log2(value),
        "sgn" if value < 0.0 => -1.0,
        "sgn" if value > 0.0 => 1.0,
        "sgn" => value,
        "sqrt" => value.sqrt(),
        _ => return None,
    })
}

/// The span that a range function looks at, milliseconds, and what it found there.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) samples: &'a [(i64, f64)],
}

/// A function of one range, for the samples of one series; there is at least one.
pub(super) fn over_time(name: &str, window: &Window<'_>, parameter: f64, now: i64, release: Release) -> Option<f64> {
    let samples = window.samples;
    let values = || samples.iter().map(|(_, value)| *value);
    let n = samples.len() as f64;
    Some(match name {
        "rate" => extrapolated(window, true, true, release)?,
        "increase" => extrapolated(window, true, false, release)?,
        "delta" => extrapolated(window, false, false, release)?,
        "irate" => instantaneous(samples, true)?,
        "idelta" => instantaneous(samples, false)?,
        "deriv" | "predict_linear" if samples.len() < 2 => return None,
        "deriv" => regression(samples, samples[0].0).0,
        "predict_linear" => {
            let (slope, intercept) = regression(samples, now);
            slope * parameter + intercept
        }
        "avg_over_time" => sum(values()) / n,
        "sum_over_time" => sum(values()),
        "count_over_time" => n,
        "min_over_time" => values().fold(f64::NAN, |least, v| if v < least || least.is_nan() { v } else { least }),
        "max_over_time" => values().fold(f64::NAN, |most, v| if v > most || most.is_nan() { v } else { most }),
        "last_over_time" => samples.last()?.1,
        "present_over_time" => 1.0,
        "stdvar_over_time" => variance(samples),
        "stddev_over_time" => variance(samples).sqrt(),
        "quantile_over_time" => super::quantile::of_values(parameter, values().collect()),
        "changes" => pairs(samples).filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count() as f64,
        "resets" => pairs(samples).filter(|(a, b)| b < a).count() as f64,
        _ => return None,
    })
}

fn pairs(samples: &[(i64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    samples.windows(2).map(|pair| (pair[0].1, pair[1].1))
}

/// The slope by the first and the last sample, counter resets made up for, carried on to the edges of the window if
/// samples begin or end near them (`extrapolatedRate`).
fn extrapolated(window: &Window<'_>, counter: bool, per_second: bool, release: Release) -> Option<f64> {
    let (first, last) = (window.samples.first()?, window.samples.last()?);
    if window.samples.len() < 2 {
        return None;
    }
    let mut result = last.1 - first.1;
    if counter {
        result += pairs(window.samples).filter(|(before, after)| after < before).map(|(before, _)| before).sum::<f64>();
    }
    let seconds = |ms: i64| ms as f64 / 1_000.0;
    let sampled = seconds(last.0 - first.0);
    let apart = sampled / (window.samples.len() - 1) as f64;
    let threshold = apart * 1.1;
    let (mut to_start, mut to_end) = (seconds(first.0 - window.start), seconds(window.end - last.0));
    // Until 2.51 a counter was bounded by its zero before it was held against the threshold, now it is the other way.
    let (zero_first, zero_last) = (release == Release::V2, release == Release::V3);
    // A counter is never negative: it began at zero at the earliest.
    let to_zero = if counter && result > 0.0 && first.1 >= 0.0 { sampled * (first.1 / result) } else { f64::INFINITY };
    if zero_first {
        to_start = to_start.min(to_zero);
    }
    if to_start >= threshold {
        to_start = apart / 2.0;
    }
    if zero_last {
        to_start = to_start.min(to_zero);
    }
    if to_end >= threshold {
        to_end = apart / 2.0;
    }
    let factor = (sampled + to_start + to_end) / sampled;
    Some(result * if per_second { factor / seconds(window.end - window.start) } else { factor })
}

/// By the last two samples (`instantValue`).
fn instantaneous(samples: &[(i64, f64)], rate: bool) -> Option<f64> {
    let [.., before, last] = samples else { return None };
    let change = if rate && last.1 < before.1 { last.1 } else { last.1 - before.1 };
    Some(if rate { change / ((last.0 - before.0) as f64 / 1_000.0) } else { change })
}

/// Least squares: slope a second, and the value at `origin` (`linearRegression`).
fn regression(samples: &[(i64, f64)], origin: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|(_, value)| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = samples.len() as f64;
    let x = |at: i64| (at - origin) as f64 / 1_000.0;
    let over = |f: &dyn Fn(f64, f64) -> f64| sum(samples.iter().map(|(at, value)| f(x(*at), *value)));
    let (x1, y1, xy, x2) = (over(&|x, _| x), over(&|_, y| y), over(&|x, y| x * y), over(&|x, _| x * x));
    let slope = (xy - x1 * y1 / n) / (x2 - x1 * x1 / n);
    (slope, y1 / n - slope * x1 / n)
}

fn variance(samples: &[(i64, f64)]) -> f64 {
    let n = samples.len() as f64;
    let mean = sum(samples.iter().map(|(_, value)| *value)) / n;
    sum(samples.iter().map(|(_, value)| (value - mean) * (value - mean))) / n
}

/// A sum with Kahan's and Neumaier's correction, as Prometheus sums over time.
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut correction) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        correction += if next.is_infinite() {
            0.0
        } else if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    if sum.is_infinite() { sum } else { sum + correction }
}
