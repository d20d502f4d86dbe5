//! Services.

use units::Nanos;

use crate::{Labels, Place, PortRef};

/// A Service with a cluster address.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// `metadata.name`.
    pub name: String,
    /// Which pods it selects.
    pub selector: Labels,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity`.
    pub affinity: Affinity,
    /// Where it was declared.
    pub place: Place,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePort {
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
