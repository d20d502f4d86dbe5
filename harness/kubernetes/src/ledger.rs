//! What a control plane leaves on this machine, and how the next one removes it.
//!
//! Owns one folder for each control plane: data, certificates, logs, and a lock that the kernel drops with the process
//! that holds it, however that ends. Whatever is started for a control plane names its folder on its command line, so
//! the folder is the ledger: it is there before the first process is, and no process id can go stale. What belongs to
//! a folder whose lock is free is removed: processes first.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::KubeError;

/// A folder of this process's own. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Something that a control plane left, whose process is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// A process of it.
    Process {
        /// Its id.
        pid: i32,
        /// Its command.
        command: String,
    },
    /// Its folder.
    Folder(PathBuf),
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process { pid, command } => write!(f, "process {pid} ({command})"),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
        }
    }
}

/// Where the folders are: one place for each user.
fn root() -> PathBuf {
    std::env::temp_dir().join(format!("rehearse-control-planes-{}", getuid().as_raw()))
}

const LOCK: &str = "lock";
static COUNT: AtomicU32 = AtomicU32::new(0);

impl Folder {
    /// Makes one, after what others left has been removed.
    pub(crate) fn new() -> Result<Self, KubeError> {
        clean()?;
        let root = root();
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| KubeError::Folder { path, source }
        };
        private(&root).map_err(error(&root))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{}-{number}", std::process::id()));
        // Of a process with this id that is long gone, and was not cleaned: somebody else's number.
        fs::remove_dir_all(&path).ok();
        private(&path).map_err(error(&path))?;
        let lock = File::create(path.join(LOCK)).map_err(error(&path))?;
        lock.try_lock().map_err(|refused| error(&path)(refused.into()))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Twice: a server that is being killed may still write.
        if fs::remove_dir_all(&self.path).is_err() {
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// A folder for this user alone; one that somebody else has prepared is refused.
fn private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let found = fs::symlink_metadata(path)?;
    // Nothing for its group and for others.
    if found.is_dir() && found.uid() == getuid().as_raw() && found.mode().trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not a folder of this user alone"))
}

/// What control planes left whose process is gone, in the order in which [`clean`] removes it.
pub fn left() -> Result<Vec<Left>, KubeError> {
    let mut all = Vec::new();
    for folder in orphans()? {
        all.extend(processes(&folder).into_iter().map(|(pid, command)| Left::Process { pid, command }));
        all.push(Left::Folder(folder));
    }
    Ok(all)
}

/// Removes what [`left`] tells, and tells what was removed.
pub fn clean() -> Result<Vec<Left>, KubeError> {
    let all = left()?;
    for what in &all {
        match what {
            Left::Process { pid, .. } => {
                if let Some(pid) = Pid::from_raw(*pid) {
                    kill_process(pid, Signal::KILL).ok(); // it may have ended meanwhile
                }
            }
            Left::Folder(path) => {
                if let Err(source) = fs::remove_dir_all(path)
                    && path.exists()
                {
                    return Err(KubeError::Folder { path: path.clone(), source });
                }
            }
        }
    }
    Ok(all)
}

/// Folders whose lock nobody holds.
fn orphans() -> Result<Vec<PathBuf>, KubeError> {
    let root = root();
    let error = |source| KubeError::Folder { path: root.clone(), source };
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(other) => return Err(error(other)),
    };
    let mut orphans = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let free = match File::open(path.join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
            },
            // One that is being made has no lock yet; its maker is alive and has its id in the name.
            Err(_) => !alive(&path),
        };
        if free {
            orphans.push(path);
        }
    }
    orphans.sort_unstable();
    Ok(orphans)
}

fn alive(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let pid = name.split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// This user's processes that name `folder` on their command line.
fn processes(folder: &Path) -> Vec<(i32, String)> {
    let named = format!("{}/", folder.display());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            if entry.metadata().ok()?.uid() != getuid().as_raw() {
                return None;
            }
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let program = Path::new(line.split('\0').next()?).file_name()?.to_str()?.to_owned();
            line.contains(&named).then_some((pid, program))
        })
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_held_is_nobodys_orphan() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        assert!(!orphans().unwrap().contains(&path));
        drop(folder);
        assert!(!path.exists());
    }
}
