//! Series as `OpenMetrics` text with their instants on the wall clock, which `promtool tsdb create-blocks-from
//! openmetrics` takes. Without types: Prometheus' database has none.
//!
//! The format has no mark for the end of a series. It is found again when the text is read: a series whose next sample
//! does not come when it is due ends there.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::labels::{Labels, NAME, escaped};
use crate::promql::number;
use crate::store::{STALE, Series, Store, is_stale};

/// Why a text is none of ours.
#[derive(Debug, thiserror::Error)]
pub enum OpenMetricsError {
    /// It cannot be read or unpacked.
    #[error("it is no gzip file")]
    Gzip(#[from] io::Error),
    /// A line is no sample.
    #[error("line {line} is no sample with a timestamp: {text}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// All series, by name and labels; marks are left out. `epoch` is the run's on the wall clock, milliseconds since 1970.
pub fn write(store: &Store, epoch: i64, to: &mut impl Write) -> io::Result<()> {
    let mut series: Vec<&Series> = store.series().iter().collect();
    series.sort_by_key(|series| (series.labels.name(), &series.labels));
    for series in series {
        let mut head = series.labels.name().to_owned();
        let mut brace = '{';
        for (name, value) in series.labels.iter().filter(|(name, _)| *name != NAME) {
            head.push(brace);
            head.push_str(&format!("{name}=\"{}\"", escaped(value)));
            brace = ',';
        }
        if brace == ',' {
            head.push('}');
        }
        for (at, value) in series.times.iter().zip(&series.values).filter(|(_, value)| !is_stale(**value)) {
            writeln!(to, "{head} {} {}", number(*value), (*at + epoch) as f64 / 1_000.0)?;
        }
    }
    to.write_all(b"# EOF\n")
}

/// The same, packed.
pub fn pack(store: &Store, epoch: i64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = write(store, epoch, &mut encoder).and_then(|()| encoder.finish());
    written.expect("memory takes whatever is written to it")
}

/// What [`pack`] packed.
pub fn unpack(packed: &[u8], epoch: i64, interval: i64) -> Result<Store, OpenMetricsError> {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text)?;
    read(&text, epoch, interval)
}

/// Reads a text whose run began at `epoch`. A series with one sample is taken to be scraped every `interval` milliseconds.
pub fn read(text: &str, epoch: i64, interval: i64) -> Result<Store, OpenMetricsError> {
    let mut store = Store::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = || OpenMetricsError::Line { line: index + 1, text: line.chars().take(120).collect() };
        let (labels, at, value) = sample(line).ok_or_else(wrong)?;
        let at = at - epoch;
        let series = store.index(&labels);
        if store.at(series).times.last().is_some_and(|last| *last >= at) {
            return Err(wrong());
        }
        store.at(series).push(at, value);
    }
    let end = store.series().iter().filter_map(|series| series.times.last()).max().copied().unwrap_or(0);
    Ok(store.series().iter().map(|series| with_marks(series, interval, end)).collect())
}

fn sample(line: &str) -> Option<(Labels, i64, f64)> {
    let open = line.find(['{', ' '])?;
    let mut labels: Labels = [(NAME, &line[..open])].into_iter().collect();
    let mut rest = &line[open..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (name, after) = rest.split_once("=\"")?;
            let (value, length) = unescaped(after)?;
            labels.set(name, value);
            rest = &after[length..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let mut words = rest.split_whitespace();
    let (value, at): (&str, f64) = (words.next()?, words.next()?.parse().ok()?);
    let value = crate::promql::bucket_edge(value).or_else(|| (value == "-Inf").then_some(f64::NEG_INFINITY))?;
    Some((labels, (at * 1_000.0).round() as i64, value))
}

/// A quoted value up to its quote, and how long it was with it.
fn unescaped(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    None
}

/// Puts a mark where a sample was due and did not come.
fn with_marks(series: &Series, interval: i64, end: i64) -> Series {
    let apart = series.times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(interval);
    let mut marked = Series::new(series.labels.clone());
    for (index, (at, value)) in series.times.iter().zip(&series.values).enumerate() {
        marked.push(*at, *value);
        let due = at + apart;
        if series.times.get(index + 1).copied().unwrap_or(end + 1) > due && due <= end {
            marked.push(due, STALE);
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_with_its_ends() {
        let mut store = Store::default();
        let up: Labels = [(NAME, "up"), ("job", "a\"b\\c\nd")].into_iter().collect();
        let other: Labels = [(NAME, "other")].into_iter().collect();
        for (at, value) in
            [(3_000, 1.0), (18_000, 0.1 + 0.2), (33_000, STALE), (63_000, f64::INFINITY), (78_000, STALE)]
        {
            store.push(&up, at, value);
        }
        (0..8).for_each(|nth| store.push(&other, nth * 15_000, nth as f64));
        let mut text = Vec::new();
        write(&store, 3_600_000, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("other 1 3615\n") && text.ends_with("# EOF\n"), "{text}");
        let again = unpack(&pack(&store, 3_600_000), 3_600_000, 15_000).unwrap();
        let of = |store: &Store, labels: &Labels| -> Vec<(i64, u64)> {
            let series = store.series().iter().find(|series| series.labels == *labels).unwrap();
            series.times.iter().copied().zip(series.values.iter().map(|value| value.to_bits())).collect()
        };
        for labels in [&up, &other] {
            assert_eq!(of(&store, labels), of(&again, labels), "{labels}");
        }
    }

    #[test]
    fn what_is_no_sample_is_refused_with_its_line() {
        let error = read("up 1 15\nup one 30\n", 0, 15_000).unwrap_err();
        assert!(error.to_string().starts_with("line 2 is no sample"), "{error}");
        assert!(read("up 1 15\nup 1 15\n", 0, 15_000).is_err(), "the same instant twice");
    }
}
