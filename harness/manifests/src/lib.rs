//! Real Kubernetes manifests and nginx.conf, read into a [`Platform`].
//!
//! Owns the way from text to types: where manifests come from ([`Source`]), YAML whose values know their line, typed
//! views by Kubernetes' own types over the raw document, and nginx's configuration language ([`nginx`]). What is
//! suspicious but legal is no error here, and what is not played is listed, never dropped in silence. Apart from
//! reading files and running kustomize it is a pure function of the text.

mod error;
pub mod nginx;
mod nodes;
mod object;
mod source;
mod translate;
mod yaml;

use std::path::Path;
use std::rc::Rc;

use platform::Platform;

pub use error::ManifestError;
pub use source::Source;

/// Manifests, read and understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What they say.
    pub platform: Platform,
    /// What was read: `built-in` or the path as given.
    pub source: String,
    /// The overlay that was built; empty where the source has none.
    pub overlay: String,
    /// 12 hexadecimal digits that name the rendered text.
    pub digest: String,
    /// `built-in`, `kubectl kustomize (v5.5.0)`, `kustomize (v5.5.0)` or `read as is`.
    pub rendered_by: String,
}

/// Loads a platform. `overlay` chooses among `DIR/overlays/*`; a source without overlays ignores it.
pub fn load(source: &Source, overlay: &str) -> Result<Loaded, ManifestError> {
    let fetched = source::fetch(source, overlay)?;
    Ok(Loaded {
        platform: platform_of(&fetched.files, &fetched.source)?,
        source: fetched.source,
        overlay: fetched.overlay,
        digest: source::digest(&fetched.files),
        rendered_by: fetched.rendered_by,
    })
}

/// Reads rendered manifests that are at hand as text; `file` is the name that errors and places give.
///
/// ```
/// let error = manifests::read("kind: Deployment\n", "mine.yaml").unwrap_err();
/// assert!(error.to_string().starts_with("mine.yaml:1: this document has no apiVersion"));
/// ```
pub fn read(text: &str, file: &str) -> Result<Platform, ManifestError> {
    platform_of(&[(file.to_owned(), text.to_owned())], file)
}

/// Loads nodes from a file of `v1/Node` documents; `None` is the built-in default.
pub fn load_nodes(file: Option<&Path>) -> Result<Vec<platform::Node>, ManifestError> {
    match file {
        None => nodes::read(nodes::BUILT_IN, nodes::BUILT_IN_FILE),
        Some(path) => nodes::read(&source::read(path)?, &path.display().to_string()),
    }
}

fn platform_of(files: &[(String, String)], source: &str) -> Result<Platform, ManifestError> {
    translate::platform(&objects(files)?, source)
}

fn objects(files: &[(String, String)]) -> Result<Vec<object::Object>, ManifestError> {
    let parse = |(name, text): &(String, String)| Ok((Rc::from(name.as_str()), yaml::documents(text, name)?));
    object::collect(files.iter().map(parse).collect::<Result<_, ManifestError>>()?)
}
