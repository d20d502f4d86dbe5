//! Directives that a level hands down: `http` to `server` to `location`.

use platform::{LimitMode, LimitUse, LimitZone, ZoneId};
use units::{Bytes, Nanos};

use super::tree::Directive;
use super::{NginxError, Reader};

/// What is in force at one level. Single values are overridden one by one; lists (`limit_req`, `add_header`) are
/// inherited only by a level that has none of its own, as nginx merges them.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Vec<LimitUse>,
    pub(super) limit_status: u16,
    pub(super) connect_timeout: Nanos,
    pub(super) read_timeout: Nanos,
    pub(super) send_timeout: Nanos,
    pub(super) buffering: bool,
    pub(super) max_body: Bytes,
    pub(super) headers: Vec<(String, String)>,
}

/// nginx's own defaults.
impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            limit_status: 503,
            connect_timeout: Nanos::from_secs(60),
            read_timeout: Nanos::from_secs(60),
            send_timeout: Nanos::from_secs(60),
            buffering: true,
            max_body: Bytes::from_mebi(1),
            headers: Vec::new(),
        }
    }
}

/// Whether [`Settings::level`] takes care of a directive.
pub(super) fn owns(directive: &Directive) -> bool {
    directive.block.is_none()
        && matches!(
            directive.name.as_str(),
            "limit_req"
                | "limit_req_status"
                | "add_header"
                | "proxy_connect_timeout"
                | "proxy_read_timeout"
                | "proxy_send_timeout"
                | "proxy_buffering"
                | "client_max_body_size"
        )
}

impl Settings {
    /// What is in force one level below, where `directives` stand.
    pub(super) fn level(
        &self,
        reader: &mut Reader<'_>,
        zones: &[LimitZone],
        directives: &[Directive],
    ) -> Result<Self, NginxError> {
        let mut here = self.clone();
        let mut limits = Vec::new();
        let mut headers: Option<Vec<_>> = None;
        let mut seen: Vec<&str> = Vec::new();
        for directive in directives.iter().filter(|directive| owns(directive)) {
            let name = directive.name.as_str();
            if !matches!(name, "limit_req" | "add_header") {
                if seen.contains(&name) {
                    return Err(reader.refused(directive, "is written twice at this level", "keep one"));
                }
                seen.push(name);
            }
            let argument = || reader.one(directive);
            match name {
                "limit_req" => limits.push(limit(reader, zones, directive)?),
                "add_header" => headers.get_or_insert_default().extend(header(reader, directive)?),
                "limit_req_status" => here.limit_status = status(reader, directive)?,
                "proxy_connect_timeout" => here.connect_timeout = reader.time(directive, argument()?)?,
                "proxy_read_timeout" => here.read_timeout = reader.time(directive, argument()?)?,
                "proxy_send_timeout" => here.send_timeout = reader.time(directive, argument()?)?,
                "proxy_buffering" => here.buffering = reader.flag(directive)?,
                _ => here.max_body = reader.size(directive, argument()?)?,
            }
        }
        if !limits.is_empty() {
            here.limits = limits;
        }
        if let Some(headers) = headers {
            here.headers = headers;
        }
        Ok(here)
    }
}

/// `limit_req zone=NAME [burst=N] [nodelay | delay=N]`.
fn limit(reader: &Reader<'_>, zones: &[LimitZone], directive: &Directive) -> Result<LimitUse, NginxError> {
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
    let Some(index) = zones.iter().position(|zone| zone.name == name) else {
        let known = zones.iter().map(|zone| zone.name.as_str()).collect::<Vec<_>>().join(", ");
        let fix = if known.is_empty() { "add a limit_req_zone".to_owned() } else { format!("write one of {known}") };
        return Err(reader.refused(directive, &format!("there is no zone `{name}`"), &fix));
    };
    Ok(LimitUse { zone: ZoneId(index as u16), burst, mode })
}

fn status(reader: &Reader<'_>, directive: &Directive) -> Result<u16, NginxError> {
    let status = reader.number(directive, reader.one(directive)?, 400)?;
    u16::try_from(status)
        .ok()
        .filter(|status| *status <= 599)
        .ok_or_else(|| reader.refused(directive, &format!("`{status}` is no error status"), "write 400 to 599"))
}

/// The header, where it is added to every answer. One without `always`, or with a variable in it, is not played, but
/// still keeps the level above from being inherited.
fn header(reader: &mut Reader<'_>, directive: &Directive) -> Result<Option<(String, String)>, NginxError> {
    match directive.args.as_slice() {
        [name, value, always] if always == "always" && !value.contains('$') => Ok(Some((name.clone(), value.clone()))),
        [_, _] => {
            reader.leave(directive);
            Ok(None)
        }
        [_, _, always] if always == "always" => {
            reader.leave(directive);
            Ok(None)
        }
        _ => Err(reader.refused(directive, "takes a name, a value and `always`", "write NAME VALUE always")),
    }
}
