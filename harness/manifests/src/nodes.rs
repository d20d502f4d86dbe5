//! `v1/Node` documents, read into nodes, and `rehearse/v1` `NodeGroup`s beside them.

use k8s_openapi::api::core::v1;
use platform::{Effect, Node, NodeGroup, Taint};
use serde::Deserialize;
use units::{Bytes, Millicores, Nanos};

use crate::ManifestError;
use crate::object::Object;

/// The default nodes.
pub(crate) const BUILT_IN: &str = include_str!("../../../kind-config/nodes/default.yaml");
/// Their name in places.
pub(crate) const BUILT_IN_FILE: &str = "built-in/nodes.yaml";
/// The kubelet's default of `maxPods`.
const PODS: u32 = 110;

/// What every node says of itself without being told: its kubelet (`initialNode`) by the first name, and the node
/// lifecycle controller (`labelReconcileInfo`) by the old one. Pods select nodes by them. Linux on amd64 unless a file
/// says otherwise.
const KUBELET_LABELS: &[(&str, &str, &str)] = &[
    ("kubernetes.io/os", "beta.kubernetes.io/os", "linux"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch", "amd64"),
];

/// What a `NodeGroup` says besides its template.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupSpec {
    #[serde(default)]
    min: u32,
    max: u32,
    /// Whole seconds from the order to a node that takes pods.
    provision_seconds: u32,
    /// Whole seconds without pods of its own after which a node goes; absent: it stays.
    idle_seconds: Option<u32>,
    /// `metadata`, `spec` and `status` as of a Node.
    #[serde(rename = "template")]
    _template: serde_json::Value,
}

/// All nodes of a text. Documents of another kind are an error: a nodes file has nothing but nodes and node groups.
pub(crate) fn read(text: &str, file: &str) -> Result<Vec<Node>, ManifestError> {
    let objects = crate::objects(text, file)?;
    let nodes = objects
        .iter()
        .filter(|object| !is_group(object))
        .map(|object| match object.kind.as_str() {
            "Node" => node(object, ""),
            _ => Err(object.refuse("kind", "a nodes file holds nodes only", "remove this document, or make it a Node")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() && !objects.iter().any(is_group) {
        Err(ManifestError::NoNode { file: file.to_owned() })
    } else {
        Ok(nodes)
    }
}

fn is_group(object: &Object) -> bool {
    object.kind == "NodeGroup" && object.api_version == "rehearse/v1"
}

/// The node groups of a nodes file.
pub(crate) fn groups(text: &str, file: &str) -> Result<Vec<NodeGroup>, ManifestError> {
    crate::objects(text, file)?.iter().filter(|object| is_group(object)).map(group).collect()
}

fn group(object: &Object) -> Result<NodeGroup, ManifestError> {
    let spec: GroupSpec = object.typed_at("spec")?;
    if spec.max == 0 || spec.min > spec.max {
        let problem = format!("from {} to {} nodes is no group", spec.min, spec.max);
        return Err(object.refuse("spec.max", &problem, "write a max of 1 at least, and no less than min"));
    }
    Ok(NodeGroup {
        name: object.name.clone(),
        template: node(object, "spec.template")?,
        min: spec.min,
        max: spec.max,
        provision: Nanos::from_secs(spec.provision_seconds.into()),
        idle: spec.idle_seconds.map(|secs| Nanos::from_secs(secs.into())),
    })
}

/// The node that stands at `base`, which is the whole object for a Node.
fn node(object: &Object, base: &str) -> Result<Node, ManifestError> {
    let at = |path: &str| if base.is_empty() { path.to_owned() } else { format!("{base}.{path}") };
    let typed: v1::Node = object.typed_at(base)?;
    let status = typed.status.unwrap_or_default();
    // A node that says only its capacity keeps nothing for itself.
    let (list, path) = match &status.allocatable {
        Some(list) => (Some(list), at("status.allocatable")),
        None => (status.capacity.as_ref(), at("status.capacity")),
    };
    let path = path.as_str();
    let absent = |resource: &str| {
        let problem = format!("says nothing about {resource}");
        object.refuse(&at("status.allocatable"), &problem, "write status.allocatable with cpu and memory")
    };
    let cpu: Millicores = object.quantity(list, "cpu", path)?.ok_or_else(|| absent("cpu"))?;
    let memory: Bytes = object.quantity(list, "memory", path)?.ok_or_else(|| absent("memory"))?;
    // Pods are counted in whole ones, so bytes' reading of the quantity fits.
    let pods: Option<Bytes> = object.quantity(list, "pods", path)?;
    let pods = pods.map_or(PODS, |pods| u32::try_from(pods.get()).unwrap_or(u32::MAX));
    let spec = typed.spec.unwrap_or_default();
    let taints = spec.taints.unwrap_or_default().into_iter().enumerate();
    let taints = taints
        .map(|(index, taint)| {
            let path = at(&format!("spec.taints[{index}].effect"));
            let effect = effect(object, &path, &taint.effect)?;
            Ok(Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect })
        })
        .collect::<Result<_, ManifestError>>()?;
    let mut labels = typed.metadata.labels.unwrap_or_default();
    // Nodes of a group are named when they come.
    if base.is_empty() {
        labels.entry("kubernetes.io/hostname".to_owned()).or_insert_with(|| object.name.clone());
    }
    for (key, old, value) in KUBELET_LABELS {
        let value = labels.entry((*key).to_owned()).or_insert_with(|| (*value).to_owned()).clone();
        labels.entry((*old).to_owned()).or_insert(value);
    }
    Ok(Node { name: object.name.clone(), labels, cpu, memory, pods, taints })
}

/// A taint's effect, of a node or in a toleration.
pub(crate) fn effect(object: &Object, path: &str, text: &str) -> Result<Effect, ManifestError> {
    match text {
        "NoSchedule" => Ok(Effect::NoSchedule),
        "PreferNoSchedule" => Ok(Effect::PreferNoSchedule),
        "NoExecute" => Ok(Effect::NoExecute),
        other => Err(object.refuse(
            path,
            &format!("`{other}` is no effect of a taint"),
            "write NoSchedule, PreferNoSchedule or NoExecute",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_say_what_every_kubelet_says() {
        let text = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {kubernetes.io/arch: arm64}}\n\
                    status: {allocatable: {cpu: '1', memory: 1Gi}}\n";
        let node = &read(text, "n.yaml").unwrap()[0];
        let label = |key: &str| node.labels.get(key).map(String::as_str);
        assert_eq!((label("kubernetes.io/os"), label("beta.kubernetes.io/os")), (Some("linux"), Some("linux")));
        assert_eq!(label("kubernetes.io/hostname"), Some("a"));
        assert_eq!((label("kubernetes.io/arch"), label("beta.kubernetes.io/arch")), (Some("arm64"), Some("arm64")));
    }
}
