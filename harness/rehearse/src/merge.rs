//! `merge`: the parts of a sweep that `--shard` cut, as if one machine had played it.

use std::fs;
use std::path::PathBuf;

use planning::release;
use record::{Asked, CapacityPart, ExitCode, ReleasePlan, Replications, RunFolder, ShardError};
use serde::de::DeserializeOwned;

use crate::args::{Format, Undecided};
use crate::failure::Failure;
use crate::machine::Began;
use crate::{capacity as plans, release as drills, replications};

/// Of `merge`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The folders of all parts, in any order
    #[arg(required = true, value_name = "DIR")]
    parts: Vec<PathBuf>,
    /// Where the folder of the whole is made
    #[arg(long, value_name = "DIR", default_value = "rehearsals")]
    out: PathBuf,
    /// What is printed: a summary for people, or the machine-readable answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// What an undecided answer means for the exit code
    #[arg(long, value_enum, default_value_t = Undecided::Fail)]
    undecided: Undecided,
}

/// `rehearse merge`.
pub(crate) fn run(args: &MergeArgs) -> Result<ExitCode, Failure> {
    let began = Began::now();
    let first = &args.parts[0];
    let asked: Asked = read(&first.join("run.json"))?;
    if first.join(drills::FILE).is_file() {
        let mut whole = ReleasePlan::woven(parts(args, drills::FILE)?).map_err(|error| usage(&error))?;
        whole.conclusion = release::verdict(&whole.drills);
        let folder = RunFolder::create(&args.out, &format!("release-{}", began.stamp()), &asked)?;
        for drill in &whole.drills {
            let file = drills::file(&drill.name);
            let from = args.parts.iter().map(|part| part.join(&file)).find(|path| path.is_file());
            if let Some(from) = from {
                let text = fs::read(&from)
                    .map_err(|error| Failure::usage(format!("cannot read {}: {error}", from.display())))?;
                folder.write(&file, &text)?;
            }
        }
        return drills::finish(&folder, whole, args.format, args.undecided);
    }
    if first.join(plans::PART).is_file() {
        let (plan, answers) = CapacityPart::woven(parts(args, plans::PART)?).map_err(|error| usage(&error))?;
        let folder = RunFolder::create(&args.out, &format!("capacity-{}", began.stamp()), &asked)?;
        return plans::finish(&folder, &planning::whole(plan, answers), args.format);
    }
    let whole = Replications::merged(parts(args, replications::FILE)?).map_err(|error| usage(&error))?;
    let folder = RunFolder::create(&args.out, &format!("{}-seeds-{}", asked.scenario, began.stamp()), &asked)?;
    replications::finish(&folder, &whole, args.format, args.undecided)
}

/// What each folder has, with its name.
fn parts<T: DeserializeOwned>(args: &MergeArgs, file: &str) -> Result<Vec<(String, T)>, Failure> {
    args.parts.iter().map(|part| Ok((part.display().to_string(), read(&part.join(file))?))).collect()
}

fn read<T: DeserializeOwned>(path: &std::path::Path) -> Result<T, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "cannot read {shown}: {error}; give the folders that `--shard` wrote, all of one command"
        ))
    })?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{shown} is not what --shard writes: {error}")))
}

fn usage(error: &ShardError) -> Failure {
    Failure::new(ExitCode::Usage, error)
}
