//! Writing an nginx.conf whose locations remember which manifest they come from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use platform::Place;

/// An nginx.conf with what could not be put into it.
#[derive(Debug, Default)]
pub(super) struct Conf {
    pub(super) text: String,
    /// Of each location of each server.
    pub(super) places: Vec<Vec<Place>>,
    pub(super) left_out: Vec<(String, Place)>,
}

impl Conf {
    /// How many locations have a manifest behind them.
    pub(super) fn routes(&self) -> usize {
        self.places.iter().flatten().filter(|place| **place != Place::default()).count()
    }
}

/// One location.
#[derive(Debug)]
pub(super) struct Made {
    /// Modifier and path, quoted.
    pub(super) head: String,
    /// What stands in its block.
    pub(super) body: String,
    pub(super) place: Place,
}

/// Collects the parts of an nginx.conf.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Directives of the `http` block.
    pub(super) http: String,
    /// Locations by host; an empty host is the default server.
    pub(super) servers: Vec<(String, Vec<Made>)>,
    pub(super) left_out: Vec<(String, Place)>,
    /// Upstreams by host and port.
    upstreams: BTreeMap<(String, u16), String>,
}

impl Writer {
    /// The name of the upstream for a Service's port.
    pub(super) fn upstream(&mut self, service: &str, namespace: &str, port: u16) -> String {
        let name = format!("{namespace}-{service}-{port}");
        self.upstreams.entry((format!("{service}.{namespace}"), port)).or_insert(name).clone()
    }

    /// Adds a location unless the server has it already: of two Ingresses with the same path the first one counts.
    pub(super) fn location(&mut self, host: &str, made: Made) -> bool {
        let at = self.servers.iter().position(|(known, _)| known == host).unwrap_or_else(|| {
            self.servers.push((host.to_owned(), Vec::new()));
            self.servers.len() - 1
        });
        let locations = &mut self.servers[at].1;
        let new = !locations.iter().any(|known| known.head == made.head);
        if new {
            locations.push(made);
        }
        new
    }

    /// The whole file. The default server comes first and has the controller's health check; what no location takes is
    /// 404, as the controller's own backend has it.
    pub(super) fn finish(mut self, port: u16) -> Conf {
        let health = Made { head: quoted("=", "/healthz"), body: "return 200;".to_owned(), place: Place::default() };
        self.location("", health);
        self.servers.sort_by_key(|(host, _)| !host.is_empty());
        let mut text = "events {}\nhttp {\n".to_owned();
        for ((host, port), name) in &self.upstreams {
            writeln!(text, "  upstream {name} {{ server {host}:{port}; keepalive 320; }}").ok();
        }
        text += &self.http;
        let mut places = Vec::new();
        for (host, locations) in self.servers {
            let (name, default) = if host.is_empty() { ("_", " default_server") } else { (host.as_str(), "") };
            writeln!(text, "  server {{\n    listen {port}{default};\n    server_name {name};").ok();
            for made in &locations {
                writeln!(text, "    location {} {{ {} }}", made.head, made.body).ok();
            }
            text += "  }\n";
            places.push(locations.into_iter().map(|made| made.place).collect());
        }
        text += "}\n";
        Conf { text, places, left_out: self.left_out }
    }
}

/// A modifier and a path as nginx.conf writes them.
pub(super) fn quoted(modifier: &str, path: &str) -> String {
    let gap = if modifier.is_empty() { "" } else { " " };
    format!("{modifier}{gap}\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether nginx.conf can hold it without quotes: a host or an object's name.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte))
}
