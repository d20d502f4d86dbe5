//! `v1/Node` documents, read into nodes.

use k8s_openapi::api::core::v1;
use platform::{Effect, Node, Taint};
use units::{Bytes, Millicores};

use crate::ManifestError;
use crate::object::Object;

/// The default nodes.
pub(crate) const BUILT_IN: &str = include_str!("../../../kind-config/nodes/default.yaml");
/// Their name in places.
pub(crate) const BUILT_IN_FILE: &str = "built-in/nodes.yaml";
/// The kubelet's default of `maxPods`.
const PODS: u32 = 110;

/// All nodes of a text. Documents of another kind are an error: a nodes file has nothing else.
pub(crate) fn read(text: &str, file: &str) -> Result<Vec<Node>, ManifestError> {
    let nodes = crate::objects(&[(file.to_owned(), text.to_owned())])?
        .iter()
        .map(|object| match object.kind.as_str() {
            "Node" => node(object),
            _ => Err(object.refuse("kind", "a nodes file holds nodes only", "remove this document, or make it a Node")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if nodes.is_empty() { Err(ManifestError::NoNode { file: file.to_owned() }) } else { Ok(nodes) }
}

fn node(object: &Object) -> Result<Node, ManifestError> {
    let typed: v1::Node = object.typed()?;
    let status = typed.status.unwrap_or_default();
    // A node that says only its capacity keeps nothing for itself.
    let (list, path) = match &status.allocatable {
        Some(list) => (Some(list), "status.allocatable"),
        None => (status.capacity.as_ref(), "status.capacity"),
    };
    let absent = |resource: &str| {
        let problem = format!("says nothing about {resource}");
        object.refuse("status.allocatable", &problem, "write status.allocatable with cpu and memory")
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
            let path = format!("spec.taints[{index}].effect");
            let effect = effect(object, &path, &taint.effect)?;
            Ok(Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect })
        })
        .collect::<Result<_, ManifestError>>()?;
    Ok(Node { name: object.name.clone(), labels: typed.metadata.labels.unwrap_or_default(), cpu, memory, pods, taints })
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
