//! Requests with their instants, played through the rules in virtual time: what `rehearse gateway` answers, and what
//! recorded traces of nginx are compared with.
//!
//! An instant is nginx's own clock (`ngx_current_msec`): whole milliseconds decide, what is finer only orders. Where a
//! request ends in the same instant as another begins, the end comes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use platform::{Balance, ConnUse, GatewayConfig, LocationId, ZoneId};
use units::Nanos;

use crate::{
    Answer, Ask, Broken, Choice, Connections, Exchange, Kept, Key, Peer, Reply, ReplyFrom, Request, Resolved, Routed,
    Upstreams, Zones, resolve,
};

/// A request to be played.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// When it comes.
    pub at: Nanos,
    /// To which gateway pod; `None`: they take turns.
    pub pod: Option<u32>,
    /// The peer of the connection.
    pub peer: IpAddr,
    /// The port that it came to.
    pub port: u16,
    /// The address that it came to, if that is known.
    pub local: Option<IpAddr>,
    /// The connection is TLS.
    pub tls: bool,
    /// `Host`.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Other headers.
    pub headers: Vec<(String, String)>,
    /// Size of the body.
    pub body: Option<u64>,
    /// How long each try at the upstream takes, or the answer where there is none.
    pub lasts: Nanos,
    /// What the upstream answers.
    pub script: Script,
}

impl Offered {
    fn request(&self) -> Request<'_> {
        Request {
            peer: self.peer,
            port: self.port,
            local: self.local,
            tls: self.tls,
            host: &self.host,
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            body: self.body,
        }
    }
}

/// What an upstream answers: by the server's `host:port`, else by the number of the try (the last one goes on), else 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// By server.
    pub servers: BTreeMap<String, Ending>,
    /// By try.
    pub tries: Vec<Ending>,
}

/// How a try ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a status.
    Status(u16),
    /// Without an answer.
    Broken(Broken),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which gateway pod had it.
    pub pod: u32,
    /// Whether the limits let it pass.
    pub verdict: Verdict,
    /// Index of the server, if one listens there.
    pub server: Option<u16>,
    /// The location, if one was found.
    pub location: Option<LocationId>,
    /// The client after `real_ip`.
    pub client: IpAddr,
    /// The excess that each `limit_req` zone found, in thousandths of a request, as far as they were asked.
    pub excess: Vec<(ZoneId, i64)>,
    /// Each try at the upstream.
    pub tries: Vec<Try>,
    /// The target that the upstream sees.
    pub upstream_target: Option<String>,
    /// What the client is told; status 0: the connection was closed without an answer.
    pub reply: Reply,
    /// Where a redirect leads, or the text of a `return`.
    pub text: Option<String>,
    /// When the client was told.
    pub ended: Nanos,
}

/// Whether the limits let a request pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At once, or no limit was asked.
    Admitted,
    /// After this long.
    Delayed(Nanos),
    /// `limit_req` refused it: this zone's name.
    RejectedByRate(String),
    /// `limit_conn` refused it: this zone's name.
    RejectedByConnections(String),
    /// The pod had no connection left (`worker_connections`).
    NoConnection,
}

/// One try at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Which server.
    pub peer: Peer,
    /// How it ended.
    pub ending: Ending,
    /// It went over a connection that was kept.
    pub kept: bool,
}

/// Some gateway pods with one configuration, each with limits and upstreams of its own.
#[derive(Debug)]
pub struct Replay<'c> {
    config: &'c GatewayConfig,
    pods: Vec<Pod>,
    connections_max: u32,
}

#[derive(Debug)]
struct Pod {
    zones: Zones,
    connections: Connections,
    upstreams: Upstreams,
    kept: Kept<()>,
    in_use: u32,
}

/// A request on its way.
struct Going {
    exchange: Exchange,
    resolved: Resolved,
    pod: usize,
    held: bool,
    connected: bool,
    /// How many requests its connection to the peer has served.
    served: u32,
    outcome: Outcome,
}

/// What happens next, in the order of time and then of cause.
type Agenda = BinaryHeap<Reverse<(Nanos, u64, usize, Wake)>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Answered,
    Ended,
    Released,
}

impl<'c> Replay<'c> {
    /// `pods` gateway pods of `workers` processes each.
    pub fn new(config: &'c GatewayConfig, pods: u32, workers: u32) -> Self {
        let pod = |_| Pod {
            zones: Zones::new(config),
            connections: Connections::new(config),
            upstreams: Upstreams::new(config),
            kept: Kept::new(config, workers),
            in_use: 0,
        };
        let connections_max = crate::room(config, workers);
        Self { config, pods: (0..pods.max(1)).map(pod).collect(), connections_max }
    }

    /// Plays requests as they stand, each at its own instant: a clock that goes back is nginx's affair (by less than a
    /// minute nothing drains, by more a millisecond does). One outcome for each, in their order.
    pub fn play(&mut self, requests: &[Offered]) -> Vec<Outcome> {
        let mut going: Vec<Option<Going>> = Vec::with_capacity(requests.len());
        let mut agenda = Agenda::new();
        for (index, request) in requests.iter().enumerate() {
            while let Some(Reverse((at, ..))) = agenda.peek()
                && *at <= request.at
            {
                self.wake(&mut agenda, &mut going, requests);
            }
            going.push(None);
            self.arrive(&mut agenda, &mut going, requests, index);
        }
        while !agenda.is_empty() {
            self.wake(&mut agenda, &mut going, requests);
        }
        going.into_iter().flatten().map(|going| going.outcome).collect()
    }

    fn arrive(&mut self, agenda: &mut Agenda, going: &mut [Option<Going>], requests: &[Offered], index: usize) {
        let offered = &requests[index];
        let pod = offered.pod.map_or(index, |pod| pod as usize) % self.pods.len();
        let request = offered.request();
        let resolved = resolve(self.config, &request);
        let mut exchange = Exchange::new(resolved.routed).from_client(self.config, resolved.client).by(&offered.method);
        let full = self.pods[pod].in_use >= self.connections_max;
        let outcome = Outcome {
            pod: pod as u32,
            verdict: if full { Verdict::NoConnection } else { Verdict::Admitted },
            server: resolved.server,
            location: resolved.location(),
            client: resolved.client,
            excess: Vec::new(),
            tries: Vec::new(),
            upstream_target: None,
            reply: Reply { status: 0, from: ReplyFrom::Itself },
            text: resolved.text.clone(),
            ended: offered.at,
        };
        let ask = exchange.begin(self.config);
        going[index] = Some(Going { exchange, resolved, pod, held: false, connected: false, served: 0, outcome });
        if !full {
            self.pods[pod].in_use += 1;
            self.drive(agenda, going, requests, index, offered.at, ask);
        }
    }

    fn wake(&mut self, agenda: &mut Agenda, going: &mut [Option<Going>], requests: &[Offered]) {
        let Some(Reverse((now, _, index, wake))) = agenda.pop() else { return };
        let Some(on) = &mut going[index] else { return };
        let answer = match wake {
            Wake::Ended => return self.end(on, &requests[index]),
            Wake::Released => Answer::Waited,
            Wake::Answered => {
                self.pods[on.pod].in_use -= u32::from(std::mem::take(&mut on.connected));
                match on.outcome.tries.last().map(|tried| tried.ending) {
                    Some(Ending::Status(status)) => Answer::Replied(status),
                    Some(Ending::Broken(how)) => Answer::Broken(how),
                    None => return,
                }
            }
        };
        let ask = on.exchange.proceed(self.config, now, answer);
        self.drive(agenda, going, requests, index, now, ask);
    }

    fn end(&mut self, on: &mut Going, offered: &Offered) {
        self.pods[on.pod].in_use -= 1;
        if let (true, Some(id)) = (std::mem::take(&mut on.held), on.resolved.location()) {
            let request = offered.request();
            let key = |limit: &ConnUse| on.resolved.conn_key(self.config, &request, limit);
            self.pods[on.pod].connections.release(&self.config.location(id).conn_limits, key);
        }
    }

    fn drive(
        &mut self,
        agenda: &mut Agenda,
        going: &mut [Option<Going>],
        requests: &[Offered],
        index: usize,
        now: Nanos,
        mut ask: Ask,
    ) {
        let config = self.config;
        let offered = &requests[index];
        let request = offered.request();
        let Some(on) = &mut going[index] else { return };
        let pod = &mut self.pods[on.pod];
        let mut later = |at: Nanos, wake: Wake| agenda.push(Reverse((at, index as u64, index, wake)));
        loop {
            let answer = match ask {
                Ask::Offer(id) => {
                    let location = config.location(id);
                    let key = |limit: &platform::LimitUse| on.resolved.key(config, &request, limit.zone);
                    let excess = &mut on.outcome.excess;
                    let told = |limit: &platform::LimitUse, found: crate::Excess| excess.push((limit.zone, found.0));
                    let admission = pod.zones.offer_each(&location.limits, key, || now, told);
                    if admission == crate::Admission::Refused && !location.limit_dry_run {
                        let zone = on.outcome.excess.last().map(|(zone, _)| usize::from(zone.0)).unwrap_or_default();
                        on.outcome.verdict = Verdict::RejectedByRate(config.zones[zone].name.clone());
                    }
                    Answer::Offered(admission)
                }
                Ask::Hold(id) => {
                    let location = config.location(id);
                    let key = |limit: &ConnUse| on.resolved.conn_key(config, &request, limit);
                    let held = pod.connections.hold(&location.conn_limits, key);
                    on.held = held.is_ok();
                    if let (Err(at), false) = (held, location.conn_dry_run) {
                        let zone = usize::from(location.conn_limits[at].zone.0);
                        on.outcome.verdict = Verdict::RejectedByConnections(config.conn_zones[zone].name.clone());
                    }
                    Answer::Held(held.is_ok())
                }
                Ask::Until(at) => {
                    on.outcome.verdict = Verdict::Delayed(at - now);
                    return later(at, Wake::Released);
                }
                Ask::Pick(upstream) => {
                    on.outcome.upstream_target.get_or_insert_with(|| on.resolved.upstream_target(config, &request));
                    let key = match &config.upstream(upstream).balance {
                        Balance::Hash { key, .. } => on.resolved.value(config, &request, key),
                        _ => String::new(),
                    };
                    let choice = Choice {
                        tried: on.exchange.tried(),
                        client: on.resolved.client,
                        key: key.as_bytes(),
                        // Nothing is drawn but the request's own number.
                        draw: Key::of_bytes(&(index as u64).to_le_bytes()).0,
                        now,
                    };
                    Answer::Picked(pod.upstreams.pick(upstream, &choice))
                }
                Ask::Send(peer) if pod.in_use >= self.connections_max => {
                    pod.upstreams.free(peer, false, now);
                    ask = Ask::Reply(Reply { status: 500, from: ReplyFrom::BadGateway });
                    continue;
                }
                Ask::Send(peer) => {
                    (pod.in_use, on.connected) = (pod.in_use + 1, true);
                    let ending = ending(config, &offered.script, peer, on.outcome.tries.len());
                    let keeps = keeps(config, on.resolved.routed, peer);
                    let kept = if keeps { pod.kept.take(peer, now, |()| true) } else { None };
                    on.served = kept.map_or(0, |((), served)| served);
                    on.outcome.tries.push(Try { peer, ending, kept: kept.is_some() });
                    return later(now + took(config, on.resolved.routed, offered.lasts, ending), Wake::Answered);
                }
                Ask::Free(peer, failed) => {
                    pod.upstreams.free(peer, failed, now);
                    if !failed && keeps(config, on.resolved.routed, peer) {
                        pod.kept.give(peer, now, (), on.served + 1);
                    }
                    Answer::Freed
                }
                Ask::Reply(reply) => {
                    on.outcome.reply = reply;
                    // What no upstream answers may last, too, but a refusal is at once.
                    let content = reply.from == ReplyFrom::Itself && reply.status == 200;
                    on.outcome.ended = if content { now + offered.lasts } else { now };
                    if content && offered.lasts > Nanos::ZERO {
                        later(now + offered.lasts, Wake::Ended);
                    } else {
                        self.end(on, offered);
                    }
                    return;
                }
            };
            ask = on.exchange.proceed(config, now, answer);
        }
    }
}

fn keeps(config: &GatewayConfig, routed: Routed, peer: Peer) -> bool {
    matches!(routed, Routed::To(id) if crate::keeps(config, config.location(id), peer.upstream))
}

/// What a server answers.
fn ending(config: &GatewayConfig, script: &Script, peer: Peer, nth: usize) -> Ending {
    let server = &config.upstream(peer.upstream).servers[usize::from(peer.server)];
    let by_server = script.servers.get(&format!("{}:{}", server.host, server.port));
    let by_try = script.tries.get(nth).or(script.tries.last());
    by_server.or(by_try).copied().unwrap_or(Ending::Status(200))
}

/// A timeout takes as long as it is configured to.
fn took(config: &GatewayConfig, routed: Routed, lasts: Nanos, ending: Ending) -> Nanos {
    let Routed::To(id) = routed else { return lasts };
    let location = config.location(id);
    match ending {
        Ending::Broken(Broken::ConnectTimeout) => location.connect_timeout,
        Ending::Broken(Broken::Timeout) => location.read_timeout,
        Ending::Broken(Broken::Connect) => Nanos::ZERO,
        _ => lasts,
    }
}
