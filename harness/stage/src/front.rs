//! The ingress controller in front of the gateway, on an address of its own: plain HTTP, and TLS by an authority of
//! this run.

use std::net::SocketAddr;
use std::sync::Arc;

use record::EventKind;
use scenarios::Plan;
use server::Listening;

use crate::edge::{Edge, Port};
use crate::fabric::{Fabric, Origin};
use crate::place::listen;
use crate::tls::Authority;
use crate::{AddressLease, StageError};

/// Where the controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontDoor {
    /// The hosts that it knows.
    pub hosts: Vec<String>,
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// TLS.
    pub https: Option<SocketAddr>,
    /// The certificate of the authority that vouches for its hosts, as PEM.
    pub ca_pem: String,
}

/// The controller. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Front {
    door: FrontDoor,
    pub(crate) authority: Authority,
    _open: Vec<Listening>,
}

impl Front {
    /// Opens the ports of a platform's controller; there is none where there are no Ingress objects.
    pub(crate) fn open(plan: &Plan, lease: &AddressLease, fabric: &Arc<Fabric>) -> Result<Option<Self>, StageError> {
        let ingresses = &plan.platform.ingresses;
        let mut hosts: Vec<String> =
            ingresses.iter().flat_map(|ingress| &ingress.rules).map(|rule| rule.host.clone()).collect();
        hosts.retain(|host| !host.is_empty());
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.is_empty() {
            return Ok(None);
        }
        let address = lease.bind(lease.front());
        let authority = Authority::new(&hosts)?;
        let edge = Arc::new(Edge::ingress(&plan.platform, Origin::Outside(address), Arc::clone(fabric)));
        let mut door = FrontDoor { hosts, http: None, https: None, ca_pem: authority.ca_pem.clone() };
        let mut open = Vec::new();
        for (number, tls) in edge.ports() {
            let error = |source| StageError::Listen {
                pod: "ingress controller".to_owned(),
                addr: SocketAddr::from((address, number)),
                source,
            };
            let (listener, _) = listen(address, if lease.is_one() { 0 } else { number }).map_err(error)?;
            let at = listener.local_addr().map_err(error)?;
            let port = Arc::new(Port { edge: Arc::clone(&edge), number, tls });
            if tls {
                door.https.get_or_insert(at);
                open.push(Listening::serve_tls(listener, port, None, authority.acceptor.clone()));
            } else {
                door.http.get_or_insert(at);
                open.push(Listening::serve(listener, port, None));
            }
        }
        Ok(Some(Self { door, authority, _open: open }))
    }

    pub(crate) const fn door(&self) -> &FrontDoor {
        &self.door
    }

    /// Where it is, for people.
    pub(crate) fn told(&self) -> EventKind {
        let at = |scheme: &str, at: Option<SocketAddr>| at.map(|at| format!("{scheme}://{at}"));
        let places: Vec<_> = [at("http", self.door.http), at("https", self.door.https)].into_iter().flatten().collect();
        EventKind::Substituted {
            what: format!("the ingress of {}", self.door.hosts.join(", ")),
            by: places.join(" and "),
        }
    }
}
