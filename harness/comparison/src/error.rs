//! Why something could not be compared or kept.

use std::io;
use std::path::PathBuf;

/// Each names the file and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// A file of a run folder is missing or unreadable.
    #[error(transparent)]
    Folder(#[from] record::FolderError),
    /// The interval log is not what HdrHistogram writes.
    #[error("{path} is no HdrHistogram interval log: it was cut off or edited")]
    Log {
        /// Which file.
        path: PathBuf,
    },
    /// A file of the history could not be read or written.
    #[error("cannot {what} {path}")]
    History {
        /// `read` or `write`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record of the history is no JSON of ours.
    #[error("{path} is no record of a run: move it out of the history")]
    Record {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A record was written by a version that this one does not know.
    #[error("{path} was written by a newer version of rehearse ({schema}): use that version")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What it says it is.
        schema: String,
    },
    /// A record is kept under that name already: nothing is ever overwritten.
    #[error("{path} is kept already: a run enters its history once")]
    Twice {
        /// Which file.
        path: PathBuf,
    },
    /// A record would be larger than the history allows.
    #[error("the record of {run} has {bytes} bytes, and {most} is the most: too many steps")]
    TooLarge {
        /// Which run.
        run: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// There is nothing to accept.
    #[error(
        "{path} did not pass ({conclusion}): a baseline is a run that others are held against; pass `--even-so` to accept it all the same"
    )]
    NotPassed {
        /// The run folder.
        path: PathBuf,
        /// How it ended.
        conclusion: String,
    },
}
