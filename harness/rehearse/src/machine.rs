//! This machine: its limits, its wall clock, its signals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use jiff::Timestamp;
use record::{Environment, ExitCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use crate::failure::Failure;

/// Raises the limit on open files as far as this process may, and says what it is now.
pub(crate) fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is refused, the old limit stands, and the plan is held against that.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Counts how often somebody asked to stop: SIGINT or SIGTERM.
pub(crate) fn interrupts() -> watch::Receiver<u32> {
    let (count, receiver) = watch::channel(0);
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return; // without handlers the signals end the process, as they would anyway
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            count.send_modify(|n| *n += 1);
        }
    });
    receiver
}

/// The machine and the wall clock, for `environment.json` alone.
pub(crate) struct Began {
    wall: Timestamp,
    clock: clock::Clock,
}

impl Began {
    #[expect(clippy::disallowed_methods, reason = "wall time belongs to environment.json, which is written from here")]
    pub(crate) fn now() -> Self {
        Self { wall: Timestamp::now(), clock: clock::Clock::start() }
    }

    pub(crate) fn environment(&self, open_files: u64) -> Environment {
        Environment {
            started: self.started(),
            took_s: self.clock.now().as_secs_f64(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cores: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            open_files,
            notes: BTreeMap::from([
                ("machine".to_owned(), class()),
                ("probe".to_owned(), format!("{:.2} ms", probe())),
            ]),
        }
    }

    /// When, as RFC 3339 in whole seconds of UTC.
    pub(crate) fn started(&self) -> String {
        self.wall.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// For the name of the run folder: `20261123-021000`.
    pub(crate) fn stamp(&self) -> String {
        self.wall.strftime("%Y%m%d-%H%M%S").to_string()
    }
}

/// What kind of machine this is: runs of different kinds are not compared.
fn class() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let model = model.unwrap_or("a processor without a name");
    format!("{}, {cores} cores, {model}", std::env::consts::ARCH)
}

/// How long a fixed piece of work takes here, milliseconds; the best of three, since only the machine is meant.
fn probe() -> f64 {
    let clock = clock::Clock::start();
    let once = |round: u64| {
        let began = clock.now();
        let hash =
            (0..2_000_000_u64).fold(round, |hash, next| (hash ^ next).wrapping_mul(0x0100_0000_01b3).rotate_left(7));
        (std::hint::black_box(hash), clock.now() - began).1.as_millis_f64()
    };
    (0..3).map(once).fold(f64::MAX, f64::min)
}

/// Shows a file in whatever the desktop opens it with.
pub(crate) fn show(file: &Path) -> Result<(), Failure> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let shown = Command::new(opener).arg(file).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match shown {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(ExitCode::Backend, &CannotShow { opener, file: file.into() })),
    }
}

/// Why a report could not be shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot show the report: `{opener}` did not open it; open {} in a browser yourself", file.display())]
struct CannotShow {
    opener: &'static str,
    file: PathBuf,
}
