//! What a kubelet says of a pod, as the API server keeps it.
//!
//! Follows `pkg/kubelet/kubelet_pods.go` (`generateAPIPodStatus`, `getPhase`) and `status/generate.go` for what other
//! components read: phase, start time, conditions, states of containers. Written with a strategic merge patch, so that
//! conditions of others stay.

use std::net::Ipv4Addr;

use cluster::{Flaw, PodId, PodStatus};
use serde_json::{Value, json};
use units::Nanos;

use crate::view::Container;
use crate::wall::Wall;

/// The address that a pod shows: one of the pod network, by which nobody is dialled here.
pub(crate) fn address(pod: PodId) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, (pod.0 / 250) as u8, (1 + pod.0 % 250) as u8)
}

/// All that was said.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) pod: PodId,
    pub(crate) node: usize,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) flaw: Flaw,
    /// When its kubelet took it.
    pub(crate) accepted: Nanos,
    /// When its containers ran for the first time.
    pub(crate) started: Option<Nanos>,
    /// When the serving container ran last.
    pub(crate) running: Option<Nanos>,
    pub(crate) ready: bool,
    pub(crate) ready_changed: Nanos,
    pub(crate) restarts: u32,
    pub(crate) last_end: Option<String>,
    pub(crate) succeeded: Option<Nanos>,
}

impl Report {
    /// Takes in what a kubelet says; [`PodStatus::Gone`] is no status but the end of one.
    pub(crate) fn hear(&mut self, now: Nanos, status: &PodStatus) {
        match status {
            PodStatus::Started => {
                self.started.get_or_insert(now);
                self.running = Some(now);
            }
            PodStatus::Ready(ready) => {
                if self.ready != *ready {
                    (self.ready, self.ready_changed) = (*ready, now);
                }
            }
            PodStatus::Restarted { reason } => {
                self.restarts += 1;
                self.running = Some(now);
                self.last_end = Some(reason.clone());
            }
            PodStatus::Gone => {}
        }
    }

    fn phase(&self) -> &'static str {
        match (self.succeeded, self.started) {
            (Some(_), _) => "Succeeded",
            (None, Some(_)) => "Running",
            (None, None) => "Pending",
        }
    }

    /// As a patch of the pod with this `uid`, and of no other.
    pub(crate) fn patch(&self, uid: &str, wall: Wall) -> Value {
        let (ip, host) = (address(self.pod).to_string(), crate::ground::address(self.node));
        let time = |at: Nanos| wall.time(at);
        let condition = |kind: &str, holds: bool, at: Nanos, why: &str| {
            let mut condition = json!({
                "type": kind,
                "status": if holds { "True" } else { "False" },
                "lastProbeTime": Value::Null,
                "lastTransitionTime": time(at),
            });
            if !holds {
                condition["reason"] = why.into();
            }
            condition
        };
        let completed = self.succeeded.is_some();
        let unready = if completed { "PodCompleted" } else { "ContainersNotReady" };
        let initialized = self.started.is_some() || self.init_containers.is_empty();
        let mut status = json!({
            "phase": self.phase(),
            "startTime": time(self.accepted),
            "hostIP": host,
            "hostIPs": [{ "ip": host }],
            "conditions": [
                condition("PodReadyToStartContainers", !completed, self.accepted, ""),
                condition("Initialized", initialized, self.started.unwrap_or(self.accepted), "ContainersNotInitialized"),
                condition("ContainersReady", self.ready, self.ready_changed, unready),
                condition("Ready", self.ready, self.ready_changed, unready),
            ],
            "containerStatuses": self.containers.iter().map(|container| self.container(container, wall)).collect::<Value>(),
        });
        if self.started.is_some() {
            status["podIP"] = ip.clone().into();
            status["podIPs"] = json!([{ "ip": ip }]);
        }
        if !self.init_containers.is_empty() {
            status["initContainerStatuses"] =
                self.init_containers.iter().map(|container| self.init_container(container, wall)).collect();
        }
        json!({ "metadata": { "uid": uid }, "status": status })
    }

    fn container(&self, container: &Container, wall: Wall) -> Value {
        let state = match (self.succeeded, self.running, self.flaw) {
            (Some(at), ..) => json!({ "terminated": {
                "exitCode": 0, "reason": "Completed", "finishedAt": wall.time(at),
                "startedAt": wall.time(self.started.unwrap_or(at)),
            }}),
            (None, Some(at), _) => json!({ "running": { "startedAt": wall.time(at) } }),
            (None, None, Flaw::ImagePull) => json!({ "waiting": {
                "reason": "ImagePullBackOff",
                "message": format!("Back-off pulling image \"{}\"", container.image),
            }}),
            (None, None, _) => json!({ "waiting": { "reason": "ContainerCreating" } }),
        };
        let last = match &self.last_end {
            Some(reason) => json!({ "terminated": {
                "exitCode": if reason == "OOMKilled" { 137 } else { 1 }, "reason": reason,
                "startedAt": wall.time(self.started.unwrap_or(self.accepted)),
                "finishedAt": wall.time(self.running.unwrap_or(self.accepted)),
            }}),
            None => json!({}),
        };
        json!({
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": self.ready,
            "started": self.running.is_some(),
            "restartCount": self.restarts,
            "state": state,
            "lastState": last,
        })
    }

    fn init_container(&self, container: &Container, wall: Wall) -> Value {
        let sidecar = container.restart_policy.as_deref() == Some("Always");
        let state = match self.started {
            None => json!({ "waiting": { "reason": "PodInitializing" } }),
            Some(at) if sidecar && self.succeeded.is_none() => json!({ "running": { "startedAt": wall.time(at) } }),
            Some(at) => json!({ "terminated": {
                "exitCode": 0, "reason": "Completed",
                "startedAt": wall.time(self.accepted), "finishedAt": wall.time(at),
            }}),
        };
        json!({
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": self.started.is_some(),
            "started": sidecar && self.started.is_some(),
            "restartCount": 0,
            "state": state,
            "lastState": {},
        })
    }
}

#[cfg(test)]
mod tests {
    use clock::Clock;

    use super::*;

    fn report() -> Report {
        Report {
            pod: PodId(251),
            node: 0,
            containers: vec![Container { name: "web".into(), image: "web:1".into(), restart_policy: None }],
            init_containers: Vec::new(),
            flaw: Flaw::None,
            accepted: Nanos::ZERO,
            started: None,
            running: None,
            ready: false,
            ready_changed: Nanos::ZERO,
            restarts: 0,
            last_end: None,
            succeeded: None,
        }
    }

    #[test]
    fn the_status_follows_what_is_said() {
        let wall = Wall::of(&Clock::start());
        let mut report = report();
        let read = |report: &Report, path: &str| report.patch("u", wall).pointer(path).cloned();
        assert_eq!(read(&report, "/status/phase"), Some("Pending".into()));
        assert_eq!(read(&report, "/status/podIP"), None, "no address before a container runs");
        report.hear(Nanos::from_secs(1), &PodStatus::Started);
        report.hear(Nanos::from_secs(2), &PodStatus::Ready(true));
        assert_eq!(read(&report, "/status/phase"), Some("Running".into()));
        assert_eq!(read(&report, "/status/podIP"), Some("10.244.1.2".into()));
        assert_eq!(read(&report, "/status/conditions/3/status"), Some("True".into()));
        report.hear(Nanos::from_secs(3), &PodStatus::Restarted { reason: "OOMKilled".into() });
        assert_eq!(read(&report, "/status/containerStatuses/0/restartCount"), Some(1.into()));
        assert_eq!(read(&report, "/status/containerStatuses/0/lastState/terminated/exitCode"), Some(137.into()));
    }

    #[test]
    fn a_pod_whose_image_cannot_be_pulled_says_so() {
        let report = Report { flaw: Flaw::ImagePull, ..report() };
        let patch = report.patch("u", Wall::of(&Clock::start()));
        assert_eq!(patch["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "ImagePullBackOff");
    }
}
