//! Why there is no control plane, or none any more.

use std::io;
use std::path::PathBuf;

/// Why Kubernetes' own control plane cannot be had. None of them says anything about the platform, except
/// [`Self::Refused`].
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// A program is nowhere.
    #[error("{program} is not found: {looked}; {remedy}")]
    Missing {
        /// Which one.
        program: &'static str,
        /// Where it was looked for, in words.
        looked: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A program is there and does not run.
    #[error("{program} does not run")]
    Start {
        /// Which file.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A component ended while it was to start.
    #[error("{component} ended while it started ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which one.
        component: &'static str,
        /// How.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The API server does not become ready.
    #[error("the API server was not ready within {seconds} s; the end of its log:\n{log}")]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// The folder for certificates, data and logs cannot be kept.
    #[error("cannot keep the control plane's files in {}: set TMPDIR to a folder that can be written", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate for the control plane: {0}")]
    Certificate(String),
    /// A request to the API server failed.
    #[error("the API server does not {what}")]
    Api {
        /// What it was asked to do.
        what: String,
        /// What it says.
        source: Box<kube::Error>,
    },
    /// The API server refuses an object of the platform.
    #[error("the API server refuses {object}: {why}")]
    Refused {
        /// `Kind/name`.
        object: String,
        /// In its words.
        why: String,
    },
    /// The build of Kubernetes failed.
    #[error("Kubernetes cannot be built: {0}")]
    Build(String),
}

impl KubeError {
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }
}
