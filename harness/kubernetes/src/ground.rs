//! The nodes that the control plane believes in: their objects, and the leases by which it hears that they live.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::Clock;
use futures_util::future::join_all;
use platform::{Effect, Node};
use serde_json::{Value, json};
use units::Nanos;

use crate::KubeError;
use crate::apply::{MANAGER, RUN_LABEL};
use crate::rest::{Patch, Rest};
use crate::wall::Wall;

/// How often a kubelet renews its node's lease: a quarter of `nodeLeaseDurationSeconds`, 40 s
/// (`pkg/kubelet/apis/config/v1beta1/defaults.go`).
pub(crate) const LEASE_EVERY: Nanos = Nanos::from_secs(10);
/// Until a renewal that failed is tried again.
const RETRY: Nanos = Nanos::from_millis(500);

/// Nodes whose kubelets are not heard, by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Silent(Arc<Mutex<BTreeSet<usize>>>);

impl Silent {
    pub(crate) fn set(&self, node: usize, silent: bool) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if silent {
            nodes.insert(node)
        } else {
            nodes.remove(&node)
        };
    }

    fn is(&self, node: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }
}

/// The address that a node shows.
pub(crate) fn address(node: usize) -> String {
    format!("10.0.{}.{}", node / 250, 1 + node % 250)
}

/// Makes the nodes, Ready.
pub(crate) async fn make(rest: &Rest, wall: Wall, now: Nanos, run: &str, nodes: &[Node]) -> Result<(), KubeError> {
    let making = nodes.iter().enumerate().map(|(index, node)| async move {
        let error = |what: &str| KubeError::api(format!("take {what} {}", node.name));
        let path = format!("/api/v1/nodes/{}", node.name);
        let query = format!("?fieldManager={MANAGER}&force=true");
        rest.patch(&format!("{path}{query}"), Patch::Apply, &object(node, run)).await.map_err(error("node"))?;
        rest.patch(&format!("{path}/status"), Patch::Strategic, &status(node, index, wall, now))
            .await
            .map_err(error("the status of node"))?;
        rest.patch(&format!("{}{query}", lease_path(&node.name)), Patch::Apply, &lease(&node.name, wall, now))
            .await
            .map_err(error("the lease of node"))?;
        Ok(())
    });
    join_all(making).await.into_iter().collect()
}

fn object(node: &Node, run: &str) -> Value {
    let mut labels = serde_json::Map::new();
    // What a kubelet puts on its own node; what the nodes file says counts.
    for (key, value) in
        [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64"), ("kubernetes.io/hostname", &node.name)]
    {
        labels.insert(key.to_owned(), value.into());
    }
    labels.extend(node.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    labels.insert(RUN_LABEL.to_owned(), run.into());
    let taint = |taint: &platform::Taint| {
        let effect = match taint.effect {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
        };
        json!({ "key": taint.key, "value": taint.value, "effect": effect })
    };
    let mut spec = json!({ "providerID": format!("rehearse://{}", node.name) });
    if !node.taints.is_empty() {
        spec["taints"] = node.taints.iter().map(taint).collect();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node.name, "labels": labels },
        "spec": spec,
    })
}

fn status(node: &Node, index: usize, wall: Wall, now: Nanos) -> Value {
    let resources = json!({
        "cpu": format!("{}m", node.cpu.get()),
        "memory": node.memory.get().to_string(),
        "ephemeral-storage": "1Ti",
        "pods": node.pods.to_string(),
    });
    let time = wall.time(now);
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "",
            "lastHeartbeatTime": time, "lastTransitionTime": time,
        })
    };
    json!({ "status": {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            { "type": "InternalIP", "address": address(index) },
            { "type": "Hostname", "address": node.name },
        ],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
    }})
}

fn lease_path(node: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}")
}

fn lease(node: &str, wall: Wall, now: Nanos) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": node, "namespace": "kube-node-lease" },
        "spec": { "holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": wall.micro_time(now) },
    })
}

/// Renews the leases of all nodes that are not silent, for ever. A renewal that fails is tried again at once: a node
/// must not be lost because a request was.
pub(crate) async fn beat(rest: Rest, clock: Clock, wall: Wall, nodes: Arc<[Node]>, silent: Silent, every: Nanos) {
    let one = |index: usize| {
        let (rest, clock, silent, name) = (rest.clone(), clock.clone(), silent.clone(), nodes[index].name.clone());
        async move {
            // Apart from each other, as the kubelets of real nodes are.
            clock.until(clock.now() + every * (index as u64 % 16) / 16).await;
            loop {
                let now = clock.now();
                let mut next = now + every;
                if !silent.is(index) {
                    let (path, renewed) = renewal(&name, wall, now);
                    let renewing = rest.patch(&path, Patch::Merge, &renewed);
                    let renewed = tokio::time::timeout(Duration::from_secs(5), renewing).await;
                    if !matches!(renewed, Ok(Ok(_))) {
                        next = clock.now() + RETRY;
                    }
                }
                clock.until(next).await;
            }
        }
    };
    join_all((0..nodes.len()).map(one)).await;
}

/// A node's status again, with condition Ready as of now: what a kubelet tells when it is back.
pub(crate) fn is_back(node: &Node, index: usize, wall: Wall, now: Nanos) -> (String, Value) {
    (format!("/api/v1/nodes/{}/status", node.name), status(node, index, wall, now))
}

/// The renewal of a node's lease: path and patch.
pub(crate) fn renewal(node: &str, wall: Wall, now: Nanos) -> (String, Value) {
    (lease_path(node), json!({ "spec": { "renewTime": wall.micro_time(now) } }))
}
