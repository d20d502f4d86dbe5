//! Tells the endpoint controller about pods, and the dialers about endpoints.

use platform::WorkloadId;
use record::EventKind;
use units::{Nanos, Out};

use super::{Cluster, Task};
use crate::Effect;
use crate::endpoints::Endpoint;

impl Cluster {
    /// Tells the endpoint controller who stands behind the Services of a workload.
    pub(super) fn observe(&mut self, now: Nanos, id: WorkloadId) {
        let arrives = now + self.config.endpoint_propagation;
        for &id in &self.services_of[usize::from(id.0)] {
            let service = self.platform.service(id);
            let pods =
                self.platform.selected_by(service).flat_map(|workload| &self.owners[usize::from(workload.0)].pods);
            let endpoints = pods.filter_map(|pod| Endpoint::of(*pod, &self.pods[pod.0 as usize], service));
            if let Some(at) = self.endpoints.observe(id, service, endpoints.collect(), arrives) {
                self.agenda.plan(at, Task::Publish);
            }
        }
    }

    pub(super) fn publish(&mut self, now: Nanos, out: &mut impl Out<Effect>) {
        let Some((published, changed)) = self.endpoints.publish(now) else { return };
        for service in changed {
            let ready = published.ready(service).len() as u32;
            let service = self.platform.service(service).name.clone();
            out.emit(Effect::Note(EventKind::EndpointsChanged { service, ready }));
        }
        out.emit(Effect::Endpoints(published));
    }
}
