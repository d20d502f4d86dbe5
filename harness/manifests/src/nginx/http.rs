//! The `http` block: zones, maps, upstreams, and then its servers.

use platform::{ConnZone, GatewayConfig, LimitZone};
use units::{Nanos, Rate};

use super::settings::{self, Settings};
use super::tree::Directive;
use super::{NginxError, Reader, map, server, upstream};

/// nginx's default of `keepalive_timeout`.
const KEEPALIVE: Nanos = Nanos::from_secs(75);

pub(super) fn http(reader: &mut Reader<'_>, block: &[Directive]) -> Result<GatewayConfig, NginxError> {
    let mut config = GatewayConfig { keepalive_timeout: KEEPALIVE, ..GatewayConfig::default() };
    // Variables, zones and upstreams may stand below their first use, so they are read first.
    let maps: Vec<_> = block.iter().filter(|d| matches!(d.name.as_str(), "map" | "geo") && d.block.is_some()).collect();
    reader.maps = maps.iter().filter_map(|directive| map::name(directive)).map(str::to_owned).collect();
    for directive in maps {
        let inner = directive.block.as_deref().unwrap_or_default();
        config.maps.push(map::map(reader, directive, inner)?);
    }
    let mut servers = Vec::new();
    for directive in block {
        match (directive.name.as_str(), &directive.block) {
            ("limit_req_zone", None) => {
                let zone = zone(reader, directive)?;
                if config.zones.iter().any(|other| other.name == zone.name) {
                    return Err(twice(reader, directive, "a zone", &zone.name));
                }
                config.zones.push(zone);
            }
            ("limit_conn_zone", None) => {
                let zone = conn_zone(reader, directive)?;
                if config.conn_zones.iter().any(|other| other.name == zone.name) {
                    return Err(twice(reader, directive, "a zone", &zone.name));
                }
                config.conn_zones.push(zone);
            }
            ("upstream", Some(inner)) => {
                let upstream = upstream::upstream(reader, directive, inner)?;
                if config.upstreams.iter().any(|other| other.name == upstream.name) {
                    return Err(twice(reader, directive, "an upstream", &upstream.name));
                }
                config.upstreams.push(upstream);
            }
            ("server", Some(inner)) => servers.push((directive, inner)),
            ("map" | "geo", Some(_)) => {}
            // A second argument only sets a header.
            ("keepalive_timeout", None) => {
                let first = directive.args.first().map_or("", String::as_str);
                config.keepalive_timeout = reader.time(directive, first)?;
            }
            _ if settings::owns(directive) || server::owns(directive) => {}
            _ => reader.leave(directive),
        }
    }
    let settings = Settings::default().level(reader, &config, block)?;
    let outer =
        server::Outer { settings, real_ip: server::real_ip(reader, block, None)?, named: config.upstreams.len() };
    for (directive, inner) in servers {
        server::server(reader, directive, inner, &outer, &mut config)?;
    }
    Ok(config)
}

fn twice(reader: &Reader<'_>, directive: &Directive, what: &str, name: &str) -> NginxError {
    reader.refused(directive, &format!("there is {what} `{name}` already"), "name it otherwise")
}

/// `limit_req_zone KEY zone=NAME:SIZE rate=RATE`; without a rate it is 1 r/s.
fn zone(reader: &mut Reader<'_>, directive: &Directive) -> Result<LimitZone, NginxError> {
    let Some((key, parameters)) = directive.args.split_first() else {
        return Err(reader.refused(directive, "names no key", "write $binary_remote_addr zone=NAME:10m rate=10r/s"));
    };
    let mut named = None;
    let mut rate = Rate::per_second(1);
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("zone", zone)) => named = zone.split_once(':').filter(|(name, _)| !name.is_empty()),
            Some(("rate", text)) => rate = reader.rate(directive, text)?,
            None if parameter == "sync" => reader.leave(directive),
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
    Ok(LimitZone {
        name: name.to_owned(),
        key: reader.key(directive, key)?,
        rate,
        size,
        place: reader.place(directive),
    })
}

/// `limit_conn_zone KEY zone=NAME:SIZE`.
fn conn_zone(reader: &mut Reader<'_>, directive: &Directive) -> Result<ConnZone, NginxError> {
    let split = |zone: &String| {
        let (name, size) = zone.strip_prefix("zone=")?.split_once(':').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), size.to_owned()))
    };
    let [key, zone] = directive.args.as_slice() else {
        return Err(reader.refused(directive, "takes a key and a zone", "write KEY zone=NAME:SIZE"));
    };
    let Some((name, size)) = split(zone) else {
        return Err(reader.refused(directive, "names no zone with a size", "write zone=NAME:SIZE, e.g. zone=conn:10m"));
    };
    let size = reader.zone_size(directive, &size)?;
    Ok(ConnZone { name, key: reader.key(directive, key)?, size, place: reader.place(directive) })
}
