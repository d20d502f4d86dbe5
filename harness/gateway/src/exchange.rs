//! One request on its way through the gateway.

use platform::{Action, GatewayConfig, LocationId, UpstreamId};
use units::Nanos;

use crate::{Admission, Peer, Routed};

/// What an exchange needs next. Whoever drives it does that and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Offer the client's key to the limits of this location. Answer: [`Answer::Offered`].
    Offer(LocationId),
    /// Pick a peer. Answer: [`Answer::Picked`].
    Pick(UpstreamId),
    /// Come back at this instant. Answer: [`Answer::Waited`].
    Until(Nanos),
    /// Send the request to this peer. Answer: [`Answer::Replied`] or [`Answer::Broken`].
    Send(Peer),
    /// Tell the client, and be done.
    Reply(Reply),
}

/// What came of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the zones said.
    Offered(Admission),
    /// The peer, if there is one.
    Picked(Option<Peer>),
    /// The instant has come.
    Waited,
    /// The peer answered with this status.
    Replied(u16),
    /// The peer did not answer.
    Broken(Broken),
}

/// How a peer can fail to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No connection: refused, or no endpoint behind the Service.
    Connect,
    /// The connection broke before the answer was complete.
    Reset,
    /// A timeout of the location passed.
    Timeout,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Who answers.
    pub from: ReplyFrom,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFrom {
    /// The upstream: its answer is passed on.
    Upstream,
    /// A limit refused the request.
    Limit,
    /// The configuration: `return`, `stub_status`, no location (404), a missing slash (301) or no valid target (400).
    Itself,
    /// The upstream did not answer.
    BadGateway,
}

/// A request between its first byte and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    routed: Routed,
}

impl Exchange {
    /// A request for what [`route`](crate::route) found.
    pub const fn new(routed: Routed) -> Self {
        Self { routed }
    }

    /// Where it goes, or the status of the answer where it goes nowhere.
    const fn location(self) -> Result<LocationId, u16> {
        match self.routed {
            Routed::To(id) => Ok(id),
            Routed::Redirect(_) => Err(301),
            Routed::Nothing => Err(404),
            Routed::Malformed => Err(400),
        }
    }

    /// What to do first. The rewrite phase comes before the limits, so a `return` is never limited.
    pub fn begin(self, config: &GatewayConfig) -> Ask {
        let id = match self.location() {
            Ok(id) => id,
            Err(status) => return itself(status),
        };
        let location = config.location(id);
        match &location.action {
            Action::Return { status, .. } => itself(*status),
            _ if !location.limits.is_empty() => Ask::Offer(id),
            action => pass(action),
        }
    }

    /// What to do after `answer`, at `now`.
    pub fn proceed(self, config: &GatewayConfig, now: Nanos, answer: Answer) -> Ask {
        let id = match self.location() {
            Ok(id) => id,
            Err(status) => return itself(status),
        };
        let location = config.location(id);
        match answer {
            Answer::Offered(Admission::Refused) => {
                Ask::Reply(Reply { status: location.limit_status, from: ReplyFrom::Limit })
            }
            Answer::Offered(Admission::After(delay)) => Ask::Until(now + delay),
            Answer::Offered(Admission::Now) | Answer::Waited => pass(&location.action),
            Answer::Picked(Some(peer)) => Ask::Send(peer),
            Answer::Picked(None) | Answer::Broken(Broken::Connect | Broken::Reset) => bad_gateway(502),
            Answer::Broken(Broken::Timeout) => bad_gateway(504),
            Answer::Replied(status) => Ask::Reply(Reply { status, from: ReplyFrom::Upstream }),
        }
    }
}

fn pass(action: &Action) -> Ask {
    match action {
        Action::Proxy { upstream, .. } => Ask::Pick(*upstream),
        Action::Return { status, .. } => itself(*status),
        Action::StubStatus => itself(200),
    }
}

const fn itself(status: u16) -> Ask {
    Ask::Reply(Reply { status, from: ReplyFrom::Itself })
}

const fn bad_gateway(status: u16) -> Ask {
    Ask::Reply(Reply { status, from: ReplyFrom::BadGateway })
}
