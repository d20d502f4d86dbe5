//! Rules about pods from outside of their workload: disruption, traffic, priority, quotas.

use std::collections::BTreeMap;

use units::Bytes;

use crate::{CountOrPercent, Labels, Place, PortRef, Protocol, Resources, Selector};

/// PodDisruptionBudget `policy/v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct DisruptionBudget {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// Which pods. `None` selects none, an empty one all of the namespace.
    pub selector: Option<Selector>,
    /// What must stay, or may be missing.
    pub bound: DisruptionBound,
    /// `unhealthyPodEvictionPolicy: AlwaysAllow`; otherwise `IfHealthyBudget`.
    pub always_evict_unready: bool,
    /// Where it was declared.
    pub place: Place,
}

/// What a budget bounds. Percentages round up (`pkg/controller/disruption/disruption.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisruptionBound {
    /// `minAvailable`.
    MinAvailable(CountOrPercent),
    /// `maxUnavailable`.
    MaxUnavailable(CountOrPercent),
}

/// NetworkPolicy `networking.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPolicy {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `podSelector`: whom it isolates; an empty one all pods of the namespace.
    pub pods: Selector,
    /// Rules for what comes in. `None`: it does not isolate this direction; empty: nothing comes in.
    pub ingress: Option<Vec<TrafficRule>>,
    /// Rules for what goes out, likewise.
    pub egress: Option<Vec<TrafficRule>>,
    /// Where it was declared.
    pub place: Place,
}

/// One rule: any of these peers on any of these ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficRule {
    /// Peers; empty: all.
    pub peers: Vec<TrafficPeer>,
    /// Ports; empty: all.
    pub ports: Vec<TrafficPort>,
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum TrafficPeer {
    /// Pods of some namespaces.
    Pods {
        /// `namespaceSelector`; `None`: the policy's own namespace.
        namespaces: Option<Selector>,
        /// `podSelector`; `None`: all pods there.
        pods: Option<Selector>,
    },
    /// Addresses.
    Block {
        /// `cidr`.
        cidr: String,
        /// `except`.
        except: Vec<String>,
    },
}

/// A port or a range of them, of the pod that is entered.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficPort {
    /// `protocol`, default TCP.
    pub protocol: Protocol,
    /// `port`; `None`: all.
    pub port: Option<PortRef>,
    /// `endPort`.
    pub end: Option<u16>,
}

/// ResourceQuota.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `requests.cpu` and `requests.memory`.
    pub requests: Resources,
    /// `limits.cpu` and `limits.memory`.
    pub limits: Resources,
    /// `pods`.
    pub pods: Option<u32>,
    /// Where it was declared.
    pub place: Place,
}

/// LimitRange: what a container gets that does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRange {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `defaultRequest` of type Container.
    pub default_request: Resources,
    /// `default` of type Container: limits.
    pub default_limit: Resources,
    /// `max` of type Container.
    pub max: Resources,
    /// Where it was declared.
    pub place: Place,
}

/// Something that pods need to start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What kind of thing.
    pub kind: ReferenceKind,
    /// Its name.
    pub name: String,
    /// One key of it, where only that is asked for.
    pub key: Option<String>,
    /// `optional: true`: the pod starts without it.
    pub optional: bool,
    /// Where it is asked for.
    pub place: Place,
}

/// What kind of thing a pod needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceKind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
    /// PersistentVolumeClaim.
    Claim,
    /// ServiceAccount.
    ServiceAccount,
    /// PriorityClass.
    PriorityClass,
}

/// A ConfigMap or Secret: its keys, and the texts of a ConfigMap. No value of a Secret is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// [`ReferenceKind::ConfigMap`] or [`ReferenceKind::Secret`].
    pub kind: ReferenceKind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// Its keys; with their text in a ConfigMap, with an empty one in a Secret.
    pub entries: BTreeMap<String, String>,
    /// Where it was declared.
    pub place: Place,
}

/// PersistentVolumeClaim, or a template of one in a StatefulSet.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `resources.requests.storage`.
    pub size: Option<Bytes>,
    /// `storageClassName`; `None`: the cluster's default.
    pub class: Option<String>,
    /// The StatefulSet whose template it is.
    pub template_of: Option<String>,
    /// Where it was declared.
    pub place: Place,
}

/// Labels that Pod Security reads on a namespace, such as `pod-security.kubernetes.io/enforce`.
pub fn pod_security(labels: &Labels) -> Option<&str> {
    labels.get("pod-security.kubernetes.io/enforce").map(String::as_str)
}
