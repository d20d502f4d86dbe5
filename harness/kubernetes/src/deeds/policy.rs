//! Rules about pods that somebody sets or edits in the middle of a run: autoscalers and quotas.

use cluster::AutoscalerEdit;
use platform::Quota;
use serde_json::{Value, json};

use super::Operator;
use crate::rest::Patch;

/// The path of a quota.
pub(crate) fn quota_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/resourcequotas/{name}")
}

/// A quota as it is applied.
pub(crate) fn quota_object(quota: &Quota) -> Value {
    let mut hard = json!({});
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            hard[key] = value.into();
        }
    };
    set("pods", quota.pods.map(|pods| pods.to_string()));
    for (what, of) in [("requests", &quota.requests), ("limits", &quota.limits)] {
        set(&format!("{what}.cpu"), of.cpu.map(|cpu| format!("{}m", cpu.get())));
        set(&format!("{what}.memory"), of.memory.map(|memory| memory.get().to_string()));
    }
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": quota.name, "namespace": quota.namespace }, "spec": { "hard": hard },
    })
}

/// What an edit is to `autoscaler`, as the API server has it: a JSON patch (RFC 6902).
fn steps(edit: AutoscalerEdit, autoscaler: &Value) -> Value {
    let cpu = |metric: &Value| {
        metric["type"] == "Resource"
            && metric["resource"]["name"] == "cpu"
            && metric["resource"]["target"]["type"] == "Utilization"
    };
    let metrics = autoscaler["spec"]["metrics"].as_array();
    let metric = metrics.and_then(|all| all.iter().position(cpu)).unwrap_or_default();
    let of_cpu = format!("/spec/metrics/{metric}/resource/target/averageUtilization");
    let set = [("/spec/minReplicas", edit.min), ("/spec/maxReplicas", edit.max), (&of_cpu, edit.cpu)];
    // `add` replaces what is there, and makes a `minReplicas` that is not.
    let step = |(path, value): (&str, Option<u32>)| Some(json!({ "op": "add", "path": path, "value": value? }));
    set.into_iter().filter_map(step).collect()
}

impl Operator {
    /// `kubectl patch hpa`.
    pub(crate) async fn edit_autoscaler(self, (namespace, name): (String, String), edit: AutoscalerEdit) {
        let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}");
        match self.rest.get(&path).await {
            Ok(found) => self.patch("edit autoscaler", &path, Patch::Json, &steps(edit, &found)).await,
            Err(error) => self.failed(&format!("edit autoscaler {name}"), &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use platform::{Place, Resources};
    use units::{Bytes, Millicores};

    use super::*;

    #[test]
    fn an_edit_touches_what_it_names_and_nothing_else() {
        let resource = |name: &str, kind: &str| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": kind } } });
        let found = json!({ "spec": { "metrics": [resource("memory", "Utilization"), resource("cpu", "AverageValue"), resource("cpu", "Utilization")] } });
        let edit = AutoscalerEdit { min: None, max: Some(4), cpu: Some(90) };
        let want = json!([
            { "op": "add", "path": "/spec/maxReplicas", "value": 4 },
            { "op": "add", "path": "/spec/metrics/2/resource/target/averageUtilization", "value": 90 },
        ]);
        assert_eq!(steps(edit, &found), want);
    }

    #[test]
    fn a_quota_has_the_units_of_the_api() {
        let quota = Quota {
            name: "small".into(),
            namespace: "shop".into(),
            requests: Resources { cpu: Some(Millicores::new(1_500)), memory: Some(Bytes::from_mebi(1)) },
            limits: Resources::default(),
            pods: Some(3),
            place: Place::default(),
        };
        let want = json!({ "pods": "3", "requests.cpu": "1500m", "requests.memory": "1048576" });
        assert_eq!(quota_object(&quota)["spec"]["hard"], want);
    }
}
