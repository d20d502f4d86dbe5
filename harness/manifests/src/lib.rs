//! Real Kubernetes manifests and nginx.conf, read into a [`Platform`].
//!
//! Owns the way from text to types: where manifests come from ([`Source`]), YAML whose values know their line, typed
//! views by Kubernetes' own types over the raw document ([`Object`]), and nginx's configuration language ([`nginx`]).
//! What is suspicious but legal is no error here, and what is not played is listed, never dropped in silence. Apart
//! from reading files and running kustomize and git it is a pure function of the text.

mod document;
mod error;
mod excerpt;
pub mod nginx;
mod nodes;
mod object;
mod source;
mod strict;
mod translate;
mod way_in;
mod yaml;

use std::path::Path;
use std::sync::Arc;

use platform::Platform;

pub use document::Document;
pub use error::ManifestError;
pub use excerpt::excerpt;
pub use object::Object;
pub use source::Source;
pub use source::tree::{Generator, GeneratorFile, Image, Kustomization, Patch, Replacement, Resource, Target, Tree};
pub use way_in::{WayIn, serves_http, way_in};

use source::{Fetched, Text};

/// Manifests, read and understood.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What they say.
    pub platform: Platform,
    /// What was read: `built-in` or the source as given.
    pub source: String,
    /// The overlay that was built; empty where the source has none.
    pub overlay: String,
    /// 12 hexadecimal digits that name the rendered text.
    pub digest: String,
    /// `built-in`, `kubectl kustomize (v5.5.0)`, `kustomize (v5.5.0)` or `read as is`.
    pub rendered_by: String,
    /// Every object that was read, each once, in the order of the text. Those that the platform does not model are
    /// among them.
    pub objects: Vec<Object>,
    /// The kustomization as it lies on the disk, where the source is one.
    pub tree: Option<Tree>,
    /// The texts that were read, by the name that places give them.
    texts: Vec<(Arc<str>, String)>,
}

/// Loads a platform, or tells the first thing that is wrong. `overlay` chooses among `DIR/overlays/*`; a source
/// without overlays ignores it.
pub fn load(source: &Source, overlay: &str) -> Result<Loaded, ManifestError> {
    let (loaded, errors) = load_all(source, overlay);
    errors.into_iter().next().map_or(Ok(loaded), Err)
}

/// Loads what can be loaded, and tells everything that is wrong with the rest: one broken object does not hide the
/// others. The platform is whole exactly if there is no error.
pub fn load_all(source: &Source, overlay: &str) -> (Loaded, Vec<ManifestError>) {
    match source::fetch(source, overlay) {
        Ok(fetched) => understood(fetched),
        Err(error) => (Loaded::default(), vec![error]),
    }
}

/// Reads rendered manifests that are at hand as text; `file` is the name that errors and places give.
///
/// ```
/// let error = manifests::read("kind: Deployment\n", "mine.yaml").unwrap_err();
/// assert!(error.to_string().starts_with("mine.yaml:1: this document has no apiVersion"));
/// ```
pub fn read(text: &str, file: &str) -> Result<Platform, ManifestError> {
    let (mut collected, name) = (object::Collected::default(), Arc::from(file));
    parse(text, &name, false, &mut collected);
    collected.drop_duplicates();
    let translated = translate::platform(&collected.objects, file);
    match collected.errors.into_iter().chain(translated.errors).next() {
        Some(error) => Err(error),
        None => Ok(translated.platform),
    }
}

/// Reads the HorizontalPodAutoscalers of a text, YAML or JSON, on their own: none of them has a target among workloads.
pub fn autoscalers(text: &str, file: &str) -> Result<Vec<platform::Autoscaler>, ManifestError> {
    let nothing = Platform::default();
    let objects = objects(text, file)?;
    let scalers = objects.iter().filter(|object| object.kind == "HorizontalPodAutoscaler");
    scalers.map(|object| translate::autoscaler::autoscaler(object, &nothing)).collect()
}

/// Reads nodes from a text of `v1/Node` documents; `name` is what errors call it.
pub fn nodes_of(text: &str, name: &str) -> Result<Vec<platform::Node>, ManifestError> {
    nodes::read(text, name)
}

/// Loads nodes from a file of `v1/Node` documents; `None` is the built-in default.
pub fn load_nodes(file: Option<&Path>) -> Result<Vec<platform::Node>, ManifestError> {
    match file {
        None => nodes::read(nodes::BUILT_IN, nodes::BUILT_IN_FILE),
        Some(path) => {
            let name = path.display().to_string();
            nodes::read(&source::read(path, &name)?, &name)
        }
    }
}

/// Loads the node groups that a nodes file declares beside its nodes (`kind: NodeGroup`, `apiVersion: rehearse/v1`). The
/// built-in default has none.
pub fn load_node_groups(file: Option<&Path>) -> Result<Vec<platform::NodeGroup>, ManifestError> {
    let Some(path) = file else { return Ok(Vec::new()) };
    let name = path.display().to_string();
    nodes::groups(&source::read(path, &name)?, &name)
}

fn understood(fetched: Fetched) -> (Loaded, Vec<ManifestError>) {
    let digest = source::digest(&fetched.files);
    let mut collected = object::Collected::default();
    let mut names = Vec::new();
    for Text { name, content, loose } in &fetched.files {
        let name: Arc<str> = Arc::from(name.as_str());
        parse(content, &name, *loose, &mut collected);
        names.push(name);
    }
    fetched.place(&mut collected.objects);
    collected.drop_duplicates();
    let mut translated = translate::platform(&collected.objects, &fetched.source);
    let listed = &mut translated.platform.not_rehearsed;
    listed.extend(collected.others.into_iter().chain(fetched.others));
    listed.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let errors = fetched.errors.into_iter().chain(collected.errors).chain(translated.errors).collect();
    let loaded = Loaded {
        platform: translated.platform,
        source: fetched.source,
        overlay: fetched.overlay,
        digest,
        rendered_by: fetched.rendered_by,
        objects: collected.objects,
        tree: fetched.tree,
        texts: names.into_iter().zip(fetched.files.into_iter().map(|file| file.content)).collect(),
    };
    (loaded, errors)
}

/// The objects of a text, errors included.
fn parse(text: &str, name: &Arc<str>, loose: bool, into: &mut object::Collected) {
    let stream = yaml::stream(text, name);
    into.errors.extend(stream.errors);
    into.add(stream.documents, name, loose);
}

fn objects(text: &str, file: &str) -> Result<Vec<Object>, ManifestError> {
    let mut collected = object::Collected::default();
    parse(text, &Arc::from(file), false, &mut collected);
    collected.drop_duplicates();
    collected.errors.into_iter().next().map_or(Ok(collected.objects), Err)
}
