//! One autoscaler over a series of records: pods, samples, metrics and scales over time in, decisions out.
//!
//! Owns the format of a series ([`Record`], one JSON object a line) and its playing. The same records are what
//! `kind-config/oracle` feeds to Kubernetes' own controller, so both can be compared case by case.

mod labels;
mod play;
mod record;

pub use play::Synced;
pub use record::{
    Alike, ConditionRecord, ContainerRecord, CustomRecord, ExternalRecord, ObjectRecord, PhaseRecord, PodRecord,
    Record, Rival, SampleRecord, ScaleRecord, Scaled, Settings, TruthRecord, UsageRecord,
};

use platform::{Autoscaler, Workload};

use crate::ClusterConfig;

/// Instants beyond this are taken for a mistake, such as milliseconds since 1970.
const FARTHEST_SECS: f64 = 1e8;

/// A series, read and in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    file: String,
    records: Vec<(usize, Record)>,
}

/// Why a series cannot be played: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct SeriesError {
    /// The file as given.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// Reads the JSON of an autoscaler's new `spec`.
pub type ReadSpec<'a> = &'a dyn Fn(&serde_json::Value) -> Result<Autoscaler, String>;

impl Series {
    /// Reads JSON lines; empty lines are passed over. `file` names them in errors.
    pub fn read(text: &str, file: &str) -> Result<Self, SeriesError> {
        let mut records = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record = serde_json::from_str::<Record>(line);
            let record = record.map_err(|error| refused(file, index + 1, &in_words(&error)))?;
            records.push((index + 1, record));
        }
        Self::new(records, file)
    }

    /// From records that are at hand; they count as lines 1, 2 and so on.
    pub fn of(records: Vec<Record>, file: &str) -> Result<Self, SeriesError> {
        Self::new(records.into_iter().enumerate().map(|(index, record)| (index + 1, record)).collect(), file)
    }

    fn new(records: Vec<(usize, Record)>, file: &str) -> Result<Self, SeriesError> {
        if records.is_empty() {
            return Err(refused(file, 1, "there is no record: write e.g. {\"at\":0,\"scale\":{\"spec\":3}}"));
        }
        let mut latest = f64::NEG_INFINITY;
        for (line, record) in &records {
            if record.at.is_nan() || record.at.abs() > FARTHEST_SECS {
                let problem = format!("at: {} is no instant: write seconds from the creation", record.at);
                return Err(refused(file, *line, &problem));
            }
            if record.at < latest {
                let problem = format!("at: {} comes after {latest}: put the records in order of time", record.at);
                return Err(refused(file, *line, &problem));
            }
            latest = record.at;
        }
        Ok(Self { file: file.to_owned(), records })
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().map(|(_, record)| record)
    }

    /// Every sync of `declared` until the last record, and at least one. `target` lends its containers to pods that
    /// name none; `config` is what the series' settings do not say; `read` understands a new specification.
    pub fn play(
        &self,
        declared: &Autoscaler,
        target: Option<&Workload>,
        config: &ClusterConfig,
        read: ReadSpec<'_>,
    ) -> Result<Vec<Synced>, SeriesError> {
        play::play(self, declared, target, config, read)
    }

    fn refused(&self, line: usize, problem: &str) -> SeriesError {
        refused(&self.file, line, problem)
    }
}

fn refused(file: &str, line: usize, problem: &str) -> SeriesError {
    SeriesError { file: file.to_owned(), line, problem: problem.to_owned() }
}

/// The parser's message without its own idea of the line, which is always 1, and with the nearest name.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let told = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let mut quoted = told.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| told.starts_with("unknown ")) else {
        return format!("{told} (column {})", error.column());
    };
    let nearest = quoted.map(|known| (strsim::jaro_winkler(&unknown.to_lowercase(), &known.to_lowercase()), known));
    match nearest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, nearest)) => format!("{told}; did you mean `{nearest}`?"),
        None => told,
    }
}

#[cfg(test)]
mod tests;
