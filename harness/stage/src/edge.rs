//! A gateway pod: nginx's rules on real connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use cluster::PodId;
use gateway::{
    Answer, Ask, Broken, Choice, Connections, Exchange, Headers, Key, Peer, Reply, ReplyFrom, Resolved, Routed,
    Upstreams, Zones,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, LOCATION, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::{HeaderMap, request};
use hyper::{Request, Response, StatusCode};
use platform::{Action, Balance, ConnUse, GatewayConfig, Platform, ServiceId};
use record::{Hops, wire};
use scenarios::Verdict;
use server::{Handler, NODE, plain};
use units::{Nanos, RequestId};

use crate::fabric::{Fabric, NoAnswer, Within};

/// One nginx pod.
pub(crate) struct Edge {
    pub(crate) platform: Arc<Platform>,
    pub(crate) pod: PodId,
    pub(crate) port: u16,
    pub(crate) zones: Zones,
    pub(crate) connections: Connections,
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
    type Body = Full<Bytes>;
    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        if peer != NODE
            && let Some(status) = self.on_the_way(request_id(&head.headers)).await
        {
            return plain(status, "");
        }
        self.cpu.fetch_add(model::GATEWAY_CPU.get(), Ordering::Relaxed);
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let headers = Sent(&head.headers);
        let asked = gateway::Request {
            peer,
            method: head.method.as_str(),
            headers: &headers,
            ..gateway::Request::new(self.port, host, target)
        };
        let resolved = gateway::resolve(self.config(), &asked);
        let (routed, location) = (resolved.routed, resolved.location());
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
        let mut response = self.exchange(&resolved, &asked, &head, body).await;
        let there = match (routed, resolved.text.as_deref()) {
            (Routed::Redirect(_), _) => Some(self.with_slash(host, target)),
            (Routed::Answer { .. }, Some(text)) if response.status().is_redirection() => Some(text.to_owned()),
            _ => None,
        };
        if let Some(Ok(there)) = there.map(|there| there.parse()) {
            response.headers_mut().insert(LOCATION, there);
        }
        response
    }
}

/// What ends at the gateway, as in `ngx_http_proxy_headers`; the length is that of the body we send.
const NOT_PASSED_ON: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, EXPECT, UPGRADE, HeaderName::from_static("keep-alive")];

/// Headers of a request as the rules look them up.
struct Sent<'a>(&'a HeaderMap);

impl Headers for Sent<'_> {
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.0.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// What a request holds at the gateway. It is given back also if the client goes away first.
struct Held<'a> {
    edge: &'a Edge,
    counted: Option<(&'a [ConnUse], Vec<Option<Key>>)>,
    exchange: Exchange,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some((limits, keys)) = &self.counted {
            let key = |limit: &ConnUse| keys[limits.iter().position(|other| other == limit)?];
            self.edge.connections.release(limits, key);
        }
        if let Some(peer) = self.exchange.at_peer() {
            self.edge.upstreams.free(peer, false, self.edge.clock.now());
        }
    }
}

/// Who asks; a request from outside the rehearsal is nobody's.
fn request_id(headers: &HeaderMap) -> RequestId {
    let header = headers.get(wire::REQUEST).and_then(|id| id.to_str().ok());
    header.and_then(|id| id.parse().ok()).unwrap_or_default()
}

impl Edge {
    /// What happens to a client's request before it is here: it comes late, or somebody in between answers it, or it
    /// never comes, and its client waits.
    async fn on_the_way(&self, id: RequestId) -> Option<StatusCode> {
        match self.fabric.way_in(id) {
            Verdict::UNDISTURBED => None,
            Verdict::Pass { delay } => {
                self.clock.until(self.clock.now() + delay).await;
                None
            }
            Verdict::Answer { status } => Some(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY)),
            Verdict::Lost | Verdict::Unresolved => std::future::pending().await,
        }
    }

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
        resolved: &Resolved,
        asked: &gateway::Request<'_>,
        head: &request::Parts,
        body: Bytes,
    ) -> Response<Full<Bytes>> {
        let config = self.config();
        // Clients have loopback addresses here: `allow` and `deny` say nothing about them.
        let exchange = Exchange::new(resolved.routed).by(asked.method);
        let mut held_here = Held { edge: self, counted: None, exchange };
        let mut upstream = None;
        let mut held = Nanos::ZERO;
        let mut ask = held_here.exchange.begin(config);
        loop {
            let answer = match ask {
                Ask::Offer(at) => {
                    let key = |limit: &platform::LimitUse| resolved.key(config, asked, limit.zone);
                    let limits = &config.location(at).limits;
                    Answer::Offered(self.zones.offer_each(limits, key, || self.clock.now(), |_, _| {}))
                }
                Ask::Hold(at) => {
                    let limits = config.location(at).conn_limits.as_slice();
                    let key = |limit: &ConnUse| resolved.conn_key(config, asked, limit);
                    let room = self.connections.hold(limits, key).is_ok();
                    held_here.counted = room.then(|| (limits, limits.iter().map(key).collect()));
                    Answer::Held(room)
                }
                Ask::Pick(id) => {
                    let key = match &config.upstream(id).balance {
                        Balance::Hash { key, .. } => resolved.value(config, asked, key),
                        _ => String::new(),
                    };
                    let request = asked.headers.header(wire::REQUEST).unwrap_or_default();
                    let choice = Choice {
                        tried: held_here.exchange.tried(),
                        client: resolved.client,
                        key: key.as_bytes(),
                        draw: Key::of_bytes(request.as_bytes()).0,
                        now: self.clock.now(),
                    };
                    Answer::Picked(self.upstreams.pick(id, &choice))
                }
                Ask::Free(peer, failed) => {
                    self.upstreams.free(peer, failed, self.clock.now());
                    Answer::Freed
                }
                Ask::Until(at) => {
                    let began = self.clock.now();
                    held += self.clock.until(at).await - began;
                    Answer::Waited
                }
                Ask::Send(peer) => match self.send(peer, resolved, asked, head, body.clone()).await {
                    Ok(response) => Answer::Replied(upstream.insert(response).status().as_u16()),
                    Err(NoAnswer::Connect) => Answer::Broken(Broken::Connect),
                    Err(NoAnswer::ConnectTimeout) => Answer::Broken(Broken::ConnectTimeout),
                    Err(NoAnswer::Reset) => Answer::Broken(Broken::Reset),
                    Err(NoAnswer::Timeout) => Answer::Broken(Broken::Timeout),
                },
                Ask::Reply(reply) => return self.reply(reply, resolved, upstream, held),
            };
            ask = held_here.exchange.proceed(config, self.clock.now(), answer);
        }
    }

    async fn send(
        &self,
        peer: Peer,
        resolved: &Resolved,
        asked: &gateway::Request<'_>,
        head: &request::Parts,
        body: Bytes,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let service = self.services[usize::from(peer.upstream.0)][usize::from(peer.server)].ok_or(NoAnswer::Connect)?;
        let declared = resolved.location().map(|id| self.config().location(id)).ok_or(NoAnswer::Connect)?;
        let behind = request_id(&head.headers).call(0);
        let mut request = Request::builder()
            .method(head.method.clone())
            .uri(resolved.upstream_target(self.config(), asked))
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
            silence: None,
        };
        self.fabric.ask(self.pod, service, behind, request, within).await
    }

    fn reply(
        &self,
        reply: Reply,
        resolved: &Resolved,
        upstream: Option<Response<Bytes>>,
        held: Nanos,
    ) -> Response<Full<Bytes>> {
        let declared = resolved.location().map(|id| self.config().location(id));
        let mut response = match (reply.from, upstream) {
            (ReplyFrom::Upstream, Some(response)) => {
                let (mut head, body) = response.into_parts();
                head.headers.remove(CONNECTION);
                head.headers.remove(TRANSFER_ENCODING);
                Response::from_parts(head, Full::new(body))
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
            headers.insert(wire::CAUSE, hyper::header::HeaderValue::from_static(cause));
        }
        if held > Nanos::ZERO {
            let below = headers.get(wire::HOPS).and_then(|hops| Hops::from_header(hops.to_str().ok()?));
            let hops = Hops { limiter_us: held.as_micros() as u32, ..below.unwrap_or_default() };
            if let Ok(value) = hops.to_header().parse() {
                headers.insert(wire::HOPS, value);
            }
        }
        let plain = matches!(reply.status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
        let conditional = declared.filter(|_| plain).map_or(&[][..], |location| &location.conditional_headers);
        for (name, value) in declared.map_or(&[][..], |location| &location.headers).iter().chain(conditional) {
            // A header that HTTP does not allow is nginx's to refuse when it reads its file.
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value.parse()) {
                headers.insert(name, value);
            }
        }
        response
    }
}
