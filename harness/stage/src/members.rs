//! The pods of StatefulSets by the names that their headless Services give them.
//!
//! In a cluster such a name leads to the pod itself, whatever address it has now. In containers it has an address of its
//! own on the run's network, behind which `rehearse` carries connections to that pod.

use platform::{Platform, Protocol, ServiceId, ServiceKind, WorkloadId, WorkloadKind};

/// A pod with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, such as `redis-0`.
    pub pod: String,
    /// Of which workload.
    pub workload: WorkloadId,
    /// The Service that gives it the name `POD.SERVICE`.
    pub service: ServiceId,
}

/// All of a platform, in the same order each time: an index among them is an address.
pub fn members(platform: &Platform) -> Vec<Member> {
    let mut all = Vec::new();
    for id in platform.workload_ids() {
        let workload = platform.workload(id);
        let WorkloadKind::StatefulSet { service: name, .. } = &workload.kind else { continue };
        let gives = |service: &ServiceId| {
            let service = platform.service(*service);
            service.kind == ServiceKind::Headless && service.name == *name && service.namespace == workload.namespace
        };
        let Some(service) = platform.service_ids().find(gives) else { continue };
        let pods = (0..workload.replicas.unwrap_or(1)).map(|ordinal| format!("{}-{ordinal}", workload.name));
        all.extend(pods.map(|pod| Member { pod, workload: id, service }));
    }
    all
}

impl Member {
    /// As pods of its namespace call it.
    pub fn host(&self, platform: &Platform) -> String {
        format!("{}.{}", self.pod, platform.service(self.service).name)
    }

    /// The TCP ports of its Service, each with that of the pod.
    pub(crate) fn ports(&self, platform: &Platform) -> Vec<(u16, u16)> {
        let ports = platform.service(self.service).ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let containers = &platform.workload(self.workload).containers;
        let target =
            |port: &platform::ServicePort| containers.iter().find_map(|container| container.port(&port.target));
        ports.filter_map(|port| Some((port.port, target(port)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_stateful_sets_have_names_of_their_own() {
        let platform = manifests::load(&manifests::Source::BuiltIn, "production").unwrap().platform;
        let all = members(&platform);
        let redis: Vec<_> = all.iter().filter(|member| member.pod.starts_with("redis-")).collect();
        let hosts: Vec<_> = redis.iter().map(|member| member.host(&platform)).collect();
        assert!(hosts.starts_with(&["redis-0.redis".to_owned(), "redis-1.redis".to_owned()]), "{hosts:?}");
        assert!(hosts.contains(&"redis-sentinel-2.redis-sentinel".to_owned()), "{hosts:?}");
        assert_eq!(redis[0].ports(&platform), [(6379, 6379)]);
    }
}
