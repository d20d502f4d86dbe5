//! `rehearse`: the command. Owns the process: arguments, output, signals and exit codes. What a rehearsal is, the
//! crates below know.

mod against;
mod alerts;
mod args;
mod backend;
mod calibrate;
mod capacity;
mod clusters;
mod confirm;
mod containers;
mod control_plane;
mod doctor;
mod embedded;
mod failure;
mod gateway;
mod hpa;
mod init;
mod keep;
mod lint;
mod live;
mod machine;
mod merge;
mod play;
mod probe;
mod progress;
mod project;
mod recover;
mod release;
mod replications;
mod resolve;
mod schema;
mod situation;
mod told;

use std::process::ExitCode as Process;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use failure::Failure;
use record::ExitCode;

fn main() -> Process {
    let args = Args::parse();
    let ended = match args.command {
        Command::Run(args) => play::run(&args),
        Command::Simulate(args) if args.seeds.is_some() || args.predictive => replications::simulate(&args),
        Command::Simulate(args) => play::simulate(&args.play),
        Command::Report { folder, beside, open } => play::report(&folder, beside.as_deref(), open),
        Command::Compare(args) => keep::compare(&args),
        Command::Baseline(command) => keep::baseline(&command),
        Command::History(args) => keep::history(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Release(args) => release::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Alerts(args) => alerts::alerts(&args),
        Command::List => told::list(),
        Command::Doctor => Ok(doctor::doctor()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "rehearse", &mut std::io::stdout());
            Ok(ExitCode::Pass)
        }
        Command::Schema { name } => schema::schema(name.as_deref()),
        Command::Gateway(args) => gateway::run(&args),
        Command::Hpa(args) => hpa::run(&args),
        Command::Init(args) => init::init(&args),
        Command::Lint(args) => lint::lint(&args),
        Command::Explain { id } => lint::explain(id.as_deref()),
        Command::Kubernetes(command) => control_plane::command(&command),
        Command::Clean { dry_run } => control_plane::clean(dry_run),
        Command::Child { args } => control_plane::child(&args),
        Command::Images(command) => containers::images(&command),
        Command::Reap { run } => containers::reap(&run),
        Command::Drive => driver::drive().map(|()| ExitCode::Pass).map_err(|error| Failure::internal(&error)),
    };
    let code = ended.unwrap_or_else(|failure| {
        told::failure(&failure);
        failure.code
    });
    Process::from(code.code())
}
