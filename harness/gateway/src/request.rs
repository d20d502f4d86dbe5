//! A request as nginx sees it, and the variables that come of it.

use std::net::{IpAddr, Ipv4Addr};

use platform::{Captures, GatewayConfig, LimitKey, Map, Part, RealIp, RealIpHeader, Server, Template, Variable};

use crate::Key;

/// Headers of a request.
pub trait Headers: Sync {
    /// The value of the header with this name in lower case; several are joined by `, `.
    fn header(&self, name: &str) -> Option<String>;
}

/// No headers.
impl Headers for () {
    fn header(&self, _: &str) -> Option<String> {
        None
    }
}

impl Headers for Vec<(String, String)> {
    fn header(&self, name: &str) -> Option<String> {
        let mut values = self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let first = values.next()?.to_owned();
        Some(values.fold(first, |all, value| all + ", " + value))
    }
}

/// A request before anything is decided about it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The peer of the connection.
    pub peer: IpAddr,
    /// The port that it came to.
    pub port: u16,
    /// The address that it came to, if that is known.
    pub local: Option<IpAddr>,
    /// The connection is TLS.
    pub tls: bool,
    /// `Host`, as sent; empty without one.
    pub host: &'a str,
    /// Method.
    pub method: &'a str,
    /// Path and query, as sent.
    pub target: &'a str,
    /// The other headers.
    pub headers: &'a dyn Headers,
    /// Size of the body, if it was told beforehand.
    pub body: Option<u64>,
}

impl<'a> Request<'a> {
    /// A GET from nowhere, without headers and body.
    pub const fn new(port: u16, host: &'a str, target: &'a str) -> Self {
        let peer = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self { peer, port, local: None, tls: false, host, method: "GET", target, headers: &(), body: None }
    }
}

/// Whose request it is after `real_ip` (`ngx_http_get_forwarded_addr_internal`): the last address of the header, if the
/// peer is believed; recursively the last one that is not.
pub fn real_ip(rule: &RealIp, peer: IpAddr, headers: &dyn Headers) -> IpAddr {
    let trusted = |address: IpAddr| rule.trusted.iter().any(|network| network.contains(address));
    if !trusted(peer) {
        return peer;
    }
    let value = match &rule.header {
        RealIpHeader::RealIp => headers.header("x-real-ip"),
        RealIpHeader::ForwardedFor => headers.header("x-forwarded-for"),
        RealIpHeader::Other(name) => headers.header(name),
        RealIpHeader::ProxyProtocol => None,
    };
    let Some(value) = value else { return peer };
    let mut client = peer;
    for text in value.rsplit([' ', ',']).filter(|text| !text.is_empty()) {
        // `10.0.0.1`, `10.0.0.1:80`, `[::1]:80`
        let parsed = text.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()));
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let Some(address) = parsed.or_else(|| bare?.parse().ok()) else { break };
        client = address;
        if !rule.recursive || !trusted(client) {
            break;
        }
    }
    client
}

/// Where variables are looked up.
pub(crate) struct Scope<'a> {
    pub(crate) config: &'a GatewayConfig,
    pub(crate) request: &'a Request<'a>,
    pub(crate) server: Option<&'a Server>,
    pub(crate) client: IpAddr,
    /// The decoded path as it is now.
    pub(crate) uri: &'a [u8],
    pub(crate) args: &'a [u8],
    pub(crate) captures: &'a Captures,
    pub(crate) named: &'a [(String, Vec<u8>)],
}

/// Maps that need maps: more is a circle.
const DEPTH_MAX: u32 = 8;

impl Scope<'_> {
    pub(crate) fn value(&self, template: &Template) -> Vec<u8> {
        self.at_depth(template, 0)
    }

    /// The key of a limit; `None` if it is empty, and the request not limited.
    pub(crate) fn key(&self, key: &LimitKey) -> Option<Key> {
        match key {
            LimitKey::Peer => Some(Key::of(self.client)),
            LimitKey::Value(template) => {
                Some(self.value(template)).filter(|value| !value.is_empty()).map(|value| Key::of_bytes(&value))
            }
        }
    }

    fn at_depth(&self, template: &Template, depth: u32) -> Vec<u8> {
        let mut value = Vec::new();
        for part in &template.parts {
            match part {
                Part::Text(text) => value.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => value.extend(self.variable(variable, depth)),
            }
        }
        value
    }

    fn variable(&self, variable: &Variable, depth: u32) -> Vec<u8> {
        let header = |name: &str| match name {
            "host" => Some(self.request.host.to_owned()).filter(|host| !host.is_empty()),
            name => self.request.headers.header(name),
        };
        let text = |text: String| text.into_bytes();
        match variable {
            Variable::RemoteAddr => text(self.client.to_string()),
            Variable::BinaryRemoteAddr => match self.client {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            },
            Variable::PeerAddr => text(self.request.peer.to_string()),
            Variable::Host => match crate::route::host_name(self.request.host).filter(|host| !host.is_empty()) {
                Some(host) => text(host.to_ascii_lowercase()),
                None => self.variable(&Variable::ServerName, depth),
            },
            Variable::ServerName => text(self.server.and_then(server_name).unwrap_or_default()),
            Variable::ServerPort => text(self.request.port.to_string()),
            Variable::Scheme => text(if self.request.tls { "https" } else { "http" }.to_owned()),
            Variable::Https => text(if self.request.tls { "on".to_owned() } else { String::new() }),
            Variable::Method => text(self.request.method.to_owned()),
            Variable::RequestUri => text(self.request.target.to_owned()),
            Variable::Uri => self.uri.to_vec(),
            Variable::Args => self.args.to_vec(),
            Variable::IsArgs => {
                if self.args.is_empty() {
                    vec![]
                } else {
                    b"?".to_vec()
                }
            }
            Variable::Arg(name) => argument(self.args, name.as_bytes()),
            Variable::Header(name) => text(header(name).unwrap_or_default()),
            Variable::Cookie(name) => text(cookie(&header("cookie").unwrap_or_default(), name)),
            Variable::ContentLength => text(self.request.body.map(|body| body.to_string()).unwrap_or_default()),
            Variable::ForwardedFor => match header("x-forwarded-for") {
                Some(before) => text(format!("{before}, {}", self.client)),
                None => text(self.client.to_string()),
            },
            Variable::Group(at) => self.captures.groups.get(usize::from(*at)).cloned().flatten().unwrap_or_default(),
            Variable::Named(name) => {
                let set = self.named.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                set.or_else(|| self.captures.names.get(name).cloned()).unwrap_or_default()
            }
            Variable::Map(at) => match self.config.maps.get(usize::from(*at)) {
                Some(map) if depth < DEPTH_MAX => self.mapped(map, depth + 1),
                _ => vec![],
            },
            Variable::Unknown(_) => vec![],
        }
    }

    fn mapped(&self, map: &Map, depth: u32) -> Vec<u8> {
        let source = self.at_depth(&map.source, depth);
        if !map.networks.is_empty() {
            let address = match map.source.parts.as_slice() {
                [Part::Variable(Variable::RemoteAddr)] => Some(self.client),
                _ => std::str::from_utf8(&source).ok().and_then(|text| text.parse().ok()),
            };
            // An address that cannot be read counts as 255.255.255.255.
            let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST));
            let found = map.networks.iter().find(|(network, _)| network.contains(address));
            return self.at_depth(found.map_or(&map.default, |(_, value)| value), depth);
        }
        let text = String::from_utf8_lossy(&source).to_ascii_lowercase();
        if let Some(value) = map.exact.get(&text) {
            return self.at_depth(value, depth);
        }
        let fits = |starts: bool| {
            let fits = |(name, _): &&(String, Template)| {
                name.starts_with(['*', '.']) == starts && crate::route::wildcard_matches(name, &text)
            };
            map.wildcards.iter().filter(fits).max_by_key(|(name, _)| name.len())
        };
        if let Some((_, value)) = fits(true).or_else(|| fits(false)) {
            return self.at_depth(value, depth);
        }
        for (pattern, value) in &map.patterns {
            if let Some(captures) = pattern.captures(&source) {
                let inner = Scope { captures: &captures, ..*self };
                return inner.at_depth(value, depth);
            }
        }
        self.at_depth(&map.default, depth)
    }
}

/// `$server_name`: the first one.
pub(crate) fn server_name(server: &Server) -> Option<String> {
    server.names.first().cloned().or_else(|| Some(format!("~{}", server.patterns.first()?.text())))
}

fn argument(args: &[u8], name: &[u8]) -> Vec<u8> {
    let named = |pair: &&[u8]| pair.get(name.len()) == Some(&b'=') && pair[..name.len()].eq_ignore_ascii_case(name);
    args.split(|byte| *byte == b'&').find(named).map(|pair| pair[name.len() + 1..].to_vec()).unwrap_or_default()
}

fn cookie(cookies: &str, name: &str) -> String {
    let named =
        |pair: &str| pair.trim_start().split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v.to_owned());
    cookies.split([';', ',']).find_map(named).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Network;

    #[test]
    fn believes_whom_it_is_told_to() {
        let network = |text: &str, bits| Network { address: text.parse().unwrap(), bits };
        let rule = |recursive| RealIp {
            trusted: vec![network("10.0.0.0", 8), network("192.168.0.1", 32)],
            header: RealIpHeader::ForwardedFor,
            recursive,
        };
        for (case, recursive, peer, header, want) in [
            ("a stranger's header is ignored", false, "1.1.1.1", "9.9.9.9", "1.1.1.1"),
            ("a believed one's last address counts", false, "10.0.0.1", "9.9.9.9, 8.8.8.8", "8.8.8.8"),
            ("also if it is believed itself", false, "10.0.0.1", "9.9.9.9, 10.2.2.2", "10.2.2.2"),
            ("recursively the last that is not", true, "10.0.0.1", "7.7.7.7, 9.9.9.9, 10.2.2.2", "9.9.9.9"),
            ("or the first if all are", true, "10.0.0.1", "192.168.0.1, 10.2.2.2", "192.168.0.1"),
            ("with a port", false, "10.0.0.1", "9.9.9.9:1234", "9.9.9.9"),
            ("no address", false, "10.0.0.1", "unknown", "10.0.0.1"),
            ("no address further left", true, "10.0.0.1", "unknown, 10.2.2.2", "10.2.2.2"),
        ] {
            let headers = vec![("X-Forwarded-For".to_owned(), header.to_owned())];
            let got = real_ip(&rule(recursive), peer.parse().unwrap(), &headers);
            assert_eq!(got.to_string(), want, "{case}");
        }
    }
}
