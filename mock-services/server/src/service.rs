//! What a mock service answers: the profile's cost in time, and JSON of the profile's size.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use model::{Profile, RouteProfile, Work};
use record::{Hops, wire};
use units::{Nanos, Purpose, RequestId, Seed};

use crate::listening::{Handler, plain};
use crate::{LiveStation, Outbound, body};

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
    /// Its capacity.
    pub station: LiveStation,
    /// How it reaches others.
    pub outbound: Arc<dyn Outbound>,
}

impl Handler for MockService {
    async fn answer(&self, _: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        // The body is read to its end, so that the connection can be used again; what it says does not matter here.
        if body.collect().await.is_err() {
            return plain(StatusCode::BAD_REQUEST, "the body broke off");
        }
        let path = head.uri.path();
        if self.health.iter().any(|health| health == path) {
            return self.health().await;
        }
        match self.profile.route(head.method.as_str(), path) {
            Some(route) => self.serve(&self.profile.routes[usize::from(route.0)], request_id(&head.headers)).await,
            None => plain(StatusCode::NOT_FOUND, "no such route in this service's profile"),
        }
    }
}

/// Who asks; a request from outside the rehearsal is nobody's.
fn request_id(headers: &HeaderMap) -> RequestId {
    let header = headers.get(wire::REQUEST).and_then(|value| value.to_str().ok());
    header.and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl MockService {
    async fn health(&self) -> Response<Full<Bytes>> {
        match self.station.serve(Work::HEALTH, async {}).await {
            Ok(_) => plain(StatusCode::OK, "{\"status\":\"ok\"}"),
            Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        }
    }

    async fn serve(&self, route: &RouteProfile, id: RequestId) -> Response<Full<Bytes>> {
        let mut below = Hops::default();
        let mut failed = false;
        let calls = async {
            for (index, call) in route.calls.iter().enumerate() {
                match self.outbound.call(call, id.call(index as u32)).await {
                    Ok(answer) => {
                        below = below.plus(answer.hops);
                        failed |= answer.status >= 400;
                    }
                    Err(_) => failed = true,
                }
            }
        };
        let Ok(spent) = self.station.serve(route.work(self.seed, id), calls).await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        };
        let micros = |nanos: Nanos| nanos.as_micros() as u32;
        let here = Hops {
            queue_us: micros(spent.queue),
            cpu_us: micros(spent.cpu),
            wait_us: micros(spent.wait),
            limiter_us: 0,
        };
        // A service that could not reach another one answers 500.
        let status = if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header(wire::HOPS, here.plus(below).to_header())
            .header(wire::POD, self.number)
            .body(Full::new(body::json(self.seed.draw(id, Purpose::Payload), route.response)))
            .expect("headers made of digits and commas are valid")
    }
}
