//! Which programs make the control plane, and where they are.
//!
//! Owns the order of the search: a folder that was named, as envtest lays one out (`etcd`, `kube-apiserver`, …), then
//! `PATH`, then what `rehearse kubernetes build` made. Builds Kubernetes from its Go module, whose version stands in
//! `kind-config/control-plane/go.mod`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::KubeError;

/// What is built, and by what: the same files that CI uses.
const RECIPE: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../../kind-config/control-plane/go.mod")),
    ("go.sum", include_str!("../../../kind-config/control-plane/go.sum")),
    ("main.go", include_str!("../../../kind-config/control-plane/main.go")),
    ("build", include_str!("../../../kind-config/control-plane/build")),
];

/// A program with what it says of its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Such as `v1.34.4`.
    pub version: String,
}

/// The programs of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The store.
    pub etcd: Program,
    /// The API server.
    pub apiserver: Program,
    /// The controllers.
    pub controllers: Program,
    /// The scheduler.
    pub scheduler: Program,
}

const BUILD_OR_NAME: &str = "`rehearse kubernetes build` builds it once (needs Go, minutes), or name a folder that has it \
                             with --kube-bin-dir";
const INSTALL_ETCD: &str = "install etcd (Debian: `apt install etcd-server`), or name a folder that has it with \
                            --kube-bin-dir";

impl Programs {
    /// Finds them: in `folder` if one is named, and nowhere else then; or on `PATH`, or where they were built.
    pub fn find(folder: Option<&Path>) -> Result<Self, KubeError> {
        let anywhere = || {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).chain(built()).collect::<Vec<_>>()
        };
        let places = folder.map_or_else(anywhere, |folder| vec![folder.to_owned()]);
        let looked = match folder {
            Some(folder) => format!("it is not in {}", folder.display()),
            None => "it is not on PATH and has not been built".to_owned(),
        };
        let find = |program: &'static str, remedy| {
            let there = places.iter().map(|place| place.join(program)).find(|path| path.is_file());
            let path = there.ok_or_else(|| KubeError::Missing { program, looked: looked.clone(), remedy })?;
            let version = version(&path)?;
            Ok::<_, KubeError>(Program { path, version })
        };
        Ok(Self {
            etcd: find("etcd", INSTALL_ETCD)?,
            apiserver: find("kube-apiserver", BUILD_OR_NAME)?,
            controllers: find("kube-controller-manager", BUILD_OR_NAME)?,
            scheduler: find("kube-scheduler", BUILD_OR_NAME)?,
        })
    }

    /// In one line, for reports: `Kubernetes v1.34.4, etcd 3.4.23`.
    pub fn told(&self) -> String {
        let mut versions = vec![&self.apiserver.version, &self.controllers.version, &self.scheduler.version];
        versions.dedup();
        let versions: Vec<&str> = versions.into_iter().map(String::as_str).collect();
        format!("Kubernetes {}, etcd {}", versions.join("/"), self.etcd.version)
    }
}

/// `Kubernetes v1.34.4` or `etcd Version: 3.4.23`.
fn version(program: &Path) -> Result<String, KubeError> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| KubeError::Start { program: program.to_owned(), source })?;
    let told = String::from_utf8_lossy(&output.stdout);
    let first = told.lines().next().unwrap_or_default();
    Ok(first.rsplit(' ').next().filter(|word| !word.is_empty()).unwrap_or("of unknown version").to_owned())
}

/// The folder of what was built, if it was.
fn built() -> Option<PathBuf> {
    let output = recipe().ok()?.arg("--where").stderr(Stdio::null()).output().ok()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    output.status.success().then_some(folder)
}

/// Builds Kubernetes if that was not done before, and tells the folder. Says what it does on standard error; takes
/// minutes the first time.
pub fn build() -> Result<PathBuf, KubeError> {
    let output = recipe()?
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| KubeError::Build(format!("its build does not start: {error}")))?;
    if !output.status.success() {
        return Err(KubeError::Build("see above; it needs Go, bash and the Go module proxy".to_owned()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

/// The build program, with what it builds beside it. The cache that it fills is keyed by their content, so a checkout
/// and an installed `rehearse` share one.
fn recipe() -> Result<Command, KubeError> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let folder = cache
        .ok_or_else(|| KubeError::Build("there is no HOME to keep it in".to_owned()))?
        .join(format!("rehearse/kube-recipe-{}", env!("CARGO_PKG_VERSION")));
    let written = fs::create_dir_all(&folder).and_then(|()| {
        for (name, content) in RECIPE {
            let file = folder.join(name);
            if fs::read(&file).ok().as_deref() != Some(content.as_bytes()) {
                let new = folder.join(format!("{name}.{}", std::process::id()));
                fs::write(&new, content)?;
                fs::rename(&new, &file)?;
            }
        }
        Ok(())
    });
    written.map_err(|source| KubeError::Folder { path: folder.clone(), source })?;
    let mut command = Command::new("bash");
    command.arg(folder.join("build")).stdin(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_where_it_was_looked_for_and_what_to_do() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::find(Some(empty.path())).unwrap_err().to_string();
        for word in ["etcd is not found", &empty.path().display().to_string(), "apt install", "--kube-bin-dir"] {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        let script = empty.path().join("etcd");
        fs::write(&script, "#!/bin/sh\necho 'etcd Version: 3.5.9'\n").unwrap();
        let mut permissions = fs::metadata(&script).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(&script, permissions).unwrap();
        assert_eq!(version(&script).unwrap(), "3.5.9");
        let error = Programs::find(Some(empty.path())).unwrap_err().to_string();
        assert!(
            error.contains("kube-apiserver is not found") && error.contains("rehearse kubernetes build"),
            "{error}"
        );
    }
}
