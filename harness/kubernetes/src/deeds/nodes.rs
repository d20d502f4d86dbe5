//! What befalls nodes of a cluster that has its own: cordoned, drained, switched off, cut off. What is to be undone is noted
//! before.

use serde_json::json;

use super::{DRAIN_RETRY, LOOK, Operator, Outcome};
use crate::KubeError;
use crate::apply::MANAGER;
use crate::elsewhere::{self, CORDONED_BY, Remedy, node_path};
use crate::rest::{self, Patch};
use crate::writer::PodRef;

/// How a node that is a container of this machine is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Every process of it is stopped.
    Power,
    /// Its packets are dropped.
    Network,
}

impl Operator {
    fn broke(&self, what: String, error: &KubeError) {
        self.tell(Outcome::Failed { what, why: error.told() });
    }

    /// Loses a node that is a container of this machine.
    pub(crate) async fn lose(self, node: String, loss: Loss) {
        let lost = async {
            let remedy = match loss {
                Loss::Power => Remedy::Unpause(node.clone()),
                Loss::Network => Remedy::Reconnect(node.clone()),
            };
            self.journal.as_ref().map_or(Ok(()), |journal| journal.note(remedy))?;
            match loss {
                Loss::Power => elsewhere::pause(&node, true).await,
                Loss::Network => elsewhere::cut_off(&node, true).await,
            }
        };
        if let Err(error) = lost.await {
            self.broke(format!("lose node {node}"), &error);
        }
    }

    /// Gives it back.
    pub(crate) async fn give_back(self, node: String) {
        let Some(journal) = &self.journal else { return };
        let given = async {
            // What has stopped answers no command.
            let (paused, cut) = (Remedy::Unpause(node.clone()), Remedy::Reconnect(node.clone()));
            if journal.has(&paused) {
                elsewhere::pause(&node, false).await?;
                journal.strike(&paused)?;
            }
            if journal.has(&cut) {
                elsewhere::cut_off(&node, false).await?;
                journal.strike(&cut)?;
            }
            Ok(())
        };
        if let Err(error) = given.await {
            self.broke(format!("give node {node} back"), &error);
        }
    }

    /// `kubectl cordon` and `uncordon`. A node that somebody else has cordoned stays so.
    pub(crate) async fn cordon(&self, node: &str, cordoned: bool) {
        let Some(journal) = &self.journal else {
            let body = json!({ "spec": { "unschedulable": cordoned } });
            return self.patch("cordon", &node_path(node), Patch::Merge, &body).await;
        };
        let remedy = Remedy::Uncordon(node.to_owned());
        let done = async {
            let api = |what: &'static str| move |error| KubeError::api(what)(error);
            match (cordoned, journal.has(&remedy)) {
                (true, false) => {
                    let found = self.rest.get(&node_path(node)).await.map_err(api("tell about a node"))?;
                    if found["spec"]["unschedulable"] == true {
                        return Ok(());
                    }
                    journal.note(remedy)?;
                    let mark = json!({ CORDONED_BY: journal.run });
                    let body = json!({ "metadata": { "annotations": mark }, "spec": { "unschedulable": true } });
                    let path = format!("{}?fieldManager={MANAGER}", node_path(node));
                    self.rest.patch(&path, Patch::Merge, &body).await.map_err(api("cordon a node"))?;
                    Ok(())
                }
                (false, true) => {
                    elsewhere::uncordon(&self.rest, node).await.map_err(api("uncordon a node"))?;
                    journal.strike(&remedy)
                }
                _ => Ok(()),
            }
        };
        if let Err(error) = done.await {
            self.broke(format!("{} node {node}", if cordoned { "cordon" } else { "uncordon" }), &error);
        }
    }

    /// `kubectl drain`: evicts what is on a node, again and again where that is refused, until nothing is left but what
    /// DaemonSets made. It is cordoned already.
    pub(crate) async fn drain(self, index: usize, pods: Vec<PodRef>) {
        let leaving = pods.iter().map(|target| self.leave(target));
        futures_util::future::join_all(leaving).await;
        self.tell(Outcome::Drained { node: index });
    }

    #[expect(clippy::disallowed_methods, reason = "kubectl's own pauses, which are as coarse")]
    async fn leave(&self, target: &PodRef) {
        while self.evict(target).await == Some(false) {
            tokio::time::sleep(DRAIN_RETRY).await;
        }
        while let Ok(found) = self.rest.get(&rest::pod(&target.namespace, &target.name, "")).await {
            if found["metadata"]["uid"].as_str() != Some(&target.uid) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
