//! Services.

use units::Nanos;

use crate::{Labels, Place, PortRef, Protocol};

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Which pods it selects.
    pub selector: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity`.
    pub affinity: Affinity,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `internalTrafficPolicy: Local`: only endpoints on the caller's node.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`: only endpoints on the node that was entered; the client's address survives.
    pub external_local: bool,
    /// Where it was declared.
    pub place: Place,
}

/// How a Service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServiceKind {
    /// By a cluster address.
    #[default]
    ClusterIp,
    /// `clusterIP: None`: its name resolves to the addresses of its pods.
    Headless,
    /// `type: NodePort`, by a cluster address, too.
    NodePort,
    /// `type: LoadBalancer`, by a cluster address, too.
    LoadBalancer,
    /// Its name is another name for this host.
    ExternalName(String),
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// `protocol`, default TCP.
    pub protocol: Protocol,
    /// The port clients dial.
    pub port: u16,
    /// The container port behind it.
    pub target: PortRef,
}

/// Whether a client stays with the endpoint it got first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Each connection chooses anew.
    #[default]
    None,
    /// By client address, for this long after its last connection.
    ClientIp(Nanos),
}
