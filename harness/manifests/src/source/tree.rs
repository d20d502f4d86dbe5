//! A kustomization and all that it is made of, as it lies on the disk, before anything is built.
//!
//! For findings that the result no longer shows: which patch hits nothing, which blanket patch overwrites what files
//! declare, which generator replaces nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::Place;

use super::shown::{Shown, normal};
use crate::document::Document;
use crate::yaml::{self, Node};

/// Names that kustomize knows a kustomization by.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Kustomizations of one tree that are read; more is a circle that kustomize itself will refuse.
const KUSTOMIZATIONS_MAX: usize = 1_000;

/// The kustomizations of a build.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The root first, then what it is made of, each once.
    pub kustomizations: Vec<Kustomization>,
}

/// One `kustomization.yaml`.
#[derive(Clone, Debug)]
pub struct Kustomization {
    /// The file as places name it.
    pub file: String,
    /// The raw document.
    pub document: Document,
    /// Files under `resources` that are on this disk.
    pub resources: Vec<Resource>,
    /// `patches`, and the older `patchesStrategicMerge` and `patchesJson6902`.
    pub patches: Vec<Patch>,
    /// `configMapGenerator` and `secretGenerator`.
    pub generators: Vec<Generator>,
    /// Targets of `replacements`.
    pub replacements: Vec<Replacement>,
    /// `images`.
    pub images: Vec<Image>,
    /// `namespace`, with its place: all objects below are moved there.
    pub namespace: Option<(String, Place)>,
    /// Indices in [`Tree::kustomizations`] of the kustomizations under `resources`, `bases` and `components`.
    pub children: Vec<usize>,
    /// Entries that are fetched from elsewhere, which needs a network.
    pub remote: Vec<(String, Place)>,
}

/// A file of objects.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The file as places name it.
    pub file: String,
    /// Where the kustomization names it.
    pub place: Place,
    path: PathBuf,
}

impl Resource {
    /// Its documents; none where it cannot be read.
    pub fn documents(&self) -> Vec<Document> {
        super::origin::documents(&self.path, &self.file)
    }
}

/// A patch of a kustomization.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Where the kustomization has it.
    pub place: Place,
    /// `target`, where there is one. A strategic merge patch without one hits the object of its own kind and name.
    pub target: Option<Target>,
    /// The file it is in; `None`: it stands in the kustomization.
    pub file: Option<String>,
    /// What it says: objects in part, or a list of JSON 6902 operations. Empty where it cannot be read.
    pub documents: Vec<Document>,
}

/// `target` of a patch. Names and kinds are regular expressions; empty means any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `group`.
    pub group: String,
    /// `version`.
    pub version: String,
    /// `kind`.
    pub kind: String,
    /// `name`.
    pub name: String,
    /// `namespace`.
    pub namespace: String,
    /// `labelSelector`.
    pub label_selector: String,
    /// `annotationSelector`.
    pub annotation_selector: String,
}

impl Target {
    /// Whether it picks by kind at most, so that it hits objects nobody had in mind.
    pub fn is_blanket(&self) -> bool {
        let any = |text: &str| matches!(text, "" | ".*" | ".+");
        any(&self.name) && self.label_selector.is_empty() && self.annotation_selector.is_empty()
    }
}

/// An entry of `images`.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it stands.
    pub place: Place,
    /// The image that it changes.
    pub name: String,
    /// `newName`, where it gives another.
    pub new_name: Option<String>,
}

/// One entry under `targets` of a replacement.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Where it stands.
    pub place: Place,
    /// What it selects.
    pub target: Target,
    /// The fields that it writes.
    pub fields: Vec<String>,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Debug)]
pub struct Generator {
    /// `ConfigMap` or `Secret`.
    pub kind: String,
    /// Its name, without the hash.
    pub name: String,
    /// `behavior`; `create` where it says none.
    pub behavior: String,
    /// Files it takes in whole.
    pub files: Vec<GeneratorFile>,
    /// Where it stands.
    pub place: Place,
}

/// A file that becomes a key.
#[derive(Clone, Debug)]
pub struct GeneratorFile {
    /// The key.
    pub key: String,
    /// The file as places name it.
    pub name: String,
    pub(super) path: PathBuf,
}

/// The kustomization file of a directory.
pub(super) fn kustomization(directory: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

/// The tree below an absolute directory, as far as it can be read: what cannot, kustomize will tell.
pub(super) fn read(directory: &Path, shown: &Shown) -> Tree {
    let mut tree = Tree::default();
    let mut seen = BTreeSet::new();
    visit(directory, shown, &mut tree, &mut seen);
    tree
}

fn visit(directory: &Path, shown: &Shown, tree: &mut Tree, seen: &mut BTreeSet<PathBuf>) -> Option<usize> {
    let file = kustomization(directory)?;
    if !seen.insert(file.clone()) {
        let name = shown.of(&file);
        return tree.kustomizations.iter().position(|known| known.file == name);
    }
    if tree.kustomizations.len() == KUSTOMIZATIONS_MAX {
        return None;
    }
    let name = shown.of(&file);
    let text = super::read(&file, &name).ok()?;
    let root = yaml::stream(&text, &name).documents.into_iter().next()?;
    let index = tree.kustomizations.len();
    let reader = Reader { directory, shown, file: Arc::from(name.as_str()) };
    tree.kustomizations.push(Kustomization {
        file: name,
        resources: Vec::new(),
        patches: reader.patches(&root),
        generators: reader.generators(&root),
        replacements: reader.replacements(&root),
        images: reader.images(&root),
        namespace: root.get("namespace").and_then(|node| Some((node.text()?.to_owned(), reader.place(node)))),
        children: Vec::new(),
        remote: Vec::new(),
        document: Document::new(Arc::clone(&reader.file), root.clone()),
    });
    for entry in ["resources", "bases", "components"].iter().filter_map(|list| root.get(list)).flat_map(Node::elements)
    {
        let Some(text) = entry.text() else { continue };
        let place = reader.place(entry);
        let path = normal(&directory.join(text));
        let one = &mut tree.kustomizations[index];
        if path.is_dir() {
            let child = visit(&path, shown, tree, seen);
            tree.kustomizations[index].children.extend(child);
        } else if path.is_file() {
            one.resources.push(Resource { file: shown.of(&path), place, path });
        } else if is_remote(text) {
            one.remote.push((text.to_owned(), place));
        }
    }
    Some(index)
}

/// As kustomize tells a URL from a path: by scheme, by a known host, or by a query.
fn is_remote(text: &str) -> bool {
    text.contains("://") || text.contains("?ref=") || text.starts_with("git@") || text.starts_with("github.com/")
}

struct Reader<'a> {
    directory: &'a Path,
    shown: &'a Shown,
    file: Arc<str>,
}

impl Reader<'_> {
    fn place(&self, node: &Node) -> Place {
        Place { file: self.file.to_string(), line: node.line }
    }

    fn patches(&self, root: &Node) -> Vec<Patch> {
        let list = |name: &str| root.get(name).map(Node::elements).unwrap_or_default();
        let current = list("patches").iter().chain(list("patchesJson6902"));
        let mut all: Vec<_> = current.map(|entry| self.patch(entry)).collect();
        for entry in list("patchesStrategicMerge") {
            let Some(text) = entry.text() else { continue };
            // Either a file or the patch itself.
            let inline = text.contains('\n');
            all.push(self.patch_of(entry, None, (!inline).then_some(text), inline.then_some(entry)));
        }
        all
    }

    fn patch(&self, entry: &Node) -> Patch {
        let target = entry.get("target").map(target);
        self.patch_of(entry, target, entry.text_at(&["path"]), entry.get("patch"))
    }

    fn patch_of(&self, entry: &Node, target: Option<Target>, path: Option<&str>, inline: Option<&Node>) -> Patch {
        let place = self.place(entry);
        if let Some(path) = path {
            let path = normal(&self.directory.join(path));
            let file = self.shown.of(&path);
            let documents = super::origin::documents(&path, &file);
            return Patch { place, target, file: Some(file), documents };
        }
        let text = inline.and_then(Node::text).unwrap_or_default();
        // A block of text knows the line it begins at, so its lines are those of the kustomization.
        let above = "\n".repeat(inline.map_or(0, |node| node.line.saturating_sub(1) as usize));
        let stream = yaml::stream(&(above + text), &self.file);
        let documents = stream.documents.into_iter().map(|node| Document::new(Arc::clone(&self.file), node));
        Patch { place, target, file: None, documents: documents.collect() }
    }

    /// Entries stand in the kustomization, or one or several of them in a file of their own.
    fn replacements(&self, root: &Node) -> Vec<Replacement> {
        let mut all = Vec::new();
        for entry in root.get("replacements").map(Node::elements).unwrap_or_default() {
            let Some(path) = entry.text_at(&["path"]) else {
                all.extend(replaced(entry, &self.file));
                continue;
            };
            let path = normal(&self.directory.join(path));
            for document in super::origin::documents(&path, &self.shown.of(&path)) {
                let file = Arc::from(document.file());
                match document.root().elements() {
                    [] => all.extend(replaced(document.root(), &file)),
                    several => all.extend(several.iter().flat_map(|entry| replaced(entry, &file))),
                }
            }
        }
        all
    }

    fn images(&self, root: &Node) -> Vec<Image> {
        let entries = root.get("images").map(Node::elements).unwrap_or_default();
        let one = |entry: &Node| {
            let name = entry.text_at(&["name"])?.to_owned();
            let new_name = entry.text_at(&["newName"]).map(str::to_owned);
            Some(Image { place: self.place(entry), name, new_name })
        };
        entries.iter().filter_map(one).collect()
    }

    fn generators(&self, root: &Node) -> Vec<Generator> {
        let mut all = Vec::new();
        for (list, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            for entry in root.get(list).map(Node::elements).unwrap_or_default() {
                let files = entry.get("files").map(Node::elements).unwrap_or_default();
                let text = |key: &str| entry.text_at(&[key]).map(str::to_owned);
                all.push(Generator {
                    kind: kind.to_owned(),
                    name: text("name").unwrap_or_default(),
                    behavior: text("behavior").unwrap_or_else(|| "create".to_owned()),
                    files: files.iter().filter_map(|file| self.generator_file(file.text()?)).collect(),
                    place: self.place(entry),
                });
            }
        }
        all
    }

    /// `path`, or `key=path`.
    fn generator_file(&self, text: &str) -> Option<GeneratorFile> {
        let (key, path) = match text.split_once('=') {
            Some((key, path)) => (key.to_owned(), path),
            None => (Path::new(text).file_name()?.to_string_lossy().into_owned(), text),
        };
        let path = normal(&self.directory.join(path));
        Some(GeneratorFile { key, name: self.shown.of(&path), path })
    }
}

fn target(node: &Node) -> Target {
    let text = |key: &str| node.text_at(&[key]).unwrap_or_default().to_owned();
    Target {
        group: text("group"),
        version: text("version"),
        kind: text("kind"),
        name: text("name"),
        namespace: text("namespace"),
        label_selector: text("labelSelector"),
        annotation_selector: text("annotationSelector"),
    }
}

fn replaced(entry: &Node, file: &Arc<str>) -> Vec<Replacement> {
    let targets = entry.get("targets").map(Node::elements).unwrap_or_default();
    let one = |node: &Node| {
        let fields = node.get("fieldPaths").map(Node::elements).unwrap_or_default();
        Some(Replacement {
            place: Place { file: file.to_string(), line: node.line },
            target: target(node.get("select")?),
            fields: fields.iter().filter_map(Node::text).map(str::to_owned).collect(),
        })
    };
    targets.iter().filter_map(one).collect()
}
