//! One request, from due to observed: which connection, what is sent, how it ended.

use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use clock::Clock;
use goose::goose::GooseUser;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use record::{Cause, Hops, Observation, wire as headers};
use scenarios::{LoadPlan, Part, Payload, Step};
use units::{Nanos, Purpose, RequestId, Seed};

use crate::backlog::{Backlog, Due, LanePlan};
use crate::client::{Clients, NoConnection};
use crate::drive::DriveError;
use crate::native::{Native, NoAnswer, streamed_gap};
use crate::protocol::{Frame, Sender};
use crate::pulse::Lateness;
use crate::sink::Sink;
use crate::wire::{Answer, Broken, Wire};

/// Everything a worker needs. It lives as long as the process, which plays one plan.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) plan: LoadPlan,
    pub(crate) part: Part,
    pub(crate) clock: Clock,
    pub(crate) clients: Clients,
    pub(crate) backlog: Backlog,
    pub(crate) sink: Sink,
    pub(crate) counts: Counts,
    pub(crate) lateness: Lateness,
    /// Goose's own sender, if it is the one.
    native: Option<Native>,
    templates: Vec<Template>,
    complained: Once,
}

/// For the summary.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) arrivals: std::sync::atomic::AtomicU64,
    /// Requests that became due.
    pub(crate) due: std::sync::atomic::AtomicU64,
    pub(crate) requests: std::sync::atomic::AtomicU64,
    pub(crate) not_sent: std::sync::atomic::AtomicU64,
}

/// A step's request but for its identity, parsed once.
#[derive(Debug)]
struct Template {
    method: Method,
    uri: Uri,
    host: HeaderValue,
    has_body: bool,
    payload: Option<Payload>,
}

/// How an attempt ended.
struct Outcome {
    status: u16,
    cause: Cause,
    gateway_pod: u16,
    pod: u16,
    hops: Hops,
    /// When the first byte of the body came.
    first: Option<Nanos>,
    gap: Nanos,
}

const REQUEST: HeaderName = HeaderName::from_static(headers::REQUEST);

impl Template {
    fn of(step: &Step) -> Result<Self, DriveError> {
        let refuse = |what: &'static str| DriveError::Step { step: step.name.clone(), what };
        let method = Method::from_bytes(step.method.as_bytes()).map_err(|_| refuse("method"))?;
        Ok(Self {
            has_body: step.payload.is_some() || [Method::POST, Method::PUT, Method::PATCH].contains(&method),
            method,
            payload: step.payload,
            uri: step.path.parse().map_err(|_| refuse("path"))?,
            host: HeaderValue::from_str(&step.host).map_err(|_| refuse("host"))?,
        })
    }

    fn body(&self, seed: Seed, id: RequestId) -> Bytes {
        match &self.payload {
            Some(payload) => payload.body(seed, id).into(),
            None if self.has_body => payload(seed, id),
            None => Bytes::new(),
        }
    }

    fn request(&self, seed: Seed, id: RequestId, client: u32) -> Request<Bytes> {
        let mut request = Request::new(self.body(seed, id));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let map = request.headers_mut();
        map.insert(HOST, self.host.clone());
        map.insert(REQUEST, HeaderValue::try_from(id.to_string()).expect("hexadecimal and a hyphen"));
        // A client has been here before: it has its token.
        let token = record::token::bearer(seed, u64::from(client));
        map.insert(AUTHORIZATION, HeaderValue::try_from(token).expect("hexadecimal and dots"));
        if self.has_body {
            let kind = self.payload.map_or("application/json", |payload| payload.content_type());
            map.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        request
    }
}

/// A small JSON document, the same for the same seed and request.
fn payload(seed: Seed, id: RequestId) -> Bytes {
    let draw = seed.draw(id, Purpose::Payload);
    let (order, quantity, cents) = (draw.bits() >> 32, draw.below(9) + 1, draw.bits() & 0xffff);
    format!(r#"{{"id":"{id}","order":{order},"quantity":{quantity},"amount":{cents}}}"#).into()
}

impl Player {
    pub(crate) fn new(
        (plan, part): (LoadPlan, Part),
        clock: Clock,
        (addresses, proof): (Vec<std::net::IpAddr>, Option<String>),
        lanes: &[LanePlan],
        sender: Sender,
    ) -> Result<Self, DriveError> {
        Ok(Self {
            part,
            templates: plan.steps.iter().map(Template::of).collect::<Result<_, _>>()?,
            native: (sender == Sender::Goose).then(|| Native::new(&addresses, proof.is_none())),
            clients: Clients::new(plan.seed, addresses, proof),
            backlog: Backlog::new(lanes),
            lateness: Lateness::default(),
            sink: Sink::default(),
            counts: Counts::default(),
            complained: Once::new(),
            plan,
            clock,
        })
    }

    /// The lane of a session: that of its journey, or that of closed load, which is the last one.
    pub(crate) fn lane(&self, arrival: &scenarios::Arrival) -> u16 {
        if self.plan.is_closed(arrival.number) { self.plan.journeys.len() as u16 } else { arrival.journey }
    }

    /// Plays one request, and returns the next one of its session.
    pub(crate) async fn play(&self, due: &Due, user: &mut GooseUser) -> Option<Due> {
        let sent = self.clock.now();
        if due.intended + self.plan.timeout < sent {
            return self.give_up(due, sent);
        }
        let limit = Duration::from_nanos(self.plan.timeout.get());
        // tokio's timer is a millisecond late, which does not matter to a limit, and cheaper than the clock's queue.
        let attempt = tokio::time::timeout(limit, self.attempt(due, user));
        let mut outcome = attempt.await.unwrap_or_else(|_| Outcome::failed(Cause::Timeout));
        outcome.cause = self.plan.step(due.step).judge(outcome.status, outcome.cause);
        let done = self.clock.now();
        let sent = if outcome.cause == Cause::NotSent { done } else { sent };
        self.observe(due, sent, done, &outcome);
        self.after(due, done, outcome.cause)
    }

    /// Records a request that was never sent, as given up at `now`. Its session ends, since the user did not get what
    /// was asked for; a user of closed load comes back, which is what is returned.
    pub(crate) fn give_up(&self, due: &Due, now: Nanos) -> Option<Due> {
        self.observe(due, now, now, &Outcome::failed(Cause::NotSent));
        self.after(due, now, Cause::NotSent)
    }

    fn after(&self, due: &Due, done: Nanos, cause: Cause) -> Option<Due> {
        let mut journey = due.journey;
        let next = journey.proceed(&self.plan, done, cause);
        Due::of(due.lane, journey, next)
    }

    fn observe(&self, due: &Due, sent: Nanos, done: Nanos, outcome: &Outcome) {
        let arrival = due.journey.arrival;
        count(&self.counts.requests);
        if outcome.cause == Cause::NotSent {
            count(&self.counts.not_sent);
        }
        self.sink.push(Frame::Observation(Observation {
            arrival: arrival.number,
            step: due.step,
            client: arrival.client.address,
            intended: due.intended,
            sent,
            done,
            status: outcome.status,
            cause: outcome.cause,
            gateway_pod: outcome.gateway_pod,
            pod: outcome.pod,
            hops: outcome.hops,
            // A microsecond at least, for 0 says that nobody looked.
            first_byte_us: outcome.first.map_or(0, |first| micros(first - sent).max(1)),
            gap_us: micros(outcome.gap),
        }));
    }

    async fn attempt(&self, due: &Due, user: &mut GooseUser) -> Outcome {
        let client = due.journey.arrival.client.address;
        let template = &self.templates[usize::from(due.step.0)];
        if let Some(native) = &self.native {
            return self.attempt_by_goose(native, due, user, template).await;
        }
        while let Some(wire) = self.clients.idle(client).await {
            if let Some(outcome) = self.ask(client, wire, self.request(template, due.id, client)).await {
                return outcome;
            }
        }
        match self.clients.connect(client, due.id).await {
            Ok(wire) => {
                let outcome = self.ask(client, wire, self.request(template, due.id, client)).await;
                outcome.unwrap_or_else(|| Outcome::failed(Cause::Reset))
            }
            Err(error) => self.unconnected(&error),
        }
    }

    async fn attempt_by_goose(&self, native: &Native, due: &Due, user: &mut GooseUser, template: &Template) -> Outcome {
        let doors = self.clients.doors();
        let way = native.way(due.journey.arrival.client.address, &doors, || self.clients.pick(&doors, due.id));
        let (client, door) = match way {
            Ok(way) => way,
            Err(error) => return self.unconnected(&error),
        };
        let (head, body) = self.request(template, due.id, due.journey.arrival.client.address).into_parts();
        let url = format!("http://{}{}", door.addr, head.uri);
        let request = client.request(head.method, url).headers(head.headers);
        let request = if template.has_body { request.body(body) } else { request };
        let name = &self.plan.step(due.step).name;
        match native.ask(user, client, request, name, &self.clock).await {
            Ok(answer) => Outcome::of(&answer, door.pod, self.clock.now()),
            Err(NoAnswer::Connect(error)) => self.unconnected(&error),
            Err(NoAnswer::Broken) => Outcome { gateway_pod: door.pod, ..Outcome::failed(Cause::Reset) },
        }
    }

    fn unconnected(&self, error: &NoConnection) -> Outcome {
        match error {
            NoConnection::Refused => Outcome::failed(Cause::Refused),
            NoConnection::TimedOut => Outcome::failed(Cause::Timeout),
            NoConnection::Ours(error) => {
                self.complained.call_once(|| complain(error));
                Outcome::failed(Cause::NotSent)
            }
        }
    }

    fn request(&self, template: &Template, id: RequestId, client: u32) -> Request<Bytes> {
        let mut request = template.request(self.plan.seed, id, client);
        if let Some(word) = self.clients.word(client) {
            let word = HeaderValue::try_from(word).expect("an address and hexadecimal");
            request.headers_mut().insert(HeaderName::from_static(headers::CLIENT), word);
        }
        request
    }

    /// `None`: the connection was gone before the request was written, so that it is as good as unsent.
    async fn ask(&self, client: u32, mut wire: Wire, request: Request<Bytes>) -> Option<Outcome> {
        // The body's size becomes the content-length.
        let outcome = match wire.ask(request.map(Full::new), &self.clock).await {
            Err(Broken::BeforeSending) => return None,
            Err(Broken::Later) => Outcome { gateway_pod: wire.door, ..Outcome::failed(Cause::Reset) },
            Ok(answer) => {
                let outcome = Outcome::of(&answer, wire.door, self.clock.now());
                self.clients.keep(client, wire).await;
                outcome
            }
        };
        Some(outcome)
    }
}

#[expect(clippy::print_stderr, reason = "the parent keeps the end of the driver's stderr for its report")]
fn complain(error: &std::io::Error) {
    eprintln!("driver: cannot open connections, requests count as not sent: {error}");
}

/// Whole microseconds, as many as a frame holds.
fn micros(span: Nanos) -> u32 {
    span.as_micros().min(u64::from(u32::MAX)) as u32
}

/// One more. Nothing is ordered by a count.
pub(crate) fn count(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

impl Outcome {
    fn failed(cause: Cause) -> Self {
        Self { status: 0, cause, gateway_pod: 0, pod: 0, hops: Hops::default(), first: None, gap: Nanos::ZERO }
    }

    /// Of an answer that was complete at `done`.
    fn of(answer: &Answer, gateway_pod: u16, done: Nanos) -> Self {
        let response: &Response<()> = &answer.head;
        let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        Self {
            status: response.status().as_u16(),
            cause: cause(response.status(), response.headers()),
            gateway_pod,
            pod: text(headers::POD).and_then(|text| text.parse().ok()).unwrap_or(0),
            hops: text(headers::HOPS).and_then(Hops::from_header).unwrap_or_default(),
            first: Some(answer.parts.first(done)),
            gap: streamed_gap(response, &answer.parts),
        }
    }
}

/// A status below 400 is success, whatever the headers say: a limiter that only delays still answers.
fn cause(status: StatusCode, map: &HeaderMap) -> Cause {
    let says = map.get(headers::CAUSE).map(HeaderValue::as_bytes);
    match status.as_u16() {
        ..400 => Cause::None,
        _ if says == Some(headers::LIMITED.as_bytes()) => Cause::Limited,
        _ if says == Some(headers::GATEWAY.as_bytes()) => Cause::Gateway,
        400..500 => Cause::ClientError,
        _ => Cause::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_the_header_then_the_status() {
        for (case, status, header, want) in [
            ("created", 201, None, Cause::None),
            ("redirect", 302, None, Cause::None),
            ("nginx limits with 503", 503, Some("limited"), Cause::Limited),
            ("or with 429", 429, Some("limited"), Cause::Limited),
            ("the gateway had no upstream", 502, Some("gateway"), Cause::Gateway),
            ("the service was down", 503, None, Cause::ServerError),
            ("not found", 404, None, Cause::ClientError),
            ("a header of somebody else", 500, Some("weather"), Cause::ServerError),
        ] {
            let mut map = HeaderMap::new();
            if let Some(header) = header {
                map.insert(headers::CAUSE, HeaderValue::from_static(header));
            }
            assert_eq!(cause(StatusCode::from_u16(status).unwrap(), &map), want, "{case}");
        }
    }

    #[test]
    fn payloads_are_json_and_repeat() {
        let id = RequestId::of_step(7, 1);
        let body = payload(Seed::new(3), id);
        assert_eq!(body, payload(Seed::new(3), id));
        assert_ne!(body, payload(Seed::new(4), id));
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["id"], id.to_string());
    }
}
