//! Points of a plan, or drills of a release, played live: virtual time has answered, and a backend is to agree.

use record::{Conclusion, Confirmed, ExitCode, RunFolder};
use scenarios::Plan;

use crate::args::{LiveArgs, PlayArgs};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::play::{self, Stage};
use crate::resolve::Rehearsal;
use crate::told;

/// Where answers are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ConfirmBy {
    /// Servers in this process, on the real clock.
    Embedded,
}

/// One thing that is to come out as virtual time says.
pub(crate) struct Point {
    /// A name for its folder.
    pub(crate) name: String,
    /// What is played, in words.
    pub(crate) what: String,
    pub(crate) plan: Plan,
    /// How it comes out in virtual time.
    pub(crate) expected: Conclusion,
}

/// Plays each point once into a folder of its own below `folder`. A point beyond what this machine carries is an error
/// before anything is played.
pub(crate) fn confirm(
    by: ConfirmBy,
    rehearsal: &Rehearsal,
    args: &PlayArgs,
    points: Vec<Point>,
    folder: &RunFolder,
) -> Result<Vec<Confirmed>, Failure> {
    let ConfirmBy::Embedded = by;
    let mut stage = Stage::of(Backend::Embedded, &LiveArgs::default())?;
    let load: f64 = points.iter().map(|point| point.plan.load.end().as_secs_f64()).sum();
    if !args.quiet {
        told::aside(&format!("confirming {} points live: {:.0} minutes of load\n", points.len(), load / 60.0));
    }
    let mut told = Vec::new();
    let rehearsals = points
        .iter()
        .map(|point| rehearsal.playing(point.plan.clone(), args, Backend::Embedded))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(heaviest) =
        rehearsals.iter().max_by(|one, other| one.plan.load.peak_rate().total_cmp(&other.plan.load.peak_rate()))
    {
        stage.probe(heaviest, args)?;
    }
    for (point, rehearsal) in points.into_iter().zip(&rehearsals) {
        let run = RunFolder::create(folder.path(), &format!("confirm-{}", point.name), &rehearsal.asked)?;
        let block = play::once(rehearsal, &stage, run)?;
        if block.conclusion == Conclusion::Interrupted {
            return Err(Failure::of_text(ExitCode::Interrupted, "interrupted while it was confirmed".to_owned()));
        }
        let rendered = reports::render(&block.folder)?;
        let confirmed = Confirmed {
            backend: Backend::Embedded.named().into(),
            what: point.what,
            expected: point.expected,
            conclusion: block.conclusion,
            agrees: point.expected == block.conclusion,
            p95_us: block.p95_us,
            report: rendered.report.strip_prefix(folder.path()).unwrap_or(&rendered.report).display().to_string(),
        };
        if !args.quiet {
            let word = if confirmed.agrees { "agrees" } else { "DIFFERS" };
            told::aside(&format!("  {}: {}, {word}\n", confirmed.what, confirmed.conclusion.word()));
        }
        told.push(confirmed);
    }
    Ok(told)
}
