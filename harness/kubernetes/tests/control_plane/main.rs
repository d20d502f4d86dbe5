//! Kubernetes' own control plane, started, fed and watched by us.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod differential;
mod grid;
mod lifetime;
mod measured;
mod overlays;
mod policy;
mod shop;
mod told;
mod world;

use kubernetes::{Launcher, LocalControlPlane, PlaneSettings, Programs};

/// One at a time: two cores carry no more without making pods late, and lateness is not what is tested.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a control plane is started from here: the programs that CI has, and this crate's own launcher.
pub(crate) fn settings() -> PlaneSettings {
    let launcher = Launcher { program: env!("CARGO_BIN_EXE_kube-stand").into(), words: Vec::new() };
    PlaneSettings::new(Programs::find(None).unwrap(), launcher)
}

pub(crate) async fn start(settings: &PlaneSettings) -> LocalControlPlane {
    LocalControlPlane::start(settings).await.unwrap_or_else(|error| panic!("{error}"))
}
