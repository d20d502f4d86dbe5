//! The platform's own alerts: what its Prometheus would have made of a run, and of any run folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::alerts::evaluation::Times;
use ::alerts::promql::Release;
use ::alerts::{Collected, Monitoring, Scraper, Store, Watched, openmetrics, rules};
use record::{AlertRehearsal, Environment, ExitCode, RunFolder, RunResult};
use scenarios::Plan;

use crate::args::Format;
use crate::failure::Failure;
use crate::told;

/// The series in a run folder.
const SERIES: &str = "series.om.gz";
/// How often rules are evaluated where nobody says it, milliseconds.
const DEFAULT: i64 = 15_000;

/// Of `alerts`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AlertsArgs {
    /// The run folder
    folder: PathBuf,
    /// Prometheus rules to evaluate on the run's series; those of the run's platform if left out
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The platform's Prometheus for one run.
pub(crate) struct Server {
    monitoring: Arc<Monitoring>,
    pub(crate) scraper: Scraper,
}

impl Server {
    /// The one that the manifests declare, if they do.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let monitoring = Arc::new(Monitoring::of(&plan.platform)?);
        let scraper = Scraper::new(Arc::clone(&monitoring), Arc::clone(&plan.platform), plan.nodes.clone());
        Some(Self { monitoring, scraper })
    }

    /// What its rules made of the load, and all that it scraped.
    fn rehearse(self, load: Times) -> (AlertRehearsal, Store) {
        let monitoring = self.monitoring;
        let Collected { store, down, scrapes, failed, limit_statuses, assumed, outcomes } =
            self.scraper.finish(load.until);
        let watched = Watched {
            source: monitoring.source.clone(),
            jobs: monitoring.jobs.iter().map(|job| job.name.clone()).collect(),
            limit_statuses,
            down,
            failed_scrapes: (failed, scrapes),
            notes: monitoring
                .troubles
                .iter()
                .map(|trouble| format!("{trouble}."))
                .chain(assumed.into_iter().map(|what| format!("Assumed: {what}.")))
                .collect(),
        };
        let times = Times { interval: monitoring.evaluation, ..load };
        (::alerts::tell(&store, &monitoring.groups, &outcomes, times, monitoring.release, &watched), store)
    }
}

/// Adds to a result what the platform's alerts made of the run; gives the series that a run folder keeps.
pub(crate) fn rehearsed(server: Option<Server>, mut result: RunResult) -> (RunResult, Store) {
    let mut series = Store::default();
    if let Some(server) = server {
        let load = Times { from: millis(result.load_start_us), until: millis(result.load_end_us), interval: DEFAULT };
        let (alerts, scraped) = server.rehearse(load);
        result.alerts = Some(alerts);
        series = scraped;
    }
    ::alerts::add_own(&mut series, &result);
    (result, series)
}

/// Writes the series, each sample with its instant on the wall clock.
pub(crate) fn keep(folder: &RunFolder, series: &Store, environment: &Environment) -> Result<(), Failure> {
    folder.write(SERIES, &openmetrics::pack(series, epoch(environment)))?;
    Ok(())
}

/// The wall clock at the run's epoch, milliseconds since 1970.
fn epoch(environment: &Environment) -> i64 {
    environment.started_s().unwrap_or_default() * 1_000
}

const fn millis(us: u64) -> i64 {
    (us / 1_000) as i64
}

/// `rehearse alerts`.
pub(crate) fn alerts(args: &AlertsArgs) -> Result<ExitCode, Failure> {
    let result: RunResult = RunFolder::read_json(&args.folder, "result.json")?;
    let mut told = result.alerts.clone();
    if let Some(file) = &args.rules {
        told = Some(evaluate(&args.folder, file, &result)?);
    }
    let Some(told) = told else {
        return Err(Failure::usage(format!(
            "the platform of {} has no Prometheus rules: give some by --rules FILE",
            args.folder.display()
        )));
    };
    match args.format {
        Format::Json => {
            let mut json = serde_json::to_string_pretty(&told).expect("the contract's types have only text keys");
            json.push('\n');
            told::out(&json);
        }
        Format::Text => told::out(&reports::terminal_alerts(&told, crate::play::width(), crate::play::color())),
    }
    Ok(ExitCode::Pass)
}

/// The rules of a file over the series of a run folder.
fn evaluate(folder: &Path, file: &Path, result: &RunResult) -> Result<AlertRehearsal, Failure> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
    };
    let name = file.display().to_string();
    let text = String::from_utf8_lossy(&read(file)?).into_owned();
    let groups = rules::read(&name, &text).map_err(|error| Failure::new(ExitCode::Usage, &error))?;
    let series = folder.join(SERIES);
    if !series.exists() {
        let why = "it has no series.om.gz: an older rehearse played it";
        return Err(Failure::usage(format!("cannot evaluate rules over {}: {why}", folder.display())));
    }
    let before = result.alerts.clone().unwrap_or_default();
    let environment: Environment = RunFolder::read_json(folder, "environment.json")?;
    let interval = if before.interval_us == 0 { DEFAULT } else { millis(before.interval_us) };
    let store = openmetrics::unpack(&read(&series)?, epoch(&environment), interval)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", series.display())))?;
    // What the platform's rules made of the run stands in the file, too, and these rules make theirs.
    let mut store = store.without(|name| rules::makes(&groups, name));
    let mut notes = Vec::new();
    let load = (millis(result.load_start_us), millis(result.load_end_us));
    let scraped = store.series().iter().filter(|series| series.labels.get("job") != ::alerts::OWN_JOB);
    let kept = scraped.filter_map(|series| series.times.first()).min().copied().unwrap_or(load.0);
    if kept > load.0 {
        let what = "the run folder keeps the samples of its last hour";
        notes.push(format!("Rules are evaluated over the last {} s of load: {what}.", (load.1 - kept) / 1_000));
    }
    let watched = Watched {
        source: name,
        jobs: before.jobs,
        limit_statuses: before.limit_statuses.iter().copied().collect::<BTreeSet<_>>(),
        down: before.down_us.iter().map(|(from, until)| (millis(*from), millis(*until))).collect(),
        failed_scrapes: before.failed_scrapes,
        notes,
    };
    let times = Times { from: kept.max(load.0), until: load.1, interval };
    let release = if before.release == "2" { Release::V2 } else { Release::V3 };
    Ok(::alerts::rehearse(&mut store, &groups, times, release, &watched))
}
