//! `run`, `simulate` and `report`: play, judge, write, tell.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use ::alerts::Store;
use platform::Node;
use record::{
    Comparison, Conclusion, Deaf, Environment, ExitCode, Expected, Finding, Limit, Look, Observed, PlatformStamp,
    RunFolder, RunResult, Sample,
};
use reports::{Played, Twin};
use scenarios::Plan;
use simulation::Settings;
use units::Nanos;

use crate::alerts::{self, Server};
use crate::args::{Format, LiveArgs, PlayArgs, RunArgs, Undecided};
use crate::backend::Backend;
use crate::embedded::{Embedded, Under};
use crate::failure::Failure;
use crate::live::Head;
use crate::machine::{self, Began};
use crate::progress::{Progress, Show, colored};
use crate::resolve::Rehearsal;
use crate::{clusters, recover, told};

/// Where a rehearsal is played, ready to play it.
pub(crate) enum Stage {
    Embedded(Box<Embedded>),
    Simulated,
}

impl Stage {
    pub(crate) fn of(backend: Backend, live: &LiveArgs) -> Result<Self, Failure> {
        Ok(match backend {
            Backend::Embedded => Self::Embedded(Box::new(Embedded::new(live, Some(Under::Rules))?)),
            Backend::ControlPlane => {
                let programs = kubernetes::Programs::find(live.means.kube_bin_dir.as_deref())?;
                Self::Embedded(Box::new(Embedded::new(live, Some(Under::ControlPlane(programs)))?))
            }
            Backend::Containers => Self::Embedded(Box::new(Embedded::new(live, Some(Under::Containers))?)),
            Backend::Kubernetes => Self::Embedded(Box::new(Embedded::new(live, None)?)),
            Backend::Simulated => Self::Simulated,
        })
    }

    /// Sees to it that it can be had, and adds to the rehearsal what it will be made of.
    pub(crate) fn prepare(&self, rehearsal: &mut Rehearsal) -> Result<(), Failure> {
        match self {
            Self::Embedded(embedded) => embedded.prepare(rehearsal),
            Self::Simulated => Ok(()),
        }
    }

    /// Finds what this machine carries, where load is real, and refuses a rehearsal that asks for more.
    pub(crate) fn probe(&mut self, rehearsal: &Rehearsal, args: &PlayArgs) -> Result<(), Failure> {
        match self {
            Self::Embedded(embedded) => embedded.probe(rehearsal, args),
            Self::Simulated => Ok(()),
        }
    }

    /// The nodes that it has of its own.
    fn nodes(&self) -> Option<Vec<Node>> {
        match self {
            Self::Embedded(embedded) => embedded.nodes(),
            Self::Simulated => None,
        }
    }

    /// Finds what this machine carries, where load is real: requests a second that a run may ask for.
    pub(crate) fn measure(&mut self) -> Result<Option<f64>, Failure> {
        match self {
            Self::Embedded(embedded) => Ok(Some(crate::probe::safe(embedded.measure()?))),
            Self::Simulated => Ok(None),
        }
    }

    /// Why this machine cannot play a plan, after it was measured.
    pub(crate) fn beyond(&self, plan: &Plan) -> Option<String> {
        match self {
            Self::Embedded(embedded) => embedded.beyond(plan),
            Self::Simulated => None,
        }
    }
}

/// `rehearse run`.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    command(&args.play, args.live.backend(), &args.live)
}

/// `rehearse simulate`.
pub(crate) fn simulate(args: &PlayArgs) -> Result<ExitCode, Failure> {
    command(args, Backend::Simulated, &LiveArgs::default())
}

fn command(args: &PlayArgs, backend: Backend, live: &LiveArgs) -> Result<ExitCode, Failure> {
    if args.control || args.against.is_some() {
        return crate::against::against(args, backend, args.against.as_deref());
    }
    let resolve = |args: &PlayArgs, nodes: Option<Vec<Node>>| {
        let mut rehearsal = Rehearsal::resolve_on(args, backend, nodes)?;
        rehearsal.asked.command += &live.means.repeated();
        Ok::<_, Failure>(rehearsal)
    };
    // Faults name nodes, and where a cluster has its own, those are the ones that are meant.
    let mut reached = None;
    let on = match (backend, live.means.cluster.kind) {
        (Backend::Kubernetes, true) => Some(clusters::nodes_of_kind()?),
        (Backend::Kubernetes, false) => reached.insert(Stage::of(backend, live)?).nodes(),
        _ => None,
    };
    let mut rehearsal = resolve(args, on)?;
    if let Some(most) = args.extend {
        let steady = rehearsal.steady();
        if most <= steady {
            return Err(Failure::usage(format!(
                "--extend {most}: the steady phases last {steady} already; allow more"
            )));
        }
        rehearsal.look(Look { nth: 1, of: 2, steady_us: steady.as_micros(), before: None });
    }
    let known = reached.is_some();
    let mut stage = match reached {
        Some(stage) => stage,
        None => Stage::of(backend, live)?,
    };
    if let Some(nodes) = stage.nodes().filter(|_| !known) {
        let look = rehearsal.look.take();
        rehearsal = resolve(args, Some(nodes))?;
        rehearsal.look = look;
    }
    stage.prepare(&mut rehearsal)?;
    stage.probe(&rehearsal, args)?;
    let show = match (args.quiet, live.no_tui || backend == Backend::Simulated) {
        (true, _) => Show::Nothing,
        (false, true) => Show::Lines,
        (false, false) => Show::Screen,
    };
    let (mut progress, mut ended) = played(args, &rehearsal, &stage, show, None)?;
    if let Some((longer, look)) = extended(args, &rehearsal, &progress, &ended) {
        write(args, &progress, &ended)?;
        progress.say(&format!(
            "the run cannot decide and is kept in {}; it is played once more with {} of steady load",
            progress.folder.path().display(),
            longer.duration.unwrap_or_default()
        ));
        let command = rehearsal.asked.command.clone();
        rehearsal = resolve(&longer, stage.nodes())?;
        rehearsal.asked.command = command;
        rehearsal.look(look);
        stage.prepare(&mut rehearsal)?;
        (progress, ended) = played(args, &rehearsal, &stage, show, None)?;
    }
    finish(args, &rehearsal, &progress, &ended)
}

/// Plays a rehearsal into a new folder, called `name` or by what it is. A live run that is invalid is repeated once: what
/// makes it so is the machine's hour, and virtual time would do the same again.
fn played(
    args: &PlayArgs,
    rehearsal: &Rehearsal,
    stage: &Stage,
    show: Show,
    name: Option<&str>,
) -> Result<(Progress, Ended), Failure> {
    let mut again = rehearsal.backend != Backend::Simulated;
    loop {
        let began = Began::now();
        let mut progress = begin(args, rehearsal, &began, show, name)?;
        let ended = play(rehearsal, stage, &mut progress, &began, true)?;
        // A control plane of our own is started anew; where a cluster does not answer, nothing is to be had by asking again.
        let lost = |check: &record::Check| !check.ok && check.name == stage::CONTROL_LOST;
        let gone = rehearsal.backend == Backend::Kubernetes && ended.result.checks.iter().any(lost);
        if ended.result.conclusion != Conclusion::Invalid || !again || gone {
            return Ok((progress, ended));
        }
        write(args, &progress, &ended)?;
        let folder = progress.folder.path().display();
        progress.say(&format!("the run is invalid and kept in {folder}; it is repeated once"));
        again = false;
    }
}

/// What is to be played instead of a run that could not decide, if a longer one is allowed and would help.
fn extended(args: &PlayArgs, rehearsal: &Rehearsal, progress: &Progress, ended: &Ended) -> Option<(PlayArgs, Look)> {
    let (most, factor) = (args.extend?, reports::extension(&ended.result)?);
    let steady = rehearsal.steady();
    let wanted = Nanos::from_secs_f64(steady.as_secs_f64() * factor).ceil_to_second().min(most);
    let before = progress.folder.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let look = Look { nth: 2, of: 2, steady_us: wanted.as_micros(), before };
    (wanted > steady).then(|| (PlayArgs { duration: Some(wanted), ..args.clone() }, look))
}

/// One block of a comparison.
pub(crate) struct Block {
    pub(crate) folder: PathBuf,
    pub(crate) conclusion: Conclusion,
}

/// Plays one block of a comparison into the folder `name` of the output folder, without a word.
pub(crate) fn block(args: &PlayArgs, backend: Backend, name: &str) -> Result<Block, Failure> {
    let mut rehearsal = Rehearsal::resolve(args, backend)?;
    let stage = Stage::of(backend, &LiveArgs::default())?;
    stage.prepare(&mut rehearsal)?;
    let folder = RunFolder::create(&args.out, name, &rehearsal.asked)?;
    let mut progress = Progress::new(folder, head(&rehearsal), Show::Nothing, false)?;
    let ended = play(&rehearsal, &stage, &mut progress, &Began::now(), false)?;
    let folder = &progress.folder;
    folder.result(&ended.result)?;
    folder.environment(&ended.environment)?;
    match progress.trouble {
        Some(trouble) => Err(Failure::new(ExitCode::Backend, &trouble)),
        None => Ok(Block { folder: folder.path().to_owned(), conclusion: ended.result.conclusion }),
    }
}

/// What a run came to that answers somebody else's question.
pub(crate) struct Point {
    pub(crate) result: RunResult,
    pub(crate) report: PathBuf,
}

/// Plays a rehearsal as `run` does, into the folder `name` of the output folder, with all its files and without a word.
pub(crate) fn point(args: &PlayArgs, rehearsal: &Rehearsal, stage: &Stage, name: &str) -> Result<Point, Failure> {
    let (progress, ended) = played(args, rehearsal, stage, Show::Nothing, Some(name))?;
    let (report, _) = write(args, &progress, &ended)?;
    Ok(Point { result: ended.result, report })
}

fn play(
    rehearsal: &Rehearsal,
    stage: &Stage,
    progress: &mut Progress,
    began: &Began,
    with_twin: bool,
) -> Result<Ended, Failure> {
    let mut environment = began.environment(machine::raise_open_files());
    let mut server = Server::of(&rehearsal.plan);
    let (result, twin) = match stage {
        Stage::Embedded(embedded) => {
            environment.notes.extend(embedded.carried().map(|carried| ("self-probe".to_owned(), carried)));
            environment.notes.extend(embedded.decides().map(|decides| ("control plane".to_owned(), decides)));
            let mut observed = embedded.play(rehearsal, progress, server.as_mut())?;
            let seen = std::mem::take(&mut observed.observations);
            let result = conclude(rehearsal, rehearsal.backend, observed);
            let twin = match result.conclusion {
                Conclusion::Interrupted => None,
                _ if with_twin => Some(twin(rehearsal, seen)?),
                _ => None,
            };
            (result, twin)
        }
        Stage::Simulated => {
            let watches = rehearsal.watches.clone();
            let scraper = server.as_mut().map(|server| &mut server.scraper);
            let settings = Settings::default();
            let simulated = simulation::simulate_scraped(&rehearsal.plan, watches, &settings, progress, scraper)?;
            (conclude(rehearsal, Backend::Simulated, simulated.observed), None)
        }
    };
    let (result, series) = alerts::rehearsed(server, result);
    Ok(Ended { result, twin, series, environment })
}

/// `rehearse report`.
pub(crate) fn report(folder: &Path, beside: Option<&Path>, open: bool) -> Result<ExitCode, Failure> {
    if let Some(done) = recover::finish(folder)? {
        told::aside(&format!("{done}\n"));
    }
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

fn begin(
    args: &PlayArgs,
    rehearsal: &Rehearsal,
    began: &Began,
    show: Show,
    name: Option<&str>,
) -> Result<Progress, Failure> {
    let asked = &rehearsal.asked;
    let own = || format!("{}-{}-{}", asked.scenario, asked.backend, began.stamp());
    let folder = RunFolder::create(&args.out, &name.map_or_else(own, str::to_owned), asked)?;
    let live = rehearsal.backend != Backend::Simulated;
    if live {
        folder.begun(&recover::Begun::of(rehearsal, findings(rehearsal)))?;
    }
    let head = head(rehearsal);
    let sized = rehearsal.sized.map_or(String::new(), |share| {
        let share = crate::resolve::percent(share);
        format!("; {share} of its load, its size for this overlay (all of it: --scale 1)")
    });
    let told = format!("{} on {}, {} backend, seed {}{sized}", head.scenario, head.platform, head.backend, head.seed);
    let mut progress = Progress::new(folder, head, show, live)?;
    progress.say(&told);
    Ok(progress)
}

/// What every view of the run begins with.
fn head(rehearsal: &Rehearsal) -> Head {
    let asked = &rehearsal.asked;
    let PlatformStamp { source, overlay, digest, .. } = &asked.platform;
    let platform =
        if overlay.is_empty() { format!("{source} ({digest})") } else { format!("{overlay} ({source}, {digest})") };
    Head {
        scenario: asked.scenario.clone(),
        question: rehearsal.plan.scenario.question.clone(),
        platform,
        backend: asked.backend.clone(),
        seed: asked.seed.get(),
        phases: rehearsal.plan.load.phase_spans(Nanos::ZERO),
        bounds: rehearsal.bounds(),
        objectives: rehearsal.objectives.clone(),
    }
}

fn conclude(rehearsal: &Rehearsal, backend: Backend, observed: Observed) -> RunResult {
    judge(rehearsal, &rehearsal.plan, backend, findings(rehearsal), observed)
}

/// The verdict over one run of `plan`, which may be a variation of the rehearsal's.
pub(crate) fn judge(
    rehearsal: &Rehearsal,
    plan: &Plan,
    backend: Backend,
    findings: Vec<Finding>,
    observed: Observed,
) -> RunResult {
    let mut checks = reports::validity(&observed.recording, rehearsal.tightest_limit());
    if observed.limited_by == Some(Limit::Platform) {
        // Whoever keeps every worker waiting is late by itself: that is a verdict, not a broken instrument.
        for check in checks.iter_mut().filter(|check| !check.ok) {
            (check.ok, check.limit) =
                (true, format!("{}; not held against the run: the platform was the limit", check.limit));
        }
    }
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
        backend: backend.named().into(),
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
        look: rehearsal.look.clone(),
        interrupted: observed.interrupted,
    };
    let mut result = reports::conclude(played, &rehearsal.objectives);
    recover::name_journeys(&mut result, &recover::journeys(&plan.load));
    result
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
    /// What the platform's Prometheus scraped, and what the rehearsal itself saw.
    series: Store,
    environment: Environment,
}

/// The same scenario and seed in virtual time, held against what was seen live.
fn twin(rehearsal: &Rehearsal, mut live: Sample) -> Result<Twin, Failure> {
    let settings = Settings { keep_observations: true, ..Settings::default() };
    let mut simulated =
        simulation::simulate(&rehearsal.plan, rehearsal.watches.clone(), &settings, &mut Deaf)?.observed;
    let mut observations = std::mem::take(&mut simulated.observations);
    // The same sessions of both.
    live.thin(observations.one_in());
    observations.thin(live.one_in());
    let mut twin = reports::compare(&live, &observations, &rehearsal.plan.load.step_plans());
    twin.one_in = live.one_in();
    Ok(twin.reaching(conclude(rehearsal, Backend::Simulated, simulated)))
}

/// Writes what there is to write, tells what there is to tell, and finds the exit code.
fn finish(args: &PlayArgs, rehearsal: &Rehearsal, progress: &Progress, ended: &Ended) -> Result<ExitCode, Failure> {
    let written = write(args, progress, ended);
    let result = &ended.result;
    match args.format {
        Format::Text => {
            told::out(&reports::terminal(result, &rehearsal.asked, width(), color()));
            if let Some(twin) = &ended.twin {
                told::out(&told::twin(twin));
            }
        }
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
    alerts::keep(folder, &ended.series, &ended.environment)?;
    let history = args.history.as_deref();
    let comparison = history.map(|history| crate::keep::remember(history, folder.path())).transpose()?.flatten();
    let rendered = reports::render(folder.path())?;
    match &progress.trouble {
        Some(trouble) => Err(Failure::new(ExitCode::Backend, trouble)),
        None => Ok((rendered.report, comparison)),
    }
}

pub(crate) fn color() -> bool {
    std::io::stdout().is_terminal() && colored()
}

/// Columns to fill.
pub(crate) fn width() -> usize {
    let of_terminal = || rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok().map(|size| size.ws_col.into());
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.or_else(of_terminal).filter(|columns| *columns > 0).unwrap_or(100).min(140)
}
