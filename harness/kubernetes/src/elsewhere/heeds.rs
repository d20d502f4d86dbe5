//! Whether a cluster's network heeds a `NetworkPolicy`. No API says so: a pod of our own is reached, forbidden to everybody,
//! and not reached any more.

use std::net::IpAddr;
use std::time::Duration;

use containers::Image;
use containers::images::TAG;
use platform::WorkloadId;
use scenarios::{FaultKind, Party, Plan};
use serde_json::{Value, json};

use super::objects::{self, pause};
use super::{Cluster, layer};
use crate::KubeError;
use crate::deeds::{known_by, network_policy_path};
use crate::{apply, rest};

const NAME: &str = "rehearse-reached";
/// Looks at it before it answers: its node may have to pull the image.
const LOOKS: u32 = 240;
/// Looks at it afterwards: a network may take a while to hear of a policy.
const HEARS: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(2);
const PORT: u16 = 8000;

/// A pod that answers, in a namespace.
fn pod(namespace: &str, registry: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": NAME, "namespace": namespace, "labels": { "app.kubernetes.io/name": NAME } },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": false,
            "containers": [{
                "name": "service", "image": format!("{registry}/{}:{TAG}", Image::MockService.name()),
                "imagePullPolicy": "IfNotPresent",
                // One of the shipped profiles: any of them answers on its health path.
                "args": ["auth-service", "--listen", format!("0.0.0.0:{PORT}")],
                "resources": { "requests": { "cpu": "10m", "memory": "16Mi" } },
            }],
        },
    })
}

/// Nobody may come to it.
fn closed(namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": NAME, "namespace": namespace },
        "spec": { "podSelector": { "matchLabels": { "app.kubernetes.io/name": NAME } }, "policyTypes": ["Ingress"] },
    })
}

/// The plan's black holes: their names, and whose pods are to hear nothing.
fn holes(plan: &Plan) -> impl Iterator<Item = (&str, WorkloadId)> {
    plan.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Blackhole { to: Party::Workload(to), .. } => Some((fault.name.as_str(), to)),
        _ => None,
    })
}

/// Paths of the policies that a plan's faults set.
pub(super) fn policies(plan: &Plan) -> Vec<String> {
    let deeds = (0..plan.faults.len()).flat_map(|fault| plan.deeds(fault, true, &[]));
    deeds
        .filter_map(|deed| match deed {
            scenarios::Deed::Act(cluster::Action::Allow { name, to }) => {
                Some(network_policy_path(&plan.platform.workload(to).namespace, &name))
            }
            _ => None,
        })
        .collect()
}

impl Cluster {
    /// Addresses of its nodes.
    pub(super) fn node_addresses(&self) -> Vec<IpAddr> {
        let addresses = self.nodes.iter().filter_map(|node| node["status"]["addresses"].as_array()).flatten();
        let internal = addresses.filter(|one| one["type"] == "InternalIP");
        internal.filter_map(|one| one["address"].as_str()?.parse().ok()).collect()
    }

    /// Refuses black holes that would be none: where a policy is not heeded, or another one lets in what ours keeps out.
    /// `registry`: where our own images are, if they are not in the nodes.
    pub(super) async fn heeds(
        &mut self,
        plan: &Plan,
        registry: Option<&str>,
        say: &mut dyn FnMut(&str),
    ) -> Result<(), KubeError> {
        let mut first = None;
        for (fault, to) in holes(plan) {
            let workload = plan.platform.workload(to);
            let path = network_policy_path(&workload.namespace, "");
            let found = self.rest.get(path.trim_end_matches('/')).await;
            let found = found.map_err(KubeError::api("list network policies"))?;
            let admits = |policy: &&Value| {
                let kinds = policy["spec"]["policyTypes"].as_array(); // the API server fills it in
                let of_ingress = kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind == "Ingress"));
                of_ingress && may_select(&policy["spec"]["podSelector"], known_by(workload))
            };
            if let Some(policy) = found["items"].as_array().into_iter().flatten().find(admits) {
                return Err(KubeError::Admitted {
                    fault: fault.to_owned(),
                    workload: workload.name.clone(),
                    policy: policy["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                });
            }
            first.get_or_insert((fault.to_owned(), &workload.namespace));
        }
        let Some((fault, namespace)) = first else { return Ok(()) };
        say("a pod of our own is shut off, to see whether the network heeds policies");
        let registry = registry.unwrap_or(layer::NO_REGISTRY);
        let objects = [pod(namespace, registry), closed(namespace)];
        self.put(&objects[..1]).await?;
        let reached = self.reached(namespace, LOOKS, true).await;
        let heeded = if reached {
            self.put(&objects[1..]).await?;
            self.reached(namespace, HEARS, false).await
        } else {
            false
        };
        let run = &self.ledger.note.run;
        let paths = apply::paths(&self.rest, &objects).await?;
        objects::remove(&self.rest, run, &objects::there(&self.rest, run, &paths).await?).await?;
        match (reached, heeded) {
            (true, true) => Ok(()),
            (false, _) => Err(KubeError::Unheeded { fault, why: "a pod of ours there cannot be reached at all" }),
            (true, false) => {
                Err(KubeError::Unheeded { fault, why: "the cluster's network does not heed a NetworkPolicy" })
            }
        }
    }

    /// Whether our pod is reached, or is not any more, within so many looks. That it is not has to be seen twice.
    async fn reached(&self, namespace: &str, looks: u32, wanted: bool) -> bool {
        let path = rest::pod(namespace, &format!("{NAME}:{PORT}"), "proxy/health");
        let mut seen = 0;
        for _ in 0..looks {
            let asked = tokio::time::timeout(PATIENCE, self.rest.text(&path)).await;
            seen = if matches!(asked, Ok(Ok(_))) == wanted { seen + 1 } else { 0 };
            if seen == 2 {
                return true;
            }
            pause().await;
        }
        false
    }
}

/// Whether a selector may select pods with these labels: expressions are taken to.
fn may_select(selector: &Value, labels: &platform::Labels) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted.into_iter().flatten().all(|(key, value)| labels.get(key).is_none_or(|own| value == own.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_may_select_the_pods_is_found() {
        let labels: platform::Labels = [("app".to_owned(), "db".to_owned())].into_iter().collect();
        for (case, selector, want) in [
            ("everybody", json!({}), true),
            ("them", json!({ "matchLabels": { "app": "db" } }), true),
            ("others", json!({ "matchLabels": { "app": "web" } }), false),
            ("perhaps them", json!({ "matchLabels": { "tier": "back" } }), true),
        ] {
            assert_eq!(may_select(&selector, &labels), want, "{case}");
        }
    }
}
