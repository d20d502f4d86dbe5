//! Directives that a level hands down: `http` to `server` to `location`.

use platform::{AccessRule, ConnUse, ConnZoneId, ErrorPage, GatewayConfig, LimitMode, LimitUse, Location, ZoneId};

use super::tree::Directive;
use super::{NginxError, Reader};

/// What is in force at one level, in the form of the location that it will be. Single values are overridden one by
/// one; lists (`limit_req`, `limit_conn`, `allow` and `deny`, `add_header`, `proxy_set_header`, `error_page`) are
/// inherited only by a level that has none of its own, as nginx merges them.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(pub(super) Location);

/// May stand several times at one level.
const LISTS: [&str; 7] = ["limit_req", "limit_conn", "allow", "deny", "add_header", "proxy_set_header", "error_page"];

/// Single values.
const VALUES: [&str; 17] = [
    "limit_req_status",
    "limit_req_dry_run",
    "limit_conn_status",
    "limit_conn_dry_run",
    "proxy_connect_timeout",
    "proxy_read_timeout",
    "proxy_send_timeout",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_next_upstream_timeout",
    "proxy_buffering",
    "proxy_request_buffering",
    "proxy_http_version",
    "proxy_intercept_errors",
    "client_max_body_size",
    "gzip",
    "internal",
];

/// Whether [`Settings::level`] takes care of a directive.
pub(super) fn owns(directive: &Directive) -> bool {
    let name = directive.name.as_str();
    directive.block.is_none() && (LISTS.contains(&name) || VALUES.contains(&name))
}

/// Replaces what was inherited when the first of a level comes.
fn own<'l, T>(list: &'l mut Vec<T>, first: &mut bool) -> &'l mut Vec<T> {
    if std::mem::take(first) {
        list.clear();
    }
    list
}

impl Settings {
    /// What is in force one level below, where `directives` stand.
    pub(super) fn level(
        &self,
        reader: &mut Reader<'_>,
        config: &GatewayConfig,
        directives: &[Directive],
    ) -> Result<Self, NginxError> {
        let mut here = self.0.clone();
        let mut seen: Vec<&str> = Vec::new();
        let [mut limits, mut conns, mut access, mut headers, mut sent, mut pages] = [true; 6];
        for directive in directives.iter().filter(|directive| owns(directive)) {
            let name = directive.name.as_str();
            if !LISTS.contains(&name) {
                if seen.contains(&name) {
                    return Err(reader.refused(directive, "is written twice at this level", "keep one"));
                }
                seen.push(name);
            }
            let argument = || reader.one(directive);
            match name {
                "limit_req" => {
                    let limit = limit(reader, config, directive)?;
                    let limits = own(&mut here.limits, &mut limits);
                    if limits.iter().any(|other| other.zone == limit.zone) {
                        return Err(reader.refused(directive, "the zone is limited here already", "keep one"));
                    }
                    limits.push(limit);
                }
                "limit_conn" => {
                    let limit = conn_limit(reader, config, directive)?;
                    let limits = own(&mut here.conn_limits, &mut conns);
                    if limits.iter().any(|other| other.zone == limit.zone) {
                        return Err(reader.refused(directive, "the zone is limited here already", "keep one"));
                    }
                    limits.push(limit);
                }
                "allow" | "deny" => {
                    let rule = access_rule(reader, directive)?;
                    own(&mut here.access, &mut access).extend(rule);
                }
                "add_header" => {
                    if headers {
                        (here.headers, here.conditional_headers) = (Vec::new(), Vec::new());
                        headers = false;
                    }
                    header(reader, directive, &mut here)?;
                }
                "proxy_set_header" => match directive.args.as_slice() {
                    [name, value] => {
                        let value = reader.quiet_template(directive, value)?;
                        own(&mut here.set_headers, &mut sent).push((name.clone(), value));
                    }
                    _ => return Err(reader.refused(directive, "takes a name and a value", "write NAME VALUE")),
                },
                "error_page" => {
                    let page = error_page(reader, directive)?;
                    own(&mut here.error_pages, &mut pages).push(page);
                }
                "limit_req_status" => here.limit_status = status(reader, directive)?,
                "limit_conn_status" => here.conn_status = status(reader, directive)?,
                "limit_req_dry_run" => here.limit_dry_run = reader.flag(directive)?,
                "limit_conn_dry_run" => here.conn_dry_run = reader.flag(directive)?,
                "proxy_connect_timeout" => here.connect_timeout = reader.time(directive, argument()?)?,
                "proxy_read_timeout" => here.read_timeout = reader.time(directive, argument()?)?,
                "proxy_send_timeout" => here.send_timeout = reader.time(directive, argument()?)?,
                "proxy_next_upstream" => next_upstream(reader, directive, &mut here)?,
                "proxy_next_upstream_tries" => {
                    here.next_upstream.tries = reader.number(directive, argument()?, 0)?;
                }
                "proxy_next_upstream_timeout" => {
                    here.next_upstream.within = reader.time(directive, argument()?)?;
                }
                "proxy_buffering" => here.buffering = reader.flag(directive)?,
                "proxy_request_buffering" => here.request_buffering = reader.flag(directive)?,
                "proxy_intercept_errors" => here.intercept_errors = reader.flag(directive)?,
                "gzip" => here.gzip = reader.flag(directive)?,
                "internal" => here.internal = true,
                "proxy_http_version" => match argument()? {
                    "1.0" => here.http11 = false,
                    "1.1" | "2" => here.http11 = true,
                    other => {
                        let problem = format!("`{other}` is no version");
                        return Err(reader.refused(directive, &problem, "write 1.0 or 1.1"));
                    }
                },
                _ => here.max_body = reader.size(directive, argument()?)?,
            }
        }
        Ok(Self(here))
    }
}

/// The index of a zone by its name.
fn zone_named<'n>(
    reader: &Reader<'_>,
    directive: &Directive,
    names: impl Iterator<Item = &'n str> + Clone,
    name: &str,
) -> Result<u16, NginxError> {
    if let Some(index) = names.clone().position(|known| known == name) {
        return Ok(index as u16);
    }
    let known = names.collect::<Vec<_>>().join(", ");
    let fix = if known.is_empty() { format!("add a {}_zone", directive.name) } else { format!("write one of {known}") };
    Err(reader.refused(directive, &format!("there is no zone `{name}`"), &fix))
}

/// `limit_req zone=NAME [burst=N] [nodelay | delay=N]`.
fn limit(reader: &Reader<'_>, config: &GatewayConfig, directive: &Directive) -> Result<LimitUse, NginxError> {
    let mut zone = None;
    let mut burst = 0;
    let mut mode = LimitMode::Delay(0);
    for argument in &directive.args {
        match argument.split_once('=') {
            Some(("zone", name)) => zone = Some(name),
            Some(("burst", count)) => burst = reader.number(directive, count, 1)?,
            Some(("delay", count)) => mode = LimitMode::Delay(reader.number(directive, count, 1)?),
            None if argument == "nodelay" => mode = LimitMode::NoDelay,
            _ => {
                let problem = format!("has no parameter `{argument}`");
                return Err(reader.refused(directive, &problem, "write zone=NAME burst=N nodelay or delay=N"));
            }
        }
    }
    let Some(name) = zone else {
        return Err(reader.refused(directive, "names no zone", "write zone=NAME"));
    };
    let index = zone_named(reader, directive, config.zones.iter().map(|zone| zone.name.as_str()), name)?;
    Ok(LimitUse { zone: ZoneId(index), burst, mode })
}

/// `limit_conn ZONE N`.
fn conn_limit(reader: &Reader<'_>, config: &GatewayConfig, directive: &Directive) -> Result<ConnUse, NginxError> {
    let [name, count] = directive.args.as_slice() else {
        return Err(reader.refused(directive, "takes a zone and a number", "write limit_conn ZONE N"));
    };
    let index = zone_named(reader, directive, config.conn_zones.iter().map(|zone| zone.name.as_str()), name)?;
    let most = reader.number(directive, count, 1)?;
    if most > 65_535 {
        return Err(reader.refused(directive, "counts to 65535 at most", "write 65535 or less"));
    }
    Ok(ConnUse { zone: ConnZoneId(index), most })
}

/// `None` for `unix:`, which no client of a rehearsal is.
fn access_rule(reader: &Reader<'_>, directive: &Directive) -> Result<Option<AccessRule>, NginxError> {
    let allow = directive.name == "allow";
    Ok(match reader.one(directive)? {
        "all" => Some(AccessRule { allow, network: None }),
        "unix:" => None,
        text => Some(AccessRule { allow, network: Some(reader.network(directive, text)?) }),
    })
}

fn next_upstream(reader: &mut Reader<'_>, directive: &Directive, here: &mut Location) -> Result<(), NginxError> {
    let next = &mut here.next_upstream;
    (next.error, next.timeout, next.invalid_header, next.non_idempotent) = (false, false, false, false);
    next.statuses.clear();
    for word in &directive.args {
        match word.as_str() {
            "error" => next.error = true,
            "timeout" => next.timeout = true,
            "invalid_header" => next.invalid_header = true,
            "non_idempotent" => next.non_idempotent = true,
            "off" => {}
            "updating" => reader.leave(directive),
            "http_403" | "http_404" | "http_429" | "http_500" | "http_502" | "http_503" | "http_504" => {
                next.statuses.extend(word[5..].parse::<u16>().ok());
            }
            other => {
                let fix = "write error, timeout, invalid_header, http_500, …, non_idempotent or off";
                return Err(reader.refused(directive, &format!("has no condition `{other}`"), fix));
            }
        }
    }
    if directive.args.iter().any(|word| word == "off") {
        (next.error, next.timeout, next.invalid_header, next.non_idempotent) = (false, false, false, false);
        next.statuses.clear();
    }
    Ok(())
}

fn status(reader: &Reader<'_>, directive: &Directive) -> Result<u16, NginxError> {
    let status = reader.number(directive, reader.one(directive)?, 400)?;
    u16::try_from(status)
        .ok()
        .filter(|status| *status <= 599)
        .ok_or_else(|| reader.refused(directive, &format!("`{status}` is no error status"), "write 400 to 599"))
}

/// `error_page CODE… [=[STATUS]] URI`.
fn error_page(reader: &Reader<'_>, directive: &Directive) -> Result<ErrorPage, NginxError> {
    let refuse = || reader.refused(directive, "takes statuses and a URI", "write error_page 404 =200 /index.html");
    let Some((uri, before)) = directive.args.split_last().filter(|(_, before)| !before.is_empty()) else {
        return Err(refuse());
    };
    let mut page = ErrorPage { codes: Vec::new(), status: None, uri: uri.clone() };
    for word in before {
        if let Some(status) = word.strip_prefix('=') {
            let status = if status.is_empty() { 0 } else { reader.number(directive, status, 100)? };
            page.status = Some(u16::try_from(status).map_err(|_| refuse())?);
        } else {
            let code = reader.number(directive, word, 300)?;
            page.codes.push(u16::try_from(code).ok().filter(|code| *code <= 599).ok_or_else(refuse)?);
        }
    }
    Ok(page)
}

/// One whose value has a variable is not played, but still keeps the level above from being inherited.
fn header(reader: &mut Reader<'_>, directive: &Directive, here: &mut Location) -> Result<(), NginxError> {
    let (name, value, always) = match directive.args.as_slice() {
        [name, value] => (name, value, false),
        [name, value, always] if always == "always" => (name, value, true),
        _ => return Err(reader.refused(directive, "takes a name, a value and `always`", "write NAME VALUE always")),
    };
    if value.contains('$') {
        reader.leave(directive);
    } else if !value.is_empty() {
        let list = if always { &mut here.headers } else { &mut here.conditional_headers };
        list.push((name.clone(), value.clone()));
    }
    Ok(())
}
