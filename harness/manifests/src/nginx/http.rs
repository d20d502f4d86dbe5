//! The `http` block: zones, upstreams, servers.

use platform::{ClientAddress, GatewayConfig, LimitZone, Server, Upstream, UpstreamServer};
use units::{Nanos, Rate};

use super::settings::{self, Settings};
use super::tree::Directive;
use super::{NginxError, Reader, location};

/// nginx's default of `keepalive_timeout`.
const KEEPALIVE: Nanos = Nanos::from_secs(75);

pub(super) fn http(reader: &mut Reader<'_>, block: &[Directive]) -> Result<GatewayConfig, NginxError> {
    let mut config = GatewayConfig { keepalive_timeout: KEEPALIVE, ..GatewayConfig::default() };
    // Zones and upstreams may stand below their first use, so they are read first.
    let mut servers = Vec::new();
    for directive in block {
        match (directive.name.as_str(), &directive.block) {
            ("limit_req_zone", None) => {
                let zone = zone(reader, directive)?;
                if config.zones.iter().any(|other| other.name == zone.name) {
                    let problem = format!("there is a zone `{}` already", zone.name);
                    return Err(reader.refused(directive, &problem, "name it otherwise"));
                }
                config.zones.push(zone);
            }
            ("upstream", Some(inner)) => {
                let upstream = upstream(reader, directive, inner)?;
                if config.upstreams.iter().any(|other| other.name == upstream.name) {
                    let problem = format!("there is an upstream `{}` already", upstream.name);
                    return Err(reader.refused(directive, &problem, "name it otherwise"));
                }
                config.upstreams.push(upstream);
            }
            ("server", Some(inner)) => servers.push((directive, inner)),
            // A second argument only sets a header.
            ("keepalive_timeout", None) => {
                let first = directive.args.first().map_or("", String::as_str);
                config.keepalive_timeout = reader.time(directive, first)?;
            }
            _ if settings::owns(directive) => {}
            _ => reader.leave(directive),
        }
    }
    let settings = Settings::default().level(reader, &config.zones, block)?;
    let explicit = config.upstreams.len();
    for (directive, inner) in servers {
        server(reader, directive, inner, &settings, &mut config, explicit)?;
    }
    Ok(config)
}

/// `limit_req_zone KEY zone=NAME:SIZE rate=RATE`; without a rate it is 1 r/s.
fn zone(reader: &Reader<'_>, directive: &Directive) -> Result<LimitZone, NginxError> {
    let Some((key, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no key", "write $binary_remote_addr zone=NAME:10m rate=10r/s"));
    };
    if !matches!(key.as_str(), "$binary_remote_addr" | "$remote_addr") {
        let what = format!("the limit key `{key}`");
        return Err(reader.unsupported(directive, &what, "use $binary_remote_addr or $remote_addr"));
    }
    let mut named = None;
    let mut rate = Rate::per_second(1);
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("zone", zone)) => named = zone.split_once(':').filter(|(name, _)| !name.is_empty()),
            Some(("rate", text)) => rate = reader.rate(directive, text)?,
            _ => {
                let problem = format!("has no parameter `{parameter}`");
                return Err(reader.refused(directive, &problem, "write zone=NAME:SIZE rate=RATE"));
            }
        }
    }
    let Some((name, size)) = named else {
        return Err(reader.refused(directive, "names no zone with a size", "write zone=NAME:SIZE, e.g. zone=api:10m"));
    };
    let size = reader.zone_size(directive, size)?;
    Ok(LimitZone { name: name.to_owned(), key: ClientAddress::Peer, rate, size, place: reader.place(directive) })
}

fn upstream(reader: &mut Reader<'_>, directive: &Directive, block: &[Directive]) -> Result<Upstream, NginxError> {
    let name = reader.one(directive)?.to_owned();
    let mut upstream = Upstream { name, servers: Vec::new(), least_conn: false, place: reader.place(directive) };
    for inner in block {
        match inner.name.as_str() {
            "server" => upstream.servers.push(upstream_server(reader, inner)?),
            "least_conn" => upstream.least_conn = true,
            "ip_hash" | "hash" | "random" | "sticky" | "least_time" => {
                let what = format!("balancing by `{}`", inner.name);
                return Err(reader.unsupported(inner, &what, "use least_conn, or round robin by saying nothing"));
            }
            _ => reader.leave(inner),
        }
    }
    if upstream.servers.is_empty() {
        return Err(reader.refused(directive, "has no server", "add server HOST:PORT"));
    }
    Ok(upstream)
}

/// `server HOST[:PORT] [max_fails=N] [fail_timeout=TIME]`.
fn upstream_server(reader: &Reader<'_>, directive: &Directive) -> Result<UpstreamServer, NginxError> {
    let Some((address, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no host", "write HOST:PORT"));
    };
    let (host, port) = host_port(reader, directive, address)?;
    let mut server = UpstreamServer { host, port, max_fails: 1, fail_timeout: Nanos::from_secs(10) };
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("max_fails", count)) => server.max_fails = reader.number(directive, count, 0)?,
            Some(("fail_timeout", time)) => server.fail_timeout = reader.time(directive, time)?,
            Some(("weight", "1") | ("max_conns", "0")) => {}
            _ => {
                let what = format!("the parameter `{parameter}` of an upstream's server");
                return Err(reader.unsupported(directive, &what, "use max_fails and fail_timeout only"));
            }
        }
    }
    Ok(server)
}

/// `HOST[:PORT]`, port 80 by default.
pub(super) fn host_port(
    reader: &Reader<'_>,
    directive: &Directive,
    address: &str,
) -> Result<(String, u16), NginxError> {
    if address.contains('$') || address.starts_with("unix:") || address.starts_with('[') {
        let what = format!("the address `{address}`");
        return Err(reader.unsupported(directive, &what, "write the name of a Service, e.g. auth-service:80"));
    }
    let (host, port) = address.split_once(':').map_or((address, "80"), |(host, port)| (host, port));
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(reader.refused(directive, &format!("`{address}` names no host"), "write HOST or HOST:PORT"));
    }
    let port = reader.number(directive, port, 1).ok().and_then(|port| u16::try_from(port).ok());
    let port =
        port.ok_or_else(|| reader.refused(directive, &format!("`{address}` has no such port"), "write 1 to 65535"))?;
    Ok((host.to_ascii_lowercase(), port))
}

fn server(
    reader: &mut Reader<'_>,
    directive: &Directive,
    block: &[Directive],
    outer: &Settings,
    config: &mut GatewayConfig,
    explicit: usize,
) -> Result<(), NginxError> {
    let settings = outer.level(reader, &config.zones, block)?;
    let mut listens: Vec<(u16, bool)> = Vec::new();
    let mut names = Vec::new();
    let mut locations: Vec<platform::Location> = Vec::new();
    let mut answer = None;
    for inner in block {
        match (inner.name.as_str(), &inner.block) {
            ("listen", None) => {
                let (port, default) = listen(reader, inner)?;
                match listens.iter_mut().find(|(known, _)| *known == port) {
                    Some(known) => known.1 |= default,
                    None => listens.push((port, default)),
                }
            }
            ("server_name", None) => {
                for name in &inner.args {
                    names.extend(server_name(reader, inner, name)?);
                }
            }
            ("location", Some(inside)) => {
                let Some(found) = location::location(reader, inner, inside, &settings, config, explicit)? else {
                    continue;
                };
                if locations.iter().any(|other| other.matches == found.matches) {
                    return Err(reader.refused(inner, "the same location stands in this server already", "keep one"));
                }
                locations.push(found);
            }
            // The rewrite phase of a server comes before any location is looked for.
            ("return", None) if answer.is_none() => answer = Some(location::server_return(reader, inner, &settings)?),
            ("if" | "rewrite" | "try_files", _) => {
                let what = format!("`{}`", inner.name);
                return Err(reader.unsupported(inner, &what, "use locations with return or proxy_pass"));
            }
            _ if settings::owns(inner) => {}
            _ => reader.leave(inner),
        }
    }
    if let Some(answer) = answer {
        locations = vec![answer];
    }
    if listens.is_empty() {
        listens.push((80, false));
    }
    for (port, default) in listens {
        if default && config.servers.iter().any(|other| other.default && other.port == port) {
            let problem = format!("port {port} has a default server already");
            return Err(reader.refused(directive, &problem, "write default_server once per port"));
        }
        let (names, locations) = (names.clone(), locations.clone());
        config.servers.push(Server { port, default, names, locations, place: reader.place(directive) });
    }
    Ok(())
}

/// The port of a `listen`, and whether it is the default server there.
fn listen(reader: &mut Reader<'_>, directive: &Directive) -> Result<(u16, bool), NginxError> {
    let Some((address, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no port", "write e.g. listen 80"));
    };
    if address.starts_with("unix:") {
        return Err(reader.unsupported(directive, "a socket file", "listen on a port"));
    }
    let default = parameters.iter().any(|p| p == "default_server" || p == "default");
    // Neither TLS nor an address of one interface changes what a rehearsal asks, but both are worth telling.
    let plain = |address: &str| matches!(address, "*" | "0.0.0.0" | "[::]");
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (interface, port) = match address.rsplit_once(':') {
        Some((interface, port)) if digits(port) => (interface, port),
        _ if digits(address) => ("*", address.as_str()),
        _ => (address.as_str(), "80"),
    };
    if !plain(interface) || parameters.len() > usize::from(default) {
        reader.leave(directive);
    }
    let port = reader.number(directive, port, 1)?;
    let port = u16::try_from(port)
        .map_err(|_| reader.refused(directive, &format!("{port} is no port"), "write 1 to 65535"))?;
    Ok((port, default))
}

/// `.example.org` stands for itself and everything below it.
fn server_name(reader: &Reader<'_>, directive: &Directive, name: &str) -> Result<Vec<String>, NginxError> {
    if name.starts_with('~') || name.ends_with(".*") || name.contains('$') {
        let what = format!("the server name `{name}`");
        return Err(reader.unsupported(directive, &what, "write exact names or *.suffix"));
    }
    let name = name.to_ascii_lowercase();
    Ok(match name.strip_prefix('.') {
        Some(rest) => vec![rest.to_owned(), format!("*.{rest}")],
        None => vec![name],
    })
}
