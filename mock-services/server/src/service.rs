//! What a mock service answers: the profile's cost in time, and JSON of the profile's size.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};
use model::{Profile, RouteProfile, Work};
use record::{Hops, wire};
use units::{Nanos, RequestId, Seed};

use crate::body::{self, Asked};
use crate::events::{AnswerBody, whole};
use crate::listening::Handler;
use crate::live::{Begun, Served};
use crate::{CONTENT_TYPE, Gauges, LiveStation, Metrics, Outbound, Records, events};

/// A mock service in one pod.
pub struct MockService {
    /// Counted from 1 in the order of pod creation; told in the header [`wire::POD`].
    pub number: u16,
    /// What its routes cost.
    pub profile: Arc<Profile>,
    /// Paths that answer a health check.
    pub health: Vec<String>,
    /// The run's seed.
    pub seed: Seed,
    /// Clients come through a gateway that passes on the ids of their requests unread.
    pub behind_gateway: bool,
    /// Its capacity.
    pub station: LiveStation,
    /// What it tells Prometheus.
    pub metrics: Metrics,
    /// What it was told, with all other pods.
    pub records: Arc<Records>,
    /// How it reaches others.
    pub outbound: Arc<dyn Outbound>,
}

/// Where it tells of itself.
const METRICS: &str = "/metrics";

impl Handler for MockService {
    type Body = AnswerBody;

    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        // The body is read to its end, so that the connection can be used again.
        let Ok(body) = body.collect().await else {
            return whole(StatusCode::BAD_REQUEST, "the body broke off");
        };
        let body = body.to_bytes();
        let path = head.uri.path();
        if self.health.iter().any(|health| health == path) {
            return self.health().await;
        }
        let route = self.profile.route(head.method.as_str(), path);
        // A route for every path is not meant to take this one.
        let named = |index: usize| self.profile.routes[index].route.ends_with(METRICS);
        if path == METRICS && !route.is_some_and(|route| named(usize::from(route.0))) {
            return self.tell_metrics();
        }
        let Some(route) = route else {
            return whole(StatusCode::NOT_FOUND, "no such route in this service's profile");
        };
        let route = &self.profile.routes[usize::from(route.0)];
        let clock = self.station.clock();
        let came = clock.now();
        let id = request_id(&head.headers);
        let id = if self.behind_gateway { id.through_gateway() } else { id };
        let response = self.serve(route, id, &head, &body).await;
        // Of a stream that is the time to its first token, as most middleware measures it.
        self.metrics.observe(&route.route, response.status().as_u16(), clock.now() - came);
        response
    }
}

/// Requests from outside a rehearsal so far, through all services of the process: each draws for itself.
static STRANGERS: AtomicU64 = AtomicU64::new(STRANGER);
/// Where they are counted from, far from those of any load.
const STRANGER: u64 = 1 << 61;

/// Who asks.
fn request_id(headers: &HeaderMap) -> RequestId {
    let header = headers.get(wire::REQUEST).and_then(|value| value.to_str().ok());
    let known = header.and_then(|text| text.parse().ok());
    known.unwrap_or_else(|| RequestId::of_step(STRANGERS.fetch_add(1, Ordering::Relaxed), 0))
}

impl MockService {
    async fn health(&self) -> Response<AnswerBody> {
        match self.station.serve(Work::HEALTH, async {}).await {
            Ok(_) => whole(StatusCode::OK, "{\"status\":\"ok\"}"),
            Err(_) => whole(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        }
    }

    fn tell_metrics(&self) -> Response<AnswerBody> {
        let (cpu, memory) = self.station.usage();
        let (in_flight, waiting) = (self.station.in_flight(), self.station.waiting());
        let now =
            Gauges { in_flight, waiting, cpu, memory, writes: self.station.writes(), unburnt: self.station.unburnt() };
        let text = self.metrics.text(&self.profile.workload, &now);
        let mut response = whole(StatusCode::OK, text);
        response.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
        response
    }

    async fn serve(&self, route: &RouteProfile, id: RequestId, head: &Parts, body: &[u8]) -> Response<AnswerBody> {
        let mut below = Hops::default();
        let (mut failed, mut denied) = (false, false);
        let authorization = head.headers.get(AUTHORIZATION);
        let work = route.work(self.seed, id);
        let micros = |nanos: Nanos| nanos.as_micros() as u32;
        let calls = async {
            let began = self.station.clock().now();
            let ask = |(index, call)| self.outbound.call(call, id.call(index as u32), authorization);
            let mut answers = Vec::new();
            if route.parallel {
                answers = join_all(route.calls.iter().enumerate().map(ask)).await;
            } else {
                for call in route.calls.iter().enumerate() {
                    answers.push(ask(call).await);
                }
            }
            for answer in answers {
                let status = answer.map_or(502, |answer| answer.status);
                denied |= status == 401;
                failed |= status >= 400 && status != 401;
                below = below.calling(answer.map(|answer| answer.hops).unwrap_or_default());
            }
            below.downstream_us = micros(self.station.clock().now() - began);
        };
        let Ok(begun) = self.station.serve(work, calls).await else {
            return whole(StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        };
        let (served, streaming) = match begun {
            Begun::Done(served) => (served, false),
            Begun::Streaming(mut spent) => {
                // The header goes out before the stream does, which takes as long as it was drawn.
                spent.wait += work.stream.unwrap_or_default();
                (Served { spent, failed: work.fails }, !failed && !denied && work.fails.is_none())
            }
        };
        let hops = Hops {
            queue_us: micros(served.spent.queue),
            cpu_us: micros(served.spent.cpu),
            wait_us: micros(served.spent.wait),
            ..below
        };
        // A service that could not reach another one answers 500, and passes on that a token is none.
        let status = served.failed.or(failed.then_some(500)).or(denied.then_some(401));
        let mut status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
        let (kind, body) = if let Some(stream) = route.stream.filter(|_| streaming) {
            let gaps: Vec<Nanos> = stream.gaps(self.seed, id).collect();
            (events::CONTENT_TYPE, events::stream(self.station.clock(), gaps, stream.size))
        } else {
            let asked = Asked {
                seed: self.seed,
                id,
                authorization: authorization.and_then(|value| value.to_str().ok()),
                path: head.uri.path(),
                body,
            };
            // What fails says nothing, and keeps nothing.
            let content = route.content.as_ref().filter(|_| status == StatusCode::OK);
            let (own, body) = body::answer(&asked, content, route.response, &self.records);
            status = own.unwrap_or(status);
            ("application/json", AnswerBody::from(body))
        };
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE_HEADER, kind)
            .header(wire::HOPS, hops.to_header())
            .header(wire::POD, self.number)
            .body(body)
            .expect("headers made of digits and commas are valid")
    }
}
