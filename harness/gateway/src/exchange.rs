//! One request on its way through the gateway.

use std::net::IpAddr;

use platform::{Action, GatewayConfig, Location, LocationId, UpstreamId};
use units::Nanos;

use crate::{Admission, Peer, Routed};

/// What an exchange needs next. Whoever drives it does that and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Offer the client's key to the limits of this location. Answer: [`Answer::Offered`].
    Offer(LocationId),
    /// Count the request at the `limit_conn` of this location, until it has its reply. Answer: [`Answer::Held`].
    Hold(LocationId),
    /// Pick a peer that was not tried, see [`Exchange::tried`]. Answer: [`Answer::Picked`].
    Pick(UpstreamId),
    /// Come back at this instant. Answer: [`Answer::Waited`].
    Until(Nanos),
    /// Send the request to this peer. Answer: [`Answer::Replied`] or [`Answer::Broken`].
    Send(Peer),
    /// This try has ended, and failed or not: [`Upstreams::free`](crate::Upstreams::free). Answer: [`Answer::Freed`].
    Free(Peer, bool),
    /// Tell the client, and be done.
    Reply(Reply),
}

/// What came of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the zones said.
    Offered(Admission),
    /// Whether `limit_conn` has room.
    Held(bool),
    /// The peer, if there is one.
    Picked(Option<Peer>),
    /// The instant has come.
    Waited,
    /// The peer answered with this status.
    Replied(u16),
    /// The peer did not answer.
    Broken(Broken),
    /// The try is accounted for.
    Freed,
}

/// How a peer can fail to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No connection: refused, or no endpoint behind the Service.
    Connect,
    /// `proxy_connect_timeout` passed.
    ConnectTimeout,
    /// The connection broke before the answer was complete.
    Reset,
    /// `proxy_read_timeout` or `proxy_send_timeout` passed.
    Timeout,
    /// What it answered is no HTTP.
    Invalid,
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
    /// The configuration: `return`, `deny`, `stub_status`, no location (404), a missing slash (301) or no valid target
    /// (400).
    Itself,
    /// The upstream did not answer.
    BadGateway,
}

/// A request between its first byte and its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    routed: Routed,
    denied: bool,
    method: Method,
    tried: u128,
    tries: u32,
    began: Option<Nanos>,
    then: Then,
}

/// As far as the rules tell methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Read,
    /// POST, LOCK, PATCH: not sent twice.
    Once,
    Other,
}

/// What comes after a try is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing is under way.
    Nothing,
    /// This peer has the request.
    Sent(Peer),
    /// Another one is tried.
    Again,
    Reply(Reply),
}

/// Whether `allow` and `deny` let a client in: the first rule that fits decides.
pub fn allowed(location: &Location, client: IpAddr) -> bool {
    let fits = |rule: &&platform::AccessRule| rule.network.is_none_or(|network| network.contains(client));
    location.access.iter().find(fits).is_none_or(|rule| rule.allow)
}

impl Exchange {
    /// A GET for what [`route`](crate::route) found, from a client that is let in.
    pub const fn new(routed: Routed) -> Self {
        Self { routed, denied: false, method: Method::Read, tried: 0, tries: 0, began: None, then: Then::Nothing }
    }

    /// The same from a client, whom `allow` and `deny` may keep out.
    #[must_use]
    pub fn from_client(mut self, config: &GatewayConfig, client: IpAddr) -> Self {
        self.denied = self.location().is_ok_and(|id| !allowed(config.location(id), client));
        self
    }

    /// The same with its method.
    #[must_use]
    pub fn by(mut self, method: &str) -> Self {
        self.method = match method {
            "GET" | "HEAD" => Method::Read,
            "POST" | "LOCK" | "PATCH" => Method::Once,
            _ => Method::Other,
        };
        self
    }

    /// Servers that were tried, a bit each.
    pub const fn tried(self) -> u128 {
        self.tried
    }

    /// The peer that has the request now: to be freed if the client goes away meanwhile (499).
    pub const fn at_peer(self) -> Option<Peer> {
        match self.then {
            Then::Sent(peer) => Some(peer),
            Then::Nothing | Then::Again | Then::Reply(_) => None,
        }
    }

    /// Where it goes, or the status of the answer where it goes nowhere.
    const fn location(self) -> Result<LocationId, u16> {
        match self.routed {
            Routed::To(id) => Ok(id),
            Routed::Redirect(_) => Err(301),
            Routed::Answer { status, .. } => Err(status),
            Routed::Nothing if matches!(self.method, Method::Other) => Err(405),
            Routed::Nothing => Err(404),
            Routed::Malformed => Err(400),
        }
    }

    fn nowhere(self, config: &GatewayConfig, status: u16) -> Ask {
        let at = match self.routed {
            Routed::Answer { location: Some(id), .. } => Some(config.location(id)),
            _ => None,
        };
        Ask::Reply(Reply {
            status: at.map_or(status, |at| error_page(config, self.routed, at, status)),
            from: ReplyFrom::Itself,
        })
    }

    /// What to do first. The rewrite phase comes before the limits, so a `return` is never limited.
    pub fn begin(&mut self, config: &GatewayConfig) -> Ask {
        let id = match self.location() {
            Ok(id) => id,
            Err(status) => return self.nowhere(config, status),
        };
        let location = config.location(id);
        match &location.action {
            Action::Return { status, .. } => self.reply(config, *status, ReplyFrom::Itself),
            _ if !location.limits.is_empty() => Ask::Offer(id),
            _ => self.limited(config, id),
        }
    }

    /// What to do after `answer`, at `now`.
    pub fn proceed(&mut self, config: &GatewayConfig, now: Nanos, answer: Answer) -> Ask {
        let id = match self.location() {
            Ok(id) => id,
            Err(status) => return self.nowhere(config, status),
        };
        let location = config.location(id);
        match answer {
            Answer::Offered(_) if location.limit_dry_run => self.limited(config, id),
            Answer::Offered(Admission::Refused) => self.reply(config, location.limit_status, ReplyFrom::Limit),
            Answer::Offered(Admission::After(delay)) => Ask::Until(now + delay),
            Answer::Offered(Admission::Now) | Answer::Waited => self.limited(config, id),
            Answer::Held(false) if !location.conn_dry_run => self.reply(config, location.conn_status, ReplyFrom::Limit),
            Answer::Held(_) => self.pass(config, id),
            Answer::Picked(None) => self.reply(config, 502, ReplyFrom::BadGateway),
            Answer::Picked(Some(peer)) => {
                self.tried |= 1_u128.checked_shl(u32::from(peer.server)).unwrap_or(0);
                self.began.get_or_insert(now);
                self.then = Then::Sent(peer);
                Ask::Send(peer)
            }
            Answer::Replied(status) => self.replied(config, location, now, status),
            Answer::Broken(how) => self.broken(config, location, now, how),
            Answer::Freed => match self.then {
                Then::Again => match &location.action {
                    Action::Proxy { upstream, .. } => Ask::Pick(*upstream),
                    _ => self.reply(config, 500, ReplyFrom::Itself),
                },
                Then::Reply(reply) => Ask::Reply(reply),
                Then::Nothing | Then::Sent(_) => self.reply(config, 500, ReplyFrom::Itself),
            },
        }
    }

    fn limited(&mut self, config: &GatewayConfig, id: LocationId) -> Ask {
        if config.location(id).conn_limits.is_empty() { self.pass(config, id) } else { Ask::Hold(id) }
    }

    /// The access phase, then what answers.
    fn pass(&mut self, config: &GatewayConfig, id: LocationId) -> Ask {
        let location = config.location(id);
        if self.denied {
            return self.reply(config, 403, ReplyFrom::Itself);
        }
        match &location.action {
            Action::Proxy { upstream, .. } => {
                let servers = &config.upstream(*upstream).servers;
                let tries = servers.iter().filter(|server| !server.down).count() as u32;
                self.tries = match location.next_upstream.tries {
                    0 => tries,
                    most => tries.min(most),
                };
                Ask::Pick(*upstream)
            }
            Action::Return { status, .. } => self.reply(config, *status, ReplyFrom::Itself),
            Action::StubStatus | Action::Content { .. } => {
                let status = if self.method == Method::Read { 200 } else { 405 };
                // What answers there is not known; it may well take a POST.
                let foreign = matches!(&location.action, Action::Content { by } if by.ends_with("_pass"));
                self.reply(config, if foreign { 200 } else { status }, ReplyFrom::Itself)
            }
        }
    }

    /// Whether the try that has just ended may be followed by another one (`ngx_http_upstream_next`).
    fn again(&self, config: &GatewayConfig, location: &Location, now: Nanos, sent: bool) -> bool {
        let next = &location.next_upstream;
        let Action::Proxy { upstream, .. } = &location.action else { return false };
        let late = next.within > Nanos::ZERO
            && self.began.is_some_and(|began| {
                now.as_millis() - began.as_millis().min(now.as_millis()) >= next.within.as_millis()
            });
        let once = sent && self.method == Method::Once && !next.non_idempotent;
        let streamed = sent && self.method != Method::Read && !location.request_buffering;
        config.upstream(*upstream).servers.len() > 1 && !late && !once && !streamed
    }

    fn replied(&mut self, config: &GatewayConfig, location: &Location, now: Nanos, status: u16) -> Ask {
        let Then::Sent(peer) = self.then else { return self.reply(config, 500, ReplyFrom::Itself) };
        let listed = location.next_upstream.statuses.contains(&status);
        if listed && self.tries > 1 && self.again(config, location, now, true) {
            self.tries -= 1;
            self.then = Then::Again;
            // 403 and 404 are no failure of the server.
            return Ask::Free(peer, !matches!(status, 403 | 404));
        }
        let status = if location.intercept_errors && status >= 300 {
            error_page(config, self.routed, location, status)
        } else {
            status
        };
        self.then = Then::Reply(Reply { status, from: ReplyFrom::Upstream });
        Ask::Free(peer, false)
    }

    fn broken(&mut self, config: &GatewayConfig, location: &Location, now: Nanos, how: Broken) -> Ask {
        let next = &location.next_upstream;
        let (counts, status, sent) = match how {
            Broken::Connect => (next.error, 502, false),
            Broken::Reset => (next.error, 502, true),
            Broken::ConnectTimeout => (next.timeout, 504, false),
            Broken::Timeout => (next.timeout, 504, true),
            Broken::Invalid => (next.invalid_header, 502, true),
        };
        let Then::Sent(peer) = self.then else { return self.reply(config, status, ReplyFrom::BadGateway) };
        self.tries = self.tries.saturating_sub(1);
        self.then = if counts && self.tries > 0 && self.again(config, location, now, sent) {
            Then::Again
        } else {
            Then::Reply(Reply {
                status: error_page(config, self.routed, location, status),
                from: ReplyFrom::BadGateway,
            })
        };
        Ask::Free(peer, true)
    }

    fn reply(&self, config: &GatewayConfig, status: u16, from: ReplyFrom) -> Ask {
        let status = match self.location() {
            Ok(id) => error_page(config, self.routed, config.location(id), status),
            Err(_) => status,
        };
        Ask::Reply(Reply { status, from })
    }
}

/// What an `error_page` makes of a status. What answers there other than by `return` is assumed to answer 200.
fn error_page(config: &GatewayConfig, routed: Routed, location: &Location, status: u16) -> u16 {
    let Some(page) = location.error_pages.iter().find(|page| page.codes.contains(&status)) else { return status };
    let server = match routed {
        Routed::To(id) | Routed::Redirect(id) | Routed::Answer { location: Some(id), .. } => id.server,
        _ => return status,
    };
    if !page.uri.starts_with(['/', '@']) {
        return page.status.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308)).unwrap_or(302);
    }
    let locations = &config.servers[usize::from(server)].locations;
    let there = match page.uri.strip_prefix('@') {
        Some(name) => locations.iter().find(|l| l.matches == platform::LocationMatch::Named(name.to_owned())),
        None => crate::route::by_path(&config.servers[usize::from(server)], page.uri.as_bytes()),
    };
    match (page.status, there.map(|there| &there.action)) {
        (None, _) => status,
        (Some(0), Some(Action::Return { status, .. })) => *status,
        (Some(0), Some(_)) => 200,
        (Some(0), None) => 404,
        (Some(own), _) => own,
    }
}
