//! `calibrate`: costs and load from what really happened, with what they leave unexplained.
//!
//! Owns the order: an access log is read (`log`), its requests become routes and a scenario (`load`), and profiles are
//! fitted until a rehearsal of that scenario answers as the log says (`fit`).

mod fit;
mod load;
mod log;

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
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// nginx's access log, with `$request_time` at the end of each line or as `rt=`; `docs/calibrate.md` has the formats
    #[arg(long, value_name = "FILE")]
    access_log: PathBuf,
    /// Where profiles/ and scenarios/recorded.yaml are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

/// `rehearse calibrate`.
pub(crate) fn run(args: &CalibrateArgs) -> Result<ExitCode, Failure> {
    let shown = args.access_log.display().to_string();
    let text = fs::read_to_string(&args.access_log)
        .map_err(|error| Failure::usage(format!("cannot read the access log {shown}: {error}")))?;
    let log = Log::read(&text).map_err(|problem| Failure::usage(format!("{shown}: {problem}")))?;
    let base = Rehearsal::resolve(&args.play, Backend::Simulated)?;
    let host = base.plan.load.steps.first().map(|step| step.host.clone()).unwrap_or_default();
    let load = Load::of(&log, &host);
    if load.routes.is_empty() {
        return Err(Failure::usage(format!("{shown}: no route has {} good answers: take a longer log", load::FEWEST)));
    }
    let fit = Fit::of(&base, &load, &shown)?;
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for profile in fit.profiles.values() {
        files.insert(Path::new("profiles").join(format!("{}.yaml", profile.workload)), profile.to_yaml());
    }
    files.insert("scenarios/recorded.yaml".into(), load.scenario(&shown));
    let files: Vec<(PathBuf, String)> = files.into_iter().collect();
    crate::init::write(&args.dir, &files, args.force)?;
    told::out(&said(&log, &load, &fit, &files));
    Ok(ExitCode::Pass)
}

/// What was found, what was fitted, and what the fit leaves.
fn said(log: &Log, load: &Load, fit: &Fit, files: &[(PathBuf, String)]) -> String {
    let mut out = format!(
        "{} requests of {} clients in {:.0} s, {:.1} a second\n",
        log.seen.len(),
        load.clients,
        log.length.as_secs_f64(),
        log.seen.len() as f64 / log.length.as_secs_f64()
    );
    if let Some((line, why)) = &log.skipped_first {
        out += &format!("{} lines were left out, the first is line {line}: {why}\n", log.skipped);
    }
    out += &format!(
        "the busiest client makes {:.1} requests a second at its mean and {} in its busiest second; 99 % of clients at most {}\n",
        load.busiest_mean, load.busiest_second, load.p99_second
    );
    out += "\nRoutes, time of an answer in ms (the log, then the rehearsal with the fitted profiles)\n";
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
