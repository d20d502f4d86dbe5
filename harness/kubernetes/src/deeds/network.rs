//! Pods that hear nothing of others: a `NetworkPolicy`, which the cluster's own network has to heed.
//!
//! A policy only says what may come, so one that keeps some pods out lets everybody else in: pods of the same namespace
//! that lack one of the labels, pods of all others, and nodes, whose kubelets probe.

use std::net::IpAddr;

use platform::{Labels, Workload};
use serde_json::{Value, json};

/// Every namespace carries its name.
const NAME: &str = "kubernetes.io/metadata.name";

/// The path of a policy.
pub(crate) fn network_policy_path(namespace: &str, name: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}")
}

/// By these pods of a workload are known: the labels of its selector, or all that they carry if it has expressions.
pub(crate) const fn known_by(workload: &Workload) -> &Labels {
    if workload.selector.expressions.is_empty() { &workload.selector.labels } else { &workload.labels }
}

/// The policy by which pods of `to` take nothing from pods of `from`.
pub(crate) fn network_policy(name: &str, from: &Workload, to: &Workload, nodes: &[IpAddr]) -> Value {
    let in_namespace = json!({ "matchLabels": { NAME: from.namespace } });
    let lacking = known_by(from).iter().map(|(key, value)| {
        let lacks = json!({ "key": key, "operator": "NotIn", "values": [value] });
        json!({ "namespaceSelector": in_namespace, "podSelector": { "matchExpressions": [lacks] } })
    });
    let elsewhere = json!({ "key": NAME, "operator": "NotIn", "values": [from.namespace] });
    let elsewhere = json!({ "namespaceSelector": { "matchExpressions": [elsewhere] } });
    let nodes = nodes.iter().map(|node| {
        let bits = if node.is_ipv4() { 32 } else { 128 };
        json!({ "ipBlock": { "cidr": format!("{node}/{bits}") } })
    });
    let peers: Vec<Value> = lacking.chain([elsewhere]).chain(nodes).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": to.namespace },
        "spec": {
            "podSelector": { "matchLabels": known_by(to) }, "policyTypes": ["Ingress"], "ingress": [{ "from": peers }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_come_but_those() {
        let workload = |name: &str, labels: &[(&str, &str)]| {
            let labels: Labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let mut workload = Workload { name: name.into(), namespace: "shop".into(), ..Default::default() };
            workload.selector.labels = labels;
            workload
        };
        let from = workload("web", &[("app", "web"), ("tier", "front")]);
        let policy =
            network_policy("rehearse-cut", &from, &workload("db", &[("app", "db")]), &["10.0.0.2".parse().unwrap()]);
        assert_eq!(policy["spec"]["podSelector"], json!({ "matchLabels": { "app": "db" } }));
        let peers = policy["spec"]["ingress"][0]["from"].as_array().unwrap();
        // Not of this application, or not of this tier, or of another namespace, or a node.
        assert_eq!(peers.len(), 4);
        assert_eq!(peers[1]["podSelector"]["matchExpressions"][0]["key"], "tier");
        assert_eq!(peers[3]["ipBlock"]["cidr"], "10.0.0.2/32");
    }
}
