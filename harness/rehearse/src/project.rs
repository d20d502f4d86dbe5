//! `rehearse.yaml`: what a folder rehearses by default. Flags beat it, and a folder without one is as good.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lint::Accepted;
use lint::drift::Provided;
use model::Profile;
use model::data::Figures;
use record::ExitCode;
use serde::Deserialize;
use serde_saphyr::Error;

use crate::args::PlayArgs;
use crate::failure::Failure;
use crate::lint::{Errors, LintArgs};

/// Its name.
pub(crate) const FILE: &str = "rehearse.yaml";
/// The overlay where neither a flag nor a project names one.
const OVERLAY: &str = "production";

/// What the current folder says; [`Project::default`] says nothing. Paths are relative to the folder.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Project {
    api_version: String,
    kind: String,
    /// As `--platform`.
    #[serde(default)]
    pub(crate) platform: Option<String>,
    /// As `--overlay`.
    #[serde(default)]
    pub(crate) overlay: Option<String>,
    /// As `--nodes`.
    #[serde(default)]
    pub(crate) nodes: Option<PathBuf>,
    /// The scenario that is played where none is named.
    #[serde(default)]
    scenario: Option<String>,
    /// Folder with a profile a file; they come before the shipped ones.
    #[serde(default)]
    profiles: Option<PathBuf>,
    /// Folder with a scenario a file, found by name before the shipped ones.
    #[serde(default)]
    scenarios: Option<PathBuf>,
    /// Figures of the servers that the platform keeps its data in, as `calibrate postgres` and `redis` write them.
    #[serde(default)]
    data: Option<PathBuf>,
    /// What becomes of findings.
    #[serde(default)]
    pub(crate) lint: LintChoices,
    /// Objects that come from outside of the manifests.
    #[serde(default)]
    pub(crate) provided: Vec<Provided>,
}

/// What becomes of findings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LintChoices {
    /// As `--deny`.
    #[serde(default)]
    deny: Vec<String>,
    /// As `--allow`.
    #[serde(default)]
    allow: Vec<String>,
    /// Findings that somebody knows of and lives with.
    #[serde(default)]
    accepted: Vec<AcceptedFinding>,
    /// As `--errors`.
    #[serde(default)]
    errors: Option<Errors>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedFinding {
    /// The rule.
    id: String,
    /// `Kind/name`, or `*` for all.
    subject: String,
    /// Why.
    reason: String,
}

impl Project {
    /// That of the current folder.
    pub(crate) fn here() -> Result<Self, Failure> {
        match fs::read_to_string(FILE) {
            Ok(text) => Self::parse(&text, FILE).map_err(Failure::usage),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::usage(format!("cannot read {FILE}: {error}"))),
        }
    }

    /// Reads a project; the error has place, reason and what would do.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, String> {
        let project: Self = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            format!("{file}:{line}: {}", reason(error.without_snippet()))
        })?;
        if (project.api_version.as_str(), project.kind.as_str()) == ("rehearse/v1", "Project") {
            Ok(project)
        } else {
            Err(format!("{file}:1: a project begins with `apiVersion: rehearse/v1` and `kind: Project`"))
        }
    }

    /// Arguments with what the project adds. An overlay and nodes belong to its platform: they do not go with another.
    pub(crate) fn play(&self, args: &PlayArgs) -> PlayArgs {
        let own = args.platform.is_none();
        let mut all = args.clone();
        self.fill(&mut all.platform, &mut all.overlay, &mut all.nodes, own);
        all.scenario = all.scenario.or_else(|| self.scenario.clone());
        all
    }

    /// The same for `lint`, whose choices add up.
    pub(crate) fn lint(&self, args: &LintArgs) -> LintArgs {
        let own = args.platform.is_none();
        let mut all = args.clone();
        self.fill(&mut all.platform, &mut all.overlay, &mut all.nodes, own);
        all.deny.extend(self.lint.deny.iter().cloned());
        all.allow.extend(self.lint.allow.iter().cloned());
        all
    }

    fn fill(
        &self,
        platform: &mut Option<String>,
        overlay: &mut Option<String>,
        nodes: &mut Option<PathBuf>,
        own: bool,
    ) {
        if own {
            *platform = platform.take().or_else(|| self.platform.clone());
            *overlay = overlay.take().or_else(|| self.overlay.clone());
            *nodes = nodes.take().or_else(|| self.nodes.clone());
        }
        overlay.get_or_insert_with(|| OVERLAY.to_owned());
    }

    /// Rules that are denied, and allowed ones.
    pub(crate) fn denied_and_allowed(&self) -> (&[String], &[String]) {
        (&self.lint.deny, &self.lint.allow)
    }

    /// What errors among the findings mean for a platform that is to be played.
    pub(crate) fn errors(&self) -> Option<Errors> {
        self.lint.errors
    }

    /// Findings that the project accepts.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = Accepted> {
        self.lint.accepted.iter().map(|entry| Accepted {
            id: entry.id.clone(),
            subject: entry.subject.clone(),
            reason: entry.reason.clone(),
        })
    }

    /// What was measured of the servers that the platform keeps its data in.
    pub(crate) fn figures(&self) -> Result<Figures, Failure> {
        let Some(file) = &self.data else { return Ok(Figures::new()) };
        let unread = |why: String| Failure::usage(format!("{FILE}: the figures in {}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| unread(error.to_string()))?;
        Figures::parse(&text).map_err(unread)
    }

    /// The shipped profiles, and the project's own before them; assumed ones with what was measured of servers.
    pub(crate) fn profiles(&self) -> Result<BTreeMap<String, Profile>, Failure> {
        let mut all = self.written_profiles()?;
        let figures = self.figures()?;
        all.values_mut().for_each(|profile| figures.apply(profile));
        Ok(all)
    }

    fn written_profiles(&self) -> Result<BTreeMap<String, Profile>, Failure> {
        let mut all = model::shipped()?;
        let Some(folder) = &self.profiles else { return Ok(all) };
        let unread = |error: std::io::Error| {
            Failure::usage(format!("{FILE}: cannot read the profiles in {}: {error}", folder.display()))
        };
        let entries = fs::read_dir(folder).map_err(unread)?;
        let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(unread)?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file).map_err(unread)?;
            let profile = Profile::parse(&text, &file.display().to_string())
                .map_err(|error| Failure::new(ExitCode::Usage, &error))?;
            all.insert(profile.workload.clone(), profile);
        }
        Ok(all)
    }

    /// The project's scenario of that name, where it has one.
    pub(crate) fn scenario(&self, name: &str) -> Option<PathBuf> {
        let is_name = Path::new(name).components().count() == 1;
        let file = self.scenarios.as_ref().filter(|_| is_name)?.join(format!("{name}.yaml"));
        file.is_file().then_some(file)
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = expected.iter().map(|known| (strsim::damerau_levenshtein(field, known), *known)).min();
            let hint = match near {
                Some((distance, known)) if distance <= 1 + field.len() / 3 => format!("did you mean `{known}`?"),
                _ => format!("it knows {}", expected.join(", ")),
            };
            format!("there is no key `{field}` here: {hint}")
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        // The place is told beside it.
        other => {
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_read_or_refused_with_its_place() {
        let head = "apiVersion: rehearse/v1\nkind: Project\n";
        let whole = format!("{head}platform: .\nlint: {{deny: [all], accepted: [{{id: a, subject: b, reason: c}}]}}\n");
        let project = Project::parse(&whole, "p.yaml").unwrap();
        assert_eq!((project.platform.as_deref(), project.accepted().count()), (Some("."), 1));
        for (case, text, want) in [
            ("a wrong key", format!("{head}platfrom: x\n"), "p.yaml:3: there is no key `platfrom` here: did you mean"),
            ("inside of lint", format!("{head}lint:\n  denny: [x]\n"), "p.yaml:4: there is no key `denny`"),
            ("another kind", "apiVersion: rehearse/v1\nkind: Scenario\n".to_owned(), "p.yaml:1: a project begins with"),
            ("no kind", "apiVersion: rehearse/v1\n".to_owned(), "the key `kind` is missing"),
        ] {
            let error = Project::parse(&text, "p.yaml").unwrap_err();
            assert!(error.contains(want), "{case}: {error}");
        }
    }
}
