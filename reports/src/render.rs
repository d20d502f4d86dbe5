//! Reads a run folder and writes what people and tools read.

use std::path::{Path, PathBuf};
use std::{fs, io};

use record::{FolderError, RunFolder};
use serde::de::DeserializeOwned;

use crate::told::{Baseline, Told};
use crate::{html, junit, openmetrics, summary};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// `report.html`.
    pub report: PathBuf,
    /// `summary.md`.
    pub summary: PathBuf,
    /// `junit.xml`.
    pub junit: PathBuf,
    /// `metrics.om`.
    pub metrics: PathBuf,
}

/// Why a run folder could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the folder is missing or is not ours.
    #[error("cannot tell the run in {folder}: is it a run folder that was finished?")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Which file, and why.
        source: FolderError,
    },
    /// A report could not be written; a full disk is the usual reason.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run has a text that XML cannot hold.
    #[error("cannot write {path} as XML")]
    Xml {
        /// Which.
        path: PathBuf,
        /// Why.
        source: quick_junit::SerializeError,
    },
}

/// Reads `run.json` and `result.json`, and `environment.json` and `twin.json` if they are there, and writes
/// `report.html`, `summary.md`, `junit.xml` and `metrics.om` beside them.
///
/// # Errors
/// If a file cannot be read, is of another version, or a report cannot be written.
pub fn render(folder: &Path) -> Result<Rendered, ReportError> {
    render_beside(folder, None)
}

/// The same, with the run in another folder drawn as its baseline.
///
/// # Errors
/// As [`render`], also for the other folder.
pub fn render_beside(folder: &Path, baseline: Option<&Path>) -> Result<Rendered, ReportError> {
    let told = Told {
        asked: read(folder, "run.json")?,
        result: read(folder, "result.json")?,
        environment: read_if_there(folder, "environment.json")?,
        twin: read_if_there(folder, "twin.json")?,
        baseline: baseline.map(earlier).transpose()?,
    };
    let report = write(folder, "report.html", &html::page(&told))?;
    let summary = write(folder, "summary.md", &summary::markdown(&told))?;
    let xml = junit::xml(&told).map_err(|source| ReportError::Xml { path: folder.join("junit.xml"), source })?;
    let junit = write(folder, "junit.xml", &xml)?;
    let metrics = write(folder, "metrics.om", &openmetrics::metrics(&told))?;
    Ok(Rendered { report, summary, junit, metrics })
}

/// A run to compare with; the name of its folder is what people call it by.
fn earlier(folder: &Path) -> Result<Baseline, ReportError> {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    Ok(Baseline { name, result: read(folder, "result.json")? })
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, ReportError> {
    RunFolder::read_json(folder, name).map_err(|source| ReportError::Folder { folder: folder.into(), source })
}

fn read_if_there<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, ReportError> {
    if folder.join(name).exists() { read(folder, name).map(Some) } else { Ok(None) }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, ReportError> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|source| ReportError::Write { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{EVERY, asked, result};

    #[test]
    fn every_kind_of_run_renders_from_its_folder() {
        let parent = tempfile::tempdir().unwrap();
        for kind in EVERY {
            let folder = RunFolder::create(parent.path(), &format!("{kind:?}"), &asked()).unwrap();
            folder.result(&result(kind)).unwrap();
            let rendered = render(folder.path()).unwrap();
            for path in [&rendered.report, &rendered.summary, &rendered.junit, &rendered.metrics] {
                assert!(fs::metadata(path).unwrap().len() > 200, "{kind:?}: {}", path.display());
            }
            let first = fs::read(&rendered.report).unwrap();
            render(folder.path()).unwrap();
            assert_eq!(first, fs::read(&rendered.report).unwrap(), "{kind:?}: the same twice");
        }
    }

    #[test]
    fn what_is_no_run_folder_says_so() {
        let empty = tempfile::tempdir().unwrap();
        let error = render(empty.path()).unwrap_err();
        assert!(error.to_string().contains("is it a run folder that was finished?"), "{error}");
        fs::write(empty.path().join("run.json"), "{}").unwrap();
        assert!(matches!(render(empty.path()), Err(ReportError::Folder { source: FolderError::Parse { .. }, .. })));
    }
}
