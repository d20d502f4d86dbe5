//! Which server and which location take a request.

use std::net::IpAddr;

use platform::{
    Action, Captures, GatewayConfig, LimitUse, Location, LocationId, LocationMatch, Server, Template, ZoneId,
};

use crate::request::{Request, Scope, real_ip};
use crate::rewriting::{Ended, Uri};
use crate::{Key, path};

/// What takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// This location.
    To(LocationId),
    /// The path lacks only the last slash of this proxied location: 301 to the path with the slash.
    Redirect(LocationId),
    /// The configuration answers before any limit is asked: `return` and `rewrite` among other steps, `internal` (404),
    /// a body that is too large (413), a circle of rewrites (500).
    Answer {
        /// Where, if a location was found.
        location: Option<LocationId>,
        /// The status.
        status: u16,
    },
    /// Nothing listens there, or no location matches: 404.
    Nothing,
    /// The host or the path is none: 400.
    Malformed,
}

/// What the phases before any limit found out about a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Where it goes.
    pub routed: Routed,
    /// Index of the server, if one listens there.
    pub server: Option<u16>,
    /// The client after `real_ip`.
    pub client: IpAddr,
    /// Body or redirect of a `return` among other steps.
    pub text: Option<String>,
    uri: Uri,
    captures: Captures,
    named: Vec<(String, Vec<u8>)>,
}

/// More changes of the path than these are a circle (`NGX_HTTP_MAX_URI_CHANGES`).
const CHANGES_MAX: u32 = 10;

/// What takes a GET with this `Host` on this port; an empty host is a request without one.
pub fn route(config: &GatewayConfig, port: u16, host: &str, target: &str) -> Routed {
    resolve(config, &Request::new(port, host, target)).routed
}

/// The server that has this host among its names, of those that listen on this port. `None`: whoever asks for it gets
/// the default server.
pub fn server_of(config: &GatewayConfig, port: u16, host: &str) -> Option<u16> {
    let request = Request::new(port, host, "/");
    named_server(config, &request, host_name(host)?).map(|(index, _)| index as u16)
}

/// What takes a request, after `real_ip` and the rewrite phases.
///
/// Servers as in `ngx_http_find_virtual_server`: the exact name, then the longest `*.suffix`, the longest `prefix.*`,
/// the first regular expression, then the default of the address: the one marked so, or the first. Locations as in
/// `ngx_http_core_find_location`: `=` first, then the longest prefix, unless a regular expression takes the decoded path.
pub fn resolve(config: &GatewayConfig, request: &Request<'_>) -> Resolved {
    let unrouted = |routed| Resolved {
        routed,
        server: None,
        client: request.peer,
        text: None,
        uri: Uri::default(),
        captures: Captures::default(),
        named: Vec::new(),
    };
    let Some(default) = default_server(config, request) else {
        let sound = path::parse(request.target, true).is_some() && host_name(request.host).is_some();
        return unrouted(if sound { Routed::Nothing } else { Routed::Malformed });
    };
    // nginx reads the target before it reads the host, and refuses both alike.
    let merge = !config.servers[default].keeps_slashes;
    let (Some(target), Some(host)) = (path::parse(request.target, merge), host_name(request.host)) else {
        return unrouted(Routed::Malformed);
    };
    let (index, captures) = named_server(config, request, host).unwrap_or((default, Captures::default()));
    let server = &config.servers[index];
    let mut found = Resolved {
        routed: Routed::Nothing,
        server: Some(index as u16),
        client: real_ip(&server.real_ip, request.peer, request.headers),
        text: None,
        uri: Uri::new(target),
        captures,
        named: Vec::new(),
    };
    if let Some(ended) = found.run(config, request, &server.rewrites)
        && let Ended::Answer(status, text) = ended
    {
        (found.routed, found.text) = (Routed::Answer { location: None, status }, Some(text));
        return found;
    }
    found.locate(config, request, index);
    found
}

impl Resolved {
    fn locate(&mut self, config: &GatewayConfig, request: &Request<'_>, index: usize) {
        let server = &config.servers[index];
        let id = |location: usize| LocationId { server: index as u16, location: location as u16 };
        for _ in 0..=CHANGES_MAX {
            self.uri.changed = false;
            let place = find(server, &self.uri.path, None, &mut self.captures);
            let (at, redirect) = match place {
                Place::None => {
                    self.routed = Routed::Nothing;
                    return;
                }
                Place::Redirect(at) => (at, true),
                Place::At(at) | Place::Final(at) => (at, false),
            };
            let location = &server.locations[at];
            let answer = |status| Routed::Answer { location: Some(id(at)), status };
            let most = location.max_body.get();
            self.routed = match request.body {
                _ if location.internal && !self.uri.internal => answer(404),
                Some(body) if most > 0 && body > most => answer(413),
                _ if redirect => Routed::Redirect(id(at)),
                _ => Routed::To(id(at)),
            };
            if self.routed != Routed::To(id(at)) || location.rewrites.is_empty() {
                return;
            }
            match self.run(config, request, &location.rewrites) {
                Some(Ended::Answer(status, text)) => {
                    (self.routed, self.text) = (answer(status), Some(text));
                    return;
                }
                _ if self.uri.changed && !matches!(location.action, Action::Return { .. }) => {}
                _ => return,
            }
        }
        self.routed = Routed::Answer { location: None, status: 500 };
    }

    fn run(&mut self, config: &GatewayConfig, request: &Request<'_>, steps: &[platform::RewriteStep]) -> Option<Ended> {
        if steps.is_empty() {
            return None;
        }
        let server = self.server.map(|server| &config.servers[usize::from(server)]);
        let base = Base { config, request, server, client: self.client };
        crate::rewriting::run(steps, &base, &mut self.uri, &mut self.captures, &mut self.named)
    }

    /// The location, where there is one.
    pub const fn location(&self) -> Option<LocationId> {
        match self.routed {
            Routed::To(id) | Routed::Redirect(id) | Routed::Answer { location: Some(id), .. } => Some(id),
            Routed::Answer { location: None, .. } | Routed::Nothing | Routed::Malformed => None,
        }
    }

    fn scope<'a>(&'a self, config: &'a GatewayConfig, request: &'a Request<'a>) -> Scope<'a> {
        Scope {
            config,
            request,
            server: self.server.map(|server| &config.servers[usize::from(server)]),
            client: self.client,
            uri: &self.uri.path,
            args: &self.uri.args,
            captures: &self.captures,
            named: &self.named,
        }
    }

    /// The key of this request in a limit zone; `None` if it is not limited there.
    pub fn key(&self, config: &GatewayConfig, request: &Request<'_>, zone: ZoneId) -> Option<Key> {
        self.scope(config, request).key(&config.zones[usize::from(zone.0)].key)
    }

    /// Its key in a zone of `limit_conn`.
    pub fn conn_key(&self, config: &GatewayConfig, request: &Request<'_>, limit: &platform::ConnUse) -> Option<Key> {
        self.scope(config, request).key(&config.conn_zones[usize::from(limit.zone.0)].key)
    }

    /// The keys of `limits` in order.
    pub fn keys(&self, config: &GatewayConfig, request: &Request<'_>, limits: &[LimitUse]) -> Vec<Option<Key>> {
        limits.iter().map(|limit| self.key(config, request, limit.zone)).collect()
    }

    /// What a template says of this request.
    pub fn value(&self, config: &GatewayConfig, request: &Request<'_>, template: &Template) -> String {
        String::from_utf8_lossy(&self.scope(config, request).value(template)).into_owned()
    }

    /// The target that the upstream sees (`ngx_http_proxy_create_request`).
    pub fn upstream_target(&self, config: &GatewayConfig, request: &Request<'_>) -> String {
        let Routed::To(id) = self.routed else { return request.target.to_owned() };
        let location = config.location(id);
        let Action::Proxy { uri, .. } = &location.action else { return request.target.to_owned() };
        let scope = self.scope(config, request);
        if let Some(uri) = uri.as_deref().filter(|uri| uri.contains('$')) {
            // With variables it stands for the whole.
            return String::from_utf8_lossy(&crate::rewriting::simple(uri, &scope)).into_owned();
        }
        if self.uri.unparsed && uri.is_none() {
            return request.target.to_owned();
        }
        let uri = uri.as_deref().filter(|_| !self.uri.broke);
        let cut = uri.and_then(|_| location.matches.path()).map_or(0, str::len);
        let rest = self.uri.path.get(cut..).unwrap_or_default();
        let escaped = self.uri.quoted || self.uri.internal;
        let rest = if escaped { path::escape(rest) } else { String::from_utf8_lossy(rest).into_owned() };
        let mark = if self.uri.args.is_empty() { "" } else { "?" };
        format!("{}{rest}{mark}{}", uri.unwrap_or_default(), String::from_utf8_lossy(&self.uri.args))
    }
}

/// What stays the same while a request is rewritten.
pub(crate) struct Base<'a> {
    pub(crate) config: &'a GatewayConfig,
    pub(crate) request: &'a Request<'a>,
    pub(crate) server: Option<&'a Server>,
    pub(crate) client: IpAddr,
}

/// What a level of locations says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    None,
    /// A prefix: a regular expression of an outer level may still take it.
    At(usize),
    /// Exact, or a regular expression.
    Final(usize),
    Redirect(usize),
}

fn find(server: &Server, path: &[u8], parent: Option<u16>, captures: &mut Captures) -> Place {
    let level = || server.locations.iter().enumerate().filter(|(_, location)| location.parent == parent);
    let exact = |l: &Location| matches!(&l.matches, LocationMatch::Exact(exact) if exact.as_bytes() == path);
    if let Some((index, _)) = level().find(|(_, l)| exact(l)) {
        return Place::Final(index);
    }
    let length = |l: &Location| match &l.matches {
        LocationMatch::Prefix(prefix) | LocationMatch::PrefixFirst(prefix) if path.starts_with(prefix.as_bytes()) => {
            Some(prefix.len())
        }
        _ => None,
    };
    let longest = level().filter_map(|(index, l)| Some((length(l)?, index))).max_by_key(|(length, _)| *length);
    // A shorter prefix loses against the redirect, one as long as the path wins.
    if longest.is_none_or(|(length, _)| length < path.len())
        && let Some((index, _)) = level().find(|(_, l)| lacks_slash(l, path))
    {
        return Place::Redirect(index);
    }
    let mut place = Place::None;
    let mut asks = true;
    if let Some((_, index)) = longest {
        place = Place::At(index);
        asks = !matches!(server.locations[index].matches, LocationMatch::PrefixFirst(_));
        match find(server, path, Some(index as u16), captures) {
            Place::None => {}
            Place::At(inner) => place = Place::At(inner),
            decided => return decided,
        }
    }
    let patterns = || {
        level().filter_map(|(index, l)| if let LocationMatch::Regex(p) = &l.matches { Some((index, p)) } else { None })
    };
    for (index, pattern) in patterns().filter(|_| asks) {
        if let Some(groups) = pattern.captures(path) {
            *captures = groups;
            return match find(server, path, Some(index as u16), captures) {
                Place::None => Place::Final(index),
                Place::At(inner) => Place::Final(inner),
                decided => decided,
            };
        }
    }
    place
}

/// The location of a path that nginx redirects to itself.
pub(crate) fn by_path<'a>(server: &'a Server, path: &[u8]) -> Option<&'a Location> {
    match find(server, path, None, &mut Captures::default()) {
        Place::None => None,
        Place::At(index) | Place::Final(index) | Place::Redirect(index) => Some(&server.locations[index]),
    }
}

/// `auto_redirect`, which `proxy_pass` sets for a location whose name ends with a slash.
fn lacks_slash(location: &Location, path: &[u8]) -> bool {
    let proxied = matches!(&location.action, Action::Proxy { .. });
    let foreign = matches!(&location.action, Action::Content { by } if by.ends_with("_pass"));
    (proxied || foreign) && location.matches.path().is_some_and(|name| name.as_bytes().strip_suffix(b"/") == Some(path))
}

/// The name in a `Host` header, as `ngx_http_validate_host` leaves it: without the port and one last dot.
pub(crate) fn host_name(host: &str) -> Option<&str> {
    if host.is_empty() {
        return Some(host);
    }
    if host.contains("..") || host.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'/') {
        return None;
    }
    let end = match host.strip_prefix('[').and_then(|literal| literal.find(']')) {
        Some(at) => at + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    Some(name.strip_suffix('.').unwrap_or(name)).filter(|name| !name.is_empty())
}

/// The servers of the address that a request came to: those that listen on it and no others, else those that listen on
/// any. Where the address is not known, those on any, else those of the first address of that port.
fn listening<'a>(
    config: &'a GatewayConfig,
    request: &Request<'_>,
) -> impl Iterator<Item = (usize, &'a Server)> + Clone {
    let port = request.port;
    let of_port = config.servers.iter().enumerate().filter(move |(_, server)| server.port == port);
    let has = |address: Option<IpAddr>| of_port.clone().any(|(_, server)| server.address == address);
    let address = match request.local {
        Some(local) if has(Some(local)) => Some(local),
        Some(_) => None,
        None if has(None) => None,
        None => of_port.clone().next().and_then(|(_, server)| server.address),
    };
    of_port.filter(move |(_, server)| server.address == address)
}

fn default_server(config: &GatewayConfig, request: &Request<'_>) -> Option<usize> {
    let servers = listening(config, request);
    servers.clone().find(|(_, s)| s.default).or_else(|| servers.clone().next()).map(|(index, _)| index)
}

fn named_server(config: &GatewayConfig, request: &Request<'_>, host: &str) -> Option<(usize, Captures)> {
    if host.is_empty() {
        return None;
    }
    let servers = listening(config, request);
    let exact = || servers.clone().find(|(_, s)| s.names.iter().any(|name| name.eq_ignore_ascii_case(host)));
    let wildcard = |leading: bool| {
        let is = |name: &str| if leading { name.starts_with("*.") } else { name.ends_with(".*") };
        let fits = |name: &&String| is(name) && wildcard_matches(name, host);
        let longest = |names: &[String]| names.iter().filter(fits).map(String::len).max();
        let found = servers.clone().filter_map(|(i, s)| Some((longest(&s.names)?, (i, s))));
        // Of two servers with one name the first has it.
        found.reduce(|best, other| if other.0 > best.0 { other } else { best }).map(|(_, server)| server)
    };
    if let Some((index, _)) = exact().or_else(|| wildcard(true)).or_else(|| wildcard(false)) {
        return Some((index, Captures::default()));
    }
    let lower = host.to_ascii_lowercase();
    servers.clone().find_map(|(index, server)| {
        Some((index, server.patterns.iter().find_map(|pattern| pattern.captures(lower.as_bytes()))?))
    })
}

/// `*.suffix`, `.suffix` or `prefix.*`.
pub(crate) fn wildcard_matches(name: &str, host: &str) -> bool {
    if let Some(prefix) = name.strip_suffix('*') {
        return host.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    }
    let suffix = name.strip_prefix('*').unwrap_or(name);
    // `.example.org` itself matches, odd as it is.
    let at = host.len().checked_sub(suffix.len());
    let ends = at.is_some_and(|at| host.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes()));
    ends || (name.starts_with('.') && host.eq_ignore_ascii_case(&name[1..]))
}

/// The target that the upstream sees: with a URI in `proxy_pass`, it replaces the matched prefix of the decoded path,
/// and the rest is escaped again if the client had escaped anything (`ngx_http_proxy_create_request`). Without one,
/// the client's own bytes.
pub fn rewrite(matches: &LocationMatch, uri: Option<&str>, target: &str) -> String {
    let (Some(uri), Some(parsed)) = (uri, path::parse(target, true)) else { return target.to_owned() };
    let rest = parsed.path.get(matches.path().map_or(0, str::len)..).unwrap_or_default();
    let rest = if parsed.quoted { path::escape(rest) } else { String::from_utf8_lossy(rest).into_owned() };
    let mark = if parsed.query.is_empty() { "" } else { "?" };
    format!("{uri}{rest}{mark}{}", parsed.query)
}

#[cfg(test)]
mod tests;
