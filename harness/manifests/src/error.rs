//! Why manifests cannot be rehearsed. Every message says what is wrong, where, and what to do about it.

use std::io;
use std::path::PathBuf;

use platform::Place;

use crate::nginx::NginxError;

/// Why [`crate::load`], [`crate::read`] or [`crate::load_nodes`] refused its input.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or directory cannot be read.
    #[error(
        "cannot read {path}: give a kustomization directory, a directory of YAML files, or one rendered file in UTF-8"
    )]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory has neither a kustomization nor YAML files.
    #[error(
        "{path} holds neither a kustomization.yaml, nor overlays/, nor YAML files: give the directory that does, or a \
         rendered file"
    )]
    NothingThere {
        /// The directory.
        path: PathBuf,
    },
    /// The overlay asked for does not exist.
    #[error("{source_name} has no overlay `{overlay}`: choose one of {}", known.join(", "))]
    NoSuchOverlay {
        /// The directory or `the built-in platform`.
        source_name: String,
        /// What was asked for.
        overlay: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Neither kustomize nor kubectl is on PATH.
    #[error(
        "{path} must be built by kustomize, and neither `kustomize` nor `kubectl` is on PATH: install one of them \
         (https://kubectl.docs.kubernetes.io/installation/), or render it elsewhere and give the rendered file"
    )]
    NoKustomize {
        /// The kustomization directory.
        path: PathBuf,
    },
    /// The build failed.
    #[error("`{command}` failed: {}; run that command and correct the kustomization until it succeeds", told(explained.as_deref(), stderr))]
    Kustomize {
        /// The command as a person would type it.
        command: String,
        /// What it said.
        stderr: String,
        /// The same in words, with the files and lines in question, where the message is a known one.
        explained: Option<String>,
        /// The first of those lines.
        place: Option<Place>,
    },
    /// A file is larger than anything that is read.
    #[error("{path} is larger than {} MiB; give fewer manifests at once", limit >> 20)]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// Bytes that are read at most.
        limit: u64,
    },
    /// A directory is a Helm chart.
    #[error(
        "{path} is a Helm chart, whose templates are no manifests yet; render it: helm template {path} | rehearse run --platform -"
    )]
    HelmChart {
        /// The chart's directory.
        path: PathBuf,
    },
    /// A revision cannot be had from git.
    #[error("cannot read {revision} from git: {problem}; write git:REV or git:REV:PATH, from within the repository")]
    Git {
        /// `git:REV[:PATH]` as given.
        revision: String,
        /// What git said.
        problem: String,
    },
    /// The text is no YAML, or is beyond the reader's budgets.
    #[error("{place}: {problem}; correct the YAML at that line")]
    Yaml {
        /// Where.
        place: Place,
        /// What the parser said.
        problem: String,
    },
    /// A document is no Kubernetes object.
    #[error("{place}: this document {problem}; a Kubernetes object needs apiVersion, kind and metadata.name")]
    NotAnObject {
        /// Where.
        place: Place,
        /// What it lacks.
        problem: String,
    },
    /// A field has a value that Kubernetes would refuse.
    #[error("{place}: {object}: {field}: {problem}; {fix}")]
    Field {
        /// Where.
        place: Place,
        /// `Kind/name`. Boxed like the field, since errors travel through every result.
        object: Box<str>,
        /// Path of the field, such as `spec.replicas`.
        field: Box<str>,
        /// What is wrong with its value.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// Two objects have the same kind, namespace and name.
    #[error("{second}: {object} was declared at {first} already; remove one of the two")]
    Duplicate {
        /// `Kind/name`.
        object: String,
        /// Where it came first.
        first: Place,
        /// Where it came again.
        second: Place,
    },
    /// There is nothing to stand up.
    #[error(
        "{file} has no workload (Deployment, StatefulSet, DaemonSet, Pod, Job or CronJob), so there is nothing to \
         rehearse; check that it is the right path and overlay"
    )]
    NoWorkload {
        /// What was read.
        file: String,
    },
    /// A nodes file without a node.
    #[error("{file} has no Node; write at least one v1/Node document with status.allocatable")]
    NoNode {
        /// What was read.
        file: String,
    },
    /// The gateway's configuration is refused.
    #[error(transparent)]
    Nginx(#[from] NginxError),
}

impl ManifestError {
    /// Where, for the errors that have a place.
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::Yaml { place, .. } | Self::NotAnObject { place, .. } | Self::Field { place, .. } => Some(place),
            Self::Duplicate { second, .. } => Some(second),
            Self::Nginx(error) => Some(error.place()),
            Self::Kustomize { place, .. } => place.as_ref(),
            Self::Read { .. }
            | Self::NothingThere { .. }
            | Self::NoSuchOverlay { .. }
            | Self::NoKustomize { .. }
            | Self::TooLarge { .. }
            | Self::HelmChart { .. }
            | Self::Git { .. }
            | Self::NoWorkload { .. }
            | Self::NoNode { .. } => None,
        }
    }
}

/// The words, then what the tool itself said: of a long chain the end, which tells the cause.
fn told(explained: Option<&str>, stderr: &str) -> String {
    const SAID_MAX: usize = 300;
    match explained {
        Some(words) => {
            let cut = stderr.char_indices().rev().nth(SAID_MAX).map_or(0, |(at, _)| at);
            let dots = if cut == 0 { "" } else { "… " };
            format!("{words} (it said: {dots}{})", &stderr[cut..])
        }
        None => stderr.to_owned(),
    }
}
