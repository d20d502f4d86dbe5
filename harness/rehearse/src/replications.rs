//! `simulate --seeds N` and `--predictive`: many runs, one verdict over all of them.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use record::{
    Asked, Conclusion, ExitCode, Judgement, ReplicatedArm, Replication, Replications, RunFolder, Spread, Verdict,
};
use simulation::{Arm, Settings, all_cores, replicate};
use units::Seed;

use crate::args::{Format, SimulateArgs, Undecided};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::machine::Began;
use crate::play::{color, judge, width};
use crate::resolve::Rehearsal;
use crate::told;

/// What a folder of many seeds has.
pub(crate) const FILE: &str = "replications.json";
/// More seeds than this are not told one by one unless they do not pass.
const TOLD_ONE_BY_ONE: usize = 50;

/// Plays, judges, tells; the folder gets `replications.json`, and no report.
pub(crate) fn simulate(args: &SimulateArgs) -> Result<ExitCode, Failure> {
    if args.play.extend.is_some() {
        return Err(Failure::usage("--extend is for one run: of many seeds, play more or longer ones".to_owned()));
    }
    let began = Began::now();
    let rehearsal = Rehearsal::resolve(&args.play, Backend::Simulated)?;
    let all = Replications { command: command(args, &rehearsal), ..play(args, &rehearsal)? };
    let asked = Asked { command: all.command.clone(), ..rehearsal.asked.clone() };
    let name = format!("{}-seeds-{}", asked.scenario, began.stamp());
    let folder = RunFolder::create(&args.play.out, &name, &asked)?;
    finish(&folder, &all, args.play.format, args.play.undecided)
}

/// Writes, tells, and says how it ends.
pub(crate) fn finish(
    folder: &RunFolder,
    all: &Replications,
    format: Format,
    undecided: Undecided,
) -> Result<ExitCode, Failure> {
    folder.write_json(FILE, all)?;
    match format {
        Format::Text => told::out(&in_words(all, width(), color())),
        Format::Json => told::json(all),
    }
    Ok(match (all.conclusion, undecided) {
        (Conclusion::Undecided, Undecided::Pass) => ExitCode::Pass,
        (conclusion, _) => conclusion.exit(),
    })
}

fn play(args: &SimulateArgs, rehearsal: &Rehearsal) -> Result<Replications, Failure> {
    let arm = |settings| Arm { plan: (*rehearsal.plan).clone(), settings };
    let mut arms = vec![("as declared", arm(Settings::default()))];
    if args.predictive {
        arms.push(("with a forecast", arm(Settings::default().predictive())));
    }
    let (names, arms): (Vec<_>, Vec<_>) = arms.into_iter().unzip();
    let count = args.seeds.unwrap_or(1);
    let seeds: Vec<Seed> = (0..u64::from(count)).map(|nth| Seed::new(args.play.seed.wrapping_add(nth))).collect();
    let seeds = match args.shard {
        Some(shard) => shard.of(seeds),
        None => seeds,
    };
    if seeds.is_empty() {
        return Err(Failure::usage("--shard: there are more parts than seeds, and this one has none".to_owned()));
    }
    let verdicts: Mutex<Vec<Verdict>> = Mutex::default();
    let (done, all) = (AtomicU32::new(0), seeds.len() * arms.len());
    let quiet = args.play.quiet || !std::io::stderr().is_terminal();
    let runs = replicate(&arms, &seeds, &rehearsal.watches, args.threads.unwrap_or(all_cores()), |trial, played| {
        let played: simulation::Simulated = match played {
            Ok(played) => played,
            Err(error) => return Err(error),
        };
        let result = judge(rehearsal, trial.plan, Backend::Simulated, Vec::new(), played.observed);
        let replication = Replication::of(&result);
        // Names and limits are the same in every run: any one's will do.
        if let Ok(mut known) = verdicts.lock()
            && known.is_empty()
        {
            *known = result.verdicts;
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !quiet {
            told::status(&format!("{done} of {all} runs"));
        }
        Ok(replication)
    });
    if !quiet {
        told::status("");
    }
    let verdicts = verdicts.into_inner().unwrap_or_default();
    let mut told = Vec::new();
    for (name, runs) in names.into_iter().zip(runs) {
        let runs = runs.into_iter().collect::<Result<Vec<_>, simulation::SimulationError>>()?;
        told.push(ReplicatedArm::new(name, runs, &verdicts));
    }
    Ok(Replications {
        schema: "rehearse/replications/v1".into(),
        command: String::new(),
        scenario: rehearsal.plan.scenario.clone(),
        platform: rehearsal.asked.platform.clone(),
        backend: Backend::Simulated.named().into(),
        conclusion: told.first().map_or(Conclusion::Pass, |arm| arm.conclusion),
        arms: told,
        shard: args.shard,
    })
}

/// The command that repeats it; on how many cores does not matter.
fn command(args: &SimulateArgs, rehearsal: &Rehearsal) -> String {
    let mut command = rehearsal.asked.command.clone();
    if let Some(seeds) = args.seeds {
        write!(command, " --seeds {seeds}").expect("writing to a string");
    }
    if args.predictive {
        command.push_str(" --predictive");
    }
    command
}

fn in_words(all: &Replications, width: usize, color: bool) -> String {
    let mut text = String::new();
    let Some(first) = all.arms.first() else { return text };
    let head = format!("{}: {} of {} seeds pass.", word(all.conclusion), first.passed, first.runs.len());
    let code = match all.conclusion {
        Conclusion::Pass => "1;32",
        Conclusion::Fail | Conclusion::Invalid => "1;31",
        Conclusion::Undecided | Conclusion::Interrupted => "1;33",
    };
    line(&mut text, &if color { format!("\x1b[{code}m{head}\x1b[0m") } else { head });
    let seeds = first.runs.first().zip(first.runs.last()).map_or(String::new(), |(from, to)| {
        if from.seed == to.seed {
            format!("seed {}", from.seed.get())
        } else {
            format!("seeds {} to {}", from.seed.get(), to.seed.get())
        }
    });
    let on = if all.platform.overlay.is_empty() { &all.platform.source } else { &all.platform.overlay };
    line(&mut text, &format!("{} on {on}, {seeds}, in virtual time.", all.scenario.name));
    for arm in &all.arms {
        spread(&mut text, arm, all.arms.len() > 1, width);
    }
    if let [one, other] = &all.arms[..] {
        compare(&mut text, one, other, width);
    }
    expected(&mut text, first);
    one_by_one(&mut text, first, width);
    if all.conclusion != Conclusion::Pass {
        line(&mut text, "\nRun it again");
        line(&mut text, &format!("  {}", all.command));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Columns as wide as their widest cell, the first one to the left; what does not fit is cut.
fn table(text: &mut String, rows: &[Vec<String>], width: usize) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| wide(column).unwrap_or(0)).collect();
    for row in rows {
        let mut told = String::new();
        for (column, (cell, wide)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(wide - cell.chars().count());
            let cell = if column == 0 { format!("  {cell}{pad}") } else { format!("  {pad}{cell}") };
            told.push_str(&cell);
        }
        line(text, &told.chars().take(width).collect::<String>());
    }
}

fn value(unit: &str, value: f64) -> String {
    match unit {
        "ms" if value < 9.95 => format!("{value:.1} ms"),
        "ms" => format!("{value:.0} ms"),
        _ => format!("{value:.2} {unit}"),
    }
}

fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Pass => "PASS",
        Conclusion::Fail => "FAIL",
        Conclusion::Undecided => "UNDECIDED",
        Conclusion::Invalid => "INVALID",
        Conclusion::Interrupted => "INTERRUPTED",
    }
}

fn spread(text: &mut String, arm: &ReplicatedArm, named: bool, width: usize) {
    if arm.spread.is_empty() {
        return;
    }
    let of = if named { format!(", {}", arm.name) } else { String::new() };
    line(text, &format!("\nVerdicts{of}"));
    let head = ["objective", "pass", "undecided", "fail", "least", "median", "most", "limit"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Spread { title, unit, limit, pass, undecided, fail, measured, .. } in &arm.spread {
        let figure = |of: fn((f64, f64, f64)) -> f64| measured.map_or("–".to_owned(), |all| value(unit, of(all)));
        let (least, median, most) = (figure(|all| all.0), figure(|all| all.1), figure(|all| all.2));
        let count = |n: u32| if n == 0 { "–".to_owned() } else { n.to_string() };
        rows.push(vec![
            title.clone(),
            count(*pass),
            count(*undecided),
            count(*fail),
            least,
            median,
            most,
            value(unit, *limit),
        ]);
    }
    table(text, &rows, width);
}

/// Both arms, seed by seed on the same chance.
fn compare(text: &mut String, one: &ReplicatedArm, other: &ReplicatedArm, width: usize) {
    line(text, "\nCompared");
    let mut rows = vec![vec![String::new(), one.name.clone(), other.name.clone()]];
    let mut row =
        |what: &str, of: &dyn Fn(&ReplicatedArm) -> String| rows.push(vec![what.to_owned(), of(one), of(other)]);
    let sum = |arm: &ReplicatedArm, of: fn(&Replication) -> u64| arm.runs.iter().map(of).sum::<u64>();
    row("seeds that pass", &|arm| format!("{} of {}", arm.passed, arm.runs.len()));
    row("requests that failed", &|arm| format!("{} of {}", sum(arm, |run| run.failed), sum(arm, |run| run.requests)));
    for (index, spread) in one.spread.iter().enumerate() {
        row(&format!("{}, median", spread.title), &|arm| {
            arm.spread[index].measured.map_or("–".to_owned(), |all| value(&spread.unit, all.1))
        });
    }
    row("first pods added, median", &|arm| {
        let mut all: Vec<u64> = arm.runs.iter().filter_map(|run| run.first_scale_out_us).collect();
        all.sort_unstable();
        let told = |at: &u64| format!("{:.0} s after load began", *at as f64 / 1e6);
        all.get(all.len().saturating_sub(1) / 2).map_or("never".to_owned(), told)
    });
    row("pods × minutes, mean", &|arm| {
        let all: f64 = arm.runs.iter().map(|run| run.pod_minutes).sum();
        format!("{:.1}", all / arm.runs.len().max(1) as f64)
    });
    table(text, &rows, width);
}

fn expected(text: &mut String, arm: &ReplicatedArm) {
    let Some(first) = arm.runs.first().filter(|run| !run.expectations.is_empty()) else { return };
    line(text, "\nExpected");
    for (index, expected) in first.expectations.iter().enumerate() {
        let held = |run: &&Replication| run.expectations.get(index).is_some_and(|expected| expected.held);
        let count = arm.runs.iter().filter(held).count();
        line(text, &format!("  {count} of {}  {}", arm.runs.len(), expected.told));
    }
}

fn one_by_one(text: &mut String, arm: &ReplicatedArm, width: usize) {
    let all = arm.runs.len() <= TOLD_ONE_BY_ONE;
    let runs: Vec<_> = arm.runs.iter().filter(|run| all || run.conclusion != Conclusion::Pass).collect();
    if arm.runs.len() < 2 || runs.is_empty() {
        return;
    }
    line(text, if all { "\nSeeds" } else { "\nSeeds that do not pass" });
    let digits = runs.iter().map(|run| run.seed.get().to_string().len()).max().unwrap_or(1);
    for run in runs {
        let told = format!(
            "  {:>digits$}  {:<9}  {} requests, {} failed{}",
            run.seed.get(),
            word(run.conclusion),
            run.requests,
            run.failed,
            why(arm, run)
        );
        let cut =
            if told.chars().count() > width { told.chars().take(width - 1).chain(['…']).collect() } else { told };
        line(text, &cut);
    }
}

/// What decided a run: the first thing that did not hold, or else its first figure.
fn why(arm: &ReplicatedArm, run: &Replication) -> String {
    let told = |(objective, spread): (&record::ReplicatedObjective, &Spread)| {
        let measured = objective.measured.map_or("no request".to_owned(), |measured| value(&spread.unit, measured));
        format!("; {}: {measured}, limit {}", spread.title, value(&spread.unit, spread.limit))
    };
    let judged = |wanted| {
        let mut all = run.objectives.iter().zip(&arm.spread);
        all.find(|(objective, spread)| spread.gating && objective.judgement == wanted).map(told)
    };
    let broken = || run.expectations.iter().find(|expected| !expected.held);
    judged(Judgement::Fail)
        .or_else(|| broken().map(|expected| format!("; {}: {}", expected.told, expected.seen)))
        .or_else(|| judged(Judgement::Undecided))
        .or_else(|| judged(Judgement::Pass))
        .unwrap_or_default()
}
