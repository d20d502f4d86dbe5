//! Locations: which paths they take and what answers there.

use platform::{Action, GatewayConfig, Location, LocationMatch, Upstream, UpstreamId, UpstreamServer};
use units::Nanos;

use super::settings::{self, Settings};
use super::tree::Directive;
use super::{NginxError, Reader, http};

/// Handlers of content that a rehearsal has none of.
const OTHER_CONTENT: [&str; 10] = [
    "root",
    "alias",
    "try_files",
    "index",
    "fastcgi_pass",
    "uwsgi_pass",
    "scgi_pass",
    "grpc_pass",
    "memcached_pass",
    "empty_gif",
];

/// `None` for a named location, which only internal redirects reach.
pub(super) fn location(
    reader: &mut Reader<'_>,
    directive: &Directive,
    block: &[Directive],
    outer: &Settings,
    config: &mut GatewayConfig,
    explicit: usize,
) -> Result<Option<Location>, NginxError> {
    let Some(matches) = matches(reader, directive)? else {
        reader.leave(directive);
        return Ok(None);
    };
    let settings = outer.level(reader, &config.zones, block)?;
    let mut answer = None;
    let mut content = None;
    for inner in block {
        match (inner.name.as_str(), &inner.block) {
            // The first return wins: the rewrite phase stops there.
            ("return", None) if answer.is_none() => answer = Some(answer_of(reader, inner)?),
            ("proxy_pass" | "stub_status", None) if content.is_some() => {
                return Err(reader.refused(inner, "something else answers at this location already", "keep one"));
            }
            ("proxy_pass", None) => content = Some(proxy(reader, inner, config, explicit)?),
            ("stub_status", None) => content = Some(Action::StubStatus),
            ("location", Some(_)) => {
                return Err(reader.unsupported(inner, "a location inside a location", "write it beside the other one"));
            }
            ("if" | "rewrite" | "limit_except", _) => {
                let what = format!("`{}`", inner.name);
                return Err(reader.unsupported(inner, &what, "use locations with return or proxy_pass"));
            }
            (name, _) if OTHER_CONTENT.contains(&name) => {
                return Err(reader.unsupported(inner, &format!("`{name}`"), "use return, proxy_pass or stub_status"));
            }
            _ if settings::owns(inner) => {}
            _ => reader.leave(inner),
        }
    }
    let Some(action) = answer.or(content) else {
        let what = "a location that serves files (it has neither return, proxy_pass nor stub_status)";
        return Err(reader.unsupported(directive, what, "say what answers there"));
    };
    Ok(Some(made(reader, directive, matches, action, settings)))
}

/// The `return` of a server, as the one location that takes every path.
pub(super) fn server_return(
    reader: &mut Reader<'_>,
    directive: &Directive,
    settings: &Settings,
) -> Result<Location, NginxError> {
    let action = answer_of(reader, directive)?;
    Ok(made(reader, directive, LocationMatch::Prefix("/".to_owned()), action, settings.clone()))
}

fn made(
    reader: &Reader<'_>,
    directive: &Directive,
    matches: LocationMatch,
    action: Action,
    settings: Settings,
) -> Location {
    Location {
        matches,
        limits: settings.limits,
        limit_status: settings.limit_status,
        action,
        connect_timeout: settings.connect_timeout,
        read_timeout: settings.read_timeout,
        send_timeout: settings.send_timeout,
        buffering: settings.buffering,
        max_body: settings.max_body,
        headers: settings.headers,
        place: reader.place(directive),
    }
}

/// The modifier may be glued to the path: `=/`. Without regular expressions `^~` is a plain prefix.
fn matches(reader: &Reader<'_>, directive: &Directive) -> Result<Option<LocationMatch>, NginxError> {
    let (modifier, path) = match directive.args.as_slice() {
        [path] => {
            let glued = ["=", "^~", "~*", "~", "@"].into_iter().find(|modifier| path.starts_with(modifier));
            let modifier = glued.unwrap_or_default();
            (modifier, &path[modifier.len()..])
        }
        [modifier, path] => (modifier.as_str(), path.as_str()),
        _ => return Err(reader.refused(directive, "takes a modifier and a path", "write location /path/ or = /path")),
    };
    match modifier {
        "" | "^~" => Ok(Some(LocationMatch::Prefix(path.to_owned()))),
        "=" => Ok(Some(LocationMatch::Exact(path.to_owned()))),
        "@" => Ok(None),
        "~" | "~*" => {
            let what = format!("the regular expression `{path}` as a location");
            Err(reader.unsupported(directive, &what, "write a prefix, or = for one path"))
        }
        other => Err(reader.refused(directive, &format!("`{other}` is no modifier"), "write =, ^~ or none")),
    }
}

/// `return STATUS [TEXT]`, or `return URL`, which is a 302.
fn answer_of(reader: &mut Reader<'_>, directive: &Directive) -> Result<Action, NginxError> {
    let (status, body) = match directive.args.as_slice() {
        [url] if ["http://", "https://", "$scheme"].iter().any(|start| url.starts_with(start)) => (302, url.clone()),
        [status] => (reader.number(directive, status, 100)?, String::new()),
        [status, body] => (reader.number(directive, status, 100)?, body.clone()),
        _ => return Err(reader.refused(directive, "takes a status and a text", "write e.g. return 200 \"ok\"")),
    };
    let status = u16::try_from(status)
        .ok()
        .filter(|status| *status <= 999)
        .ok_or_else(|| reader.refused(directive, &format!("{status} is no status"), "write 100 to 999"))?;
    if body.contains('$') {
        reader.leave(directive); // Its variables stay as they are written.
    }
    Ok(Action::Return { status, body })
}

/// `proxy_pass http://UPSTREAM[URI]`; a host that no upstream is named after becomes one of its own.
fn proxy(
    reader: &Reader<'_>,
    directive: &Directive,
    config: &mut GatewayConfig,
    explicit: usize,
) -> Result<Action, NginxError> {
    let url = reader.one(directive)?;
    let plain = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &url[7..]);
    let Some(rest) = plain.filter(|rest| !rest.contains('$')) else {
        let what = format!("`proxy_pass {url}`");
        return Err(reader.unsupported(
            directive,
            &what,
            "write http://UPSTREAM or http://HOST:PORT without variables",
        ));
    };
    let (address, uri) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = http::host_port(reader, directive, address)?;
    let known = config.upstreams[..explicit].iter().position(|upstream| upstream.name.eq_ignore_ascii_case(&host));
    let name = address.to_ascii_lowercase();
    let index = match known {
        Some(_) if address.contains(':') => {
            let problem = format!("the upstream `{host}` has ports of its own");
            return Err(reader.refused(directive, &problem, "leave the port out"));
        }
        Some(index) => index,
        None => config.upstreams.iter().position(|upstream| upstream.name == name).unwrap_or_else(|| {
            let server = UpstreamServer { host, port, max_fails: 1, fail_timeout: Nanos::from_secs(10) };
            let place = reader.place(directive);
            config.upstreams.push(Upstream { name, servers: vec![server], least_conn: false, place });
            config.upstreams.len() - 1
        }),
    };
    let uri = Some(uri).filter(|uri| !uri.is_empty()).map(str::to_owned);
    Ok(Action::Proxy { upstream: UpstreamId(index as u16), uri })
}
