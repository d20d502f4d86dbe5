//! Where manifests come from: built in, built by kustomize, taken from git, or read as they are.

mod explain;
mod git;
mod kustomize;
mod origin;
mod shown;
pub(crate) mod tree;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use platform::Place;

use crate::ManifestError;
use crate::object::Object;
use shown::Shown;
use tree::Tree;

/// Where to take the platform from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The platform that ships with the program.
    BuiltIn,
    /// A kustomization (`DIR/overlays/NAME`, or `DIR` itself), a directory of plain YAML and JSON, or one file.
    Path(PathBuf),
    /// Rendered manifests on standard input.
    Stdin,
    /// A revision of the git repository that the working directory is in.
    Git {
        /// A commit, branch or tag.
        revision: String,
        /// Path from the repository's root. `None`: `kind-config/platform` if it has that, else the root.
        path: Option<String>,
    },
}

impl Source {
    /// As the command line writes it: `-`, `git:REV[:PATH]`, or a path.
    ///
    /// ```
    /// use manifests::Source;
    /// assert_eq!(Source::parse("-"), Source::Stdin);
    /// let revision = Source::Git { revision: "main".into(), path: Some("deploy".into()) };
    /// assert_eq!(Source::parse("git:main:deploy"), revision);
    /// assert_eq!(Source::parse("deploy"), Source::Path("deploy".into()));
    /// ```
    pub fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::Stdin;
        }
        match text.strip_prefix("git:") {
            None => Self::Path(text.into()),
            Some(rest) => match rest.split_once(':') {
                None => Self::Git { revision: rest.to_owned(), path: None },
                Some((revision, path)) => Self::Git { revision: revision.to_owned(), path: Some(path.to_owned()) },
            },
        }
    }
}

/// The overlays that the built-in platform has, with what `kubectl kustomize` makes of them, kept current by a test.
const BUILT_IN: &[(&str, &str)] = &[
    ("development", include_str!("../../../../kind-config/platform/rendered/development.yaml")),
    ("production", include_str!("../../../../kind-config/platform/rendered/production.yaml")),
    ("staging", include_str!("../../../../kind-config/platform/rendered/staging.yaml")),
];
/// Bytes of one source that are read at most.
pub(crate) const BYTES_MAX: u64 = 128 << 20;
/// Directories within directories that are entered.
const DEPTH_MAX: u32 = 16;
/// Where the platform's own repository keeps its manifests.
const HOME: &str = "kind-config/platform";

/// A text and the name that places give.
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) content: String,
    /// Found in a directory, not asked for by name.
    pub(crate) loose: bool,
}

/// The texts of a source.
pub(crate) struct Fetched {
    pub(crate) files: Vec<Text>,
    /// What was read, for people.
    pub(crate) source: String,
    /// Empty where the source has no overlays.
    pub(crate) overlay: String,
    pub(crate) rendered_by: String,
    /// What stands beside them and is not read.
    pub(crate) others: Vec<(String, Place)>,
    /// Files that could not be read while others could.
    pub(crate) errors: Vec<ManifestError>,
    pub(crate) tree: Option<Tree>,
    /// Holds the files of a git revision until the objects know their source.
    _checkout: Option<tempfile::TempDir>,
}

impl Fetched {
    fn new(source: String, rendered_by: &str, files: Vec<Text>) -> Self {
        Self {
            files,
            source,
            overlay: String::new(),
            rendered_by: rendered_by.to_owned(),
            others: Vec::new(),
            errors: Vec::new(),
            tree: None,
            _checkout: None,
        }
    }

    /// Tells each object its source file.
    pub(crate) fn place(&self, objects: &mut [Object]) {
        if let Some(tree) = &self.tree {
            origin::place(objects, tree);
        }
    }
}

const AS_IS: &str = "read as is";

pub(crate) fn fetch(source: &Source, overlay: &str) -> Result<Fetched, ManifestError> {
    match source {
        Source::BuiltIn => {
            let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == overlay) else {
                return Err(ManifestError::NoSuchOverlay {
                    source_name: "the built-in platform".to_owned(),
                    overlay: overlay.to_owned(),
                    known: BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect(),
                });
            };
            let file = Text { name: format!("built-in/{name}.yaml"), content: (*text).to_owned(), loose: false };
            let fetched = Fetched::new("built-in".to_owned(), "built-in", vec![file]);
            Ok(Fetched { overlay: overlay.to_owned(), ..fetched })
        }
        Source::Path(path) => {
            let unread = |source| ManifestError::Read { path: path.clone(), source };
            let root = path.canonicalize().map_err(unread)?;
            from_path(&Shown::new(root, path.display().to_string()), overlay)
        }
        Source::Stdin => {
            let name = "standard input";
            let text = read_all(io::stdin().lock(), Path::new(name))?;
            Ok(Fetched::new("-".to_owned(), AS_IS, vec![Text { name: name.to_owned(), content: text, loose: false }]))
        }
        Source::Git { revision, path } => {
            let checkout = git::checkout(revision, path.as_deref())?;
            let home = path.as_deref().unwrap_or(if checkout.path().join(HOME).is_dir() { HOME } else { "" });
            let name = format!("git:{revision}:{}", home.trim_matches('/'));
            let root = checkout.path().join(home).canonicalize().map_err(|_| ManifestError::Git {
                revision: name.clone(),
                problem: "there is no such path in that revision".to_owned(),
            })?;
            let fetched = from_path(&Shown::new(root, name), overlay)?;
            Ok(Fetched { _checkout: Some(checkout), ..fetched })
        }
    }
}

fn from_path(shown: &Shown, overlay: &str) -> Result<Fetched, ManifestError> {
    let path = shown.root();
    let name = shown.name().to_owned();
    if !path.is_dir() {
        let text = read(path, &name)?;
        return Ok(Fetched::new(name.clone(), AS_IS, vec![Text { name, content: text, loose: false }]));
    }
    let overlays = overlays(path);
    if overlays.iter().any(|known| known == overlay) {
        let built = kustomize::build(&path.join("overlays").join(overlay), shown)?;
        return Ok(Fetched { overlay: overlay.to_owned(), ..built });
    }
    if !overlays.is_empty() {
        return Err(ManifestError::NoSuchOverlay { source_name: name, overlay: overlay.to_owned(), known: overlays });
    }
    if tree::kustomization(path).is_some() {
        return kustomize::build(path, shown);
    }
    if path.join("Chart.yaml").is_file() {
        return Err(ManifestError::HelmChart { path: name.into() });
    }
    let mut fetched = Fetched::new(name.clone(), AS_IS, Vec::new());
    let mut left = BYTES_MAX;
    directory(path, shown, 0, &mut left, &mut fetched)?;
    if fetched.files.is_empty() && fetched.errors.is_empty() {
        return Err(ManifestError::NothingThere { path: name.into() });
    }
    Ok(fetched)
}

/// All `*.yaml`, `*.yml` and `*.json` below a directory, in the order of their paths. Hidden entries are skipped;
/// a directory below that is a kustomization or a Helm chart of its own is listed, since its files are no manifests as
/// they stand.
fn directory(path: &Path, shown: &Shown, depth: u32, left: &mut u64, into: &mut Fetched) -> Result<(), ManifestError> {
    let unread = |source| ManifestError::Read { path: shown.of(path).into(), source };
    let place = |path: &Path| Place { file: shown.of(path), line: 0 };
    for entry in entries(path).map_err(unread)? {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if entry.is_dir() && !entry.is_symlink() {
            if tree::kustomization(&entry).is_some() {
                let what = "a kustomization of its own (give its directory to have it built)";
                into.others.push((what.to_owned(), place(&entry)));
            } else if entry.join("Chart.yaml").is_file() {
                into.others.push(("a Helm chart (render it with helm template)".to_owned(), place(&entry)));
            } else if depth == DEPTH_MAX {
                into.others.push((format!("more than {DEPTH_MAX} directories deep"), place(&entry)));
            } else {
                directory(&entry, shown, depth + 1, left, into)?;
            }
            continue;
        }
        let manifest = entry.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json");
        if !manifest || !entry.is_file() {
            continue;
        }
        let name = shown.of(&entry);
        match read(&entry, &name) {
            Ok(text) => {
                *left = left
                    .checked_sub(text.len() as u64)
                    .ok_or_else(|| ManifestError::TooLarge { path: shown.name().into(), limit: BYTES_MAX })?;
                into.files.push(Text { name, content: text, loose: true });
            }
            Err(error) => into.errors.push(error),
        }
    }
    Ok(())
}

/// The text of a file, which places call `name`.
pub(crate) fn read(path: &Path, name: &str) -> Result<String, ManifestError> {
    let file = fs::File::open(path).map_err(|source| ManifestError::Read { path: name.into(), source })?;
    read_all(file, Path::new(name))
}

fn read_all(from: impl Read, name: &Path) -> Result<String, ManifestError> {
    let mut bytes = Vec::new();
    // A device may have no end.
    from.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ManifestError::Read { path: name.to_owned(), source })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(ManifestError::TooLarge { path: name.to_owned(), limit: BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = 1 + String::from_utf8_lossy(&bytes[..sound]).matches('\n').count();
        let problem = match bytes {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16: save it as UTF-8".to_owned(),
            _ => format!("the byte 0x{:02x} is no UTF-8: save the file as UTF-8", bytes[sound]),
        };
        ManifestError::Yaml { place: Place { file: name.display().to_string(), line: line as u32 }, problem }
    })
}

/// Sorted, so that the same directory reads the same everywhere.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

/// Names of the overlays under `DIR/overlays`; none where there is no such directory.
fn overlays(path: &Path) -> Vec<String> {
    let entries = entries(&path.join("overlays")).unwrap_or_default();
    let names = entries.iter().filter(|entry| tree::kustomization(entry).is_some()).filter_map(|e| e.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// 12 hexadecimal digits of a hash over all texts: names a platform, proves nothing.
pub(crate) fn digest(files: &[Text]) -> String {
    let hash = units::fnv1a(files.iter().flat_map(|file| file.content.bytes().chain([0])));
    // The low bits mix least in the last steps; folding keeps all 64.
    format!("{:012x}", (hash ^ (hash >> 48)) & 0xffff_ffff_ffff)
}
