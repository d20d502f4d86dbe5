//! `server` blocks: where they listen, which names they answer to, and their locations.

use std::net::IpAddr;

use platform::{GatewayConfig, Location, RealIp, RealIpHeader, Server};

use super::settings::{self, Settings};
use super::tree::Directive;
use super::{NginxError, Reader, location, rewrite};

/// What `http` hands down.
pub(super) struct Outer {
    pub(super) settings: Settings,
    pub(super) real_ip: RealIp,
    /// How many upstreams have a block of their own.
    pub(super) named: usize,
}

/// Whether a directive is read here, at `http` as at `server`.
pub(super) fn owns(directive: &Directive) -> bool {
    matches!(directive.name.as_str(), "set_real_ip_from" | "real_ip_header" | "real_ip_recursive" | "merge_slashes")
}

/// One address that a server listens on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Listen {
    address: Option<IpAddr>,
    port: u16,
    default: bool,
    tls: bool,
}

pub(super) fn server(
    reader: &mut Reader<'_>,
    directive: &Directive,
    block: &[Directive],
    outer: &Outer,
    config: &mut GatewayConfig,
) -> Result<(), NginxError> {
    reader.named.clear();
    reader.constants.clear();
    let mut made = Server { place: reader.place(directive), ..Server::default() };
    let mut listens: Vec<Listen> = Vec::new();
    for inner in block {
        match (inner.name.as_str(), &inner.block) {
            ("listen", None) => {
                let Some(listen) = listen(reader, inner)? else { continue };
                match listens.iter_mut().find(|l| (l.address, l.port) == (listen.address, listen.port)) {
                    Some(known) => {
                        (known.default, known.tls) = (known.default | listen.default, known.tls | listen.tls);
                    }
                    None => listens.push(listen),
                }
            }
            ("server_name", None) => {
                for name in &inner.args {
                    server_name(reader, inner, name, &mut made)?;
                }
            }
            // One switch for a port, in effect that of its default server.
            ("merge_slashes", None) => made.keeps_slashes = !reader.flag(inner)?,
            ("location" | "return" | "if" | "rewrite" | "set" | "break", _) => {}
            _ if settings::owns(inner) || owns(inner) => {}
            _ => reader.leave(inner),
        }
    }
    let settings = outer.settings.level(reader, config, block)?;
    made.real_ip = real_ip(reader, block, Some(&outer.real_ip))?;
    let (steps, answer) = rewrite::phase(reader, block)?;
    made.rewrites = steps;
    made.outside = settings.0.clone();
    for inner in block {
        if let ("location", Some(inside)) = (inner.name.as_str(), &inner.block) {
            let within = location::Within { settings: &settings, parent: None, outer };
            location::location(reader, inner, inside, &within, config, &mut made.locations)?;
        }
    }
    // The rewrite phase of a server comes before any location is looked for: the rest cannot be reached.
    if let Some((answer, place)) = answer {
        made.locations = vec![Location { action: answer, place, ..settings.0.clone() }];
    }
    if listens.is_empty() {
        listens.push(Listen { address: None, port: 80, default: false, tls: false });
    }
    for Listen { address, port, default, tls } in listens {
        let taken = |other: &Server| other.default && (other.port, other.address) == (port, address);
        if default && config.servers.iter().any(taken) {
            let problem = format!("port {port} has a default server already");
            return Err(reader.refused(directive, &problem, "write default_server once per port"));
        }
        config.servers.push(Server { port, address, default, tls, ..made.clone() });
    }
    Ok(())
}

/// `listen [ADDRESS:]PORT …`; `None` for a socket file, which no client of a rehearsal reaches.
fn listen(reader: &mut Reader<'_>, directive: &Directive) -> Result<Option<Listen>, NginxError> {
    let Some((address, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no port", "write e.g. listen 80"));
    };
    if address.starts_with("unix:") {
        reader.leave(directive);
        return Ok(None);
    }
    let default = parameters.iter().any(|p| p == "default_server" || p == "default");
    let tls = parameters.iter().any(|p| p == "ssl");
    // What else can stand there, such as reuseport, is worth telling.
    if parameters.len() > usize::from(default) + usize::from(tls) {
        reader.leave(directive);
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (interface, port) = match address.rsplit_once(':') {
        Some((interface, port)) if digits(port) => (interface, port),
        _ if digits(address) => ("*", address.as_str()),
        _ => (address.as_str(), "80"),
    };
    let bare = interface.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(interface);
    let address = bare.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified());
    if address.is_none() && !matches!(bare, "*" | "0.0.0.0" | "::") {
        reader.leave(directive); // a name: whichever address it has, its port is ours
    }
    let port = reader.number(directive, port, 1)?;
    let port = u16::try_from(port)
        .map_err(|_| reader.refused(directive, &format!("{port} is no port"), "write 1 to 65535"))?;
    Ok(Some(Listen { address, port, default, tls }))
}

/// `.example.org` stands for itself and everything below it.
fn server_name(
    reader: &mut Reader<'_>,
    directive: &Directive,
    name: &str,
    server: &mut Server,
) -> Result<(), NginxError> {
    if let Some(expression) = name.strip_prefix('~') {
        // Host names are compared in lower case whatever the expression says (`NGX_REGEX_CASELESS` is set where a
        // capital letter is in it).
        let pattern = reader.pattern(directive, expression, expression.bytes().any(|b| b.is_ascii_uppercase()))?;
        server.patterns.push(pattern);
        return Ok(());
    }
    if name.contains('$') {
        reader.leave(directive); // $hostname: the pod's own name
        return Ok(());
    }
    let inner = name.strip_prefix("*.").unwrap_or(name);
    let inner = inner.strip_suffix(".*").unwrap_or(inner);
    if inner.contains('*') || (name.starts_with("*.") && name.ends_with(".*")) {
        let problem = format!("`{name}` is no server name");
        return Err(reader.refused(directive, &problem, "write * only as the first or the last label"));
    }
    let name = name.to_ascii_lowercase();
    match name.strip_prefix('.') {
        Some(rest) => server.names.extend([rest.to_owned(), format!("*.{rest}")]),
        None => server.names.push(name),
    }
    Ok(())
}

/// Who is believed about the client's address, at `http` or `server`.
pub(super) fn real_ip(reader: &Reader<'_>, block: &[Directive], outer: Option<&RealIp>) -> Result<RealIp, NginxError> {
    let mut here = outer.cloned().unwrap_or_default();
    let mut first = true;
    for directive in block {
        match directive.name.as_str() {
            "set_real_ip_from" => {
                let text = reader.one(directive)?;
                if std::mem::take(&mut first) {
                    here.trusted.clear();
                }
                if text != "unix:" {
                    here.trusted.push(reader.network(directive, text)?);
                }
            }
            "real_ip_header" => {
                here.header = match reader.one(directive)?.to_ascii_lowercase().as_str() {
                    "x-real-ip" => RealIpHeader::RealIp,
                    "x-forwarded-for" => RealIpHeader::ForwardedFor,
                    "proxy_protocol" => RealIpHeader::ProxyProtocol,
                    other => RealIpHeader::Other(other.to_owned()),
                };
            }
            "real_ip_recursive" => here.recursive = reader.flag(directive)?,
            _ => {}
        }
    }
    Ok(here)
}
