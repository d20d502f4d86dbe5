//! `rehearse lint` and `rehearse explain`.

use std::path::{Path, PathBuf};

use ::lint::drift::{self, Facts, FactsError, Provided, Row, State};
use ::lint::{Accepted, Finding, Policy, Severity, build_findings, catalogue, lint_loaded, present, rule};
use clap::ValueEnum;
use manifests::{Loaded, Source};
use platform::{Node, Place};
use record::ExitCode;
use serde::Deserialize;

use crate::args::PlayArgs;
use crate::failure::Failure;
use crate::project::Project;
use crate::told;

/// What `rehearse lint` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LintArgs {
    /// A kustomization directory, a directory of manifests, a rendered file, `-`, or `git:REV[:PATH]`; the built-in
    /// platform if left out
    #[arg(long, value_name = "SRC")]
    pub(crate) platform: Option<String>,
    /// Which overlay of the platform, production if left out; of a platform without overlays, which one the documented
    /// figures are those of
    #[arg(long, value_name = "NAME")]
    pub(crate) overlay: Option<String>,
    /// The nodes that pods are scheduled to; the built-in ones if left out
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: Option<PathBuf>,
    /// Documented figures to compare with. Without it, a `facts.yaml` in the directory of the platform or one of the
    /// four above it; the built-in platform has its own
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Print every documented figure beside what is declared and what comes of it
    #[arg(long)]
    drift: bool,
    /// Findings of these rules are errors; `all` for every rule
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) deny: Vec<String>,
    /// Findings of these rules are not told; `all` for every rule
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = LintFormat::Text)]
    format: LintFormat,
}

/// What errors among the findings mean for a platform that is to be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Errors {
    /// Exit code 20, before anything starts.
    Refuse,
    /// They stand in the report.
    Tell,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LintFormat {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

/// Reads the platform, tells what is wrong with it, and fails if an error is among it.
pub(crate) fn lint(args: &LintArgs) -> Result<ExitCode, Failure> {
    let project = Project::here()?;
    let args = &project.lint(args);
    let source = args.platform.as_deref().map_or(Source::BuiltIn, Source::parse);
    let (loaded, errors) = manifests::load_all(&source, args.overlay.as_deref().unwrap_or_default());
    let nodes = manifests::load_nodes(args.nodes.as_deref())?;
    let told = Told::of(args.facts.as_deref(), args.platform.as_deref(), &project)?;
    let rows = told.rows(&loaded, args.overlay.as_deref());
    if args.drift {
        told::out(&table(&rows));
        return Ok(ExitCode::Pass);
    }
    let policy = policy(&args.deny, &args.allow, told.accepted)?;
    let mut findings = build_findings(&errors);
    findings.extend(lint_loaded(&loaded, &nodes, &told.provided));
    findings.extend(drift::findings(&rows));
    let findings = policy.apply(findings);
    let source = if loaded.overlay.is_empty() || loaded.source.is_empty() {
        loaded.source.clone()
    } else {
        format!("{}, overlay {}", loaded.source, loaded.overlay)
    };
    told::out(&match args.format {
        LintFormat::Text => present::text(&findings, &source, &|place| excerpt(&loaded, place)),
        LintFormat::Json => format!("{:#}\n", present::json(&findings, &source)),
        LintFormat::Sarif => format!("{:#}\n", present::sarif(&findings, env!("CARGO_PKG_VERSION"))),
    });
    let denied = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if denied { ExitCode::Manifests } else { ExitCode::Pass })
}

/// What lint finds in a platform that is about to be played, under the project's choices. Errors among it are refused
/// here, unless they are only to be told.
pub(crate) fn before_play(
    loaded: &Loaded,
    args: &PlayArgs,
    nodes: &[Node],
    project: &Project,
) -> Result<Vec<Finding>, Failure> {
    let told = Told::of(None, args.platform.as_deref(), project)?;
    let mut findings = lint_loaded(loaded, nodes, &told.provided);
    findings.extend(drift::findings(&told.rows(loaded, args.overlay.as_deref())));
    let (deny, allow) = project.denied_and_allowed();
    let findings = policy(deny, allow, told.accepted)?.apply(findings);
    let errors: Vec<Finding> = findings.iter().filter(|f| f.severity == Severity::Error).cloned().collect();
    if errors.is_empty() || args.errors.or(project.errors()) == Some(Errors::Tell) {
        return Ok(findings);
    }
    let shown = &errors[..errors.len().min(TOLD_MAX)];
    let text = present::text(shown, "", &|place| excerpt(loaded, place));
    let all = format!(
        "lint finds {} in this platform, and nothing was played\n{}",
        if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) },
        text.rsplit_once("\n\n").map_or(text.as_str(), |(findings, _)| findings),
    );
    let next = "`rehearse lint` tells all of them; correct or accept them, or play it all the same with --errors tell";
    Err(Failure::of_text(ExitCode::Manifests, format!("{all}\n\n{next}")))
}

/// Errors that a refusal tells: as many as fit on a screen.
const TOLD_MAX: usize = 3;

fn policy(deny: &[String], allow: &[String], accepted: Vec<Accepted>) -> Result<Policy, Failure> {
    Policy::new(deny.to_vec(), allow.to_vec(), accepted).map_err(|error| Failure::usage(error.to_string()))
}

/// The source lines of a place, from what was loaded or from the file that it names.
pub(crate) fn excerpt(loaded: &Loaded, place: &Place) -> Option<String> {
    let file = || manifests::excerpt(&std::fs::read_to_string(&place.file).ok()?, place.line);
    loaded.excerpt(place).or_else(file)
}

/// What is known of a platform from beside its manifests: by its facts and by the project.
struct Told {
    facts: Option<Facts>,
    accepted: Vec<Accepted>,
    provided: Vec<Provided>,
}

impl Told {
    fn of(named: Option<&Path>, platform: Option<&str>, project: &Project) -> Result<Self, Failure> {
        let facts = facts(named, platform)?;
        let mut accepted = facts.as_ref().map(drift::accepted).unwrap_or_default();
        accepted.extend(project.accepted());
        let mut provided = facts.as_ref().map(|facts| facts.provided.clone()).unwrap_or_default();
        provided.extend(project.provided.iter().cloned());
        Ok(Self { facts, accepted, provided })
    }

    fn rows(&self, loaded: &Loaded, overlay: Option<&str>) -> Vec<Row> {
        self.facts.as_ref().map_or_else(Vec::new, |facts| drift::drift(loaded, overlay.unwrap_or("production"), facts))
    }
}

/// The facts that were named, those beside the platform, or those of the built-in platform for itself.
fn facts(named: Option<&Path>, platform: Option<&str>) -> Result<Option<Facts>, Failure> {
    let usage = |error: FactsError| Failure::usage(error.to_string());
    let Some(path) = named.map(Path::to_owned).or_else(|| beside(platform?)) else {
        return platform.is_none().then(|| Facts::built_in().map_err(usage)).transpose();
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("cannot read facts {}: {error}", path.display())))?;
    Facts::parse(&text, &path.display().to_string()).map(Some).map_err(usage)
}

/// In how many directories facts are looked for, the platform's own among them.
const LEVELS: usize = 5;

fn beside(platform: &str) -> Option<PathBuf> {
    let directory = std::fs::canonicalize(platform).ok().filter(|path| path.is_dir())?;
    directory.ancestors().take(LEVELS).map(|above| above.join("facts.yaml")).find(|file| file.is_file())
}

/// Documented, declared and effective side by side.
fn table(rows: &[Row]) -> String {
    let header = ["fact", "documented", "declared", "effective", ""].map(str::to_owned);
    let line = |row: &Row| {
        let state = match &row.state {
            State::Agrees => String::new(),
            State::Differs => "DIFFERS".into(),
            State::Accepted(reason) => format!("accepted: {reason}"),
            State::Missing => "MISSING".into(),
            State::Judged => "judged by runs".into(),
        };
        let declared = row.declared.clone().unwrap_or_else(|| "–".into());
        [row.id.clone(), row.documented.clone(), declared, row.effective.clone().unwrap_or_default(), state]
    };
    let lines: Vec<[String; 5]> = std::iter::once(header).chain(rows.iter().map(line)).collect();
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0).min([48, 28, 28, 44, 80][column])
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let cut = |text: &str, width: usize| match text.char_indices().nth(width) {
        Some(_) => format!("{}…", text.chars().take(width.saturating_sub(1)).collect::<String>()),
        None => text.to_owned(),
    };
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> = line[..4]
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:<width$}", cut(cell, *width), width = *width))
            .collect();
        out += format!("{}  {}", cells.join("  "), line[4]).trim_end();
        out.push('\n');
    }
    let count = |wanted: fn(&State) -> bool| rows.iter().filter(|row| wanted(&row.state)).count();
    out += &format!(
        "{} figures: {} agree, {} differ, {} accepted, {} missing, {} judged by runs\n",
        rows.len(),
        count(|state| *state == State::Agrees),
        count(|state| *state == State::Differs),
        count(|state| matches!(state, State::Accepted(_))),
        count(|state| *state == State::Missing),
        count(|state| *state == State::Judged)
    );
    out
}

/// Prints what a rule is about; without an id, all rules in one line each.
pub(crate) fn explain(id: Option<&str>) -> Result<ExitCode, Failure> {
    let Some(id) = id else {
        for rule in catalogue() {
            told::out(&format!("{:<32} {:<8} {}\n", rule.id, rule.severity.name(), rule.title));
        }
        return Ok(ExitCode::Pass);
    };
    match rule(id) {
        Ok(rule) => {
            told::out(&present::explain(rule));
            Ok(ExitCode::Pass)
        }
        Err(near) => Err(Failure::usage(format!(
            "there is no rule `{id}`{}",
            near.map_or(": `rehearse explain` lists them all".to_owned(), |near| format!(": did you mean `{near}`?"))
        ))),
    }
}
