//! `--backend containers`, `images`, `clean`: Docker from the command line's side.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use cluster::ClusterConfig;
use containers::{Built, Containers, Daemon, DockerError, Image, ImageError, Role, Settings, images, ledger};
use record::{ExitCode, Observed, Origin, StandIn};
use scenarios::Plan;
use stage::EmbeddedSettings;
use tokio::sync::watch;

use crate::doctor::{Finding, State, fine, lacking};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::resolve::Rehearsal;
use crate::told;

/// Of `images`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Build them from the programs that are installed here; nothing is downloaded
    Build {
        /// Which; all of them if none is named
        #[arg(value_parser = image)]
        names: Vec<Image>,
        /// The program mock-service, where it is neither beside rehearse nor on PATH
        #[arg(long, value_name = "FILE")]
        mock_service: Option<PathBuf>,
    },
    /// Say which are here, and of which version
    List,
}

fn image(name: &str) -> Result<Image, String> {
    let known = Image::ALL.map(Image::name);
    Image::ALL.into_iter().find(|image| image.name() == name).ok_or_else(|| format!("one of {}", known.join(", ")))
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        Self::new(ExitCode::Backend, &error)
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(ExitCode::Backend, &error)
    }
}

/// `rehearse images`.
pub(crate) fn images(command: &ImagesCommand) -> Result<ExitCode, Failure> {
    with_runtime(async {
        let daemon = Daemon::find().await?;
        match command {
            ImagesCommand::Build { names, mock_service } => {
                for image in if names.is_empty() { &Image::ALL[..] } else { names } {
                    let built = images::build(&daemon, *image, mock_service.as_deref()).await?;
                    told::out(&line(&built));
                }
            }
            ImagesCommand::List => {
                for image in Image::ALL {
                    match images::find(&daemon, image).await? {
                        Some(built) => told::out(&line(&built)),
                        None => told::out(&format!("{:<38} not here: `rehearse images build {image}`\n", image.tag())),
                    }
                }
            }
        }
        Ok(ExitCode::Pass)
    })
}

fn line(built: &Built) -> String {
    let megabytes = built.size as f64 / 1e6;
    format!("{:<38} {:<12} {megabytes:>7.1} MB\n", built.image.tag(), built.version)
}

/// What `rehearse doctor` says of this backend.
pub(crate) fn doctor() -> Vec<Finding> {
    let looked = with_runtime(async {
        let daemon = match Daemon::find().await {
            Ok(daemon) => daemon,
            Err(error) => return Ok(vec![advice(State::Less, "docker", &error)]),
        };
        let mut all = vec![fine("docker", daemon.version.clone())];
        all.push(match containers::permitted() {
            Ok(()) => fine("network", "Services and clients can have addresses on it"),
            Err(error) => advice(State::Less, "network", &error),
        });
        for image in Image::ALL {
            all.push(match images::find(&daemon, image).await {
                Ok(Some(built)) => fine(&image.to_string(), format!("{} {}", built.image.tag(), built.version)),
                Ok(None) => lacking(State::Less, image.name(), "no image", "`rehearse images build`"),
                Err(error) => advice(State::Less, image.name(), &error),
            });
        }
        Ok(all)
    });
    looked.unwrap_or_default()
}

/// An error whose words say what is wrong, then what to do.
fn advice(state: State, what: &str, error: &DockerError) -> Finding {
    let text = error.to_string();
    match text.split_once("; ").or_else(|| text.split_once(": ")) {
        Some((wrong, help)) => lacking(state, what, wrong, help),
        None => lacking(state, what, text, "see docs/containers.md"),
    }
}

/// What killed runs left, in words; removed, unless it is a `dry_run`.
pub(crate) fn clean(dry_run: bool) -> Result<Vec<String>, Failure> {
    let left = ledger::left();
    if dry_run || left.is_empty() {
        return Ok(left.into_iter().map(|run| format!("the containers of run {run}")).collect());
    }
    with_runtime(async {
        let removed = containers::sweep(&Daemon::find().await?).await?;
        let (containers, networks, volumes) = (removed.containers, removed.networks, removed.volumes);
        let counted = format!("{containers} containers, {networks} networks, {volumes} volumes");
        Ok(vec![format!("{counted} of {}", removed.runs.join(", "))])
    })
}

/// What a run starts beside itself.
pub(crate) fn reap(run: &str) -> Result<ExitCode, Failure> {
    ledger::reap(run)?;
    Ok(ExitCode::Pass)
}

fn with_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(ExitCode::Backend, &error))?.block_on(work)
}

/// Sees to it that a run can be had before anything is made, and tells the report what its containers are.
pub(crate) async fn prepare(rehearsal: &mut Rehearsal) -> Result<(), Failure> {
    let ready = Containers::check(&rehearsal.plan).await?;
    let version = |image: Image| {
        let built = ready.stand_ins.iter().find(|built| built.image == image);
        built.map(|built| format!("{image} {} of this machine, image {}", built.version, image.tag()))
    };
    let gateway = version(Image::Nginx).unwrap_or_else(|| format!("the manifests' image {}", ready.gateway));
    let mut all = vec![measured("the gateway's nginx", &format!("{gateway}; its configuration is the manifests' own"))];
    let of = |role| roles(&rehearsal.plan, role);
    if let Some(postgres) = version(Image::Postgres) {
        let names = [of(Role::Primary), of(Role::Standby)].concat().join(", ");
        let how = "the manifests' own settings and databases, a table of 10,000 records in each, everybody trusted; a \
                   standby follows by streaming, and rehearse promotes it 30 s after the loss of the primary, \
                   which follows it when it is back";
        all.push(measured(&names, &format!("{postgres}; {how}")));
    }
    if let Some(redis) = version(Image::Redis) {
        let how = match of(Role::Sentinel).as_slice() {
            [] => "the manifests' own settings, each pod by itself; sentinels, if there are any, are mock services",
            _ => {
                "the manifests' own settings; real sentinels on the manifests' own sentinel.conf watch it, replicas \
                  follow the master that they name, and services ask them for it"
            }
        };
        let names = [of(Role::Redis), of(Role::Sentinel)].concat().join(", ");
        all.push(measured(&names, &format!("{redis}; {how}")));
    }
    all.push(measured(
        "the network",
        &format!(
            "one bridge of Docker {}; Services are balanced by rehearse, connection by connection; network policies are \
             not enforced",
            ready.daemon.version
        ),
    ));
    rehearsal.stand_ins.extend(all);
    Ok(())
}

fn measured(what: &str, how: &str) -> StandIn {
    StandIn { what: what.into(), how: how.into(), origin: Origin::Documented }
}

fn roles(plan: &Plan, role: Role) -> Vec<String> {
    let platform = &plan.platform;
    let ids = platform.workload_ids().filter(|id| Role::of(platform, *id) == role);
    ids.map(|id| platform.workload(id).name.clone()).collect()
}

/// Plays a rehearsal in containers, and removes them.
pub(crate) async fn play(
    rehearsal: &Rehearsal,
    settings: EmbeddedSettings,
    progress: &mut Progress,
    interrupts: watch::Receiver<u32>,
    scraper: Option<&mut alerts::Scraper>,
) -> Result<Observed, Failure> {
    let ready = Containers::check(&rehearsal.plan).await?;
    let swept = containers::sweep(&ready.daemon).await?;
    if !swept.runs.is_empty() {
        progress.say(&format!(
            "removed {} containers that were left of a run that was killed ({})",
            swept.containers,
            swept.runs.join(", ")
        ));
    }
    let logs = Some(progress.folder.path().join("logs"));
    let of_run = Settings { program: settings.driver.clone(), logs };
    let plan = Arc::clone(&rehearsal.plan);
    let containers = Arc::new(Containers::begin(ready.daemon, Arc::clone(&plan), of_run).await?);
    let cluster = ClusterConfig { asks_commands: true, ..settings.cluster };
    let settings = EmbeddedSettings { runtime: Some(Arc::clone(&containers) as _), cluster, ..settings };
    let played = stage::play_scraped(plan, rehearsal.watches.clone(), settings, progress, interrupts, scraper).await;
    let closed = containers.close().await;
    let played = played?;
    closed?;
    Ok(played)
}
