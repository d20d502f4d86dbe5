//! Locations: which paths they take and what answers there.

use platform::{Action, GatewayConfig, Location, LocationMatch, Upstream, UpstreamId, UpstreamServer};

use super::server::Outer;
use super::settings::{self, Settings};
use super::tree::Directive;
use super::{NginxError, Reader, rewrite, upstream};

/// Handlers of content that a rehearsal has none of.
const OTHER_CONTENT: [&str; 12] = [
    "root",
    "alias",
    "try_files",
    "index",
    "autoindex",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "empty_gif",
    "js_content",
];

/// Where a location stands.
pub(super) struct Within<'a> {
    pub(super) settings: &'a Settings,
    /// The location around it.
    pub(super) parent: Option<u16>,
    pub(super) outer: &'a Outer,
}

/// Reads one location, and those inside it behind it.
pub(super) fn location(
    reader: &mut Reader<'_>,
    directive: &Directive,
    block: &[Directive],
    within: &Within<'_>,
    config: &mut GatewayConfig,
    locations: &mut Vec<Location>,
) -> Result<(), NginxError> {
    let matches = matches(reader, directive)?;
    inside(reader, directive, &matches, within.parent.map(|parent| &locations[usize::from(parent)].matches))?;
    let same = |other: &Location| {
        other.parent == within.parent
            && match (&other.matches, &matches) {
                // `/a` and `^~ /a` are one location.
                (LocationMatch::Exact(a), LocationMatch::Exact(b)) => a == b,
                (LocationMatch::Exact(_) | LocationMatch::Regex(_), _) | (_, LocationMatch::Exact(_)) => false,
                (a, b) => a.path() == b.path() && (a.path().is_some() || a == b),
            }
    };
    if locations.iter().any(same) {
        return Err(reader.refused(directive, "the same location stands in this server already", "keep one"));
    }
    let constants = reader.constants.clone();
    let settings = within.settings.level(reader, config, block)?;
    let (rewrites, answer) = rewrite::phase(reader, block)?;
    let mut content = None;
    let mut other = None;
    for inner in block {
        match (inner.name.as_str(), &inner.block) {
            ("proxy_pass" | "stub_status", None) if content.is_some() => {
                return Err(reader.refused(inner, "something else answers at this location already", "keep one"));
            }
            ("proxy_pass", None) => content = Some(proxy(reader, inner, &matches, config, within.outer.named)?),
            ("stub_status", None) => content = Some(Action::StubStatus),
            ("return" | "if" | "rewrite" | "set" | "break" | "location", _) => {}
            (name, _) if OTHER_CONTENT.contains(&name) => {
                reader.leave(inner);
                if other.is_none() || name.ends_with("_pass") {
                    other = Some(Action::Content { by: inner.name.clone() });
                }
            }
            _ if settings::owns(inner) => {}
            _ => reader.leave(inner),
        }
    }
    let action = answer.map(|(action, _)| action).or(content).or(other);
    let action = action.unwrap_or(Action::Content { by: "root".to_owned() });
    let index = locations.len() as u16;
    let (parent, place) = (within.parent, reader.place(directive));
    locations.push(Location { matches, parent, rewrites, action, place, ..settings.0.clone() });
    let within = Within { settings: &settings, parent: Some(index), outer: within.outer };
    for inner in block {
        if let ("location", Some(inside)) = (inner.name.as_str(), &inner.block) {
            location(reader, inner, inside, &within, config, locations)?;
        }
    }
    reader.constants = constants;
    Ok(())
}

/// What nginx demands of a location inside another one.
fn inside(
    reader: &Reader<'_>,
    directive: &Directive,
    matches: &LocationMatch,
    outer: Option<&LocationMatch>,
) -> Result<(), NginxError> {
    let problem = match (outer, matches) {
        (Some(LocationMatch::Exact(_)), _) => "cannot stand inside an exact location",
        (Some(LocationMatch::Named(_)), _) => "cannot stand inside a named location",
        (Some(_), LocationMatch::Named(_)) => "a named location stands at the level of its server",
        (Some(outer), inner) => match (outer.path(), inner.path()) {
            (Some(outer), Some(inner)) if !inner.starts_with(outer) => "lies outside of the location around it",
            _ => return Ok(()),
        },
        (None, _) => return Ok(()),
    };
    Err(reader.refused(directive, problem, "write it beside the other one"))
}

/// The modifier may be glued to the path: `=/`.
fn matches(reader: &mut Reader<'_>, directive: &Directive) -> Result<LocationMatch, NginxError> {
    let (modifier, path) = match directive.args.as_slice() {
        [path] => {
            let glued = ["=", "^~", "~*", "~", "@"].into_iter().find(|modifier| path.starts_with(modifier));
            let modifier = glued.unwrap_or_default();
            (modifier, &path[modifier.len()..])
        }
        [modifier, path] => (modifier.as_str(), path.as_str()),
        _ => return Err(reader.refused(directive, "takes a modifier and a path", "write location /path/ or = /path")),
    };
    let path = path.to_owned();
    match modifier {
        "" => Ok(LocationMatch::Prefix(path)),
        "^~" => Ok(LocationMatch::PrefixFirst(path)),
        "=" => Ok(LocationMatch::Exact(path)),
        "@" => Ok(LocationMatch::Named(path)),
        "~" | "~*" => Ok(LocationMatch::Regex(reader.pattern(directive, &path, modifier == "~*")?)),
        other => Err(reader.refused(directive, &format!("`{other}` is no modifier"), "write =, ^~, ~, ~* or none")),
    }
}

/// `proxy_pass http://UPSTREAM[URI]`; a host that no upstream is named after becomes one of its own.
fn proxy(
    reader: &mut Reader<'_>,
    directive: &Directive,
    matches: &LocationMatch,
    config: &mut GatewayConfig,
    named: usize,
) -> Result<Action, NginxError> {
    let written = reader.one(directive)?;
    let url = constants_in(written, &reader.constants);
    let variables = written.contains('$');
    let scheme = ["http://", "https://"].iter().find(|scheme| starts_with(&url, scheme));
    let (rest, port) = match scheme {
        Some(scheme) => (&url[scheme.len()..], if scheme.len() == 8 { "443" } else { "80" }),
        None if url.contains('$') => (url.as_str(), "80"),
        None => {
            let problem = format!("`{url}` has no scheme");
            return Err(reader.refused(directive, &problem, "write http://UPSTREAM or http://HOST:PORT"));
        }
    };
    let socket = rest.strip_prefix("unix:").map(|rest| 5 + rest.find(':').unwrap_or(rest.len()));
    let (address, uri) = rest.split_at(socket.unwrap_or_else(|| rest.find(['/', '?']).unwrap_or(rest.len())));
    let uri = if socket.is_some() { uri.trim_start_matches(':') } else { uri };
    // `$host$request_uri` passes on what the client sent.
    let (address, uri) = match (address.strip_suffix("$request_uri"), uri) {
        (Some(address), "") => (address, ""),
        _ => (address, if uri == "$request_uri" { "" } else { uri }),
    };
    let by_name = !matches!(matches, LocationMatch::Regex(_) | LocationMatch::Named(_));
    if !uri.is_empty() && !by_name && !variables {
        let problem = "cannot have a URI at a location given by a regular expression or by a name";
        return Err(reader.refused(directive, problem, "leave the path out, or use rewrite … break"));
    }
    if uri.contains('$') {
        reader.template(directive, uri)?;
    }
    let place = reader.place(directive);
    let known = config.upstreams[..named].iter().position(|upstream| upstream.name.eq_ignore_ascii_case(address));
    let name = address.to_ascii_lowercase();
    let index = if let Some(index) = known {
        index
    } else if address.contains('$') {
        // Whom it names is known at each request only: an upstream whose one host is what was written.
        reader.leave(directive);
        at(config, address, || UpstreamServer { host: address.to_owned(), ..UpstreamServer::default() }, place)
    } else {
        let full = if address.contains(':') { address.to_owned() } else { format!("{address}:{port}") };
        let (host, port) = upstream::host_port(reader, directive, &full)?;
        if config.upstreams[..named].iter().any(|upstream| upstream.name.eq_ignore_ascii_case(&host)) {
            let problem = format!("the upstream `{host}` has ports of its own");
            return Err(reader.refused(directive, &problem, "leave the port out"));
        }
        at(config, &name, || UpstreamServer { host, port, ..UpstreamServer::default() }, place)
    };
    let uri = Some(uri).filter(|uri| !uri.is_empty());
    // Where only a query is given, the path is `/`.
    let uri = uri.map(|uri| if uri.starts_with('?') { format!("/{uri}") } else { uri.to_owned() });
    Ok(Action::Proxy { upstream: UpstreamId(index as u16), uri })
}

/// The upstream of that name, made if there is none.
fn at(
    config: &mut GatewayConfig,
    name: &str,
    server: impl FnOnce() -> UpstreamServer,
    place: platform::Place,
) -> usize {
    config.upstreams.iter().position(|upstream| upstream.name == name).unwrap_or_else(|| {
        let (name, servers) = (name.to_owned(), vec![server()]);
        config.upstreams.push(Upstream { name, servers, place, ..Upstream::default() });
        config.upstreams.len() - 1
    })
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Variables that `set` gave one constant value are that value.
fn constants_in(text: &str, constants: &[(String, String)]) -> String {
    let mut constants: Vec<_> = constants.iter().collect();
    constants.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    constants.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}
