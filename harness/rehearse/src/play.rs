//! `run`, `simulate` and `report`: play, judge, write, tell.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{
    Comparison, Conclusion, Deaf, Environment, ExitCode, Expected, Finding, Observation, Observed, RunFolder, RunResult,
};
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

/// Where a rehearsal is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Embedded,
    Simulated,
}

impl Backend {
    const fn named(self) -> &'static str {
        match self {
            Self::Embedded => EMBEDDED,
            Self::Simulated => SIMULATED,
        }
    }
}

/// `rehearse run`.
pub(crate) fn run(args: &PlayArgs) -> Result<ExitCode, Failure> {
    command(args, Backend::Embedded)
}

/// `rehearse simulate`.
pub(crate) fn simulate(args: &PlayArgs) -> Result<ExitCode, Failure> {
    command(args, Backend::Simulated)
}

fn command(args: &PlayArgs, backend: Backend) -> Result<ExitCode, Failure> {
    if args.control || args.against.is_some() {
        return crate::against::against(args, backend, args.against.as_deref());
    }
    let began = Began::now();
    let mut rehearsal = Rehearsal::resolve(args, backend.named())?;
    let mut progress = begin(args, &rehearsal, &began)?;
    let mut ended = play(&rehearsal, backend, &mut progress, &began, true)?;
    // What makes a live run invalid is the machine's hour; virtual time would do the same again.
    if ended.result.conclusion == Conclusion::Invalid && backend != Backend::Simulated {
        write(args, &progress, &ended)?;
        progress
            .say(&format!("the run is invalid and kept in {}; it is repeated once", progress.folder.path().display()));
        let began = Began::now();
        rehearsal = Rehearsal::resolve(args, backend.named())?;
        progress = begin(args, &rehearsal, &began)?;
        ended = play(&rehearsal, backend, &mut progress, &began, true)?;
    }
    finish(args, &rehearsal, &progress, &ended)
}

/// One block of a comparison.
pub(crate) struct Block {
    pub(crate) folder: PathBuf,
    pub(crate) conclusion: Conclusion,
}

/// Plays one block of a comparison into the folder `name` of the output folder, without a word.
pub(crate) fn block(args: &PlayArgs, backend: Backend, name: &str) -> Result<Block, Failure> {
    let began = Began::now();
    let rehearsal = Rehearsal::resolve(args, backend.named())?;
    let folder = RunFolder::create(&args.out, name, &rehearsal.asked)?;
    let mut progress = Progress::new(folder, true)?;
    let ended = play(&rehearsal, backend, &mut progress, &began, false)?;
    let folder = &progress.folder;
    folder.result(&ended.result)?;
    folder.environment(&ended.environment)?;
    match progress.trouble {
        Some(trouble) => Err(Failure::new(ExitCode::Backend, &trouble)),
        None => Ok(Block { folder: folder.path().to_owned(), conclusion: ended.result.conclusion }),
    }
}

fn play(
    rehearsal: &Rehearsal,
    backend: Backend,
    progress: &mut Progress,
    began: &Began,
    with_twin: bool,
) -> Result<Ended, Failure> {
    let open_files = machine::raise_open_files();
    let (result, twin) = match backend {
        Backend::Embedded => {
            let mut observed = live(rehearsal, open_files, progress)?;
            let seen = std::mem::take(&mut observed.observations);
            let result = conclude(rehearsal, EMBEDDED, observed);
            let twin = match result.conclusion {
                Conclusion::Interrupted => None,
                _ if with_twin => Some(twin(rehearsal, &seen, progress)?),
                _ => None,
            };
            (result, twin)
        }
        Backend::Simulated => {
            let watches = rehearsal.watches.clone();
            let simulated = simulation::simulate(&rehearsal.plan, watches, &Settings::default(), progress)?;
            (conclude(rehearsal, SIMULATED, simulated.observed), None)
        }
    };
    Ok(Ended { result, twin, environment: began.environment(open_files) })
}

fn live(rehearsal: &Rehearsal, open_files: u64, progress: &mut Progress) -> Result<Observed, Failure> {
    let driver = std::env::current_exe()
        .map_err(|error| Failure::usage(format!("cannot find the program that drives load: {error}")))?;
    let settings =
        EmbeddedSettings { driver, cluster: cluster::ClusterConfig::default(), keep_observations: true, open_files };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Backend, &error))?;
    let played = runtime.block_on(async {
        let plan = Arc::clone(&rehearsal.plan);
        stage::play(plan, rehearsal.watches.clone(), settings, progress, machine::interrupts()).await
    });
    // Pods and connections go with the runtime; nothing is worth waiting for.
    runtime.shutdown_background();
    Ok(played?)
}

/// `rehearse report`.
pub(crate) fn report(folder: &Path, beside: Option<&Path>, open: bool) -> Result<ExitCode, Failure> {
    let rendered = reports::render_beside(folder, beside)?;
    let result: RunResult = RunFolder::read_json(folder, "result.json")?;
    let asked = RunFolder::read_json(folder, "run.json")?;
    told::out(&reports::terminal(&result, &asked, width(), color()));
    told::out(&format!("report: {}\n", rendered.report.display()));
    if open {
        machine::show(&rendered.report)?;
    }
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
    judge(rehearsal, &rehearsal.plan, backend, findings(rehearsal), observed)
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
        demands: plan.demands(),
        expectations,
        checks,
        findings,
        stand_ins: rehearsal.stand_ins.clone(),
        not_judged: rehearsal.not_judged.clone(),
        alpha_share: 1.0,
        interrupted: observed.interrupted,
    };
    reports::conclude(played, &rehearsal.objectives)
}

/// What bites that no objective shows, then what the manifests declare and nobody played.
fn findings(rehearsal: &Rehearsal) -> Vec<Finding> {
    let mut all = ::lint::told(&rehearsal.findings);
    all.extend(rehearsal.plan.platform.not_rehearsed.iter().map(|(what, place)| Finding {
        id: "not-rehearsed".into(),
        consequence: what.clone(),
        because: String::new(),
        place: place.to_string(),
    }));
    all
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
    let mut simulated =
        simulation::simulate(&rehearsal.plan, rehearsal.watches.clone(), &settings, &mut Deaf)?.observed;
    let observations = std::mem::take(&mut simulated.observations);
    let twin = reports::compare(live, &observations, &rehearsal.plan.load.step_plans());
    let twin = twin.reaching(conclude(rehearsal, SIMULATED, simulated));
    progress.say(if twin.agrees() {
        "the simulated twin agrees"
    } else {
        "the simulated twin differs: see Trust in the report"
    });
    Ok(twin)
}

/// Writes what there is to write, tells what there is to tell, and finds the exit code.
fn finish(args: &PlayArgs, rehearsal: &Rehearsal, progress: &Progress, ended: &Ended) -> Result<ExitCode, Failure> {
    let written = write(args, progress, ended);
    let result = &ended.result;
    match args.format {
        Format::Text => told::out(&reports::terminal(result, &rehearsal.asked, width(), color())),
        Format::Json => told::json(result),
    }
    // Only now: what was measured has been told, even if no file could be written.
    let (report, comparison) = written?;
    if args.format == Format::Text {
        if let Some(comparison) = &comparison {
            told::out(&format!("\nAgainst the baseline\n{}\n", comparison::text(comparison)));
        }
        told::out(&format!("report: {}\n", report.display()));
    }
    let code = match (result.conclusion, args.undecided) {
        (Conclusion::Undecided, Undecided::Pass) => ExitCode::Pass,
        (conclusion, _) => conclusion.exit(),
    };
    let against = comparison.as_ref().map_or(ExitCode::Pass, |comparison| crate::against::exit(comparison, false));
    Ok(code.worse(against))
}

fn write(args: &PlayArgs, progress: &Progress, ended: &Ended) -> Result<(PathBuf, Option<Comparison>), Failure> {
    let folder = &progress.folder;
    folder.result(&ended.result)?;
    if let Some(twin) = &ended.twin {
        folder.write_json("twin.json", twin)?;
    }
    folder.environment(&ended.environment)?;
    let history = args.history.as_deref();
    let comparison = history.map(|history| crate::keep::remember(history, folder.path())).transpose()?.flatten();
    let rendered = reports::render(folder.path())?;
    match &progress.trouble {
        Some(trouble) => Err(Failure::new(ExitCode::Backend, trouble)),
        None => Ok((rendered.report, comparison)),
    }
}

pub(crate) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Columns to fill.
pub(crate) fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(100)
}
