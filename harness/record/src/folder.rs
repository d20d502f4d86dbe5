//! The run folder on disk. Written as the run goes, so that a kill loses little.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Asked, Environment, Event, Observation, ObservationError, RunResult};

/// Why the run folder could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder could not be made.
    #[error("cannot make the run folder {path}")]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; a full disk is the usual reason.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run that writes the folder is still under way.
    #[error("the run in {path} is still under way: wait for its end, or interrupt it")]
    UnderWay {
        /// Which folder.
        path: PathBuf,
    },
    /// What was observed is not what this version writes.
    #[error("observations.bin is not what this version of rehearse writes")]
    Frame {
        /// Why.
        source: ObservationError,
    },
    /// A file is not what this version expects.
    #[error("{path} is not what this version of rehearse writes")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// An open run folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    events: BufWriter<File>,
}

const EVENTS: &str = "events.jsonl";
/// Every observation as the driver framed it, until `result.json` says it all.
const OBSERVATIONS: &str = "observations.bin";
/// What was known when the run began, likewise.
const BEGUN: &str = "begun.json";

impl RunFolder {
    /// Makes a new folder `parent/name`, or `parent/name-2`, `-3`, … if that exists, and writes `run.json`.
    pub fn create(parent: &Path, name: &str, asked: &Asked) -> Result<Self, FolderError> {
        fs::create_dir_all(parent).map_err(|source| FolderError::Create { path: parent.into(), source })?;
        let mut attempt = 1;
        let path = loop {
            let path = parent.join(if attempt == 1 { name.to_owned() } else { format!("{name}-{attempt}") });
            match fs::create_dir(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
                Err(source) => return Err(FolderError::Create { path, source }),
            }
        };
        let file = path.join(EVENTS);
        let events = File::create(&file).map_err(|source| FolderError::Write { path: file, source })?;
        // Held until the process ends, however it ends: whoever finishes an interrupted run knows that nobody writes.
        // A file system that knows no locks has no such guard.
        events.try_lock().ok();
        let folder = Self { path, events: BufWriter::new(events) };
        folder.write_json("run.json", asked)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one event and flushes it.
    pub fn event(&mut self, event: &Event) -> Result<(), FolderError> {
        let line = serde_json::to_string(event).expect("an event has only text keys");
        writeln!(self.events, "{line}")
            .and_then(|()| self.events.flush())
            .map_err(|source| FolderError::Write { path: self.path.join(EVENTS), source })
    }

    /// Writes `begun.json`: what is needed to tell the run if it never ends by itself.
    pub fn begun(&self, begun: &impl Serialize) -> Result<(), FolderError> {
        self.write_json(BEGUN, begun)
    }

    /// Opens a file that grows as the run goes on.
    pub fn growing(&self, name: &str) -> Result<File, FolderError> {
        let path = self.path.join(name);
        File::options().create(true).append(true).open(&path).map_err(|source| FolderError::Write { path, source })
    }

    /// Opens `observations.bin`, likewise.
    pub fn observations(&self) -> Result<File, FolderError> {
        self.growing(OBSERVATIONS)
    }

    /// Writes `result.json`. What was kept in case that it is never written goes.
    pub fn result(&self, result: &RunResult) -> Result<(), FolderError> {
        self.write_json("result.json", result)?;
        for name in [OBSERVATIONS, BEGUN] {
            fs::remove_file(self.path.join(name)).ok(); // of no use any more, and of no harm
        }
        Ok(())
    }

    /// Opens the folder of a run that was cut off, to finish it. `None`: it has a result, or never had what is needed.
    pub fn interrupted(path: &Path) -> Result<Option<Unfinished>, FolderError> {
        if path.join("result.json").exists() || !path.join(BEGUN).exists() {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = path.join(name);
            fs::read(&path).map_err(|source| FolderError::Read { path, source })
        };
        let frames = read(OBSERVATIONS).unwrap_or_default(); // none: killed before load began
        let lines = read(EVENTS)?;
        let file = path.join(EVENTS);
        let events = File::options().append(true).open(&file);
        let events = events.map_err(|source| FolderError::Write { path: file, source })?;
        if matches!(events.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(FolderError::UnderWay { path: path.into() });
        }
        // The last line may be half written, and so may the last frame.
        let events_kept =
            String::from_utf8_lossy(&lines).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let frames = frames.chunks_exact(Observation::FRAME).map(|frame| {
            let frame = frame.first_chunk().expect("a chunk has a frame's length");
            Observation::decode(frame)
        });
        let observations = frames.collect::<Result<_, _>>().map_err(|source| FolderError::Frame { source })?;
        Ok(Some(Unfinished {
            folder: Self { path: path.into(), events: BufWriter::new(events) },
            events: events_kept,
            observations,
        }))
    }

    /// Reads `begun.json` of the run folder at `path`.
    pub fn read_begun<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
        Self::read_json(path, BEGUN)
    }

    /// Writes `environment.json`.
    pub fn environment(&self, environment: &Environment) -> Result<(), FolderError> {
        self.write_json("environment.json", environment)
    }

    /// Writes any other file of the folder, such as `report.html`.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<PathBuf, FolderError> {
        write_whole(&self.path.join(name), contents)
    }

    /// Writes a JSON file of the folder.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let mut text = serde_json::to_vec_pretty(value).expect("the contract's types have only text keys");
        text.push(b'\n');
        self.write(name, &text).map(drop)
    }

    /// Adds a JSON file to a folder that is not open, such as one of a run that has ended.
    pub fn add_json(path: &Path, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let mut text = serde_json::to_vec_pretty(value).expect("the contract's types have only text keys");
        text.push(b'\n');
        write_whole(&path.join(name), &text).map(drop)
    }

    /// Reads a JSON file of the run folder at `path`.
    pub fn read_json<T: DeserializeOwned>(path: &Path, name: &str) -> Result<T, FolderError> {
        let path = path.join(name);
        let text = fs::read(&path).map_err(|source| FolderError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| FolderError::Parse { path, source })
    }
}

/// A run that was cut off, and what it left.
#[derive(Debug)]
pub struct Unfinished {
    /// Its folder, open for what is still to be written.
    pub folder: RunFolder,
    /// Its events.
    pub events: Vec<Event>,
    /// What was observed.
    pub observations: Vec<Observation>,
}

/// Writes beside the target and renames, so that a reader never meets half a file.
fn write_whole(path: &Path, contents: &[u8]) -> Result<PathBuf, FolderError> {
    let beside = path.with_extension("part");
    match fs::write(&beside, contents).and_then(|()| fs::rename(&beside, path)) {
        Ok(()) => Ok(path.into()),
        Err(source) => {
            fs::remove_file(&beside).ok(); // half a file is of no use to anybody
            Err(FolderError::Write { path: path.into(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventKind, PlatformStamp};

    fn asked() -> Asked {
        Asked {
            schema: "rehearse/run/v1".into(),
            version: "0".into(),
            command: "rehearse run smoke".into(),
            scenario: "smoke".into(),
            backend: "embedded".into(),
            seed: units::Seed::new(1),
            platform: PlatformStamp::default(),
            nodes: vec![],
        }
    }

    #[test]
    fn a_second_run_of_the_same_name_gets_its_own_folder() {
        let parent = tempfile::tempdir().unwrap();
        let asked = asked();
        let first = RunFolder::create(parent.path(), "smoke", &asked).unwrap();
        let mut second = RunFolder::create(parent.path(), "smoke", &asked).unwrap();
        assert_ne!(first.path(), second.path());
        second.event(&Event::new(units::Nanos::from_millis(5), EventKind::PlatformReady)).unwrap();
        let line = fs::read_to_string(second.path().join(EVENTS)).unwrap();
        assert_eq!(line, "{\"at_us\":5000,\"event\":\"platform-ready\"}\n");
        assert_eq!(RunFolder::read_json::<Asked>(second.path(), "run.json").unwrap(), asked);
    }

    #[test]
    fn a_run_that_was_cut_off_is_opened_again_but_not_while_it_is_under_way() {
        let parent = tempfile::tempdir().unwrap();
        let asked = asked();
        let mut folder = RunFolder::create(parent.path(), "smoke", &asked).unwrap();
        let path = folder.path().to_owned();
        assert!(RunFolder::interrupted(&path).unwrap().is_none(), "nothing to finish");
        folder.begun(&"what was known").unwrap();
        folder.event(&Event::new(units::Nanos::from_millis(5), EventKind::PlatformReady)).unwrap();
        let seen = Observation { arrival: 7, ..Observation::default() };
        folder.observations().unwrap().write_all(&[seen.encode().as_slice(), &[1; 20]].concat()).unwrap();
        assert!(matches!(RunFolder::interrupted(&path), Err(FolderError::UnderWay { .. })));
        folder.events.get_mut().write_all(b"{\"at_us\":6000,\"ev").unwrap(); // the kill comes in the middle of a line
        drop(folder);
        let unfinished = RunFolder::interrupted(&path).unwrap().unwrap();
        assert_eq!((unfinished.events.len(), unfinished.observations), (1, vec![seen]));
        assert_eq!(RunFolder::read_begun::<String>(&path).unwrap(), "what was known");
    }
}
