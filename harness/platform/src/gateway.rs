//! nginx's configuration as far as the rehearsal plays it. Units are nginx's own.

use units::{Bytes, Nanos, Rate};

use crate::Place;

/// Index into [`GatewayConfig::zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub u16);

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
    /// `upstream` blocks.
    pub upstreams: Vec<Upstream>,
    /// `server` blocks, in order: the first one of a port is its default.
    pub servers: Vec<Server>,
    /// `worker_connections`, default 512.
    pub worker_connections: u32,
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
    pub key: ClientAddress,
    /// How fast a bucket drains.
    pub rate: Rate,
    /// Shared memory.
    pub size: Bytes,
    /// Where it was declared.
    pub place: Place,
}

/// The key of a limit zone. Only the peer's address so far; others are refused when the file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// `$binary_remote_addr` or `$remote_addr`.
    #[default]
    Peer,
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

/// `upstream NAME { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Its servers. One server alone ignores `max_fails` and is never retried
    /// (`ngx_http_upstream_round_robin.c`, `single`).
    pub servers: Vec<UpstreamServer>,
    /// `least_conn`; otherwise smooth weighted round robin.
    pub least_conn: bool,
    /// Where it was declared.
    pub place: Place,
}

/// `server HOST:PORT …` in an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamServer {
    /// Host, usually a Service's name.
    pub host: String,
    /// Port, default 80.
    pub port: u16,
    /// `max_fails`, default 1.
    pub max_fails: u32,
    /// `fail_timeout`, default 10 s.
    pub fail_timeout: Nanos,
}

/// `server { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Port of `listen`.
    pub port: u16,
    /// `listen … default_server`.
    pub default: bool,
    /// `server_name`: exact names, `*.suffix`, or `_`.
    pub names: Vec<String>,
    /// Locations in the order of the file.
    pub locations: Vec<Location>,
    /// Where it was declared.
    pub place: Place,
}

/// `location … { … }` with everything it inherits resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Which paths it takes.
    pub matches: LocationMatch,
    /// `limit_req` in force. Never consulted where the action is a return: the rewrite phase comes first.
    pub limits: Vec<LimitUse>,
    /// `limit_req_status`, nginx's default is 503.
    pub limit_status: u16,
    /// What answers.
    pub action: Action,
    /// `proxy_connect_timeout`, default 60 s.
    pub connect_timeout: Nanos,
    /// `proxy_read_timeout`, default 60 s.
    pub read_timeout: Nanos,
    /// `proxy_send_timeout`, default 60 s.
    pub send_timeout: Nanos,
    /// `proxy_buffering`, default on.
    pub buffering: bool,
    /// `client_max_body_size`, default 1 MiB; 0 means no limit.
    pub max_body: Bytes,
    /// `add_header … always` in force: names and values.
    pub headers: Vec<(String, String)>,
    /// Where it was declared.
    pub place: Place,
}

/// Which paths a location takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationMatch {
    /// `= /path`.
    Exact(String),
    /// `/path`; the longest prefix wins.
    Prefix(String),
}

/// What answers at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `return STATUS "body"`.
    Return {
        /// Status code.
        status: u16,
        /// Body text.
        body: String,
    },
    /// `proxy_pass http://UPSTREAM[URI]`.
    Proxy {
        /// Which upstream.
        upstream: UpstreamId,
        /// Replaces the matched prefix, where `proxy_pass` has a URI.
        uri: Option<String>,
    },
    /// `stub_status`.
    StubStatus,
}

impl GatewayConfig {
    /// A location by its id.
    pub fn location(&self, id: LocationId) -> &Location {
        &self.servers[usize::from(id.server)].locations[usize::from(id.location)]
    }
    /// An upstream by its id.
    pub fn upstream(&self, id: UpstreamId) -> &Upstream {
        &self.upstreams[usize::from(id.0)]
    }
}
