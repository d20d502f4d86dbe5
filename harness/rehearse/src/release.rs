//! `release`: every failure we know against a candidate, go or no-go.

use std::path::{Path, PathBuf};

use planning::release::{self, Bound, Course};
use planning::{Judge, Mixture};
use record::{Adversary, Conclusion, DrillResult, ExitCode, ReleasePlan, RunFolder};
use scenarios::Scenario;
use simulation::Settings;
use units::Seed;

use crate::args::{Format, Means, PlayArgs, Undecided};
use crate::backend::Backend;
use crate::confirm::{Answers, Confirming, Point, not_confirmed};
use crate::failure::Failure;
use crate::machine::Began;
use crate::resolve::Rehearsal;
use crate::told;

/// Of `release`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) play: PlayArgs,
    /// What is to go out, as `--platform` names it
    #[arg(long, value_name = "SRC", conflicts_with = "platform")]
    candidate: Option<String>,
    /// Only drills whose name or kind contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// With how many seeds each drill is played
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    drill_seeds: u32,
    /// Look for the smallest burst and the worst moment, with so many tries
    #[arg(long, value_name = "TRIES", default_value_t = 0)]
    adversary: u64,
    /// Play the first drills on this backend, too: those that fail, then one of each kind
    #[arg(long, value_enum, value_name = "BACKEND")]
    confirm: Option<Backend>,
    #[command(flatten)]
    means: Means,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    confirm_drills: u32,
    /// Play one part of the drills, such as 2/3, the second of three; `rehearse merge` makes parts one
    #[arg(long, value_name = "I/N", conflicts_with_all = ["confirm", "adversary"])]
    shard: Option<record::Shard>,
    /// Say which drills there are and how long they take, and play none
    #[arg(long)]
    plan: bool,
}

/// What a folder of drills has.
pub(crate) const FILE: &str = "release.json";

/// `rehearse release`.
pub(crate) fn run(args: &ReleaseArgs) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let of = |platform: Option<&String>| {
        let play = PlayArgs { platform: platform.cloned().or_else(|| args.play.platform.clone()), ..args.play.clone() };
        Rehearsal::resolve(&play, Backend::Simulated)
    };
    let candidate = of(args.candidate.as_ref())?;
    let against = args.play.against.as_ref().map(|source| of(Some(source))).transpose()?;
    let plan = &candidate.plan;
    let usage = |error: &dyn std::error::Error| Failure::new(ExitCode::Usage, error);
    let mixture = Mixture::of(&plan.load, &plan.scenario.name).map_err(|error| usage(&error))?;
    let journeys = planning::journeys(&candidate.scenario_text).ok_or_else(|| {
        Failure::usage(format!(
            "the journeys of scenario {} cannot be cut out of its file: write them in block style below `  journeys:`",
            plan.scenario.name
        ))
    })?;
    let mut drills = planning::drills(plan, &mixture, &journeys);
    if let Some(only) = &args.only {
        drills.retain(|drill| drill.name.contains(only) || drill.kind.contains(only));
    }
    if drills.is_empty() {
        return Err(Failure::usage("no drill is left to play: --only fits the name and kind of none"));
    }
    let judge = Judge { select: crate::capacity::select(&args.play, &[])?, settings: Settings::default() };
    let mut bound = Vec::new();
    for drill in drills {
        let scenario = Scenario::parse(&drill.text, &format!("{}.yaml", drill.name))?;
        let on = |rehearsal: &Rehearsal| rehearsal.with(&scenario);
        let plan = on(&candidate)?;
        bound.push(Bound {
            judge: judge.clone(),
            against: against.as_ref().and_then(|rehearsal| on(rehearsal).ok()),
            candidate: plan,
            drill,
        });
    }
    let arms = if against.is_some() { 4.0 } else { 2.0 };
    let load: f64 = bound.iter().map(|one| one.candidate.load.end().as_secs_f64()).sum();
    let minutes = load * arms * f64::from(args.drill_seeds) / 60.0;
    if !args.play.quiet || args.plan {
        told::aside(&format!(
            "{} drills, {} seeds each with its control arm: {minutes:.0} minutes of load in virtual time\n",
            bound.len(),
            args.drill_seeds
        ));
    }
    if args.plan {
        for one in &bound {
            told::out(&format!("{:<36} {:<16} {}\n", one.drill.name, one.drill.kind, one.drill.hypothesis));
        }
        for one in &bound {
            let refused = args.confirm.map(|backend| not_confirmed(backend, &one.drill.name, &one.candidate));
            if let Some(refused) = refused.transpose()?.flatten() {
                told::out(&format!("{refused}\n"));
            }
        }
        return Ok(ExitCode::Pass);
    }
    let course = Course {
        seeds: (0..args.drill_seeds).map(|index| Seed::new(args.play.seed + u64::from(index))).collect(),
        threads: simulation::all_cores(),
        monthly_requests: mixture.nominal * mixture.requests(&plan.load) * 30.0 * 86_400.0,
    };
    let bound = match args.shard {
        Some(shard) => shard.of(bound),
        None => bound,
    };
    if bound.is_empty() {
        return Err(Failure::usage("--shard: there are more parts than drills, and this one has none".to_owned()));
    }
    let confirming = args.confirm.map(|backend| {
        let drills = bound.iter().map(|one| (one.drill.name.as_str(), &one.candidate));
        Confirming::begin(backend, &args.means, &candidate, &args.play, drills)
    });
    let confirming = confirming.transpose()?;
    let folder = RunFolder::create(&args.play.out, &format!("release-{}", began.stamp()), &candidate.asked)?;
    let quiet = args.play.quiet;
    let say = |what: &str| {
        if !quiet {
            told::aside(&format!("  {what}\n"));
        }
    };
    let mut results = release::play(&bound, &course, &say);
    for (one, result) in bound.iter().zip(&mut results) {
        let file = file(&one.drill.name);
        folder.write(&file, one.drill.text.as_bytes())?;
        result.replay = replay(args, &file);
    }
    let changes = against.as_ref().map_or_else(Vec::new, |against| {
        let resolve = |drill: &planning::Drill, platform| {
            let scenario = Scenario::parse(&drill.text, &drill.name).ok()?;
            candidate.on(&scenario, platform).ok()
        };
        release::changes(&against.plan.platform, &plan.platform, &bound, &results, &course, &resolve)
    });
    let adversary = match args.adversary {
        0 => None,
        _ => Some(adversary(args, &candidate, (&mixture, &journeys), &bound, (&judge, &course), &folder)?),
    };
    let answers = match confirming {
        Some(mut confirming) => {
            let points = points(args, &bound, &results, &folder, |drill| confirming.plays(drill));
            if !points.is_empty() {
                confirming.measure()?;
            }
            confirming.ask(&candidate, &args.play, points, &folder)?
        }
        None => Answers::default(),
    };
    let answer = ReleasePlan {
        schema: "rehearse/release/v1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        command: command(args),
        scenario: plan.scenario.clone(),
        candidate: candidate.asked.platform.clone(),
        against: against.map(|against| against.asked.platform.clone()),
        seed: Seed::new(args.play.seed),
        seeds: args.drill_seeds,
        conclusion: release::verdict(&results),
        changes,
        drills: results,
        not_drilled: planning::NOT_DRILLED.map(|(what, why)| (what.to_owned(), why.to_owned())).into(),
        adversary,
        confirmed: answers.confirmed,
        not_confirmed: answers.not,
        minutes,
        shard: args.shard,
    };
    finish(&folder, answer, args.play.format, args.play.undecided)
}

/// Drills that are worth playing live, of those that the backend `plays`: those that fail, then one of each kind.
fn points(
    args: &ReleaseArgs,
    bound: &[Bound],
    results: &[DrillResult],
    folder: &RunFolder,
    plays: impl Fn(&str) -> bool,
) -> Vec<Point> {
    let mut kinds = Vec::new();
    let played = || results.iter().enumerate().filter(|(_, result)| plays(&result.name));
    let fails = played().filter(|(_, result)| result.conclusion == Conclusion::Fail);
    let mut order: Vec<usize> = fails.map(|(index, _)| index).collect();
    for (index, result) in played() {
        if result.conclusion == Conclusion::Pass && !kinds.contains(&&result.kind) {
            kinds.push(&result.kind);
            order.push(index);
        }
    }
    let point = |index: usize| {
        let DrillResult { name, hypothesis, conclusion, .. } = &results[index];
        Point {
            name: name.clone(),
            what: format!("{name}: {hypothesis}"),
            plan: bound[index].candidate.clone(),
            expected: *conclusion,
            command: live(args, &folder.path().join(file(name))),
        }
    };
    order.into_iter().take(args.confirm_drills as usize).map(point).collect()
}

/// Looks for what breaks the candidate, and leaves a scenario of each thing found in the run folder.
fn adversary(
    args: &ReleaseArgs,
    candidate: &Rehearsal,
    (mixture, journeys): (&Mixture, &str),
    bound: &[Bound],
    (judge, course): (&Judge, &Course),
    folder: &RunFolder,
) -> Result<Adversary, Failure> {
    let seed = Seed::new(args.play.seed);
    let make = |times: f64, seconds: u64| {
        let drill = planning::burst(&candidate.plan, mixture, journeys, times, seconds);
        let scenario = Scenario::parse(&drill.text, &drill.name).ok()?;
        Some((drill, candidate.with(&scenario).ok()?))
    };
    let burst = planning::adversary::burst(&make, judge, seed);
    let mut worst: Option<(&planning::Drill, u64, i64)> = None;
    let mut rehearsals = burst.tried;
    for one in bound.iter().filter(|one| !one.candidate.faults.is_empty()).take(8) {
        let found = planning::adversary::worst_moment(&one.candidate, &one.judge, seed, args.adversary, course.threads);
        rehearsals += args.adversary;
        if let Some((later, lost)) = found
            && worst.as_ref().is_none_or(|(.., most)| lost > *most)
        {
            worst = Some((&one.drill, later, lost));
        }
    }
    let drills = burst.drill.into_iter().chain(worst.map(|(drill, later, _)| planning::adversary::later(drill, later)));
    let mut files = Vec::new();
    for drill in drills {
        let file = format!("adversary-{}.yaml", drill.name);
        folder.write(&file, drill.text.as_bytes())?;
        files.push(replay(args, &file));
    }
    Ok(Adversary {
        burst_holds: burst.holds,
        burst_breaks: burst.breaks,
        burst_seconds: burst.breaks.map(|_| burst.seconds),
        broken_by: burst.why,
        worst: worst.map(|(drill, later, lost)| (drill.name.clone(), later, lost)),
        rehearsals,
        files,
    })
}

/// Writes, tells, and says how it ends. What decides is told first; a part keeps the plan's order, by which it is merged.
pub(crate) fn finish(
    folder: &RunFolder,
    mut answer: ReleasePlan,
    format: Format,
    undecided: Undecided,
) -> Result<ExitCode, Failure> {
    if answer.shard.is_some() {
        folder.write_json(FILE, &answer)?;
    }
    answer.drills.sort_by_key(|drill| {
        let rank = match drill.conclusion {
            Conclusion::Fail => 0,
            Conclusion::Undecided => 1,
            _ => 2,
        };
        (drill.known, rank)
    });
    if answer.shard.is_none() {
        folder.write_json(FILE, &answer)?;
    }
    let answer = located(answer, folder);
    let report: PathBuf = folder.write("release.html", reports::release_page(&answer).as_bytes())?;
    match format {
        Format::Text => {
            told::out(&reports::release_text(&answer, crate::play::width()));
            told::out(&format!("report: {}\n", report.display()));
        }
        Format::Json => told::json(&answer),
    }
    let code = match (answer.conclusion, undecided) {
        (Conclusion::Undecided, Undecided::Pass) => ExitCode::Pass,
        (conclusion, _) => conclusion.exit(),
    };
    // A backend says otherwise: the answer is not to be built on.
    let confirmed = answer.confirmed.iter().all(|drill| drill.agrees);
    Ok(if confirmed { code } else { code.worse(ExitCode::Undecided) })
}

/// For people: with the place of the files in the commands.
fn located(mut answer: ReleasePlan, folder: &RunFolder) -> ReleasePlan {
    let within = format!("rehearse simulate {}/", folder.path().display());
    let commands = answer.adversary.iter_mut().flat_map(|found| &mut found.files);
    for command in answer.drills.iter_mut().map(|drill| &mut drill.replay).chain(commands) {
        *command = command.replacen("rehearse simulate ", &within, 1);
    }
    answer
}

fn source(args: &ReleaseArgs) -> Option<&String> {
    args.candidate.as_ref().or(args.play.platform.as_ref())
}

fn replay(args: &ReleaseArgs, file: &str) -> String {
    let mut words = vec![format!("rehearse simulate {file} --seed {}", args.play.seed)];
    words.extend(source(args).map(|source| format!("--platform {source}")));
    words.extend(args.play.overlay.iter().map(|overlay| format!("--overlay {overlay}")));
    words.extend(args.play.objective.iter().map(|objective| format!("--objective '{objective}'")));
    words.join(" ")
}

/// The file of a drill in the run folder.
pub(crate) fn file(drill: &str) -> String {
    format!("drill-{drill}.yaml")
}

/// What plays a drill again on the backend that is to confirm it.
fn live(args: &ReleaseArgs, file: &Path) -> String {
    let run = replay(args, &file.display().to_string()).replacen("simulate", "run", 1);
    let backend = args.confirm.filter(|backend| *backend != Backend::default());
    run + &backend.map_or_else(String::new, |backend| format!(" --backend {}", backend.named()))
        + &args.means.repeated()
}

fn command(args: &ReleaseArgs) -> String {
    let mut words = vec![format!("rehearse release {} --seed {}", args.play.scenario(), args.play.seed)];
    words.extend(source(args).map(|source| format!("--candidate {source}")));
    words.extend(args.play.against.iter().map(|source| format!("--against {source}")));
    words.extend(args.play.overlay.iter().map(|overlay| format!("--overlay {overlay}")));
    words.extend(args.only.iter().map(|only| format!("--only '{only}'")));
    if args.drill_seeds != 20 {
        words.push(format!("--drill-seeds {}", args.drill_seeds));
    }
    words.extend(args.confirm.iter().map(|backend| format!("--confirm {}{}", backend.named(), args.means.repeated())));
    words.join(" ")
}
