//! Where manifests come from: built in, built by kustomize, or read as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::ManifestError;

/// Where to take the platform from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The platform that ships with the program.
    BuiltIn,
    /// A kustomization (`DIR/overlays/NAME`, or `DIR` itself), a directory of plain YAML, or one rendered file.
    Path(PathBuf),
}

/// The overlay that the built-in platform has.
const BUILT_IN_OVERLAY: &str = "production";
/// Output of `kubectl kustomize kind-config/platform/overlays/production`, kept current by a test.
const BUILT_IN: &str = include_str!("../../../kind-config/platform/rendered/production.yaml");
/// The name of the built-in platform in places.
const BUILT_IN_FILE: &str = "built-in/production.yaml";

/// The texts of a source, each under the name that places give.
pub(crate) struct Fetched {
    pub(crate) files: Vec<(String, String)>,
    /// What was read, for people.
    pub(crate) source: String,
    /// Empty where the source has no overlays.
    pub(crate) overlay: String,
    pub(crate) rendered_by: String,
}

pub(crate) fn fetch(source: &Source, overlay: &str) -> Result<Fetched, ManifestError> {
    match source {
        Source::BuiltIn if overlay == BUILT_IN_OVERLAY => Ok(Fetched {
            files: vec![(BUILT_IN_FILE.to_owned(), BUILT_IN.to_owned())],
            source: "built-in".to_owned(),
            overlay: overlay.to_owned(),
            rendered_by: "built-in".to_owned(),
        }),
        Source::BuiltIn => Err(ManifestError::NoSuchOverlay {
            source_name: "the built-in platform".to_owned(),
            overlay: overlay.to_owned(),
            known: vec![BUILT_IN_OVERLAY.to_owned()],
        }),
        Source::Path(path) => from_path(path, overlay),
    }
}

fn from_path(path: &Path, overlay: &str) -> Result<Fetched, ManifestError> {
    let unread = |source| ManifestError::Read { path: path.to_owned(), source };
    let as_is = |files| Fetched {
        files,
        source: path.display().to_string(),
        overlay: String::new(),
        rendered_by: "read as is".to_owned(),
    };
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        return Ok(as_is(vec![(path.display().to_string(), read(path)?)]));
    }
    let overlays = overlays(path);
    if overlays.iter().any(|known| known == overlay) {
        return kustomize(&path.join("overlays").join(overlay), path, overlay);
    }
    if !overlays.is_empty() {
        let source_name = path.display().to_string();
        return Err(ManifestError::NoSuchOverlay { source_name, overlay: overlay.to_owned(), known: overlays });
    }
    if is_kustomization(path) {
        return kustomize(path, path, "");
    }
    let mut files = entries(path).map_err(unread)?;
    files.retain(|file| file.is_file() && file.extension().is_some_and(|ext| ext == "yaml" || ext == "yml"));
    if files.is_empty() {
        return Err(ManifestError::NothingThere { path: path.to_owned() });
    }
    files.iter().map(|file| Ok((file.display().to_string(), read(file)?))).collect::<Result<_, _>>().map(as_is)
}

pub(crate) fn read(path: &Path) -> Result<String, ManifestError> {
    fs::read_to_string(path).map_err(|source| ManifestError::Read { path: path.to_owned(), source })
}

/// Sorted, so that the same directory reads the same everywhere.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

fn is_kustomization(directory: &Path) -> bool {
    ["kustomization.yaml", "kustomization.yml", "Kustomization"].iter().any(|name| directory.join(name).is_file())
}

/// Names of the overlays under `DIR/overlays`; none where there is no such directory.
fn overlays(path: &Path) -> Vec<String> {
    let entries = entries(&path.join("overlays")).unwrap_or_default();
    let names = entries.iter().filter(|entry| is_kustomization(entry)).filter_map(|entry| entry.file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Builds a kustomization with the first tool that is there.
fn kustomize(directory: &Path, source: &Path, overlay: &str) -> Result<Fetched, ManifestError> {
    for (program, subcommand) in [("kustomize", "build"), ("kubectl", "kustomize")] {
        let Some(output) = run(Command::new(program).arg(subcommand).arg(directory), directory)? else { continue };
        let command = format!("{program} {subcommand} {}", directory.display());
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            return Err(ManifestError::Kustomize { command, stderr });
        }
        let text = String::from_utf8(output.stdout).map_err(|_| ManifestError::Kustomize {
            command: command.clone(),
            stderr: "its output is no UTF-8".into(),
        })?;
        return Ok(Fetched {
            // A line of the output: the command that shows it is its name.
            files: vec![(format!("`{command}`"), text)],
            source: source.display().to_string(),
            overlay: overlay.to_owned(),
            rendered_by: tool(program),
        });
    }
    Err(ManifestError::NoKustomize { path: directory.to_owned() })
}

/// `None` where the program is not on PATH.
fn run(command: &mut Command, directory: &Path) -> Result<Option<Output>, ManifestError> {
    match command.output() {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestError::Read { path: directory.to_owned(), source }),
    }
}

/// The tool with its version, or without where it does not tell.
fn tool(program: &str) -> String {
    let (name, arguments): (_, &[&str]) = match program {
        "kubectl" => ("kubectl kustomize", &["version", "--client"]),
        _ => ("kustomize", &["version"]),
    };
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    // kubectl names its own version on another line than the one it builds with.
    let line = output.lines().find(|line| line.contains("Kustomize")).or(output.lines().next()).unwrap_or_default();
    match line.split_whitespace().last().filter(|word| word.starts_with('v')) {
        Some(version) => format!("{name} ({version})"),
        None => name.to_owned(),
    }
}

/// 12 hexadecimal digits of FNV-1a (64 bit) over all texts: names a platform, proves nothing.
pub(crate) fn digest(files: &[(String, String)]) -> String {
    let bytes = files.iter().flat_map(|(_, text)| text.bytes().chain([0]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    // The low bits mix least in the last steps; folding keeps all 64.
    format!("{:012x}", (hash ^ (hash >> 48)) & 0xffff_ffff_ffff)
}
