//! `rehearse hpa`: what an autoscaler does on a series of pods, samples and metrics.
//!
//! Owns the command's output: a table for people, or one JSON object a sync. The rules and the format of a series are
//! `cluster::hpa`'s.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cluster::hpa::series::{Record, Series, Synced};
use cluster::{ClusterConfig, Forecast, Release};
use manifests::Source;
use platform::{Autoscaler, Platform};
use record::ExitCode;
use serde_json::{Value, json};
use units::Nanos;

use crate::args::Format;
use crate::failure::Failure;
use crate::told;

/// Of `hpa`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HpaArgs {
    /// A file with the `HorizontalPodAutoscaler`, YAML or JSON
    #[arg(long, value_name = "FILE", conflicts_with = "platform")]
    pub(crate) manifest: Option<PathBuf>,
    /// A platform that has it: a kustomization, a directory of manifests or a file; the built-in one if left out
    #[arg(long, value_name = "SRC")]
    pub(crate) platform: Option<PathBuf>,
    /// Which overlay of the platform
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub(crate) overlay: String,
    /// Which autoscaler, where there are several
    #[arg(long, value_name = "HPA")]
    pub(crate) name: Option<String>,
    /// JSON Lines, `-` for standard input; see `docs/what-if.md` and `rehearse schema hpa-series`
    #[arg(long, value_name = "FILE")]
    pub(crate) series: PathBuf,
    /// Whose rules: 1.34, 1.35 or 1.36
    #[arg(long, value_name = "RELEASE", default_value = "1.34")]
    pub(crate) k8s_version: Release,
    /// Predictive scaling: look so many seconds ahead
    #[arg(long, value_name = "SECS")]
    pub(crate) forecast_lead: Option<u32>,
    /// How many seconds of history the forecast looks at
    #[arg(long, value_name = "SECS", default_value_t = 300, requires = "forecast_lead")]
    pub(crate) forecast_history: u32,
    /// What is printed: a table for people, or a JSON line for each sync
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The JSON Schema of one line of a series.
pub(crate) fn schema() -> Value {
    schemars::schema_for!(Record).to_value()
}

pub(crate) fn run(args: &HpaArgs) -> Result<ExitCode, Failure> {
    let (platform, autoscalers) = if let Some(path) = &args.manifest {
        (Platform::default(), manifests::autoscalers(&text(path)?, &path.display().to_string())?)
    } else {
        let source = args.platform.clone().map_or(Source::BuiltIn, Source::Path);
        let platform = manifests::load(&source, &args.overlay)?.platform;
        let autoscalers = platform.autoscalers.clone();
        (platform, autoscalers)
    };
    let declared = choose(&autoscalers, args.name.as_deref())?;
    let series = Series::read(&text(&args.series)?, &args.series.display().to_string());
    let series = series.map_err(|error| Failure::usage(error.to_string()))?;
    let secs = |secs: u32| Nanos::from_secs(secs.into());
    let forecast = args.forecast_lead.map(|lead| Forecast { history: secs(args.forecast_history), lead: secs(lead) });
    let config = ClusterConfig { kubernetes: args.k8s_version, forecast, ..ClusterConfig::default() };
    let respec = |spec: &Value| {
        let whole = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": declared.name, "namespace": declared.namespace}, "spec": spec,
        });
        let all = manifests::autoscalers(&whole.to_string(), "spec").map_err(|error| error.to_string())?;
        all.into_iter().next().ok_or_else(|| "is no autoscaler".to_owned())
    };
    let target = declared.target.map(|id| platform.workload(id));
    let synced = series.play(declared, target, &config, &respec);
    let synced = synced.map_err(|error| Failure::usage(error.to_string()))?;
    match args.format {
        Format::Text => told::out(&table(declared, args.k8s_version, &synced)),
        Format::Json => {
            for sync in &synced {
                told::out(&format!("{}\n", line(sync)));
            }
        }
    }
    Ok(ExitCode::Pass)
}

fn text(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}

/// The autoscaler that is asked for, or the only one.
fn choose<'a>(all: &'a [Autoscaler], name: Option<&str>) -> Result<&'a Autoscaler, Failure> {
    let known = || all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, all) {
        (_, []) => Err(Failure::usage("there is no HorizontalPodAutoscaler in it")),
        (None, [one]) => Ok(one),
        (None, _) => {
            Err(Failure::usage(format!("there are several autoscalers: choose one with --name of {}", known())))
        }
        (Some(name), _) => all
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| Failure::usage(format!("there is no autoscaler `{name}`: choose of {}", known()))),
    }
}

/// One sync as JSON.
fn line(sync: &Synced) -> Value {
    let mut told = serde_json::to_value(&sync.decision).unwrap_or_default();
    told["at"] = json!(sync.at_secs);
    told["rescaled"] = json!(sync.decision.desired != sync.decision.current);
    told
}

/// A row a sync; conditions below it where they changed.
fn table(declared: &Autoscaler, release: Release, synced: &[Synced]) -> String {
    let mut text = format!(
        "{}/{} scales {} from {} to {}, by the rules of Kubernetes {release}\n\n",
        declared.namespace, declared.name, declared.reference, declared.min, declared.max
    );
    writeln!(text, "{:>8}  {:>7}  {:>8}  {:>10}  {:>7}  read", "at", "current", "proposed", "stabilized", "desired")
        .expect("writing to a string");
    let mut before = None;
    for Synced { at_secs, decision } in synced {
        let read = decision.metrics.iter().map(|metric| match (&metric.error, metric.proposal) {
            (Some(_), _) | (_, None) => format!("{} failed", metric.metric),
            (None, Some(proposal)) => format!("{} asks for {proposal}", told::reading(metric)),
        });
        let read = read.collect::<Vec<_>>().join("; ");
        let stabilized = decision.stabilized.map_or_else(|| "-".to_owned(), |replicas| replicas.to_string());
        writeln!(
            text,
            "{at_secs:>7}s  {:>7}  {:>8}  {stabilized:>10}  {:>7}  {}",
            decision.current,
            decision.proposed,
            decision.desired,
            if read.is_empty() { "nothing" } else { &read }
        )
        .expect("writing to a string");
        if let Some(forecast) = decision.forecast {
            writeln!(text, "{:>10}the forecast asks for {forecast}", "").expect("writing to a string");
        }
        if before != Some(&decision.conditions) {
            for condition in &decision.conditions {
                writeln!(
                    text,
                    "{:>10}{} {} {}: {}",
                    "", condition.kind, condition.status, condition.reason, condition.message
                )
                .expect("writing to a string");
            }
        }
        before = Some(&decision.conditions);
    }
    text
}
