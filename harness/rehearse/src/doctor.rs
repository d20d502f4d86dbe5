//! `rehearse doctor`: what can run on this machine, what is missing, and how to get it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use record::ExitCode;

use crate::{machine, told};

/// What was looked at.
pub(crate) struct Finding {
    what: String,
    state: State,
    told: String,
    /// What to do about it.
    help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fine,
    /// Something works less well.
    Less,
    Missing,
}

/// Files that the shipped scenarios have open at once, with room to spare.
const OPEN_FILES: u64 = 4_096;

pub(crate) fn doctor() -> ExitCode {
    let live = live();
    let can = live.iter().all(|finding| finding.state != State::Missing);
    section("simulate: virtual time", &[fine("needs", "nothing: it runs wherever this program does")]);
    section("run: live on loopback (the embedded backend)", &live);
    section("run --backend control-plane: live, decided by Kubernetes' own control plane", &control_plane());
    section("run --backend containers: real nginx, PostgreSQL and Redis in Docker", &crate::containers::doctor());
    section("run --kind: a whole cluster, made by kind and gone afterwards", &kind());
    section("what tests and comparisons use, if it is there", &tools());
    told::out(if can {
        "\nBoth backends can run here. Begin with `rehearse run`.\n"
    } else {
        "\n`rehearse simulate` can run here, `rehearse run` cannot: see above.\n"
    });
    if can { ExitCode::Pass } else { ExitCode::Backend }
}

fn control_plane() -> Vec<Finding> {
    match kubernetes::Programs::find(None) {
        Ok(programs) => vec![fine("programs", programs.told())],
        Err(error) => vec![lacking(State::Less, "programs", error.to_string(), "nothing else needs them")],
    }
}

fn kind() -> Vec<Finding> {
    match kubernetes::find_kind() {
        Ok(program) => vec![fine("kind", program.display().to_string())],
        Err(error) => {
            vec![lacking(State::Less, "kind", error.to_string(), "nothing else needs it; Docker is needed, too")]
        }
    }
}

fn section(title: &str, findings: &[Finding]) {
    told::out(&format!("\n{title}\n"));
    for Finding { what, state, told, help } in findings {
        let sign = match state {
            State::Fine => "ok  ",
            State::Less => "note",
            State::Missing => "NO  ",
        };
        told::out(&format!("  {sign}  {what:<22} {told}\n"));
        if let Some(help) = help {
            told::out(&format!("  {:<28} → {help}\n", ""));
        }
    }
}

pub(crate) fn fine(what: &str, told: impl Into<String>) -> Finding {
    Finding { what: what.into(), state: State::Fine, told: told.into(), help: None }
}

pub(crate) fn lacking(state: State, what: &str, told: impl Into<String>, help: &str) -> Finding {
    Finding { what: what.into(), state, told: told.into(), help: Some(help.into()) }
}

fn live() -> Vec<Finding> {
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut all = vec![if cfg!(target_os = "linux") {
        fine("system", format!("{system}, {cores} cores"))
    } else {
        lacking(State::Missing, "system", system, "a live run needs Linux; `rehearse simulate` does not")
    }];
    all.push(match TcpListener::bind((Ipv4Addr::new(127, 239, 127, 250), 0)) {
        Ok(_) => fine("loopback addresses", "every pod and client gets its own of 127.0.0.0/8"),
        Err(error) => lacking(
            State::Missing,
            "loopback addresses",
            format!("127.239.127.250 cannot be bound: {error}"),
            "bring the loopback interface up: `ip link set lo up`",
        ),
    });
    all.push(match stage::AddressLease::take() {
        Ok(_) => fine("address leases", "a block is free"),
        Err(error) => lacking(State::Missing, "address leases", error.to_string(), "set TMPDIR to a folder of yours"),
    });
    let files = machine::raise_open_files();
    all.push(if files >= OPEN_FILES {
        fine("open files", files.to_string())
    } else {
        lacking(
            if files >= 512 { State::Less } else { State::Missing },
            "open files",
            format!("{files}; the shipped scenarios use up to about {OPEN_FILES}"),
            "raise the hard limit: `ulimit -Hn 65536` as root, or `LimitNOFILE=` of the service",
        )
    });
    let low = TcpListener::bind((Ipv4Addr::new(127, 239, 127, 250), 80));
    all.push(match low.map_err(|error| error.kind()) {
        Ok(_) | Err(std::io::ErrorKind::AddrInUse) => fine("ports below 1024", "may be bound"),
        Err(_) => lacking(
            State::Less,
            "ports below 1024",
            "may not be bound: pods take another port and the run says so",
            "`sysctl net.ipv4.ip_unprivileged_port_start=80`, if the ports matter to you",
        ),
    });
    all.push(match std::env::current_exe() {
        Ok(exe) => fine("load driver", format!("{} drive", exe.display())),
        Err(error) => lacking(State::Missing, "load driver", error.to_string(), "start rehearse by its path"),
    });
    all.push(folder());
    all
}

/// Whether run folders can be made here.
fn folder() -> Finding {
    let probe = Path::new(".").join(format!(".rehearse-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"x").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => fine("run folders", "this folder can be written"),
        Err(error) => {
            lacking(State::Less, "run folders", format!("this folder cannot be written: {error}"), "use `--out DIR`")
        }
    }
}

fn tools() -> Vec<Finding> {
    let tool = |(name, purpose, package): (&str, &str, &str)| match find(name) {
        Some(path) => fine(name, format!("{} ({purpose})", path.display())),
        None => lacking(State::Less, name, format!("not on PATH ({purpose})"), package),
    };
    [
        ("git", "`--platform git:REV`", "your system's package `git`"),
        (
            "kustomize",
            "tests hold our reading of overlays against it",
            "`go install sigs.k8s.io/kustomize/kustomize/v5@latest`",
        ),
        ("nginx", "tests hold our gateway against it", "your system's package `nginx-light` or `nginx`"),
        ("go", "`cargo xtask prove` asks Kubernetes' own autoscaler", "your system's package `golang`, 1.25 or later"),
        ("promtool", "tests check our metrics with it", "your system's package `prometheus`"),
        ("wrk", "docs/benchmarks.md compares with it", "your system's package `wrk`"),
        ("chromium", "tests look at reports with it", "your system's package `chromium`"),
    ]
    .map(tool)
    .into()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
