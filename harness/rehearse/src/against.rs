//! `run --against` and `simulate --against`: two platforms, or one against itself, in interleaved pairs.

use std::path::Path;

use comparison::{ControlRun, History, MINIMUM_EFFECT, Measured, paired};
use record::{Compared, Comparison, Conclusion, ExitCode, RunFolder};

use crate::args::{Format, PlayArgs};
use crate::backend::Backend;
use crate::failure::Failure;
use crate::machine::Began;
use crate::play;
use crate::told;

/// Seeds of a platform held against itself in virtual time: with the same ones nothing could differ.
const APART: u64 = 1_000_000;
/// Of so many pairs one may be invalid by chance; of more the machine is to blame.
const INVALID_SHARE: usize = 4;

/// Plays `base` and the platform of `args` in turns, and compares them.
pub(crate) fn against(args: &PlayArgs, backend: Backend, base: Option<&str>) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let control = base.is_none();
    let what = if control { "control" } else { "against" };
    let name = Path::new(args.scenario()).file_stem().map_or_else(String::new, |stem| stem.display().to_string());
    let folder = args.out.join(format!("{name}-{what}-{}", began.stamp()));
    let side = |seed: u64, of_base: bool| {
        let mut one = PlayArgs { seed, out: folder.clone(), quiet: true, ..args.clone() };
        if let Some(base) = base.filter(|_| of_base) {
            one.platform = Some(base.to_owned());
        }
        one
    };
    let (mut pairs, mut invalid) = (Vec::new(), 0);
    let mut worst = ExitCode::Pass;
    for index in 0..args.pairs {
        let seed = args.seed + u64::from(index);
        let apart = if control && backend == Backend::Simulated { APART } else { 0 };
        // A-B-B-A: whatever drifts, drifts for both.
        let order = if index % 2 == 0 { [true, false] } else { [false, true] };
        let mut both: [Option<Measured>; 2] = [None, None];
        let mut counts = true;
        for of_base in order {
            let seed = if of_base { seed } else { seed + apart };
            let name = format!("{:02}-{}", index + 1, if of_base { "base" } else { "head" });
            let played = play::block(&side(seed, of_base), backend, &name)?;
            match played.conclusion {
                Conclusion::Interrupted => return Ok(ExitCode::Interrupted),
                Conclusion::Invalid => counts = false,
                // A pair is judged by its difference; that the head keeps its objectives is looked at beside it.
                Conclusion::Fail if !of_base && !control => worst = worst.worse(ExitCode::Broken),
                _ => {}
            }
            both[usize::from(!of_base)] = Some(Measured::read(&played.folder)?);
        }
        if let ([Some(base), Some(head)], true) = (both, counts) {
            if !args.quiet {
                told::aside(&format!("pair {} of {}: done\n", index + 1, args.pairs));
            }
            pairs.push((base, head));
        } else {
            invalid += 1;
            told::aside(&format!("pair {} of {} is invalid and does not count\n", index + 1, args.pairs));
        }
    }
    let mut comparison = paired(&pairs, args.min_effect.unwrap_or(MINIMUM_EFFECT));
    keep(args, &mut comparison, &pairs, control, &began)?;
    if let Some((_, head)) = pairs.first() {
        // The report of the first pair's head shows the comparison.
        RunFolder::add_json(Path::new(&head.side.source), "comparison.json", &comparison)?;
        reports::render(Path::new(&head.side.source))?;
    }
    RunFolder::add_json(&folder, "comparison.json", &comparison)?;
    match args.format {
        Format::Text => {
            told::out(&comparison::text(&comparison));
            told::out(&format!("runs: {}\n", folder.display()));
        }
        Format::Json => told::json(&comparison),
    }
    if pairs.is_empty() || invalid * INVALID_SHARE > args.pairs as usize {
        worst = worst.worse(ExitCode::Invalid);
    }
    Ok(worst.worse(exit(&comparison, control)))
}

/// A regression that is confirmed decides; one that only advises does not, and that of a control is the gate's own.
pub(crate) fn exit(comparison: &Comparison, control: bool) -> ExitCode {
    match comparison.conclusion {
        Compared::Regression if comparison.gating && !control => ExitCode::Regression,
        _ => ExitCode::Pass,
    }
}

/// What the history knows of the gate, and what it learns.
fn keep(
    args: &PlayArgs,
    comparison: &mut Comparison,
    pairs: &[(Measured, Measured)],
    control: bool,
    began: &Began,
) -> Result<(), Failure> {
    let (Some(folder), Some((_, head))) = (&args.history, pairs.first()) else { return Ok(()) };
    let history = History::at(folder);
    let side = &head.side;
    if control {
        let run = ControlRun {
            at: began.started(),
            backend: side.backend.clone(),
            machine: side.machine.clone(),
            pairs: comparison.pairs,
            alarm: comparison.conclusion == Compared::Regression,
        };
        history.add_control(&side.scenario, &run)?;
    }
    comparison.control = history.control(&side.scenario, &side.backend, &side.machine)?;
    if comparison.control.is_some_and(|control| control.demoted) {
        comparison.gating = false;
    }
    Ok(())
}
