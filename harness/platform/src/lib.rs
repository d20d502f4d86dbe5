//! The platform under rehearsal, typed and lean: what the rehearsal needs of the manifests and no more.
//!
//! Owns the nouns: workloads with their containers, probes and resources, Services, autoscalers, nodes and the
//! gateway's configuration. Knows no YAML and no k8s-openapi (`manifests` translates), no rule (`cluster` and
//! `gateway` decide) and no figure of its own: every default here is Kubernetes' or nginx's documented one.

mod autoscaler;
mod data;
mod gateway;
mod ingress;
mod node;
mod place;
mod placement;
mod policy;
mod selector;
mod service;
mod workload;

pub use autoscaler::{
    Autoscaler, Behavior, Metric, MetricId, MetricSource, MetricTarget, ObjectRef, Policy, PolicyKind, ScalingRules,
    SelectPolicy, Tolerance,
};
pub use gateway::{
    AccessRule, Action, Balance, Captures, Condition, ConnUse, ConnZone, ConnZoneId, ErrorPage, GatewayConfig,
    LimitKey, LimitMode, LimitUse, LimitZone, Location, LocationId, LocationMatch, Map, Network, NextUpstream, Part,
    Pattern, RealIp, RealIpHeader, RewriteFlag, RewriteStep, Server, Template, Upstream, UpstreamId, UpstreamServer,
    Variable, ZoneId,
};
pub use ingress::{Ingress, IngressPolicy, IngressRule, PathType};
pub use node::{Effect, Node, NodeGroup, NodeName, Taint, Toleration};
pub use place::Place;
pub use placement::{Namespace, PodAffinity, SpreadConstraint};
pub use policy::{
    Claim, Config, DisruptionBound, DisruptionBudget, LimitRange, NetworkPolicy, Quota, Reference, ReferenceKind,
    TrafficPeer, TrafficPort, TrafficRule, pod_security,
};
pub use selector::{Operator, Requirement, Selector};
pub use service::{Affinity, Service, ServiceKind, ServicePort};
pub use workload::{
    Container, ContainerPort, CountOrPercent, HttpProbe, PortRef, Probe, ProbeAction, Protocol, Resources, Security,
    Strategy, Workload, WorkloadKind,
};

use std::collections::BTreeMap;

/// Index of a workload in [`Platform::workloads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(pub u16);

/// Index of a Service in [`Platform::services`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u16);

/// Labels or a selector.
pub type Labels = BTreeMap<String, String>;

/// Everything that is stood up, in the order of the manifests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Platform {
    /// The namespace that is rehearsed: the gateway's. Others, such as monitoring, stand beside it.
    pub namespace: String,
    /// Everything that makes pods.
    pub workloads: Vec<Workload>,
    /// Services that select them.
    pub services: Vec<Service>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Vec<Autoscaler>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<DisruptionBudget>,
    /// Ingresses.
    pub ingresses: Vec<Ingress>,
    /// NetworkPolicies.
    pub network_policies: Vec<NetworkPolicy>,
    /// Namespaces that are declared.
    pub namespaces: Vec<Namespace>,
    /// Each `ConfigMap` and Secret by its keys.
    pub configs: Vec<Config>,
    /// Claims for storage.
    pub claims: Vec<Claim>,
    /// ServiceAccounts that are declared: name and namespace. Each namespace has `default` besides.
    pub service_accounts: Vec<(String, String)>,
    /// Names of the PriorityClasses that are declared.
    pub priority_classes: Vec<String>,
    /// Groups of nodes that grow with the pods that find no room. Empty unless a nodes file declares some.
    pub node_groups: Vec<NodeGroup>,
    /// ResourceQuotas.
    pub quotas: Vec<Quota>,
    /// LimitRanges.
    pub limit_ranges: Vec<LimitRange>,
    /// The gateway: which workload runs it, and its nginx configuration. `None`: nothing to drive load through.
    pub gateway: Option<Gateway>,
    /// Objects the rehearsal does not play, as `Kind/name`, with their place. Never dropped in silence.
    pub not_rehearsed: Vec<(String, Place)>,
}

/// The workload that runs nginx, with its parsed configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The nginx Deployment.
    pub workload: WorkloadId,
    /// The Service in front of it.
    pub service: ServiceId,
    /// What its ConfigMap says.
    pub config: GatewayConfig,
}

impl Platform {
    /// A workload by its id.
    pub fn workload(&self, id: WorkloadId) -> &Workload {
        &self.workloads[usize::from(id.0)]
    }
    /// A Service by its id.
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[usize::from(id.0)]
    }
    /// The workload called `name`: of the rehearsed namespace if it has one, else the first of any.
    pub fn workload_named(&self, name: &str) -> Option<WorkloadId> {
        let of = |namespace: Option<&str>| {
            let is = |w: &Workload| w.name == name && namespace.is_none_or(|namespace| w.namespace == namespace);
            self.workloads.iter().position(is).map(|i| WorkloadId(i as u16))
        };
        of(Some(&self.namespace)).or_else(|| of(None))
    }
    /// The workload of this kind, namespace and name.
    pub fn workload_of(&self, kind: &str, namespace: &str, name: &str) -> Option<WorkloadId> {
        let is = |w: &Workload| w.name == name && w.namespace == namespace && w.kind.name() == kind;
        self.workloads.iter().position(is).map(|i| WorkloadId(i as u16))
    }
    /// The Service that a host name means inside of the rehearsed namespace.
    pub fn service_named(&self, host: &str) -> Option<ServiceId> {
        self.service_from(&self.namespace, host)
    }
    /// The Service that a host name means to a pod of `namespace`: `name`, `name.ns`, `name.ns.svc`, or
    /// `name.ns.svc.` and the cluster's domain, which is `cluster.local` unless an operator chose another.
    pub fn service_from(&self, namespace: &str, host: &str) -> Option<ServiceId> {
        let mut labels = host.trim_end_matches('.').split('.');
        let name = labels.next()?;
        let namespace = labels.next().unwrap_or(namespace);
        // `api.example.com` is no Service, even if there is one called `api` in a namespace `example`.
        if labels.next().is_some_and(|label| label != "svc") || labels.next().is_some_and(|domain| domain != "cluster")
        {
            return None;
        }
        let is = |s: &Service| s.name == name && s.namespace == namespace;
        self.services.iter().position(is).map(|i| ServiceId(i as u16))
    }
    /// The workloads whose pods a Service selects. An empty selector selects nothing.
    pub fn selected_by(&self, service: &Service) -> impl Iterator<Item = WorkloadId> {
        let matches = |w: &Workload| {
            !service.selector.is_empty()
                && w.namespace == service.namespace
                && service.selector.iter().all(|(k, v)| w.labels.get(k) == Some(v))
        };
        self.workloads.iter().enumerate().filter(move |(_, w)| matches(w)).map(|(i, _)| WorkloadId(i as u16))
    }
    /// All workload ids in order.
    pub fn workload_ids(&self) -> impl Iterator<Item = WorkloadId> + use<> {
        (0..self.workloads.len() as u16).map(WorkloadId)
    }
    /// All Service ids in order.
    pub fn service_ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..self.services.len() as u16).map(ServiceId)
    }
}
