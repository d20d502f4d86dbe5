//! One Kubernetes object: its identity, its raw document, and typed views of it whose errors name a line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use platform::Place;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::ManifestError;
use crate::document::Document;
use crate::yaml::{Node, Step};

/// `List` inside `List` inside …: deeper than this is no manifest.
const LIST_DEPTH_MAX: u32 = 4;

/// An object as it was declared.
#[derive(Clone, Debug)]
pub struct Object {
    /// `apiVersion`, such as `apps/v1`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`; `default` where it says none, also for what belongs to no namespace.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Where it stands: in its source file where kustomize tells which one that is, else in the rendered text.
    pub place: Place,
    /// The document as it is applied.
    document: Document,
    /// The document in the source file that kustomize read it from.
    origin: Option<Document>,
    /// Keys of a generated ConfigMap with the file that each was read from.
    files: Vec<(String, String)>,
}

/// `Kind/name`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// All objects of a list of files.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Each object once.
    pub(crate) objects: Vec<Object>,
    /// Documents that are no objects, where that is no error.
    pub(crate) others: Vec<(String, Place)>,
    /// What is wrong with the rest.
    pub(crate) errors: Vec<ManifestError>,
}

impl Collected {
    /// Adds the objects of a file. A `loose` one was found in a directory and not asked for by name: what is no object
    /// in it is listed, not refused.
    pub(crate) fn add(&mut self, documents: Vec<Node>, file: &Arc<str>, loose: bool) {
        for document in documents {
            if loose && document.get("apiVersion").is_none() && document.get("kind").is_none() {
                let place = Place { file: file.to_string(), line: document.line };
                self.others.push(("a document that is no Kubernetes object".to_owned(), place));
            } else if let Err(error) = flatten(document, file, None, 0, self) {
                self.errors.push(error);
            }
        }
    }

    /// Keeps the first of objects with the same group, kind, namespace and name.
    pub(crate) fn drop_duplicates(&mut self) {
        let mut seen = BTreeMap::new();
        let mut twice = Vec::new();
        for (index, object) in self.objects.iter().enumerate() {
            // Groups may share a kind (`Ingress` had two), versions of one group may not.
            let identity = (object.group(), &object.kind, &object.namespace, &object.name);
            match seen.get(&identity) {
                None => drop(seen.insert(identity, &object.place)),
                Some(first) => {
                    twice.push(index);
                    self.errors.push(ManifestError::Duplicate {
                        object: object.to_string(),
                        first: Place::clone(first),
                        second: object.place.clone(),
                    });
                }
            }
        }
        let mut index = 0;
        self.objects.retain(|_| {
            index += 1;
            twice.binary_search(&(index - 1)).is_err()
        });
    }
}

/// `of` is the kind and version that a typed list says for its elements.
fn flatten(
    document: Node,
    file: &Arc<str>,
    of: Option<(&str, &str)>,
    depth: u32,
    into: &mut Collected,
) -> Result<(), ManifestError> {
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
    let or = |path: &str, of: Option<&str>| match of {
        Some(of) if document.get(path).is_none() => Ok(of.to_owned()),
        _ => text(&[path]).map(str::to_owned),
    };
    let kind = or("kind", of.map(|(kind, _)| kind))?;
    let api_version = or("apiVersion", of.map(|(_, version)| version))?;
    if let Some(element) = kind.strip_suffix("List").filter(|_| document.at(&["metadata", "name"]).is_none()) {
        if depth == LIST_DEPTH_MAX {
            return Err(ManifestError::NotAnObject { place, problem: "nests lists too deep".to_owned() });
        }
        let of = (!element.is_empty()).then_some((element, api_version.as_str()));
        let Node { value, .. } = document;
        let crate::yaml::Value::Mapping(entries) = value else { return Ok(()) };
        let items = entries.into_iter().find(|(key, _)| **key == *"items").map(|(_, items)| items.value);
        if let Some(crate::yaml::Value::Sequence(items)) = items {
            for item in items {
                if let Err(error) = flatten(item, file, of, depth + 1, into) {
                    into.errors.push(error);
                }
            }
        }
        return Ok(());
    }
    let name = text(&["metadata", "name"]).map(str::to_owned).or_else(|error| {
        // Legal: the API server makes the rest of the name up.
        document.text_at(&["metadata", "generateName"]).map(str::to_owned).ok_or(error)
    })?;
    let namespace = document.text_at(&["metadata", "namespace"]).unwrap_or("default").to_owned();
    let document = Document::new(Arc::clone(file), document);
    into.objects.push(Object { api_version, kind, namespace, name, place, document, origin: None, files: Vec::new() });
    Ok(())
}

impl Object {
    /// The API group, empty for the core one.
    pub fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// The raw document as it is applied.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The document in the file that kustomize read the object from, before anything was patched.
    pub fn origin(&self) -> Option<&Document> {
        self.origin.as_ref()
    }

    /// The document as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        self.document.to_json()
    }

    /// Kubernetes' own type for this object. Fields it does not know are dropped: see [`Self::document`].
    pub fn typed<T: DeserializeOwned>(&self) -> Result<T, ManifestError> {
        self.typed_at("")
    }

    /// Kubernetes' own type for the part of the object at `path`; an absent part reads as an empty one.
    pub(crate) fn typed_at<T: DeserializeOwned>(&self, base: &str) -> Result<T, ManifestError> {
        let json = match self.document.find(base) {
            Some(node) => node.to_json(),
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        serde_path_to_error::deserialize(json).map_err(|error| {
            let mut path = base.to_owned();
            for segment in error.path() {
                let step = match segment {
                    Segment::Seq { index } => format!("[{index}]"),
                    Segment::Map { key } if key.contains('.') => format!("[\"{key}\"]"),
                    Segment::Map { key } if path.is_empty() => key.clone(),
                    Segment::Map { key } => format!(".{key}"),
                    Segment::Enum { .. } | Segment::Unknown => String::new(),
                };
                path.push_str(&step);
            }
            let fix = "write the type that Kubernetes documents there";
            if path.is_empty() {
                return self.refuse_at(self.place.clone(), "the object".to_owned(), &error.inner().to_string(), fix);
            }
            self.refuse(&path, &error.inner().to_string(), fix)
        })
    }

    /// An error about the field at `path`, which is written with dots and indices: `spec.ports[0].port`.
    pub(crate) fn refuse(&self, path: &str, problem: &str, fix: &str) -> ManifestError {
        self.refuse_at(self.place_of(path), path.to_owned(), problem, fix)
    }

    /// Where the field at `path` stands, or the deepest part of the path that exists. `spec.ports[0].port` and
    /// `metadata.annotations["a.b/c"]` are paths. A field that stands with the same value in the source file is told
    /// there; what a patch or a transformer made, in the rendered text.
    pub fn place_of(&self, path: &str) -> Place {
        let steps = crate::yaml::steps(path);
        self.origin
            .as_ref()
            .and_then(|origin| aligned(origin, self.document.root(), &steps))
            .unwrap_or_else(|| self.document.place_of(path))
    }

    pub(crate) fn set_origin(&mut self, origin: Document) {
        self.place = origin.place();
        self.origin = Some(origin);
    }

    /// What a generator made stands where the generator does, and each key in its file.
    pub(crate) fn set_generator(&mut self, place: Place, files: Vec<(String, String)>) {
        self.place = place;
        self.files = files;
    }

    /// The file that a generator read the text of `data`'s key from.
    pub fn file_of(&self, key: &str) -> Option<&str> {
        self.files.iter().find(|(name, _)| name == key).map(|(_, file)| file.as_str())
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
            let field =
                if resource.contains('.') { format!("{path}[\"{resource}\"]") } else { format!("{path}.{resource}") };
            self.refuse(&field, &format!("`{}` is no quantity", quantity.0), &advice(&error))
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

/// Where the value at `steps` stands in `origin`, if it is the value that is applied. Elements of a list are compared
/// by `name`, since patches may have changed their order.
fn aligned(origin: &Document, applied: &Node, steps: &[Step<'_>]) -> Option<Place> {
    let (mut there, mut here) = (origin.root(), applied);
    for step in steps {
        // A path may point at what is missing: then the deepest part that exists is told.
        let Some(next) = here.step(*step) else { break };
        let name = next.text_at(&["name"]).filter(|_| matches!(step, Step::Index(_)));
        there = match name {
            Some(name) => there.elements().iter().find(|element| element.text_at(&["name"]) == Some(name))?,
            None => there.step(*step)?,
        };
        here = next;
    }
    if let (crate::yaml::Value::Scalar(there), crate::yaml::Value::Scalar(here)) = (&there.value, &here.value)
        && there != here
    {
        return None;
    }
    Some(Place { file: origin.file().to_owned(), line: there.line })
}

/// The second half of the parser's message: how to write it.
fn advice(error: &units::ParseQuantityError) -> String {
    let text = error.to_string();
    text.rsplit_once(": ").map_or(text.clone(), |(_, advice)| advice.to_owned())
}
