//! Series in memory: what a Prometheus would have on its disk.

use std::collections::BTreeMap;

use crate::labels::{Labels, Matcher, NAME};

/// The NaN that marks the end of a series (`model/value/value.go`, `StaleNaN`). Every other NaN is a value.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value marks the end of its series.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// One series: values at instants in milliseconds since the run's epoch, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// When.
    pub times: Vec<i64>,
    /// What.
    pub values: Vec<f64>,
    /// How many earlier samples were forgotten.
    pub forgotten: u64,
}

impl Series {
    /// An empty one.
    pub const fn new(labels: Labels) -> Self {
        Self { labels, times: Vec::new(), values: Vec::new(), forgotten: 0 }
    }

    /// Appends a sample. One that is not later than the last is dropped, as Prometheus drops what two targets of the
    /// same labels show at the same instant.
    pub fn push(&mut self, at: i64, value: f64) {
        if self.times.last().is_none_or(|last| *last < at) {
            self.times.push(at);
            self.values.push(value);
        }
    }

    /// Whether its last sample is a value, not a mark.
    pub fn is_live(&self) -> bool {
        self.values.last().is_some_and(|value| !is_stale(*value))
    }

    /// The samples with `after < at <= until`, marks left out.
    pub(crate) fn within(&self, after: i64, until: i64) -> impl DoubleEndedIterator<Item = (i64, f64)> + Clone {
        let from = self.times.partition_point(|at| *at <= after);
        let to = self.times.partition_point(|at| *at <= until).max(from);
        let samples = self.times[from..to].iter().copied().zip(self.values[from..to].iter().copied());
        samples.filter(|(_, value)| !is_stale(*value))
    }

    /// The last sample with `after < at <= until`; none if it is a mark.
    pub(crate) fn last(&self, after: i64, until: i64) -> Option<(i64, f64)> {
        let index = self.times.partition_point(|at| *at <= until).checked_sub(1)?;
        let (at, value) = (self.times[index], self.values[index]);
        (at > after && !is_stale(value)).then_some((at, value))
    }
}

/// All series, each label set once.
#[derive(Clone, Debug, Default)]
pub struct Store {
    series: Vec<Series>,
    by_labels: BTreeMap<Labels, usize>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Store {
    /// Appends a sample to the series of these labels.
    pub fn push(&mut self, labels: &Labels, at: i64, value: f64) {
        let index = self.index(labels);
        self.series[index].push(at, value);
    }

    /// The place of the series of these labels, which is made if there is none.
    pub(crate) fn index(&mut self, labels: &Labels) -> usize {
        if let Some(index) = self.by_labels.get(labels) {
            return *index;
        }
        let index = self.series.len();
        self.by_name.entry(labels.name().to_owned()).or_default().push(index);
        self.by_labels.insert(labels.clone(), index);
        self.series.push(Series::new(labels.clone()));
        index
    }

    pub(crate) fn at(&mut self, index: usize) -> &mut Series {
        &mut self.series[index]
    }

    /// Forgets the samples before an instant. Their series stay.
    pub(crate) fn forget(&mut self, before: i64) {
        for series in &mut self.series {
            let old = series.times.partition_point(|at| *at < before);
            series.times.drain(..old);
            series.values.drain(..old);
            series.forgotten += old as u64;
        }
    }

    /// Without the series of some names.
    #[must_use]
    pub fn without(&self, unwanted: impl Fn(&str) -> bool) -> Self {
        self.series.iter().filter(|series| !unwanted(series.labels.name())).cloned().collect()
    }

    /// All series, in the order in which they were first seen.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Whether a metric of this name was ever seen.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The series that all matchers select.
    pub fn select<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a Series> {
        let named = matchers.iter().find(|m| m.label == NAME && matches!(m.compare, crate::labels::Compare::Equal));
        let (some, all) = match named {
            Some(name) => (self.by_name.get(&name.value).map_or(&[][..], Vec::as_slice), None),
            None => (&[][..], Some(&self.series)),
        };
        let series = some.iter().map(|index| &self.series[*index]).chain(all.into_iter().flatten());
        series.filter(|series| matchers.iter().all(|matcher| matcher.selects(&series.labels)))
    }
}

impl FromIterator<Series> for Store {
    fn from_iter<I: IntoIterator<Item = Series>>(all: I) -> Self {
        let mut store = Self::default();
        for series in all {
            let index = store.index(&series.labels);
            store.series[index] = series;
        }
        store
    }
}
