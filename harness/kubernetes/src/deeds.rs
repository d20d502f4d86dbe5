//! What a scenario does to a cluster, done through the API as an operator would: `kubectl delete`, `drain`, `rollout`.
//!
//! Owns the requests and their repetitions. What they lead to comes back by the watches; only what no object shows is
//! told from here ([`Outcome`]).

mod network;
mod nodes;
mod policy;

use std::sync::Arc;
use std::time::Duration;

use cluster::Flaw;
use platform::{Workload, WorkloadKind};
use serde_json::{Value, json};

pub(crate) use network::{known_by, network_policy, network_policy_path};
pub(crate) use nodes::Loss;
pub(crate) use policy::{quota_object, quota_path};

use crate::apply::{self, MANAGER};
use crate::elsewhere::Journal;
use crate::rest::{Patch, Rest, pod, refusal, told};
use crate::watching::{Post, Word};
use crate::writer::PodRef;

/// Marks a template whose containers are to fail; understood by our own kubelets.
pub(crate) const FLAW: &str = "rehearse.dev/flaw";
/// A registry that nobody can have (RFC 2606).
pub(crate) const NO_REGISTRY: &str = "no-such-registry.invalid";
/// `kubectl drain` asks again so long after a refusal (`k8s.io/kubectl/pkg/drain/drain.go`).
const DRAIN_RETRY: Duration = Duration::from_secs(5);
/// Between two looks at a pod that is on its way out, as `kubectl drain` takes them.
const LOOK: Duration = Duration::from_secs(1);

/// How something ended that no object shows.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The eviction subresource took it.
    Evicted { pod: String },
    /// It refused.
    Refused { pod: String, status: u16, message: String },
    /// A drain left nothing on the node.
    Drained { node: usize },
    /// It could not be done.
    Failed { what: String, why: String },
}

/// Does things for the control side.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) rest: Rest,
    pub(crate) post: Post,
    /// Where it is noted what is to be undone about nodes, if the cluster outlives the run.
    pub(crate) journal: Option<Journal>,
}

impl Operator {
    fn tell(&self, outcome: Outcome) {
        self.post.tell(Word::Deed(outcome));
    }

    fn failed(&self, what: &str, error: &kube::Error) {
        self.tell(Outcome::Failed { what: what.to_owned(), why: told(error) });
    }

    async fn patch(&self, what: &str, path: &str, kind: Patch, body: &Value) {
        if let Err(error) = self.rest.patch(&format!("{path}?fieldManager={MANAGER}"), kind, body).await {
            self.failed(what, &error);
        }
    }

    /// `kubectl apply` of an object of the run's own. `what`: it, in words.
    pub(crate) async fn set(self, what: String, object: Value, run: String) {
        if let Err(error) = apply::apply(&self.rest, &run, &[object]).await {
            self.tell(Outcome::Failed { what: format!("set {what}"), why: error.told() });
        }
    }

    /// `kubectl delete` of what is at a path.
    pub(crate) async fn unset(self, path: String) {
        match self.rest.delete_with(&path, &json!({})).await {
            Err(error) if !gone(&error) => self.failed(&format!("delete {path}"), &error),
            _ => {}
        }
    }

    /// `kubectl scale`.
    pub(crate) async fn scale(self, workload: Arc<Workload>, replicas: u32) {
        let body = json!({ "spec": { "replicas": replicas } });
        self.patch("scale", &format!("{}/scale", path(&workload)), Patch::Merge, &body).await;
    }

    /// `kubectl delete pod`.
    pub(crate) async fn delete(self, target: PodRef, forced: bool) {
        let path = pod(&target.namespace, &target.name, "");
        match self.rest.delete(&path, &target.uid, forced).await {
            Err(error) if !gone(&error) => self.failed(&format!("delete pod {}", target.name), &error),
            _ => {}
        }
    }

    /// Asks the eviction subresource once. Whether it was taken; `None`: the pod has gone.
    pub(crate) async fn evict(&self, target: &PodRef) -> Option<bool> {
        let PodRef { namespace, name, uid } = target;
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "namespace": namespace, "name": name },
            "deleteOptions": { "preconditions": { "uid": uid } },
        });
        match self.rest.post(&pod(namespace, name, "eviction"), &body).await {
            Ok(_) => {
                self.tell(Outcome::Evicted { pod: name.clone() });
                Some(true)
            }
            Err(error) if gone(&error) => None,
            Err(error) => {
                let (status, message) = match &error {
                    kube::Error::Api(status) => {
                        let causes = status.details.iter().flat_map(|details| &details.causes);
                        let causes = causes.map(|cause| cause.message.as_str());
                        let words: Vec<&str> = std::iter::once(status.message.as_str()).chain(causes).collect();
                        (status.code, words.join(" "))
                    }
                    other => (0, told(other)),
                };
                self.tell(Outcome::Refused { pod: name.clone(), status, message });
                Some(false)
            }
        }
    }

    /// `kubectl rollout restart`, or `kubectl set image` with one that cannot be pulled, or a template that fails.
    /// `nth` makes every template another one.
    pub(crate) async fn roll_out(self, workload: Arc<Workload>, flaw: Flaw, nth: u32) {
        let mut annotations = json!({ "rehearse.dev/rollout": nth.to_string(), FLAW: Value::Null });
        let mut template = json!({});
        match flaw {
            Flaw::None => {}
            Flaw::Crash => annotations[FLAW] = "crash".into(),
            Flaw::NeverReady => annotations[FLAW] = "never-ready".into(),
            Flaw::ImagePull => {
                let image = |name: &str| json!([{ "name": name, "image": format!("{NO_REGISTRY}/{name}:{nth}") }]);
                template["spec"]["containers"] =
                    workload.containers.first().map(|container| image(&container.name)).unwrap_or_default();
            }
        }
        template["metadata"]["annotations"] = annotations;
        let body = json!({ "spec": { "template": template } });
        self.patch(&format!("roll {} out", workload.name), &path(&workload), Patch::Strategic, &body).await;
    }

    /// `kubectl rollout undo`: to the revision before this one, or to the one that is named.
    pub(crate) async fn roll_back(self, workload: Arc<Workload>, revision: Option<u64>) {
        let what = format!("roll {} back", workload.name);
        let undone = match workload.kind {
            WorkloadKind::Deployment => self.undo_deployment(&workload, revision).await,
            _ => self.undo_by_revision(&workload, revision).await,
        };
        match undone {
            Ok(true) => {}
            Ok(false) => {
                self.tell(Outcome::Failed { what, why: "there is no earlier revision of it".to_owned() });
            }
            Err(error) => self.failed(&what, &error),
        }
    }

    /// `k8s.io/kubectl/pkg/polymorphichelpers/rollback.go`, `DeploymentRollbacker`: the template of an old `ReplicaSet`,
    /// without the hash that the controller adds.
    async fn undo_deployment(&self, workload: &Workload, wanted: Option<u64>) -> Result<bool, kube::Error> {
        let uid = self.rest.get(&path(workload)).await?["metadata"]["uid"].clone();
        let all = self.rest.get(&format!("/apis/apps/v1/namespaces/{}/replicasets", workload.namespace)).await?;
        let revision = |set: &Value| -> Option<u64> {
            set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str()?.parse().ok()
        };
        let Some(old) = earlier(&all["items"], &uid, wanted, revision) else { return Ok(false) };
        let mut template = old["spec"]["template"].clone();
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove("pod-template-hash");
        }
        let body = json!([{ "op": "replace", "path": "/spec/template", "value": template }]);
        self.rest.patch(&path(workload), Patch::Json, &body).await.map(|_| true)
    }

    /// The same of a StatefulSet or a DaemonSet: their revisions are patches.
    async fn undo_by_revision(&self, workload: &Workload, wanted: Option<u64>) -> Result<bool, kube::Error> {
        let uid = self.rest.get(&path(workload)).await?["metadata"]["uid"].clone();
        let all =
            self.rest.get(&format!("/apis/apps/v1/namespaces/{}/controllerrevisions", workload.namespace)).await?;
        let Some(old) = earlier(&all["items"], &uid, wanted, |revision| revision["revision"].as_u64()) else {
            return Ok(false);
        };
        self.rest.patch(&path(workload), Patch::Strategic, &old["data"]).await.map(|_| true)
    }
}

/// Of what `uid` owns: the one with the wanted revision, or that before the newest.
fn earlier<'a>(
    items: &'a Value,
    uid: &Value,
    wanted: Option<u64>,
    revision: impl Fn(&Value) -> Option<u64>,
) -> Option<&'a Value> {
    let owned = |item: &&Value| {
        let owners = item["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
    };
    let mut all: Vec<(u64, &Value)> =
        items.as_array()?.iter().filter(owned).filter_map(|item| Some((revision(item)?, item))).collect();
    all.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    match wanted {
        Some(wanted) => all.iter().find(|(revision, _)| *revision == wanted),
        None => all.get(1),
    }
    .map(|(_, item)| *item)
}

fn gone(error: &kube::Error) -> bool {
    matches!(refusal(error), Some((404 | 409, _)))
}

/// The path of a workload.
pub(crate) fn path(workload: &Workload) -> String {
    let plural = match workload.kind {
        WorkloadKind::Deployment => "apis/apps/v1/{}/deployments",
        WorkloadKind::StatefulSet { .. } => "apis/apps/v1/{}/statefulsets",
        WorkloadKind::DaemonSet => "apis/apps/v1/{}/daemonsets",
        WorkloadKind::Job { .. } => "apis/batch/v1/{}/jobs",
        WorkloadKind::CronJob { .. } => "apis/batch/v1/{}/cronjobs",
        WorkloadKind::Pod => "api/v1/{}/pods",
    };
    let plural = plural.replace("{}", &format!("namespaces/{}", workload.namespace));
    format!("/{plural}/{}", workload.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undo_goes_to_the_revision_before_the_newest_of_its_own() {
        let set = |owner: &str, revision: u64| json!({ "metadata": { "ownerReferences": [{ "uid": owner }] }, "revision": revision });
        let items = json!([set("a", 1), set("a", 3), set("b", 9), set("a", 2)]);
        let find = |wanted| {
            earlier(&items, &json!("a"), wanted, |item| item["revision"].as_u64()).map(|item| item["revision"].clone())
        };
        assert_eq!(find(None), Some(json!(2)));
        assert_eq!(find(Some(1)), Some(json!(1)));
        assert_eq!(find(Some(9)), None, "somebody else's");
    }
}
