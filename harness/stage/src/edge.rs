//! A gateway pod: nginx's rules on real connections.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use gateway::{Answer, Ask, Broken, Exchange, Key, Peer, Reply, ReplyFrom, Routed, Upstreams, Zones};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, LOCATION, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request;
use hyper::{Request, Response, StatusCode};
use platform::{Action, GatewayConfig, LocationId, Platform, ServiceId};
use record::{Hops, wire};
use server::{Handler, plain};
use units::{Nanos, RequestId};

use crate::fabric::{Fabric, NoAnswer, Within};

/// One nginx pod.
pub(crate) struct Edge {
    pub(crate) platform: Arc<Platform>,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) zones: Zones,
    pub(crate) upstreams: Upstreams,
    /// The Service of each upstream's servers, resolved as nginx does: once, at the start.
    pub(crate) services: Vec<Vec<Option<ServiceId>>>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) clock: Clock,
    pub(crate) cpu: AtomicU64,
}

impl Edge {
    pub(crate) fn services(platform: &Platform, config: &GatewayConfig) -> Vec<Vec<Option<ServiceId>>> {
        let resolve = |server: &platform::UpstreamServer| platform.service_named(&server.host);
        config.upstreams.iter().map(|upstream| upstream.servers.iter().map(resolve).collect()).collect()
    }

    /// CPU time accounted so far.
    pub(crate) fn cpu(&self) -> Nanos {
        Nanos::new(self.cpu.load(Ordering::Relaxed))
    }

    fn config(&self) -> &GatewayConfig {
        &self.platform.gateway.as_ref().expect("a gateway pod is started only for a platform that has one").config
    }
}

impl Handler for Edge {
    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.cpu.fetch_add(model::GATEWAY_CPU.get(), Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let routed = gateway::route(self.config(), self.port, host, target);
        let location = match routed {
            Routed::To(id) | Routed::Redirect(id) => Some(id),
            Routed::Nothing | Routed::Malformed => None,
        };
        // nginx looks at the size before it rewrites or limits, and reads no body that is too big.
        let most = location.map_or(u64::MAX, |id| match self.config().location(id).max_body.get() {
            0 => u64::MAX,
            most => most,
        });
        if body.size_hint().lower() > most {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        }
        let body = match Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
            }
            Err(_) => return plain(StatusCode::BAD_REQUEST, "the body broke off"),
        };
        let mut response = self.exchange(key(peer), routed, location, &head, body).await;
        if let (Routed::Redirect(_), Ok(there)) = (routed, self.with_slash(host, target).parse()) {
            response.headers_mut().insert(LOCATION, there);
        }
        response
    }
}

/// What ends at the gateway, as in `ngx_http_proxy_headers`; the length is that of the body we send.
const NOT_PASSED_ON: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, EXPECT, UPGRADE, HeaderName::from_static("keep-alive")];

/// `$binary_remote_addr`. IPv6 peers share one bucket: there are none on our loopback.
fn key(peer: IpAddr) -> Key {
    match peer {
        IpAddr::V4(address) => Key(address.to_bits()),
        IpAddr::V6(_) => Key(0),
    }
}

impl Edge {
    /// Where nginx redirects a path that lacks its last slash: absolute, to the host of the request and the port of
    /// the server (`absolute_redirect`, `port_in_redirect`).
    fn with_slash(&self, host: &str, target: &str) -> String {
        let host = host.split(':').next().unwrap_or(host);
        let port = if self.port == 80 { String::new() } else { format!(":{}", self.port) };
        match target.split_once('?') {
            Some((path, query)) => format!("http://{host}{port}{path}/?{query}"),
            None => format!("http://{host}{port}{target}/"),
        }
    }

    /// Drives one exchange to its reply.
    async fn exchange(
        &self,
        key: Key,
        routed: Routed,
        location: Option<LocationId>,
        head: &request::Parts,
        body: Bytes,
    ) -> Response<Full<Bytes>> {
        let config = self.config();
        let exchange = Exchange::new(routed);
        let mut upstream = None;
        let mut held = Nanos::ZERO;
        let mut ask = exchange.begin(config);
        loop {
            let answer = match ask {
                Ask::Offer(at) => {
                    Answer::Offered(self.zones.offer(&config.location(at).limits, key, || self.clock.now()))
                }
                Ask::Pick(id) => Answer::Picked(self.upstreams.pick(id)),
                Ask::Until(at) => {
                    let began = self.clock.now();
                    held += self.clock.until(at).await - began;
                    Answer::Waited
                }
                Ask::Send(peer) => match self.send(peer, location, head, body.clone()).await {
                    Ok(response) => Answer::Replied(upstream.insert(response).status().as_u16()),
                    Err(NoAnswer::Connect) => Answer::Broken(Broken::Connect),
                    Err(NoAnswer::Reset) => Answer::Broken(Broken::Reset),
                    Err(NoAnswer::Timeout) => Answer::Broken(Broken::Timeout),
                },
                Ask::Reply(reply) => return self.reply(reply, location, upstream, held),
            };
            ask = exchange.proceed(config, self.clock.now(), answer);
        }
    }

    async fn send(
        &self,
        peer: Peer,
        location: Option<LocationId>,
        head: &request::Parts,
        body: Bytes,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let service = self.services[usize::from(peer.upstream.0)][usize::from(peer.server)].ok_or(NoAnswer::Connect)?;
        let declared = location.map(|id| self.config().location(id)).ok_or(NoAnswer::Connect)?;
        let uri = match &declared.action {
            Action::Proxy { uri, .. } => uri.as_deref(),
            Action::Return { .. } | Action::StubStatus => None,
        };
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let id = head.headers.get(wire::REQUEST).and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
        let id: RequestId = id.unwrap_or_default();
        let behind = id.call(0);
        let mut request = Request::builder()
            .method(head.method.clone())
            .uri(gateway::rewrite(&declared.matches, uri, target))
            .body(Full::new(body))
            .map_err(|_| NoAnswer::Connect)?;
        for (name, value) in &head.headers {
            if !NOT_PASSED_ON.contains(name) {
                request.headers_mut().append(name, value.clone());
            }
        }
        if let Ok(id) = behind.to_string().parse() {
            request.headers_mut().insert(wire::REQUEST, id);
        }
        let within = Within {
            connect: Duration::from_nanos(declared.connect_timeout.get()),
            answer: Duration::from_nanos(declared.read_timeout.get()),
        };
        self.fabric.ask(self.address, service, behind, request, within).await
    }

    fn reply(
        &self,
        reply: Reply,
        location: Option<LocationId>,
        upstream: Option<Response<Bytes>>,
        held: Nanos,
    ) -> Response<Full<Bytes>> {
        let declared = location.map(|id| self.config().location(id));
        let mut response = match (reply.from, upstream) {
            (ReplyFrom::Upstream, Some(response)) => {
                let (mut head, body) = response.into_parts();
                head.headers.remove(CONNECTION);
                head.headers.remove(TRANSFER_ENCODING);
                Response::from_parts(head, Full::new(body))
            }
            (from, _) => {
                let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let body = match declared.map(|location| &location.action) {
                    Some(Action::Return { body, .. }) if from == ReplyFrom::Itself => body.clone(),
                    _ => status.to_string(),
                };
                plain(status, body)
            }
        };
        let headers = response.headers_mut();
        let cause = match reply.from {
            ReplyFrom::Limit => Some(wire::LIMITED),
            ReplyFrom::BadGateway => Some(wire::GATEWAY),
            ReplyFrom::Upstream | ReplyFrom::Itself => None,
        };
        if let Some(cause) = cause {
            headers.insert(wire::CAUSE, hyper::header::HeaderValue::from_static(cause));
        }
        if held > Nanos::ZERO {
            let below = headers.get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
            let hops = Hops { limiter_us: held.as_micros() as u32, ..below.unwrap_or_default() };
            if let Ok(value) = hops.to_header().parse() {
                headers.insert(wire::HOPS, value);
            }
        }
        for (name, value) in declared.map_or(&[][..], |location| &location.headers) {
            // A header that HTTP does not allow is nginx's to refuse when it reads its file.
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value.parse()) {
                headers.insert(name, value);
            }
        }
        response
    }
}
