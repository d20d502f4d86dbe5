//! `calibrate`: costs and load from what really happened, with what they leave unexplained.
//!
//! Servers of the platform's data are another matter (`servers`): there is nothing to watch, so real ones are started.
//!
//! Owns the order: an access log is read (`log`), a Prometheus asked (`prometheus`) or a platform tried (`live`); what they
//! say becomes routes and a scenario (`load`), and profiles are fitted until a rehearsal of that scenario answers as they
//! say (`fit`).

mod fit;
mod http;
mod live;
mod load;
mod log;
mod prometheus;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::Profile;
use record::ExitCode;

use crate::args::PlayArgs;
use crate::backend::Backend;
use crate::failure::Failure;
use crate::resolve::Rehearsal;
use crate::told;

use fit::{Fit, Residual};
use load::Load;
use log::Log;

/// Of `calibrate`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct CalibrateArgs {
    #[command(subcommand)]
    server: Option<servers::ServerCommand>,
    #[command(flatten)]
    play: PlayArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    prometheus: prometheus::PrometheusArgs,
    #[command(flatten)]
    live: live::LiveArgs,
    /// Where profiles/ and scenarios/recorded.yaml are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// What is known of what really happened.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// nginx's access log, with `$request_time` at the end of each line or as `rt=`; `docs/calibrate.md` has the formats
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// A Prometheus that scrapes the services, such as `http://127.0.0.1:9090`
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// A running platform, such as `http://127.0.0.1:8080`: the scenario's GETs are sent there, one after another
    #[arg(long, value_name = "URL")]
    live: Option<String>,
}

/// `rehearse calibrate`.
pub(crate) fn run(args: &CalibrateArgs) -> Result<ExitCode, Failure> {
    if let Some(server) = &args.server {
        return servers::run(server);
    }
    let base = Rehearsal::resolve(&args.play, Backend::Simulated)?;
    let (shown, load) = load(args, &base)?;
    if load.routes.is_empty() {
        let told = load.told.join("; ");
        return Err(Failure::usage(format!(
            "{shown}: no route has {} good answers: look longer ({told})",
            load::FEWEST
        )));
    }
    let fit = Fit::of(&base, &load, &shown)?;
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for profile in fit.profiles.values() {
        files.insert(Path::new("profiles").join(format!("{}.yaml", profile.workload)), profile.to_yaml());
    }
    files.insert("scenarios/recorded.yaml".into(), load.scenario(&shown));
    let files: Vec<(PathBuf, String)> = files.into_iter().collect();
    crate::init::write(&args.dir, &files, args.force)?;
    told::out(&said(&load, &fit, &files));
    Ok(ExitCode::Pass)
}

/// The load, and where it is from.
fn load(args: &CalibrateArgs, base: &Rehearsal) -> Result<(String, Load), Failure> {
    let host = base.plan.load.steps.first().map(|step| step.host.clone()).unwrap_or_default();
    if let Some(file) = &args.source.access_log {
        let shown = file.display().to_string();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read the access log {shown}: {error}")))?;
        let log = Log::read(&text).map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
        let mut load = Load::of(&log, &host);
        if let Some((line, why)) = &log.skipped_first {
            load.told.push(format!("{} lines were left out, the first is line {line}: {why}", log.skipped));
        }
        return Ok((shown, load));
    }
    let of = |url: &str, problem: String| Failure::usage(format!("{url}: {problem}"));
    if let Some(url) = &args.source.prometheus {
        let load = prometheus::load(url, &args.prometheus, &base.plan).map_err(|problem| of(url, problem))?;
        return Ok((url.clone(), load));
    }
    let url = args.source.live.as_deref().unwrap_or_default();
    let (log, told) = live::log(url, &args.live, &base.plan).map_err(|problem| of(url, problem))?;
    let mut load = Load::of(&log, &host);
    load.told = told;
    Ok((url.to_owned(), load))
}

/// What was found, what was fitted, and what the fit leaves.
fn said(load: &Load, fit: &Fit, files: &[(PathBuf, String)]) -> String {
    let mut out: String = load.told.iter().flat_map(|line| [line, "\n"]).collect();
    out += "\nRoutes, time of an answer in ms (as it was, then the rehearsal with the fitted profiles)\n";
    out += &format!("  {:<40} {:>8} {:>8}  {:>15}  {:>15}  {}\n", "", "n", "a second", "p50", "p95", "left");
    for Residual { route, n, rate, log, fitted } in &fit.residuals {
        let ms = |us: u64| format!("{:.1}", us as f64 / 1e3);
        let pair = |index: usize| format!("{} / {}", ms(log[index]), fitted.map_or("–".into(), |us| ms(us[index])));
        let left = fitted.map_or_else(
            || "nginx answers itself".to_owned(),
            |us| format!("{:+.0} %", (us[1] as f64 / (log[1].max(1)) as f64 - 1.0) * 100.0),
        );
        out += &format!("  {route:<40} {n:>8} {rate:>8.2}  {:>15}  {:>15}  {left}\n", pair(0), pair(1));
    }
    if load.few > 0 {
        out += &format!("  and {} requests of routes with fewer than {} good answers\n", load.few, load::FEWEST);
    }
    out += &format!(
        "\nwrote {}\n",
        files.iter().map(|(file, _)| file.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    out += "next: rehearse simulate recorded\n";
    out
}

/// Profiles by workload.
type Profiles = BTreeMap<String, Profile>;
