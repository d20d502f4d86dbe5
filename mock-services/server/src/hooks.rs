//! Fault hooks of a mock service that runs as a program: off unless it was given a token, and closed to whoever does
//! not show it.
//!
//! | request | what |
//! |---|---|
//! | `PUT /_mock/fault` with a [`Disturbance`] as JSON | from now on it does this; what is left out, it does not |
//! | `GET /_mock/fault` | what it does now |
//! | `DELETE /_mock/fault` | nothing any more |
//! | `POST /_mock/crash` | its process ends at once with code 1 |

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use units::{Nanos, Purpose, Seed};

use crate::events::{AnswerBody, whole};
use crate::{Handler, MockService};

/// What a service does beside its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Disturbance {
    /// Every request waits so long before anything else happens.
    pub delay: Nanos,
    /// Which share of the requests fails, 0 to 1.
    pub error_share: f64,
    /// With which status; 500 if it is none from 400 to 599.
    pub error_status: u16,
    /// Requests are never answered.
    pub hang: bool,
    /// Health checks fail.
    pub unhealthy: bool,
}

/// A service with its hooks.
pub struct Hooked {
    service: MockService,
    token: Option<String>,
    disturbance: Mutex<Disturbance>,
    requests: AtomicU64,
    crash: watch::Sender<bool>,
}

const FAULT: &str = "/_mock/fault";
const CRASH: &str = "/_mock/crash";
/// A disturbance needs far less.
const MOST: usize = 4 << 10;

impl Hooked {
    /// `token`: what a caller has to show as `Authorization: Bearer …`; `None`: there are no hooks.
    pub fn new(service: MockService, token: Option<String>) -> Self {
        let token = token.filter(|token| !token.is_empty());
        Self {
            service,
            token,
            disturbance: Mutex::default(),
            requests: AtomicU64::new(0),
            crash: watch::Sender::new(false),
        }
    }

    /// Ends when somebody asks for a crash.
    pub async fn crashed(&self) {
        // The sender is here, so the channel is open.
        self.crash.subscribe().wait_for(|crash| *crash).await.ok();
    }

    fn disturbance(&self) -> Disturbance {
        *self.disturbance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, disturbance: Disturbance) -> Response<AnswerBody> {
        *self.disturbance.lock().unwrap_or_else(PoisonError::into_inner) = disturbance;
        shown(disturbance)
    }

    async fn hook(&self, token: &str, request: Request<Incoming>) -> Response<AnswerBody> {
        if !is_shown(token, request.headers()) {
            let mut response = whole(StatusCode::UNAUTHORIZED, "the hooks need their token\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, FAULT) => shown(self.disturbance()),
            (Method::DELETE, FAULT) => self.set(Disturbance::default()),
            (Method::PUT, FAULT) => {
                let body = Limited::new(request.into_body(), MOST).collect().await;
                match body.map(|body| serde_json::from_slice::<Disturbance>(&body.to_bytes())) {
                    Ok(Ok(disturbance)) if (0.0..=1.0).contains(&disturbance.error_share) => self.set(disturbance),
                    Ok(Ok(_)) => whole(StatusCode::BAD_REQUEST, "errorShare is a share: 0 to 1\n"),
                    Ok(Err(error)) => whole(StatusCode::BAD_REQUEST, format!("{error}\n")),
                    Err(_) => whole(StatusCode::PAYLOAD_TOO_LARGE, "a disturbance needs no 4 KiB\n"),
                }
            }
            (Method::POST, CRASH) => {
                self.crash.send_replace(true);
                whole(StatusCode::ACCEPTED, "")
            }
            _ => whole(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or DELETE /_mock/fault, POST /_mock/crash\n"),
        }
    }
}

fn shown(disturbance: Disturbance) -> Response<AnswerBody> {
    match serde_json::to_string(&disturbance) {
        Ok(json) => whole(StatusCode::OK, json + "\n"),
        Err(error) => whole(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Compares in a time that does not depend on where the texts differ.
fn is_shown(token: &str, headers: &HeaderMap) -> bool {
    let shown =
        headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")).unwrap_or_default();
    shown.len() == token.len() && shown.iter().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl Handler for Hooked {
    type Body = AnswerBody;

    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let path = request.uri().path();
        match &self.token {
            Some(token) if path == FAULT || path == CRASH => return self.hook(token, request).await,
            None => return self.service.answer(peer, request).await,
            Some(_) => {}
        }
        let Disturbance { delay, error_share, error_status, hang, unhealthy } = self.disturbance();
        if self.service.health.iter().any(|health| health == path) {
            if unhealthy {
                return whole(StatusCode::SERVICE_UNAVAILABLE, "unhealthy, as it was told\n");
            }
            return self.service.answer(peer, request).await;
        }
        if hang {
            std::future::pending::<()>().await;
        }
        if delay > Nanos::ZERO {
            let clock = self.service.station.clock();
            clock.until(clock.now() + delay).await;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if Seed::new(0).child("hooks").draw_nth(number, Purpose::Failure).unit() < error_share {
            let status = StatusCode::from_u16(error_status)
                .ok()
                .filter(|status| status.is_client_error() || status.is_server_error());
            return whole(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "failed, as it was told\n");
        }
        self.service.answer(peer, request).await
    }
}
