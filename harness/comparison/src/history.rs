//! The history of runs: a folder to which every run adds one small file, and from which nothing is ever changed.
//!
//! | file | holds |
//! |---|---|
//! | `SCENARIO/STARTED-BACKEND-SEED.json` | [`Kept`]: one run, below 100 KB |
//! | `SCENARIO/baselines.jsonl` | one [`Accepted`] a line; the last one of a backend and machine counts |
//! | `SCENARIO/control.jsonl` | one [`ControlRun`] a line: the gate held against itself |

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use record::{Conclusion, Control, Judgement, PlatformStamp, RunResult, ScenarioStamp, Side};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::figures::StepFigures;
use crate::{ComparisonError, Measured};

const SCHEMA: &str = "rehearse/history/v1";
/// What starts so is ours; a later number is of a newer version.
const FAMILY: &str = "rehearse/history/";
/// The most a record may have.
const BYTES_MAX: usize = 100_000;
/// A gate that cries more often where nothing changed is no gate.
const FALSE_ALARMS_MAX: f64 = 0.02;
/// Comparisons with itself that are looked back on.
const CONTROLS: usize = 30;

/// One run, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// `rehearse/history/v1`.
    pub schema: String,
    /// Version of rehearse that wrote it.
    pub version: String,
    /// Wall clock at the start, RFC 3339.
    pub started: String,
    /// What was played.
    pub scenario: ScenarioStamp,
    /// Against which platform.
    pub platform: PlatformStamp,
    /// On which backend.
    pub backend: String,
    /// With which seed.
    pub seed: u64,
    /// Class of the machine; runs of different ones are not compared.
    #[serde(default)]
    pub machine: String,
    /// How long a fixed piece of work took there, milliseconds: what latencies are divided by.
    #[serde(default)]
    pub probe_ms: Option<f64>,
    /// The commit under test, if the run was made in a repository.
    #[serde(default)]
    pub commit: Option<String>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// Each objective's figure.
    #[serde(default)]
    pub verdicts: Vec<KeptVerdict>,
    /// Each step over the steady phases.
    #[serde(default)]
    pub steps: Vec<KeptStep>,
}

/// An objective of a kept run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptVerdict {
    /// Its name.
    pub objective: String,
    /// What became of it.
    pub judgement: Judgement,
    /// What was measured.
    pub measured: Option<f64>,
    /// In which unit.
    pub unit: String,
}

/// A step of a kept run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptStep {
    /// Its name.
    pub step: String,
    /// Requests.
    pub n: u64,
    /// Of them, failed; rejects by a rate limiter apart.
    pub failed: u64,
    /// Response times in microseconds: HdrHistogram's compressed V2 format in base64.
    pub responses: String,
}

/// A run that others are held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// File name of the run.
    pub run: String,
    /// On which backend.
    pub backend: String,
    /// Class of the machine.
    pub machine: String,
    /// Why it was accepted.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
}

/// A comparison of a platform with itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlRun {
    /// When, RFC 3339.
    pub at: String,
    /// On which backend.
    pub backend: String,
    /// Class of the machine.
    pub machine: String,
    /// How many pairs.
    pub pairs: u32,
    /// Whether it found a regression, where there is none.
    pub alarm: bool,
}

/// An open history.
#[derive(Clone, Debug)]
pub struct History {
    folder: PathBuf,
}

impl History {
    /// That of a folder, which need not exist yet.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn of(&self, scenario: &str) -> PathBuf {
        self.folder.join(scenario)
    }

    /// Adds a run. Returns the file and how many bytes it has.
    pub fn add(&self, kept: &Kept) -> Result<(PathBuf, usize), ComparisonError> {
        let folder = self.of(&kept.scenario.name);
        let path = folder.join(kept.file());
        let mut text =
            serde_json::to_vec(kept).map_err(|source| ComparisonError::Record { path: path.clone(), source })?;
        text.push(b'\n');
        if text.len() > BYTES_MAX {
            let run = kept.file();
            return Err(ComparisonError::TooLarge { run, bytes: text.len(), most: BYTES_MAX });
        }
        let failed = |source: io::Error| ComparisonError::History { what: "write", path: path.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => file.write_all(&text).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(ComparisonError::Twice { path }),
            Err(error) => return Err(failed(error)),
        }
        Ok((path, text.len()))
    }

    /// Every run of a scenario, the oldest first, with its file.
    pub fn runs(&self, scenario: &str) -> Result<Vec<(PathBuf, Kept)>, ComparisonError> {
        let mut all = Vec::new();
        for path in files(&self.of(scenario))? {
            if path.extension().is_some_and(|ending| ending == "json") {
                all.push((path.clone(), read(&path)?));
            }
        }
        all.sort_by(|(_, one): &(PathBuf, Kept), (_, other)| one.started.cmp(&other.started));
        Ok(all)
    }

    /// Names of the scenarios that have runs.
    pub fn scenarios(&self) -> Result<Vec<String>, ComparisonError> {
        let folders = files(&self.folder)?.into_iter().filter(|path| path.is_dir());
        Ok(folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Removes all but the newest `keep` runs of each scenario; accepted ones stay. Returns what was removed.
    pub fn prune(&self, keep: usize) -> Result<Vec<PathBuf>, ComparisonError> {
        let mut removed = Vec::new();
        for scenario in self.scenarios()? {
            let accepted: Vec<String> = self.accepted(&scenario)?.into_iter().map(|a| a.run).collect();
            let runs = self.runs(&scenario)?;
            let old = runs.len().saturating_sub(keep);
            for (path, kept) in runs.into_iter().take(old).filter(|(_, kept)| !accepted.contains(&kept.file())) {
                let _: Kept = kept;
                fs::remove_file(&path).map_err(|source| ComparisonError::History {
                    what: "remove",
                    path: path.clone(),
                    source,
                })?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Accepts a run as what others are held against. It enters the history if it is not there yet.
    pub fn accept(&self, kept: &Kept, reason: &str, by: &str, at: &str) -> Result<PathBuf, ComparisonError> {
        let path = match self.add(kept) {
            Ok((path, _)) | Err(ComparisonError::Twice { path }) => path,
            Err(error) => return Err(error),
        };
        let accepted = Accepted {
            run: kept.file(),
            backend: kept.backend.clone(),
            machine: kept.machine.clone(),
            reason: reason.into(),
            by: by.into(),
            at: at.into(),
        };
        append(&self.of(&kept.scenario.name).join("baselines.jsonl"), &accepted)?;
        Ok(path)
    }

    /// Everything that was accepted for a scenario, the oldest first.
    pub fn accepted(&self, scenario: &str) -> Result<Vec<Accepted>, ComparisonError> {
        lines(&self.of(scenario).join("baselines.jsonl"))
    }

    /// The baseline for a run: the last one accepted of its scenario, backend and, but for virtual time, machine.
    pub fn baseline(&self, run: &Kept) -> Result<Option<(Accepted, Kept)>, ComparisonError> {
        let fits = |accepted: &Accepted| {
            accepted.backend == run.backend && (run.backend == "simulated" || accepted.machine == run.machine)
        };
        let Some(accepted) = self.accepted(&run.scenario.name)?.into_iter().rfind(fits) else { return Ok(None) };
        let path = self.of(&run.scenario.name).join(&accepted.run);
        Ok(Some((accepted, read(&path)?)))
    }

    /// Adds a comparison of a platform with itself.
    pub fn add_control(&self, scenario: &str, control: &ControlRun) -> Result<(), ComparisonError> {
        append(&self.of(scenario).join("control.jsonl"), control)
    }

    /// How often the gate cried where nothing had changed, of the last comparisons on that backend and machine.
    pub fn control(&self, scenario: &str, backend: &str, machine: &str) -> Result<Option<Control>, ComparisonError> {
        let fits = |run: &ControlRun| run.backend == backend && (backend == "simulated" || run.machine == machine);
        let mut runs: Vec<ControlRun> = lines(&self.of(scenario).join("control.jsonl"))?;
        runs.retain(fits);
        let runs = &runs[runs.len().saturating_sub(CONTROLS)..];
        if runs.is_empty() {
            return Ok(None);
        }
        let alarms = runs.iter().filter(|run| run.alarm).count() as u32;
        let all = runs.len() as u32;
        // One alarm in a few is chance: the gate steps down once the rate is surely too high.
        let demoted = alarms > 0 && at_least(alarms, all, FALSE_ALARMS_MAX) <= 0.05;
        Ok(Some(Control { runs: all, alarms, upper: upper(alarms, all), demoted }))
    }
}

impl Kept {
    /// What is kept of a run folder.
    pub fn of(run: &Measured, commit: Option<String>) -> Self {
        let RunResult { scenario, platform, seed, conclusion, verdicts, .. } = &run.result;
        let probe = run.environment.notes.get("probe").and_then(|text| text.split(' ').next()?.parse().ok());
        let step = |(name, step): (&String, &StepFigures)| KeptStep {
            step: name.clone(),
            n: step.n,
            failed: step.failed,
            responses: crate::stored::encode(&step.responses),
        };
        Self {
            schema: SCHEMA.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: run.side.started.clone(),
            scenario: scenario.clone(),
            platform: platform.clone(),
            backend: run.side.backend.clone(),
            seed: seed.get(),
            machine: run.side.machine.clone(),
            probe_ms: probe,
            commit,
            conclusion: *conclusion,
            verdicts: verdicts
                .iter()
                .map(|v| KeptVerdict {
                    objective: v.objective.clone(),
                    judgement: v.judgement,
                    measured: v.measured,
                    unit: v.unit.clone(),
                })
                .collect(),
            steps: run.steps.iter().map(step).collect(),
        }
    }

    /// Its file's name: `20261123T021000Z-simulated-42-0a1b2c.json`. The manifests' digest is in it, as two simulated
    /// runs may begin in one second.
    pub fn file(&self) -> String {
        let started: String = self.started.chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
        let digest: String = self.platform.digest.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
        format!("{started}-{}-{}-{digest}.json", self.backend, self.seed)
    }

    /// The run as one that can be compared: what was kept of it, around the result of the run it is held against.
    pub fn measured(&self, like: &Measured) -> Measured {
        let mut result = like.result.clone();
        result.scenario = self.scenario.clone();
        result.platform = self.platform.clone();
        result.conclusion = self.conclusion;
        result.verdicts.retain(|verdict| self.verdicts.iter().any(|kept| kept.objective == verdict.objective));
        for verdict in &mut result.verdicts {
            if let Some(kept) = self.verdicts.iter().find(|kept| kept.objective == verdict.objective) {
                verdict.judgement = kept.judgement;
                verdict.measured = kept.measured;
            }
        }
        result.steps.clear();
        let step = |step: &KeptStep| {
            let responses = crate::stored::decode(&step.responses)?;
            Some((step.step.clone(), StepFigures::of(step.n, step.failed, responses)))
        };
        let side = Side {
            source: self.file(),
            scenario: self.scenario.name.clone(),
            scenario_digest: self.scenario.digest.clone(),
            platform_digest: self.platform.digest.clone(),
            backend: self.backend.clone(),
            seeds: vec![self.seed],
            machine: self.machine.clone(),
            started: self.started.clone(),
            requests: self.steps.iter().map(|step| step.n).sum(),
        };
        let environment = record::Environment { started: self.started.clone(), ..like.environment.clone() };
        Measured { side, result, environment, steps: self.steps.iter().filter_map(step).collect() }
    }

    /// p95 of a step in milliseconds.
    pub(crate) fn p95(&self, step: &str) -> Option<f64> {
        let kept = self.steps.iter().find(|kept| kept.step == step)?;
        let responses = crate::stored::decode(&kept.responses).filter(|responses| !responses.is_empty())?;
        Some(responses.value_at_quantile(0.95) as f64 / 1e3)
    }
}

/// The sorted files of a folder; none of one that is not there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ComparisonError> {
    let failed = |source| ComparisonError::History { what: "read", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut all = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    all.sort();
    Ok(all)
}

/// A record of this or an older schema. What an older one does not have is left at its default.
fn read(path: &Path) -> Result<Kept, ComparisonError> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let text = fs::read(path).map_err(|source| ComparisonError::History { what: "read", path: path.into(), source })?;
    let broken = |source| ComparisonError::Record { path: path.into(), source };
    let head: Head = serde_json::from_slice(&text).map_err(broken)?;
    let version = |schema: &str| schema.strip_prefix(FAMILY)?.strip_prefix('v')?.parse::<u32>().ok();
    match (version(&head.schema), version(SCHEMA)) {
        (Some(theirs), Some(ours)) if theirs <= ours => serde_json::from_slice(&text).map_err(broken),
        _ => Err(ComparisonError::Newer { path: path.into(), schema: head.schema }),
    }
}

/// One JSON value a line; none of a file that is not there. A last line that was cut off by a full disk is left out.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ComparisonError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ComparisonError::History { what: "read", path: path.into(), source }),
    };
    let whole = text.lines().take(text.matches('\n').count()).filter(|line| !line.trim().is_empty());
    let parse =
        |line| serde_json::from_str(line).map_err(|source| ComparisonError::Record { path: path.into(), source });
    whole.map(parse).collect()
}

fn append(path: &Path, value: &impl Serialize) -> Result<(), ComparisonError> {
    let failed = |source: io::Error| ComparisonError::History { what: "write", path: path.into(), source };
    let mut line =
        serde_json::to_string(value).map_err(|source| ComparisonError::Record { path: path.into(), source })?;
    line.push('\n');
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}

/// P(X ≥ k) for X ~ Binomial(n, p), by its terms: n is at most a few dozen here.
fn at_least(k: u32, n: u32, p: f64) -> f64 {
    let mut chance = libm::pow(1.0 - p, f64::from(n));
    let mut below = 0.0;
    for i in 0..k {
        below += chance;
        chance *= f64::from(n - i) / f64::from(i + 1) * p / (1.0 - p);
    }
    (1.0 - below).clamp(0.0, 1.0)
}

/// Upper 95 % bound of a rate of which k of n were seen.
fn upper(k: u32, n: u32) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 1.0 - at_least(k + 1, n, middle) > 0.05 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    pub(crate) fn kept(day: u32, p95_ms: u64) -> Kept {
        let mut responses = Histogram::<u32>::new(3).unwrap();
        (1..=1_000_u64).for_each(|i| responses.record(i * p95_ms * 1_000 / 950).unwrap());
        Kept {
            schema: SCHEMA.into(),
            version: "0.1.0".into(),
            started: format!("2026-11-{day:02}T02:10:00Z"),
            scenario: ScenarioStamp {
                name: "nightly".into(),
                digest: "0123456789ab".into(),
                ..ScenarioStamp::default()
            },
            platform: PlatformStamp::default(),
            backend: "embedded".into(),
            seed: 1,
            machine: "x86_64, 2 cores".into(),
            probe_ms: None,
            commit: Some(format!("c{day}")),
            conclusion: Conclusion::Pass,
            verdicts: vec![],
            steps: vec![KeptStep {
                step: "token".into(),
                n: 1_000,
                failed: 0,
                responses: crate::stored::encode(&responses),
            }],
        }
    }

    #[test]
    fn a_run_is_kept_once_and_small_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path());
        assert!(history.runs("nightly").unwrap().is_empty(), "a history that is not there is empty");
        for day in [3, 1, 2] {
            let (_, bytes) = history.add(&kept(day, 100)).unwrap();
            assert!(bytes < 10_000, "{bytes}");
        }
        assert!(matches!(history.add(&kept(2, 100)), Err(ComparisonError::Twice { .. })));
        let runs = history.runs("nightly").unwrap();
        assert_eq!(runs.iter().map(|(_, run)| &run.started[8..10]).collect::<Vec<_>>(), ["01", "02", "03"]);
        assert_eq!(runs[0].1, kept(1, 100));
        assert!((runs[0].1.p95("token").unwrap() - 100.0).abs() < 0.2);
        assert_eq!(history.scenarios().unwrap(), ["nightly"]);
    }

    #[test]
    fn older_records_are_read_and_newer_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = History::at(folder.path()).add(&kept(1, 100)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // What a first version would have had: neither machine nor verdicts nor commit.
        let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["machine", "probe_ms", "commit", "verdicts"] {
            older.as_object_mut().unwrap().remove(key);
        }
        fs::write(&path, older.to_string()).unwrap();
        assert_eq!(History::at(folder.path()).runs("nightly").unwrap()[0].1.machine, "");
        fs::write(&path, text.replace("history/v1", "history/v9")).unwrap();
        let error = History::at(folder.path()).runs("nightly").unwrap_err().to_string();
        assert!(error.contains("newer version of rehearse (rehearse/history/v9)"), "{error}");
    }

    #[test]
    fn a_baseline_is_of_its_backend_and_machine_and_survives_pruning() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path());
        (1..=5).for_each(|day| drop(history.add(&kept(day, 100)).unwrap()));
        history.accept(&kept(1, 100), "the first that we ship", "sam", "2026-11-02T09:00:00Z").unwrap();
        let (accepted, run) = history.baseline(&kept(6, 120)).unwrap().unwrap();
        assert_eq!(
            (accepted.reason.as_str(), run.started.as_str()),
            ("the first that we ship", "2026-11-01T02:10:00Z")
        );
        let elsewhere = Kept { machine: "aarch64, 8 cores".into(), ..kept(6, 120) };
        assert!(history.baseline(&elsewhere).unwrap().is_none(), "another machine is another measure");
        let removed = history.prune(2).unwrap();
        assert_eq!(removed.len(), 2, "days 2 and 3 go, the accepted day 1 stays");
        assert!(history.baseline(&kept(6, 120)).unwrap().is_some());
    }

    #[test]
    fn a_gate_that_cries_where_nothing_changed_steps_down() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path());
        let run = |alarm| ControlRun {
            at: "2026-11-02T09:00:00Z".into(),
            backend: "embedded".into(),
            machine: "m".into(),
            pairs: 12,
            alarm,
        };
        assert_eq!(history.control("nightly", "embedded", "m").unwrap(), None);
        (0..29).for_each(|_| history.add_control("nightly", &run(false)).unwrap());
        let quiet = history.control("nightly", "embedded", "m").unwrap().unwrap();
        assert!(!quiet.demoted && (quiet.upper - 0.098).abs() < 0.002, "{quiet:?}"); // 1 − 0.05^(1/29)
        history.add_control("nightly", &run(true)).unwrap();
        assert!(!history.control("nightly", "embedded", "m").unwrap().unwrap().demoted, "once in 30 is chance");
        (0..3).for_each(|_| history.add_control("nightly", &run(true)).unwrap());
        let loud = history.control("nightly", "embedded", "m").unwrap().unwrap();
        assert!(loud.demoted && loud.runs == 30 && loud.alarms == 4, "{loud:?}");
        assert_eq!(history.control("nightly", "embedded", "other").unwrap(), None);
    }
}
