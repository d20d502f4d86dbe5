//! What a gateway is held to, request by request and apart from any load: who takes it, and what its client is told.
//!
//! Owns the clauses and what the rules say of each. A live stage really asks; virtual time believes the rules, and
//! leaves open what only the service behind can say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use gateway::{Answer, Ask, Exchange, Peer, ReplyFrom, Request, Routed};
use platform::GatewayConfig;
use record::Expected;
use units::{RequestId, Seed};

use crate::{Payload, Plan, StatusRange};

/// One thing that must be true of the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// Its name.
    pub name: String,
    /// Where the request enters.
    pub door: Door,
    /// `GET`, `POST`, …
    pub method: String,
    /// Virtual host.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Headers that it carries, names in lower case.
    pub send: BTreeMap<String, String>,
    /// What it carries.
    pub payload: Option<Payload>,
    /// It shows a client's token.
    pub token: bool,
    /// The status of the answer.
    pub status: Vec<StatusRange>,
    /// First name of the server block that takes it.
    pub server: Option<String>,
    /// The location that takes it, as nginx's configuration writes it.
    pub location: Option<String>,
    /// Headers of the answer.
    pub headers: BTreeMap<String, String>,
    /// Headers that it does not have.
    pub lacks: Vec<String>,
}

/// Where a request enters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// A gateway pod.
    #[default]
    Gateway,
    /// The ingress controller in front, in plain HTTP.
    Ingress,
    /// The same over TLS.
    IngressTls,
}

/// What the client of a clause is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// HTTP status; `None`: only the service behind can say.
    pub status: Option<u16>,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What the rules say of a clause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Foreseen {
    told: Told,
    server: String,
    location: String,
}

/// Somebody outside: RFC 2544's block, which is nobody's.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));

impl Clause {
    /// Who asks: clauses have nobody's draws in common with the load.
    pub fn request(number: usize) -> RequestId {
        RequestId::of_step((1 << 60) + number as u64, 0)
    }

    /// What it carries.
    pub fn body(&self, seed: Seed, number: usize) -> Vec<u8> {
        self.payload.map(|payload| payload.body(seed, Self::request(number))).unwrap_or_default()
    }

    /// Whether it came true. `live`: what was really told; else the rules are believed.
    pub fn judge(&self, plan: &Plan, live: Option<&Told>) -> Expected {
        let foreseen = plan.foreseen(self);
        let told = live.unwrap_or(&foreseen.told);
        let mut wrong = Vec::new();
        let mut seen = Vec::new();
        match told.status {
            None => seen.push("the service behind answers".to_owned()),
            Some(status) => {
                seen.push(format!("status {status}"));
                if !self.status.is_empty()
                    && !self.status.iter().any(|range| (range.first..=range.last).contains(&status))
                {
                    wrong.push(format!("status {status}"));
                }
            }
        }
        for (what, wanted, got) in
            [("server", &self.server, &foreseen.server), ("location", &self.location, &foreseen.location)]
        {
            if let Some(wanted) = wanted {
                seen.push(format!("{what} {got}"));
                if wanted != got {
                    wrong.push(format!("{what} {got}, not {wanted}"));
                }
            }
        }
        // What a service adds is not known from the rules: only what the gateway adds can be missing.
        for (name, wanted) in &self.headers {
            match told.headers.get(name) {
                Some(got) if got == wanted => {}
                Some(got) => wrong.push(format!("{name}: {got}")),
                None if live.is_none() && told.status.is_none() => {}
                None => wrong.push(format!("no {name}")),
            }
        }
        wrong.extend(self.lacks.iter().filter_map(|name| Some(format!("{name}: {}", told.headers.get(name)?))));
        Expected {
            told: format!("{}: {} {}{}", self.name, self.method, self.host, self.path),
            held: wrong.is_empty(),
            seen: if wrong.is_empty() { seen.join(", ") } else { wrong.join("; ") },
        }
    }
}

impl Plan {
    /// What becomes of every clause by the rules alone.
    pub fn contract_by_rules(&self) -> Vec<Expected> {
        self.contract.iter().map(|clause| clause.judge(self, None)).collect()
    }

    fn foreseen(&self, clause: &Clause) -> Foreseen {
        let (port, tls) = match clause.door {
            Door::Gateway => match &self.platform.gateway {
                Some(gateway) => return self.by_rules(clause, &gateway.config, self.gateway_port, false, false),
                None => return Foreseen::default(),
            },
            Door::Ingress => (80, false),
            Door::IngressTls => (443, true),
        };
        let config = gateway::ingress::config(&self.platform.ingresses.iter().collect::<Vec<_>>());
        self.by_rules(clause, &config, port, tls, true)
    }

    /// Drives an exchange with nobody else about.
    fn by_rules(&self, clause: &Clause, config: &GatewayConfig, port: u16, tls: bool, is_ingress: bool) -> Foreseen {
        let headers: Vec<(String, String)> = clause.send.clone().into_iter().collect();
        let request = Request {
            peer: CLIENT,
            method: &clause.method,
            headers: &headers,
            tls,
            body: clause.payload.map(|payload| payload.size().get()),
            ..Request::new(port, &clause.host, &clause.path)
        };
        let resolved = gateway::resolve(config, &request);
        let at = resolved.location().map(|id| config.location(id));
        let server = resolved.server.and_then(|server| config.servers[usize::from(server)].names.first().cloned());
        let mut foreseen = Foreseen {
            server: server.unwrap_or_default(),
            location: at.map(|location| location.matches.to_string()).unwrap_or_default(),
            ..Foreseen::default()
        };
        let host = clause.host.split(':').next().unwrap_or(&clause.host);
        let ingress = self.platform.ingresses.iter().filter(|_| is_ingress);
        let ingress =
            ingress.into_iter().find(|ingress| ingress.rules.iter().any(|rule| rule.host.eq_ignore_ascii_case(host)));
        let preflight = ingress.and_then(|ingress| gateway::ingress::preflight(ingress, &clause.method));
        foreseen.told = match preflight {
            Some(status) => Told { status: Some(status), ..Told::default() },
            None => self.exchange(clause, config, &resolved),
        };
        let headers = &mut foreseen.told.headers;
        let there = match (resolved.routed, resolved.text.as_deref()) {
            (Routed::Redirect(_), _) => {
                let scheme = if tls { "https" } else { "http" };
                let (path, query) = clause
                    .path
                    .split_once('?')
                    .map_or((clause.path.as_str(), String::new()), |(path, query)| (path, format!("?{query}")));
                let usual = if tls { 443 } else { 80 };
                let port = if port == usual { String::new() } else { format!(":{port}") };
                Some(format!("{scheme}://{host}{port}{path}/{query}"))
            }
            (Routed::Answer { status: 300..400, .. }, Some(text)) => Some(text.to_owned()),
            _ => None,
        };
        headers.extend(there.map(|there| ("location".to_owned(), there)));
        headers.insert("server".to_owned(), "nginx".to_owned());
        let in_force = config.in_force(resolved.server, resolved.location());
        let status = foreseen.told.status.unwrap_or(200); // a pod's answer is a good one
        for (name, value) in in_force.into_iter().flat_map(|location| location.added_headers(status)) {
            headers.insert(name.to_ascii_lowercase(), value.clone());
        }
        if let Some(ingress) = ingress {
            let origin = clause.send.get("origin").map_or("", String::as_str);
            let of_origin = gateway::ingress::cors_headers(ingress, origin, preflight.is_some());
            headers.extend(of_origin.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        foreseen
    }

    fn exchange(&self, clause: &Clause, config: &GatewayConfig, resolved: &gateway::Resolved) -> Told {
        let mut exchange = Exchange::new(resolved.routed).by(&clause.method).from_client(config, CLIENT);
        let mut behind = Told::default();
        let mut ask = exchange.begin(config);
        // A handful of questions at most: nobody is refused, and one server answers.
        loop {
            let answer = match ask {
                Ask::Offer(_) => Answer::Offered(gateway::Admission::Now),
                Ask::Hold(_) => Answer::Held(true),
                Ask::Pick(upstream) => Answer::Picked(Some(Peer { upstream, server: 0 })),
                Ask::Free(..) => Answer::Freed,
                Ask::Until(_) => Answer::Waited,
                Ask::Send(peer) => {
                    behind = self.behind(clause, config, peer);
                    Answer::Replied(behind.status.unwrap_or(200))
                }
                Ask::Reply(reply) if reply.from == ReplyFrom::Upstream => return behind,
                Ask::Reply(reply) => return Told { status: Some(reply.status), headers: BTreeMap::new() },
            };
            ask = exchange.proceed(config, units::Nanos::ZERO, answer);
        }
    }

    /// What the peer behind says: the gateway by its rules, a service nobody knows.
    fn behind(&self, clause: &Clause, config: &GatewayConfig, peer: Peer) -> Told {
        let Some(gateway) = &self.platform.gateway else { return Told::default() };
        let server = &config.upstream(peer.upstream).servers[usize::from(peer.server)];
        let to_gateway = clause.door != Door::Gateway && server.host == self.platform.service(gateway.service).name;
        if !to_gateway {
            return Told::default();
        }
        self.by_rules(clause, &gateway.config, self.gateway_port, false, false).told
    }
}
