//! Load drivers in the cluster: how load outgrows one machine.
//!
//! Owns an Indexed Job whose pods run `rehearse drive`, each attached to by its stdin and stdout, so that the API server is
//! the only one that has to be reached. What each tells is every observation, and not a summary: histograms of several are
//! what one would have recorded.

use std::fmt;
use std::net::SocketAddr;

use containers::Image;
use containers::images::TAG;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, AttachedProcess};
use serde_json::{Value, json};
use stage::{FarDrivers, Later, Line};
use tokio::io::AsyncReadExt;

use super::objects::{LOOK, pause};
use crate::rest::Rest;

/// Name of the Job.
pub(crate) const DRIVERS: &str = "rehearse-drivers";
/// How often it is looked whether all of its pods run: nodes may have to pull the image.
const LOOKS: u32 = 360;
/// What is under way between us and a driver, bytes.
const BUFFER: usize = 1 << 20;
/// What is kept of its last words, bytes.
const WORDS: u64 = 4_096;

/// The Job, of `count` drivers.
pub(super) fn job(namespace: &str, count: u32, registry: &str) -> Value {
    let labels = json!({ "app.kubernetes.io/name": DRIVERS });
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": DRIVERS, "namespace": namespace, "labels": labels },
        "spec": {
            "completionMode": "Indexed", "completions": count, "parallelism": count, "backoffLimit": 0,
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    // Its stdin ends with whoever holds it, and so does it.
                    "terminationGracePeriodSeconds": 2,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": { "matchLabels": labels },
                    }],
                    "containers": [{
                        "name": "driver",
                        "image": format!("{registry}/{}:{TAG}", Image::Driver.name()),
                        "imagePullPolicy": "IfNotPresent",
                        "stdin": true, "stdinOnce": true,
                        "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
                    }],
                },
            },
        },
    })
}

/// The drivers of a run.
#[derive(Clone)]
pub(crate) struct Workers {
    pub(crate) rest: Rest,
    pub(crate) namespace: String,
    pub(crate) count: u32,
    /// The address of our own Service in front of the gateway, within the cluster.
    pub(crate) door: SocketAddr,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("count", &self.count).field("door", &self.door).finish_non_exhaustive()
    }
}

impl FarDrivers for Workers {
    fn count(&self) -> u32 {
        self.count
    }

    fn door(&self) -> SocketAddr {
        self.door
    }

    fn open(&self) -> Later<Result<Vec<Line>, String>> {
        let workers = self.clone();
        Box::pin(async move {
            let names = workers.running().await?;
            let mut lines = Vec::new();
            for name in names {
                lines.push(workers.attach(name).await?);
            }
            Ok(lines)
        })
    }
}

impl Workers {
    /// Its pods, in the order of their indices, once all of them run.
    async fn running(&self) -> Result<Vec<String>, String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector=batch.kubernetes.io%2Fjob-name%3D{DRIVERS}",
            self.namespace
        );
        let mut last = "there are none yet".to_owned();
        for _ in 0..LOOKS {
            let found = self.rest.get(&path).await.map_err(|error| crate::rest::told(&error))?;
            let pods = found["items"].as_array().cloned().unwrap_or_default();
            let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let index = |pod: &Value| -> u32 {
                let text = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
                text.as_str().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
            };
            if let Some(ended) =
                pods.iter().find(|pod| matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")))
            {
                return Err(format!("pod {} has ended before it was told anything", name(ended)));
            }
            let mut running: Vec<&Value> = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").collect();
            if running.len() == self.count as usize {
                running.sort_by_key(|pod| index(pod));
                return Ok(running.into_iter().map(name).collect());
            }
            if let Some(waits) = pods.iter().find(|pod| pod["status"]["phase"] != "Running") {
                last = format!("pod {} {}", name(waits), why(waits));
            }
            pause().await;
        }
        Err(format!("they do not run after {} s: {last}", (LOOK * LOOKS).as_secs()))
    }

    async fn attach(&self, name: String) -> Result<Line, String> {
        let pods: Api<Pod> = Api::namespaced(self.rest.client(), &self.namespace);
        let params = AttachParams {
            stdin: true,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
            ..AttachParams::default()
        };
        let told = |what: String| format!("pod {name} cannot be attached to: {what}");
        let mut attached = pods.attach(&name, &params).await.map_err(|error| told(crate::rest::told(&error)))?;
        let (Some(orders), Some(frames)) = (attached.stdin(), attached.stdout()) else {
            return Err(told("it has no stdin and stdout".to_owned()));
        };
        let ended = Box::pin(ended(attached));
        Ok(Line { name, orders: Box::new(orders), frames: Box::new(frames), ended })
    }
}

/// The last words of a driver that has ended, or whose line broke.
async fn ended(mut attached: AttachedProcess) -> String {
    let mut words = String::new();
    if let Some(stderr) = attached.stderr() {
        stderr.take(WORDS).read_to_string(&mut words).await.ok();
    }
    match (attached.take_status(), words.trim()) {
        (_, words) if !words.is_empty() => format!("its last words: {words}"),
        (Some(status), _) => match status.await.and_then(|status| status.message) {
            Some(message) => message,
            None => "its line through the API server broke".to_owned(),
        },
        (None, _) => "it said nothing".to_owned(),
    }
}

/// Why a pod does not run.
fn why(pod: &Value) -> String {
    let status = &pod["status"];
    let waiting = &status["containerStatuses"][0]["state"]["waiting"];
    let conditions = status["conditions"].as_array();
    let unbound =
        conditions.into_iter().flatten().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
    let of = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match unbound {
        Some(condition) => format!("is not scheduled: {}", of(condition, "message")),
        None if waiting.is_object() => format!("waits: {} {}", of(waiting, "reason"), of(waiting, "message")),
        None => format!("is {}", of(status, "phase")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let condition = json!({ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" });
        for (case, status, want) in [
            ("no node", json!({ "conditions": [condition] }), "is not scheduled: 0/3 nodes are available"),
            (
                "no image",
                json!({ "containerStatuses": [{ "state": { "waiting": { "reason": "ErrImagePull", "message": "no" } } }] }),
                "waits: ErrImagePull no",
            ),
            ("soon", json!({ "phase": "Pending" }), "is Pending"),
        ] {
            assert_eq!(why(&json!({ "status": status })), want, "{case}");
        }
    }

    #[test]
    fn the_job_gives_each_of_its_pods_an_index_and_a_stdin() {
        let job = job("shop", 3, "registry.example.com/rehearse");
        let spec = &job["spec"];
        assert_eq!(
            (&spec["completionMode"], &spec["completions"], &spec["parallelism"]),
            (&json!("Indexed"), &json!(3), &json!(3))
        );
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example.com/rehearse/driver:stand-in");
        assert_eq!(container["stdin"], true);
    }
}
