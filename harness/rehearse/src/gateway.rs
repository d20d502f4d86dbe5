//! `rehearse gateway`: what an nginx configuration does with given requests, in virtual time, by the rules that the
//! live gateway and the simulator use.

mod input;
mod output;

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use gateway::Replay;
use manifests::nginx::{self, NginxError, Parsed};
use record::ExitCode;

use crate::args::{Format, GatewayArgs, Order};
use crate::failure::Failure;
use crate::told;

/// The JSON Schema of a line of `--requests`.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(input::RequestLine).to_value()
}

pub(crate) fn run(args: &GatewayArgs) -> Result<ExitCode, Failure> {
    let parsed = configuration(&args.config)?;
    let config = &parsed.config;
    let Some(path) = &args.requests else {
        told::out(&output::described(config).unwrap_or_default());
        unplayed(&parsed);
        return Ok(ExitCode::Pass);
    };
    let listen = config.servers.first().map_or((80, false), |server| (server.port, server.tls));
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let text = if path == Path::new("-") { standard_input() } else { fs::read_to_string(path) };
    let text = text.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let mut requests = input::requests(&text, &name, listen).map_err(Failure::usage)?;
    if requests.is_empty() {
        return Err(Failure::usage(format!("{name} has no request; write one JSON object a line")));
    }
    if args.order == Order::Time {
        requests.sort_by_key(|(_, offered)| offered.at);
    }
    let (numbers, offered): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
    if let Some(pod) = offered.iter().filter_map(|offered| offered.pod).find(|pod| *pod >= args.replicas) {
        let problem = format!("{name} names pod {pod}, and there are {}; write --replicas {}", args.replicas, pod + 1);
        return Err(Failure::usage(problem));
    }
    let outcomes = Replay::new(config, args.replicas, parsed.worker_processes.unwrap_or(1)).play(&offered);
    let mut all: Vec<_> = numbers
        .into_iter()
        .zip(offered)
        .zip(outcomes)
        .map(|((number, offered), outcome)| (number, offered, outcome))
        .collect();
    // Told in the order of the file, whatever the order of time was.
    all.sort_by_key(|(number, ..)| *number);
    match args.format {
        Format::Json => {
            let lines = all
                .iter()
                .map(|(number, offered, outcome)| output::line(config, *number, offered, outcome).to_string() + "\n");
            told::out(&lines.collect::<String>());
        }
        Format::Text => {
            told::out(&output::summary(config, &all).unwrap_or_default());
            unplayed(&parsed);
        }
    }
    Ok(ExitCode::Pass)
}

fn standard_input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Directives that no rule here plays, in a few lines.
fn unplayed(parsed: &Parsed) {
    let unplayed = &parsed.config.unplayed;
    if unplayed.is_empty() {
        return;
    }
    let lines = unplayed.iter().map(|(directive, place)| format!("  {place}: {directive}\n"));
    told::out(&format!("\n{} directives are not played:\n{}", unplayed.len(), lines.collect::<String>()));
}

/// An nginx.conf with what it includes from its own folder, or a ConfigMap's.
fn configuration(path: &Path) -> Result<Parsed, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let files = nginx::config_map(&text).unwrap_or_else(|| {
        let mut files = vec![(name.clone(), text)];
        files.extend(beside(path));
        files
    });
    let Some(((main, text), others)) = files.split_first() else {
        return Err(Failure::usage(format!("{name} holds no configuration")));
    };
    nginx::parse_with(text, main, others).map_err(|error| refused(&error, &files))
}

/// Other files of the folder and of its `conf.d`, for `include`.
fn beside(path: &Path) -> Vec<(String, String)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for folder in [folder.to_owned(), folder.join("conf.d")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for other in entries.flatten().map(|entry| entry.path()) {
            let is_conf = other.extension().is_some_and(|ending| ending == "conf");
            if is_conf
                && other != path
                && let Ok(text) = fs::read_to_string(&other)
            {
                files.push((other.display().to_string(), text));
            }
        }
    }
    files.sort();
    files
}

/// The error with the line that it is about.
fn refused(error: &NginxError, files: &[(String, String)]) -> Failure {
    let place = error.place();
    let text = files.iter().find(|(name, _)| *name == place.file).map_or("", |(_, text)| text);
    let mut failure = Failure::new(ExitCode::Manifests, error);
    failure.excerpt = manifests::excerpt(text, place.line).unwrap_or_default();
    failure
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_names_every_field() {
        let schema = super::schema();
        for field in ["timestamp", "client", "headers", "duration_ms", "upstream", "servers"] {
            assert!(schema["properties"][field].is_object(), "{field}");
        }
    }
}
