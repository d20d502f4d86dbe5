//! A revision of a git repository, taken out into a directory of its own.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::ManifestError;

/// The whole tree of a revision, since a kustomization may reach above its directory. It is gone with the value.
pub(super) fn checkout(revision: &str, path: Option<&str>) -> Result<TempDir, ManifestError> {
    let asked = path.map_or_else(|| format!("git:{revision}"), |path| format!("git:{revision}:{path}"));
    let failed = |problem: String| ManifestError::Git { revision: asked.clone(), problem };
    let run = |command: &mut Command| -> Result<Output, ManifestError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(|error| failed(format!("`{program}` cannot be run: {error}")))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    if revision.is_empty() || revision.starts_with('-') {
        return Err(failed("that is no revision".to_owned()));
    }
    let top = run(Command::new("git").args(["rev-parse", "--show-toplevel"]))?;
    let top = PathBuf::from(String::from_utf8_lossy(&top.stdout).trim_end_matches('\n'));
    let folder = TempDir::with_prefix("rehearse-git-")
        .map_err(|error| failed(format!("no temporary directory can be made: {error}")))?;
    let archive = folder.path().join(".archive.tar");
    run(Command::new("git").arg("-C").arg(&top).args(["archive", "--format=tar", "-o"]).arg(&archive).arg(revision))?;
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()))?;
    // What cannot be removed here is removed with the directory.
    std::fs::remove_file(&archive).ok();
    Ok(folder)
}
