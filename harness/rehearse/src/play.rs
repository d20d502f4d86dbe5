//! `run`, `simulate` and `report`: play, judge, write, tell.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Conclusion, Deaf, Environment, ExitCode, Expected, Finding, Observation, Observed, RunFolder, RunResult};
use reports::{Played, Twin};
use scenarios::Plan;
use simulation::Settings;
use stage::EmbeddedSettings;

use crate::args::{Format, PlayArgs, Undecided};
use crate::failure::Failure;
use crate::machine::{self, Began};
use crate::progress::Progress;
use crate::resolve::Rehearsal;
use crate::told;

const EMBEDDED: &str = "embedded";
pub(crate) const SIMULATED: &str = "simulated";

/// `rehearse run`.
pub(crate) fn run(args: &PlayArgs) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let rehearsal = Rehearsal::resolve(args, EMBEDDED)?;
    let open_files = machine::raise_open_files();
    let driver = std::env::current_exe()
        .map_err(|error| Failure::usage(format!("cannot find the program that drives load: {error}")))?;
    let mut progress = begin(args, &rehearsal, &began)?;
    let settings =
        EmbeddedSettings { driver, cluster: cluster::ClusterConfig::default(), keep_observations: true, open_files };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Backend, &error))?;
    let played = runtime.block_on(async {
        let plan = Arc::clone(&rehearsal.plan);
        stage::play(plan, rehearsal.watches.clone(), settings, &mut progress, machine::interrupts()).await
    });
    // Pods and connections go with the runtime; nothing is worth waiting for.
    runtime.shutdown_background();
    let mut observed = played?;
    let live = std::mem::take(&mut observed.observations);
    let result = conclude(&rehearsal, EMBEDDED, observed);
    let twin = match result.conclusion {
        Conclusion::Interrupted => None,
        _ => Some(twin(&rehearsal, &live, &progress)?),
    };
    let ended = Ended { result, twin, environment: began.environment(open_files) };
    finish(args, &rehearsal, &progress, &ended)
}

/// `rehearse simulate`.
pub(crate) fn simulate(args: &PlayArgs) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let rehearsal = Rehearsal::resolve(args, SIMULATED)?;
    let mut progress = begin(args, &rehearsal, &began)?;
    let watches = rehearsal.watches.clone();
    let simulated = simulation::simulate(&rehearsal.plan, watches, &Settings::default(), &mut progress)?;
    let result = conclude(&rehearsal, SIMULATED, simulated.observed);
    let ended = Ended { result, twin: None, environment: began.environment(machine::raise_open_files()) };
    finish(args, &rehearsal, &progress, &ended)
}

/// `rehearse report`.
pub(crate) fn report(folder: &Path) -> Result<ExitCode, Failure> {
    let rendered = reports::render(folder)?;
    let result: RunResult = RunFolder::read_json(folder, "result.json")?;
    let asked = RunFolder::read_json(folder, "run.json")?;
    told::out(&reports::terminal(&result, &asked, width(), color()));
    told::out(&format!("report: {}\n", rendered.report.display()));
    Ok(result.conclusion.exit())
}

fn begin(args: &PlayArgs, rehearsal: &Rehearsal, began: &Began) -> Result<Progress, Failure> {
    let name = format!("{}-{}-{}", rehearsal.asked.scenario, rehearsal.asked.backend, began.stamp());
    let folder = RunFolder::create(&args.out, &name, &rehearsal.asked)?;
    let progress = Progress::new(folder, args.quiet)?;
    let asked = &rehearsal.asked;
    let platform = &asked.platform;
    let on = if platform.overlay.is_empty() {
        format!("{} ({})", platform.source, platform.digest)
    } else {
        format!("{} ({}, {})", platform.overlay, platform.source, platform.digest)
    };
    progress.say(&format!("{} on {on}, {} backend, seed {}", asked.scenario, asked.backend, asked.seed.get()));
    Ok(progress)
}

fn conclude(rehearsal: &Rehearsal, backend: &str, observed: Observed) -> RunResult {
    let findings = ::lint::findings(&rehearsal.plan, &rehearsal.provided);
    judge(rehearsal, &rehearsal.plan, backend, findings, observed)
}

/// The verdict over one run of `plan`, which may be a variation of the rehearsal's.
pub(crate) fn judge(
    rehearsal: &Rehearsal,
    plan: &Plan,
    backend: &str,
    findings: Vec<Finding>,
    observed: Observed,
) -> RunResult {
    let mut checks = reports::validity(&observed.recording, rehearsal.tightest_limit());
    checks.extend(observed.checks);
    let mut expectations = observed.expectations;
    expectations.extend(observed.aborted.map(|reason| Expected {
        told: "the run is not given up before its end".into(),
        held: false,
        seen: reason,
    }));
    let played = Played {
        scenario: plan.scenario.clone(),
        platform: rehearsal.asked.platform.clone(),
        backend: backend.into(),
        seed: plan.load.seed,
        load_start_us: observed.load_start.as_micros(),
        load_end_us: observed.load_end.as_micros(),
        phases: plan.load.phase_spans(observed.load_start),
        bounds: rehearsal.bounds(),
        chronicle: observed.chronicle,
        recording: observed.recording,
        expectations,
        checks,
        findings,
        stand_ins: rehearsal.stand_ins.clone(),
        interrupted: observed.interrupted,
    };
    reports::conclude(played, &rehearsal.objectives)
}

/// What a run leaves, in the order in which it is written.
struct Ended {
    result: RunResult,
    twin: Option<Twin>,
    environment: Environment,
}

/// The same scenario and seed in virtual time, held against what was seen live.
fn twin(rehearsal: &Rehearsal, live: &[Observation], progress: &Progress) -> Result<Twin, Failure> {
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let simulated = simulation::simulate(&rehearsal.plan, rehearsal.watches.clone(), &settings, &mut Deaf)?;
    let twin = reports::compare(live, &simulated.observed.observations, &rehearsal.plan.load.step_plans());
    progress.say(if twin.agrees() {
        "the simulated twin agrees"
    } else {
        "the simulated twin differs: see Trust in the report"
    });
    Ok(twin)
}

/// Writes what there is to write, tells what there is to tell, and finds the exit code.
fn finish(args: &PlayArgs, rehearsal: &Rehearsal, progress: &Progress, ended: &Ended) -> Result<ExitCode, Failure> {
    let written = write(progress, ended);
    let result = &ended.result;
    match args.format {
        Format::Text => told::out(&reports::terminal(result, &rehearsal.asked, width(), color())),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(result).expect("the contract's types have only text keys");
            json.push('\n');
            told::out(&json);
        }
    }
    // Only now: what was measured has been told, even if no file could be written.
    let report = written?;
    if args.format == Format::Text {
        told::out(&format!("report: {}\n", report.display()));
    }
    Ok(match (result.conclusion, args.undecided) {
        (Conclusion::Undecided, Undecided::Pass) => ExitCode::Pass,
        (conclusion, _) => conclusion.exit(),
    })
}

fn write(progress: &Progress, ended: &Ended) -> Result<PathBuf, Failure> {
    let folder = &progress.folder;
    folder.result(&ended.result)?;
    if let Some(twin) = &ended.twin {
        folder.write_json("twin.json", twin)?;
    }
    folder.environment(&ended.environment)?;
    let rendered = reports::render(folder.path())?;
    match &progress.trouble {
        Some(trouble) => Err(Failure::new(ExitCode::Backend, trouble)),
        None => Ok(rendered.report),
    }
}

pub(crate) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Columns to fill.
pub(crate) fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}
