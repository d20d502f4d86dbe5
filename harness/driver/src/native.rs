//! Requests the way goose makes them: `GooseUser::request` over a reqwest client. About a third of the rate of our own
//! connections (docs/benchmarks.md); there to compare with, and for whoever trusts goose's client more.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use clock::Clock;
use goose::goose::{GooseRequest, GooseUser};
use hyper::Response;
use units::Nanos;

use crate::client::NoConnection;
use crate::protocol::Door;
use crate::wire::{Answer, Parts};

/// A virtual client as goose knows it.
#[derive(Debug)]
struct Client {
    address: IpAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Made when it is first needed.
    client: Option<reqwest::Client>,
    /// The gateway pod that its connections lead to.
    door: Option<Door>,
}

/// All virtual clients.
#[derive(Debug)]
pub(crate) struct Native {
    clients: Vec<Client>,
    /// Whether clients send from their own addresses.
    bound: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// There was no connection.
    Connect(NoConnection),
    /// The connection broke.
    Broken,
}

impl Native {
    pub(crate) fn new(addresses: &[IpAddr], bound: bool) -> Self {
        let client = |address: &IpAddr| Client { address: *address, state: Mutex::default() };
        Self { clients: addresses.iter().map(client).collect(), bound }
    }

    /// The client's way to the gateway: where it went before, while that pod is ready, or else to the one that
    /// `pick` draws. reqwest keeps its connections to itself, so a client has one pod at a time.
    pub(crate) fn way(
        &self,
        client: u32,
        doors: &[Door],
        pick: impl FnOnce() -> Option<Door>,
    ) -> Result<(reqwest::Client, Door), NoConnection> {
        let Client { address, state } = &self.clients[client as usize];
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let door = state.door.filter(|door| doors.contains(door)).or_else(pick).ok_or(NoConnection::Refused)?;
        state.door = Some(door);
        if state.client.is_none() {
            let made = reqwest::Client::builder()
                .local_address(self.bound.then_some(*address))
                .redirect(reqwest::redirect::Policy::none())
                .tcp_nodelay(true)
                .no_proxy()
                .danger_accept_invalid_certs(true) // spares it reading the system's certificates
                .build();
            state.client = Some(made.map_err(|error| NoConnection::Ours(io::Error::other(error)))?);
        }
        let client = state.client.clone().ok_or(NoConnection::Refused)?;
        Ok((client, door))
    }

    /// Has `user` send `request`, and reads the answer to its end.
    pub(crate) async fn ask(
        &self,
        user: &mut GooseUser,
        client: reqwest::Client,
        request: reqwest::RequestBuilder,
        name: &str,
        clock: &Clock,
    ) -> Result<Answer, NoAnswer> {
        user.client = client;
        let request = GooseRequest::builder().name(name).set_request_builder(request).build();
        let sent = user.request(request).await.map_err(|error| {
            let error = NoConnection::Ours(io::Error::other(format!("goose refuses the request: {error}")));
            NoAnswer::Connect(error)
        })?;
        let mut response = sent.response.map_err(|error| no_answer(&error))?;
        let mut head = Response::new(());
        *head.status_mut() = response.status();
        std::mem::swap(head.headers_mut(), response.headers_mut());
        let mut parts = Parts::default();
        while response.chunk().await.map_err(|error| no_answer(&error))?.is_some() {
            parts.came(clock.now());
        }
        Ok(Answer { head, parts })
    }
}

/// What kept reqwest from an answer.
fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if !error.is_connect() {
        return NoAnswer::Broken;
    }
    let mut cause = error.source();
    while let Some(next) = cause {
        if let Some(error) = next.downcast_ref::<io::Error>() {
            let again = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            return NoAnswer::Connect(NoConnection::from(again));
        }
        cause = next.source();
    }
    NoAnswer::Connect(NoConnection::Refused)
}

/// How long a streamed answer made its reader wait between two parts; nothing for an answer in one piece.
pub(crate) fn streamed_gap(head: &Response<()>, parts: &Parts) -> Nanos {
    let kind = head.headers().get(hyper::header::CONTENT_TYPE).map(hyper::header::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) { parts.gap() } else { Nanos::ZERO }
}
