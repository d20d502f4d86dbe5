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
    #[error("`{command}` failed: {stderr}; run that command and correct the kustomization until it succeeds")]
    Kustomize {
        /// The command as a person would type it.
        command: String,
        /// What it said.
        stderr: String,
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
    /// An autoscaler names a Deployment that is not there.
    #[error("{place}: {object} scales Deployment/{target}, which is not among these manifests; {fix}")]
    UnknownTarget {
        /// Where.
        place: Place,
        /// The autoscaler as `Kind/name`.
        object: String,
        /// What it names.
        target: String,
        /// What to do, with the names that exist.
        fix: String,
    },
    /// There is nothing to stand up.
    #[error("{file} has no Deployment, so there is nothing to rehearse; check that it is the right path and overlay")]
    NoDeployment {
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
