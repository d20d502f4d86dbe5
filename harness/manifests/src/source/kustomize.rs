//! Builds a kustomization with the tool that is there.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use super::shown::Shown;
use super::tree;
use super::{Fetched, Text, explain};
use crate::ManifestError;

/// Programs that build, with their subcommand, the first one that is there counts.
const TOOLS: [(&str, &str); 2] = [("kustomize", "build"), ("kubectl", "kustomize")];

/// Builds `directory`.
pub(super) fn build(directory: &Path, shown: &Shown) -> Result<Fetched, ManifestError> {
    let tree = tree::read(directory, shown);
    for (program, subcommand) in TOOLS {
        let Some(output) = run(program, subcommand, directory)? else { continue };
        let command = format!("{program} {subcommand} {}", shown.of(directory));
        let stderr = explain::message(&shown.in_text(&String::from_utf8_lossy(&output.stderr)));
        if !output.status.success() {
            let explained = explain::explain(&stderr, &tree);
            let place = explained.as_deref().and_then(explain::first_place);
            return Err(ManifestError::Kustomize { command, stderr, explained, place });
        }
        let text = String::from_utf8(output.stdout).map_err(|_| ManifestError::Kustomize {
            command: command.clone(),
            stderr: "its output is no UTF-8".into(),
            explained: None,
            place: None,
        })?;
        // A line of the output: the command that shows it is its name.
        let file = Text { name: format!("`{command}`"), content: text, loose: false };
        let fetched = Fetched::new(shown.name().to_owned(), &tool(program), vec![file]);
        return Ok(Fetched { tree: Some(tree), ..fetched });
    }
    Err(ManifestError::NoKustomize { path: shown.of(directory).into() })
}

/// `None` where the program is not on PATH.
fn run(program: &str, subcommand: &str, directory: &Path) -> Result<Option<Output>, ManifestError> {
    match Command::new(program).arg(subcommand).arg(directory).output() {
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
