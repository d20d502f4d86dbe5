//! What a run leaves on this machine, so that nothing is left of it.
//!
//! A run's folder is there before its first container is, and is locked as long as the run lives: the kernel drops the
//! lock with the process, however it ends. Everything that the daemon makes for a run carries the run's name as a
//! label, so the folder need not list it. Whoever finds a folder that nobody holds removes what carries its name: the
//! run's own [reaper](Ledger::reaper), the next run, or `rehearse clean`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use futures_util::{StreamExt, stream};

use crate::docker::{Daemon, DockerError};

/// The label that everything of a run carries, with the run's name.
pub const LABEL: &str = "dev.rehearse.run";
/// Within a run's folder.
const LOCK: &str = "lock";
/// How often removing is tried again: what was being made when its run was killed appears a little later.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// Containers that are removed at once: with all of them Docker 20.10 loses count of their network's endpoints now and then,
/// and keeps it until the daemon starts anew.
const AT_ONCE: usize = 4;

/// A run's folder, held. Dropping it lets go of the lock; [`Ledger::settle`] removes everything first.
#[derive(Debug)]
pub struct Ledger {
    /// The run's name: a label, and a part of the names of all that is made for it.
    pub run: String,
    /// Its folder.
    pub folder: PathBuf,
    _lock: File,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Runs that nobody held.
    pub runs: Vec<String>,
    /// Containers of them.
    pub containers: usize,
    /// Networks of them.
    pub networks: usize,
    /// Volumes of them.
    pub volumes: usize,
}

impl Ledger {
    /// Opens a folder for a new run.
    pub fn open() -> Result<Self, DockerError> {
        Self::open_in(&base())
    }

    fn open_in(base: &Path) -> Result<Self, DockerError> {
        loop {
            // 48 bits that nobody knows before: short enough for the name of a network interface.
            let random = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
            let run = format!("{:012x}", std::hash::Hasher::finish(&random) >> 16);
            let folder = base.join(&run);
            if folder.exists() {
                continue;
            }
            fs::create_dir_all(&folder).map_err(DockerError::file(&folder))?;
            let path = folder.join(LOCK);
            let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let lock = open.map_err(DockerError::file(&path))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { run, folder, _lock: lock }),
                Err(TryLockError::WouldBlock) => {} // somebody sweeps it already
                Err(TryLockError::Error(source)) => return Err(DockerError::File { path, source }),
            }
        }
    }

    /// Starts the process that removes what is left if this one ends without doing so: it waits for the end of its
    /// standard input, which comes with the end of this process.
    pub fn reaper(&self, program: &Path) -> Result<Child, DockerError> {
        use std::os::unix::process::CommandExt;
        Command::new(program)
            .args([REAP, &self.run])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // a Ctrl-C is not for it
            .spawn()
            .map_err(DockerError::file(program))
    }

    /// Removes everything of the run, and its folder.
    pub async fn settle(self, daemon: &Daemon) -> Result<Removed, DockerError> {
        settle(daemon, &self.run, &self.folder).await
    }
}

/// The subcommand that [`Ledger::reaper`] starts.
pub const REAP: &str = "reap";

/// What a reaper does: waits for the end of standard input, then removes what is left of `run`.
pub fn reap(run: &str) -> Result<(), DockerError> {
    std::io::stdin().read_to_end(&mut Vec::new()).ok();
    let folder = base().join(run);
    if !folder.join(LOCK).exists() {
        return Ok(()); // its run has settled it
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DockerError::file(&folder))?;
    runtime.block_on(async {
        let daemon = Daemon::find().await?;
        settle(&daemon, run, &folder).await.map(drop)
    })
}

/// The runs that nobody holds any more.
pub fn left() -> Vec<String> {
    left_in(&base()).into_iter().map(|(run, _)| run).collect()
}

fn left_in(base: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let mut left: Vec<_> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let run = folder.file_name()?.to_str()?.to_owned();
            let lock = OpenOptions::new().write(true).open(folder.join(LOCK)).ok()?;
            lock.try_lock().is_ok().then_some((run, folder))
        })
        .collect();
    left.sort();
    left
}

/// Removes what is left of runs that nobody holds any more.
pub async fn sweep(daemon: &Daemon) -> Result<Removed, DockerError> {
    let mut all = Removed::default();
    for (run, folder) in left_in(&base()) {
        let removed = settle(daemon, &run, &folder).await?;
        all.runs.extend(removed.runs);
        all.containers += removed.containers;
        all.networks += removed.networks;
        all.volumes += removed.volumes;
    }
    Ok(all)
}

/// Where the folders of runs are: of this user alone.
fn base() -> PathBuf {
    std::env::temp_dir().join(format!("rehearse-containers-{}", rustix::process::getuid().as_raw()))
}

#[expect(clippy::disallowed_methods, reason = "nobody measures how long a pause while removing is")]
async fn settle(daemon: &Daemon, run: &str, folder: &Path) -> Result<Removed, DockerError> {
    let docker = &daemon.docker;
    let filters = HashMap::from([("label", vec![format!("{LABEL}={run}")])]);
    let mut removed = Removed { runs: vec![run.to_owned()], ..Removed::default() };
    let mut quiet = 0;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers = docker.list_containers(Some(options)).await.map_err(DockerError::doing("list containers"))?;
        let ids: Vec<String> = containers.into_iter().filter_map(|container| container.id).collect();
        let remove = stream::iter(&ids).map(|id| async move {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            usize::from(docker.remove_container(id, Some(options)).await.is_ok())
        });
        removed.containers += remove.buffer_unordered(AT_ONCE).fold(0, |sum, gone| async move { sum + gone }).await;
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = docker.list_networks(Some(options)).await.map_err(DockerError::doing("list networks"))?;
        let mut busy = ids.len();
        for id in networks.into_iter().filter_map(|network| network.id) {
            busy += 1;
            removed.networks += usize::from(docker.remove_network(&id).await.is_ok());
        }
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let volumes = docker.list_volumes(Some(options)).await.map_err(DockerError::doing("list volumes"))?;
        for volume in volumes.volumes.unwrap_or_default() {
            busy += 1;
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            removed.volumes += usize::from(docker.remove_volume(&volume.name, Some(options)).await.is_ok());
        }
        // Looked twice and nothing seen: what was under way when the run ended has come and gone.
        quiet = if busy == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            return match fs::remove_dir_all(folder) {
                // Somebody else has removed the same.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DockerError::file(folder)(error)),
                _ => Ok(removed),
            };
        }
    }
    Err(DockerError::Command {
        command: format!("removing what carries the label {LABEL}={run}"),
        why: "there was always more of it, or the daemon kept it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_left_only_when_nobody_holds_it() {
        let base = tempfile::tempdir().unwrap();
        let (one, two) = (Ledger::open_in(base.path()).unwrap(), Ledger::open_in(base.path()).unwrap());
        assert_ne!(one.run, two.run);
        assert!(left_in(base.path()).is_empty(), "both are held");
        let (run, folder) = (one.run.clone(), one.folder.clone());
        drop(one); // as the kernel does when a process is killed
        assert_eq!(left_in(base.path()), [(run, folder)]);
        fs::create_dir(base.path().join("somebody-elses")).unwrap();
        assert_eq!(left_in(base.path()).len(), 1, "a folder without a lock is nobody's run");
    }

    #[test]
    fn a_runs_name_fits_an_interface() {
        let base = tempfile::tempdir().unwrap();
        let run = Ledger::open_in(base.path()).unwrap().run;
        assert!(run.len() == 12 && run.bytes().all(|byte| byte.is_ascii_hexdigit()), "{run}");
    }
}
