//! What became of the requests: a JSON line for each, or a summary.

use std::collections::BTreeMap;
use std::fmt::Write;

use gateway::{Broken, Ending, Offered, Outcome, ReplyFrom, Verdict};
use platform::{Action, GatewayConfig};
use serde_json::{Map, Value, json};

/// Requests that are told one by one in the summary.
const TOLD: usize = 40;

fn server(config: &GatewayConfig, outcome: &Outcome) -> Option<String> {
    let server = &config.servers[usize::from(outcome.server?)];
    let pattern = || Some(format!("~{}", server.patterns.first()?.text()));
    Some(server.names.first().cloned().or_else(pattern).unwrap_or_default())
}

fn location(config: &GatewayConfig, outcome: &Outcome) -> Option<String> {
    outcome.location.map(|id| config.location(id).matches.to_string())
}

fn decision(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match &outcome.verdict {
        Verdict::Admitted => ("admitted", None),
        Verdict::Delayed(_) => ("delayed", None),
        Verdict::RejectedByRate(zone) | Verdict::RejectedByConnections(zone) => ("rejected", Some(zone)),
        Verdict::NoConnection => ("rejected", Some("worker_connections")),
    }
}

fn ending(ending: Ending) -> Value {
    match ending {
        Ending::Status(status) => json!(status),
        Ending::Broken(Broken::Connect) => json!("refused"),
        Ending::Broken(Broken::ConnectTimeout) => json!("connect_timeout"),
        Ending::Broken(Broken::Reset) => json!("reset"),
        Ending::Broken(Broken::Timeout) => json!("timeout"),
        Ending::Broken(Broken::Invalid) => json!("invalid"),
    }
}

/// One request as JSON.
pub(super) fn line(config: &GatewayConfig, number: usize, offered: &Offered, outcome: &Outcome) -> Value {
    let (decision, zone) = decision(outcome);
    let mut told = Map::new();
    told.insert("line".into(), json!(number));
    told.insert("timestamp".into(), json!(offered.at.as_secs_f64()));
    told.insert("pod".into(), json!(outcome.pod));
    told.insert("client".into(), json!(outcome.client.to_string()));
    told.insert("server".into(), json!(server(config, outcome)));
    told.insert("location".into(), json!(location(config, outcome)));
    told.insert("decision".into(), json!(decision));
    told.insert("status".into(), json!(outcome.reply.status));
    let delay = if let Verdict::Delayed(delay) = outcome.verdict { delay.as_millis() } else { 0 };
    told.insert("delay_ms".into(), json!(delay));
    told.insert("zone".into(), json!(zone));
    let excess = outcome
        .excess
        .iter()
        .map(|(zone, excess)| (config.zones[usize::from(zone.0)].name.clone(), json!(*excess as f64 / 1e3)));
    told.insert("excess".into(), Value::Object(excess.collect()));
    if let Some(id) = outcome.location
        && let (Action::Proxy { upstream, .. }, Some(target)) = (&config.location(id).action, &outcome.upstream_target)
    {
        let declared = config.upstream(*upstream);
        told.insert("upstream".into(), json!(declared.name));
        told.insert("upstream_path".into(), json!(target));
        let tries = outcome.tries.iter().map(|tried| {
            let server = &declared.servers[usize::from(tried.peer.server)];
            json!({ "server": format!("{}:{}", server.host, server.port), "answer": ending(tried.ending) })
        });
        told.insert("tries".into(), tries.collect());
    }
    if let Some(text) = &outcome.text {
        told.insert("text".into(), json!(text));
    }
    let mut headers = Map::new();
    if let Some(declared) = config.in_force(outcome.server, outcome.location) {
        let added = declared.added_headers(outcome.reply.status);
        headers.extend(added.map(|(name, value)| (name.clone(), json!(value))));
    }
    told.insert("headers".into(), Value::Object(headers));
    told.insert("ended".into(), json!(outcome.ended.as_secs_f64()));
    Value::Object(told)
}

/// Passed, delayed, refused.
type Counts = [usize; 3];

fn rows(text: &mut String, title: &str, counts: &BTreeMap<String, Counts>) -> std::fmt::Result {
    let width = counts.keys().map(String::len).chain([title.len()]).max().unwrap_or_default();
    writeln!(text, "\n{title:width$}  admitted  delayed  rejected")?;
    for (name, [admitted, delayed, rejected]) in counts {
        writeln!(text, "{name:width$}  {admitted:>8}  {delayed:>7}  {rejected:>8}")?;
    }
    Ok(())
}

/// What people read.
pub(super) fn summary(config: &GatewayConfig, told: &[(usize, Offered, Outcome)]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let [mut zones, mut locations] = [BTreeMap::<String, Counts>::new(), BTreeMap::new()];
    for (number, offered, outcome) in told {
        let (decision, refused_by) = decision(outcome);
        let column = ["admitted", "delayed", "rejected"].iter().position(|name| *name == decision).unwrap_or_default();
        let place = match (server(config, outcome), location(config, outcome)) {
            (Some(server), Some(location)) => format!("{server} {location}"),
            (Some(server), None) => format!("{server} (no location)"),
            _ => "(nothing listens)".to_owned(),
        };
        locations.entry(place.clone()).or_default()[column] += 1;
        for (zone, _) in &outcome.excess {
            // A zone that passed what another one refused admitted nothing.
            let name = &config.zones[usize::from(zone.0)].name;
            if decision != "rejected" || refused_by == Some(name) {
                zones.entry(name.clone()).or_default()[column] += 1;
            }
        }
        if outcome.excess.iter().all(|(zone, _)| refused_by != Some(&config.zones[usize::from(zone.0)].name))
            && let Some(zone) = refused_by
        {
            zones.entry(zone.to_owned()).or_default()[column] += 1;
        }
        if told.len() <= TOLD {
            let delay = if let Verdict::Delayed(delay) = outcome.verdict {
                format!(" by {} ms", delay.as_millis())
            } else {
                refused_by.map(|zone| format!(" by {zone}")).unwrap_or_default()
            };
            let from = match outcome.reply.from {
                ReplyFrom::Upstream => ", passed on",
                ReplyFrom::BadGateway => ", no upstream answered",
                ReplyFrom::Limit | ReplyFrom::Itself => "",
            };
            let at = offered.at.as_secs_f64();
            let (client, target, status) = (outcome.client, &offered.target, outcome.reply.status);
            writeln!(text, "{number:>4}  {at:.3}  {client}  {target}  ->  {place}: {decision}{delay}, {status}{from}")?;
        }
    }
    if !zones.is_empty() {
        rows(&mut text, "zone", &zones)?;
    }
    rows(&mut text, "server and location", &locations)?;
    Ok(text.trim_start_matches('\n').to_owned())
}

/// The configuration in a few lines, where no requests are given.
pub(super) fn described(config: &GatewayConfig) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for server in &config.servers {
        let names = if server.names.is_empty() { "(no name)".to_owned() } else { server.names.join(" ") };
        let default = if server.default { ", default" } else { "" };
        writeln!(text, "server {names}, port {}{default}", server.port)?;
        for location in &server.locations {
            let action = match &location.action {
                Action::Proxy { upstream, uri } => {
                    format!("{}{}", config.upstream(*upstream).name, uri.as_deref().unwrap_or_default())
                }
                Action::Return { status, .. } => format!("returns {status}"),
                Action::StubStatus => "stub_status".to_owned(),
                Action::Content { by } => format!("{by} (not played, assumed 200)"),
            };
            let zone = |limit: &platform::LimitUse| {
                let zone = &config.zones[usize::from(limit.zone.0)];
                format!(", {} {} burst {}", zone.name, zone.rate, limit.burst)
            };
            let limits: String = location.limits.iter().map(zone).collect();
            writeln!(text, "  location {}: {action}{limits}", location.matches)?;
        }
    }
    Ok(text)
}
