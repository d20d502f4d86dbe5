//! What a run does to the nodes of a cluster that outlives it, noted before it is done.
//!
//! Owns the list beside a run's note: what puts each of these right again. A fault that ends strikes its line out; what a
//! run left standing is undone when it is settled, by the run itself or by whoever finds its folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::kind;
use crate::KubeError;
use crate::apply::MANAGER;
use crate::rest::{Patch, Rest, refusal};

const FILE: &str = "remedies.json";
/// What a node carries that a run has cordoned: the run's id.
pub(crate) const CORDONED_BY: &str = "rehearse.dev/cordoned-by";

/// What puts a node right again, in the order in which that has to be done: nobody answers for a node that stands still.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Remedy {
    /// Its processes go on.
    Unpause(String),
    /// Packets come and go again.
    Reconnect(String),
    /// It takes pods again.
    Uncordon(String),
}

impl Remedy {
    /// What it takes away, in words.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Unpause(node) => format!("the pause of node {node}"),
            Self::Reconnect(node) => format!("the rules that cut off node {node}"),
            Self::Uncordon(node) => format!("the cordon of node {node}"),
        }
    }

    /// Why there is nothing to undo any more, if so.
    pub(crate) async fn spared(&self, rest: &Rest, run: &str) -> Result<Option<&'static str>, KubeError> {
        Ok(match self {
            Self::Unpause(node) => (!kind::is_paused(node).await).then_some("it runs"),
            Self::Reconnect(node) => (!kind::is_cut_off(node).await).then_some("nothing cuts it off"),
            Self::Uncordon(node) => match rest.get(&node_path(node)).await {
                Ok(found) if found["spec"]["unschedulable"] != true => Some("it takes pods again"),
                Ok(found) if found["metadata"]["annotations"][CORDONED_BY] != run => Some("it is somebody else's"),
                Ok(_) => None,
                Err(error) if refusal(&error).is_some_and(|(code, _)| code == 404) => Some("the node is gone"),
                Err(error) => return Err(KubeError::api(format!("tell about node {node}"))(error)),
            },
        })
    }
}

pub(crate) fn node_path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

/// `kubectl uncordon`, and takes the run's mark away.
pub(crate) async fn uncordon(rest: &Rest, node: &str) -> Result<(), kube::Error> {
    let body = json!({ "metadata": { "annotations": { CORDONED_BY: null } }, "spec": { "unschedulable": null } });
    rest.patch(&format!("{}?fieldManager={MANAGER}", node_path(node)), Patch::Merge, &body).await.map(drop)
}

/// The list of a run, written before anything on it is done.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(crate) run: String,
    folder: PathBuf,
    noted: Arc<Mutex<BTreeSet<Remedy>>>,
}

impl Journal {
    /// Of a run whose folder is there.
    pub(crate) fn open(run: &str, folder: &Path) -> Self {
        Self { run: run.to_owned(), folder: folder.to_owned(), noted: Arc::new(Mutex::new(noted(folder))) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<Remedy>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, remedy: &Remedy) -> bool {
        self.lock().contains(remedy)
    }

    /// Before it is needed.
    pub(crate) fn note(&self, remedy: Remedy) -> Result<(), KubeError> {
        self.change(|noted| noted.insert(remedy))
    }

    /// When it has been applied.
    pub(crate) fn strike(&self, remedy: &Remedy) -> Result<(), KubeError> {
        self.change(|noted| noted.remove(remedy))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<Remedy>) -> bool) -> Result<(), KubeError> {
        let mut noted = self.lock();
        change(&mut noted);
        let (new, path) = (self.folder.join("remedies.new"), self.folder.join(FILE));
        let text = serde_json::to_string_pretty(&*noted).unwrap_or_default();
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|source| KubeError::Folder { path, source })
    }
}

/// What a run's folder has on its list.
pub(crate) fn noted(folder: &Path) -> BTreeSet<Remedy> {
    fs::read(folder.join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Wakes and connects the nodes on a run's list: before anybody is asked who may be on one of them. What has been done.
pub(crate) async fn wake(journal: &Journal) -> Result<Vec<String>, KubeError> {
    let mut done = Vec::new();
    for remedy in noted(&journal.folder) {
        match &remedy {
            Remedy::Unpause(node) if kind::is_paused(node).await => kind::pause(node, false).await?,
            Remedy::Reconnect(node) if kind::is_cut_off(node).await => kind::cut_off(node, false).await?,
            _ => continue,
        }
        done.push(remedy.told());
        journal.strike(&remedy)?;
    }
    Ok(done)
}

/// Undoes what is on a run's list, and empties it.
pub(crate) async fn put_back(rest: &Rest, journal: &Journal) -> Result<(), KubeError> {
    wake(journal).await?;
    for remedy in noted(&journal.folder) {
        if let Remedy::Uncordon(node) = &remedy
            && remedy.spared(rest, &journal.run).await?.is_none()
        {
            uncordon(rest, node).await.map_err(KubeError::api("uncordon a node"))?;
        }
        journal.strike(&remedy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_outlives_its_run_and_is_undone_from_the_node_up() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open("r1", folder.path());
        journal.note(Remedy::Uncordon("worker".into())).unwrap();
        journal.note(Remedy::Reconnect("worker".into())).unwrap();
        journal.note(Remedy::Unpause("worker2".into())).unwrap();
        drop(journal); // as the kernel does when a process is killed
        let told: Vec<String> = noted(folder.path()).iter().map(Remedy::told).collect();
        assert_eq!(
            told,
            ["the pause of node worker2", "the rules that cut off node worker", "the cordon of node worker"]
        );
        let journal = Journal::open("r1", folder.path());
        journal.strike(&Remedy::Reconnect("worker".into())).unwrap();
        assert_eq!(noted(folder.path()).len(), 2);
        assert!(journal.has(&Remedy::Uncordon("worker".into())));
    }
}
