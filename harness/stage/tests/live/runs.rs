//! Whole runs with the driver as a child: beside their simulation, interrupted, and bereft of their driver.

#![expect(clippy::unwrap_used, reason = "the unwrap rule is for the product; helpers of tests are not marked as tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::common::{at_once, pause, plan, scenario};
use record::{Cause, Deaf, EventKind, Listener, Observed, Second};
use scenarios::Arrivals;
use simulation::Settings;
use stage::{EmbeddedSettings, StageError, play};
use tokio::sync::watch;
use units::Nanos;

fn settings() -> EmbeddedSettings {
    EmbeddedSettings {
        driver: PathBuf::from(env!("CARGO_BIN_EXE_stage-drive")),
        drivers: 1,
        cluster: at_once(),
        keep_observations: true,
        open_files: 1_000_000,
        sender: driver::Sender::Hyper,
        lag_allowed: Nanos::from_millis(20),
        runtime: None,
    }
}

/// Calls once, when load has been on for `after` seconds.
struct After<F> {
    seconds: u32,
    call: Option<F>,
}

impl<F: FnOnce()> Listener for After<F> {
    fn event(&mut self, _: &record::Event) {}
    fn second(&mut self, second: &Second<'_>) {
        if second.offered == 0 || self.seconds > 0 {
            self.seconds -= u32::from(second.offered > 0);
        } else if let Some(call) = self.call.take() {
            call();
        }
    }
}

/// The driver under a path of its own, so that a test finds its child among those of other tests.
fn named(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let program = folder.join("drive");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stage-drive"), &program).unwrap();
    program
}

/// The running processes that were started as `program`.
fn children_of(program: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        (Path::new(line.split('\0').next()?) == program).then(|| entry.file_name().into_string().ok())?
    });
    processes.collect()
}

fn kill(id: &str) {
    assert!(Command::new("kill").args(["-9", id]).status().unwrap().success());
}

/// Every arrival that began is there once, with no step twice.
fn each_once(observed: &Observed) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    assert!(observed.observations.iter().all(|o| seen.insert((o.arrival, o.step))), "observed twice");
    observed.observations.iter().map(|o| o.arrival).collect()
}

/// A plan played live and in virtual time, and how far the two are apart.
async fn both(plan: &Arc<scenarios::Plan>) -> (Observed, Observed, reports::Twin) {
    let (_keep, interrupt) = watch::channel(0);
    let live = play(Arc::clone(plan), vec![], settings(), &mut Deaf, interrupt).await.unwrap();
    let simulated = Settings { cluster: at_once(), keep_observations: true, ..Settings::default() };
    let simulated = simulation::simulate(plan, vec![], &simulated, &mut Deaf).unwrap().observed;
    let twin = reports::compare(&live.observations, &simulated.observations, &plan.load.step_plans());
    (live, simulated, twin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_is_what_its_simulation_says() {
    let plan = plan(&scenario(15), 11, |_| {});
    // Medians bear a machine that does other things, too; the tails are the report's business. One that has no core
    // left for a while is asked again: what is wrong in the model stays wrong.
    let (mut live, mut simulated, mut twin) = both(&plan).await;
    for _ in 0..2 {
        if twin.rows[0].quantiles[0].within {
            break;
        }
        (live, simulated, twin) = both(&plan).await;
    }
    assert!(twin.rows[0].quantiles[0].within, "{:?}", twin.rows[0].quantiles[0]);
    assert!(live.checks.iter().all(|check| check.ok), "{:?}", live.checks);
    assert_eq!(each_once(&live).len(), Arrivals::new(&plan.load).count());
    assert_eq!(live.observations.len() as u64, live.recording.offered);
    assert!(live.observations.iter().all(|o| o.cause == Cause::None && o.pod > 0 && o.gateway_pod > 0));
    assert_eq!(live.load_end - live.load_start, Nanos::from_secs(9));
    assert_eq!((twin.matched, twin.outcomes_differ), (twin.n_live, 0));
    // The same request costs the same CPU time on both sides, to the last microsecond.
    let cpu = |run: &Observed| {
        run.observations.iter().map(|o| ((o.arrival, o.step), o.hops.cpu_us)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(cpu(&live), cpu(&simulated));
    let told = |run: &Observed| {
        let phases = run.chronicle.events().iter().filter_map(|event| match &event.kind {
            EventKind::PhaseStarted { phase } => Some((phase.clone(), event.at_us)),
            EventKind::LoadEnded => Some(("end".into(), event.at_us)),
            _ => None,
        });
        // To the nearest second: the live clock is a little late at each of them.
        let since = |at: u64| (at + 500_000 - run.load_start.as_micros()) / 1_000_000;
        phases.map(|(name, at)| (name, since(at))).collect::<Vec<_>>()
    };
    assert_eq!(told(&live), told(&simulated));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_once_it_keeps_what_was_measured() {
    let plan = plan(&scenario(15).replace("duration: 6s", "duration: 600s"), 12, |_| {});
    let (asked, interrupt) = watch::channel(0);
    let mut listener = After { seconds: 3, call: Some(move || asked.send_modify(|times| *times += 1)) };
    // The sender is gone after the call: a run must not mistake that for another interrupt, or spin.
    let observed = play(plan, vec![], settings(), &mut listener, interrupt).await.unwrap();
    assert!(observed.interrupted && observed.checks.iter().all(|check| check.ok), "{:?}", observed.checks);
    let lasted = observed.load_end - observed.load_start;
    assert!((Nanos::from_secs(2)..Nanos::from_secs(9)).contains(&lasted), "{lasted}");
    assert!(each_once(&observed).len() > 15);
    assert!(observed.observations.iter().all(|o| o.cause == Cause::None), "what was under way ended well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_dies_makes_the_run_invalid_and_no_more() {
    let plan = plan(&scenario(15).replace("duration: 6s", "duration: 600s"), 13, |_| {});
    let (_keep, interrupt) = watch::channel(0);
    let folder = std::env::temp_dir().join(format!("stage-drive-{}", std::process::id()));
    let settings = EmbeddedSettings { driver: named(&folder), ..settings() };
    let program = settings.driver.clone();
    let kill = move || children_of(&program).iter().for_each(|id| kill(id));
    let mut listener = After { seconds: 2, call: Some(kill) };
    let observed = play(plan, vec![], settings, &mut listener, interrupt).await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let failed: Vec<_> = observed.checks.iter().filter(|check| !check.ok).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].name, "the load driver ended by itself");
    assert!(failed[0].measured.contains("signal: 9"), "{failed:?}");
    assert!(!observed.interrupted && !observed.observations.is_empty());
    assert!(observed.load_end - observed.load_start < Nanos::from_secs(30), "it ended with its driver");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_before_it_is_ready_it_has_nothing_to_report() {
    let (asked, interrupt) = watch::channel(0);
    let folder = std::env::temp_dir().join(format!("stage-early-{}", std::process::id()));
    let settings = EmbeddedSettings { driver: named(&folder), ..settings() };
    let program = settings.driver.clone();
    let never = plan(&scenario(15), 14, |platform| {
        let containers = platform.workloads.iter_mut().flat_map(|workload| &mut workload.containers);
        containers.filter_map(|c| c.readiness.as_mut()).for_each(|p| p.initial_delay = Nanos::from_secs(100));
    });
    let mut deaf = Deaf;
    let run = play(never, vec![], settings, &mut deaf, interrupt);
    let ask = async {
        while children_of(&program).is_empty() {
            pause().await;
        }
        asked.send_replace(1);
    };
    let (ended, ()) = tokio::join!(run, ask);
    assert!(matches!(ended, Err(StageError::Interrupted)), "{ended:?}");
    // The kill has been sent; the child is gone as soon as the kernel gets to it.
    for _ in 0..1_000 {
        if children_of(&program).is_empty() {
            break;
        }
        pause().await;
    }
    assert_eq!(children_of(&program), Vec::<String>::new());
    std::fs::remove_dir_all(folder).unwrap();
}
