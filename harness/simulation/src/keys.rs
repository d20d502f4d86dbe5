//! What an nginx counts a simulated request by, where its configuration says something else than the client's address.
//!
//! Owns the headers that a simulated request would carry: those that the driver really sends, and those that the ingress
//! controller adds.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use gateway::{Headers, Key, Request, Resolved, Routed};
use platform::{ConnUse, GatewayConfig, LimitKey, LimitUse, Template};
use scenarios::Step;
use units::Seed;

use crate::client::{Nginx, Session};
use crate::world::World;

/// The ingress controller's address in the pod network, which the gateway sees.
const INGRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 255, 254);

/// The headers of a request.
#[derive(Clone, Copy)]
struct Sent<'a> {
    seed: Seed,
    step: &'a Step,
    client: Ipv4Addr,
    /// The ingress controller has passed it on.
    forwarded: bool,
}

impl Headers for Sent<'_> {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "authorization" => Some(record::token::bearer(self.seed, u64::from(self.client.to_bits()))),
            "content-type" => self.step.content_type().map(str::to_owned),
            "x-forwarded-for" | "x-real-ip" if self.forwarded => Some(self.client.to_string()),
            _ => None,
        }
    }
}

/// An nginx as requests come to it.
#[derive(Clone, Copy)]
struct Way<'a> {
    config: &'a GatewayConfig,
    port: u16,
    tls: bool,
}

impl Way<'_> {
    fn resolve<T>(&self, sent: Sent<'_>, target: &str, ask: impl FnOnce(&Resolved, &Request<'_>) -> T) -> T {
        let request = Request {
            peer: IpAddr::V4(if sent.forwarded { INGRESS } else { sent.client }),
            method: &sent.step.method,
            headers: &sent,
            tls: self.tls,
            ..Request::new(self.port, &sent.step.host, target)
        };
        ask(&gateway::resolve(self.config, &request), &request)
    }
}

/// A request as an nginx sees it.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    way: Way<'a>,
    sent: Sent<'a>,
    routed: Routed,
    /// The ingress controller that has passed it on, and may have rewritten its path.
    front: Option<Way<'a>>,
}

impl Seen<'_> {
    fn resolve<T>(&self, ask: impl FnOnce(&Resolved, &Request<'_>) -> T) -> T {
        let asked = self.sent.step.path.as_str();
        let target = self.front.map_or(Cow::Borrowed(asked), |front| {
            let at_the_client = Sent { forwarded: false, ..self.sent };
            let passed = |resolved: &Resolved, request: &Request<'_>| resolved.upstream_target(front.config, request);
            Cow::Owned(front.resolve(at_the_client, asked, passed))
        });
        self.way.resolve(self.sent, &target, ask)
    }

    /// Whose request this nginx takes it for: the peer's, or that of whom a believed header names.
    pub(crate) fn client(&self) -> IpAddr {
        match self.routed {
            Routed::To(id) if self.sent.forwarded => {
                let rule = &self.way.config.servers[usize::from(id.server)].real_ip;
                gateway::real_ip(rule, IpAddr::V4(INGRESS), &self.sent)
            }
            _ => IpAddr::V4(self.sent.client),
        }
    }

    /// Its key in a zone of `limit_req`; `None`: it is not limited there.
    pub(crate) fn limit_key(&self, limit: &LimitUse) -> Option<Key> {
        let config = self.way.config;
        match config.zones[usize::from(limit.zone.0)].key {
            LimitKey::Peer => Some(Key::of(self.client())),
            LimitKey::Value(_) => self.resolve(|resolved, request| resolved.key(config, request, limit.zone)),
        }
    }

    /// Its key in a zone of `limit_conn`.
    pub(crate) fn conn_key(&self, limit: ConnUse) -> Option<Key> {
        let config = self.way.config;
        match config.conn_zones[usize::from(limit.zone.0)].key {
            LimitKey::Peer => Some(Key::of(self.client())),
            LimitKey::Value(_) => self.resolve(|resolved, request| resolved.conn_key(config, request, &limit)),
        }
    }

    /// What a template says of it, such as the key of an upstream's `hash`.
    pub(crate) fn value(&self, template: &Template) -> String {
        self.resolve(|resolved, request| resolved.value(self.way.config, request, template))
    }
}

impl<'a> World<'a> {
    /// A session's request as the nginx sees it that has it; `None`: no nginx has.
    pub(crate) fn seen(&self, s: &Session) -> Option<Seen<'a>> {
        let plan = self.plan;
        let (step, target) = (plan.load.step(s.step), plan.target(s.step));
        let front = plan.ingress.as_deref().filter(|_| target.ingress.is_some()).map(|config| {
            let (port, tls) = scenarios::ingress_door(config, &step.host);
            Way { config, port, tls }
        });
        let forwarded = s.at == Nginx::Gateway && front.is_some();
        let sent = Sent { seed: plan.load.seed, step, client: s.journey.arrival.client.address.into(), forwarded };
        if s.at == Nginx::Ingress {
            return Some(Seen { way: front?, sent, routed: target.ingress?, front: None });
        }
        let config = &plan.platform.gateway.as_ref()?.config;
        let way = Way { config, port: plan.gateway_port, tls: false };
        Some(Seen { way, sent, routed: target.gateway?, front })
    }
}
