//! nginx's configuration as far as the rehearsal plays it. Units are nginx's own.

mod location;
mod pattern;

use std::net::IpAddr;

use units::{Bytes, Nanos, Rate};

use crate::Place;

pub use location::{
    AccessRule, Action, Condition, ErrorPage, Location, LocationMatch, NextUpstream, RewriteFlag, RewriteStep,
};
pub use pattern::{Captures, Map, Network, Part, Pattern, Template, Variable};

/// Index into [`GatewayConfig::zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

/// Index into [`GatewayConfig::conn_zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnZoneId(pub u16);

/// Index into [`GatewayConfig::upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub u16);

/// A location of a server, by both indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId {
    /// Index into [`GatewayConfig::servers`].
    pub server: u16,
    /// Index into [`Server::locations`].
    pub location: u16,
}

/// The `http` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayConfig {
    /// `limit_req_zone` directives.
    pub zones: Vec<LimitZone>,
    /// `limit_conn_zone` directives.
    pub conn_zones: Vec<ConnZone>,
    /// `map` and `geo` blocks.
    pub maps: Vec<Map>,
    /// `upstream` blocks.
    pub upstreams: Vec<Upstream>,
    /// `server` blocks, in order, once for each address they listen on: the first one of an address is its default.
    pub servers: Vec<Server>,
    /// `worker_connections`, default 512.
    pub worker_connections: u32,
    /// `worker_processes`, default 1; 0 is `auto`: one per core of the node. `worker_connections` counts for each.
    pub worker_processes: u32,
    /// `keepalive_timeout`, default 75 s.
    pub keepalive_timeout: Nanos,
    /// Directives that are kept but not played, with their place.
    pub unplayed: Vec<(String, Place)>,
}

/// `limit_req_zone KEY zone=NAME:SIZE rate=RATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitZone {
    /// Its name.
    pub name: String,
    /// What requests share a bucket.
    pub key: LimitKey,
    /// How fast a bucket drains.
    pub rate: Rate,
    /// Shared memory.
    pub size: Bytes,
    /// Where it was declared.
    pub place: Place,
}

/// `limit_conn_zone KEY zone=NAME:SIZE`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnZone {
    /// Its name.
    pub name: String,
    /// What requests are counted together.
    pub key: LimitKey,
    /// Shared memory.
    pub size: Bytes,
    /// Where it was declared.
    pub place: Place,
}

/// The key of a limit zone. A request whose key is empty is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LimitKey {
    /// `$binary_remote_addr` or `$remote_addr`: the client after `real_ip`.
    #[default]
    Peer,
    /// Anything else.
    Value(Template),
}

/// As it is written in the file.
impl std::fmt::Display for LimitKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Peer => f.write_str("$binary_remote_addr"),
            Self::Value(template) => f.write_str(&template.text),
        }
    }
}

/// `limit_req zone=NAME burst=N …` in force at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// Which zone.
    pub zone: ZoneId,
    /// `burst`, default 0.
    pub burst: u32,
    /// What happens between the first request too many and the burst.
    pub mode: LimitMode,
}

/// What happens to a request within the burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitMode {
    /// `nodelay`: it passes at once.
    NoDelay,
    /// `delay=N`: it passes at once up to N, then waits. Without the word N is 0: all wait.
    Delay(u32),
}

/// `limit_conn ZONE N` in force at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnUse {
    /// Which zone.
    pub zone: ConnZoneId,
    /// How many requests of one key may be in progress.
    pub most: u32,
}

/// `upstream NAME { … }`. [`Upstream::default`] takes turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Its servers. One server alone ignores `max_fails` and is never retried
    /// (`ngx_http_upstream_round_robin.c`, `single`).
    pub servers: Vec<UpstreamServer>,
    /// Who gets a request.
    pub balance: Balance,
    /// `keepalive`: idle connections kept by each worker; 0: none.
    pub keepalive: u32,
    /// `zone`: the workers share turns and failures.
    pub shared: bool,
    /// Where it was declared.
    pub place: Place,
}

/// Who gets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// `least_conn`.
    LeastConn,
    /// `ip_hash`: the first three bytes of an IPv4 client.
    IpHash,
    /// `hash KEY [consistent]`.
    Hash {
        /// What is hashed.
        key: Template,
        /// `consistent`: ketama.
        consistent: bool,
    },
    /// `random [two]`.
    Random {
        /// `two`: of two drawn, the one with fewer connections.
        two: bool,
    },
}

/// `server HOST:PORT …` in an upstream. [`UpstreamServer::default`] has nginx's defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamServer {
    /// Host, usually a Service's name.
    pub host: String,
    /// Port, default 80.
    pub port: u16,
    /// `weight`, default 1.
    pub weight: u32,
    /// `max_fails`, default 1; 0: failures do not count.
    pub max_fails: u32,
    /// `fail_timeout`, default 10 s.
    pub fail_timeout: Nanos,
    /// `max_conns`; 0: any number.
    pub max_conns: u32,
    /// `backup`.
    pub backup: bool,
    /// `down`.
    pub down: bool,
}

impl Default for UpstreamServer {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 80,
            weight: 1,
            max_fails: 1,
            fail_timeout: Nanos::from_secs(10),
            max_conns: 0,
            backup: false,
            down: false,
        }
    }
}

/// `server { … }` on one address that it listens on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Port of `listen`.
    pub port: u16,
    /// Address of `listen`; `None`: any.
    pub address: Option<IpAddr>,
    /// `listen … default_server`.
    pub default: bool,
    /// `listen … ssl`.
    pub tls: bool,
    /// `server_name` in lower case: exact names, `*.suffix`, `prefix.*`, or `_`. The first one is `$server_name`.
    pub names: Vec<String>,
    /// `server_name ~…`, in order.
    pub patterns: Vec<Pattern>,
    /// The rewrite phase of the server, before any location is looked for. Where it ends in a plain `return`, that is
    /// the one location.
    pub rewrites: Vec<RewriteStep>,
    /// `set_real_ip_from` and its kin.
    pub real_ip: RealIp,
    /// `merge_slashes off`.
    pub keeps_slashes: bool,
    /// What is in force where no location takes the request: its headers are added to the 404.
    pub outside: Location,
    /// Locations in the order of the file; those inside others name their [`Location::parent`].
    pub locations: Vec<Location>,
    /// Where it was declared.
    pub place: Place,
}

/// Where the client's address comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealIp {
    /// `set_real_ip_from`: who is believed. Empty: nobody.
    pub trusted: Vec<Network>,
    /// `real_ip_header`.
    pub header: RealIpHeader,
    /// `real_ip_recursive on`.
    pub recursive: bool,
}

/// `real_ip_header`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RealIpHeader {
    /// `X-Real-IP`, the default.
    #[default]
    RealIp,
    /// `X-Forwarded-For`: a list, of which the last counts.
    ForwardedFor,
    /// `proxy_protocol`: from the connection, which a rehearsal does not have; the peer stays.
    ProxyProtocol,
    /// Any other header, in lower case.
    Other(String),
}

impl GatewayConfig {
    /// What is in force for a request that a location took, or none of a server's.
    pub fn in_force(&self, server: Option<u16>, location: Option<LocationId>) -> Option<&Location> {
        match location {
            Some(id) => Some(self.location(id)),
            None => server.map(|server| &self.servers[usize::from(server)].outside),
        }
    }

    /// A location by its id.
    pub fn location(&self, id: LocationId) -> &Location {
        &self.servers[usize::from(id.server)].locations[usize::from(id.location)]
    }
    /// An upstream by its id.
    pub fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[usize::from(id.0)]
    }
}
