//! `upstream` blocks and the addresses of servers.

use platform::{Balance, Upstream, UpstreamServer};

use super::tree::Directive;
use super::{NginxError, Reader};

/// `upstream NAME { … }`.
pub(super) fn upstream(
    reader: &mut Reader<'_>,
    directive: &Directive,
    block: &[Directive],
) -> Result<Upstream, NginxError> {
    let name = reader.one(directive)?.to_owned();
    let mut upstream = Upstream { name, place: reader.place(directive), ..Upstream::default() };
    let mut balanced = false;
    for inner in block {
        let balance = match inner.name.as_str() {
            "server" => {
                upstream.servers.push(server(reader, inner)?);
                continue;
            }
            "keepalive" => {
                upstream.keepalive = reader.number(inner, inner.args.first().map_or("", String::as_str), 1)?;
                continue;
            }
            "zone" => {
                upstream.shared = true;
                continue;
            }
            "least_conn" => Balance::LeastConn,
            "ip_hash" => Balance::IpHash,
            "random" => {
                let two = inner.args.first().is_some_and(|word| word == "two");
                if inner.args.iter().skip(1).any(|word| word != "least_conn") {
                    reader.leave(inner);
                }
                Balance::Random { two }
            }
            "hash" => match inner.args.as_slice() {
                [key] => Balance::Hash { key: reader.template(inner, key)?, consistent: false },
                [key, word] if word == "consistent" => {
                    Balance::Hash { key: reader.template(inner, key)?, consistent: true }
                }
                _ => return Err(reader.refused(inner, "takes a key and `consistent`", "write hash KEY [consistent]")),
            },
            _ => {
                reader.leave(inner);
                continue;
            }
        };
        if balanced {
            return Err(reader.refused(inner, "another balancing method stands here already", "keep one"));
        }
        balanced = true;
        upstream.balance = balance;
    }
    if upstream.servers.iter().all(|server| server.backup) {
        return Err(reader.refused(directive, "has no server", "add server HOST:PORT"));
    }
    let no_backup = matches!(upstream.balance, Balance::IpHash | Balance::Hash { .. } | Balance::Random { .. });
    if no_backup && upstream.servers.iter().any(|server| server.backup) {
        let problem = "this balancing method does not support `backup`";
        return Err(reader.refused(directive, problem, "leave `backup` out, or use least_conn or round robin"));
    }
    Ok(upstream)
}

/// `server HOST[:PORT] [weight=N] [max_conns=N] [max_fails=N] [fail_timeout=TIME] [backup] [down]`.
fn server(reader: &mut Reader<'_>, directive: &Directive) -> Result<UpstreamServer, NginxError> {
    let Some((address, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no host", "write HOST:PORT"));
    };
    let (host, port) = host_port(reader, directive, address)?;
    let mut server = UpstreamServer { host, port, ..UpstreamServer::default() };
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("weight", count)) => server.weight = reader.number(directive, count, 1)?,
            Some(("max_conns", count)) => server.max_conns = reader.number(directive, count, 0)?,
            Some(("max_fails", count)) => server.max_fails = reader.number(directive, count, 0)?,
            Some(("fail_timeout", time)) => server.fail_timeout = reader.time(directive, time)?,
            None if parameter == "backup" => server.backup = true,
            None if parameter == "down" => server.down = true,
            // Names are resolved by the Service's endpoints here; the rest is of the commercial version.
            Some(("slow_start" | "service" | "route", _)) => reader.leave(directive),
            None if parameter == "resolve" || parameter == "drain" => reader.leave(directive),
            _ => {
                let problem = format!("has no parameter `{parameter}`");
                let fix = "write weight=, max_conns=, max_fails=, fail_timeout=, backup or down";
                return Err(reader.refused(directive, &problem, fix));
            }
        }
    }
    Ok(server)
}

/// `HOST[:PORT]`, port 80 by default; `[::1]:8080` and `unix:PATH`, too.
pub(super) fn host_port(
    reader: &Reader<'_>,
    directive: &Directive,
    address: &str,
) -> Result<(String, u16), NginxError> {
    if address.starts_with("unix:") {
        return Ok((address.to_owned(), 0));
    }
    let split = match address.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => address.split_at(end + 2),
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let (host, port) = (split.0, split.1.strip_prefix(':').unwrap_or(if split.1.is_empty() { "80" } else { "" }));
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(reader.refused(directive, &format!("`{address}` names no host"), "write HOST or HOST:PORT"));
    }
    let port = reader.number(directive, port, 1).ok().and_then(|port| u16::try_from(port).ok());
    let port =
        port.ok_or_else(|| reader.refused(directive, &format!("`{address}` has no such port"), "write 1 to 65535"))?;
    Ok((host.to_ascii_lowercase(), port))
}
