//! A cluster of kind's: made for a run, and gone with it.
//!
//! Owns the commands: `kind` makes, loads and deletes, `docker` pauses a node's container, `ip` gives clients addresses.

use std::env;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::KubeError;

/// What kind makes: three nodes, the workers in zones; the gateway's port on loopback.
pub const CLUSTER: &str = include_str!("../../../../kind-config/cluster.yaml");
/// Of `kind create cluster`: until the control plane is ready.
const WAIT: &str = "180s";
/// Clients' addresses: half of the block for measurements between networks (RFC 2544), which is nobody's.
pub(crate) const CLIENTS: [u8; 2] = [198, 18];
pub(crate) const CLIENT_RANGE: &str = "198.18.128.0/17";
/// The image that `kind-config/node-image/build` makes, where there is no registry.
const NODE_IMAGE: &str = "rehearse/node";

/// A cluster by its name.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    program: PathBuf,
    pub(crate) name: String,
}

impl Kind {
    /// Finds the program.
    pub(crate) fn find(name: &str) -> Result<Self, KubeError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let built = super::node_image::programs().into_iter();
        let found = built.chain(env::split_paths(&path)).map(|folder| folder.join("kind")).find(|file| file.is_file());
        let program = found.ok_or_else(|| KubeError::Missing {
            program: "kind",
            looked: "it is not on PATH and has not been built".to_owned(),
            remedy: "install it (https://kind.sigs.k8s.io), or build it with `kind-config/node-image/build` (needs Go)",
        })?;
        Ok(Self { program, name: name.to_owned() })
    }

    /// Makes the cluster, and its kubeconfig in `folder`. `image`: of its nodes; otherwise the one that was built here, or
    /// kind's own.
    pub(crate) async fn create(&self, folder: &Path, image: Option<&str>) -> Result<PathBuf, KubeError> {
        let (config, kubeconfig) = (folder.join("cluster.yaml"), folder.join("kubeconfig"));
        std::fs::write(&config, CLUSTER).map_err(|source| KubeError::Folder { path: config.clone(), source })?;
        let built = match image {
            Some(_) => None,
            None => built_image().await,
        };
        let mut command = self.command(&["create", "cluster", "--wait", WAIT]);
        command.arg("--config").arg(&config).arg("--kubeconfig").arg(&kubeconfig);
        if let Some(image) = image.or(built.as_deref()) {
            command.args(["--image", image]);
        }
        run(command).await?;
        Ok(kubeconfig)
    }

    /// Puts images of this machine's Docker into every node.
    pub(crate) async fn load(&self, images: &[String]) -> Result<(), KubeError> {
        let mut command = self.command(&["load", "docker-image"]);
        command.args(images);
        run(command).await.map(drop)
    }

    /// Deletes it. One that is not there is no error.
    pub(crate) async fn delete(&self) -> Result<(), KubeError> {
        run(self.command(&["delete", "cluster"])).await.map(drop)
    }

    /// Has the user's own kubeconfig know it.
    pub(crate) async fn export(&self) -> Result<(), KubeError> {
        // Where the environment says that it is.
        let mut command = Command::new(&self.program);
        command.args(["export", "kubeconfig", "--name", &self.name]);
        run(command).await.map(drop)
    }

    /// Where the program is.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).args(["--name", &self.name]);
        // Its own kubeconfig, and never the user's.
        command.env_remove("KUBECONFIG");
        command
    }
}

/// The newest node image that was built here.
async fn built_image() -> Option<String> {
    let mut command = Command::new("docker");
    command.args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", NODE_IMAGE]);
    let told = run(command).await.ok()?;
    told.lines().next().map(str::to_owned)
}

/// Stops every process of a node, as a loss of its power does, or lets it go on.
pub(crate) async fn pause(node: &str, paused: bool) -> Result<(), KubeError> {
    let mut command = Command::new("docker");
    command.args([if paused { "pause" } else { "unpause" }, node]);
    run(command).await.map(drop)
}

/// Whether a node stands still.
pub(crate) async fn is_paused(node: &str) -> bool {
    let mut command = Command::new("docker");
    command.args(["inspect", "--format", "{{.State.Paused}}", node]);
    run(command).await.is_ok_and(|told| told.trim() == "true")
}

/// Where packets of a node are dropped, before any rule of the cluster's own sees them: of itself and of its pods. By the
/// comment nobody takes them for somebody else's.
const CUTS: [[&str; 5]; 2] = [["raw", "PREROUTING", "-i", "eth0", "-m"], ["mangle", "POSTROUTING", "-o", "eth0", "-m"]];

fn iptables(node: &str, change: &str, [table, chain, way, interface, module]: [&str; 5]) -> Command {
    let mut command = Command::new("docker");
    command.args(["exec", node, "iptables", "-w", "-t", table, change, chain, way, interface]);
    command.args([module, "comment", "--comment", "rehearse", "-j", "DROP"]);
    command
}

/// Has all packets of a node dropped at its interface, or lets them pass again.
pub(crate) async fn cut_off(node: &str, cut: bool) -> Result<(), KubeError> {
    for rule in CUTS {
        let there = run(iptables(node, "-C", rule)).await.is_ok();
        if there != cut {
            run(iptables(node, if cut { "-I" } else { "-D" }, rule)).await?;
        }
    }
    Ok(())
}

/// Whether any of a node's packets are dropped by us.
pub(crate) async fn is_cut_off(node: &str) -> bool {
    for rule in CUTS {
        if run(iptables(node, "-C", rule)).await.is_ok() {
            return true;
        }
    }
    false
}

/// The address by which this machine speaks to a node, which is where the node finds it. Nothing is sent.
pub(crate) fn this_machine(node: IpAddr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((node, 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Gives clients addresses of their own, or takes them away.
pub(crate) async fn route_clients(there: bool) -> Result<(), KubeError> {
    let mut command = Command::new("ip");
    // `replace`: a run that was killed may have left it.
    command.args([
        "route",
        if there { "replace" } else { "del" },
        "local",
        CLIENT_RANGE,
        "dev",
        "lo",
        "table",
        "local",
    ]);
    run(command).await.map(drop)
}

/// Whether they have them.
pub(crate) async fn clients_are_routed() -> bool {
    let mut command = Command::new("ip");
    command.args(["route", "show", "table", "local", CLIENT_RANGE]);
    run(command).await.is_ok_and(|told| !told.trim().is_empty())
}

/// Runs a command to its end, and tells what it wrote.
async fn run(mut command: Command) -> Result<String, KubeError> {
    let told = || {
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let words = told();
    let failed = |why: String| KubeError::Command { command: words.clone(), why };
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = lines[lines.len().saturating_sub(8)..].join("\n");
    Err(failed(end))
}
