//! Which pods stand behind a Service: the controller's view now, and the published one a little later.
//!
//! Follows `endpointslice/utils.go` (`podToEndpoint`: ready = condition Ready and not terminating, or
//! `publishNotReadyAddresses`) and `pkg/proxy/topology.go` (`CategorizeEndpoints`: where no endpoint is ready, those
//! that still serve while they end are used; a `Local` traffic policy asks that of the caller's node alone). The name
//! of a headless Service resolves to ready endpoints only. Who dials reads the published snapshot.
//!
//! A change is published after the configured delay, and not before kube-proxy's `minSyncPeriod` has passed since the
//! change before (`pkg/proxy/runner`); what comes meanwhile is published together. One proxy stands for those of all
//! nodes. Left out: slices of a hundred, topology hints, and what an external load balancer's health checks add to
//! `externalTrafficPolicy: Local`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use platform::{Service, ServiceId, ServiceKind};
use units::Nanos;

use crate::{PodId, PodRecord};

/// A pod behind a Service, as an EndpointSlice has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Which pod.
    pub pod: PodId,
    /// Index of its node.
    pub node: usize,
    /// New connections may go there.
    pub ready: bool,
    /// It would answer, ending or not.
    pub serving: bool,
    /// It is being deleted.
    pub terminating: bool,
}

impl Endpoint {
    /// The endpoint that `record` is of `service`. `None` for a pod without an address: before its first container
    /// runs, and after its end.
    pub(crate) fn of(pod: PodId, record: &PodRecord, service: &Service) -> Option<Self> {
        let node = record.node?;
        if record.started.is_none() || record.gone.is_some() || record.succeeded.is_some() {
            return None;
        }
        let terminating = record.deleted.is_some();
        let serving = service.publish_not_ready || record.ready;
        let ready = service.publish_not_ready || (record.ready && !terminating);
        Some(Self { pod, node, ready, serving, terminating })
    }
}

/// A Service's endpoints with what dialers make of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slice {
    all: Arc<[Endpoint]>,
    /// From anywhere.
    usable: Arc<[PodId]>,
    /// By the caller's node, under `internalTrafficPolicy: Local`.
    by_node: Option<Arc<BTreeMap<usize, Arc<[PodId]>>>>,
}

impl Slice {
    fn new(mut all: Vec<Endpoint>, service: &Service) -> Self {
        all.sort_unstable();
        let headless = service.kind == ServiceKind::Headless;
        let usable = usable(&all, headless);
        let by_node = (service.internal_local && !headless).then(|| {
            let mut by_node: BTreeMap<usize, Vec<Endpoint>> = BTreeMap::new();
            for endpoint in &all {
                by_node.entry(endpoint.node).or_default().push(*endpoint);
            }
            Arc::new(by_node.into_iter().map(|(node, local)| (node, usable_of(&local))).collect())
        });
        Self { all: all.into(), usable, by_node }
    }
}

fn usable_of(endpoints: &[Endpoint]) -> Arc<[PodId]> {
    usable(endpoints, false)
}

/// `CategorizeEndpoints` without topology; a name that resolves knows no fallback.
fn usable(endpoints: &[Endpoint], resolved: bool) -> Arc<[PodId]> {
    let pick = |of: fn(&Endpoint) -> bool| -> Arc<[PodId]> {
        endpoints.iter().filter(|endpoint| of(endpoint)).map(|endpoint| endpoint.pod).collect()
    };
    let ready = pick(|endpoint| endpoint.ready);
    if ready.is_empty() && !resolved { pick(|endpoint| endpoint.serving && endpoint.terminating) } else { ready }
}

/// A snapshot of all Services, as dialers see it. Cheap to clone and to share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    slices: Vec<Slice>,
    generation: u64,
}

impl Endpoints {
    /// Before anything was published.
    pub fn empty(services: usize) -> Self {
        Self { slices: vec![Slice::default(); services], generation: 0 }
    }

    /// The next publication, in which the endpoints of `service`, whose declaration this is, are `all`. `None`: dialers
    /// choose as before.
    #[must_use]
    pub fn with(&self, id: ServiceId, service: &Service, all: Vec<Endpoint>) -> Option<Self> {
        let (old, new) = (self.slice(id)?, Slice::new(all, service));
        if *old == new {
            return None;
        }
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        next.slices[usize::from(id.0)] = new;
        Some(next)
    }

    fn slice(&self, service: ServiceId) -> Option<&Slice> {
        self.slices.get(usize::from(service.0))
    }

    /// The pods that a new connection from outside may go to, sorted. Nothing for a Service that is not known.
    pub fn ready(&self, service: ServiceId) -> &[PodId] {
        self.slice(service).map_or(&[], |slice| &slice.usable)
    }

    /// The pods that a new connection of `caller` may go to, sorted: under `internalTrafficPolicy: Local` those on its
    /// node. A caller that is behind no Service itself is taken for one from outside.
    pub fn reachable(&self, service: ServiceId, caller: Option<PodId>) -> &[PodId] {
        let Some(slice) = self.slice(service) else { return &[] };
        // Where a caller is matters to few Services, and is looked up for those alone.
        let Some(by_node) = &slice.by_node else { return &slice.usable };
        match caller.and_then(|caller| self.node_of(caller)) {
            Some(node) => by_node.get(&node).map_or(&[], |local| local),
            None => &slice.usable,
        }
    }

    /// All endpoints of a Service, sorted by pod.
    pub fn all(&self, service: ServiceId) -> &[Endpoint] {
        self.slice(service).map_or(&[], |slice| &slice.all)
    }

    fn node_of(&self, pod: PodId) -> Option<usize> {
        let found = |slice: &Slice| {
            let index = slice.all.binary_search_by_key(&pod, |endpoint| endpoint.pod).ok()?;
            Some(slice.all[index].node)
        };
        self.slices.iter().find_map(found)
    }

    /// Counts publications from 0, the empty one.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The EndpointSlice controller with what is on its way to the dialers.
#[derive(Debug)]
pub(crate) struct EndpointController {
    known: Vec<Slice>,
    travelling: VecDeque<(Nanos, ServiceId, Slice)>,
    /// When kube-proxy syncs last, of what is planned so far.
    planned: Option<Nanos>,
    min_sync: Nanos,
    published: Arc<Endpoints>,
}

impl EndpointController {
    /// For that many Services. Dialers hear of changes `min_sync` apart at least.
    pub(crate) fn new(services: usize, min_sync: Nanos) -> Self {
        Self {
            known: vec![Slice::default(); services],
            travelling: VecDeque::new(),
            planned: None,
            min_sync,
            published: Arc::new(Endpoints::empty(services)),
        }
    }

    /// Takes note of the endpoints of a Service, of which kube-proxy hears at `arrives`. If they changed: when the
    /// dialers are to be told, by [`Self::publish`].
    pub(crate) fn observe(
        &mut self,
        id: ServiceId,
        service: &Service,
        endpoints: Vec<Endpoint>,
        arrives: Nanos,
    ) -> Option<Nanos> {
        let slice = Slice::new(endpoints, service);
        let known = &mut self.known[usize::from(id.0)];
        if *known == slice {
            return None;
        }
        known.clone_from(&slice);
        let at = match self.planned {
            Some(planned) if arrives <= planned => planned,
            Some(planned) => arrives.max(planned + self.min_sync),
            None => arrives,
        };
        self.planned = Some(at);
        self.travelling.push_back((at, id, slice));
        Some(at)
    }

    /// Publishes what has arrived by `now`: the new snapshot and the Services for which dialers choose among others
    /// than before, or nothing.
    pub(crate) fn publish(&mut self, now: Nanos) -> Option<(Arc<Endpoints>, Vec<ServiceId>)> {
        let mut next: Option<Endpoints> = None;
        while let Some((_, id, slice)) = self.travelling.pop_front_if(|(at, ..)| *at <= now) {
            let next = next.get_or_insert_with(|| Endpoints::clone(&self.published));
            next.slices[usize::from(id.0)] = slice;
        }
        let mut next = next?;
        let pairs = next.slices.iter().zip(&self.published.slices).enumerate();
        let changed: Vec<_> = pairs
            .filter(|(_, (new, old))| new.usable != old.usable || new.by_node != old.by_node)
            .map(|(index, _)| ServiceId(index as u16))
            .collect();
        if changed.is_empty() {
            // There and back within one publication, or a change that dialers do not see.
            next.generation = self.published.generation;
            self.published = Arc::new(next);
            return None;
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
mod tests;
