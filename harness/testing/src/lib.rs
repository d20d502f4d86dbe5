//! How a test says what it needs of the machine, so that a skip is always seen and never silent.
//!
//! A test that needs an outside program begins with
//!
//! ```
//! # fn the_file_is_valid() {
//! if !testing::needs("the_file_is_valid", testing::Need::Nginx) {
//!     return;
//! }
//! # }
//! ```
//!
//! Without the program it prints `SKIP the_file_is_valid: …` and passes; `cargo xtask test` counts such a test as
//! skipped, not as passed. Where the need is required (see [`REQUIRE`]) it fails instead.

pub mod prometheus;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where npm puts it, from this crate.
const AXE: &str = "../../reports/browser/node_modules/axe-core/axe.min.js";

/// The environment variable that turns skips into failures: a comma list of [`Need::name`]s, or `all`.
pub const REQUIRE: &str = "REHEARSE_REQUIRE";

/// What a line begins with that tells a skip. Then come a blank, the name of the test, a colon and the reason.
pub const SKIP: &str = "SKIP";

/// Something outside the workspace that a test may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// `kustomize`, or `kubectl`, which carries it.
    Kustomize,
    /// `nginx`, for the verdict of the real gateway on a configuration.
    Nginx,
    /// `go`, to build the oracle from Kubernetes' own controllers.
    Go,
    /// `etcd`, and Kubernetes' own API server as `kind-config/control-plane/build` makes it; see [`control_plane`].
    ControlPlane,
    /// `chromium`, to open reports as their readers do.
    Chromium,
    /// axe-core from npm, as `reports/browser/package-lock.json` pins it: `npm ci` there installs it.
    Axe,
    /// `prometheus` and its `promtool`: the real one's verdict on metrics, rules and expressions.
    Prometheus,
    /// A Docker daemon of this machine that answers, root (or sudo without a password), and what images are made of:
    /// nginx, PostgreSQL and Redis; see [`as_root`].
    Docker,
    /// `iptables` and root (or sudo without a password), to lose packets in a network namespace of a test's own.
    Iptables,
    /// `kind`, and the node image that `kind-config/node-image/build` makes; see [`kind`].
    Kind,
}

impl Need {
    /// All there are, in the order in which help tells them.
    pub const ALL: [Self; 10] = [
        Self::Kustomize,
        Self::Nginx,
        Self::Go,
        Self::ControlPlane,
        Self::Chromium,
        Self::Axe,
        Self::Prometheus,
        Self::Docker,
        Self::Iptables,
        Self::Kind,
    ];

    /// The word that `REHEARSE_REQUIRE` and `cargo xtask test --require` know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kustomize => "kustomize",
            Self::Nginx => "nginx",
            Self::Go => "go",
            Self::ControlPlane => "control-plane",
            Self::Chromium => "chromium",
            Self::Axe => "axe",
            Self::Prometheus => "prometheus",
            Self::Docker => "docker",
            Self::Iptables => "iptables",
            Self::Kind => "kind",
        }
    }

    /// The programs of which one is enough, each with an argument that makes it answer and exit.
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Kustomize => &[("kustomize", "version"), ("kubectl", "help")],
            Self::Nginx => &[("nginx", "-v")],
            Self::Go => &[("go", "version")],
            Self::ControlPlane => &[("etcd", "--version")],
            Self::Chromium => &[("chromium", "--version")],
            Self::Axe => &[],
            Self::Prometheus => &[("promtool", "--version")],
            Self::Iptables => &[("iptables", "--version")],
            Self::Docker | Self::Kind => &[("dockerd", "--version")],
        }
    }

    /// Whether the machine has it. The error is the reason for a skip, in words.
    fn found(self) -> Result<(), String> {
        let starts = |(program, argument): &(&str, &str)| {
            Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        if self == Self::Axe {
            let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE).exists();
            return if installed {
                Ok(())
            } else {
                Err("axe-core is not installed: run `npm ci` in reports/browser".into())
            };
        }
        if self.programs().iter().any(starts) {
            if self == Self::ControlPlane && control_plane().is_none() {
                return Err("Kubernetes is not built: run kind-config/control-plane/build, once".to_owned());
            }
            if self == Self::Kind && kind().is_none() {
                return Err("there is no node image in Docker: run kind-config/node-image/build".to_owned());
            }
            return match self {
                Self::Docker | Self::Kind => docker(),
                Self::Iptables => namespace(),
                _ => Ok(()),
            };
        }
        let names = self.programs().iter().map(|(program, _)| *program).collect::<Vec<_>>().join(" or ");
        Err(format!("there is no {names} on PATH"))
    }
}

/// Whether a network namespace can be made here.
fn namespace() -> Result<(), String> {
    let made = as_root("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
    let made = made.is_ok_and(|status| status.success());
    if made { Ok(()) } else { Err("no network namespace can be made, which root can".to_owned()) }
}

/// Whether containers can be run here.
fn docker() -> Result<(), String> {
    for (program, package) in [("nginx", "nginx-light"), ("redis-server", "redis-server")] {
        if Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return Err(format!("there is no {program}, of which an image is made: install {package}"));
        }
    }
    let socket = "/var/run/docker.sock";
    let answers = as_root("test").args(["-S", socket]).status().is_ok_and(|status| status.success());
    let answers = answers && (!is_root() || std::os::unix::net::UnixStream::connect(socket).is_ok());
    if answers { Ok(()) } else { Err(format!("nothing answers on {socket}, or this user may not ask: start dockerd")) }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// A command as root: by sudo, where this user is somebody else.
pub fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", "-E"]).arg(program);
    command
}

/// The folder of kube-apiserver, kube-controller-manager, kube-scheduler and kubectl, where they have been built. It is
/// not built here: that takes minutes.
pub fn control_plane() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kind-config/control-plane/build");
    let output = Command::new(script).arg("--where").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim_end()))
}

/// The folder of kind and kubectl, and the name of the node image, where they have been built and Docker has the image. They
/// are not built here: that takes minutes.
pub fn kind() -> Option<(PathBuf, String)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kind-config/node-image/build");
    let output = as_root(script).arg("--where").output().ok()?;
    let told = String::from_utf8(output.stdout).ok()?;
    let (folder, image) = told.trim_end().split_once('\n')?;
    output.status.success().then(|| (PathBuf::from(folder), image.to_owned()))
}

/// Whether `test` can run here. If not, says why on stderr and answers false: the test then returns at once.
///
/// # Panics
/// If the need is not met and [`REQUIRE`] demands it.
#[expect(clippy::print_stderr, reason = "a skip is to be seen, with its reason")]
pub fn needs(test: &str, need: Need) -> bool {
    match answer(test, need, need.found(), &std::env::var(REQUIRE).unwrap_or_default()) {
        Answer::Run => true,
        Answer::Skip(line) => {
            eprintln!("{line}");
            false
        }
        Answer::Fail(why) => panic!("{why}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Run,
    Skip(String),
    Fail(String),
}

fn answer(test: &str, need: Need, found: Result<(), String>, required: &str) -> Answer {
    let Err(reason) = found else { return Answer::Run };
    if required.split(',').map(str::trim).any(|word| word == need.name() || word == "all") {
        return Answer::Fail(format!("{test} is required ({REQUIRE}={required}) and {reason}: install it"));
    }
    Answer::Skip(format!("{SKIP} {test}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_told_and_a_required_one_fails() {
        let missing = || Err("there is no nginx on PATH".to_owned());
        let skip = || Answer::Skip("SKIP t: there is no nginx on PATH".to_owned());
        let fail = |required: &str| {
            Answer::Fail(format!(
                "t is required (REHEARSE_REQUIRE={required}) and there is no nginx on PATH: install it"
            ))
        };
        for (case, found, required, want) in [
            ("found runs", Ok(()), "", Answer::Run),
            ("found and required runs", Ok(()), "all", Answer::Run),
            ("missing skips", missing(), "", skip()),
            ("missing, while another is required, skips", missing(), "kustomize", skip()),
            ("missing and required by name fails", missing(), "kustomize, nginx", fail("kustomize, nginx")),
            ("missing and all required fails", missing(), "all", fail("all")),
        ] {
            assert_eq!(answer("t", Need::Nginx, found, required), want, "{case}");
        }
    }

    #[test]
    fn the_names_are_distinct_and_fit_into_a_comma_list() {
        let mut names = Need::ALL.map(Need::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Need::ALL.len());
        assert!(names.iter().all(|name| *name != "all" && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
