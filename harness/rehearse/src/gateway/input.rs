//! Requests as JSON Lines: the format of `rehearse gateway --requests`, and how lines become requests.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use gateway::{Broken, Ending, Offered, Script};
use schemars::JsonSchema;
use serde::Deserialize;
use units::Nanos;

/// One request at the gateway: a line of the file. Fields that are left out have the value named there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestLine {
    /// When it comes, in seconds with any decimals. From any origin, such as `$msec - $request_time` of nginx's log.
    #[serde(default, alias = "t", alias = "time", alias = "at", alias = "ts")]
    timestamp: Option<f64>,
    /// The same in milliseconds. One of the two is needed.
    #[serde(default, alias = "t_ms", alias = "time_ms", alias = "at_ms", alias = "ts_ms")]
    timestamp_ms: Option<f64>,
    /// Seconds that the request took, where the timestamp is when it ended, as nginx's `$msec` and `$request_time` are:
    /// it came so much earlier.
    #[serde(default)]
    request_time: Option<f64>,
    /// The peer's address. Default 127.0.0.1.
    #[serde(default, alias = "remote_addr", alias = "client_ip", alias = "ip")]
    client: Option<IpAddr>,
    /// `Host`, with or without a port. Default: none.
    #[serde(default)]
    host: String,
    /// The port that it comes to. Default: that of the first `listen`.
    #[serde(default)]
    port: Option<u16>,
    /// The address that it comes to, where servers listen on several.
    #[serde(default)]
    local: Option<IpAddr>,
    /// Whether the connection is TLS. Default: as the first `listen` of that port says.
    #[serde(default)]
    tls: Option<bool>,
    /// Default GET.
    #[serde(default = "get")]
    method: String,
    /// Path and query as the client sends them. Default `/`.
    #[serde(default = "slash", alias = "uri", alias = "target", alias = "request_uri", alias = "url")]
    path: String,
    /// Other headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Size of the body in bytes, as `Content-Length` tells it. Default: none.
    #[serde(default, alias = "content_length", alias = "body")]
    body_bytes: Option<u64>,
    /// How long the upstream takes for each try, or the answer where there is none: `limit_conn` and `least_conn` count
    /// the request meanwhile. Default 0.
    #[serde(default)]
    duration_ms: Option<f64>,
    /// When the request ends, in the unit of its timestamp, instead of a duration.
    #[serde(default)]
    end: Option<f64>,
    /// Which of the gateway pods, from 0. Default: they take turns.
    #[serde(default, alias = "replica")]
    pod: Option<u32>,
    /// What the upstream answers to each try; the last one goes on. Default 200.
    #[serde(default)]
    upstream: Vec<EndingLine>,
    /// What a server of the upstream answers, by `host:port`; goes before `upstream`.
    #[serde(default)]
    servers: BTreeMap<String, EndingLine>,
}

/// How a try at an upstream ends: a status, or why there was none.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum EndingLine {
    Status(u16),
    Broken(BrokenLine),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BrokenLine {
    /// No connection.
    Refused,
    /// `proxy_connect_timeout` passed.
    ConnectTimeout,
    /// The connection broke.
    Reset,
    /// `proxy_read_timeout` passed.
    Timeout,
    /// What came is no HTTP.
    Invalid,
}

impl From<EndingLine> for Ending {
    fn from(line: EndingLine) -> Self {
        match line {
            EndingLine::Status(status) => Self::Status(status),
            EndingLine::Broken(broken) => Self::Broken(match broken {
                BrokenLine::Refused => Broken::Connect,
                BrokenLine::ConnectTimeout => Broken::ConnectTimeout,
                BrokenLine::Reset => Broken::Reset,
                BrokenLine::Timeout => Broken::Timeout,
                BrokenLine::Invalid => Broken::Invalid,
            }),
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

/// Names of the fields, for whoever misspells one.
const FIELDS: [&str; 18] = [
    "timestamp",
    "timestamp_ms",
    "request_time",
    "client",
    "host",
    "port",
    "local",
    "tls",
    "method",
    "path",
    "headers",
    "body_bytes",
    "duration_ms",
    "end",
    "pod",
    "upstream",
    "servers",
    "content_length",
];

/// All requests of a text; the error names the file and the line.
pub(crate) fn requests(text: &str, file: &str, listen: (u16, bool)) -> Result<Vec<(usize, Offered)>, String> {
    let mut requests = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = |problem: String| format!("{file}:{}: {problem}", index + 1);
        let parsed: RequestLine = serde_json::from_str(line).map_err(|error| at(explained(&error.to_string())))?;
        requests.push((index + 1, parsed.offered(listen).map_err(at)?));
    }
    Ok(requests)
}

fn explained(error: &str) -> String {
    let unknown = error.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let Some(unknown) = unknown else { return format!("{error}; correct this line") };
    let near = FIELDS.iter().map(|field| (strsim::jaro_winkler(field, unknown), field));
    let near = near.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, field)| *field);
    match near {
        Some(near) => format!("there is no field `{unknown}`; did you mean `{near}`?"),
        None => format!("there is no field `{unknown}`; there are {}", FIELDS.join(", ")),
    }
}

/// A time from a number of seconds over `per`, to a microsecond.
fn instant(value: f64, per: f64) -> Result<Nanos, String> {
    let micros = (value * 1e6 / per).round();
    if value.is_finite() && (0.0..=4e15).contains(&micros) {
        Ok(Nanos::from_micros(micros as u64))
    } else {
        Err(format!("`{value}` is no instant; write a number of seconds (or milliseconds) from 0 up"))
    }
}

impl RequestLine {
    fn offered(self, (listen, tls): (u16, bool)) -> Result<Offered, String> {
        let (at, per) = match (self.timestamp, self.timestamp_ms) {
            (Some(seconds), None) => (seconds, 1.0),
            (None, Some(millis)) => (millis, 1_000.0),
            (Some(_), Some(_)) => return Err("`timestamp` and `timestamp_ms` are both there; keep one".to_owned()),
            (None, None) => return Err("`timestamp` is missing; write when the request comes, in seconds".to_owned()),
        };
        let at = instant(at, per)?;
        let took = instant(self.request_time.unwrap_or(0.0), 1.0)?;
        let Some(at) = at.get().checked_sub(took.get()).map(Nanos::new) else {
            return Err("`request_time` is longer than the timestamp; it is in seconds".to_owned());
        };
        let lasts = match (self.duration_ms, self.end) {
            (Some(_), Some(_)) => return Err("`duration_ms` and `end` are both there; keep one".to_owned()),
            (Some(millis), None) => instant(millis, 1_000.0)?,
            (None, Some(end)) => match instant(end, per)?.get().checked_sub(at.get()) {
                Some(lasts) => Nanos::new(lasts),
                None => return Err(format!("`end` ({end}) lies before the request's own instant")),
            },
            (None, None) => Nanos::ZERO,
        };
        if !self.path.starts_with('/') {
            return Err(format!("`path` is `{}`; it begins with a slash", self.path));
        }
        let port = self.port.unwrap_or(listen);
        Ok(Offered {
            at,
            pod: self.pod,
            peer: self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port,
            local: self.local,
            tls: self.tls.unwrap_or(tls && port == listen),
            host: self.host,
            method: self.method,
            target: self.path,
            headers: self.headers.into_iter().collect(),
            body: self.body_bytes,
            lasts,
            script: Script {
                servers: self.servers.into_iter().map(|(server, ending)| (server, ending.into())).collect(),
                tries: self.upstream.into_iter().map(Ending::from).collect(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_wrong_are_named() {
        for (line, want) in [
            (r#"{"t":1,"clinet":"1.1.1.1"}"#, "r.jsonl:2: there is no field `clinet`; did you mean `client`?"),
            (r#"{"path":"/"}"#, "r.jsonl:2: `timestamp` is missing; write when the request comes, in seconds"),
            (r#"{"t":-1}"#, "r.jsonl:2: `-1` is no instant; write a number of seconds (or milliseconds) from 0 up"),
            (r#"{"t":2,"end":1}"#, "r.jsonl:2: `end` (1) lies before the request's own instant"),
            (r#"{"t":2,"request_time":3}"#, "r.jsonl:2: `request_time` is longer than the timestamp; it is in seconds"),
            (r#"{"t":2,"path":"x"}"#, "r.jsonl:2: `path` is `x`; it begins with a slash"),
        ] {
            assert_eq!(requests(&format!("\n{line}\n"), "r.jsonl", (80, false)).unwrap_err(), want);
        }
    }

    #[test]
    fn both_units_are_one_instant() {
        let text = "{\"timestamp\":1763914827.123}\n{\"timestamp_ms\":1763914827123}\n\
                    {\"t\":1763914827.228,\"request_time\":0.105}";
        let requests = requests(text, "r", (80, false)).unwrap();
        assert_eq!(requests[0].1.at, requests[1].1.at);
        assert_eq!(requests[0].1.at, requests[2].1.at, "a log tells the end");
        assert_eq!(requests[0].1.at.as_millis(), 1_763_914_827_123);
    }
}
