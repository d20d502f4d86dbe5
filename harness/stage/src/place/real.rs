//! Pods in containers: which of them may start, and what is asked of the real servers in them.

use cluster::PodId;
use platform::WorkloadId;
use units::Bytes;

use super::{Life, Place, Pod};
use crate::{BackedUp, Followed, Follows, Later, Promoted};

impl Place {
    /// Whether pods live in containers, and the servers that the platform keeps its data in are real ones.
    pub(crate) const fn is_real(&self) -> bool {
        self.runtime.is_some()
    }

    /// Containers of this workload, or of one pod of it, do not start until they are released.
    pub(crate) fn hold(&mut self, workload: WorkloadId, pod: Option<String>) {
        self.held.push((workload, pod));
    }

    /// Starts what was held of a workload: which pods those are.
    pub(crate) fn release(&mut self, workload: WorkloadId) -> Vec<PodId> {
        self.held.retain(|(held, _)| *held != workload);
        let waiting = |pod: &Pod| {
            let life = pod.running.as_ref().map(|running| &running.life);
            pod.workload == workload && matches!(life, Some(Life::Container { held: true, .. }))
        };
        let pods: Vec<PodId> = self.pods.iter().filter(|(_, pod)| waiting(pod)).map(|(id, _)| *id).collect();
        for pod in &pods {
            self.start(*pod).ok(); // nothing that could fail is done here: containers tell later
        }
        pods
    }

    /// Containers of this workload were the primary, and follow another one from now on.
    pub(crate) fn depose(&mut self, workload: WorkloadId, heir: WorkloadId) {
        self.deposed = Some((workload, Follows(heir)));
    }

    /// Whether containers of this workload follow another one.
    pub(crate) fn is_deposed(&self, workload: WorkloadId) -> bool {
        self.deposed.is_some_and(|(deposed, _)| deposed == workload)
    }

    /// Listens to the sentinels of the cache. `None`: there are no real ones.
    pub(crate) fn follow_failover(&self) -> Option<Later<Result<Followed, String>>> {
        self.runtime.as_ref()?.follow_failover()
    }

    /// Waits until the server in a pod follows. `None`: there are no real servers.
    pub(crate) fn rejoined(&self, pod: PodId) -> Option<Later<Result<String, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.rejoined(pod))
    }

    /// Promotes the standby in a pod. `None`: there are no real servers.
    pub(crate) fn promote(&self, pod: PodId) -> Option<Later<Result<Promoted, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.promote(pod))
    }

    /// Backs up the database in a pod. `None`: there are no real servers.
    pub(crate) fn back_up(&self, pod: PodId) -> Option<Later<Result<BackedUp, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.back_up(pod))
    }

    /// Fills the disk of the database in a pod, or frees it. `None`: there are no real servers.
    pub(crate) fn fill_disk(&self, pod: PodId, full: bool) -> Option<Later<Result<Bytes, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.fill_disk(pod, full))
    }

    /// Others take connections of the database in a pod. `None`: there are no real servers.
    pub(crate) fn take_connections(&self, pod: PodId, wanted: u32) -> Option<Later<Result<u32, String>>> {
        self.runtime.as_ref().map(|runtime| runtime.take_connections(pod, wanted))
    }

    /// They close them.
    pub(crate) fn give_connections_back(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.give_connections_back();
        }
    }

    /// Whether a fault keeps a pod's container from starting.
    pub(super) fn is_held(&self, of: WorkloadId, name: &str) -> bool {
        self.held.iter().any(|(workload, pod)| *workload == of && pod.as_ref().is_none_or(|pod| pod == name))
    }
}
