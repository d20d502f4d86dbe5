//! `--backend control-plane`, `rehearse kubernetes` and `rehearse clean`.

use std::ffi::OsString;
use std::sync::Arc;

use alerts::Scraper;
use clap::Subcommand;
use cluster::ClusterConfig;
use kubernetes::{KubeError, Launcher, LocalControlPlane, Order, PlaneSettings, Prepared, Programs};
use record::{ExitCode, Observed};
use stage::{ControlMaker, EmbeddedSettings, StageError};
use tokio::sync::watch;

use crate::clusters::located;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::resolve::Rehearsal;
use crate::told;

/// The hidden subcommand by which children are started that die with us.
pub(crate) const CHILD: &str = "child";

/// Of `kubernetes`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KubernetesCommand {
    /// Build kube-apiserver, kube-controller-manager and kube-scheduler from Kubernetes' Go module, once: needs Go, and
    /// some minutes
    Build,
    /// Say which programs `--backend control-plane` would start
    Find {
        /// A folder that has them, as envtest lays it out
        #[arg(long, value_name = "DIR")]
        kube_bin_dir: Option<std::path::PathBuf>,
    },
}

/// `rehearse kubernetes`.
pub(crate) fn command(command: &KubernetesCommand) -> Result<ExitCode, Failure> {
    match command {
        KubernetesCommand::Build => told::out(&format!("{}\n", kubernetes::build()?.display())),
        KubernetesCommand::Find { kube_bin_dir } => {
            let Programs { etcd, apiserver, controllers, scheduler } = Programs::find(kube_bin_dir.as_deref())?;
            for program in [etcd, apiserver, controllers, scheduler] {
                told::out(&format!("{} {}\n", program.path.display(), program.version));
            }
        }
    }
    Ok(ExitCode::Pass)
}

/// `rehearse clean`.
pub(crate) fn clean(dry_run: bool) -> Result<ExitCode, Failure> {
    let mut all: Vec<String> =
        if dry_run { kubernetes::left()? } else { kubernetes::clean()? }.iter().map(ToString::to_string).collect();
    all.extend(crate::containers::clean(dry_run)?);
    let kubernetes::Cleaned { things, spared, troubles } = crate::clusters::clean(dry_run)?;
    all.extend(things);
    let done = if dry_run { "would remove" } else { "removed" };
    for what in &all {
        told::out(&format!("{done} {what}\n"));
    }
    for what in &spared {
        told::out(&format!("{what}\n"));
    }
    if let Some((first, more)) = troubles.split_first() {
        let of = |trouble: &KubeError| Failure::new(ExitCode::Backend, trouble);
        return Err(Failure { more: more.iter().map(of).collect(), ..of(first) });
    }
    if all.is_empty() {
        told::out("nothing is left of earlier runs\n");
    }
    Ok(ExitCode::Pass)
}

/// Becomes another program; returns only if that fails.
pub(crate) fn child(args: &[OsString]) -> Result<ExitCode, Failure> {
    Err(Failure::new(ExitCode::Backend, &kubernetes::become_child(args)))
}

impl From<KubeError> for Failure {
    fn from(error: KubeError) -> Self {
        let code = match &error {
            KubeError::Refused { .. } | KubeError::Script { .. } | KubeError::Undeployed { .. } => ExitCode::Manifests,
            _ => ExitCode::Backend,
        };
        Self::new(code, &error)
    }
}

/// Starts a control plane, stands the platform up under it, plays, and ends it.
pub(crate) async fn play(
    programs: &Programs,
    rehearsal: &Rehearsal,
    settings: EmbeddedSettings,
    progress: &mut Progress,
    mut interrupt: watch::Receiver<u32>,
    scraper: Option<&mut Scraper>,
) -> Result<Observed, Failure> {
    let launcher = Launcher { program: settings.driver.clone(), words: vec![CHILD.into()] };
    let began = clock::Clock::start();
    let start = PlaneSettings::new(programs.clone(), launcher);
    let plane = tokio::select! {
        plane = LocalControlPlane::start(&start) => plane?,
        _ = interrupt.changed() => return Err(StageError::Interrupted.into()),
    };
    progress.say(&format!("{}: ready after {:.1} s", plane.told(), began.now().as_secs_f64()));
    let observed = tokio::select! {
        observed = under(&plane, rehearsal, settings, progress, interrupt.clone(), scraper) => observed,
        // From the moment when load is driven, interrupts are the stage's.
        () = thrice(&mut interrupt) => Err(StageError::Interrupted.into()),
    };
    plane.stop().await;
    observed
}

/// Ends when somebody has asked three times: the stage answers the first two.
async fn thrice(interrupt: &mut watch::Receiver<u32>) {
    if interrupt.wait_for(|times| *times > 2).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn under(
    plane: &LocalControlPlane,
    rehearsal: &Rehearsal,
    settings: EmbeddedSettings,
    progress: &mut Progress,
    interrupt: watch::Receiver<u32>,
    scraper: Option<&mut Scraper>,
) -> Result<Observed, Failure> {
    let plan = Arc::clone(&rehearsal.plan);
    let order = Order {
        platform: Arc::clone(&plan.platform),
        objects: rehearsal.objects.iter().map(manifests::Object::to_json).collect(),
        nodes: plan.nodes.clone(),
        config: ClusterConfig { seed: plan.load.seed, ..settings.cluster.clone() },
        run: run_id(progress),
    };
    let prepared = Prepared::new(plane, order).await.map_err(|error| located(error, rehearsal))?;
    let applied = prepared.applied();
    progress.say(&format!("{} objects applied in {:.1} s", applied.objects, prepared.took().as_secs_f64()));
    if !applied.unknown.is_empty() {
        progress.say(&format!("not served here, and left out: {}", applied.unknown.join(", ")));
    }
    let control: ControlMaker = Box::new(move |_, clock, teller| prepared.control(&clock, teller));
    Ok(stage::play_under(plan, rehearsal.watches.clone(), settings, control, progress, interrupt, scraper).await?)
}

/// The run's id as a label's value: the name of its folder, cut to 63 characters.
fn run_id(progress: &Progress) -> String {
    let name = progress.folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let name: String = name.chars().map(allowed).collect();
    let start = name.len().saturating_sub(63);
    name[start..].trim_matches('-').to_owned()
}
