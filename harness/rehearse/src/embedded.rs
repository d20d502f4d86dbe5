//! Live runs in this process: what is made once for a command, and serves each of its runs.
//!
//! Who decides is either our rules, or a control plane that each run starts for itself.

use std::sync::Arc;

use kubernetes::Programs;
use platform::Node;
use record::{ExitCode, Observed};
use scenarios::Plan;
use stage::EmbeddedSettings;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use units::Nanos;

use crate::alerts::Server;
use crate::args::{DriverKind, LiveArgs, PlayArgs};
use crate::clusters::ClusterSide;
use crate::failure::Failure;
use crate::live::Page;
use crate::progress::Progress;
use crate::resolve::Rehearsal;
use crate::{control_plane, machine, probe};

/// What decides, and where pods live.
pub(crate) enum Under {
    /// Our own rules, and this process.
    Rules,
    /// Kubernetes' own control plane, of these programs, and this process.
    ControlPlane(Programs),
    /// Our own rules, and containers.
    Containers,
    /// A cluster, and its own pods.
    Cluster(Box<ClusterSide>),
}

/// The embedded backend, ready to play.
pub(crate) struct Embedded {
    runtime: Option<Runtime>,
    settings: EmbeddedSettings,
    interrupts: watch::Receiver<u32>,
    page: Option<Page>,
    /// Requests a second that driver and gateway carry on this machine, if that was probed.
    carries: Option<f64>,
    /// What decides, and where pods live.
    under: Under,
}

impl Embedded {
    /// Serves the page, if one is asked for. Without an `under` of its own it is the cluster that `live` names.
    pub(crate) fn new(live: &LiveArgs, under: Option<Under>) -> Result<Self, Failure> {
        let driver = std::env::current_exe()
            .map_err(|error| Failure::usage(format!("cannot find the program that drives load: {error}")))?;
        let settings = EmbeddedSettings {
            driver,
            drivers: live.means.workers,
            cluster: cluster::ClusterConfig::default(),
            keep_observations: true,
            open_files: machine::raise_open_files(),
            sender: match live.means.driver {
                DriverKind::Hyper => driver::Sender::Hyper,
                DriverKind::GooseNative => driver::Sender::Goose,
            },
            // That of a run without a limit; each run that has one brings its own.
            lag_allowed: reports::lag_allowed(Nanos::from_secs(1)),
            runtime: None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(ExitCode::Backend, &error))?;
        let page = live.live.map(|port| runtime.block_on(Page::serve(port)).map_err(|error| unserved(port, &error)));
        let page = page.transpose()?;
        let mut interrupts = runtime.block_on(async { machine::interrupts() });
        let under = match under {
            Some(under) => under,
            None => {
                Under::Cluster(Box::new(runtime.block_on(ClusterSide::reach(&live.means.cluster, &mut interrupts))?))
            }
        };
        let runtime = Some(runtime);
        Ok(Self { runtime, settings, interrupts, page, carries: None, under })
    }

    /// Where pods live in containers: sees to it that they can be had, and tells the report what they are.
    pub(crate) fn prepare(&self, rehearsal: &mut Rehearsal) -> Result<(), Failure> {
        match &self.under {
            Under::Containers => self.block_on(crate::containers::prepare(rehearsal)),
            Under::Cluster(side) => self.block_on(side.prepare(rehearsal, self.interrupts.clone())),
            Under::Rules | Under::ControlPlane(_) => Ok(()),
        }
    }

    /// Finds what this machine carries, and refuses a plan that asks for more or that it has no files for.
    pub(crate) fn probe(&mut self, rehearsal: &Rehearsal, args: &PlayArgs) -> Result<(), Failure> {
        stage::check(&rehearsal.plan, &self.settings)?;
        probe::refuse_beyond(self.measure()?, &rehearsal.plan, args)
    }

    /// Requests a second that this machine carries.
    pub(crate) fn measure(&mut self) -> Result<f64, Failure> {
        let carries = self.block_on(probe::carries(&self.settings, self.interrupts.clone()))?;
        self.carries = Some(carries);
        Ok(carries)
    }

    /// Why a plan cannot be played on this machine, after it was measured.
    pub(crate) fn beyond(&self, plan: &Plan) -> Option<String> {
        let files = stage::check(plan, &self.settings).err().map(|error| error.to_string());
        files.or_else(|| probe::beyond(self.carries?, plan))
    }

    /// What the probe found, in words.
    pub(crate) fn carried(&self) -> Option<String> {
        self.carries.map(|carries| format!("driver and gateway carry about {carries:.0} requests/s"))
    }

    /// Which control plane decides, where it is not ours.
    pub(crate) fn decides(&self) -> Option<String> {
        match &self.under {
            Under::ControlPlane(programs) => Some(programs.told()),
            Under::Cluster(side) => Some(side.told()),
            Under::Rules | Under::Containers => None,
        }
    }

    /// Plays the rehearsal once, with the platform's Prometheus if it has one.
    pub(crate) fn play(
        &self,
        rehearsal: &Rehearsal,
        progress: &mut Progress,
        server: Option<&mut Server>,
    ) -> Result<Observed, Failure> {
        if let Some(page) = &self.page {
            progress.serve(page.clone());
        }
        if let Some(carries) = self.carries {
            progress.say(&format!(
                "this machine carries about {carries:.0} requests/s; the scenario peaks at {:.0}",
                rehearsal.plan.load.peak_rate()
            ));
        }
        let (plan, watches) = (Arc::clone(&rehearsal.plan), rehearsal.watches.clone());
        let lag_allowed = reports::lag_allowed(rehearsal.tightest_limit());
        let settings = EmbeddedSettings { lag_allowed, ..self.settings.clone() };
        let interrupts = self.interrupts.clone();
        let played = self.block_on(async {
            let scraper = server.map(|server| &mut server.scraper);
            match &self.under {
                Under::ControlPlane(programs) => {
                    control_plane::play(programs, rehearsal, settings, progress, interrupts, scraper).await
                }
                Under::Cluster(side) => side.play(rehearsal, settings, progress, interrupts, scraper).await,
                Under::Containers => crate::containers::play(rehearsal, settings, progress, interrupts, scraper).await,
                Under::Rules => Ok(stage::play_scraped(plan, watches, settings, progress, interrupts, scraper).await?),
            }
        });
        progress.close();
        played
    }

    /// The nodes of the cluster, where it has its own.
    pub(crate) fn nodes(&self) -> Option<Vec<Node>> {
        match &self.under {
            Under::Cluster(side) => Some(side.nodes()),
            Under::Rules | Under::ControlPlane(_) | Under::Containers => None,
        }
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is there until the end").block_on(work)
    }
}

impl Drop for Embedded {
    /// Pods and connections go with the runtime; nothing is worth waiting for but what is in a cluster.
    fn drop(&mut self) {
        if let Under::Cluster(side) = &self.under {
            self.block_on(side.close());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn unserved(port: u16, error: &std::io::Error) -> Failure {
    let text =
        format!("cannot serve the page on port {port} of 127.0.0.1: {error}; leave the port out, as in `--live`");
    Failure::of_backend(text)
}
