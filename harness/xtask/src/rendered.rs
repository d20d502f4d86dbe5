//! `cargo xtask rendered`: writes what kustomize makes of each overlay, for readers and for the built-in platform.
//!
//! That the committed files are current is a test of `manifests`.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{Workspace, output};

/// Where the overlays are, and where their rendered files go.
const PLATFORM: &str = "kind-config/platform";

/// Renders every overlay. A standalone kustomize goes first, as in the loader of manifests.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let (program, subcommand) = builder(workspace)?;
    let platform = workspace.root().join(PLATFORM);
    let overlays = platform.join("overlays");
    let mut names = Vec::new();
    for entry in fs::read_dir(&overlays).with_context(|| format!("cannot read {}", overlays.display()))? {
        let entry = entry?;
        if entry.path().join("kustomization.yaml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no folder with a kustomization.yaml", overlays.display());
    for name in names {
        // All of it before the file is touched: a failing build leaves the old one.
        let source = format!("{PLATFORM}/overlays/{name}");
        let text = output(workspace.command(program).args([subcommand, &source]))?;
        let file = platform.join("rendered").join(format!("{name}.yaml"));
        let current = fs::read_to_string(&file).is_ok_and(|old| old == text);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{PLATFORM}/rendered/{name}.yaml: {}", if current { "was current" } else { "written anew" });
    }
    Ok(true)
}

fn builder(workspace: &Workspace) -> Result<(&'static str, &'static str)> {
    for (program, subcommand) in [("kustomize", "build"), ("kubectl", "kustomize")] {
        if output(workspace.command(program).args([subcommand, "--help"])).is_ok() {
            return Ok((program, subcommand));
        }
    }
    bail!("neither kustomize nor kubectl is on PATH: install one of them")
}
