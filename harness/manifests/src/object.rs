//! One Kubernetes object: its identity, its raw document, and typed views of it whose errors name a line.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use platform::Place;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::ManifestError;
use crate::yaml::{Node, Step};

/// `List` inside `List` inside …: deeper than this is no manifest.
const LIST_DEPTH_MAX: u32 = 4;

/// An object as it was declared.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) place: Place,
    file: Rc<str>,
    document: Node,
}

/// `Kind/name`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// All objects of a list of files, each once.
pub(crate) fn collect(files: Vec<(Rc<str>, Vec<Node>)>) -> Result<Vec<Object>, ManifestError> {
    let mut objects = Vec::new();
    for (file, documents) in files {
        for document in documents {
            flatten(document, &file, 0, &mut objects)?;
        }
    }
    let mut seen = BTreeMap::new();
    for object in &objects {
        // Groups may share a kind (`Ingress` had two), versions of one group may not.
        let group = object.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let identity = (group, &object.kind, &object.namespace, &object.name);
        if let Some(first) = seen.insert(identity, &object.place) {
            return Err(ManifestError::Duplicate {
                object: object.to_string(),
                first: first.clone(),
                second: object.place.clone(),
            });
        }
    }
    Ok(objects)
}

fn flatten(document: Node, file: &Rc<str>, depth: u32, into: &mut Vec<Object>) -> Result<(), ManifestError> {
    let place = Place { file: file.to_string(), line: document.line };
    let text = |path: &[&str]| {
        let problem = match document.at(path) {
            Some(node) if node.text().is_some_and(|text| !text.is_empty()) => {
                return Ok(node.text().unwrap_or_default());
            }
            // YAML 1.1 takes `n` and `1` for other things than text, and so does kubectl.
            Some(_) => format!("has a {} that is no text (quote it)", path.join(".")),
            None => format!("has no {}", path.join(".")),
        };
        Err(ManifestError::NotAnObject { place: place.clone(), problem })
    };
    let kind = text(&["kind"])?.to_owned();
    let api_version = text(&["apiVersion"])?.to_owned();
    if kind == "List" && api_version == "v1" {
        if depth == LIST_DEPTH_MAX {
            return Err(ManifestError::NotAnObject { place, problem: "nests lists too deep".to_owned() });
        }
        let items = document.get("items").map(Node::elements).unwrap_or_default();
        return items.iter().try_for_each(|item| flatten(item.clone(), file, depth + 1, into));
    }
    let name = text(&["metadata", "name"])?.to_owned();
    let namespace = document.at(&["metadata", "namespace"]).and_then(Node::text).unwrap_or("default").to_owned();
    into.push(Object { api_version, kind, namespace, name, place, file: Rc::clone(file), document });
    Ok(())
}

impl Object {
    /// Kubernetes' own type for this object.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, ManifestError> {
        serde_path_to_error::deserialize(self.document.to_json()).map_err(|error| {
            let path = error.path();
            let place = Place { file: self.file.to_string(), line: self.document.line_of(steps(path)) };
            let field = if path.iter().len() == 0 { "the object".to_owned() } else { path.to_string() };
            self.refuse_at(place, field, &error.inner().to_string(), "write the type that Kubernetes documents there")
        })
    }

    /// An error about the field at `path`, which is written with dots and indices: `spec.ports[0].port`.
    pub(crate) fn refuse(&self, path: &str, problem: &str, fix: &str) -> ManifestError {
        self.refuse_at(self.place_of(path), path.to_owned(), problem, fix)
    }

    /// Where the field at `path` stands, or the deepest part of the path that exists.
    pub(crate) fn place_of(&self, path: &str) -> Place {
        let steps = path.split('.').flat_map(|part| {
            let mut pieces = part.split('[');
            let key = pieces.next().map(Step::Key);
            let indices = pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok()).map(Step::Index);
            key.into_iter().chain(indices)
        });
        Place { file: self.file.to_string(), line: self.document.line_of(steps) }
    }

    /// The raw document.
    pub(crate) fn document(&self) -> &Node {
        &self.document
    }

    /// A quantity of the resource list at `path`.
    pub(crate) fn quantity<T: FromStr<Err = units::ParseQuantityError>>(
        &self,
        list: Option<&BTreeMap<String, Quantity>>,
        resource: &str,
        path: &str,
    ) -> Result<Option<T>, ManifestError> {
        let Some(quantity) = list.and_then(|list| list.get(resource)) else { return Ok(None) };
        let parsed = quantity.0.parse().map_err(|error: units::ParseQuantityError| {
            self.refuse(&format!("{path}.{resource}"), &format!("`{}` is no quantity", quantity.0), &advice(&error))
        })?;
        Ok(Some(parsed))
    }

    /// A number that Kubernetes wants to be at least `least`.
    pub(crate) fn at_least(&self, path: &str, value: i32, least: u32) -> Result<u32, ManifestError> {
        u32::try_from(value).ok().filter(|value| *value >= least).ok_or_else(|| {
            self.refuse(path, &format!("{value} is below {least}"), &format!("write a whole number from {least} up"))
        })
    }

    fn refuse_at(&self, place: Place, field: String, problem: &str, fix: &str) -> ManifestError {
        ManifestError::Field {
            place,
            object: self.to_string().into(),
            field: field.into(),
            problem: problem.to_owned(),
            fix: fix.to_owned(),
        }
    }
}

/// The second half of the parser's message: how to write it.
fn advice(error: &units::ParseQuantityError) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.clone(), |(_, advice)| advice.to_owned())
}

fn steps(path: &Path) -> impl Iterator<Item = Step<'_>> {
    path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}
