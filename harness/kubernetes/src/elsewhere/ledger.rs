//! What a run leaves in a cluster, or as a cluster, so that nothing is left of it.
//!
//! Owns one folder for each run. Its note is written before the first object is made, and its lock goes with the process
//! that holds it, however that ends. Whoever finds a folder that nobody holds removes what its note tells of: the next run,
//! or `rehearse clean`.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use super::context::{self, Context};
use super::kind;
use super::objects::{self, Thing};
use super::remedy::{self, Journal, Remedy};
use crate::KubeError;

const LOCK: &str = "lock";
const NOTE: &str = "note.json";

/// What there is to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Note {
    /// The run's id, which is a label of everything that it made.
    pub(crate) run: String,
    /// A cluster of kind's that goes with the run.
    pub(crate) kind: Option<String>,
    /// The context whose objects go, and its kubeconfig if that is not the user's own.
    pub(crate) context: Option<String>,
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Paths of the objects that were made, in the order of their making.
    pub(crate) objects: Vec<String>,
    /// Clients have addresses of their own.
    pub(crate) routed: bool,
}

/// A run's folder, held.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) folder: PathBuf,
    pub(crate) note: Note,
    _lock: File,
}

fn root() -> PathBuf {
    std::env::temp_dir().join(format!("rehearse-clusters-{}", getuid().as_raw()))
}

impl Ledger {
    /// Opens one for a run.
    pub(crate) fn open(run: &str) -> Result<Self, KubeError> {
        let folder = root().join(format!("{}-{run}", std::process::id()));
        let error = |source| KubeError::Folder { path: folder.clone(), source };
        DirBuilder::new().mode(0o700).recursive(true).create(&folder).map_err(error)?;
        let lock = File::create(folder.join(LOCK)).map_err(error)?;
        lock.try_lock().map_err(|refused| error(refused.into()))?;
        let mut ledger =
            Self { note: Note { run: run.to_owned(), ..Note::default() }, _lock: lock, folder: folder.clone() };
        ledger.write(|_| {})?;
        Ok(ledger)
    }

    /// Changes the note: before what it tells of is made.
    pub(crate) fn write(&mut self, change: impl FnOnce(&mut Note)) -> Result<(), KubeError> {
        change(&mut self.note);
        let (new, path) = (self.folder.join("note.new"), self.folder.join(NOTE));
        let text = serde_json::to_string_pretty(&self.note).unwrap_or_default();
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|source| KubeError::Folder { path, source })
    }

    /// The list of what is to be put right about nodes.
    pub(crate) fn journal(&self) -> Journal {
        Journal::open(&self.note.run, &self.folder)
    }

    /// Removes everything, and the folder.
    pub(crate) async fn settle(self) -> Result<(), KubeError> {
        wake(&self.note, &self.folder).await?;
        Left::of(&self.note, &self.folder).await?.remove().await
    }
}

/// What runs left that nobody holds any more; held from now on, so that two do not clean the same.
pub(crate) fn left() -> Vec<(Note, PathBuf, File)> {
    let Ok(entries) = fs::read_dir(root()) else { return Vec::new() };
    let mut left: Vec<_> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let lock = File::options().write(true).open(folder.join(LOCK)).ok()?;
            lock.try_lock().ok()?;
            let note = fs::read(folder.join(NOTE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
            Some((note.unwrap_or_default(), folder, lock))
        })
        .collect();
    left.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
    left
}

/// Lets nodes run and be heard again that a run left otherwise: without them its cluster may not even answer. What has been
/// taken away.
pub(crate) async fn wake(note: &Note, folder: &Path) -> Result<Vec<String>, KubeError> {
    if note.kind.is_some() {
        return Ok(Vec::new()); // they go with their cluster
    }
    remedy::wake(&Journal::open(&note.run, folder)).await.map_err(|error| kept(note, folder, error))
}

/// What is there of all that a note tells of.
pub(crate) struct Left<'a> {
    note: &'a Note,
    folder: &'a Path,
    there: Option<There>,
    /// What is let be, and why.
    spared: Vec<String>,
    routed: bool,
}

/// What is there in a cluster that outlives its runs.
struct There {
    context: Context,
    objects: Vec<Thing>,
    remedies: Vec<Remedy>,
}

impl<'a> Left<'a> {
    /// Looks for it, and changes nothing.
    pub(crate) async fn of(note: &'a Note, folder: &'a Path) -> Result<Self, KubeError> {
        let look = async {
            let noted = remedy::noted(folder);
            let (mut there, mut spared) = (None, Vec::new());
            let outlives = note.kind.is_none() && !(note.objects.is_empty() && noted.is_empty());
            if let Some(name) = note.context.as_ref().filter(|_| outlives) {
                let context = context::connect(note.kubeconfig.as_deref(), name).await?;
                let mut remedies = Vec::new();
                for remedy in noted {
                    match remedy.spared(&context.rest, &note.run).await? {
                        Some(why) => spared.push(format!("{} is let be: {why}", remedy.told())),
                        None => remedies.push(remedy),
                    }
                }
                let objects = objects::there(&context.rest, &note.run, &note.objects).await?;
                there = Some(There { context, objects, remedies });
            }
            let routed = note.routed && kind::clients_are_routed().await;
            Ok(Self { note, folder, there, spared, routed })
        };
        look.await.map_err(|error| kept(note, folder, error))
    }

    /// What somebody has undone since.
    pub(crate) fn spared(&self) -> &[String] {
        &self.spared
    }

    /// Each thing, in the order in which it is removed.
    pub(crate) fn told(&self) -> Vec<String> {
        let routes = self.routed.then(|| format!("the route of clients' addresses, {}", kind::CLIENT_RANGE));
        let cluster = self.note.kind.iter().map(|name| format!("cluster {name} of kind"));
        let remedies = self.there.iter().flat_map(|there| &there.remedies).map(Remedy::told);
        let objects = self.there.iter().flat_map(|There { context, objects, .. }| {
            objects.iter().map(|thing| format!("object {} in context {}", thing.path, context.name))
        });
        let folder = format!("folder {}", self.folder.display());
        routes.into_iter().chain(cluster).chain(remedies).chain(objects).chain([folder]).collect()
    }

    /// Removes it.
    pub(crate) async fn remove(self) -> Result<(), KubeError> {
        let Self { note, folder, there, routed, .. } = self;
        let remove = async {
            if routed {
                kind::route_clients(false).await?;
            }
            if let Some(name) = &note.kind {
                kind::Kind::find(name)?.delete().await?;
            }
            if let Some(There { context, objects: mut things, .. }) = there {
                remedy::put_back(&context.rest, &Journal::open(&note.run, folder)).await?;
                // Until nothing comes any more: requests of a run that was broken off may still be under way.
                while !things.is_empty() {
                    objects::remove(&context.rest, &note.run, &things).await?;
                    objects::pause().await;
                    things = objects::there(&context.rest, &note.run, &note.objects).await?;
                }
            }
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(KubeError::Folder { path: folder.to_owned(), source: error })
                }
                _ => Ok(()),
            }
        };
        remove.await.map_err(|error| kept(note, folder, error))
    }
}

fn kept(note: &Note, folder: &Path, error: KubeError) -> KubeError {
    KubeError::Kept { run: note.run.clone(), folder: folder.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_left_and_what_was_dropped_is_told_with_its_objects() {
        let run = format!("ledger-test-{}", std::process::id());
        let mut ledger = Ledger::open(&run).unwrap();
        ledger
            .write(|note| {
                note.context = Some("kind-dev".into());
                note.objects.push("/api/v1/namespaces/shop/services/web".into());
            })
            .unwrap();
        let mine = || left().into_iter().map(|(note, folder, _)| (note, folder)).find(|(note, _)| note.run == run);
        assert_eq!(mine(), None, "it is held");
        let (note, folder) = (ledger.note.clone(), ledger.folder.clone());
        drop(ledger); // as the kernel does when a process is killed
        assert_eq!(mine(), Some((note.clone(), folder.clone())));
        fs::remove_dir_all(folder).unwrap();
    }
}
