//! `calibrate postgres` and `calibrate redis`: the model of the data layer held against real servers.
//!
//! Owns the experiment: a real server of this machine, started for it and stopped after it (`child`), asked by so many
//! at once and no more than a second each (`postgres`, `redis`, `sentinel`); the model's own machines asked in the same
//! way in virtual time (`closed`); and what the two say, side by side. The server has one core to itself, so that the
//! model knows how many it has; whoever asks has the others.

mod child;
mod closed;
mod fit;
mod postgres;
mod redis;
mod sentinel;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use model::data::Figures;
use record::ExitCode;
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::told;

/// The file that figures are written to, and that a project reads by its key `data`.
const FILE: &str = "data.yaml";
/// How many ask at once.
const AT_ONCE: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Which server.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Hold the model of PostgreSQL against a real one, started here for some seconds, and write what was measured
    Postgres {
        /// Its `max_connections`, which is filled up once
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=1_000))]
        max_connections: u32,
        #[command(flatten)]
        out: OutArgs,
    },
    /// Hold the model of Redis against a real one, its restart and its sentinels included, and write what was measured
    Redis {
        /// How often a master is killed under three sentinels; each takes some 15 s
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=50))]
        failovers: u32,
        #[command(flatten)]
        out: OutArgs,
    },
}

/// What becomes of the figures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OutArgs {
    /// Where data.yaml is written; figures of the other server in it are kept
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Write over figures that are there
    #[arg(long)]
    force: bool,
    /// Also write what single statements cost: every query of an assumed profile then costs as little
    #[arg(long)]
    statements: bool,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A measurement, and what the model says of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// What was done.
    what: &'static str,
    /// By so many at once, or with so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    unit: &'static str,
    measured: f64,
    model: f64,
    /// Of the model, as a share of what was measured.
    error: f64,
}

impl Point {
    pub(crate) fn new(what: &'static str, of: Option<String>, unit: &'static str, measured: f64, model: f64) -> Self {
        let error = model / measured.max(f64::MIN_POSITIVE) - 1.0;
        Self { what, of, unit, measured, model, error }
    }

    fn line(&self) -> String {
        let of = self.of.as_deref().unwrap_or_default();
        let digits = if self.unit.is_empty() { 0 } else { 3 };
        format!(
            "  {:<34} {of:>10}  {:>11.digits$}  {:>11.digits$} {:<2}  {:>+6.0} %\n",
            self.what,
            self.measured,
            self.model,
            self.unit,
            self.error * 100.0
        )
    }
}

/// What an experiment came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Calibration {
    schema: &'static str,
    /// The server, and where it ran.
    server: String,
    points: Vec<Point>,
    /// What else there is to know.
    told: Vec<String>,
    figures: Figures,
}

/// `rehearse calibrate postgres` and `redis`.
pub(crate) fn run(command: &ServerCommand) -> Result<ExitCode, Failure> {
    let (out, name) = match command {
        ServerCommand::Postgres { out, .. } => (out, "postgres"),
        ServerCommand::Redis { out, .. } => (out, "redis"),
    };
    // What is there is read before anything is started: what cannot be written should not be measured.
    let file = if out.dir == Path::new(".") { PathBuf::from(FILE) } else { out.dir.join(FILE) };
    let there = figures(&file)?;
    let taken = match command {
        ServerCommand::Postgres { .. } => there.postgres.is_some(),
        ServerCommand::Redis { .. } => there.redis.is_some(),
    };
    if taken && !out.force {
        let text = format!("{} has figures of {name} already; give --force to write over them", file.display());
        return Err(Failure::usage(text));
    }
    let wrong = |why: String| Failure::of_backend(format!("calibrate {name}: {why}"));
    let mut calibration = match command {
        ServerCommand::Postgres { max_connections, .. } => postgres::measure(*max_connections).map_err(wrong)?,
        ServerCommand::Redis { failovers, .. } => redis::measure(*failovers).map_err(wrong)?,
    };
    let mut all = there;
    all.postgres = calibration.figures.postgres.clone().or(all.postgres);
    all.redis = calibration.figures.redis.clone().or(all.redis);
    if !out.statements {
        if let (ServerCommand::Postgres { .. }, Some(postgres)) = (command, &mut all.postgres) {
            (postgres.read, postgres.write) = (None, None);
        }
        if let (ServerCommand::Redis { .. }, Some(redis)) = (command, &mut all.redis) {
            redis.operation = None;
        }
    }
    let text = format!("# Figures of servers, measured: `data: {FILE}` in rehearse.yaml uses them.\n{}", all.to_yaml());
    fs::create_dir_all(&out.dir)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", file.display())))?;
    match out.format {
        Format::Json => told::json(&calibration),
        Format::Text => {
            if !out.statements {
                calibration.told.push(
                    "what single statements cost is not written, for a service's own queries cost more; --statements \
                     has assumed profiles cost that"
                        .to_owned(),
                );
            }
            told::out(&said(&calibration, &file));
        }
    }
    Ok(ExitCode::Pass)
}

fn figures(file: &Path) -> Result<Figures, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => Figures::parse(&text).map_err(|why| Failure::usage(format!("{}: {why}", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Figures::new()),
        Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", file.display()))),
    }
}

fn said(calibration: &Calibration, file: &Path) -> String {
    let mut out = format!("{}\n\n", calibration.server);
    out += &format!("  {:<34} {:>10}  {:>11}  {:>11}     {:>8}\n", "", "at once", "measured", "model", "error");
    out.extend(calibration.points.iter().map(Point::line));
    out.push('\n');
    out.extend(calibration.told.iter().map(|line| format!("{line}\n")));
    out += &format!("\nwrote {}; `data: {FILE}` in rehearse.yaml has rehearsals use it\n", file.display());
    out
}
