//! The command line as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use record::ExitCode;
use units::Nanos;

use crate::backend::Backend;

/// Rehearse a Kubernetes platform before production does it for you.
#[derive(Debug, Parser)]
#[command(version, about, after_help = exit_codes(), max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand the platform up in this process, drive a scenario at it, judge it
    Run(RunArgs),
    /// The same in virtual time: the same rules, scenario and seed, in a moment
    Simulate(SimulateArgs),
    /// Render the reports of a run folder again; finish one whose run was cut off
    Report {
        /// The run folder
        folder: PathBuf,
        /// An earlier run folder, drawn as the baseline
        #[arg(long, value_name = "DIR")]
        beside: Option<PathBuf>,
        /// Show the report in the browser
        #[arg(long)]
        open: bool,
    },
    /// Hold a run against another one: exactly in virtual time, else as advice
    Compare(crate::keep::CompareArgs),
    /// Accept a run as what later ones are held against
    #[command(subcommand)]
    Baseline(crate::keep::BaselineCommand),
    /// Tell the runs of a history, their trend and where it changed
    History(crate::keep::HistoryArgs),
    /// How much a platform carries, what breaks first, and what would move it
    Capacity(crate::capacity::CapacityArgs),
    /// Costs and load from what really happened: profiles and a scenario from an access log
    Calibrate(crate::calibrate::CalibrateArgs),
    /// Every failure we know against a candidate: go or no-go
    Release(crate::release::ReleaseArgs),
    /// Make the parts of a sweep one that --shard cut: as if one machine had played it
    Merge(crate::merge::MergeArgs),
    /// Which Prometheus alerts would have fired in a finished run, when, and which could not have
    Alerts(crate::alerts::AlertsArgs),
    /// List the scenarios that are shipped: how long each is, and what plays it
    List,
    /// Say what can run on this machine, what is missing, and how to get it
    Doctor,
    /// Print a completion script for a shell, such as `source <(rehearse completions bash)`
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the JSON Schema of a file format, or the names of all of them
    Schema {
        /// Which format, such as `scenario`
        name: Option<String>,
    },
    /// What an nginx configuration does with given requests: server, location, limits, upstream
    Gateway(GatewayArgs),
    /// What an autoscaler does on given pods, samples and metrics: recommendations, limits, conditions
    Hpa(crate::hpa::HpaArgs),
    /// Make a tree of manifests ready to rehearse: a project, assumed costs, a smoke scenario over its routes
    Init(crate::init::InitArgs),
    /// Say what is wrong with a platform before load is driven
    Lint(crate::lint::LintArgs),
    /// Say what a rule of `lint` is about; all rules if none is named
    Explain {
        /// The rule's id
        id: Option<String>,
    },
    /// The programs of `--backend control-plane`: find them, or build them
    #[command(subcommand)]
    Kubernetes(crate::control_plane::KubernetesCommand),
    /// Remove what runs left on this machine whose process was killed
    Clean {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// The images of `--backend containers`, made of what is installed here
    #[command(subcommand)]
    Images(crate::containers::ImagesCommand),
    /// Removes what a run leaves that is killed; `run` starts it by itself
    #[command(hide = true, name = containers::ledger::REAP)]
    Reap {
        /// The run's name
        run: String,
    },
    /// The load driver; `run` starts it by itself
    #[command(hide = true)]
    Drive,
    /// Becomes a program that dies with its parent; `run` starts it by itself
    #[command(hide = true, name = crate::control_plane::CHILD)]
    Child {
        /// The parent's process id, the program, and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
}

/// Of `gateway`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// An nginx.conf, or a manifest with the ConfigMap that holds it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Requests as JSON Lines, `-` for standard input; see `docs/gateway.md`
    #[arg(long, value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// How many gateway pods: each has limits of its own, and requests take turns unless they name one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) replicas: u32,
    /// In which order requests come: that of their instants, or that of the file, where nginx's clock may go back
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub(crate) order: Order,
    /// What is printed: a summary for people, or a JSON line for each request
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// In which order requests are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Of their instants; of equals that of the file.
    Time,
    /// Of the file.
    File,
}

/// Of `run`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) play: PlayArgs,
    #[command(flatten)]
    pub(crate) live: LiveArgs,
}

/// How a live run is driven and shown.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LiveArgs {
    /// Who stands the platform up, and who decides
    #[arg(long, value_enum, default_value_t = Backend::Embedded)]
    pub(crate) backend: Backend,
    #[command(flatten)]
    pub(crate) means: Means,
    /// Show the run as a page, too, on this port of 127.0.0.1; on a free one if none is given
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) live: Option<u16>,
    /// Lines instead of a screen, even in a terminal
    #[arg(long)]
    pub(crate) no_tui: bool,
}

/// What a live backend is made of, wherever one is asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Means {
    /// The folder that has etcd and Kubernetes' programs, for the backend control-plane
    #[arg(long, value_name = "DIR")]
    pub(crate) kube_bin_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Who puts requests on the wire: connections of our own, or goose's client
    #[arg(long, value_enum, default_value_t = DriverKind::Hyper)]
    pub(crate) driver: DriverKind,
    /// So many load drivers, each a process that plays the load of its own part of the clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,
}

impl LiveArgs {
    /// The backend that was asked for: one that was named, or the one that a cluster implies.
    pub(crate) const fn backend(&self) -> Backend {
        let cluster = &self.means.cluster;
        if cluster.kind || cluster.context.is_some() { Backend::Kubernetes } else { self.backend }
    }
}

impl Means {
    /// What of them decides how a run goes, as it is typed.
    pub(crate) fn repeated(&self) -> String {
        let programs = self.kube_bin_dir.iter().map(|folder| format!(" --kube-bin-dir {}", folder.display()));
        let driver = (self.driver == DriverKind::GooseNative).then(|| " --driver goose-native".to_owned());
        let workers = (self.workers > 1).then(|| format!(" --workers {}", self.workers));
        programs.chain(self.cluster.repeated()).chain(driver).chain(workers).collect()
    }
}

/// Which cluster, for `--backend kubernetes`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "A cluster", group = clap::ArgGroup::new("somewhere").args(["kind", "context"]))]
pub(crate) struct ClusterArgs {
    /// Have kind make a cluster for the run, and delete it afterwards
    #[arg(long, conflicts_with = "context")]
    pub(crate) kind: bool,
    /// The image of its nodes; the one that `kind-config/node-image/build` made, or kind's own if left out
    #[arg(long, value_name = "IMAGE", requires = "kind")]
    pub(crate) node_image: Option<String>,
    /// Leave the cluster that kind made, to be used again by --context
    #[arg(long, requires = "kind")]
    pub(crate) keep_cluster: bool,
    /// Use the cluster of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace there that rehearsals may use; it carries the label rehearse.dev/allow=true
    #[arg(long, value_name = "NS", requires = "context")]
    pub(crate) namespace: Option<String>,
    /// This command makes the objects, instead of us, such as './deploy.sh production': with a KUBECONFIG of its own that
    /// reaches the namespace alone, in a dry run first
    #[arg(long, value_name = "COMMAND", requires = "somewhere")]
    pub(crate) deploy: Option<String>,
    /// This workload keeps its own image among stand-ins; may be given more than once
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) keep_image: Vec<String>,
    /// Mock services really use the CPU and the memory that they account for, so that a cluster's own metrics server sees
    /// it: for expectations of autoscalers in a cluster that is not ours
    #[arg(long)]
    pub(crate) burn: bool,
    /// Send the load from so many pods of the cluster, instead of from this machine: for more than one machine can send
    #[arg(long, value_name = "N", requires = "somewhere", conflicts_with = "workers",
          value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) workers_in_cluster: Option<u32>,
    /// The registry and folder that the stand-ins' images were pushed to, such as registry.example.com/rehearse
    #[arg(long, value_name = "PREFIX")]
    pub(crate) registry: Option<String>,
    /// The context that may look like production: needs --max-rate, --max-affected-pods, and an abort rule in the scenario
    #[arg(long, value_name = "CONTEXT", requires = "context")]
    pub(crate) allow_production: Option<String>,
    /// No scenario that peaks above so many requests a second
    #[arg(long, value_name = "R")]
    pub(crate) max_rate: Option<f64>,
    /// No scenario whose faults may hit more pods than these at one time
    #[arg(long, value_name = "N")]
    pub(crate) max_affected_pods: Option<u32>,
}

impl ClusterArgs {
    fn repeated(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.kind.then(|| " --kind".to_owned()));
        words.extend(self.node_image.iter().map(|image| format!(" --node-image {image}")));
        words.extend(self.context.iter().map(|name| format!(" --context {name}")));
        words.extend(self.namespace.iter().map(|name| format!(" --namespace {name}")));
        words.extend(self.deploy.iter().map(|command| format!(" --deploy '{}'", command.replace('\'', "'\\''"))));
        words.extend(self.keep_image.iter().map(|name| format!(" --keep-image {name}")));
        words.extend(self.burn.then(|| " --burn".to_owned()));
        words.extend(self.workers_in_cluster.iter().map(|count| format!(" --workers-in-cluster {count}")));
        words.extend(self.registry.iter().map(|prefix| format!(" --registry {prefix}")));
        words.extend(self.allow_production.iter().map(|name| format!(" --allow-production {name}")));
        words.extend(self.max_rate.iter().map(|rate| format!(" --max-rate {rate}")));
        words.extend(self.max_affected_pods.iter().map(|pods| format!(" --max-affected-pods {pods}")));
        words
    }
}

/// Who puts requests on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverKind {
    /// Connections of our own, a client's each, inside goose's transactions.
    #[default]
    Hyper,
    /// Goose's own `GooseUser::request`: a third of the rate, to compare with.
    GooseNative,
}

/// What `run` and `simulate` share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlayArgs {
    /// A shipped scenario's name (see `rehearse list`) or a scenario file
    /// [default: what rehearse.yaml names, else nightly]
    pub(crate) scenario: Option<String>,
    /// A kustomization, a directory of manifests, a rendered file, `-` for standard input, or `git:REV[:PATH]`; the
    /// built-in platform if left out
    #[arg(long, value_name = "SRC", allow_hyphen_values = true)]
    pub(crate) platform: Option<String>,
    /// Which overlay of the platform; production if left out
    #[arg(long, value_name = "NAME")]
    pub(crate) overlay: Option<String>,
    /// The nodes that pods are scheduled to; the built-in ones if left out
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: Option<PathBuf>,
    /// All chance follows from it: same seed, same arrivals and same service times
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// So many requests a second at the scenario's peak, instead of what it says; addresses grow with the load
    #[arg(long, value_name = "R", conflicts_with = "scale")]
    pub(crate) rate: Option<f64>,
    /// So many times the scenario's load
    #[arg(long, value_name = "X")]
    pub(crate) scale: Option<f64>,
    /// How long the steady phases last together; what goes wrong lasts as long as it does
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<Nanos>,
    /// Where clients enter: at the gateway's Service, or through the ingress controller in front of it
    #[arg(long, value_enum, default_value_t = Entry::Gateway)]
    pub(crate) entry: Entry,
    /// Where run folders go
    #[arg(long, value_name = "DIR", default_value = "rehearsals")]
    pub(crate) out: PathBuf,
    /// What is printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// No progress on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// One more objective that decides, such as "p95 < 800ms for core", or a YAML file of OpenSLO and Gate documents; may
    /// be repeated
    #[arg(long, value_name = "LINE|FILE")]
    pub(crate) objective: Vec<String>,
    /// Play this platform, too, in interleaved pairs with the same seeds, and say what got worse against it
    #[arg(long, value_name = "SRC", conflicts_with = "control")]
    pub(crate) against: Option<String>,
    /// Hold the platform against itself: how often the gate of `--against` cries where nothing changed
    #[arg(long)]
    pub(crate) control: bool,
    /// How many pairs `--against` and `--control` play; fewer than 6 cannot decide
    #[arg(long, value_name = "N", default_value_t = comparison::PAIRS, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) pairs: u32,
    /// Changes smaller than this do not count, such as 3%
    #[arg(long, value_name = "SHARE", value_parser = crate::keep::share)]
    pub(crate) min_effect: Option<f64>,
    /// Keep the run there, and hold it against the baseline that was accepted there
    #[arg(long, value_name = "DIR")]
    pub(crate) history: Option<PathBuf>,
    /// Play an undecided run once more, longer: as long as it takes to decide, at most with steady phases of TIME. Each
    /// of the two looks may then make half of the error
    #[arg(long, value_name = "TIME", conflicts_with_all = ["against", "control"])]
    pub(crate) extend: Option<Nanos>,
    /// How an undecided objective ends: `fail` with exit code 91, or `pass`
    #[arg(long, value_enum, default_value_t = Undecided::Fail)]
    pub(crate) undecided: Undecided,
    /// What errors that `lint` finds in the platform mean: `refuse` with exit code 20 before anything starts, the
    /// default, or `tell` them in the report
    #[arg(long, value_enum)]
    pub(crate) errors: Option<crate::lint::Errors>,
}

/// Where clients enter the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Entry {
    /// At the gateway's Service. Hosts that only an Ingress has come through the ingress controller all the same.
    Gateway,
    /// Through the ingress controller, for every host that an Ingress has.
    Ingress,
}

/// What `simulate` can besides.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) play: PlayArgs,
    /// Play N seeds, from --seed on, and tell how many pass and how far they spread
    #[arg(long, visible_alias = "replications", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) seeds: Option<u32>,
    /// Play everything twice, with the autoscalers as declared and with a forecast beside them, and compare
    #[arg(long)]
    pub(crate) predictive: bool,
    /// Play one part of the seeds, such as 2/3, the second of three; `rehearse merge` makes parts one
    #[arg(long, value_name = "I/N", requires = "seeds")]
    pub(crate) shard: Option<record::Shard>,
    /// How many runs at once; as many as there are cores if left out
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
}

/// What is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A summary for people.
    Text,
    /// `result.json`.
    Json,
}

/// What an undecided gating objective means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Undecided {
    /// 91.
    Fail,
    /// 0.
    Pass,
}

fn exit_codes() -> String {
    let lines = ExitCode::ALL.iter().map(|code| format!("  {:>3}  {}", code.code(), code.meaning()));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// What is played where neither a flag nor a project names a scenario.
const SCENARIO: &str = "nightly";

impl PlayArgs {
    /// The scenario's name or file.
    pub(crate) fn scenario(&self) -> &str {
        self.scenario.as_deref().unwrap_or(SCENARIO)
    }
}
