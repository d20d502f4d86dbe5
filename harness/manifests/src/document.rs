//! A YAML document whose values know their line, for readers outside of this crate.

use std::sync::Arc;

use platform::Place;

use crate::yaml::{Node, steps};

/// One document of a file.
///
/// Paths are written with dots and indices: `spec.ports[0].port`; a key that has dots itself is quoted, as in
/// `metadata.annotations["a.b/c"]`.
#[derive(Clone, Debug)]
pub struct Document {
    file: Arc<str>,
    root: Node,
}

impl Document {
    pub(crate) fn new(file: Arc<str>, root: Node) -> Self {
        Self { file, root }
    }

    /// The file's name as places give it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        Place { file: self.file.to_string(), line: self.root.line }
    }

    /// Where the field at `path` stands, or the deepest part of the path that exists.
    pub fn place_of(&self, path: &str) -> Place {
        Place { file: self.file.to_string(), line: self.root.line_of(steps(path)) }
    }

    /// Whether there is something at `path`, be it null.
    pub fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// What is at `path`.
    pub fn get(&self, path: &str) -> Option<serde_json::Value> {
        self.find(path).map(Node::to_json)
    }

    /// The text at `path`; `None` where it is something else.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.find(path)?.text()
    }

    /// How many elements the sequence at `path` has; 0 for anything else.
    pub fn len_of(&self, path: &str) -> usize {
        self.find(path).map_or(0, |node| node.elements().len())
    }

    /// The keys of the mapping at `path` in their order; none for anything else.
    pub fn keys_of(&self, path: &str) -> impl Iterator<Item = &str> {
        self.find(path).into_iter().flat_map(|node| node.entries().iter().map(|(key, _)| &**key))
    }

    /// The whole document as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.root.to_json()
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Node> {
        steps(path).into_iter().try_fold(&self.root, |node, step| node.step(step))
    }

    /// The value at the end of a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Node> {
        self.root.at(path)
    }
}
