//! Regular expressions and templates with variables, compiled once when the configuration is read.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A regular expression as nginx has it compiled by PCRE: bytes, no Unicode, ASCII letters alone change their case.
///
/// Every byte stands for the character of the same number, so `.` takes one byte of `é` as PCRE does. Look-around and
/// back references work. Two patterns are equal if their text and their flag are.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    ignore_case: bool,
    compiled: Arc<fancy_regex::Regex>,
}

/// Steps of back-tracking before a match is given up as none: far beyond any path of a request.
const BACKTRACK_MAX: usize = 100_000;
/// Memory of one compiled expression, bytes.
const COMPILED_MAX: usize = 1 << 20;

impl Pattern {
    /// Compiles an expression; the error says why it is none.
    pub fn new(text: &str, ignore_case: bool) -> Result<Self, String> {
        let bytes = latin(text.as_bytes());
        let compiled = fancy_regex::RegexBuilder::new(&bytes)
            .case_insensitive(ignore_case)
            .backtrack_limit(BACKTRACK_MAX)
            .delegate_size_limit(COMPILED_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), ignore_case, compiled: Arc::new(compiled) })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `~*`.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether it is found anywhere in these bytes.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.compiled.is_match(&latin(bytes)).unwrap_or(false)
    }

    /// What its groups took: the whole match first. `None`: no match.
    pub fn captures(&self, bytes: &[u8]) -> Option<Captures> {
        let text = latin(bytes);
        let found = self.compiled.captures(&text).ok()??;
        let group = |group: Option<fancy_regex::Match<'_>>| group.map(|group| bytes_of(group.as_str()));
        let groups = (0..found.len()).map(|at| group(found.get(at))).collect();
        let named = self.compiled.capture_names().flatten();
        let names = named.filter_map(|name| Some((name.to_owned(), group(found.name(name))?))).collect();
        Some(Captures { groups, names })
    }

    /// Names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.compiled.capture_names().flatten()
    }
}

/// What the groups of a [`Pattern`] took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// `$0` (the whole), `$1`, …; `None` where a group took no part.
    pub groups: Vec<Option<Vec<u8>>>,
    /// Named groups that took part.
    pub names: BTreeMap<String, Vec<u8>>,
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes_of(text: &str) -> Vec<u8> {
    // Every character came from one byte.
    text.chars().map(|c| c as u32 as u8).collect()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.ignore_case) == (&other.text, other.ignore_case)
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.ignore_case { "~*" } else { "~" }, self.text)
    }
}

/// Text with variables in it, such as `$http_x_api_key$server_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// As it was written.
    pub text: String,
    /// Its parts in order.
    pub parts: Vec<Part>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Stands for itself.
    Text(String),
    /// Is looked up.
    Variable(Variable),
}

/// A variable that the rules know. Names are nginx's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$remote_addr`: the client after `real_ip`.
    RemoteAddr,
    /// `$binary_remote_addr`.
    BinaryRemoteAddr,
    /// `$realip_remote_addr`: the peer of the connection.
    PeerAddr,
    /// `$host`: lower case, without port; the server's name without a `Host`.
    Host,
    /// `$server_name`: the first name of the server.
    ServerName,
    /// `$server_port`.
    ServerPort,
    /// `$scheme`.
    Scheme,
    /// `$https`: `on` or empty.
    Https,
    /// `$request_method`.
    Method,
    /// `$request_uri`: as the client sent it.
    RequestUri,
    /// `$uri`, `$document_uri`: decoded, as rewritten.
    Uri,
    /// `$args`, `$query_string`.
    Args,
    /// `$is_args`: `?` or empty.
    IsArgs,
    /// `$arg_NAME`.
    Arg(String),
    /// `$http_NAME`, in lower case with `-`.
    Header(String),
    /// `$cookie_NAME`.
    Cookie(String),
    /// `$content_length`.
    ContentLength,
    /// `$proxy_add_x_forwarded_for`.
    ForwardedFor,
    /// `$1` to `$9`.
    Group(u8),
    /// Of a `map` or `geo`: index into [`GatewayConfig::maps`](super::GatewayConfig::maps).
    Map(u16),
    /// Set by `set`, or a named group.
    Named(String),
    /// What the rules cannot know, such as `$upstream_addr`: empty.
    Unknown(String),
}

impl Template {
    /// Text without variables.
    pub fn constant(text: &str) -> Self {
        let parts = if text.is_empty() { vec![] } else { vec![Part::Text(text.to_owned())] };
        Self { text: text.to_owned(), parts }
    }

    /// Its text, if it has no variables.
    pub fn as_constant(&self) -> Option<&str> {
        self.parts.iter().all(|part| matches!(part, Part::Text(_))).then_some(self.text.as_str())
    }

    /// Its variables in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }
}

/// A block of addresses: `10.0.0.0/8`, one address, or everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
}

impl Network {
    /// Whether an address lies in it. An IPv4 address in IPv6's form counts as IPv4, as nginx has it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits.min(32));
                let cut = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
                cut(network.to_bits()) == cut(address.to_bits())
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits.min(128));
                let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
                cut(network.to_bits()) == cut(address.to_bits())
            }
            _ => false,
        }
    }
}

/// `map` or `geo`: a variable made from another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// The name it defines, without `$`.
    pub variable: String,
    /// What is looked up.
    pub source: Template,
    /// `default`, else empty.
    pub default: Template,
    /// By the whole value, in lower case.
    pub exact: BTreeMap<String, Template>,
    /// `*.suffix` and `prefix.*`, where the map says `hostnames`.
    pub wildcards: Vec<(String, Template)>,
    /// Regular expressions in the order of the file.
    pub patterns: Vec<(Pattern, Template)>,
    /// Blocks of addresses, where it is a `geo`: the narrowest wins.
    pub networks: Vec<(Network, Template)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_see_bytes() {
        for (case, text, ignore_case, subject, want) in [
            ("anywhere", "b+", false, b"abbc".as_slice(), true),
            ("case counts", "^/A", false, b"/a", false),
            ("or does not", "^/A", true, b"/a", true),
            ("a look ahead", "^/(?!api/)", false, b"/api/x", false),
            ("a byte that is no text", "^/.$", false, b"/\xff", true),
            ("two bytes are two", "^/.$", false, "/é".as_bytes(), false),
            ("written as two bytes", "^/é$", false, "/é".as_bytes(), true),
        ] {
            assert_eq!(Pattern::new(text, ignore_case).unwrap().is_match(subject), want, "{case}");
        }
        assert!(Pattern::new("(", false).is_err());
        let groups = Pattern::new("^/(?<name>[a-z]+)/(x)?", false).unwrap().captures(b"/ab/").unwrap();
        assert_eq!(groups.groups, [Some(b"/ab/".to_vec()), Some(b"ab".to_vec()), None]);
        assert_eq!(groups.names["name"], b"ab");
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, bits, address, want) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("0.0.0.0", 0, "1.2.3.4", true),
            ("10.0.0.1", 32, "::ffff:10.0.0.1", true),
            ("2001:db8::", 32, "2001:db8:1::1", true),
            ("::", 0, "1.2.3.4", false),
        ] {
            let network = Network { address: network.parse().unwrap(), bits };
            assert_eq!(network.contains(address.parse().unwrap()), want, "{address} in {network:?}");
        }
    }
}
