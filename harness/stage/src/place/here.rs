//! Pods of this process: what listens for one, what it is made of, and how it calls others.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cluster::{PodId, Traffic};
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use model::{CallProfile, LIBRARY_CONNECT, Station};
use platform::{Container, HttpProbe, PortRef, Probe, ProbeAction, WorkloadId};
use record::{Hops, wire};
use scenarios::Plan;
use server::{Answer, Listening, LiveStation, MockService, Outbound, Unreachable};
use tokio::net::{TcpListener, TcpSocket};
use units::{Bytes, Nanos, RequestId};

use super::Place;
use crate::data::Around;
use crate::edge::{Edge, Port};
use crate::fabric::{Fabric, Origin, Within};

/// Who accounts for a pod's CPU.
pub(super) enum Accounts {
    Service(Arc<MockService>),
    Gateway(Arc<Edge>),
}

impl Accounts {
    /// Cumulative CPU time and working set now.
    pub(super) fn usage(&self) -> (Nanos, Bytes) {
        match self {
            Self::Service(service) => service.station.usage(),
            Self::Gateway(edge) => (edge.cpu(), model::GATEWAY_MEMORY),
        }
    }

    /// What its own metrics tell of its requests.
    pub(super) fn traffic(&self) -> Traffic {
        match self {
            Self::Service(service) => Traffic {
                answered: service.metrics.answered(),
                waiting: service.station.waiting(),
                in_flight: service.station.in_flight(),
            },
            // Each request costs the gateway the same.
            Self::Gateway(edge) => {
                Traffic { answered: edge.cpu().get() / model::GATEWAY_CPU.get(), ..Traffic::default() }
            }
        }
    }
}

impl Place {
    /// Serves a pod that began at `started`: the gateway's, or a mock service of its workload's profile.
    pub(super) fn serve(
        &mut self,
        id: PodId,
        of: WorkloadId,
        listener: TcpListener,
        started: Nanos,
    ) -> (Listening, Accounts) {
        let (node, platform) = (self.node(), &self.plan.platform);
        if let Some(gateway) = platform.gateway.as_ref().filter(|gateway| gateway.workload == of) {
            let config = Arc::clone(self.gateway.get_or_insert_with(|| Arc::new(gateway.config.clone())));
            let edge = Arc::new(Edge::new(config, platform, Origin::Pod(id), Arc::clone(&self.fabric)));
            let port = Port { edge: Arc::clone(&edge), number: self.plan.gateway_port, tls: false };
            return (Listening::serve(listener, Arc::new(port), node), Accounts::Gateway(edge));
        }
        let (workload, profile) = (platform.workload(of), Arc::clone(self.plan.profile(of)));
        let limits = workload.containers.first().map(|container| container.limits).unwrap_or_default();
        let station = Station::new(profile.station(limits.cpu, limits.memory), started);
        let around = Around { pod: id, started, data: Arc::clone(&self.data), feed: self.feed.clone() };
        let service = Arc::new(MockService {
            number: id.0 as u16 + 1,
            profile,
            health: workload.containers.first().map(health_paths).unwrap_or_default(),
            seed: self.plan.load.seed,
            behind_gateway: false, // the embedded one reads ids
            station: LiveStation::new(station, self.clock.clone(), Arc::new(around)),
            metrics: server::Metrics::new(alerts::Edges::of(platform, workload).edges),
            records: Arc::clone(&self.records),
            outbound: Arc::new(PodOutbound { plan: Arc::clone(&self.plan), fabric: Arc::clone(&self.fabric), pod: id }),
        });
        (Listening::serve(listener, Arc::clone(&service), node), Accounts::Service(service))
    }
}

/// The port that a container serves on: the first it declares.
pub(super) fn serving_port(container: &Container) -> u16 {
    container.ports.first().map_or(8_000, |port| port.port)
}

fn health_paths(container: &Container) -> Vec<String> {
    let path = |probe: &Option<Probe>| match probe.as_ref().map(|probe| &probe.action) {
        Some(ProbeAction::Http(HttpProbe { path, port, .. })) => {
            let serves = container.port(port).is_none_or(|port| port == serving_port(container));
            (serves || matches!(port, PortRef::Name(_))).then(|| path.clone())
        }
        _ => None,
    };
    [&container.startup, &container.readiness, &container.liveness].into_iter().filter_map(path).collect()
}

/// Connections that may wait to be accepted: what `net.core.somaxconn` allows by default. With a short queue the
/// kernel drops what does not fit, and those clients come back exactly one second later.
const BACKLOG: u32 = 4_096;

/// Listens on the wanted port, or on a free one if that is taken by somebody else or needs a privilege.
pub(crate) fn listen(address: Ipv4Addr, port: u16) -> io::Result<(TcpListener, Option<&'static str>)> {
    let open = |port| {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((address, port)))?;
        socket.listen(BACKLOG)
    };
    match open(port) {
        Ok(listener) => Ok((listener, None)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok((open(0)?, Some("ports below 1024 need a privilege that this process does not have")))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok((open(0)?, Some("another process listens on it, on every address")))
        }
        Err(error) => Err(error),
    }
}

/// How a pod reaches other services: through the fabric, from its own address, on a connection per call (as an HTTP
/// client that is made for each request; assumed).
struct PodOutbound {
    plan: Arc<Plan>,
    fabric: Arc<Fabric>,
    pod: PodId,
}

impl Outbound for PodOutbound {
    fn call<'a>(
        &'a self,
        call: &'a CallProfile,
        id: RequestId,
        authorization: Option<&'a HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Unreachable>> + Send + 'a>> {
        Box::pin(async move {
            let service = self.plan.platform.service_named(&call.service).ok_or(Unreachable)?;
            let (method, path) = call.request.split_once(' ').ok_or(Unreachable)?;
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, &call.service)
                .header(wire::REQUEST, id.to_string())
                .body(Full::default())
                .map_err(|_| Unreachable)?;
            request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
            // It waits long for an answer; whoever asked gives up earlier.
            let within = Within {
                connect: Duration::from_nanos(LIBRARY_CONNECT.get()),
                answer: Duration::from_mins(1),
                silence: Some(LIBRARY_CONNECT),
            };
            let from = Origin::Pod(self.pod);
            let asked = self.fabric.ask(from, service, id, request, within, true, None).await;
            let (answered, _) = asked.map_err(|_| Unreachable)?;
            let hops = answered.headers().get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
            Ok(Answer { status: answered.status(), hops: hops.unwrap_or_default() })
        })
    }
}
