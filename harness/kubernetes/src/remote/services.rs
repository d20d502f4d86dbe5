//! Services: what EndpointSlices say, as dialers see it. The controller's word arrives here by a watch, as it does at
//! kube-proxy; nothing more is waited for.

use std::sync::Arc;

use cluster::{Endpoint, Host, PodId};
use platform::ServiceId;
use record::EventKind;

use super::Remote;
use crate::view::{Key, Seen, Slice};

const SERVICE: &str = "kubernetes.io/service-name";

impl Remote {
    fn service_of(&self, slice: &Seen<Slice>) -> Option<ServiceId> {
        let (namespace, name) = (slice.meta.namespace.as_deref()?, slice.label(SERVICE)?);
        let is = |service: &platform::Service| service.name == name && service.namespace == namespace;
        self.platform.services.iter().position(is).map(|index| ServiceId(index as u16))
    }

    pub(super) fn slice_seen(&mut self, slice: Seen<Slice>, host: &mut dyn Host) {
        let service = self.service_of(&slice);
        self.slices.insert(slice.key(), slice);
        self.publish(service, host);
    }

    pub(super) fn slice_gone(&mut self, key: &Key, host: &mut dyn Host) {
        let service = self.slices.remove(key).and_then(|slice| self.service_of(&slice));
        self.publish(service, host);
    }

    /// A pod became known of which slices may have told before.
    pub(super) fn slices_again(&mut self, pod: PodId, host: &mut dyn Host) {
        let uid = &self.pods[pod.0 as usize].reference.uid;
        let names = |slice: &&Seen<Slice>| {
            slice.body.endpoints.iter().any(|one| one.target_ref.as_ref().is_some_and(|target| target.uid == *uid))
        };
        let services: Vec<_> = self.slices.values().filter(names).map(|slice| self.service_of(slice)).collect();
        services.into_iter().for_each(|service| self.publish(service, host));
    }

    /// Tells the dialers about a Service, if they are to choose among others than before.
    fn publish(&mut self, service: Option<ServiceId>, host: &mut dyn Host) {
        let Some(id) = service else { return };
        let slices = self.slices.values().filter(|slice| self.service_of(slice) == Some(id));
        let endpoint = |one: &crate::view::Endpoint| {
            let pod = *self.by_uid.get(&one.target_ref.as_ref()?.uid)?;
            let node = one.node_name.as_ref();
            let node = self.nodes.iter().position(|known| Some(&known.name) == node)?;
            // `nil` means ready (`discovery/v1/types.go`).
            let ready = one.conditions.ready.unwrap_or(true);
            let serving = one.conditions.serving.unwrap_or(ready);
            Some(Endpoint { pod, node, ready, serving, terminating: one.conditions.terminating.unwrap_or(false) })
        };
        let all = slices.flat_map(|slice| &slice.body.endpoints).filter_map(endpoint).collect();
        let declared = self.platform.service(id);
        let before = self.endpoints.ready(id).len();
        if let Some(next) = self.endpoints.with(id, declared, all) {
            self.endpoints = Arc::new(next);
            let ready = self.endpoints.ready(id).len();
            if ready != before {
                host.note(EventKind::EndpointsChanged { service: declared.name.clone(), ready: ready as u32 });
            }
            host.publish(Arc::clone(&self.endpoints));
        }
    }

    /// A Service whose endpoints do not yet tell of every ready pod behind it.
    pub(super) fn unsettled_service(&self) -> Option<String> {
        let missing = |id: &ServiceId| {
            let service = self.platform.service(*id);
            let serving = self.platform.selected_by(service).map(|workload| self.counts[usize::from(workload.0)].1);
            self.endpoints.ready(*id).len() < serving.sum::<u32>() as usize
        };
        let id = self.platform.service_ids().find(missing)?;
        Some(format!("the endpoints of Service {} do not tell of all its pods", self.platform.service(id).name))
    }
}
