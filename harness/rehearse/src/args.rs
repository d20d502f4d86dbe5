//! The command line as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use record::ExitCode;

/// Rehearse a Kubernetes platform before production does it for you.
#[derive(Debug, Parser)]
#[command(version, about, after_help = exit_codes(), max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand the platform up in this process, drive a scenario at it, judge it
    Run(PlayArgs),
    /// The same in virtual time: the same rules, scenario and seed, in a moment
    Simulate(PlayArgs),
    /// Render the reports of a run folder again
    Report {
        /// The run folder
        folder: PathBuf,
    },
    /// List the scenarios that are shipped
    List,
    /// The load driver; `run` starts it by itself
    #[command(hide = true)]
    Drive,
}

/// What `run` and `simulate` share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// A shipped scenario's name (see `rehearse list`) or a scenario file
    #[arg(default_value = "smoke")]
    pub(crate) scenario: String,
    /// A kustomization directory, a directory of manifests or a rendered file; the built-in platform if left out
    #[arg(long, value_name = "SRC")]
    pub(crate) platform: Option<PathBuf>,
    /// Which overlay of the platform
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub(crate) overlay: String,
    /// The nodes that pods are scheduled to; the built-in ones if left out
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: Option<PathBuf>,
    /// All chance follows from it: same seed, same arrivals and same service times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where run folders go
    #[arg(long, value_name = "DIR", default_value = "rehearsals")]
    pub(crate) out: PathBuf,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// No progress on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How an undecided objective ends: `fail` with exit code 91, or `pass`
    #[arg(long, value_enum, default_value_t = Undecided::Fail)]
    pub(crate) undecided: Undecided,
}

/// What is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A summary for people.
    Text,
    /// `result.json`.
    Json,
}

/// What an undecided gating objective means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Undecided {
    /// 91.
    Fail,
    /// 0.
    Pass,
}

fn exit_codes() -> String {
    let lines = ExitCode::ALL.iter().map(|code| format!("  {:>3}  {}", code.code(), code.meaning()));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
