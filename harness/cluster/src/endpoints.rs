//! Which pods stand behind a Service: the controller's view now, and the published one a little later.
//!
//! Follows `endpointslice/utils.go` (`podToEndpoint`: ready = condition Ready and not terminating) and
//! `pkg/proxy/topology.go` (`CategorizeEndpoints`: where no endpoint is ready, those that still serve while they end
//! are used). Readiness comes from outside; who dials reads the published snapshot only.

use std::collections::VecDeque;
use std::sync::Arc;

use platform::ServiceId;
use units::Nanos;

use crate::PodId;

/// A snapshot of all Services, as dialers see it. Cheap to clone and to share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    services: Vec<Arc<[PodId]>>,
    generation: u64,
}

impl Endpoints {
    /// Before anything was published.
    pub fn empty(services: usize) -> Self {
        Self { services: vec![Arc::from([]); services], generation: 0 }
    }

    /// The pods that a new connection may go to, sorted. Nothing for a Service that is not known.
    pub fn ready(&self, service: ServiceId) -> &[PodId] {
        self.services.get(usize::from(service.0)).map_or(&[], |pods| pods)
    }

    /// Counts publications from 0, the empty one.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The EndpointSlice controller with what is on its way to the dialers.
#[derive(Debug)]
pub(crate) struct EndpointController {
    known: Vec<Arc<[PodId]>>,
    travelling: VecDeque<(Nanos, ServiceId, Arc<[PodId]>)>,
    published: Arc<Endpoints>,
}

impl EndpointController {
    pub(crate) fn new(services: usize) -> Self {
        Self {
            known: vec![Arc::from([]); services],
            travelling: VecDeque::new(),
            published: Arc::new(Endpoints::empty(services)),
        }
    }

    /// Takes note of the pods (sorted) of a Service; a change arrives at the dialers at `arrives`, which never runs
    /// backwards. Whether it was a change.
    pub(crate) fn observe(&mut self, service: ServiceId, pods: &[PodId], arrives: Nanos) -> bool {
        let known = &mut self.known[usize::from(service.0)];
        if **known == *pods {
            return false;
        }
        *known = Arc::from(pods);
        self.travelling.push_back((arrives, service, Arc::clone(known)));
        true
    }

    /// Publishes what has arrived by `now`: the new snapshot and the Services that changed, or nothing.
    pub(crate) fn publish(&mut self, now: Nanos) -> Option<(Arc<Endpoints>, Vec<ServiceId>)> {
        let mut next: Option<Endpoints> = None;
        while let Some((arrives, service, _)) = self.travelling.front() {
            if *arrives > now {
                break;
            }
            let service = *service;
            let (_, _, pods) = self.travelling.pop_front().expect("just looked at");
            let next = next.get_or_insert_with(|| Endpoints::clone(&self.published));
            next.services[usize::from(service.0)] = pods;
        }
        let mut next = next?;
        let changed: Vec<_> = (0..next.services.len())
            .filter(|i| next.services[*i] != self.published.services[*i])
            .map(|i| ServiceId(i as u16))
            .collect();
        if changed.is_empty() {
            return None; // there and back within one publication
        }
        next.generation += 1;
        self.published = Arc::new(next);
        Some((Arc::clone(&self.published), changed))
    }

    /// Whether the dialers see what the controller knows.
    pub(crate) fn is_settled(&self) -> bool {
        self.travelling.is_empty()
    }

    /// The published snapshot.
    pub(crate) fn published(&self) -> &Endpoints {
        &self.published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialers_see_each_change_after_its_own_delay() {
        let web = ServiceId(0);
        let ms = Nanos::from_millis;
        let mut controller = EndpointController::new(2);
        assert!(controller.observe(web, &[PodId(1)], ms(500)));
        assert!(!controller.observe(web, &[PodId(1)], ms(600)), "no change");
        assert!(controller.observe(web, &[PodId(1), PodId(2)], ms(700)));
        assert!(!controller.is_settled());
        assert!(controller.publish(ms(499)).is_none());
        let (first, changed) = controller.publish(ms(500)).unwrap();
        assert_eq!((first.ready(web), changed.as_slice(), first.generation()), (&[PodId(1)][..], &[web][..], 1));
        let (second, _) = controller.publish(ms(700)).unwrap();
        assert_eq!((second.ready(web), second.generation()), (&[PodId(1), PodId(2)][..], 2));
        assert_eq!(first.ready(web), &[PodId(1)], "a snapshot never changes");
        assert!(controller.is_settled());
        assert_eq!(second.ready(ServiceId(9)), &[]);
    }

    #[test]
    fn there_and_back_within_one_publication_is_no_news() {
        let mut controller = EndpointController::new(1);
        controller.observe(ServiceId(0), &[PodId(1)], Nanos::new(5));
        controller.observe(ServiceId(0), &[], Nanos::new(5));
        assert_eq!(controller.publish(Nanos::new(5)), None);
        assert_eq!(controller.published().generation(), 0);
    }
}
