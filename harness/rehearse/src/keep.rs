//! `compare`, `baseline` and `history`: runs that were made before.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;
use comparison::{ComparisonError, History, Kept, MINIMUM_EFFECT, Measured, trend, two};
use record::{Comparison, Conclusion, ExitCode, RunFolder};

use crate::against::exit;
use crate::args::Format;
use crate::failure::Failure;
use crate::machine::Began;
use crate::told;

/// Of `compare`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The run folder to compare with
    pub(crate) base: PathBuf,
    /// The run folder that is judged
    pub(crate) head: PathBuf,
    /// Changes smaller than this do not count, such as 3%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) min_effect: Option<f64>,
    /// What is printed: a summary for people, or `comparison.json`
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Of `baseline`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Hold later runs of the same scenario, backend and machine against this one
    Accept {
        /// The run folder
        run: PathBuf,
        /// The history it belongs to
        #[arg(long, value_name = "DIR")]
        history: PathBuf,
        /// Why, for whoever asks later
        #[arg(long)]
        reason: String,
        /// Accept a run that did not pass
        #[arg(long)]
        even_so: bool,
    },
    /// What was accepted, when, by whom and why
    List {
        /// The history
        #[arg(long, value_name = "DIR")]
        history: PathBuf,
    },
}

/// Of `history`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// The folder that `--history` named
    pub(crate) folder: PathBuf,
    /// Only this scenario
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Remove all but the newest runs of each scenario; accepted ones stay
    #[arg(long, value_name = "RUNS")]
    pub(crate) prune: Option<usize>,
}

/// `3%` or `0.03`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = text.trim().strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|value| value / scale);
    share.filter(|share| (0.0..1.0).contains(share)).ok_or_else(|| "write a share below 100 %, such as 3%".into())
}

/// `rehearse compare`.
pub(crate) fn compare(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let (base, head) = (Measured::read(&args.base)?, Measured::read(&args.head)?);
    let comparison = two(&base, &head, args.min_effect.unwrap_or(MINIMUM_EFFECT));
    match args.format {
        Format::Text => told::out(&comparison::text(&comparison)),
        Format::Json => told::json(&comparison),
    }
    if comparison.conclusion == record::Compared::Incomparable {
        return Err(Failure::usage(format!("these runs cannot be compared: {}", comparison.because)));
    }
    Ok(exit(&comparison, false))
}

/// `rehearse baseline`.
pub(crate) fn baseline(command: &BaselineCommand) -> Result<ExitCode, Failure> {
    match command {
        BaselineCommand::Accept { run, history, reason, even_so } => {
            let measured = Measured::read(run)?;
            let conclusion = measured.result.conclusion;
            if conclusion != Conclusion::Pass && !even_so {
                let conclusion = format!("{conclusion:?}").to_lowercase();
                return Err(ComparisonError::NotPassed { path: run.clone(), conclusion }.into());
            }
            if reason.trim().is_empty() {
                return Err(Failure::usage("--reason is empty: say why later runs are held against this one"));
            }
            let kept = Kept::of(&measured, commit());
            let path = History::at(history).accept(&kept, reason, &author(), &Began::now().started())?;
            told::out(&format!("accepted: {}\n", path.display()));
        }
        BaselineCommand::List { history } => {
            let history = History::at(history);
            for scenario in history.scenarios()? {
                for accepted in history.accepted(&scenario)? {
                    told::out(&format!(
                        "{scenario}  {}  {} by {}: {}\n",
                        accepted.run, accepted.at, accepted.by, accepted.reason
                    ));
                }
            }
        }
    }
    Ok(ExitCode::Pass)
}

/// `rehearse history`.
pub(crate) fn history(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let history = History::at(&args.folder);
    if let Some(keep) = args.prune {
        let removed = history.prune(keep)?;
        told::out(&format!("removed {} runs\n", removed.len()));
    }
    let mut any = false;
    for scenario in history.scenarios()? {
        if args.scenario.as_ref().is_some_and(|wanted| *wanted != scenario) {
            continue;
        }
        let mut runs = history.runs(&scenario)?;
        // Only runs of one backend and machine make a series.
        while let Some((_, newest)) = runs.last() {
            let (backend, machine) = (newest.backend.clone(), newest.machine.clone());
            let alike = |run: &Kept| run.backend == backend && (backend == "simulated" || run.machine == machine);
            let (series, rest): (Vec<_>, Vec<_>) = runs.into_iter().partition(|(_, run)| alike(run));
            runs = rest;
            any = true;
            told::out(&series_in_words(&scenario, &series));
            if let Some(control) = history.control(&scenario, &backend, &machine)? {
                told::out(&format!(
                    "  control: {} of {} comparisons with itself cried, at most {:.1} % false alarms{}\n",
                    control.alarms,
                    control.runs,
                    control.upper * 100.0,
                    if control.demoted { ": the gate only advises" } else { "" }
                ));
            }
        }
    }
    if !any {
        told::out("no run is kept here yet: `rehearse run --history DIR` adds one\n");
    }
    Ok(ExitCode::Pass)
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

fn series_in_words(scenario: &str, series: &[(PathBuf, Kept)]) -> String {
    let Some((_, newest)) = series.last() else { return String::new() };
    let machine = if newest.machine.is_empty() { String::new() } else { format!(", {}", newest.machine) };
    let mut out =
        format!("{scenario}, {}{machine}: {} runs, the last {}\n", newest.backend, series.len(), newest.started);
    for trend in trend(series) {
        let (low, high) = trend.p95_ms.iter().fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
        let bar = |value: &f64| BARS[(((value - low) / (high - low).max(1e-9)) * 7.0) as usize];
        let from = trend.p95_ms.len().saturating_sub(40);
        let bars: String = trend.p95_ms[from..].iter().map(bar).collect();
        out += &format!("  {:<24} p95 {:>8.1} ms  {bars}\n", trend.step, trend.p95_ms.last().copied().unwrap_or(0.0));
        for change in &trend.changes {
            let told = |(at, commit): &(String, Option<String>)| {
                commit.as_ref().map_or_else(|| at.clone(), |commit| format!("{at} ({commit:.12})"))
            };
            out += &format!(
                "    {:+.0} % between {} and {}\n",
                change.change * 100.0,
                told(&change.last_before),
                told(&change.first_after)
            );
        }
    }
    out
}

/// Adds a run to its history, and holds it against the accepted baseline, if there is one.
pub(crate) fn remember(history: &Path, run: &Path) -> Result<Option<Comparison>, Failure> {
    let measured = Measured::read(run)?;
    let history = History::at(history);
    let kept = Kept::of(&measured, commit());
    // A run that does not count would be a bad memory.
    if !matches!(measured.result.conclusion, Conclusion::Invalid | Conclusion::Interrupted) {
        history.add(&kept)?;
    }
    let Some((accepted, base)) = history.baseline(&kept)? else { return Ok(None) };
    let mut comparison = two(&base.measured(&measured), &measured, MINIMUM_EFFECT);
    comparison.notes.push(format!("baseline accepted {} by {}: {}", accepted.at, accepted.by, accepted.reason));
    comparison.control = history.control(&kept.scenario.name, &kept.backend, &kept.machine)?;
    RunFolder::add_json(run, "comparison.json", &comparison)?;
    Ok(Some(comparison))
}

/// The commit under test, as CI or the repository of the current folder tells it.
fn commit() -> Option<String> {
    std::env::var("GITHUB_SHA").ok().or_else(|| git(&["rev-parse", "HEAD"]))
}

fn author() -> String {
    git(&["config", "user.name"]).or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "somebody".into())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
