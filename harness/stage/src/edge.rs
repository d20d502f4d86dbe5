//! An nginx on real connections: the gateway's pods, and the ingress controller in front of them.

mod body;
mod headers;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use cluster::PodId;
use gateway::{
    Answer, Ask, Broken, Choice, Connections, Exchange, Kept, Key, Peer, Reply, ReplyFrom, Resolved, Routed, Upstreams,
    Zones,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::http::{HeaderMap, request};
use hyper::{Request, Response, StatusCode};
use platform::{Action, Balance, ConnUse, GatewayConfig, Ingress, Location, Platform, ServiceId};
use record::{Hops, wire};
use scenarios::Verdict;
use server::{Handler, NODE};
use units::{Nanos, RequestId};

use crate::fabric::{Answered, Fabric, NoAnswer, Origin, Within};
use body::EdgeBody;
use headers::Sent;

/// One nginx: what its connections share.
#[derive(Debug)]
pub(crate) struct Edge {
    config: Arc<GatewayConfig>,
    /// The Ingress objects that its configuration was made of, if it is a controller in front.
    ingresses: Vec<Ingress>,
    origin: Origin,
    zones: Zones,
    connections: Connections,
    upstreams: Upstreams,
    /// Where the connections lead that it keeps.
    kept: Mutex<Kept<PodId>>,
    /// The Service of each upstream's servers, resolved as nginx does: once, at the start.
    services: Vec<Vec<Option<ServiceId>>>,
    fabric: Arc<Fabric>,
    clock: Clock,
    cpu: AtomicU64,
}

impl Edge {
    /// A gateway pod.
    pub(crate) fn new(config: Arc<GatewayConfig>, platform: &Platform, origin: Origin, fabric: Arc<Fabric>) -> Self {
        let resolve = |server: &platform::UpstreamServer| platform.service_named(&server.host);
        let services = config.upstreams.iter().map(|upstream| upstream.servers.iter().map(resolve).collect()).collect();
        Self {
            zones: Zones::new(&config),
            connections: Connections::new(&config),
            upstreams: Upstreams::new(&config),
            kept: Mutex::new(Kept::new(&config, config.worker_processes)),
            config,
            ingresses: Vec::new(),
            origin,
            services,
            clock: fabric.clock().clone(),
            fabric,
            cpu: AtomicU64::new(0),
        }
    }

    /// The controller of the platform's Ingress objects.
    pub(crate) fn ingress(platform: &Platform, origin: Origin, fabric: Arc<Fabric>) -> Self {
        let config = gateway::ingress::config(&platform.ingresses.iter().collect::<Vec<_>>());
        let mut edge = Self::new(Arc::new(config), platform, origin, fabric);
        // A backend is a Service of its Ingress's own namespace.
        for (upstream, services) in edge.config.upstreams.iter().zip(&mut edge.services) {
            let rules =
                platform.ingresses.iter().flat_map(|ingress| ingress.rules.iter().map(move |rule| (ingress, rule)));
            let behind = rules.into_iter().find(|(_, rule)| rule.place == upstream.place);
            if let Some((ingress, rule)) = behind {
                *services = vec![platform.service_from(&ingress.namespace, &rule.service)];
            }
        }
        edge.ingresses.clone_from(&platform.ingresses);
        edge
    }

    /// CPU time accounted so far.
    pub(crate) fn cpu(&self) -> Nanos {
        Nanos::new(self.cpu.load(Ordering::Relaxed))
    }

    /// The ports that it listens on: each with whether that is TLS.
    pub(crate) fn ports(&self) -> Vec<(u16, bool)> {
        let mut ports: Vec<_> = self.config.servers.iter().map(|server| (server.port, server.tls)).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// One port of an nginx.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) edge: Arc<Edge>,
    /// As the configuration has it, wherever it really listens.
    pub(crate) number: u16,
    pub(crate) tls: bool,
}

impl Handler for Port {
    type Body = EdgeBody;

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<EdgeBody> {
        let (head, body) = request.into_parts();
        let edge = &self.edge;
        let said = head.headers.get(wire::CLIENT).and_then(|value| value.to_str().ok());
        let peer = edge.fabric.client(said).unwrap_or(peer);
        if peer != NODE
            && edge.ingresses.is_empty()
            && let Some(in_place) = edge.on_the_way(request_id(&head.headers)).await
        {
            return in_place;
        }
        edge.cpu.fetch_add(model::GATEWAY_CPU.get(), Ordering::Relaxed);
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let headers = Sent(&head.headers);
        let asked = gateway::Request {
            peer,
            method: head.method.as_str(),
            headers: &headers,
            tls: self.tls,
            body: body.size_hint().exact(),
            ..gateway::Request::new(self.number, host, target)
        };
        let resolved = gateway::resolve(&edge.config, &asked);
        let location = resolved.location().map(|id| edge.config.location(id));
        let ingress = edge.ingress_of(host);
        let mut response = match ingress.and_then(|ingress| gateway::ingress::preflight(ingress, asked.method)) {
            Some(status) => plain(StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT), ""),
            // nginx looks at the size before it rewrites or limits, and reads no body that is too big.
            None => match whole(body, location).await {
                Ok(body) => self.exchange(&resolved, &asked, &head, body).await,
                Err((status, why)) => plain(status, why),
            },
        };
        let there = match (resolved.routed, resolved.text.as_deref()) {
            (Routed::Redirect(_), _) => Some(self.with_slash(host, target)),
            (Routed::Answer { .. }, Some(text)) if response.status().is_redirection() => Some(text.to_owned()),
            _ => None,
        };
        if let Some(there) = there {
            headers::locate(response.headers_mut(), &there);
        }
        let status = response.status().as_u16();
        let in_force = self.edge.config.in_force(resolved.server, resolved.location());
        headers::add(response.headers_mut(), status, in_force);
        if let Some(ingress) = ingress {
            headers::cors(response.headers_mut(), ingress, &head.headers, head.method == hyper::Method::OPTIONS);
        }
        response
    }
}

/// The client's body, to its end: `proxy_request_buffering`.
async fn whole(body: Incoming, location: Option<&Location>) -> Result<Bytes, (StatusCode, &'static str)> {
    let too_large = (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    let most = match location.map_or(0, |location| location.max_body.get()) {
        0 => u64::MAX,
        most => most,
    };
    if body.size_hint().lower() > most {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large),
        Err(_) => Err((StatusCode::BAD_REQUEST, "the body broke off")),
    }
}

/// A short answer in plain text.
fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<EdgeBody> {
    let text: Bytes = text.into();
    let mut response = Response::new(EdgeBody::from(text));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    response
}

/// Who asks; a request from outside the rehearsal is nobody's.
fn request_id(headers: &HeaderMap) -> RequestId {
    let header = headers.get(wire::REQUEST).and_then(|id| id.to_str().ok());
    header.and_then(|id| id.parse().ok()).unwrap_or_default()
}

/// What a request holds at the gateway. It is given back also if the client goes away first.
#[derive(Debug)]
struct Held {
    edge: Arc<Edge>,
    counted: Vec<(ConnUse, Option<Key>)>,
    /// The peer that has it, and whether it failed.
    peer: Option<(Peer, bool)>,
    /// The pod behind, if the connection to it is worth keeping, and how many requests it has served.
    leads: Option<(PodId, u32)>,
}

impl Held {
    fn free(&mut self) {
        if let Some((peer, failed)) = self.peer.take() {
            let now = self.edge.clock.now();
            self.edge.upstreams.free(peer, failed, now);
            if let Some((pod, served)) = self.leads.take().filter(|_| !failed) {
                self.edge.kept().give(peer, now, pod, served);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free();
        if !self.counted.is_empty() {
            let limits: Vec<ConnUse> = self.counted.iter().map(|(limit, _)| *limit).collect();
            let key = |limit: &ConnUse| self.counted.iter().find(|(other, _)| other == limit)?.1;
            self.edge.connections.release(&limits, key);
        }
    }
}

impl Edge {
    /// What happens to a client's request before it is here: it comes late, or somebody in between answers it, or it
    /// never comes, and its client waits.
    async fn on_the_way(&self, id: RequestId) -> Option<Response<EdgeBody>> {
        match self.fabric.way_in(id) {
            Verdict::UNDISTURBED => None,
            Verdict::Pass { delay } => {
                self.clock.until(self.clock.now() + delay).await;
                None
            }
            Verdict::Answer { status } => {
                Some(plain(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), ""))
            }
            Verdict::Reset => {
                let mut none = plain(StatusCode::BAD_GATEWAY, "");
                none.extensions_mut().insert(server::Reset);
                Some(none)
            }
            Verdict::Lost | Verdict::Unresolved => std::future::pending().await,
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept<PodId>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Ingress that speaks for a host.
    fn ingress_of(&self, host: &str) -> Option<&Ingress> {
        let host = host.split(':').next().unwrap_or(host);
        self.ingresses.iter().find(|ingress| ingress.rules.iter().any(|rule| rule.host.eq_ignore_ascii_case(host)))
    }
}

impl Port {
    /// Where nginx redirects a path that lacks its last slash: absolute, to the host of the request and the port of
    /// the server (`absolute_redirect`, `port_in_redirect`).
    fn with_slash(&self, host: &str, target: &str) -> String {
        let host = host.split(':').next().unwrap_or(host);
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        let port = if self.number == usual { String::new() } else { format!(":{}", self.number) };
        match target.split_once('?') {
            Some((path, query)) => format!("{scheme}://{host}{port}{path}/?{query}"),
            None => format!("{scheme}://{host}{port}{target}/"),
        }
    }

    /// Drives one exchange to its reply.
    async fn exchange(
        &self,
        resolved: &Resolved,
        asked: &gateway::Request<'_>,
        head: &request::Parts,
        body: Bytes,
    ) -> Response<EdgeBody> {
        let (edge, config) = (&self.edge, &*self.edge.config);
        let mut held = Held { edge: Arc::clone(edge), counted: Vec::new(), peer: None, leads: None };
        let client = edge.fabric.stands_for(resolved.client);
        let mut exchange = Exchange::new(resolved.routed).by(asked.method).from_client(config, client);
        let mut upstream = None;
        let (mut delayed, mut tries) = (Nanos::ZERO, Tries::default());
        let mut ask = exchange.begin(config);
        loop {
            let answer = match ask {
                Ask::Offer(at) => {
                    let key = |limit: &platform::LimitUse| resolved.key(config, asked, limit.zone);
                    let limits = &config.location(at).limits;
                    Answer::Offered(edge.zones.offer_each(limits, key, || edge.clock.now(), |_, _| {}))
                }
                Ask::Hold(at) => {
                    let limits = config.location(at).conn_limits.as_slice();
                    let key = |limit: &ConnUse| resolved.conn_key(config, asked, limit);
                    let room = edge.connections.hold(limits, key).is_ok();
                    if room {
                        held.counted = limits.iter().map(|limit| (*limit, key(limit))).collect();
                    }
                    Answer::Held(room)
                }
                Ask::Pick(id) => {
                    held.free();
                    let key = match &config.upstream(id).balance {
                        Balance::Hash { key, .. } => resolved.value(config, asked, key),
                        _ => String::new(),
                    };
                    let request = asked.headers.header(wire::REQUEST).unwrap_or_default();
                    let choice = Choice {
                        tried: exchange.tried(),
                        client: resolved.client,
                        key: key.as_bytes(),
                        draw: Key::of_bytes(request.as_bytes()).0,
                        now: edge.clock.now(),
                    };
                    let picked = edge.upstreams.pick(id, &choice);
                    held.peer = picked.map(|peer| (peer, false));
                    Answer::Picked(picked)
                }
                // Freed when the answer has gone out, or another one is picked.
                Ask::Free(peer, failed) => {
                    held.peer = Some((peer, failed));
                    Answer::Freed
                }
                Ask::Until(at) => {
                    let began = edge.clock.now();
                    delayed += edge.clock.until(at).await - began;
                    Answer::Waited
                }
                Ask::Send(peer) => {
                    tries.another(edge.clock.now());
                    let keeps = resolved.location().is_some_and(|id| {
                        gateway::keeps(config, config.location(id), peer.upstream) && edge.ingresses.is_empty()
                    });
                    let open = |pod: &PodId| edge.fabric.stands(*pod);
                    let kept = keeps.then(|| edge.kept().take(peer, edge.clock.now(), open)).flatten();
                    match self.send(peer, resolved, asked, head, body.clone(), kept.map(|(pod, _)| pod)).await {
                        Ok((response, met)) => {
                            held.leads = met.filter(|_| keeps).map(|pod| (pod, kept.map_or(0, |(_, n)| n) + 1));
                            Answer::Replied(upstream.insert(response).status())
                        }
                        Err(NoAnswer::Connect) => Answer::Broken(Broken::Connect),
                        Err(NoAnswer::ConnectTimeout) => Answer::Broken(Broken::ConnectTimeout),
                        Err(NoAnswer::Reset) => Answer::Broken(Broken::Reset),
                        Err(NoAnswer::Timeout) => Answer::Broken(Broken::Timeout),
                    }
                }
                Ask::Reply(reply) => {
                    return self.reply(reply, resolved, upstream, (delayed, tries.in_vain()), held);
                }
            };
            ask = exchange.proceed(config, edge.clock.now(), answer);
        }
    }

    async fn send(
        &self,
        peer: Peer,
        resolved: &Resolved,
        asked: &gateway::Request<'_>,
        head: &request::Parts,
        body: Bytes,
        kept: Option<PodId>,
    ) -> Result<(Answered, Option<PodId>), NoAnswer> {
        let (edge, config) = (&self.edge, &self.edge.config);
        let service = edge.services[usize::from(peer.upstream.0)][usize::from(peer.server)].ok_or(NoAnswer::Connect)?;
        let declared = resolved.location().map(|id| config.location(id)).ok_or(NoAnswer::Connect)?;
        // A controller in front is no call of the plan: what is behind it draws as if it were not there.
        let id = request_id(&head.headers);
        let behind = if edge.ingresses.is_empty() { id.call(0) } else { id };
        let mut request = Request::builder()
            .method(head.method.clone())
            .uri(resolved.upstream_target(config, asked))
            .body(Full::new(body))
            .map_err(|_| NoAnswer::Connect)?;
        let value = |template: &platform::Template| resolved.value(config, asked, template);
        *request.headers_mut() = headers::passed_on(&head.headers, declared, config.upstream(peer.upstream), value);
        if head.headers.contains_key(wire::REQUEST)
            && let Ok(id) = behind.to_string().parse()
        {
            request.headers_mut().insert(wire::REQUEST, id);
        }
        let within = Within {
            connect: Duration::from_nanos(declared.connect_timeout.get()),
            answer: Duration::from_nanos(declared.read_timeout.get()),
            silence: None,
        };
        edge.fabric.ask(edge.origin, service, behind, request, within, declared.buffering, kept).await
    }

    fn reply(
        &self,
        reply: Reply,
        resolved: &Resolved,
        upstream: Option<Answered>,
        (delayed, retried): (Nanos, Nanos),
        held: Held,
    ) -> Response<EdgeBody> {
        let declared = resolved.location().map(|id| self.edge.config.location(id));
        let limit = declared.map_or(Duration::MAX, |location| Duration::from_nanos(location.read_timeout.get()));
        let mut response = match (reply.from, upstream) {
            (ReplyFrom::Upstream, Some(answered)) => {
                let mut response = match answered {
                    Answered::Whole(response) => response.map(EdgeBody::from),
                    Answered::Passed(response, connection) => {
                        response.map(|incoming| EdgeBody::passed(incoming, connection, limit, held))
                    }
                };
                response.headers_mut().remove(CONNECTION);
                response.headers_mut().remove(TRANSFER_ENCODING);
                response
            }
            (from, _) => {
                let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let body = match (declared.map(|location| &location.action), &resolved.text) {
                    (_, Some(text)) => text.clone(),
                    (Some(Action::Return { body, .. }), _) if from == ReplyFrom::Itself => body.clone(),
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
            headers.insert(wire::CAUSE, HeaderValue::from_static(cause));
        }
        if delayed + retried > Nanos::ZERO {
            let below = headers.get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
            let micros = |nanos: Nanos| nanos.as_micros() as u32;
            let hops = Hops { limiter_us: micros(delayed), retry_us: micros(retried), ..below.unwrap_or_default() };
            if let Ok(value) = hops.to_header().parse() {
                headers.insert(wire::HOPS, value);
            }
        }
        response
    }
}

/// When a request first went to a server, and when it did last.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    span: Option<(Nanos, Nanos)>,
}

impl Tries {
    fn another(&mut self, now: Nanos) {
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    /// Time spent at servers before the last one.
    fn in_vain(self) -> Nanos {
        self.span.map_or(Nanos::ZERO, |(first, last)| last - first)
    }
}
