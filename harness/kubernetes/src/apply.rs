//! The platform's objects, applied as `kubectl apply --server-side` does: raw documents, strictly validated.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::KubeError;
use crate::rest::{Answer, Patch, Rest, told};

/// Who owns the fields that we set.
pub(crate) const MANAGER: &str = "rehearse";
/// Carries the id of the run on every object of ours.
pub(crate) const RUN_LABEL: &str = "rehearse.dev/run";
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// How often an object is sent while a quota has not been counted.
const COUNTS: u32 = 40;

/// Where a kind of object lives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    plural: String,
    namespaced: bool,
}

/// What the API server serves, by group and version, then by kind.
#[derive(Debug, Default)]
struct Kinds(BTreeMap<String, BTreeMap<String, Served>>);

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many objects.
    pub objects: usize,
    /// `Kind/name` of those whose kind this API server does not serve: its definition is not installed.
    pub unknown: Vec<String>,
}

/// Applies objects in the order in which they need each other: namespaces first, workloads last but for what scales
/// them.
pub(crate) async fn apply(rest: &Rest, run: &str, objects: &[Value]) -> Result<Applied, KubeError> {
    let mut applied = Applied::default();
    let mut kinds = Kinds::default();
    let mut waves: BTreeMap<u8, Vec<&Value>> = BTreeMap::new();
    for object in objects {
        waves.entry(wave(kind(object))).or_default().push(object);
    }
    for objects in waves.into_values() {
        let mut documents = Vec::new();
        for object in objects {
            match kinds.path(rest, object).await? {
                Some(path) => documents.push((path, labelled(object, run))),
                None => applied.unknown.push(named(object)),
            }
        }
        applied.objects += documents.len();
        let sending = documents.into_iter().map(|(path, document)| async move {
            let path = format!("{path}?fieldManager={MANAGER}&force=true&fieldValidation=Strict");
            send(rest, &path, &document).await.map_err(|error| KubeError::Refused {
                object: named(&document),
                namespace: text(&document, "/metadata/namespace").to_owned(),
                why: told(&error),
            })
        });
        // None is given up under way: what arrives after its run was cleaned up would stay.
        let sent: Vec<Result<Value, KubeError>> = stream::iter(sending).buffered(AT_ONCE).collect().await;
        sent.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(applied)
}

/// Applies one object. A quota refuses everything until its controller has counted for the first time.
async fn send(rest: &Rest, path: &str, document: &Value) -> Answer {
    for _ in 1..COUNTS {
        match rest.patch(path, Patch::Apply, document).await {
            Err(error) if told(&error).contains("status unknown for quota") => crate::elsewhere::look_again().await,
            answer => return answer,
        }
    }
    rest.patch(path, Patch::Apply, document).await
}

/// The paths of objects whose kinds this API server serves, in the order in which they are applied.
pub(crate) async fn paths(rest: &Rest, objects: &[Value]) -> Result<Vec<String>, KubeError> {
    let mut kinds = Kinds::default();
    let mut paths = Vec::new();
    for object in objects {
        paths.extend(kinds.path(rest, object).await?.map(|path| (wave(kind(object)), path)));
    }
    paths.sort_by_key(|(wave, _)| *wave);
    Ok(paths.into_iter().map(|(_, path)| path).collect())
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

fn named(object: &Value) -> String {
    format!("{}/{}", kind(object), text(object, "/metadata/name"))
}

fn labelled(object: &Value, run: &str) -> Value {
    let mut object = object.clone();
    if object["metadata"]["labels"].is_null() {
        object["metadata"]["labels"] = Value::Object(serde_json::Map::new());
    }
    object["metadata"]["labels"][RUN_LABEL] = run.into();
    object
}

/// Admission refuses a pod whose service account, priority class or quota comes too late; a pod that comes before its
/// budget is unprotected.
fn wave(kind: &str) -> u8 {
    match kind {
        "Namespace" | "CustomResourceDefinition" => 0,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod" => 2,
        "HorizontalPodAutoscaler" => 3,
        _ => 1,
    }
}

impl Kinds {
    /// The path of an object; `None`: this API server does not know its kind.
    async fn path(&mut self, rest: &Rest, object: &Value) -> Result<Option<String>, KubeError> {
        let (version, kind) = (text(object, "/apiVersion"), kind(object));
        let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        if !self.0.contains_key(version) {
            let served = match rest.get(&base).await {
                Ok(list) => served(&list),
                Err(error) if crate::rest::refusal(&error).is_some_and(|(code, _)| code == 404) => BTreeMap::new(),
                Err(error) => return Err(KubeError::api(format!("tell what {version} has"))(error)),
            };
            self.0.insert(version.to_owned(), served);
        }
        let Some(Served { plural, namespaced }) = self.0[version].get(kind) else { return Ok(None) };
        let name = text(object, "/metadata/name");
        let namespace = match text(object, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        Ok(Some(if *namespaced {
            format!("{base}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("{base}/{plural}/{name}")
        }))
    }
}

/// The kinds of an `APIResourceList`; subresources have a slash in their names.
fn served(list: &Value) -> BTreeMap<String, Served> {
    let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kinds = resources.iter().filter_map(|resource| {
        let plural = resource["name"].as_str().filter(|name| !name.contains('/'))?.to_owned();
        let namespaced = resource["namespaced"].as_bool()?;
        Some((resource["kind"].as_str()?.to_owned(), Served { plural, namespaced }))
    });
    kinds.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_label_joins_those_that_are_there() {
        let object = json!({ "kind": "Service", "metadata": { "name": "web", "labels": { "app": "web" } } });
        let labels = labelled(&object, "r1")["metadata"]["labels"].clone();
        assert_eq!(labels, json!({ "app": "web", "rehearse.dev/run": "r1" }));
        let bare = labelled(&json!({ "kind": "Service", "metadata": { "name": "web" } }), "r1");
        assert_eq!(bare["metadata"]["labels"], json!({ "rehearse.dev/run": "r1" }));
    }

    #[test]
    fn subresources_are_no_kinds() {
        let list = json!({ "resources": [
            { "name": "deployments", "kind": "Deployment", "namespaced": true },
            { "name": "deployments/scale", "kind": "Scale", "namespaced": true },
        ]});
        let kinds = served(&list);
        assert_eq!(kinds.keys().collect::<Vec<_>>(), ["Deployment"]);
        assert_eq!(kinds["Deployment"], Served { plural: "deployments".into(), namespaced: true });
    }
}
