//! `capacity`: how much a platform carries, what breaks first, and what would move it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use planning::{CapacityError, Judge, Mixture, Prices, Question, Select};
use record::{CapacityPart, CapacityPlan, Conclusion, ExitCode, RunFolder, Shard};
use scenarios::Plan;
use simulation::Settings;

use crate::args::{Format, Means, PlayArgs};
use crate::backend::Backend;
use crate::confirm::{Answers, Confirming, Point};
use crate::failure::Failure;
use crate::machine::Began;
use crate::resolve::Rehearsal;
use crate::told;

/// Of `capacity`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CapacityArgs {
    #[command(flatten)]
    pub(crate) play: PlayArgs,
    /// Shares of the scenario's journeys, such as `core-flow=60%,ai=40%`; as the scenario has them if left out
    #[arg(long, value_name = "MIX")]
    journeys: Option<String>,
    /// The rate that is asked about, sessions a second; what the scenario has if left out
    #[arg(long, value_name = "R", conflicts_with = "users")]
    sessions: Option<f64>,
    /// The same by users a day, one session each
    #[arg(long, value_name = "N")]
    users: Option<f64>,
    /// How the asked rate grows, such as `8%/month`
    #[arg(long, value_name = "G")]
    growth: Option<String>,
    /// What a core and a GiB cost, with a date; see `docs/capacity.md`
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// On how many seeds an answer has to hold
    #[arg(long, value_name = "N", default_value_t = CONFIRMATIONS, value_parser = clap::value_parser!(u32).range(1..=100))]
    confirmations: u32,
    /// Play 0.8 and 1.25 times what is carried on this backend, too: it has to keep and to break as predicted
    #[arg(long, value_enum, value_name = "BACKEND")]
    confirm: Option<Backend>,
    #[command(flatten)]
    means: Means,
    /// Answer one part of the questions, such as 2/3, the second of three; `rehearse merge` makes parts one
    #[arg(long, value_name = "I/N", conflicts_with = "confirm")]
    shard: Option<Shard>,
}

/// What a folder of a plan has.
pub(crate) const FILE: &str = "capacity.json";
/// And that of a part of one.
pub(crate) const PART: &str = "capacity-part.json";
/// On how many seeds, if nobody says.
const CONFIRMATIONS: u32 = 3;
/// Of what is carried, as much as a confirming point asks for, and how that comes out.
const POINTS: [(f64, Conclusion); 2] = [(0.8, Conclusion::Pass), (1.25, Conclusion::Fail)];
/// Both of them, before their rates are known.
const ANY_POINT: &str = "0.8 and 1.25 times what is carried";

/// `rehearse capacity`.
pub(crate) fn run(args: &CapacityArgs) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let growth = args.growth.as_deref().map(growth).transpose()?;
    let prices = args.prices.as_deref().map(prices).transpose()?;
    let rate = asked(args)?;
    let rehearsal = Rehearsal::resolve(&args.play, Backend::Simulated)?;
    let plan = rehearsal.plan.as_ref().clone();
    let usage = |error: &dyn std::error::Error| Failure::new(ExitCode::Usage, error);
    let mixture = Mixture::of(&plan.load, &plan.scenario.name).map_err(|error| usage(&error))?;
    let mixture = match &args.journeys {
        Some(text) => mixture.with_shares(text, &plan.load.journeys).map_err(|error| usage(&error))?,
        None => mixture,
    };
    let judge = Judge { select: select(&args.play, &rehearsal.own)?, settings: Settings::default() };
    let question = Question {
        plan,
        mixture,
        rate,
        users: args.users,
        growth,
        prices,
        replications: args.confirmations,
        threads: simulation::all_cores(),
        stamp: rehearsal.asked.platform.clone(),
        nodes: rehearsal.asked.nodes.clone(),
        command: command(args, &rehearsal.asked.command),
    };
    let confirming = args.confirm.map(|backend| {
        let any = planning::point(&question, 1.0);
        Confirming::begin(backend, &args.means, &rehearsal, &args.play, [(ANY_POINT, &any)].into_iter())
    });
    let confirming = confirming.transpose()?;
    let folder = RunFolder::create(&args.play.out, &format!("capacity-{}", began.stamp()), &rehearsal.asked)?;
    let quiet = args.play.quiet;
    let say = |what: &str| {
        if !quiet {
            told::aside(&format!("{what} …\n"));
        }
    };
    let found = planning::part(&question, &judge, args.shard, &say).map_err(|error| match error {
        CapacityError::NeverReady(_) => Failure::new(ExitCode::Manifests, &error),
        CapacityError::BrokenAtZero { .. } => Failure::new(ExitCode::Broken, &error),
        CapacityError::NoDemand => usage(&error),
    })?;
    let (plan, answers) = found;
    if let Some(shard) = args.shard {
        return keep(&folder, &CapacityPart { schema: "rehearse/capacity-part/v1".into(), shard, plan, answers });
    }
    let mut answer = planning::whole(plan, answers);
    if let Some(mut confirming) = confirming {
        // What was found in minutes is kept, whatever becomes of the rest.
        folder.write_json(FILE, &answer)?;
        let points = if confirming.plays(ANY_POINT) {
            points(&question, &judge, answer.declared.keeps, confirming.measure()?)
        } else {
            Vec::new()
        };
        let Answers { confirmed, not } = confirming.ask(&rehearsal, &args.play, points, &folder)?;
        (answer.confirmed, answer.not_confirmed) = (confirmed, not);
    }
    finish(&folder, &answer, args.play.format)
}

/// A part says nothing by itself: it is only written.
fn keep(folder: &RunFolder, part: &CapacityPart) -> Result<ExitCode, Failure> {
    folder.write_json(PART, &part)?;
    let (shard, answers) = (part.shard, part.answers.len());
    told::out(&format!("part {shard}: {answers} questions answered; `rehearse merge` makes the parts one\n"));
    told::out(&format!("part: {}\n", folder.path().display()));
    Ok(ExitCode::Pass)
}

/// What is played live: on a machine that does not carry the lower point, the most that it does carry, too. Below what
/// is carried, that has to pass.
fn points(question: &Question, judge: &Judge, keeps: f64, most: f64) -> Vec<Point> {
    let peak = planning::point(question, keeps).load.peak_rate();
    let fits = (most / peak * 100.0).floor() / 100.0;
    let lesser = (fits > 0.0 && fits < POINTS[0].0).then_some((fits, Conclusion::Pass));
    let point = |(factor, expected): (f64, Conclusion)| {
        let rate = keeps * factor;
        Point {
            name: format!("{factor}"),
            what: format!("{factor} times what is carried, {rate:.1} sessions/s"),
            plan: planning::deciding_point(question, judge, rate, expected),
            expected,
            command: question.command.clone(),
        }
    };
    lesser.into_iter().chain(POINTS).map(point).collect()
}

/// The documented objectives, a scenario's own, and those of the command line, that say something about a plan.
pub(crate) fn select(args: &PlayArgs, own: &[objectives::Objective]) -> Result<Select, Failure> {
    let all = crate::situation::objectives(own, &args.objective)?;
    Ok(Arc::new(move |plan: &Plan| {
        let selected = objectives::select(all.clone(), &crate::situation::situation(plan)).unwrap_or_default();
        (selected.objectives, selected.watches)
    }))
}

/// Writes, tells, and says how it ends.
pub(crate) fn finish(folder: &RunFolder, answer: &CapacityPlan, format: Format) -> Result<ExitCode, Failure> {
    folder.write_json(FILE, answer)?;
    let report = folder.write("capacity.html", reports::capacity_page(answer).as_bytes())?;
    match format {
        Format::Text => {
            told::out(&reports::capacity_text(answer, crate::play::width()));
            told::out(&format!("report: {}\n", report.display()));
        }
        Format::Json => told::json(answer),
    }
    // What was asked about either fits or does not: that is what a pipeline wants to know.
    let fits = answer.declared.keeps >= answer.asked;
    let confirmed = answer.confirmed.iter().all(|point| point.agrees);
    Ok(match (fits, confirmed) {
        (_, false) => ExitCode::Undecided, // a backend says otherwise: the answer is not to be built on
        (true, true) => ExitCode::Pass,
        (false, true) => ExitCode::Broken,
    })
}

/// The rate that is asked about.
fn asked(args: &CapacityArgs) -> Result<Option<f64>, Failure> {
    let positive = |what: &str, value: f64| {
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(Failure::usage(format!("--{what} {value}: give a number above 0")))
        }
    };
    match (args.sessions, args.users) {
        (Some(rate), _) => positive("sessions", rate).map(Some),
        (None, Some(users)) => positive("users", users).map(|users| Some(planning::rate_of_users(users))),
        (None, None) => Ok(None),
    }
}

/// `8%/month` as 0.08.
fn growth(text: &str) -> Result<f64, Failure> {
    let wrong = || Failure::usage(format!("--growth {text}: write a growth above 0 such as 8%/month or 150%/year"));
    let (percent, each) = text.split_once('/').unwrap_or((text, "month"));
    let rate: f64 = percent.trim().trim_end_matches('%').trim().parse().map_err(|_| wrong())?;
    let monthly = match each.trim() {
        "month" => rate / 100.0,
        "year" => libm::pow(1.0 + rate / 100.0, 1.0 / 12.0) - 1.0,
        _ => return Err(wrong()),
    };
    if monthly.is_finite() && monthly > 0.0 { Ok(monthly) } else { Err(wrong()) }
}

fn prices(path: &Path) -> Result<Prices, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the price file {shown}: {error}")))?;
    let prices: Prices = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::usage(format!("{shown} is no price file: {}", error.without_snippet())))?;
    prices.checked().map_err(|error| Failure::usage(format!("{shown}: {error}")))
}

/// The command that repeats it. `simulated` plays the same scenario on the same platform.
fn command(args: &CapacityArgs, simulated: &str) -> String {
    let mut words = vec![simulated.replacen("simulate", "capacity", 1)];
    words.extend(args.journeys.iter().map(|mix| format!("--journeys {mix}")));
    words.extend(args.sessions.iter().map(|rate| format!("--sessions {rate}")));
    words.extend(args.users.iter().map(|users| format!("--users {users}")));
    words.extend(args.growth.iter().map(|growth| format!("--growth {growth}")));
    words.extend(args.prices.iter().map(|prices| format!("--prices {}", prices.display())));
    if args.confirmations != CONFIRMATIONS {
        words.push(format!("--confirmations {}", args.confirmations));
    }
    words.extend(args.confirm.iter().map(|backend| format!("--confirm {}{}", backend.named(), args.means.repeated())));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_positive_and_monthly() {
        for (text, want) in [("8%/month", 0.08), ("8 %", 0.08), ("100%/year", 0.059_463)] {
            assert!((growth(text).unwrap() - want).abs() < 1e-6, "{text}");
        }
        for text in ["-8%/month", "0%", "8%/week", "much", "NaN%"] {
            assert!(growth(text).is_err(), "{text}");
        }
    }
}
